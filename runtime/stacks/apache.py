"""Configuration of the PHP server: Apache with PHP inside each of its processes.

Apache is one group of processes: if it dies, the instance ends and is replaced.
It also applies the `.htaccess` files of PHP apps.
nginx with php-fpm would be two servers to watch, and would not read those files.
"""

from __future__ import annotations

# Each process holds PHP, and a request may use `memory_limit`: the container's memory limits the
# number of processes.
SERVE = """#!/bin/sh
# Serve the folder $1 on $PORT, with what is in the container's memory limit for each PHP process.
set -eu
workers=$((${SLIPWAY_MEMORY:-536870912} / 33554432))
[ "$workers" -ge 2 ] || workers=2
[ "$workers" -le 64 ] || workers=64
export WEB_CONCURRENCY="${WEB_CONCURRENCY:-$workers}" PORT="${PORT:-8000}"
DOCUMENT_ROOT=$(cd "$1" && pwd)
export DOCUMENT_ROOT
mkdir -p /tmp/apache
exec /usr/sbin/apache2 -D FOREGROUND -f /opt/php/apache.conf
"""

APACHE = r"""ServerRoot /etc/apache2
PidFile /tmp/apache/pid
DefaultRuntimeDir /tmp/apache
Mutex file:/tmp/apache
Listen ${PORT}
ServerName localhost
ServerTokens Prod
ServerSignature Off
TraceEnable Off
# its own way to open /dev/stderr fails where that is another user's pipe
ErrorLog "|$exec /usr/bin/cat >&2"
LogLevel warn
Timeout 300
KeepAliveTimeout 75
GracefulShutdownTimeout 10
LoadModule mpm_prefork_module /usr/lib/apache2/modules/mod_mpm_prefork.so
StartServers 2
MinSpareServers 1
MaxSpareServers 4
ServerLimit ${WEB_CONCURRENCY}
MaxRequestWorkers ${WEB_CONCURRENCY}
LoadModule authz_core_module /usr/lib/apache2/modules/mod_authz_core.so
LoadModule authz_host_module /usr/lib/apache2/modules/mod_authz_host.so
LoadModule auth_basic_module /usr/lib/apache2/modules/mod_auth_basic.so
LoadModule authn_core_module /usr/lib/apache2/modules/mod_authn_core.so
LoadModule authn_file_module /usr/lib/apache2/modules/mod_authn_file.so
LoadModule authz_user_module /usr/lib/apache2/modules/mod_authz_user.so
LoadModule alias_module /usr/lib/apache2/modules/mod_alias.so
LoadModule deflate_module /usr/lib/apache2/modules/mod_deflate.so
LoadModule dir_module /usr/lib/apache2/modules/mod_dir.so
LoadModule env_module /usr/lib/apache2/modules/mod_env.so
LoadModule expires_module /usr/lib/apache2/modules/mod_expires.so
LoadModule filter_module /usr/lib/apache2/modules/mod_filter.so
LoadModule headers_module /usr/lib/apache2/modules/mod_headers.so
LoadModule mime_module /usr/lib/apache2/modules/mod_mime.so
LoadModule negotiation_module /usr/lib/apache2/modules/mod_negotiation.so
LoadModule remoteip_module /usr/lib/apache2/modules/mod_remoteip.so
LoadModule rewrite_module /usr/lib/apache2/modules/mod_rewrite.so
LoadModule setenvif_module /usr/lib/apache2/modules/mod_setenvif.so
Include mods-available/php*.load
TypesConfig /etc/mime.types
DocumentRoot ${DOCUMENT_ROOT}
DirectoryIndex index.php index.html
AddOutputFilterByType DEFLATE text/html text/css text/plain text/javascript application/javascript application/json image/svg+xml
# the router sends the client's address, and whether it used https
RemoteIPHeader X-Forwarded-For
RemoteIPInternalProxy 10.0.0.0/8 172.16.0.0/12 192.168.0.0/16 100.64.0.0/10
SetEnvIf X-Forwarded-Proto "^https$" HTTPS=on
SetEnvIf Authorization "(.+)" HTTP_AUTHORIZATION=$1
<Directory />
  Require all denied
</Directory>
<Directory ${DOCUMENT_ROOT}>
  Options FollowSymLinks
  AllowOverride All
  Require all granted
  # the front controller answers requests for missing files
  FallbackResource /index.php
</Directory>
<FilesMatch "\.php$">
  SetHandler application/x-httpd-php
</FilesMatch>
# files of the source that are not pages; .well-known is public
<LocationMatch "/\.(?!well-known)">
  Require all denied
</LocationMatch>
<LocationMatch "^/(?:Procfile|composer\.(?:json|lock)|auth\.json|vendor/.*)$">
  Require all denied
</LocationMatch>
"""  # noqa: E501

SETTINGS = """; Settings for apps in containers that differ from Debian's defaults. A .htaccess or ini_set has precedence.
expose_php = Off
display_errors = Off
log_errors = On
variables_order = EGPCS
session.save_path = /tmp
upload_max_filesize = 32M
post_max_size = 40M
opcache.enable = 1
opcache.memory_consumption = 64
"""  # noqa: E501
