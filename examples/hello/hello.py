"""The smallest app: a page from Python's standard library, without packages."""

import os
import platform
import signal
import sys
from html import escape
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from types import FrameType

PAGE = """<!doctype html>
<html lang="en">
<meta charset="utf-8">
<meta name="viewport" content="width=device-width, initial-scale=1">
<title>{greeting}</title>
<style>
  :root {{ color-scheme: light dark; --ink: #14213d; --soft: #5b6784; --paper: #f5f7fb; --card: #fff; --line: #dde3ee; --accent: #1f6feb; }}
  @media (prefers-color-scheme: dark) {{
    :root {{ --ink: #e8edf7; --soft: #9aa7c2; --paper: #0d1320; --card: #151d2e; --line: #26314a; --accent: #6ea8ff; }}
  }}
  body {{ margin: 0; min-height: 100vh; display: grid; place-items: center; background: var(--paper); color: var(--ink);
         font: 16px/1.6 system-ui, sans-serif; }}
  main {{ width: min(32rem, 88vw); padding: 2.5rem; background: var(--card); border: 1px solid var(--line); border-radius: 16px; box-sizing: border-box; }}
  h1 {{ margin: 0 0 .5rem; font-size: 2rem; line-height: 1.2; }}
  p {{ margin: 0 0 1.5rem; color: var(--soft); }}
  dl {{ display: grid; grid-template-columns: max-content 1fr; gap: .25rem 1.5rem; margin: 0; border-top: 1px solid var(--line); padding-top: 1.25rem; }}
  dt {{ color: var(--soft); }}
  dd {{ margin: 0; font-family: ui-monospace, monospace; overflow-wrap: anywhere; }}
  b {{ color: var(--accent); }}
</style>
<main>
  <h1>{greeting}</h1>
  <p>This page comes from <b>hello</b>, an app of one file. Set the config var <code>GREETING</code> and it will say something else.</p>
  <dl>
    <dt>Instance</dt><dd>{instance}</dd>
    <dt>Python</dt><dd>{python}</dd>
    <dt>Path</dt><dd>{path}</dd>
  </dl>
</main>
</html>
"""


class Hello(BaseHTTPRequestHandler):
    """A handler that answers every GET with the page."""

    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        values = {
            "greeting": os.environ.get("GREETING", "Hello from Slipway"),
            "instance": platform.node(),
            "python": platform.python_version(),
            "path": self.path,
        }
        body = PAGE.format(**{name: escape(value) for name, value in values.items()}).encode()
        self.send_response(200)
        self.send_header("Content-Type", "text/html; charset=utf-8")
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)


class Server(ThreadingHTTPServer):
    request_queue_size = 128


def stop(_signal: int, _frame: FrameType | None) -> None:
    sys.exit(0)


if __name__ == "__main__":
    signal.signal(signal.SIGTERM, stop)
    port = int(os.environ["PORT"])
    print(f"hello listens on port {port}", flush=True)
    Server(("0.0.0.0", port), Hello).serve_forever()
