#!/bin/sh
# Run a command in a throw-away root: the host's files under a layer in memory, no network, no other process, no disk.
# Usage: unshare --mount --pid --fork --net --ipc --propagation private root.sh PLACE PROJECT RESULTS COMMAND...
# PLACE is an empty folder. What the command changes outside of /tmp and RESULTS appears at /mnt/changed.
set -eu
place=$1 project=$2 results=$3
shift 3

mount -t tmpfs -o mode=755,nodev,nosuid,size=1g fuzz "$place"
mkdir "$place/changed" "$place/work" "$place/root"
root=$place/root
mount -t overlay -o "nodev,nosuid,lowerdir=/,upperdir=$place/changed,workdir=$place/work" fuzz "$root"

for folder in tmp run mnt dev sys; do # nodev: a device that an example makes cannot be opened
    mount -t tmpfs -o mode=755,nodev,nosuid,size=1g "$folder" "$root/$folder"
done
mkdir -p "$root$project" "$root$results"
mountpoint -q "$root$project" || mount --bind -o ro "$project" "$root$project"
mount --bind "$results" "$root$results"
mount -t proc proc "$root/proc"
for part in sys sysrq-trigger; do
    [ -e "$root/proc/$part" ] || continue
    mount --bind "$root/proc/$part" "$root/proc/$part"
    mount -o remount,bind,ro "$root/proc/$part"
done
mount -t tmpfs -o mode=755,nosuid,size=1m dev "$root/dev"
for device in null zero full random urandom; do
    touch "$root/dev/$device"
    mount --bind "/dev/$device" "$root/dev/$device"
done
mkdir "$root/dev/shm" "$root/mnt/changed" "$root/mnt/host"
mount --bind "$place/changed" "$root/mnt/changed"
mount -o remount,bind,ro "$root/mnt/changed"

cd "$root"
pivot_root . mnt/host
umount --lazy /mnt/host
cd "$project"
exec setpriv --bounding-set -sys_module,-sys_boot,-sys_rawio,-sys_time --inh-caps -sys_module,-sys_boot,-sys_rawio,-sys_time -- "$@"
