# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash disable=SC2034
# Groups of model.sh for QED.

# over FORMAT NAME: how to name a file below whose format is to be known: QED itself can only say that it is raw.
over()
{
    echo "json:{\"driver\":\"$1\",\"file\":{\"driver\":\"file\",\"filename\":\"$2\"}}"
}

# info_as_qemu IMAGE: what both say of it is the same.
info_as_qemu()
{
    local filter='{format, "virtual-size": ."virtual-size", "cluster-size": ."cluster-size", encrypted, "backing-filename": ."backing-filename"}'
    "$RAWVIEW" info --output=json "$1" | jq -S "$filter" >"$W/out/info.ours"
    qemu-img info --output=json "$1" | jq -S "$filter" >"$W/out/info.qemu"
    cmp "$W/out/info.qemu" "$W/out/info.ours" || fail "another info: $(diff "$W/out/info.qemu" "$W/out/info.ours")"
}

# unclean IMAGE: it says that it needs a check.
unclean()
{
    (($(od -An -tu1 -j16 -N1 "$1") & 2))
}

group_qed()
{
    local options
    KIND=qed
    kind cluster_size=64k 20M -d -r -u 65536
    kind cluster_size=4k,table_size=2 20M -d -r -u 4096
    for options in cluster_size=64k cluster_size=2M,table_size=4; do
        begin "converted, $options"
        python3 "$HERE/mixture.py" "$W/out/source" 8
        qemu-img convert -f raw -O qed -o "$options" "$W/out/source" a
        info_as_qemu a
        trial a -d -u 4096
    done
    begin "threads"
    create -o cluster_size=4k,table_size=16 a 16M
    fill a
    trial a -j 8 -d -r -u 4096
}

group_qed_backing()
{
    local below size
    KIND=qed
    for below in 'base -F raw' "$(over qed base) -F qed" "$(over qcow2 base) -F qcow2"; do
        for size in 3M 12M; do
            begin "over $below, $size"
            qemu-img create -q -f "${below##* }" base 6M
            qemu-io -f "${below##* }" -c 'write -P 0x55 0 5M' -c 'write -z 1M 100k' base >/dev/null
            # shellcheck disable=SC2086
            create -o cluster_size=4k,table_size=2 -b $below a "$size"
            io a 'write -P 1 0 100k' 'write -P 2 2M 5k' 'write -z 256k 128k'
            info_as_qemu a
            sha256sum base >"$W/out/base"
            trial a -d -r -u 4096 -n 200
            sha256sum -c --quiet "$W/out/base" || fail "the backing file has changed"
        done
    done
}

# What was not closed cleanly is only read as it is, and repaired before somebody writes.
group_qed_unclean()
{
    local status
    KIND=qed
    begin "an image that needs a check"
    create a 10M
    qemu-io -f qed -c 'write -P 7 1M 64k' -c 'write -P 8 3M 100k' -c flush -c abort a >/dev/null 2>&1 || :
    unclean a || fail "QEMU has left it clean"
    sha256sum a >"$W/out/sum"
    [[ $("$RAWVIEW" info --output=json a | jq '."dirty-flag"') == true ]] || fail "info does not say so"
    "$RUN_OPS" -f qed -r a 'read 1M 64k 7' 'read 3M 100k 8' 'read 5M 1M 0' || fail "run-ops"
    sha256sum -c --quiet "$W/out/sum" || fail "reading has changed it"
    ops a 'read 1M 64k 7' 'write 2M 64k 9' flush
    unclean a && fail "it still needs a check"
    sound a
    ops -r a 'read 1M 64k 7' 'read 2M 64k 9'

    begin "entries that lead nowhere"
    create a 10M
    # QEMU puts the table behind the first data: then come three more clusters, of which two get lost.
    io a 'write -P 7 0 64k' 'write -P 7 64k 192k'
    truncate -s $(($(stat -c %s a) - 131072)) a
    printf '\2' | dd of=a bs=1 seek=16 conv=notrunc status=none
    sha256sum a >"$W/out/sum"
    "$RUN_OPS" -f qed -r a 'read 0 128k 7' 'read 128k 1M 0' || fail "run-ops"
    sha256sum -c --quiet "$W/out/sum" || fail "reading has changed it"
    status=0
    "$RAWVIEW" check a >"$W/out/check" || status=$?
    ((status == 2)) || fail "check ends with $status: $(cat "$W/out/check")"
    cp a b
    "$RAWVIEW" check -r all a >"$W/out/check" || fail "check -r all: $(cat "$W/out/check")"
    qemu-img check -f qed -r all b >"$W/out/check" || fail "qemu-img check -r all: $(cat "$W/out/check")"
    cmp a b || fail "repaired otherwise than by qemu-img"
    sound a
}
