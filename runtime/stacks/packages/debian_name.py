"""Names of Debian packages (Debian policy 5.6.7). Pure.

mmdebstrap and apt also accept paths, patterns and versions in place of a name. They must not get
one. A trailing `-` would remove a package.
"""

from __future__ import annotations

import re

PACKAGE = re.compile(r"[a-z0-9][a-z0-9+.-]*[a-z0-9+]")


def is_package_name(text: str) -> bool:
    """Return whether the text is the name of a Debian package, and nothing else."""
    return len(text) <= 200 and PACKAGE.fullmatch(text) is not None
