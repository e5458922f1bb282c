#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What docs/SYSTEMD.md says, step by step as recipes.py wrote it: every command ends as it has to, recipes.verify compares what it
# printed. `$` is alice, who has a service manager as if she had logged in.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

useradd --create-home --shell /bin/bash alice
loginctl enable-linger alice
uid=$(id -u alice)
wait_for 60 test -S "/run/user/$uid/bus"
install -o alice -m 600 /srv/images/data.qcow2 /home/alice/disk.qcow2
mkdir /results/steps
export LC_ALL=C.UTF-8 SYSTEMD_COLORS=0 SYSTEMD_PAGER=cat COLUMNS=200

# type_as FILE: the shell of the user that FILE's name ends with.
type_as() {
    local as=()
    [ "${1##*.}" = root ] ||
        as=(setpriv --reuid=alice --regid=alice --init-groups env HOME=/home/alice USER=alice "XDG_RUNTIME_DIR=/run/user/$uid")
    (cd "$([ "${1##*.}" = root ] && echo /root || echo /home/alice)" && timeout 120 "${as[@]}" bash --norc "$1" </dev/null)
}

# write_file FILE: what recipes.py made of a file; ~ is alice's.
write_file() {
    local path
    path=$(head -n 1 "$1")
    path=${path/#\~/\/home\/alice}
    mkdir -p "$(dirname "$path")"
    tail -n +2 "$1" >"$path"
    [[ $path != /home/* ]] || chown -R alice: /home/alice
}

for step in /payload/steps/*; do
    number=$(basename "${step%.*}")
    case $step in
    *.refused) continue ;;
    *.file) write_file "$step" ;;
    *)
        status=0
        start=${EPOCHREALTIME/./}
        type_as "$step" >"/results/steps/$number.out" 2>&1 || status=$?
        if [ "$status" = 0 ]; then seen='done'; else seen=refused; fi
        wanted='done'
        [ ! -e "${step%.*}.refused" ] || wanted=refused
        if [ "$seen" != "$wanted" ]; then
            cat "$step" "/results/steps/$number.out"
            fail "step $number ends with $status"
        fi
        echo "$(((${EPOCHREALTIME/./} - start) / 1000)) ms: $(head -n 1 "$step")"
        ;;
    esac
done
