"""Address ranges that no interface of this machine has.

So test runs at the same time, or after a killed run, do not conflict.
"""

import json
import os
import secrets
from ipaddress import IPv4Network

from runtime.process import run

LANES = 5
_LANE = os.environ.get("PYTEST_XDIST_WORKER", "").removeprefix("gw")
# Lanes choose a range long before they have an interface, so each lane has its own numbers.
NUMBERS = range(200 + int(_LANE) % LANES, 250, LANES) if _LANE else range(200, 250)


def free_range() -> IPv4Network:
    """Return a random free range of 10.200.0.0/16 to 10.249.0.0/16."""
    links = json.loads(run(["ip", "-json", "-4", "address"]).stdout)
    taken = {
        int(address["local"].split(".")[1])
        for link in links
        for address in link["addr_info"]
        if address["local"].startswith("10.")
    }
    return IPv4Network(
        (f"10.{secrets.choice([number for number in NUMBERS if number not in taken])}.0.0", 16)
    )
