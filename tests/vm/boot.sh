#!/bin/bash
# Boots the guest once, runs JOB in it as root, shows its output at once, and exits with its code.
# Exit code 125: the guest did not finish.
#
# Usage: boot.sh IMAGE JOB [SECONDS]
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
image=${1:?usage: boot.sh IMAGE JOB [SECONDS]}
job=${2:?usage: boot.sh IMAGE JOB [SECONDS]}
seconds=${3:-3600}
exchange=$(mktemp -d)
trap 'rm -rf "$exchange"' EXIT
cp "$job" "$exchange/job.sh"

# Software emulation by default, 15 to 20 times slower: KVM inside another virtual machine often
# exists and does not work. KVM without the processor's support (PVM) runs only kernels made for it:
# the guest would hang without a message.
speed=(-accel tcg,thread=multi,tb-size=512 -cpu max)
if [ -n "${SLIPWAY_VM_KVM:-}" ]; then
    grep -qwE 'vmx|svm' /proc/cpuinfo || { echo "KVM has no help of the processor here (vmx, svm): leave out SLIPWAY_VM_KVM." >&2; exit 125; }
    speed=(-accel kvm -cpu host)
fi

# SLIPWAY_VM_DISK is a file with a file system: the guest's second disk. Changes to it are not kept.
disk=()
if [ -n "${SLIPWAY_VM_DISK:-}" ]; then
    disk=(-drive "file=$SLIPWAY_VM_DISK,if=none,id=more,format=raw,snapshot=on,cache=unsafe" -device virtio-blk-pci,drive=more)
fi

set +e
timeout --kill-after=5 "$seconds" qemu-system-x86_64 -M q35,usb=off,vmport=off "${speed[@]}" -smp "${SLIPWAY_VM_CPUS:-2}" -m "${SLIPWAY_VM_MEMORY:-3072}" \
    -nodefaults -no-user-config -display none -no-reboot -serial stdio \
    -kernel "$image/vmlinuz" -initrd "$image/initrd.gz" \
    -append "console=ttyS0 quiet loglevel=3 apparmor=0 mitigations=off nokaslr audit=0 systemd.show_status=0 tsc=reliable random.trust_cpu=on" \
    -drive file="$image/root.ext4",if=none,id=root,format=raw,snapshot=on,cache=unsafe,discard=unmap -device virtio-blk-pci,drive=root "${disk[@]}" \
    -netdev user,id=net -device virtio-net-pci,netdev=net,romfile= -device virtio-rng-pci \
    -virtfs local,path="$project",mount_tag=host,security_model=none,readonly=on,multidevs=remap \
    -virtfs local,path="$exchange",mount_tag=out,security_model=none < /dev/null
qemu=$?
set -e

if [ ! -e "$exchange/exit-code" ]; then
    echo "The guest did not finish in the $seconds s it has (qemu ended with $qemu). Its console is above." >&2
    exit 125
fi
exit "$(cat "$exchange/exit-code")"
