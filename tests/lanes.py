"""Two lanes of tests at the same time: a plugin of pytest-xdist for `make test`.

A plain `pytest` does not use it. All tests of a file run in the same lane. So do folders whose
tests share something expensive, or something that a machine has only once.
"""

import pytest
from xdist.scheduler import LoadScopeScheduling
from xdist.workermanage import NodeManager

TOGETHER = (
    "tests/runtime/builds/",  # a node, and the layers that earlier builds left in its cache
    "tests/runtime/network/",  # the "outside" has only one address
    "tests/system/",  # a platform, which the last test takes down
    "tests/workers/",  # a node and its router
)
ORDER = (  # the longest first, but the platform waits until the languages are built
    "tests/architecture/",
    "tests/runtime/builds/",
    "tests/runtime/",
    "tests/system/",
    "tests/workers/",
    "tests/",
)
# seconds: after Ctrl-C a lane takes its platform down, and the default of ten is not enough
NodeManager.EXIT_TIMEOUT = 120


class Lanes(LoadScopeScheduling):
    def _split_scope(self, nodeid: str) -> str:
        return next(
            (folder for folder in TOGETHER if nodeid.startswith(folder)), nodeid.partition("::")[0]
        )


def pytest_xdist_make_scheduler(config, log) -> Lanes:
    config.option.loadscopereorder = False  # keep our order, not that by number of tests per file
    return Lanes(config, log)


@pytest.hookimpl(trylast=True)
def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    items.sort(
        key=lambda item: next(
            (place for place, folder in enumerate(ORDER) if item.nodeid.startswith(folder)),
            len(ORDER),
        )
    )
