"""CPU a request in the router with a full table, beside an HAProxy by hand with the same care, nginx and Caddy, in one run.

`python -m bench.router [APPS]`. Everything is started by itself on free ports, with one small backend that answers from memory; the
platform need not run. Peers that are not installed (`apt-get install nginx-light caddy`) are left out. All know all hosts, keep an
access log that is really taken, and open a connection to the backend for each request, as the router does; then all keep connections,
as it does for apps that want it. HAProxy and nginx have
all endpoints of all apps, too; Caddy, which would look at one route after the other, has one that knows all hosts.
"""

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from statistics import median

from runtime.config import NodeConfig
from runtime.router.control import Router
from runtime.router.document import to_document
from runtime.router.policy import Policy
from runtime.router.table import WEB, AppRoutes, Endpoint

ENDPOINTS = 3  # of each app
ROUNDS, SECONDS, CONNECTIONS, SPREAD = 5, 3, 32, 1000  # SPREAD: hosts of the second load, in turn, evenly from all apps
KEEN = """
local asked, next_one = {}, 0
init = function()
  for one = 0, %d do asked[one] = wrk.format("GET", "/", {Host = "app" .. one * %d .. ".test"}) end
end
request = function()
  next_one = (next_one + 389) %% %d
  return asked[next_one]
end
"""
SINK = """
import asyncio, sys, uvloop
class Take(asyncio.Protocol):
    def data_received(self, data): pass
async def main(host, port):
    server = await asyncio.get_running_loop().create_server(Take, host, port)
    await server.serve_forever()
uvloop.run(main(sys.argv[1], int(sys.argv[2])))
"""
TICK = os.sysconf("SC_CLK_TCK")
BACKEND = """
import asyncio, sys, uvloop
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 5\\r\\n\\r\\n%05d" % int(sys.argv[1])
class Answer(asyncio.Protocol):
    def connection_made(self, transport): self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\\r\\n\\r\\n")) >= 0:
            self.data = self.data[end + 4:]
            self.transport.write(ANSWER)
async def main(port):
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", port)
    await server.serve_forever()
uvloop.run(main(int(sys.argv[1])))
"""
# Asks for one host some thousand times a second, and prints when (CLOCK_MONOTONIC) another backend's answer was asked for.
LOOK = """
import socket, sys, time
with socket.create_connection(("127.0.0.1", int(sys.argv[1]))) as connection:
    last = b""
    while True:
        asked = time.monotonic()
        connection.sendall(b"GET / HTTP/1.1\\r\\nHost: app1.test\\r\\n\\r\\n")
        answer = connection.recv(4096)[-5:]
        if answer != last:
            print(asked, answer.decode(), flush=True)
            last = answer
        time.sleep(0.0002)
"""
BARE = """
global
  maxconn 8000
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
backend by_app from slot
  stick-table type string len 64 size 100k expire 10m store gpc0,gpc0_rate(10s),conn_cur
"""
BARE_APP = """\
backend app{number} from slot
  balance leastconn
{servers}
"""
BARE_SERVER = "  server web-{copy} 127.0.0.1:{backend} maxconn 500 {pool}"
NGINX = """
daemon off; worker_processes 1; worker_rlimit_nofile 16384; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 8000; }}
http {{
  log_format slipway "$msec $app $status $request_length $bytes_sent $request_time $remote_addr $request_id $request_method $uri";
  access_log {folder}/nginx.log slipway buffer=64k;
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
  server {{ listen 127.0.0.1:{port} default_server; set $app ""; return 404; }}
  include {folder}/apps.conf;
}}
"""
NGINX_APP = """
upstream app{number} {{ least_conn; {servers}}}
server {{ listen 127.0.0.1:{port}; server_name app{number}.test; set $app app{number}; location / {{ proxy_pass http://app{number}; }} }}
"""


Candidate = tuple[int, Callable[[], list[int]]]  # the port, and what tells the processes whose CPU counts


def main() -> int:
    apps = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    for kept in (False, True):
        print("connections to apps are kept (an app's setting):" if kept else "each request has its own connection to the app:")
        compare_all(apps, kept=kept)
    return 0


