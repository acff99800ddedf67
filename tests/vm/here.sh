#!/bin/bash
# Runs install.sh on this machine instead of in the guest: minutes instead of hours. systemd is PID
# 1 of a PID namespace, in a temporary root in which only our units are started. Kernel, network and
# cgroups are this machine's own. The platform has its own name, and its objects are removed if the
# job fails.
set -euo pipefail

project=$(cd "$(dirname "$0")/../.." && pwd)
name=t$(od -An -N3 -tx1 /dev/urandom | tr -d ' ')
place=/var/cache/slipway/$name # next to the stacks that tests have built, which are linked into its state
settings=(SLIPWAY_NAME="$name" SLIPWAY_STATE="$place/state" SLIPWAY_HTTP_PORT=8481 SLIPWAY_NETWORK=10.199.0.0/16)

main() {
    [ -d /sys/fs/cgroup/systemd ] || {
        echo "This takes cgroup v1 with a hierarchy for systemd: use \`make test-vm ARGS=install\`." >&2
        exit 1
    }
    (cd "$project" && python3 -m workers.setup test)
    mkdir -p "$place"
    kept=$(sysctl net.unix.max_dgram_qlen fs.file-max | sed 's/ = /=/') # systemd raises them
    trap clean EXIT
    (cd "$project" && env "${settings[@]}" SLIPWAY_RUN="$place/run" .venv/bin/python -c '
from runtime.config import from_environment
from tests import warm
warm.seed(from_environment())')
    for hierarchy in /sys/fs/cgroup/*/; do # systemd uses the group that it is started in as its root
        mkdir -p "$hierarchy$name-boot"
        for file in cpuset.cpus cpuset.mems; do
            [ ! -e "$hierarchy$file" ] || cat "$hierarchy$file" > "$hierarchy$name-boot/$file"
        done
        echo $BASHPID > "$hierarchy$name-boot/cgroup.procs"
    done
    declare -f inside > "$place/inside.sh"
    env | grep -iE '^(PATH|[A-Z_]*_PROXY|(PIP|UV|NPM)_[A-Z_]*|[A-Z_]*CERT[A-Z_]*)=' > "$place/environment"
    unshare --mount --pid --ipc --uts --fork --kill-child --propagation private \
        bash -euo pipefail -c '. "$1/inside.sh"; inside "$@"' bash "$place" "$project" "${settings[@]}" || true # 130: it was powered off
    cat "$place/said"
    exit "$(cat "$place/exit-code")"
}

inside() { # PLACE PROJECT SETTING...
    local place=$1 project=$2 root=/mnt/root hierarchy
    shift 2
    mount -t tmpfs -o size=3g tmpfs /mnt
    mkdir /mnt/upper /mnt/work /mnt/cgroups $root
    mount -t overlay overlay -o lowerdir=/,upperdir=/mnt/upper,workdir=/mnt/work $root
    mount -t proc proc $root/proc
    mount --rbind /dev $root/dev
    mount --rbind /sys $root/sys
    for hierarchy in /sys/fs/cgroup/*/; do # in separate folders, which systemd makes read-only
        mkdir "/mnt/cgroups/$(basename "$hierarchy")"
        mount --bind "$hierarchy" "/mnt/cgroups/$(basename "$hierarchy")"
    done
    umount --lazy $root/sys/fs/cgroup
    mount -t tmpfs tmpfs $root/sys/fs/cgroup
    for hierarchy in /mnt/cgroups/*/; do
        mkdir "$root/sys/fs/cgroup/$(basename "$hierarchy")"
        mount --move "$hierarchy" "$root/sys/fs/cgroup/$(basename "$hierarchy")"
    done
    mount -t tmpfs tmpfs $root/run
    mount -t tmpfs -o mode=1777 tmpfs $root/tmp
    mkdir -p "$root$place" "$root/host"
    mount --rbind /var/cache/slipway $root/var/cache/slipway
    mount --bind "$project" $root/host
    rm -rf $root/lib/systemd/system/*.wants $root/etc/systemd/system/*.wants $root/{lib,etc}/systemd/system-generators $root/etc/fstab
    printf '[Unit]\nRequires=basic.target\nAfter=basic.target\nWants=systemd-journald.service job.service\n' > $root/etc/systemd/system/job.target
    cat > $root/etc/systemd/system/job.service << UNIT
[Service]
Type=oneshot
TimeoutStartSec=infinity
EnvironmentFile=-$place/environment
Environment=$* CLONED=file://$project
ExecStart=/bin/sh -c 'bash /host/tests/vm/install.sh > $place/said 2>&1; echo \$\$? > $place/exit-code; systemctl poweroff --force --force'
UNIT
    mkdir $root/old
    cd $root
    pivot_root . old
    exec chroot . sh -c 'umount -l /old; exec env -i container=here PATH=/usr/sbin:/usr/bin:/sbin:/bin /lib/systemd/systemd --unit=job.target --log-target=kmsg --log-level=warning'
}

clean() {
    local hierarchy
    sysctl --quiet --write $kept
    (cd "$project" && env "${settings[@]}" SLIPWAY_RUN="$place/run" python3 -m workers.setup down) > /dev/null
    for hierarchy in /sys/fs/cgroup/*/; do
        echo $$ > "${hierarchy}cgroup.procs"
        find "$hierarchy$name-boot" -depth -type d -exec rmdir {} + 2> /dev/null || true
    done
    rm -rf "$place"
}

main
