# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# Images for the tests that write to qcow2, sourced after lib.sh.
#   image WHAT OPTIONS NAME SIZE   makes NAME.qcow2, and NAME.raw: the disk that it holds. NAME in the options of
#                                  qemu-img is the name. WHAT:
#       empty         nothing written yet
#       used          data, zeroes and discarded places
#       backing       over NAME.base.raw, which is shorter than the disk and ends within a cluster
#       chain         over NAME.middle.qcow2 over NAME.base.raw
#       snapshot      used, and all of that belongs to an internal snapshot as well
#       compressed    compressed clusters, next to each other in the file
#   kept NAME                      everything beside the disk that writing to it must not change: a text to compare
#   clean NAME                     qemu-img check finds nothing
#   clean_or_leaking NAME          it finds leaked clusters at most
#   holds NAME RAW                 the image's disk is RAW
#   written_and_clean NAME         clean, and it holds NAME.raw

image()
{
    local what=$1 name=$3 size=$4 with=()
    [[ -z $2 ]] || with=(-o "${2//NAME/$name}")
    rm -f "$name".*
    case $what in
        empty | used) qemu-img create -q -f qcow2 "${with[@]}" "$name.qcow2" "$size" ;;
        backing)
            fill_file "$name.base.raw" "$((size * 3 / 4 - 1536))"
            qemu-img create -q -f qcow2 "${with[@]}" -b "$name.base.raw" -F raw "$name.qcow2" "$size"
            ;;
        chain)
            fill_file "$name.base.raw" "$size"
            qemu-img create -q -f qcow2 -b "$name.base.raw" -F raw "$name.middle.qcow2" "$((size / 2 + 512))"
            patterns "$name.middle.qcow2" "$((size / 2))"
            qemu-img create -q -f qcow2 "${with[@]}" -b "$name.middle.qcow2" -F qcow2 "$name.qcow2" "$size"
            ;;
        snapshot)
            qemu-img create -q -f qcow2 "${with[@]}" "$name.qcow2" "$size"
            patterns "$name.qcow2" "$size"
            qemu-img snapshot -c before "$name.qcow2"
            ;;
        compressed)
            truncate -s "$size" "$name.source"
            # Some clusters of every size hold text, others nothing, others what cannot be packed.
            seq 1 $((size / 16)) | dd of="$name.source" conv=notrunc status=none
            fill_file "$name.noise" "$((size / 8))"
            dd if="$name.noise" of="$name.source" conv=notrunc seek=1 bs=$((size / 4)) status=none
            qemu-img convert -c -f raw -O qcow2 "${with[@]}" "$name.source" "$name.qcow2"
            rm "$name.source" "$name.noise"
            ;;
        *) fail "there is no image '$what'" ;;
    esac
    [[ $what == empty || $what == compressed ]] || patterns "$name.qcow2" "$size"
    qemu-img convert -f qcow2 -O raw "$name.qcow2" "$name.raw"
}

# Data, zeroes and discarded places, with ends that are nobody's.
patterns()
{
    local size=$2
    qemu-io -f qcow2 -c "write -P 1 0 $((size / 16))" -c "write -P 2 $((size / 2 - 512)) $((size / 8))" \
        -c "write -z $((size / 32)) 5k" -c "write -z $((size / 4)) $((size / 8))" -c "write -P 3 $((size / 4 + 1024)) 3k" \
        -c "discard $((size / 2 + size / 16)) $((size / 32))" -c "write -P 4 $((size - 512)) 512" "$1" >/dev/null
}

kept()
{
    local name=$1 file tag
    for file in "$name".base.raw "$name".middle.qcow2; do
        [[ ! -e $file ]] || echo "$file $(fingerprint "$file")"
    done
    while read -r tag; do
        # In its own size, which convert -l does not know.
        cp --sparse=always "$name.qcow2" "$name.copy"
        qemu-img snapshot -a "$tag" "$name.copy"
        qemu-img convert -f qcow2 -O raw "$name.copy" "$name.snapshot"
        echo "snapshot $tag $(sha "$name.snapshot")"
        rm "$name.snapshot" "$name.copy"
    done < <(qemu-img info --output=json "$name.qcow2" | jq -r '.snapshots[]?.name')
}

check_image()
{
    CHECKED=0
    qemu-img check -f qcow2 "$1.qcow2" >check.out 2>&1 || CHECKED=$?
}

clean()
{
    check_image "$1"
    ((CHECKED == 0)) || fail "qemu-img check of $1.qcow2 ends with $CHECKED: $(head -n 20 check.out)"
}

clean_or_leaking()
{
    check_image "$1"
    ((CHECKED == 0 || CHECKED == 3)) || fail "qemu-img check of $1.qcow2 ends with $CHECKED: $(head -n 20 check.out)"
}

holds()
{
    qemu-img compare -f qcow2 -F raw "$1.qcow2" "$2" >compare.out 2>&1 || fail "$1.qcow2 is not $2: $(cat compare.out)"
    # What leads from the image to its data is not all that counts: an external file may be read by itself.
    [[ $(qemu-img info --output=json "$1.qcow2" | jq '."format-specific".data."data-file-raw"') != true ]] ||
        cmp -n "$(size_of "$2")" "$1.data" "$2"
}

written_and_clean()
{
    clean "$1"
    holds "$1" "$1.raw"
}
