#!/bin/bash
# The job of `make test-vm ARGS=up`: the steps of the README for a new user, where systemd is PID 1.
# The platform answers, and leaves nothing.
set -meuo pipefail # m: background jobs receive Ctrl-C
export HOME=/root LANG=C.UTF-8
# pip, uv and Node use their own authorities. Here they use those of the host, which may have a
# proxy with its own authority.
for name in PIP_CERT SSL_CERT_FILE NODE_EXTRA_CA_CERTS; do export "$name=/etc/ssl/certs/ca-certificates.crt"; done

main() {
    git config --global safe.directory '*' # the host's files belong to the user who cloned them
    git clone -q file:///host /root/slipway
    cd /root/slipway
    footprint > /root/before
    up
    answers
    echo "== Ctrl-C, and make up again"
    kill -INT -- "-$making"
    wait "$making" || true
    up
    answers
    echo "== make down"
    make down
    wait "$making" || true
    for _ in $(seq 60); do # network namespaces and cgroups disappear shortly after their removal
        footprint > /root/after
        cmp -s /root/before /root/after && break
        sleep 1
    done
    diff /root/before /root/after
    echo "nothing is left"
}

up() { # in a session's scope, as from a terminal; until the last line, which has the example's address
    : > /root/up.log # before the first check, which must not find the last line of an earlier start
    systemd-run --quiet --scope --slice=user.slice make up > /root/up.log 2>&1 &
    making=$!
    until grep -q 'http://hello\.' /root/up.log; do
        kill -0 "$making" 2> /dev/null || { cat /root/up.log; exit 1; }
        sleep 1
    done
    cat /root/up.log
}

answers() {
    curl -sS --fail --location -o /dev/null -w 'the portal: %{http_code}\n' http://localhost:8080/
    curl -sS --fail -H 'Host: hello.slipway.localhost' -o /dev/null -w 'the example: %{http_code}\n' http://127.0.0.1:8080/
}

footprint() {
    python3 -B -c 'from tests.system.support.footprint import footprint; print(*sorted(footprint("slipway")), sep="\n")'
}

main
