"""What this release offers: the stacks of `definitions/`, the languages on them, Node.js and the static file server."""

from __future__ import annotations

from pathlib import Path

from runtime.stacks.parsing import parse
from runtime.stacks.stack import DebianRuntime, NodeRuntime, Runtime, Stack

SHIPPED = tuple(parse(path.read_text(), path.name) for path in sorted((Path(__file__).parent / "definitions").glob("*.toml")))
STACKS = {file.stack.name: file.stack for file in SHIPPED}
DEBIAN_13 = STACKS["debian-13"]
PYTHON_DEFAULT = "3.13"
PYTHON = {one.name.removeprefix("python-"): one for file in SHIPPED for one in file.languages if one.name.startswith("python-")}


def stack_of(runtime: Runtime | None) -> Stack:
    """The stack a language stands on; Node.js, and what needs no language, on the usual one."""
    return runtime.stack if isinstance(runtime, DebianRuntime) else DEBIAN_13


_NPM = "10.9.9"  # runs on every Node below
NODE_DEFAULT = "22.23.3"
NODE_NEWEST = ("20.20.2", NODE_DEFAULT, "24.21.0")  # the newest we build with of each major version offered
NODE_MAJORS = (20, 22, 24)


def node(version: str) -> NodeRuntime:
    return NodeRuntime(version=version, npm=_NPM)


# nginx reads no environment: the start script writes the port into a copy of the template.
_SERVE = """#!/bin/sh
# Serve the folder $1 on $PORT.
set -eu
mkdir -p /tmp/nginx
sed -e "s|@PORT@|${PORT:-8000}|" -e "s|@ROOT@|$(cd "$1" && pwd)|" /opt/static/nginx.conf > /tmp/nginx/nginx.conf
exec /usr/sbin/nginx -e stderr -p /tmp/nginx -c /tmp/nginx/nginx.conf
"""

_NGINX = """daemon off;
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
  gzip_vary on;
  gzip_min_length 512;
  gzip_types text/css text/plain text/javascript application/javascript application/json application/manifest+json
             application/xml image/svg+xml application/wasm;
  # a page is asked for again each time, at the cost of a 304; what a page refers to may be kept a while
  map $sent_http_content_type $cache { default "public, max-age=3600"; ~text/html "no-cache"; }
  server {
    listen @PORT@;
    listen [::]:@PORT@;
    root @ROOT@;
    index index.html;
    absolute_redirect off;
    add_header Cache-Control $cache;
    add_header X-Content-Type-Options nosniff;
    error_page 404 /404.html;
    location / { try_files $uri $uri/ $uri.html =404; }
    location ~ /\\. { return 404; }
    location = /Procfile { return 404; }
    location ^~ /.well-known/ { try_files $uri =404; }
  }
}
"""

STATIC = DebianRuntime(
    name="static-nginx",
    stack=DEBIAN_13,
    packages=("nginx",),
    files=(("opt/static/serve", _SERVE), ("opt/static/nginx.conf", _NGINX)),
)
