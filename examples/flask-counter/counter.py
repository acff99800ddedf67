"""A counter of visits, in memory: a new release starts at zero."""

import threading

from flask import Flask, Response, redirect, render_template, url_for


class Counter:
    """A counter. The app has one process with threads (see Procfile), so there is one number."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self.reset()

    def reset(self) -> None:
        with self._lock:
            self.visits = 0

    def visit(self) -> int:
        with self._lock:
            self.visits += 1
            return self.visits


app = Flask(__name__)
counter = Counter()


@app.get("/")
def page() -> str:
    return render_template("counter.html", number=counter.visit())


@app.get("/count")
def count() -> dict[str, int]:
    return {"visits": counter.visits}


@app.post("/reset")
def reset() -> Response:
    counter.reset()
    return redirect(url_for("page"), code=303)