def compare_all(apps: int, *, kept: bool) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slipway-bench-")))
        folder.chmod(0o755)
        backend = free_port()
        stack.enter_context(started([sys.executable, "-c", BACKEND, str(backend)], backend))
        peers = {"HAProxy by hand": bare} | {name: peer for name, peer in PEERS.items() if shutil.which(name)}
        candidates = {name: run(stack, folder, apps, backend, kept=kept) for name, run in ({"slipway": ours} | peers).items()}
        many, hosts = folder / "many.lua", min(SPREAD, apps)
        many.write_text(KEEN % (hosts - 1, apps // hosts, hosts))
        one = ["-H", f"Host: app{apps // 2}.test"]
        for load, options in (("one host", one), (f"{hosts} hosts", ["-s", str(many)])):
            tell(load, compared(candidates, options))


def compared(candidates: dict[str, Candidate], options: list[str]) -> dict[str, list[tuple[float, float]]]:
    """Rates and costs by candidate: rounds alternate, so that what else the machine does falls on all."""
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, (port, pids) in candidates.items():
            measured[name].append(measure(port, pids, options))
    return measured


def tell(load: str, measured: dict[str, list[tuple[float, float]]]) -> None:
    """The round in the middle of each, and how many times the peer's cost ours is."""
    print(f"{load}:")
    own = median(cost for _, cost in measured["slipway"])
    for name, rounds in measured.items():
        cost, rate = median(cost for _, cost in rounds), median(rate for rate, _ in rounds)
        print(f"  {name:16} {cost:6.1f} µs CPU a request, {rate:8.0f} requests/s; ours is {own / cost:.2f} of it")


def ours(stack: ExitStack, folder: Path, apps: int, backend: int, *, kept: bool) -> Candidate:
    """The router with `apps` apps of three endpoints each, loaded from its files as after a crash."""
    config = NodeConfig(name="bench", state=folder / "state", run=folder / "run", http_port=free_port(), portal_host="portal.test")
    routes = config.router / "routes"
    routes.mkdir(parents=True)
    config.run.mkdir()
    for number in range(apps):
        ends = tuple(Endpoint(instance=f"web-{number}-{copy}", address="127.0.0.1", port=backend) for copy in range(ENDPOINTS))
        app = AppRoutes(app=f"app{number}", hosts=(f"app{number}.test",), endpoints=ends, policy=Policy(keep_alive=kept))
        (routes / f"app{number}.json").write_text(json.dumps(to_document(app, {WEB: number})))
    router = Router(config)
    begun = time.perf_counter()
    router.prepare()
    rendered = time.perf_counter()
    sink(stack, *config.access_address)
    process = stack.enter_context(started(router.command(), config.http_port))
    print(f"{apps} apps: files in {rendered - begun:.1f} s, HAProxy up in {time.perf_counter() - rendered:.1f} s")

    while not (workers := router.workers()):  # the port is open a moment before the worker is there
        assert process.poll() is None, "HAProxy ended"
        time.sleep(0.02)

    print(f"memory: {sum(map(memory, workers)) / 2**20:.0f} MiB, {sum(map(memory, workers)) / apps / 1024:.0f} kB an app")
    effective, durable = switches(stack, router, backend, config.http_port)
    print(f"a change is effective in {effective * 1000:.1f} ms, and safe on disk in {durable * 1000:.1f} ms, in the middle of 50")
    return config.http_port, router.workers


def switches(stack: ExitStack, router: Router, backend: int, port: int) -> tuple[float, float]:
    """Seconds from the call until a request met the new backend, and until the call was back; the one in the middle of each."""
    other = free_port()
    stack.enter_context(started([sys.executable, "-c", BACKEND, str(other)], other))
    effective, durable = [], []
    with subprocess.Popen([sys.executable, "-c", LOOK, str(port)], stdout=subprocess.PIPE, text=True) as looking:
        assert looking.stdout is not None
        looking.stdout.readline()
        for number in range(50):
            end = Endpoint(instance=f"fresh-{number}", address="127.0.0.1", port=(other, backend)[number % 2])
            begun = time.monotonic()
            router.set(AppRoutes(app="app1", hosts=("app1.test",), endpoints=(end,)))
            durable.append(time.monotonic() - begun)
            seen, answer = looking.stdout.readline().split()
            assert answer == f"{end.port:05d}"
            effective.append(float(seen) - begun)
            time.sleep(0.02)
        looking.kill()
    return median(effective), median(durable)


def bare(stack: ExitStack, folder: Path, apps: int, backend: int, *, kept: bool) -> Candidate:
    port, log = free_port(), free_port()
    sink(stack, "127.0.0.1", log)
    (folder / "bare.map").write_text("".join(f"app{number}.test app{number}\n" for number in range(apps)))
    pool = "pool-max-conn 64 pool-purge-delay 5s" if kept else "pool-max-conn 0"
    servers = "\n".join(BARE_SERVER.format(copy=copy, backend=backend, pool=pool) for copy in range(ENDPOINTS))
    text = BARE.format(port=port, maps=folder / "bare.map", sink=f"127.0.0.1:{log}")
    (folder / "bare.cfg").write_text(text + "".join(BARE_APP.format(number=number, servers=servers) for number in range(apps)))
    process = stack.enter_context(started(["haproxy", "-db", "-q", "-f", str(folder / "bare.cfg")], port))
    return port, lambda: [process.pid]


def nginx(stack: ExitStack, folder: Path, apps: int, backend: int, *, kept: bool) -> Candidate:
    port = free_port()
    servers = f"server 127.0.0.1:{backend}; " * ENDPOINTS + ("keepalive 64; " if kept else "")
    (folder / "apps.conf").write_text("".join(NGINX_APP.format(number=number, port=port, servers=servers) for number in range(apps)))
    (folder / "nginx.conf").write_text(NGINX.format(port=port, folder=folder))
    process = stack.enter_context(started(["nginx", "-c", str(folder / "nginx.conf")], port))
    return port, lambda: [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def caddy(stack: ExitStack, folder: Path, apps: int, backend: int, *, kept: bool) -> Candidate:
    port, log = free_port(), folder / "caddy.log"
    proxy = {"handler": "reverse_proxy", "upstreams": [{"dial": f"127.0.0.1:{backend}"}]}
    proxy["transport"] = {"protocol": "http", "keep_alive": {"enabled": kept}}
    route = {"match": [{"host": [f"app{number}.test" for number in range(apps)]}], "handle": [proxy]}
    server = {"listen": [f"127.0.0.1:{port}"], "routes": [route], "automatic_https": {"disable": True}, "logs": {}}
    sinks = {"default": {"writer": {"output": "file", "filename": str(log)}}}
    config = {"admin": {"disabled": True}, "logging": {"logs": sinks}, "apps": {"http": {"servers": {"all": server}}}}
    (folder / "caddy.json").write_text(json.dumps(config))
    process = stack.enter_context(started(["caddy", "run", "--config", str(folder / "caddy.json")], port))
    return port, lambda: [process.pid]


PEERS = {"nginx": nginx, "caddy": caddy}


def sink(stack: ExitStack, host: str, port: int) -> None:
    """Something that takes an access log and forgets it."""
    stack.enter_context(started([sys.executable, "-c", SINK, host, str(port)], port, host))


def measure(port: int, pids: Callable[[], list[int]], options: list[str]) -> tuple[float, float]:
    """Requests a second, and CPU microseconds a request, under wrk."""
    before = sum(cpu(pid) for pid in pids())
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", *options, f"http://127.0.0.1:{port}/"]
    said = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in said, said
    requests = int(next(line for line in said.splitlines() if "requests in" in line).split()[0])
    used = sum(cpu(pid) for pid in pids()) - before
    return requests / SECONDS, used / requests * 1e6


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int) -> int:
    line = next(line for line in Path(f"/proc/{pid}/status").read_text().splitlines() if line.startswith("VmRSS:"))
    return int(line.split()[1]) * 1024


@contextmanager
def started(command: list[str], port: int, host: str = "127.0.0.1") -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL, stderr=None if command[0] != "caddy" else subprocess.DEVNULL)
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


if __name__ == "__main__":
    sys.exit(main())
