# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
# Encrypted images: sourced by model.sh. qemu-img makes LUKS1 and qcow2 with LUKS or AES, and reads what we wrote; cryptsetup makes LUKS1 and
# LUKS2, and decrypts what we wrote. What programs of the tests answer for a passphrase is in fake/secret.h.
SECRET=(--object "secret,id=s,data=rawview")

# patiently COMMAND…: QEMU measures how fast this machine is to choose a number of iterations, and gives up when it is too fast or too busy.
patiently()
{
    for _ in {1..20}; do
        "$@" >"$W/out/patiently" 2>&1 && return
    done
    fail "$*: $(cat "$W/out/patiently")"
}

# opened IMAGE: as qemu-img is told how to open it.
opened()
{
    local key=key-secret
    [[ $KIND == luks ]] || key=encrypt.key-secret
    echo "driver=$KIND,$key=s,file.filename=$1"
}

# encrypted_trial IMAGE OPTION…: as trial, with a passphrase.
encrypted_trial()
{
    local image=$1 seed
    shift
    qemu-img convert "${SECRET[@]}" --image-opts "$(opened "$image")" -O raw "$W/out/before"
    "$DUMP_NODE" -f "$KIND" -j 4 "$image" "$W/out/ours"
    cmp "$W/out/before" "$W/out/ours" || fail "read otherwise than by qemu-img"
    for seed in $SEEDS; do
        "$RANDOM_OPS" -f "$KIND" -m "$W/out/before" -o "$W/out/model" -s "$seed" -n "$OPERATIONS" "$@" "$image" ||
            fail "random-ops -s $seed $*"
        [[ $KIND == luks ]] || qemu-img check "${SECRET[@]}" --image-opts "$(opened "$image")" >"$W/out/check" 2>&1 ||
            fail "$image is not sound: $(tail -n 30 "$W/out/check")"
        qemu-img convert "${SECRET[@]}" --image-opts "$(opened "$image")" -O raw "$W/out/after"
        cmp "$W/out/model" "$W/out/after" || fail "$image does not hold what it should"
        mv "$W/out/model" "$W/out/before"
    done
}

# info_is_qemus IMAGE: `rawview info` says what qemu-img says.
info_is_qemus()
{
    qemu-img info --output=json "$1" | jq -S '."format-specific", .encrypted, ."virtual-size"' >"$W/out/info.qemu"
    "$RAWVIEW" info --output=json "$1" | jq -S '."format-specific", .encrypted, ."virtual-size"' >"$W/out/info.ours"
    cmp "$W/out/info.qemu" "$W/out/info.ours" || fail "$(diff "$W/out/info.qemu" "$W/out/info.ours")"
}

group_luks()
{
    local options
    KIND=luks
    python3 "$HERE/mixture.py" "$W/out/source" 3
    SEEDS=1
    for options in cipher-alg=aes-256 cipher-alg=aes-256,cipher-mode=cbc,ivgen-alg=essiv,ivgen-hash-alg=sha256 \
        cipher-alg=aes-128,cipher-mode=cbc,ivgen-alg=plain,hash-alg=sha1 cipher-alg=aes-128,cipher-mode=ecb,hash-alg=sha512 \
        cipher-alg=serpent-256 cipher-alg=twofish-256,hash-alg=ripemd160 cipher-alg=cast5-128,cipher-mode=cbc,ivgen-alg=plain64; do
        begin "luks, $options"
        patiently qemu-img convert "${SECRET[@]}" -O luks -o "key-secret=s,iter-time=10,$options" "$W/out/source" a
        info_is_qemus a
        encrypted_trial a -d -u 512
    done
    begin "luks, eight threads and other sizes"
    patiently qemu-img convert "${SECRET[@]}" -O luks -o key-secret=s,iter-time=10 "$W/out/source" a
    encrypted_trial a -d -r -u 512 -j 8 -t 4194304
    begin "luks, an odd end"
    patiently qemu-img convert "${SECRET[@]}" -O luks -o key-secret=s,iter-time=10 "$W/out/source" a
    truncate -s -100 a
    encrypted_trial a -u 512
}

# decrypted_is FILE: cryptsetup takes the encryption off the image `a`, and what is left is that.
decrypted_is()
{
    cryptsetup reencrypt --decrypt --force-offline-reencrypt --header header --key-file "$W/out/key" --batch-mode a >"$W/out/cryptsetup" 2>&1 ||
        fail "cryptsetup: $(cat "$W/out/cryptsetup")"
    cmp -n "$(stat -c %s "$1")" "$1" a || fail "cryptsetup reads something else"
}

