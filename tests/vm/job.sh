#!/bin/bash
# The job that `make test-vm` gives to the guest: tests of the runtime and the kernel under systemd
# and cgroup v2. It measures no times.
set -euo pipefail
mkdir /root/slipway
if [ -b /dev/vdb ]; then # stacks that the host has made for its own tests
    mkdir -p /var/cache/slipway/tests
    mount /dev/vdb /var/cache/slipway/tests
    export TMPDIR=/var/cache/slipway/tests/tmp # the tests' states there link those files; another disk would need copies
fi
cd /host
cp -r runtime tests /root/slipway/
cd /root/slipway
packages=$(python3 -c 'import site; print(site.getsitepackages()[0])') # a confined helper's environment has no PYTHONPATH
mkdir -p "$packages"
echo /opt/python > "$packages/slipway.pth"
export PYTHONPATH=/root/slipway:/opt/python PYTHONDONTWRITEBYTECODE=1 LANG=C.UTF-8
echo "guest: kernel $(uname -r), $(stat -fc %T /sys/fs/cgroup), controllers $(cat /sys/fs/cgroup/cgroup.controllers), in $(cut -d: -f3 /proc/self/cgroup)"
# The runtime does not use Django, and neither does this run of its tests: it has its own settings,
# without those of the portal's tests.
cat > pytest.ini <<'INI'
[pytest]
addopts = --import-mode=importlib --strict-markers -ra
pythonpath = .
timeout = 900
markers = slow: takes more than ten seconds
INI
tests=${SLIPWAY_VM_TESTS:-tests/runtime/containers tests/runtime/network tests/runtime/converge tests/runtime/engines/test_commits.py}
# shellcheck disable=SC2086 # several paths
python3 -m pytest -p no:django -p no:cacheprovider -v --color=no --tb=short $tests
