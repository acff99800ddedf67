#!/bin/bash
# Creates the uv.lock of the examples that use one. A lock names the machine's package index, so it is not in the repository.
# Usage: examples/lock.sh [UV]      UV: the program; by default that of .venv, else the first in PATH.
set -euo pipefail
folder=$(cd "$(dirname "$0")" && pwd)
for uv in "${1:-}" "$folder/../.venv/bin/uv" "$(command -v uv || true)"; do
    if [ -x "$uv" ]; then exec "$uv" lock --quiet --project "$folder/fastapi-uv"; fi
done
echo "There is no uv here: run \`make up\` or \`make test\` first, which install it." >&2
exit 1
