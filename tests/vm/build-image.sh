#!/bin/bash
# Builds a Debian 12 guest (systemd, only cgroup v2) from Debian packages: vmlinuz, initrd.gz and
# root.ext4 in OUT. It does nothing if OUT is already the result of this script and
# requirements.txt.
#
# Usage: build-image.sh OUT
set -euo pipefail

here=$(cd "$(dirname "$0")" && pwd)
project=$(cd "$here/../.." && pwd)
out=${1:?usage: build-image.sh OUT}
mkdir -p "$out"
out=$(cd "$out" && pwd)
work=$out/work

packages=systemd,systemd-sysv,udev,dbus,kmod,python3,ca-certificates,curl,git,procps,iproute2,iputils-ping,libseccomp2
packages+=,crun,conmon,catatonit,golang-github-containers-common,haproxy,redis-server,nftables,e2fsprogs,btrfs-progs,zstd,skopeo,openssl,make

key=$(cat "$here/build-image.sh" "$here/guest-run.sh" "$project/requirements.txt" | sha256sum | cut -d' ' -f1)
if [ "$(cat "$out/key" 2>/dev/null)" = "$key" ]; then exit 0; fi

main() {
    rm -f "$out/key"
    mkdir -p "$work"
    step "Debian packages" root_archive
    step "kernel and modules" kernel_tree
    step "Python packages" python_packages
    step "first file system" initrd
    step "root file system" root_image
    echo "$key" > "$out/key"
}

step() {
    echo "guest image: $1" >&2
    "$2"
}

root_archive() {
    local wanted
    wanted=$(echo "$packages" | sha256sum | cut -c1-16)
    [ -e "$work/root-$wanted.tar" ] && return
    rm -f "$work"/root-*.tar
    mmdebstrap --quiet --variant=apt --include="$packages" --aptopt='APT::Install-Recommends "false"' bookworm "$work/unfinished.tar"
    mv "$work/unfinished.tar" "$work/root-$wanted.tar"
}

kernel_tree() { # the generic kernel: the cloud kernel has no 9p
    [ -e "$work/kernel/done" ] && return
    rm -rf "$work/kernel" "$work/busybox" "$work"/*.deb
    local image
    image=$(apt-cache depends linux-image-amd64 | awk '/Depends:/ {print $2; exit}')
    (cd "$work" && apt-get download -q=2 -o APT::Sandbox::User=root "$image" busybox-static)
    dpkg-deb -x "$work"/linux-image-*.deb "$work/kernel"
    dpkg-deb -x "$work"/busybox-static*.deb "$work/busybox"
    depmod -b "$work/kernel" "$(ls "$work/kernel/lib/modules")"
    touch "$work/kernel/done"
}

python_packages() { # for Debian 12's Python 3.11, for any Python of the host
    rm -rf "$work/python"
    "$project/.venv/bin/uv" pip install --quiet --target "$work/python" --python-version 3.11 --python-platform x86_64-manylinux_2_36 \
        --only-binary :all: --requirement "$project/requirements.txt"
    rm -rf "$work/python/playwright/driver"
}

initrd() {
    local version tree=$work/initrd
    version=$(ls "$work/kernel/lib/modules")
    cp "$work/kernel/boot/vmlinuz-$version" "$out/vmlinuz"
    rm -rf "$tree"
    mkdir -p "$tree"/{bin,proc,sys,dev,newroot,modules}
    cp "$work/busybox/bin/busybox" "$tree/bin/"
    ln -s busybox "$tree/bin/sh"
    for module in virtio_pci virtio_blk ext4 crc32c_generic virtio_net 9p 9pnet_virtio overlay; do
        modprobe -d "$work/kernel" -S "$version" --show-depends "$module" | awk '$1 == "insmod" {print $2}'
    done | awk '!seen[$0]++' | while read -r file; do
        cp "$file" "$tree/modules/"
        basename "$file" >> "$tree/modules/order"
    done
    cat > "$tree/init" <<'INIT'
#!/bin/sh
/bin/busybox --install -s /bin
mount -t proc proc /proc; mount -t sysfs sysfs /sys; mount -t devtmpfs dev /dev
while read -r module; do insmod "/modules/$module"; done < /modules/order
tries=0; while [ ! -b /dev/vda ] && [ $tries -lt 50 ]; do sleep 0.1; tries=$((tries + 1)); done
mount -t ext4 -o noatime /dev/vda /newroot || exec sh
umount /proc /sys; mount --move /dev /newroot/dev; exec switch_root /newroot /sbin/init
INIT
    chmod +x "$tree/init"
    (cd "$tree" && find . | cpio -oH newc --quiet | gzip -1) > "$out/initrd.gz"
}

root_image() {
    local version tree=$work/root
    version=$(ls "$work/kernel/lib/modules")
    rm -rf "$tree"
    mkdir "$tree"
    tar -C "$tree" -xf "$work"/root-*.tar
    guest_modules "$tree/lib/modules/$version" "$work/kernel/lib/modules/$version"
    depmod -b "$tree" "$version"
    guest_settings "$tree/etc"
    guest_units "$tree"
    mkdir -p "$tree/opt/python"
    cp -a "$work/python/." "$tree/opt/python/"
    truncate -s 24G "$out/root.ext4"
    mke2fs -q -F -t ext4 -O ^has_journal -d "$tree" "$out/root.ext4"
    rm -rf "$tree"
}

guest_modules() {
    mkdir -p "$1/kernel"
    cp "$2"/modules.* "$1/"
    (cd "$2/kernel" && tar cf - fs/{9p,netfs,fscache,overlayfs,fuse,ext4,jbd2,squashfs,btrfs} fs/mbcache.ko lib crypto arch net \
        drivers/{virtio,block,net/veth.ko,net/dummy.ko,net/tun.ko,net/virtio_net.ko,net/net_failover.ko}) | tar -C "$1/kernel" -xf -
}

guest_settings() {
    echo guest > "$1/hostname"
    echo '127.0.0.1 localhost guest' > "$1/hosts"
    echo 'nameserver 10.0.2.3' > "$1/resolv.conf"
    printf '[Match]\nName=e*\n[Network]\nAddress=10.0.2.15/24\nGateway=10.0.2.2\n' > "$1/systemd/network/10.network"
    cp -L /etc/ssl/certs/ca-certificates.crt "$1/ssl/certs/"
}

guest_units() {
    local units=$1/etc/systemd/system unit
    install -m 755 "$here/guest-run.sh" "$1/usr/local/sbin/guest-run"
    printf '[Service]\nType=oneshot\nExecStart=/usr/local/sbin/guest-run\nDelegate=yes\n' > "$units/guest-run.service"
    mkdir -p "$units/multi-user.target.wants"
    ln -sf /etc/systemd/system/guest-run.service /lib/systemd/system/systemd-networkd.service "$units/multi-user.target.wants/"
    for unit in apt-daily.timer apt-daily-upgrade.timer e2scrub_all.timer e2scrub_reap.service fstrim.timer dpkg-db-backup.timer \
        systemd-timesyncd.service getty@tty1.service serial-getty@ttyS0.service systemd-networkd-wait-online.service \
        redis-server.service haproxy.service; do
        ln -sf /dev/null "$units/$unit"
    done
}

main
