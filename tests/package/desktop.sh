#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# desktop.sh: what a file manager knows of images, what it offers for them, and what comes of it. DESKTOP is the built rawview.desktop.
. "$(dirname "$0")/../integration/lib.sh"
need desktop-file-validate update-desktop-database update-mime-database gio xmllint
make_programs
FILES=$(realpath "$HERE/../../desktop")

step "the files are what they should be"
desktop-file-validate "$DESKTOP"
xmllint --noout "$FILES/rawview.xml"
[[ -x $FILES/rawview-show ]] || fail "rawview-show cannot be executed"

# A user's own folders stand before those of the system.
export XDG_DATA_HOME=$W/data XDG_CONFIG_HOME=$W/config HOME=$W/home
mkdir -p data/applications data/mime/packages config home images
# Where an ordinary user can run it, wherever the source lies.
install -m 755 "$FILES/rawview-show" bin/
cp "$FILES/rawview.xml" data/mime/packages/
# gio leaves out what cannot be started.
sed "s|^TryExec=.*|TryExec=$W/bin/rawview-show|; s|^Exec=[^ ]*|Exec=$W/bin/rawview-show|" "$DESKTOP" >data/applications/rawview.desktop
update-mime-database data/mime 2>update.log || fail "update-mime-database: $(cat update.log)"
[[ ! -s update.log ]] || fail "update-mime-database: $(cat update.log)"
update-desktop-database data/applications

type_of()
{
    gio info -a standard::content-type "$1" | sed -n 's/.*standard::content-type: //p'
}

# knows TYPE FILE BYTES: a file of this name and one that only its first bytes tell of are of this type, and rawview is offered for it.
knows()
{
    local type=$1 file=images/$2
    if [[ -n ${3-} ]]; then
        # shellcheck disable=SC2059
        printf "$3" >images/unnamed
        head -c 4096 /dev/zero >>images/unnamed
        equal "type of a file that begins as $2" "$(type_of images/unnamed)" "$type"
        cp images/unnamed "$file"
    else
        head -c 4096 /dev/zero >"$file"
    fi
    equal "type of $2" "$(type_of "$file")" "$type"
    [[ $(gio mime "$type") == *rawview.desktop* ]] || fail "rawview is not offered for $type: $(gio mime "$type")"
}

step "images are known by name and by what they begin with, and rawview is offered for them"
knows application/x-qemu-disk a.qcow2 'QFI\373\0\0\0\003'
knows application/x-qed-disk a.qed 'QED\0'
knows application/x-vdi-disk a.vdi '<<< Oracle VM VirtualBox Disk Image >>>\n'
knows application/x-vmdk-disk a.vmdk 'KDMV\001\0\0\0'
knows application/x-vmdk-disk b.vmdk '# Disk DescriptorFile\nversion=1\n'
knows application/x-vmdk-disk c.vmdk 'COWD\001\0\0\0'
knows application/x-vhd-disk a.vhd conectix
knows application/x-vhdx-disk a.vhdx vhdxfile
knows application/x-parallels-disk a.hdd WithoutFreeSpace
knows application/x-parallels-disk a.hds WithouFreSpacExt
knows application/x-luks-volume a.luks 'LUKS\272\276\0\001'
knows application/x-apple-diskimage a.dmg
knows application/x-apple-sparseimage a.sparseimage 'sprs\0\0\0\003'
knows application/x-ewf-image a.E01 'EVF\011\015\012\377\0'
knows application/x-cloop-image a.cloop '#!/bin/sh\n#V2.0 Format\nmodprobe cloop\n'
knows application/x-bochs-disk a-bochs 'Bochs Virtual HD Image'
knows application/x-raw-disk-image a.img
for type in $(sed -n 's/^MimeType=//p' "$DESKTOP" | tr ';' ' '); do
    grep -q "\"$type\"\|knows $type " "$FILES/rawview.xml" "$0" || fail "$type is offered, and nobody has tried it"
done
rm -r images

step "it shows an image, says so, and the next time ends the view"
# What notify-send was given, a line for each word.
cat >bin/notify-send <<EOF
#!/bin/sh
printf '%s\n' "\$@" >$W/told
EOF
printf '#!/bin/sh\necho "$@" >%s\n' "$W/opened" >bin/xdg-open
chmod 755 bin/*
: >told
: >opened
chmod 666 told opened
mkdir -m 711 run
install -d -m 700 -o $USER_ID run/user
fill_file raw 1M
mkdir -m 777 images
as-user qemu-img convert -f raw -O qcow2 raw "images/a disk & more.qcow2"
readonly IMAGE="$W/images/a disk & more.qcow2"
show()
{
    XDG_RUNTIME_DIR=$W/run/user as-user rawview-show "$@"
}
show "$IMAGE"
as-user cmp "$IMAGE" raw
grep -qx 'a disk & more.qcow2' told || fail "told: $(cat told)"
grep -q 'Is shown as a raw disk' told || fail "told: $(cat told)"
(cd images && show "${IMAGE##*/}")
is_not_mounted "$IMAGE"
grep -q 'Is the image file again' told || fail "told: $(cat told)"

step "what cannot be covered is shown elsewhere, and the folder is opened"
chown root "$IMAGE"
chmod 444 "$IMAGE"
show "$IMAGE"
as-user cmp "$W/run/user/rawview/a disk & more.qcow2" raw
equal "opened" "$(cat opened)" "$W/run/user/rawview"
grep -qF 'a disk &amp; more.qcow2. Open' told || fail "told: $(cat told)"
show "$IMAGE"

step "an error is told, with the whole story"
printf 'QFI\373\0\0\0\011' >images/broken.qcow2
chmod 644 images/broken.qcow2
STATUS=0
show "$W/images/broken.qcow2" || STATUS=$?
equal "status" "$STATUS" 1
grep -qx -e '--urgency=critical' told || fail "told: $(cat told)"
grep -q "^$W/images/broken.qcow2: qcow2: the file ends within the header" told || fail "told: $(cat told)"
no_mount_left
