"""Two lanes of tests, side by side: what `make test` adds to pytest-xdist, as its plugin. A plain `pytest` knows none of this.

A file is of one lane, and so are folders whose tests share something dear, or something that a machine has once.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import NodeManager

TOGETHER = (
    "tests/runtime/builds/",  # a node, and what earlier builds left on its shelf
    "tests/runtime/network/",  # the "outside" has one address
    "tests/system/",  # a platform, which the last test takes down
    "tests/workers/",  # a node and its router
)
ORDER = (  # what takes longest begins first, but for the platform, which waits until the languages are made
    "tests/architecture/",
    "tests/runtime/builds/",
    "tests/runtime/",
    "tests/system/",
    "tests/workers/",
    "tests/",
)
NodeManager.EXIT_TIMEOUT = 120  # seconds: after Ctrl-C a lane takes its platform down, for which the usual ten are too few


class Lanes(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return next((folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0])


def pytest_xdist_make_scheduler(config, log) -> Lanes:
    config.option.loadscopereorder = False  # the order is ours, not that of how many tests a file has
    return Lanes(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(key=lambda item: next((place for place, folder in enumerate(ORDER) if item.nodeid.startswith(folder)), len(ORDER)))
