#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What rawview-generator tells systemd of good and hostile descriptors, what systemd makes of it, and that neither a reload
# nor the end of a descriptor touches a view that is up.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/srv/images
cp -r /payload/images $images
generated=/run/systemd/generator
template=/usr/lib/systemd/system/rawview@.service
program=/usr/lib/systemd/system-generators/rawview-generator

# drop_in NAME: the drop-in for the unit of that descriptor.
drop_in() { cat "$generated/$(systemd-escape --template=rawview@.service "$1").d/50-rawview-generator.conf"; }
has_drop_in() { [ -e "$generated/$(systemd-escape --template=rawview@.service "$1").d/50-rawview-generator.conf" ]; }

test_good() {
    describe web '[Image]' "Path=$images/web.qcow2"
    describe 'my disk-1' '[Image]' "Path=/srv/my images/100%%/d\"1\".qcow2" '[View]' "MountPoint=/run/rawview/one" '[Install]' Automatic=yes
    describe later '[Image]' 'Path=/srv/images/later.qcow2' '[Install]' Automatic=yes NoFail=yes
    mkdir -p /usr/lib/rawview /run/rawview /etc/rawview/pack.image.d /etc/credstore
    printf '%s\n' '[Image]' 'Path=/var/pack.qcow2' >/usr/lib/rawview/pack.image
    printf '%s\n' '[Install]' Automatic=yes >/etc/rawview/pack.image.d/boot.conf
    printf '%s\n' '[Image]' 'Path=/var/none.qcow2' '[Install]' Automatic=yes >/usr/lib/rawview/masked.image
    ln -s /dev/null /etc/rawview/masked.image
    echo secret >/etc/credstore/rawview.pack.passphrase
    systemctl daemon-reload

    is "$(drop_in web | sed 1d)" "$(printf '%s\n' '[Unit]' SourcePath=/etc/rawview/web.image Before=rawview.target 'RequiresMountsFor="/srv/images"')" "web"
    is "$(drop_in 'my disk-1' | sed 1d)" "$(printf '%s\n' '[Unit]' 'SourcePath=/etc/rawview/my disk-1.image' Before=rawview.target \
        'RequiresMountsFor="/srv/my images/100%%"' 'RequiresMountsFor="/run/rawview"')" "a name with blanks"
    has "$(drop_in pack)" LoadCredential=rawview.passphrase:/etc/credstore/rawview.pack.passphrase "passphrase"
    ! has_drop_in masked || fail "a drop-in for a masked descriptor"
    (cd $generated && find rawview.target.* -type l -printf '%p -> %l\n' | sort) >/tmp/links
    is "$(cat /tmp/links)" "rawview.target.requires/rawview@my\\x20disk\\x2d1.service -> $template
rawview.target.requires/rawview@pack.service -> $template
rawview.target.wants/rawview@later.service -> $template" "views at boot"

    # What systemd understood is what was meant.
    has "$(systemctl show -P RequiresMountsFor 'rawview@my\x20disk\x2d1')" '"/srv/my images/100%"' "RequiresMountsFor="
    is "$(property web SourcePath)" /etc/rawview/web.image "SourcePath="
    has "$(property web Before)" rawview.target "Before="
    ! [[ $(property later Before) == *rawview.target* ]] || fail "the target waits for a view with NoFail=yes"
    has "$(systemctl list-dependencies --plain rawview.target)" 'rawview@my\x20disk\x2d1.service' "rawview.target"
    has "$(systemctl show -P Requires rawview.target)" rawview@pack.service "rawview.target"
    has "$(systemctl show -P Wants rawview.target)" rawview@later.service "rawview.target"
    systemd-analyze verify --man=no --generators=yes rawview.target rawview@{web,later,pack}.service >/tmp/verify 2>&1 || fail "$(cat /tmp/verify)"
    is "$(grep rawview /tmp/verify || true)" "" "verify"
    ok "good descriptors"
}

