"""What stacks and language runtimes consist of, as values. Pure: a definition's content is its identity."""

from __future__ import annotations

import hashlib
import json
from dataclasses import asdict, dataclass


@dataclass(frozen=True, slots=True, kw_only=True)
class Stack:
    """A base root filesystem made of Debian packages."""

    name: str
    suite: str
    packages: tuple[str, ...]  # beside the essential ones
    revision: int = 1  # raised when the way it is built changes


@dataclass(frozen=True, slots=True, kw_only=True)
class DebianRuntime:
    """A language runtime or server as packages on top of a stack: the layer is what they add."""

    name: str
    stack: Stack
    packages: tuple[str, ...]
    files: tuple[tuple[str, str], ...] = ()  # path -> text, written into the layer, mode 755 if it starts with #!
    links: tuple[tuple[str, str], ...] = ()  # path -> where it points
    revision: int = 1


@dataclass(frozen=True, slots=True, kw_only=True)
class NodeRuntime:
    """Node.js and npm from the npm registry's own packages of them, in /opt/node."""

    version: str
    npm: str
    revision: int = 1

    @property
    def name(self) -> str:
        return f"node-{self.version}"


@dataclass(frozen=True, slots=True, kw_only=True)
class Bare:
    """What a program without libraries stands on instead of a stack: that one's certificates, and the names of users."""

    stack: Stack
    revision: int = 1

    @property
    def name(self) -> str:
        return f"{self.stack.name}-bare"


Runtime = DebianRuntime | NodeRuntime


def key(definition: Stack | Runtime | Bare, machine: str) -> str:
    """The identity of a definition on a machine architecture: 64 hex digits, changed by any change of content."""
    document = {"kind": type(definition).__name__, "machine": machine, **asdict(definition)}
    return hashlib.sha256(json.dumps(document, sort_keys=True).encode()).hexdigest()


DEBIAN_13 = Stack(
    name="debian-13",
    suite="trixie",
    revision=2,
    packages=("ca-certificates", "libatomic1", "libstdc++6", "media-types", "netbase", "tzdata"),
)

PYTHON = {
    "3.13": DebianRuntime(
        name="python-3.13",
        stack=DEBIAN_13,
        packages=("python3", "python3-venv"),
        links=(("usr/local/bin/python", "/usr/bin/python3"),),  # Debian has no `python`, and Procfiles do
    )
}

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

STACKS = {DEBIAN_13.name: DEBIAN_13}
