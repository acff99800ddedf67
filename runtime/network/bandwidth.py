"""Bandwidth limits of a link, with a token bucket (tc-tbf(8)) at each end.

The one at the container's end limits what it sends; the one at the host's end, what it receives.
"""

from __future__ import annotations

import errno

from pyroute2 import IPRoute
from pyroute2.netlink.exceptions import NetlinkError

_ROOT = 0xFFFFFFFF  # TC_H_ROOT (linux/pkt_sched.h)
_HANDLE = 0x1_0000
_LEAST_BURST = 64 * 1024  # bytes: one full packet of segmentation offload
_WAIT = 0.1  # seconds that a packet may wait before it is dropped


def shape(route: IPRoute, index: int, bits_per_second: int) -> None:
    """Limit what is sent over a link, and replace an earlier limit; 0 means no limit.

    This also works while packets flow.
    """
    if not bits_per_second:
        _remove(route, index)
        return
    rate = max(bits_per_second // 8, 1)
    burst = max(rate // 100, _LEAST_BURST)
    route.tc(
        "replace",
        "tbf",
        index,
        handle=_HANDLE,
        parent=_ROOT,
        rate=rate,
        burst=burst,
        limit=burst + int(rate * _WAIT),
    )


def _remove(route: IPRoute, index: int) -> None:
    try:
        route.tc("del", index=index, parent=_ROOT)
    except NetlinkError as error:
        if error.code not in (errno.ENOENT, errno.EINVAL):  # there is no limit
            raise
