"""Asking an instance whether it is ready: one GET on its health path, as a visitor's request would arrive."""

from __future__ import annotations

import http.client
from collections.abc import Callable

from runtime.converge.explain import Answer

PATIENCE = 5.0  # seconds for one answer; a first request may well fill caches
Ask = Callable[[str, int, str, str], Answer]


def ask(address: str, port: int, host: str, path: str) -> Answer:
    """GET `path` with `host` in the Host header. Follows no redirect: a 301 is an answer."""
    connection = http.client.HTTPConnection(address, port, timeout=PATIENCE)
    try:
        connection.request("GET", path, headers={"Host": host, "User-Agent": "slipway-health/1", "Accept": "*/*", "Connection": "close"})
        return Answer(status=connection.getresponse().status)
    except ConnectionRefusedError:
        return Answer(trouble="was refused")
    except TimeoutError:
        return Answer(trouble=f"got no answer within {PATIENCE:.0f} s")
    except (OSError, http.client.HTTPException) as error:
        return Answer(trouble=f"ended without an HTTP answer ({type(error).__name__})")
    finally:
        connection.close()
