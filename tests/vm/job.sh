#!/bin/bash
# The job `make test-vm` gives to the guest: the kernel's side of the runtime under systemd and cgroup v2. No timings are read here.
set -euo pipefail
mkdir /root/slipway
if [ -b /dev/vdb ]; then # stacks that the host has made for its own tests
    mkdir -p /var/cache/slipway/tests
    mount /dev/vdb /var/cache/slipway/tests
    export TMPDIR=/var/cache/slipway/tests/tmp # the tests' own states there link those files, where another disk would need copies
fi
cd /host
cp -r runtime tests /root/slipway/
cd /root/slipway
packages=$(python3 -c 'import site; print(site.getsitepackages()[0])') # a confined helper's environment has no PYTHONPATH
mkdir -p "$packages"
echo /opt/python > "$packages/slipway.pth"
export PYTHONPATH=/root/slipway:/opt/python PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
echo "guest: kernel $(uname -r), $(stat -fc %T /sys/fs/cgroup), controllers $(cat /sys/fs/cgroup/cgroup.controllers), in $(cut -d: -f3 /proc/self/cgroup)"
# The runtime knows no Django, and neither does this run of its tests: settings of its own, less what the portal's tests need.
cat > pytest.ini <<'INI'
[pytest]
addopts = --import-mode=importlib --strict-markers -ra
pythonpath = .
timeout = 900
markers = slow: takes more than ten seconds
INI
tests=${SLIPWAY_VM_TESTS:-tests/runtime/containers tests/runtime/network tests/runtime/converge tests/runtime/engines/test_commits.py}
# shellcheck disable=SC2086  # several paths
python3 -m pytest -p no:django -p no:cacheprovider -v --color=no --tb=short $tests
