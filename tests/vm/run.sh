#!/bin/bash
# `make test-vm`: checks the host, builds the guest where needed, runs job.sh in it. Usage: run.sh [TEST...] (default: what job.sh names)
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
image=${SLIPWAY_VM_IMAGE:-$here/../../var/vm}

missing=()
for need in qemu-system-x86_64:qemu-system-x86 mmdebstrap:mmdebstrap depmod:kmod cpio:cpio mke2fs:e2fsprogs; do
    command -v "${need%%:*}" > /dev/null || missing+=("${need##*:}")
done
if [ ${#missing[@]} -gt 0 ]; then
    echo "The guest needs ${missing[*]}: installing." >&2
    apt-get install -y -q=2 --no-install-recommends "${missing[@]}"
fi

(cd "$here/../.." && python3 -m workers.setup check) # uv, which fills the guest's Python
"$here/build-image.sh" "$image"
job=$(mktemp)
trap 'rm -f "$job"' EXIT
{ [ $# -gt 0 ] && echo "SLIPWAY_VM_TESTS='$*'"; cat "$here/job.sh"; } > "$job"
"$here/boot.sh" "$image" "$job"