# cryptsetup makes it, at little cost.
format_luks2()
{
    truncate -s 20M a
    cryptsetup luksFormat --type luks2 --batch-mode "$@" a "$W/out/key"
}

group_luks2()
{
    local size kdf
    need cryptsetup
    KIND=luks
    (umask 077 && printf rawview >"$W/out/key")
    SEEDS=1
    while read -r size kdf; do
        begin "luks2, sectors of $size, $kdf"
        # shellcheck disable=SC2086
        format_luks2 --sector-size "$size" --pbkdf $kdf
        "$DUMP_NODE" -f luks a "$W/out/before"
        "$RANDOM_OPS" -f luks -m "$W/out/before" -o "$W/out/model" -n "$OPERATIONS" -d -u 512 a || fail "random-ops"
        decrypted_is "$W/out/model"
    done <<'END'
512 pbkdf2 --pbkdf-force-iterations 1000
1024 argon2i --pbkdf-memory 32768 --pbkdf-force-iterations 4 --pbkdf-parallel 1
2048 argon2id --pbkdf-memory 32768 --pbkdf-force-iterations 4 --pbkdf-parallel 2
4096 argon2id --pbkdf-memory 65536 --pbkdf-force-iterations 4 --pbkdf-parallel 4
END
    begin "luks2, another cipher"
    format_luks2 --cipher aes-cbc-essiv:sha256 --key-size 256 --hash sha512 --pbkdf pbkdf2 --pbkdf-force-iterations 1000
    "$DUMP_NODE" -f luks a "$W/out/before"
    "$RANDOM_OPS" -f luks -m "$W/out/before" -o "$W/out/model" -n "$OPERATIONS" -d -u 512 a || fail "random-ops"
    decrypted_is "$W/out/model"
    begin "luks1 by cryptsetup"
    truncate -s 6M a
    cryptsetup luksFormat --type luks1 --batch-mode --pbkdf-force-iterations 1000 a "$W/out/key"
    encrypted_trial a -d -u 512
}

group_qcow2_luks()
{
    local options
    SEEDS=1
    for options in compat=1.1 cluster_size=4k extended_l2=on,cluster_size=16k compat=0.10,cluster_size=64k; do
        begin "qcow2 with LUKS, $options"
        patiently qemu-img create -f qcow2 "${SECRET[@]}" -o "encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,$options" a 8M
        info_is_qemus a
        qemu-io "${SECRET[@]}" --image-opts "$(opened a)" -c 'write -P 7 100k 300k' -c 'write -z 300k 64k' >"$W/out/io"
        encrypted_trial a -d -r -u 65536
    done
    begin "qcow2 with LUKS, snapshots and eight threads"
    patiently qemu-img create -f qcow2 "${SECRET[@]}" -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10,cluster_size=4k a 4M
    qemu-io "${SECRET[@]}" --image-opts "$(opened a)" -c 'write -P 7 100k 300k' >"$W/out/io"
    qemu-img snapshot "${SECRET[@]}" --image-opts -c one "$(opened a)"
    encrypted_trial a -d -j 8 -u 4096
    for options in compat=1.1 cluster_size=4k; do
        begin "qcow2 with AES, $options"
        qemu-img create -q -f qcow2 "${SECRET[@]}" -o "encrypt.format=aes,encrypt.key-secret=s,$options" a 8M
        info_is_qemus a
        qemu-io "${SECRET[@]}" --image-opts "$(opened a)" -c 'write -P 7 100k 300k' -c 'write -z 300k 64k' -c 'write -P 9 5M 1k' >"$W/out/io"
        qemu-img convert "${SECRET[@]}" --image-opts "$(opened a)" -O raw "$W/out/before"
        "$DUMP_NODE" -f qcow2 -j 4 -c 5000 a "$W/out/ours"
        cmp "$W/out/before" "$W/out/ours" || fail "read otherwise than by qemu-img"
    done
    KIND=qcow
    begin "qcow with AES"
    qemu-img create -q -f qcow "${SECRET[@]}" -o encrypt.format=aes,encrypt.key-secret=s a 8M
    qemu-io "${SECRET[@]}" --image-opts "$(opened a)" -c 'write -P 7 100k 300k' -c 'write -P 9 5M 1k' >"$W/out/io"
    qemu-img convert "${SECRET[@]}" --image-opts "$(opened a)" -O raw "$W/out/before"
    "$DUMP_NODE" -f qcow -j 4 -c 5000 a "$W/out/ours"
    cmp "$W/out/before" "$W/out/ours" || fail "read otherwise than by qemu-img"
}
