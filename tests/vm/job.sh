#!/bin/bash
# The job `make test-vm` gives to the guest: the kernel's side of the runtime under systemd and cgroup v2. No timings are read here.
set -euo pipefail
mkdir /root/slipway
cd /host
cp -r runtime tests pyproject.toml /root/slipway/
[ -d workers ] && cp -r workers platform manage.py /root/slipway/
cd /root/slipway
export PYTHONPATH=/root/slipway:/root/slipway/platform:/opt/python PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
echo "guest: kernel $(uname -r), $(stat -fc %T /sys/fs/cgroup), controllers $(cat /sys/fs/cgroup/cgroup.controllers), in $(cut -d: -f3 /proc/self/cgroup)"
python3 -m pytest -p no:cacheprovider -o timeout=900 -v --color=no --tb=short ${SLIPWAY_VM_TESTS:-tests/runtime/containers tests/runtime/network tests/runtime/converge}