# Devices have no units in a container, and the ones of the machine are not ours: what is written where they have is looked
# at with another /sys. That the unit waits is for a machine with udev.
test_device() {
    local out=/tmp/device
    describe device '[Image]' 'Path=/dev/disk/by-id/virtio-q' '[View]' MountPoint=/run/rawview/device Writable=yes
    systemctl daemon-reload
    ! drop_in device | grep -q BindsTo || fail "a unit that never comes is waited for"
    has "$(drop_in device)" 'DeviceAllow="/dev/disk/by-id/virtio-q" rw' "device"
    has "$(property device DeviceAllow)" '/dev/disk/by-id/virtio-q rw' "DeviceAllow="
    mkdir $out
    unshare --mount sh -c "mount -t tmpfs none /sys && exec $program $out"
    has "$(cat $out/rawview@device.service.d/*)" 'BindsTo=dev-disk-by\x2did-virtio\x2dq.device
After=dev-disk-by\x2did-virtio\x2dq.device' "device"
    rm -r $out /etc/rawview/device.image
    ok "an image that is a device"
}

# Nothing of this stops the generator, hides another descriptor, or gets into a unit.
test_hostile() {
    local out=/tmp/out began name
    mkdir -p $out /etc/rawview/folder.image
    mkfifo /etc/rawview/fifo.image
    ln -s loop.image /etc/rawview/loop.image
    ln -s /nowhere /etc/rawview/nowhere.image
    describe broken '[Image]' 'Path=relative'
    describe binary "$(head -c 3000 /usr/bin/true | tr -d '\0')"
    describe others '[Image]' 'Path=/x/y' '[Install]' Automatic=yes
    chmod 666 /etc/rawview/others.image
    describe "$(printf 'new\nline')" '[Image]' 'Path=/x/y' '[Install]' Automatic=yes
    describe "$(printf '%0235d' 0 | tr 0 -)" '[Image]' 'Path=/x/y'
    describe ..up '[Image]' 'Path=/x/y'
    describe "$(printf '\377')" '[Image]' 'Path=/x/y'
    describe 'ünï çode' '[Image]' 'Path=/x/y'
    describe carriage '[Image]' "$(printf 'Path=/x/\rExecStart=\001/y')"
    head -c 2000000 /dev/zero >/etc/rawview/large.image
    $program $out 2>/tmp/said || fail "the generator failed: $(cat /tmp/said)"
    cat /tmp/said
    for name in folder fifo loop nowhere broken binary others large; do
        grep -q "^rawview-generator: /etc/rawview/$name.image:\?" /tmp/said || fail "nothing is said of $name"
        [ ! -e $out/rawview@$name.service.d ] || fail "a drop-in for $name"
    done
    grep -q 'new?line.image: is no name' /tmp/said || fail "a newline in a name"
    grep -q 'carriage.image: Path= has characters' /tmp/said || fail "control characters in a path"
    [ -e "$out/$(systemd-escape --template=rawview@.service 'ünï çode').d" ] || fail "a name with letters of all kinds"
    is "$(find $out -type f -exec cat {} + | grep -v -E '^(|# Made by .*|\[(Unit|Service)\]|(SourcePath|Before|RequiresMountsFor|LoadCredential|DeviceAllow)=.*)$' || true)" "" "other lines in drop-ins"
    is "$(find $out -mindepth 1 | LC_ALL=C grep -v "^$out/" || true)" "" "names with newlines"
    [ -e $out/rawview@web.service.d ] || fail "a good descriptor is hidden"
    rm -r $out

    # Ten thousand of them, half of them broken.
    mkdir $out
    perl -e 'for my $i (1 .. 10000) { open(my $f, ">", "/etc/rawview/many$i.image") or die; print $f "[Image]\nPath=", $i % 2 ? "/x/y\n" : "z\n" }'
    began=$(date +%s%N)
    $program $out 2>/tmp/said
    echo "10,000 descriptors: $((($(date +%s%N) - began) / 1000000)) ms, $(wc -l </tmp/said) lines"
    [ "$(wc -l </tmp/said)" -lt 30 ] || fail "a flood of lines"
    is "$(find $out -name 'rawview@many*' | wc -l)" 5000 "units of the good ones"
    [ -e $out/rawview@web.service.d ] || fail "a good descriptor is hidden"
    systemctl daemon-reload
    find /etc/rawview -name 'many*' -delete
    rm -rf $out /etc/rawview/{folder,fifo,loop,nowhere,broken,binary,others,large,carriage,..up}.image /etc/rawview/{new,--,ü}* "/etc/rawview/$(printf '\377').image"
    systemctl daemon-reload
    ok "hostile descriptors"
}

