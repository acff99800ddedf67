"""The portal's settings for tests: this run's own state, in a folder that is deleted with it.

pytest-django imports this before any test or fixture, so the environment is set only here.
"""

import atexit
import base64
import os
import shutil
import tempfile
from pathlib import Path

_folder = Path(tempfile.mkdtemp(prefix="slipway-tests-"))
_folder.chmod(0o755)  # a process without root must reach its own files
atexit.register(shutil.rmtree, _folder, ignore_errors=True)

for _name in [
    name
    for name in os.environ
    if name.startswith("SLIPWAY_") or name in {"DATABASE_URL", "REDIS_URL"}
]:
    if not _name.startswith("SLIPWAY_TEST_"):
        del os.environ[_name]  # a developer's shell must not change the tests
os.environ["SLIPWAY_STATE"] = str(_folder / "state")
os.environ["SLIPWAY_RUN"] = str(_folder / "run")
os.environ["SLIPWAY_NAME"] = f"t{os.urandom(3).hex()}"  # the name of its cgroups
for _part in (
    "db",
    "git",
    "logs/apps",
    "logs/builds",
    "registry/received",
    "registry/uploads",
    "secrets",
    "sources",
):
    (_folder / "state" / _part).mkdir(parents=True)
(_folder / "run").mkdir()
for _name in ("django.key", "config.key"):
    (_folder / "state" / "secrets" / _name).write_bytes(base64.urlsafe_b64encode(os.urandom(32)))

from portal.settings import *  # noqa: E402, F403  # only after the environment is set

PASSWORD_HASHERS = [
    "django.contrib.auth.hashers.MD5PasswordHasher"
]  # a hundred sign-ins need not be slow
DATABASES["default"]["TEST"] = {  # noqa: F405
    "NAME": DATABASES["default"]["NAME"]  # noqa: F405
}  # a real file, which child processes open too
