"""The attacker's app: it runs a program of its folder for some seconds, and shows the output.

GET /start/NAME/SECONDS/OUTPUT/WORD starts a program. GET /result/OUTPUT answers 404 until the
program has ended. Any other path answers "ready".
"""

import os
import subprocess
import tempfile
from http.server import BaseHTTPRequestHandler, HTTPServer

HERE = os.path.dirname(os.path.abspath(__file__))
PLACE = tempfile.mkdtemp()
CONSOLE = os.dup(1)  # the app's own log, for the program that floods it


class Weapon(BaseHTTPRequestHandler):
    def do_GET(self):
        words = self.path.strip("/").split("/")
        if words[0] == "start":
            script = (
                f"timeout -k 1 {int(words[2]) + 4} python3 {HERE}/{words[1]}.py {words[2]}"
                f" {words[4]} > {PLACE}/{words[3]} 2>&1; mv {PLACE}/{words[3]}"
                f" {PLACE}/{words[3]}.done"
            )
            subprocess.Popen(
                ["setsid", "sh", "-c", script],
                pass_fds=(CONSOLE,),
                env={**os.environ, "CONSOLE": str(CONSOLE)},
            )
            return self.answer(200, b"started")
        if words[0] == "result":
            try:
                with open(f"{PLACE}/{words[1]}.done", "rb") as file:
                    return self.answer(200, file.read()[-20_000:])
            except OSError:
                return self.answer(404, b"not yet")
        return self.answer(200, b"ready")

    def answer(self, status, body):
        self.send_response(status)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def log_message(self, *words):
        pass


HTTPServer(("0.0.0.0", int(os.environ["PORT"])), Weapon).serve_forever()
