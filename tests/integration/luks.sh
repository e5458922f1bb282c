#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Encrypted images in the real service: the right passphrase, a wrong one, none; what is written is there for others; and no key is left in
# memory, nor a passphrase while the view is up.
#
# LOCKED: the folder with search-memory.py. SANITIZE: what the programs were built with.
. "$(dirname "$0")/lib.sh"
. "$HERE/features.sh"

need qemu-img cryptsetup jq
need_feature libgcrypt
make_programs
RAWVIEW=$W/bin/rawview
# No word of it stands in any program.
readonly PASSPHRASE='mu7ky-Gr0undhog'
readonly SECRET=(--object "secret,id=s,data=$PASSPHRASE")

end()
{
    "$RAWVIEW" umount "$W/mp"
    wait_until 20 no_view || fail "a process is left: $(pgrep --list-full rawview)"
    no_mount_left
}

no_view()
{
    ! pgrep '^rawview' >/dev/null
}

patiently()
{
    for _ in {1..20}; do
        "$@" >patiently 2>&1 && return
    done
    fail "$*: $(cat patiently)"
}

step prepare
fill_file disk 3M
: >mp
(
    umask 077
    printf %s "$PASSPHRASE" >key
    printf 'wr0ng-Gr0undhog' >key.wrong
)
patiently qemu-img convert "${SECRET[@]}" -O luks -o key-secret=s,iter-time=10 disk one.luks
patiently qemu-img convert "${SECRET[@]}" -O qcow2 -o encrypt.format=luks,encrypt.key-secret=s,encrypt.iter-time=10 disk one.qcow2
qemu-img convert "${SECRET[@]}" -O qcow2 -o encrypt.format=aes,encrypt.key-secret=s disk aes.qcow2
truncate -s 20M two.luks large.luks
cryptsetup luksFormat --type luks2 --batch-mode --pbkdf argon2id --pbkdf-memory 32768 --pbkdf-force-iterations 4 --pbkdf-parallel 4 two.luks key
# The most that cryptsetup takes by itself, and a worker has no more than that much for everything.
cryptsetup luksFormat --type luks2 --batch-mode --pbkdf argon2id --pbkdf-memory 1048576 --pbkdf-force-iterations 4 --pbkdf-parallel 4 large.luks key

step "the right passphrase"
for image in one.luks one.qcow2 aes.qcow2; do
    up view --key-file=key "$image" mp
    cmp mp disk || fail "$image: the view has other contents"
    end
done

step "Argon2, with more memory than a worker has afterwards"
up view --writable --key-file=key large.luks mp
dd if=disk of=mp bs=100000 conv=notrunc status=none
if [[ $SANITIZE == none ]]; then
    equal "addresses afterwards" "$(awk '/Max address space/ { print $4, $5 }' "/proc/$(worker_of "$(pid_of view)")/limits")" \
        "$((1040 << 20)) $((1040 << 20))"
fi
end
up view --key-file=key large.luks mp
cmp -n 3145728 mp disk || fail "it holds something else"
end

step "a wrong passphrase, and none"
for image in one.luks two.luks one.qcow2; do
    refused 1 "$image: (luks|qcow2): wrong passphrase \(from KeyFile=" "$RAWVIEW" mount --key-file=key.wrong "$image" mp
    refused 77 'no passphrase \(there is nobody to ask\)' "$W/bin/rawviewd" --path="$W/$image" --mount-point="$W/mp"
done
refused 1 'crypt_method 1 .AES., and such an image can only be opened read-only' "$RAWVIEW" mount --writable --key-file=key aes.qcow2 mp

step "what is written is there for qemu-img"
for image in one.luks one.qcow2; do
    up view --writable --key-file=key "$image" mp
    printf 'written through the view' | dd of=mp bs=1 seek=1234567 conv=notrunc status=none
    fallocate --punch-hole --offset 65536 --length 200000 mp
    cp mp expected
    end
    driver=luks,key-secret=s
    [[ $image == one.luks ]] || driver=qcow2,encrypt.key-secret=s
    qemu-img convert "${SECRET[@]}" --image-opts "driver=$driver,file.filename=$image" -O raw shown
    cmp expected shown || fail "$image: qemu-img sees something else"
done
cmp --ignore-initial=65536:0 --bytes=200000 expected /dev/zero || fail "what was discarded is not zero"

step "info and check need no passphrase"
for image in one.luks one.qcow2 aes.qcow2; do
    "$RAWVIEW" info --output=json "$image" | jq -S '."format-specific"' >ours
    qemu-img info --output=json "$image" | jq -S '."format-specific"' >theirs
    cmp ours theirs || fail "$image: $(diff ours theirs)"
done
"$RAWVIEW" info two.luks | grep -q 'luks version: 2' || fail "$("$RAWVIEW" info two.luks)"
"$RAWVIEW" check one.qcow2 >checked || fail "$(cat checked)"
"$RAWVIEW" check two.luks >checked || fail "$(cat checked)"
dd if=/dev/zero of=two.luks bs=1 seek=20000 count=1 conv=notrunc status=none
printf x | dd of=two.luks bs=1 seek=21000 conv=notrunc status=none
"$RAWVIEW" check two.luks >checked 2>&1 && fail "a damaged copy was not seen"
grep -q 'second copy of the header: its checksum is wrong' checked || fail "$(cat checked)"

[[ $SANITIZE == none ]] || {
    echo "   memory is left out: a sanitizer keeps copies of its own, and terabytes of addresses"
    STEP=end
    no_mount_left
    exit 0
}
# count_in FILE PID: how often its contents are in the memory of that process.
count_in()
{
    "$PYTHON" "$LOCKED/search-memory.py" "$1" "$2" | cut -d' ' -f2
}

step "nothing is left in memory"
cryptsetup luksDump --batch-mode --dump-master-key --key-file key --master-key-file volume-key one.luks >dump 2>&1 || fail "$(cat dump)"
printf %s "$W/one.luks" >known
up view -v --key-file=key one.luks mp
cmp mp disk >/dev/null || true
supervisor=$(pid_of view)
worker=$(worker_of "$supervisor")
for pid in "$supervisor" "$worker"; do
    (($(count_in known "$pid") > 0)) || fail "the memory of $(cat "/proc/$pid/comm") has no path"
    equal "the passphrase in $(cat "/proc/$pid/comm")" "$(count_in key "$pid")" 0
done
equal "the key of the disk in the supervisor" "$(count_in volume-key "$supervisor")" 0
# XTS takes its two keys apart: each is where the cipher is, which needs it, and nowhere else.
equal "the key of the disk in the worker" "$(count_in volume-key "$worker")" 0
end

STEP=end
no_mount_left
