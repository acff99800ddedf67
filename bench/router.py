"""CPU a request in the router with a full table, beside an HAProxy by hand with one app and the same care, and nginx, in one run: `python -m bench.router [APPS]`.

Everything is started by itself on free ports, with one small backend that answers from memory; the platform need not run.
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

from runtime.config import NodeConfig
from runtime.router.control import Router
from runtime.router.document import to_document
from runtime.router.table import WEB, AppRoutes, Endpoint

ROUNDS, SECONDS, CONNECTIONS = 3, 4, 32
TICK = os.sysconf("SC_CLK_TCK")
BACKEND = """
import asyncio
ANSWER = b"HTTP/1.1 200 OK\\r\\nContent-Length: 2\\r\\n\\r\\nok"
class Answer(asyncio.Protocol):
    def connection_made(self, transport): self.transport, self.data = transport, b""
    def data_received(self, data):
        self.data += data
        while (end := self.data.find(b"\\r\\n\\r\\n")) >= 0:
            self.data = self.data[end + 4:]
            self.transport.write(ANSWER)
async def main(port):
    import uvloop
    server = await asyncio.get_running_loop().create_server(Answer, "127.0.0.1", port)
    await server.serve_forever()
import sys, uvloop
uvloop.run(main(int(sys.argv[1])))
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
  server collector unix@/nonexistent/access.sock
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
  use_backend app if {{ var(txn.app) -m found }}
backend by_app from slot
  stick-table type string len 64 size 100k expire 10m store gpc0,gpc0_rate(10s),conn_cur
backend app from slot
  balance leastconn
  server a 127.0.0.1:{backend} maxconn 500 pool-max-conn 0
"""
NGINX = """
daemon off; worker_processes 1; pid {folder}/nginx.pid; error_log {folder}/error.log;
events {{ worker_connections 4096; }}
http {{
  access_log off; map_hash_max_size 262144; map_hash_bucket_size 128;
  client_body_temp_path {folder}/b; proxy_temp_path {folder}/p; fastcgi_temp_path {folder}/f; uwsgi_temp_path {folder}/u; scgi_temp_path {folder}/s;
  map $host $app {{ default ""; include {folder}/hosts.conf; }}
  server {{
    listen 127.0.0.1:{port};
    location / {{
      if ($app = "") {{ return 404; }}
      proxy_set_header Host $host; proxy_set_header X-Forwarded-For $remote_addr; proxy_set_header X-Request-Id $request_id;
      proxy_http_version 1.1; proxy_set_header Connection ""; proxy_pass http://127.0.0.1:{backend};
    }}
  }}
}}
"""


def main() -> int:
    apps = int(sys.argv[1]) if len(sys.argv) > 1 else 10_000
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slipway-bench-")))
        folder.chmod(0o755)
        backend = free_port()
        stack.enter_context(started([sys.executable, "-c", BACKEND, str(backend)], backend))
        candidates = {"slipway": ours(stack, folder, apps, backend), "HAProxy by hand": bare(stack, folder, apps, backend)}
        if shutil.which("nginx"):
            candidates["nginx"] = nginx(stack, folder, apps, backend)
        measured: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
        for _ in range(ROUNDS):
            for name, (port, pids) in candidates.items():
                measured[name].append(measure(port, pids, f"app{apps // 2}.test"))
        for name, rounds in measured.items():
            rate, cost = sorted(rounds)[ROUNDS // 2]
            print(f"{name:16} {cost:6.1f} µs CPU a request, {rate:8.0f} requests/s")
    return 0


def ours(stack: ExitStack, folder: Path, apps: int, backend: int) -> tuple[int, Callable[[], list[int]]]:
    """The router with `apps` apps of three endpoints each, loaded from its files as after a crash."""
    config = NodeConfig(name="bench", state=folder / "state", run=folder / "run", http_port=free_port(), portal_host="portal.test")
    routes = config.router / "routes"
    routes.mkdir(parents=True)
    config.run.mkdir()
    for number in range(apps):
        ends = tuple(Endpoint(instance=f"web-{number}-{copy}", address="127.0.0.1", port=backend) for copy in range(3))
        app = AppRoutes(app=f"app{number}", hosts=(f"app{number}.test",), endpoints=ends)
        (routes / f"app{number}.json").write_text(json.dumps(to_document(app, {WEB: number})))
    router = Router(config)
    begun = time.perf_counter()
    router.prepare()
    rendered = time.perf_counter()
    process = stack.enter_context(started(router.command(), config.http_port))
    print(f"{apps} apps: files in {rendered - begun:.1f} s, HAProxy up in {time.perf_counter() - rendered:.1f} s")

    def pids() -> list[int]:
        return [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]

    print(f"memory: {sum(memory(pid) for pid in pids()) / 2**20:.0f} MiB, {sum(memory(pid) for pid in pids()) / apps / 1024:.0f} kB an app")
    switch = [switch_time(router, backend, number) for number in range(50)]
    print(f"a change is effective in {sorted(switch)[25] * 1000:.1f} ms in the middle")
    return config.http_port, pids


def switch_time(router: Router, backend: int, number: int) -> float:
    ends = (Endpoint(instance=f"fresh-{number}", address="127.0.0.1", port=backend),)
    begun = time.perf_counter()
    router.set(AppRoutes(app="app1", hosts=("app1.test",), endpoints=ends))
    return time.perf_counter() - begun


def bare(stack: ExitStack, folder: Path, apps: int, backend: int) -> tuple[int, Callable[[], list[int]]]:
    port = free_port()
    (folder / "bare.map").write_text("".join(f"app{number}.test app{number}\n" for number in range(apps)))
    (folder / "bare.cfg").write_text(BARE.format(port=port, maps=folder / "bare.map", backend=backend))
    process = stack.enter_context(started(["haproxy", "-db", "-q", "-f", str(folder / "bare.cfg")], port))
    return port, lambda: [process.pid]


def nginx(stack: ExitStack, folder: Path, apps: int, backend: int) -> tuple[int, Callable[[], list[int]]]:
    port = free_port()
    (folder / "hosts.conf").write_text("".join(f"app{number}.test app{number};\n" for number in range(apps)))
    (folder / "nginx.conf").write_text(NGINX.format(port=port, folder=folder, backend=backend))
    process = stack.enter_context(started(["nginx", "-c", str(folder / "nginx.conf")], port))
    return port, lambda: [int(pid) for pid in Path(f"/proc/{process.pid}/task/{process.pid}/children").read_text().split()]


def measure(port: int, pids: Callable[[], list[int]], host: str) -> tuple[float, float]:
    """Requests a second, and CPU microseconds a request, under wrk."""
    before = sum(cpu(pid) for pid in pids())
    command = ["wrk", "-t1", f"-c{CONNECTIONS}", f"-d{SECONDS}s", "-H", f"Host: {host}", f"http://127.0.0.1:{port}/"]
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
def started(command: list[str], port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        deadline = time.monotonic() + 60
        while True:
            assert process.poll() is None, f"{command[0]} ended"
            try:
                socket.create_connection(("127.0.0.1", port), 1).close()
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
