"""The mark of tests that would harm the host if the code they test were wrong.

They run in the guest of `make test-vm`, or on request.
"""

import os
import socket

import pytest

# SLIPWAY_TEST_DANGER=1 is for a disposable machine.
ALLOWED = socket.gethostname() == "guest" or os.environ.get("SLIPWAY_TEST_DANGER") == "1"

dangerous = pytest.mark.skipif(
    not ALLOWED, reason="may change the host's own files: run it in the guest (make test-vm)"
)
