#!/bin/bash
# Makes the uv.lock of the examples that use one. A lock names the package index of this place, so none is in the repository.
# Usage: examples/lock.sh [UV]
set -euo pipefail
cd "$(dirname "$0")"
uv=${1:-$(command -v ../.venv/bin/uv uv | head -1)}
"$(realpath "$(command -v "$uv")")" lock --quiet --project fastapi-uv
