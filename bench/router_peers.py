"""The other proxies that `bench.router` measures: HAProxy by hand, nginx (also with Lua) and Caddy.

Each has the same apps and policies, all hosts, and an access log that is really received. All
except Caddy have all endpoints of all apps. Caddy would check one route after the other, so it has
a single route with all hosts.
"""

import json
import shutil
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path

from runtime.router import haproxy

ENDPOINTS = 3  # of each app
SINK = """
import asyncio, sys, uvloop
class Take(asyncio.Protocol):
    def data_received(self, data): pass
async def main(host, port):
    server = await asyncio.get_running_loop().create_server(Take, host, port)
    await server.serve_forever()
uvloop.run(main(sys.argv[1], int(sys.argv[2])))
"""
BARE = """
global
  maxconn 8000
  nbthread {threads}
ring access
  format raw
  maxlen 2048
  size 16777216
  timeout connect 2s
  timeout server 10s
  server collector {sink}
defaults front
  mode http
  timeout client 5m
  log ring@access len 2048 format raw daemon
  log-format "%[date(0,ms)] %[var(txn.app)] %ST %ts %s %U %B %Ta %Tw %[src] %[unique-id] %HM %HPO"
defaults slot
  mode http
  timeout connect 2s
  timeout queue 30s
  timeout server 5m
  option http-no-delay
  option redispatch 1
  option abortonclose
  retries 2
  retry-on conn-failure empty-response
  http-request disable-l7-retry unless METH_GET
  http-response del-header X-Slipway-Code
frontend web from front
  bind 127.0.0.1:{port}
  tcp-request connection track-sc2 src,ipmask(32,64) table by_address
  tcp-request connection reject if {{ sc_conn_cur(2) gt 4000 }}
  option http-no-delay
  option http-restrict-req-hdr-names delete
  option idle-close-on-response
  unique-id-format %[uuid]
  unique-id-header X-Request-Id
  http-request del-header X-Forwarded- -m beg
  http-request del-header Forwarded
  http-request del-header X-Real-IP
  http-request del-header X-Request-Id
  http-request del-header Proxy
  http-request set-header X-Forwarded-For %[src]
  http-request set-header X-Forwarded-Proto http
  http-request set-header X-Forwarded-Host %[req.hdr(host)]
  http-request set-var(txn.host) req.hdr(host),field(1,:),lower
  http-request set-var(txn.app) var(txn.host),map_str({maps})
  http-request track-sc0 var(txn.app) table by_app
  http-after-response set-header X-Request-Id %[unique-id]
  use_backend %[var(txn.app)] if {{ var(txn.app) -m found }}
backend by_address from slot
  stick-table type ipv6 size 16k expire 10s store conn_cur
backend by_app from slot
  stick-table type string len 64 size 100k expire 10m store gpc0,gpc0_rate(10s),conn_cur
"""
BARE_APP = """\
backend app{number} from slot
  balance leastconn
{servers}
"""
BARE_SERVER = "  server web-{copy} {address}:{backend} maxconn 500 {pool}"
NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile 16384; pid {folder}/{name}.pid; error_log {folder}/{name}.error.log;
{modules}
events {{ worker_connections 8000; }}
http {{
  log_format slipway "$msec $app $status $request_length $bytes_sent $request_time $remote_addr $request_id $request_method $uri";
  access_log {folder}/{name}.log slipway buffer=64k;
  server_names_hash_max_size 262144; server_names_hash_bucket_size 128;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  limit_conn_zone $app zone=by_app:16m; limit_conn_zone $binary_remote_addr zone=by_address:16m;
  limit_conn by_app 8000; limit_conn by_address 4000;
  map $http_upgrade $connection_upgrade {{ default upgrade; "" ""; }}
  proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Forwarded-Proto $scheme;
  proxy_set_header X-Forwarded-Host $host; proxy_set_header X-Request-Id $request_id;
  proxy_set_header Forwarded ""; proxy_set_header X-Real-IP ""; proxy_set_header Proxy "";
  proxy_set_header Upgrade $http_upgrade; proxy_set_header Connection $connection_upgrade;
  proxy_http_version 1.1; proxy_buffering off; proxy_request_buffering off; client_max_body_size 0;
  proxy_next_upstream error; proxy_connect_timeout 2s; proxy_read_timeout 5m;
  proxy_hide_header X-Slipway-Code; add_header X-Request-Id $request_id always;
  {servers}
}}
"""  # noqa: E501
NGINX_DEFAULT = """server {{ listen 127.0.0.1:{port} default_server; set $app ""; return 404; }}
  include {folder}/apps.conf;"""
NGINX_APP = """
upstream app{number} {{ least_conn; {servers}}}
server {{ listen 127.0.0.1:{port}; server_name app{number}.test; set $app app{number}; location / {{ proxy_pass http://app{number}; }} }}
"""  # noqa: E501

# Routes in shared memory, where a change needs no reload, as in our router. A host has an app and
# its endpoints, which are used in turn.
NGINX_LUA = """lua_shared_dict routes 64m;
  init_by_lua_block {{
    balancer = require "ngx.balancer"
    for line in io.lines("{folder}/routes") do
      local host, record = line:match("^(%S+) (.*)$")
      ngx.shared.routes:set(host, record)
    end
  }}
  upstream apps {{
    server 0.0.0.1;
    balancer_by_lua_block {{
      local ends = ngx.ctx.ends
      ngx.ctx.tried = (ngx.ctx.tried or math.random(#ends)) % #ends + 1
      if ngx.ctx.tried == 1 then balancer.set_more_tries(2) end
      balancer.set_current_peer(ends[ngx.ctx.tried][1], ends[ngx.ctx.tried][2])
    }}
    {pool}
  }}
  server {{
    listen 127.0.0.1:{port}; set $app "";
    location / {{
      rewrite_by_lua_block {{
        local record = ngx.shared.routes:get(ngx.var.host)
        if not record then return ngx.exit(404) end
        local app, rest = record:match("^(%S+) (.*)$")
        local ends = {{}}
        for address, port in rest:gmatch("(%S+):(%d+)") do ends[#ends + 1] = {{address, tonumber(port)}} end
        ngx.var.app, ngx.ctx.ends = app, ends
      }}
      proxy_pass http://apps;
    }}
  }}"""  # noqa: E501
LUA_MODULES = [
    Path(f"/usr/lib/nginx/modules/{name}.so") for name in ("ndk_http_module", "ngx_http_lua_module")
]


# The port, and a function that returns the measured processes.
Candidate = tuple[int, Callable[[], list[int]]]


def bare(stack: ExitStack, folder: Path, apps: int, backend: int, *, kept: bool) -> Candidate:
    port, log = free_port(), free_port()
    sink(stack, "127.0.0.1", log)
    (folder / "bare.map").write_text(
        "".join(f"app{number}.test app{number}\n" for number in range(apps))
    )
    pool = "pool-max-conn 64 pool-purge-delay 5s" if kept else "pool-max-conn 0"
    text = BARE.format(
        port=port, maps=folder / "bare.map", sink=f"127.0.0.1:{log}", threads=haproxy.threads()
    )
    for number in range(apps):
        ends = enumerate(addresses(number))
        servers = "\n".join(
            BARE_SERVER.format(copy=copy, address=address, backend=backend, pool=pool)
            for copy, address in ends
        )
        text += BARE_APP.format(number=number, servers=servers)
    (folder / "bare.cfg").write_text(text)
    process = stack.enter_context(
        started(["haproxy", "-db", "-q", "-f", str(folder / "bare.cfg")], port)
    )
    return port, lambda: [process.pid]


def nginx(stack: ExitStack, folder: Path, apps: int, backend: int, *, kept: bool) -> Candidate:
    """Start nginx with the usual configuration: an upstream and a server for each app.

    Each change of a route needs a reload.
    """
    port, pool = free_port(), "keepalive 64; " if kept else ""
    with (folder / "apps.conf").open("w") as file:
        for number in range(apps):
            servers = "".join(f"server {address}:{backend}; " for address in addresses(number))
            file.write(NGINX_APP.format(number=number, port=port, servers=servers + pool))
    return start_nginx(stack, folder, "nginx", port, NGINX_DEFAULT.format(port=port, folder=folder))


def nginx_lua(stack: ExitStack, folder: Path, apps: int, backend: int, *, kept: bool) -> Candidate:
    """Start nginx with a Lua configuration, where routes change without a reload."""
    port = free_port()
    with (folder / "routes").open("w") as file:
        for number in range(apps):
            ends = " ".join(f"{address}:{backend}" for address in addresses(number))
            file.write(f"app{number}.test app{number} {ends}\n")
    servers = NGINX_LUA.format(port=port, folder=folder, pool="keepalive 512;" if kept else "")
    return start_nginx(
        stack,
        folder,
        "nginx-lua",
        port,
        servers,
        "".join(f"load_module {path};" for path in LUA_MODULES),
    )


def start_nginx(
    stack: ExitStack, folder: Path, name: str, port: int, servers: str, modules: str = ""
) -> Candidate:
    (folder / f"{name}.conf").write_text(
        NGINX.format(port=port, folder=folder, name=name, servers=servers, modules=modules)
    )
    process = stack.enter_context(started(["nginx", "-c", str(folder / f"{name}.conf")], port))
    return port, lambda: [
        int(pid)
        for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()
    ]


def caddy(stack: ExitStack, folder: Path, apps: int, backend: int, *, kept: bool) -> Candidate:
    port, log = free_port(), folder / "caddy.log"
    proxy = {
        "handler": "reverse_proxy",
        "upstreams": [{"dial": f"{address}:{backend}"} for address in addresses(0)],
    }
    proxy["transport"] = {"protocol": "http", "keep_alive": {"enabled": kept}}
    route = {
        "match": [{"host": [f"app{number}.test" for number in range(apps)]}],
        "handle": [proxy],
    }
    server = {
        "listen": [f"127.0.0.1:{port}"],
        "routes": [route],
        "automatic_https": {"disable": True},
        "logs": {},
    }
    sinks = {"default": {"writer": {"output": "file", "filename": str(log)}}}
    config = {
        "admin": {"disabled": True},
        "logging": {"logs": sinks},
        "apps": {"http": {"servers": {"all": server}}},
    }
    (folder / "caddy.json").write_text(json.dumps(config))
    process = stack.enter_context(
        started(["caddy", "run", "--config", str(folder / "caddy.json")], port)
    )
    return port, lambda: [process.pid]


PEERS = {
    "nginx": (nginx, shutil.which("nginx")),
    "nginx with Lua": (nginx_lua, all(path.exists() for path in LUA_MODULES)),
    "Caddy": (caddy, shutil.which("caddy")),
}


def addresses(number: int) -> list[str]:
    """Return the addresses of an app's endpoints. Each is different, as with instances."""
    return [f"127.{100 + copy}.{number // 250}.{number % 250 + 1}" for copy in range(ENDPOINTS)]


def sink(stack: ExitStack, host: str, port: int) -> None:
    """Start a program that receives an access log and discards it."""
    stack.enter_context(started([sys.executable, "-c", SINK, host, str(port)], port, host))


@contextmanager
def started(
    command: list[str], port: int, host: str = "127.0.0.1"
) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        command,
        stdout=subprocess.DEVNULL,
        stderr=None if command[0] != "caddy" else subprocess.DEVNULL,
    )
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, f"{command[0]} ended"
            try:
                socket.create_connection((host, port), 1).close()
                break
            except OSError:
                assert time.monotonic() < deadline
                time.sleep(0.02)
        yield process
    finally:
        process.terminate()
        process.wait()


def free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