# A view over a file that is called like a descriptor, whose server does not answer: nobody who asks it comes back.
test_covered() {
    local worker
    describe trap '[Image]' "Path=$images/web.qcow2" '[View]' MountPoint=/run/rawview/trap2.image
    : >/run/rawview/trap2.image
    systemctl daemon-reload
    start trap
    worker=$(worker_pid trap)
    kill -STOP "$worker"
    mkdir /tmp/covered
    timeout 20 $program /tmp/covered 2>/tmp/said || fail "the generator waits for a view"
    kill -CONT "$worker"
    grep -q 'trap2.image: is covered by a mount' /tmp/said || fail "what was said: $(cat /tmp/said)"
    stop trap
    rm -r /tmp/covered /run/rawview/trap2.image /etc/rawview/trap.image
    ok "a view that is called like a descriptor"
}

# What systemd's own call says goes to the kernel's log, which a container has none of: a pipe takes its place.
test_kernel_log() {
    local line
    mkfifo /dev/kmsg
    exec 7<>/dev/kmsg
    echo nonsense >/etc/rawview/broken.image
    systemctl daemon-reload
    read -r -t 10 line <&7 || fail "nothing is said"
    [[ $line =~ ^\<4\>rawview-generator\[[0-9]+\]:\ /etc/rawview/broken.image:1:\  ]] || fail "what is said: $line"
    # Nobody reads it any more, and it is full.
    timeout 1 yes >&7 || true
    timeout 60 systemctl daemon-reload || fail "the generator waits for whoever reads the kernel's log"
    exec 7>&-
    rm /dev/kmsg /etc/rawview/broken.image
    systemctl daemon-reload
    ok "the kernel's log"
}

test_enable() {
    systemctl enable --quiet rawview@web
    is "$(systemctl is-enabled rawview@web)" enabled "rawview@web"
    has "$(systemctl show -P Wants rawview.target)" rawview@web.service "rawview.target"
    systemctl disable --quiet rawview@web
    ! [[ $(systemctl show -P Wants rawview.target) == *rawview@web.service* ]] || fail "rawview@web is still wanted"
    ok "systemctl enable, disable"
}

test_reload_under_a_view() {
    local pid
    systemctl daemon-reload
    start web
    pid=$(main_pid web)
    rm /etc/rawview/web.image
    systemctl daemon-reload
    is "$(state web)" active "the view without its descriptor"
    is "$(main_pid web)" "$pid" "the service"
    cmp -n 4194304 $images/web.qcow2 /dev/zero || fail "the view"
    stop web
    ! systemctl start rawview@web 2>/dev/null || fail "a view without a descriptor"
    is "$(property web AssertResult)" no "AssertResult"
    ok "a view outlives its descriptor"
}

test_words() {
    has "$($program)" 'systemctl daemon-reload' "help"
    has "$($program --version)" "rawview-generator " "version"
    ! $program /no/such/folder 2>/tmp/said || fail "no folder"
    has "$(cat /tmp/said)" 'rawview-generator: /no/such/folder: cannot open it' "no folder"
    ok "by hand"
}

test_words
test_good
test_device
test_hostile
test_covered
test_kernel_log
test_enable
test_reload_under_a_view
