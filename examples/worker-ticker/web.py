"""The page of the web process. It shows the time; the worker's ticks are in the app's log."""

import hmac
import os
import signal
import sys
from datetime import UTC, datetime
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType

PAGE = b"""<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>Ticker</title>
<style>
  :root { color-scheme: light dark; --ink: #2b2410; --soft: #7b7050; --paper: #fbf8ee; --line: #e6ddc0; --accent: #a16207; }
  @media (prefers-color-scheme: dark) { :root { --ink: #f5efdc; --soft: #b3a683; --paper: #16130a; --line: #3a3219; --accent: #facc15; } }
  body { margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink); font: 16px/1.6 system-ui, sans-serif; }
  main { width: min(32rem, 88vw); }
  time { display: block; font-size: clamp(3rem, 14vw, 5rem); font-weight: 650; color: var(--accent); font-variant-numeric: tabular-nums; line-height: 1.2; }
  p { color: var(--soft); border-top: 1px solid var(--line); padding-top: 1rem; }
</style>
<main>
  <time id="now">--:--:--</time>
  <p>Two process types run here: <code>web</code> is this page, <code>worker</code> logs a tick each second.
     Its lines are in the app's log, and it can be scaled on its own.</p>
</main>
<script>
  const now = document.getElementById("now");
  const show = () => { now.textContent = new Date().toISOString().slice(11, 19); };
  show(); setInterval(show, 1000);
</script>
</html>
"""


def stamp(moment: str) -> str:
    """Return the signature of a moment. The platform generates the secret (slipway.toml), so others cannot forge it."""
    return hmac.new(
        os.environ.get("SECRET_KEY", "").encode(), moment.encode(), "sha256"
    ).hexdigest()


class Page(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        if self.path == "/healthz":
            self.answer(b"ticking\n", "text/plain")
        elif self.path == "/stamp":
            moment = f"{datetime.now(UTC):%FT%TZ}"
            self.answer(f"{moment} {stamp(moment)}\n".encode(), "text/plain")
        else:
            self.answer(PAGE, "text/html")

    def answer(self, body: bytes, kind: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", f"{kind}; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    request_queue_size = 128


def stop(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    Server(("0.0.0.0", int(os.environ["PORT"])), Page).serve_forever()
