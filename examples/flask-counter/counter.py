"""Counts its visits, in memory: a new release begins at zero again."""

import threading

from flask import Flask, Response, redirect, render_template, url_for

app = Flask(__name__)
lock = threading.Lock()
visits = 0


@app.get("/")
def page() -> str:
    global visits  # one process with threads (see Procfile), so one number
    with lock:
        visits += 1
        number = visits
    return render_template("counter.html", number=number)


@app.get("/count")
def count() -> dict[str, int]:
    return {"visits": visits}


@app.post("/reset")
def reset() -> Response:
    global visits
    with lock:
        visits = 0
    return redirect(url_for("page"), code=303)
