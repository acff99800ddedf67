"""The tide as numbers, and a page that draws them with a script that Node.js compiled."""

import math
import time

from flask import Flask, jsonify, render_template

app = Flask(__name__)
PERIOD = 12.42 * 3600  # seconds; the moon's main tide


def height(moment: float) -> float:
    """Return the metres above the mean of an ideal harbour."""
    return 1.8 * math.sin(2 * math.pi * moment / PERIOD)


@app.get("/")
def page():
    return render_template("tide.html")


@app.get("/tide.json")
def tide():
    now = time.time()
    return jsonify([round(height(now + step * 900), 3) for step in range(100)])
