#!/bin/bash
# Checks the host, builds the guest if needed, and runs a job in it: `make test-vm`.
# Usage: run.sh [TEST...]  runs job.sh (default: the tests that it names)
#        run.sh up         runs up.sh
#        run.sh install    runs install.sh
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

link_stacks() { # $1: the stacks of the host's tests; $2: an empty folder. SLIPWAY_VM_STACKS="debian-13 ..." links only these
    local note name layer
    chmod 755 "$2"
    mkdir -p "$2/layers/ingest" "$2/cache/stacks" "$2/tmp"
    chmod 1777 "$2/tmp"
    cp -al "$1/images" "$2/"
    for note in "$1"/cache/stacks/*.json; do
        name=$(sed -n 's/^ *"name": "\(.*\)".*/\1/p' "$note")
        layer=$(sed -n 's/^ *"diff_id": "sha256:\(.*\)".*/\1/p' "$note")
        case " ${SLIPWAY_VM_STACKS:-$name} " in
            *" $name "*) cp -l "$note" "$2/cache/stacks/" && cp -al "$1/layers/$layer" "$1/layers/$layer.json" "$2/layers/" ;;
        esac
    done
}

(cd "$here/../.." && python3 -m workers.setup check) # uv, which installs the guest's Python packages
"$here/build-image.sh" "$image"
job=$(mktemp)
disk=$(mktemp)
stacks=
trap 'rm -rf "$job" "$disk" "$stacks"' EXIT
case "$*" in
    *tests/runtime/builds*) # it would take hours to build their stacks in the guest
        stacks=$(mktemp -d -p /var/cache/slipway)
        link_stacks /var/cache/slipway/tests "$stacks"
        truncate -s 8G "$disk"
        mke2fs -q -F -t ext4 -O ^has_journal -d "$stacks" "$disk"
        export SLIPWAY_VM_DISK=$disk
        ;;
esac
case "$*" in
    up | install) cat "$here/$*.sh" ;;
    *) echo "SLIPWAY_VM_TESTS='$*'" && cat "$here/job.sh" ;;
esac > "$job"
"$here/boot.sh" "$image" "$job" "${SLIPWAY_VM_SECONDS:-3600}"
