"""A web page with a saying for each day."""

import os
from datetime import date

import bottle

SAYINGS = (
    "A smooth sea never made a skilled sailor.",
    "Worse things happen at sea.",
    "Any port in a storm.",
    "You cannot direct the wind, but you can adjust your sails.",
)
app = bottle.Bottle()


@app.get("/")
def today() -> str:
    saying = SAYINGS[date.today().toordinal() % len(SAYINGS)]
    return bottle.template(
        "<!doctype html><title>A saying</title><h1>{{saying}}</h1><p><a href='/all.json'>all of"
        " them</a></p>",
        saying=saying,
    )


@app.get("/all.json")
def everything() -> dict[str, tuple[str, ...]]:
    return {"sayings": SAYINGS}


if __name__ == "__main__":
    app.run(server="waitress", host="0.0.0.0", port=int(os.environ.get("PORT", "8000")))
