"""The server of static sites: nginx, with the rules for a folder of files.

A site needs no rules of its own. Pure: text only.
Unknown paths get 404.html, or the page of a single-page app if the app is one.
A file whose name has a hash of its content never changes, so browsers may cache it for a year.
Browsers revalidate a page at each request. Files that `compress` has compressed are sent without
a change.
"""

from __future__ import annotations

from runtime.stacks.definition import DEBIAN_13
from runtime.stacks.stack import DebianRuntime

# nginx does not read the environment: the start script writes the port into a copy of the template.
_SERVE = r"""#!/bin/sh
# Serve the folder $1 on $PORT; $2 is the optional page for unknown paths. The default is 200.html, if it exists.
set -eu
root=$(cd "$1" && pwd)
page=${2:-}
if [ -z "$page" ] && [ -f "$root/200.html" ]; then page=200.html; fi
mkdir -p /tmp/nginx
sed -e "s|@PORT@|${PORT:-8000}|" -e "s|@ROOT@|$root|" -e "s|@UNKNOWN@|${page:+/}${page:-=404}|" \
    /opt/static/nginx.conf > /tmp/nginx/nginx.conf
exec /usr/sbin/nginx -e stderr -p /tmp/nginx -c /tmp/nginx/nginx.conf
"""  # noqa: E501

# gzip and brotli give a compressed file its original's time, from which its ETag is made.
_COMPRESS = r"""#!/bin/sh
# Write a compressed copy next to each file of the folder $1 that compresses well, once instead of at each request.
set -eu
find "$1" -type f -size +1 \( -name '*.html' -o -name '*.css' -o -name '*.js' -o -name '*.mjs' -o -name '*.json' -o -name '*.map' \
    -o -name '*.svg' -o -name '*.xml' -o -name '*.txt' -o -name '*.wasm' -o -name '*.webmanifest' -o -name '*.ico' -o -name '*.ttf' \) \
    ! -path '*/.*' ! -path '*/node_modules/*' -print0 > /tmp/files
xargs -0 -r sh -ec 'for file do
    [ -e "$file.gz" ] || gzip -9 -n -k "$file"
    [ -e "$file.br" ] || brotli -q 9 -k "$file"
done' sh < /tmp/files
echo "$(tr -dc '\0' < /tmp/files | wc -c) files compressed"
"""  # noqa: E501

_NGINX = r"""load_module /usr/lib/nginx/modules/ngx_http_brotli_filter_module.so;
load_module /usr/lib/nginx/modules/ngx_http_brotli_static_module.so;
daemon off;
worker_processes 1;
pid /tmp/nginx/pid;
error_log stderr warn;
events { worker_connections 1024; }
http {
  include /etc/nginx/mime.types;
  default_type application/octet-stream;
  types { application/manifest+json webmanifest; text/javascript mjs; }
  charset utf-8;
  charset_types text/css text/plain text/javascript text/xml application/javascript application/json application/xml image/svg+xml;
  access_log off;
  server_tokens off;
  sendfile on;
  tcp_nopush on;
  keepalive_timeout 75;
  client_body_temp_path /tmp/nginx/body;
  proxy_temp_path /tmp/nginx/proxy;
  fastcgi_temp_path /tmp/nginx/fastcgi;
  uwsgi_temp_path /tmp/nginx/uwsgi;
  scgi_temp_path /tmp/nginx/scgi;
  gzip on;
  gzip_static on;
  gzip_vary on;
  gzip_min_length 512;
  gzip_types text/css text/plain text/javascript application/javascript application/json application/manifest+json
             application/xml image/svg+xml application/wasm;
  brotli on;
  brotli_static on;
  brotli_comp_level 5;
  brotli_min_length 512;
  brotli_types text/css text/plain text/javascript application/javascript application/json application/manifest+json
               application/xml image/svg+xml application/wasm;
  # The path of the sent file can differ from the requested one. Eight or more characters with a letter and a digit are a
  # hash; in the folders of bundlers also eight with a capital letter. Such files are cached for a year. Dates and versions do not count.
  map $uri $by_name {
    default "public, max-age=3600";
    "~/(_app/immutable|_next/static)/" "public, max-age=31536000, immutable";
    "~[.-](?=[0-9A-Za-z]*[A-Za-z])(?=[0-9A-Za-z]*[0-9])[0-9A-Za-z]{8,}(\.chunk)?\.(js|mjs|css|map|wasm|svg|png|jpe?g|gif|webp|avif|ico|woff2?|ttf|otf|eot|mp4|webm)$" "public, max-age=31536000, immutable";
    "~/(assets|_astro)/.*[.-](?=[\w-]?[a-z0-9_-]*[A-Z])[\w-]{8}\.(js|mjs|css|map|wasm|svg|png|jpe?g|gif|webp|avif|ico|woff2?|ttf|otf|eot|mp4|webm)$" "public, max-age=31536000, immutable";
  }
  # browsers revalidate a page at each request (304)
  map $sent_http_content_type $cache { default $by_name; "" ""; ~text/html "no-cache"; }
  server {
    listen @PORT@;
    listen [::]:@PORT@;
    root @ROOT@;
    index index.html;
    absolute_redirect off;
    add_header Cache-Control $cache;
    add_header X-Content-Type-Options nosniff always;
    error_page 403 =404 /404.html;
    error_page 404 /404.html;
    location / { try_files $uri $uri/ $uri.html @UNKNOWN@; }
    location ~ /\. { return 404; }
    location ~ ^/(Procfile|slipway\.toml|app\.json)$ { return 404; }
    # a missing script or picture is 404, even in a single-page app
    location ~* \.(js|mjs|css|map|json|wasm|svg|png|jpe?g|gif|webp|avif|ico|woff2?|ttf|otf|eot|mp4|webm|txt|xml)$ { try_files $uri =404; }
    location ^~ /.well-known/ { try_files $uri =404; }
  }
}
"""  # noqa: E501

STATIC = DebianRuntime(
    name="static-nginx",
    stack=DEBIAN_13,
    packages=(
        "brotli",
        "libnginx-mod-http-brotli-filter",
        "libnginx-mod-http-brotli-static",
        "nginx",
    ),
    files=(
        ("opt/static/serve", _SERVE),
        ("opt/static/compress", _COMPRESS),
        ("opt/static/nginx.conf", _NGINX),
    ),
)
