#!/bin/bash
# The job of `make test-vm ARGS=install`: the platform as systemd units. It answers, is restarted
# when killed, and leaves nothing. It runs where systemd is PID 1 and the machine is disposable. The
# environment may give the settings of .env.example.
set -Eeuo pipefail # E: the trap below is for functions too
export HOME=/root LANG=C.UTF-8
# pip, uv and Node use their own authorities. Here they use those of the host, which may have a
# proxy with its own authority.
for name in PIP_CERT SSL_CERT_FILE NODE_EXTRA_CA_CERTS; do export "$name=/etc/ssl/certs/ca-certificates.crt"; done
name=${SLIPWAY_NAME:-slipway}
run=${SLIPWAY_RUN:-/run/slipway}
state=${SLIPWAY_STATE:-/var/lib/slipway}
port=${SLIPWAY_HTTP_PORT:-8080}
units=slipway
[ "$name" = slipway ] || units=slipway-$name
all="redis router portal worker-build worker-node supervisor"
trap 'systemctl list-units --all --no-pager "$units*"; journalctl --no-pager --lines=150 --unit="$units*"' ERR

main() {
    git config --global safe.directory '*' # the host's files belong to the user who cloned them
    git clone -q "${CLONED:-file:///host}" /root/slipway
    cd /root/slipway
    footprint > /root/before
    echo "== make install"
    make install
    answers
    make status
    echo "== the exposure levels of systemd"
    for unit in portal router redis; do systemd-analyze security --no-pager "$units-$unit" | grep Overall; done
    systemd-analyze security --no-pager --threshold=50 "$units-portal" > /dev/null
    systemd-analyze security --no-pager --threshold=50 "$units-router" > /dev/null
    echo "== the workers cannot write to the machine"
    for unit in worker-build worker-node supervisor; do
        pid=$(main_pid "$unit")
        for folder in / /etc /usr /root /home /var /run /root/slipway; do
            if nsenter "--mount=/proc/$pid/ns/mnt" touch "$folder/written" 2> /dev/null; then
                echo "$unit could write to $folder"
                exit 1
            fi
        done
        echo "$unit: $(grep CapBnd "/proc/$pid/status")"
    done
    echo "== kill -9 of each; apps continue to run"
    apps=$(app_pids)
    for unit in $all; do
        pid=$(main_pid "$unit")
        kill -9 "$pid"
        until [ "$(main_pid "$unit")" != "$pid" ] && systemctl is-active --quiet "$units-$unit"; do sleep 1; done
        echo "$units-$unit is back"
    done
    systemctl restart "$units-router" "$units-worker-node"
    until_answers
    [ "$(app_pids)" = "$apps" ]
    echo "== make up with installed units; make install again"
    make up
    make install
    answers
    [ "$(app_pids)" = "$apps" ]
    echo "== make down, and a start as after a reboot"
    make down
    [ ! -e "$run" ]
    [ -z "$(app_pids)" ]
    systemctl start "$units.target"
    until_answers
    echo "== make uninstall"
    make uninstall
    [ -z "$(find /etc/systemd/system -name "$units*")" ]
    [ -z "$(systemctl list-units --all --no-legend "$units*")" ]
    [ -e "$state/.slipway" ]
    for _ in $(seq 60); do # network namespaces and cgroups disappear shortly after their removal
        footprint > /root/after
        cmp -s /root/before /root/after && break
        sleep 1
    done
    diff /root/before /root/after
    echo "only the state is left"
}

main_pid() {
    systemctl show --value --property=MainPID "$units-$1"
}

app_pids() { # of every instance, of cgroup v1 or v2
    find /sys/fs/cgroup -path "*/$name/team*" -name cgroup.procs -exec cat {} + | sort -nu
}

answers() {
    curl -sS --fail --location -o /dev/null -w 'the portal: %{http_code}\n' "http://localhost:$port/" \
        && curl -sS --fail -H 'Host: hello.slipway.localhost' -o /dev/null -w 'the example: %{http_code}\n' "http://127.0.0.1:$port/"
}

until_answers() {
    for _ in $(seq 300); do
        answers > /dev/null 2>&1 && break
        sleep 1
    done
    answers
}

footprint() {
    python3 -B -c "from tests.system.support.footprint import footprint; print(*sorted(footprint('$name')), sep='\n')"
}

main
