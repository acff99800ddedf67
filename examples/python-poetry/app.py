"""A world clock."""

from datetime import datetime
from zoneinfo import ZoneInfo, available_timezones

from flask import Flask, abort, render_template_string

app = Flask(__name__)
PLACES = ("Pacific/Auckland", "Asia/Tokyo", "Africa/Nairobi", "Europe/Lisbon", "America/Bogota")
PAGE = """<!doctype html>
<html lang="en"><meta charset="utf-8"><meta name="viewport" content="width=device-width, initial-scale=1">
<title>World clock</title>
<style>body { font: 1.1rem/1.6 system-ui; margin: 3rem auto; max-width: 28rem; padding: 0 1rem } dt { color: #567 } dd { margin: 0 0 .8rem; font-size: 1.6rem }</style>
<h1>World clock</h1>
<dl>{% for place, time in times %}<dt><a href="/{{ place }}">{{ place }}</a></dt><dd>{{ time }}</dd>{% endfor %}</dl>
"""


def time_in(place: str) -> str:
    return f"{datetime.now(ZoneInfo(place)):%H:%M, %A}"


@app.get("/")
def all_places():
    return render_template_string(PAGE, times=[(place, time_in(place)) for place in PLACES])


@app.get("/<path:place>")
def one_place(place: str):
    if place not in available_timezones():
        abort(404)
    return render_template_string(PAGE, times=[(place, time_in(place))])
