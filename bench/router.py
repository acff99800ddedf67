"""The router's CPU time per request with a full table, compared with other proxies.

The others are a hand-written HAProxy configuration, nginx and Caddy. Run
`python -m bench.router [APPS]`. It starts everything itself in a new network namespace. So the
machine's firewall has no effect, and each endpoint can have its own address. One small backend
answers for all apps, from memory. The platform need not run.

Proxies that are not installed are left out
(`apt-get install nginx-light libnginx-mod-http-lua lua-resty-core caddy`). First, all of them open
a connection to the backend for each request, as the router does. Then all keep connections, as the
router does for apps with that setting.
"""

import json
import os
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path
from statistics import median

from bench.router_peers import PEERS, Candidate, addresses, bare, free_port, sink, started
from runtime.config import NodeConfig
from runtime.router.document import to_document
from runtime.router.policy import Policy
from runtime.router.router import Router
from runtime.router.routes import WEB, AppRoutes, Endpoint

# SPREAD: number of hosts in the second load, spread evenly over all apps.
ROUNDS, SECONDS, CONNECTIONS, SPREAD = 5, 3, 32, 1000
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
    server = await asyncio.get_running_loop().create_server(Answer, "0.0.0.0", port)
    await server.serve_forever()
uvloop.run(main(int(sys.argv[1])))
"""
# A client that sends requests for one host, some thousand per second. When the answer comes from
# another backend than before, it prints the time of the request (CLOCK_MONOTONIC).
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


def main() -> int:
    apps = sys.argv[1] if len(sys.argv) > 1 else "10000"
    inside = [
        "sh",
        "-c",
        'ip link set lo up && exec "$0" "$@"',
        sys.executable,
        "-c",
        "import bench.router; bench.router.compare()",
        apps,
    ]
    return subprocess.run(["unshare", "--net", *inside], check=False).returncode


def compare() -> None:
    """Run all measurements, inside the new network namespace."""
    apps = int(sys.argv[1])
    for kept in (False, True):
        print(
            "kept connections to apps (a setting of the app):"
            if kept
            else "a new connection to the app for each request:"
        )
        compare_all(apps, kept=kept)


def compare_all(apps: int, *, kept: bool) -> None:
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="slipway-bench-")))
        folder.chmod(0o755)
        backend = free_port()
        stack.enter_context(started([sys.executable, "-c", BACKEND, str(backend)], backend))
        peers = {"HAProxy by hand": bare} | {
            name: peer for name, (peer, there) in PEERS.items() if there
        }
        candidates = {
            name: run(stack, folder, apps, backend, kept=kept)
            for name, run in ({"slipway": ours} | peers).items()
        }
        many, hosts = folder / "many.lua", min(SPREAD, apps)
        many.write_text(KEEN % (hosts - 1, apps // hosts, hosts))
        one_host = ["-H", f"Host: app{apps // 2}.test"]
        for load, options in (("one host", one_host), (f"{hosts} hosts", ["-s", str(many)])):
            tell(load, compared(candidates, options))


def compared(
    candidates: dict[str, Candidate], options: list[str]
) -> dict[str, list[tuple[float, float]]]:
    """Return rates and costs by candidate.

    The rounds alternate, so that other work of the machine affects all candidates.
    """
    measured: dict[str, list[tuple[float, float]]] = {name: [] for name in candidates}
    for _ in range(ROUNDS):
        for name, (port, pids) in candidates.items():
            measured[name].append(measure(port, pids, options))
    return measured


def tell(load: str, measured: dict[str, list[tuple[float, float]]]) -> None:
    """Print the median round of each, and the ratio of our cost to it."""
    print(f"{load}:")
    own = median(cost for _, cost in measured["slipway"])
    for name, rounds in measured.items():
        cost, rate = median(cost for _, cost in rounds), median(rate for rate, _ in rounds)
        print(
            f"  {name:16} {cost:6.1f} µs CPU per request, {rate:8.0f} requests/s; our CPU is"
            f" {own / cost:.2f} of it"
        )


def ours(stack: ExitStack, folder: Path, apps: int, backend: int, *, kept: bool) -> Candidate:
    """Start the router with `apps` apps of three endpoints, from its files as after a crash."""
    config = NodeConfig(
        name="bench",
        state=folder / "state",
        run=folder / "run",
        http_port=free_port(),
        portal_host="portal.test",
    )
    routes = config.router / "routes"
    routes.mkdir(parents=True)
    config.run.mkdir()
    for number in range(apps):
        ends = tuple(
            Endpoint(instance=f"web-{number}-{copy}", address=at, port=backend)
            for copy, at in enumerate(addresses(number))
        )
        app = AppRoutes(
            app=f"app{number}",
            hosts=(f"app{number}.test",),
            endpoints=ends,
            policy=Policy(keep_alive=kept),
        )
        (routes / f"app{number}.json").write_text(json.dumps(to_document(app, {WEB: number})))
    router = Router(config)
    begun = time.perf_counter()
    router.prepare()
    rendered = time.perf_counter()
    sink(stack, *config.access_address)
    process = stack.enter_context(started(router.command(), config.http_port))
    print(
        f"{apps} apps: files written in {rendered - begun:.1f} s, HAProxy started in"
        f" {time.perf_counter() - rendered:.1f} s"
    )

    while not (workers := router.workers()):  # the port is open shortly before the worker runs
        assert process.poll() is None, "HAProxy ended"
        time.sleep(0.02)

    print(
        f"memory: {sum(map(memory, workers)) / 2**20:.0f} MiB,"
        f" {sum(map(memory, workers)) / apps / 1024:.0f} kB per app"
    )
    effective, durable = switches(stack, router, backend, config.http_port)
    print(
        f"a change is effective in {effective * 1000:.1f} ms, and on disk in {durable * 1000:.1f}"
        " ms (medians of 50)"
    )
    return config.http_port, router.workers


def switches(stack: ExitStack, router: Router, backend: int, port: int) -> tuple[float, float]:
    """Return the median seconds until the new backend answers, and until the call returns."""
    other = free_port()
    stack.enter_context(started([sys.executable, "-c", BACKEND, str(other)], other))
    effective, durable = [], []
    with subprocess.Popen(
        [sys.executable, "-c", LOOK, str(port)], stdout=subprocess.PIPE, text=True
    ) as looking:
        assert looking.stdout is not None
        looking.stdout.readline()
        for number in range(50):
            end = Endpoint(
                instance=f"fresh-{number}", address="127.0.0.1", port=(other, backend)[number % 2]
            )
            begun = time.monotonic()
            router.set(AppRoutes(app="app1", hosts=("app1.test",), endpoints=(end,)))
            durable.append(time.monotonic() - begun)
            seen, answer = looking.stdout.readline().split()
            assert answer == f"{end.port:05d}"
            effective.append(float(seen) - begun)
            time.sleep(0.02)
        looking.kill()
    return median(effective), median(durable)


def measure(port: int, pids: Callable[[], list[int]], options: list[str]) -> tuple[float, float]:
    """Return the requests per second and the CPU microseconds per request, under wrk."""
    before = sum(cpu(pid) for pid in pids())
    command = [
        "wrk",
        "-t1",
        f"-c{CONNECTIONS}",
        f"-d{SECONDS}s",
        *options,
        f"http://127.0.0.1:{port}/",
    ]
    output = subprocess.run(command, check=True, capture_output=True, text=True).stdout
    assert "Non-2xx" not in output, output
    requests = int(next(line for line in output.splitlines() if "requests in" in line).split()[0])
    used = sum(cpu(pid) for pid in pids()) - before
    return requests / SECONDS, used / requests * 1e6


def cpu(pid: int) -> float:
    fields = Path(f"/proc/{pid}/stat").read_text().rsplit(")", 1)[1].split()
    return (int(fields[11]) + int(fields[12])) / TICK


def memory(pid: int) -> int:
    line = next(
        line
        for line in Path(f"/proc/{pid}/status").read_text().splitlines()
        if line.startswith("VmRSS:")
    )
    return int(line.split()[1]) * 1024


if __name__ == "__main__":
    sys.exit(main())
