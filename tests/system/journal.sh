#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
# What the journal has of a view: entries with fields and a MESSAGE_ID, which `journalctl -x` explains.
set -euo pipefail
# shellcheck source=tests/system/lib.sh
. /payload/lib.sh

images=/srv/images
cp -r /payload/images $images
mkdir -p /etc/rawview
systemd-sysusers
journalctl --update-catalog
mkdir -p /etc/systemd/system/rawview@.service.d
printf '[Service]\nRestart=no\n' >/etc/systemd/system/rawview@.service.d/once.conf
systemctl daemon-reload

event_id() { sed -n "s/^#define EVENT_ID_$1 \"\(.*\)\"/\1/p" /payload/event-id.h; }

# look UNIT EVENT OPTION…: the unit's last entry of that kind.
look() {
    local unit=$1 event=$2
    shift 2
    journalctl --boot --no-pager --quiet --lines=1 "$@" --unit="$unit" "MESSAGE_ID=$(event_id "$event")"
}
is_there() { [ -n "$(look "$1" "$2")" ]; }

# told UNIT EVENT SUBJECT WORD…: there is such an entry, each "FIELD":"value" is in it, and -x begins with the subject.
told() {
    local unit=$1 event=$2 subject=$3 entry word
    shift 3
    wait_for 10 is_there "$unit" "$event"
    entry=$(look "$unit" "$event" --output=json)
    for word in "$@"; do
        has "$entry" "$word" "$event of $unit"
    done
    has "$(look "$unit" "$event" --output=short --catalog)" "Subject: $subject" "the catalogue's $event"
    ok "$event: $subject"
}

# What is sent to the journal with its fields is not said on stderr as well.
said_once() {
    is "$(journalctl --boot --no-pager --quiet --unit="rawview@$1" --output=cat | grep -c -F -- "$2")" 1 "lines with '$2'"
}

# refused_with NAME EVENT ERRNO SUBJECT LINE…
refused_with() {
    local name=$1 event=$2 code=$3 subject=$4
    shift 4
    describe "$name" "$@"
    ! systemctl start "rawview@$name" 2>/dev/null || fail "rawview@$name started"
    told "rawview@$name" "$event" "$subject" "\"RAWVIEW_INSTANCE\":\"$name\"" "\"ERRNO\":\"$code\"" '"PRIORITY":"3"' \
        '"SYSLOG_IDENTIFIER":"rawviewd"' "\"OBJECT_SYSTEMD_UNIT\":\"rawview@$name.service\""
    systemctl reset-failed "rawview@$name"
}

test_catalogue() {
    local event
    while read -r event; do
        has "$(journalctl --list-catalog "$(event_id "$event")")" " rawview: " "$event in the catalogue"
    done < <(sed -n 's/^#define EVENT_ID_\([A-Z_]*\) .*/\1/p' /payload/event-id.h)
    ok "the catalogue is in systemd's"
}

test_ready_and_stopped() {
    local view=$images/web.qcow2 fields
    fields=("\"RAWVIEW_IMAGE\":\"$view\"" '"RAWVIEW_FORMAT":"qcow2"' "\"RAWVIEW_MOUNTPOINT\":\"$view\""
        '"RAWVIEW_INSTANCE":"web"' '"PRIORITY":"6"' '"_SYSTEMD_UNIT":"rawview@web.service"')
    describe web '[Image]' "Path=$view"
    start web
    told rawview@web READY "The view $view can be used" "${fields[@]}"
    said_once web "shown as"
    stop web
    told rawview@web STOPPED "The view $view has ended" "${fields[@]}"
    has "$(look rawview@web STOPPED --catalog)" "is closed and no longer" "the text of the catalogue"
    has "$(systemctl status --no-pager --full rawview@web || true)" "is no longer shown as" "systemctl status"
}

test_refusals() {
    : >/srv/one
    : >/srv/two
    describe one '[Image]' "Path=$images/web.qcow2" '[View]' 'MountPoint=/srv/one'
    start one
    refused_with two LOCKED 11 "The image $images/web.qcow2 is in use by another program" \
        '[Image]' "Path=$images/web.qcow2" '[View]' 'MountPoint=/srv/two' 'Writable=yes'
    said_once two "is in use by"
    refused_with three OCCUPIED 16 "The mount point /srv/one is in use" \
        '[Image]' "Path=$images/dirty.qcow2" '[View]' 'MountPoint=/srv/one'
    stop one
    refused_with broken CORRUPT 74 "The image $images/broken.qcow2 is damaged" '[Image]' "Path=$images/broken.qcow2"
    refused_with future UNSUPPORTED 95 "The image $images/future.qcow2 uses" '[Image]' "Path=$images/future.qcow2"
    refused_with corrupt NEEDS_REPAIR 117 "The image $images/corrupt.qcow2 needs repair" \
        '[Image]' "Path=$images/corrupt.qcow2" '[View]' 'Writable=yes'
    refused_with missing MISSING 2 "There is no such image" '[Image]' "Path=$images/missing.qcow2"
    refused_with wrong DESCRIPTOR 22 "The descriptor of wrong is wrong" '[Image]' "Path=$images/web.qcow2" '[View]' 'Writable=perhaps'
    refused_with pathless DESCRIPTOR 22 "The descriptor of pathless is wrong" '[Image]' 'Format=raw'
    chmod 0666 /etc/rawview/pathless.image
    ! systemctl start rawview@pathless 2>/dev/null || fail "a descriptor that everybody can write"
    wait_for 10 eval "look rawview@pathless DESCRIPTOR --output=json | grep -q '\"ERRNO\":\"1\"'"
    ok "a descriptor that others can write"
}

test_repaired() {
    describe dirty '[Image]' "Path=$images/dirty.qcow2" '[View]' 'Writable=yes'
    start dirty
    told rawview@dirty REPAIRED "The image $images/dirty.qcow2 was repaired before writing" '"PRIORITY":"5"' '"RAWVIEW_FORMAT":"qcow2"'
    stop dirty
}

test_worker_died() {
    start web
    kill -KILL "$(worker_pid web)"
    wait_for 10 state_is web failed
    told rawview@web WORKER_DIED "The process that reads $images/web.qcow2 has died" '"ERRNO":"10"' '"RAWVIEW_FORMAT":"qcow2"'
    systemctl reset-failed rawview@web
}

# A file system without space for what the guest writes.
test_io_error() {
    mkdir -p /srv/small
    mount -t tmpfs -o size=1M none /srv/small
    truncate -s 16M /srv/small/disk.raw
    describe small '[Image]' 'Path=/srv/small/disk.raw' 'Format=raw' '[View]' 'Writable=yes'
    start small
    ! dd if=/dev/urandom of=/srv/small/disk.raw bs=64k count=64 conv=notrunc,fsync status=none 2>/dev/null || fail "wrote more than fits"
    told rawview@small IO_ERROR "I/O error while showing /srv/small/disk.raw" '"ERRNO":"28"' '"RAWVIEW_INSTANCE":"small"' '"PRIORITY":"3"'
    systemctl stop rawview@small || true
    systemctl reset-failed rawview@small 2>/dev/null || true
    not_mounted /srv/small/disk.raw
    umount /srv/small
}

# An ordinary user, without a descriptor.
test_allow_other() {
    install -d -o nobody /srv/own
    truncate -s 1M /srv/own/disk.raw
    chown nobody /srv/own/disk.raw
    systemd-run --quiet --unit=own --uid=nobody --service-type=notify /usr/libexec/rawview/rawviewd --format=raw --path=/srv/own/disk.raw ||
        fail "no view for a user"
    told own ALLOW_OTHER "The view /srv/own/disk.raw is for its owner alone" '"RAWVIEW_IMAGE":"/srv/own/disk.raw"' '"RAWVIEW_FORMAT":"raw"'
    [[ $(look own READY --output=json) != *RAWVIEW_INSTANCE* ]] || fail "an instance without a descriptor"
    systemctl stop own
    not_mounted /srv/own/disk.raw
}

# A service of a user's own manager.
test_user_unit() {
    local entry
    useradd --create-home guest
    loginctl enable-linger guest
    wait_for 20 test -S "/run/user/$(id -u guest)/bus"
    systemd-run --quiet --user --machine=guest@ --unit=mine --service-type=notify \
        /usr/libexec/rawview/rawviewd --path=/home/guest/missing.raw 2>/dev/null && fail "shown without an image"
    wait_for 10 eval "journalctl --boot --quiet OBJECT_SYSTEMD_USER_UNIT=mine.service MESSAGE_ID=$(event_id MISSING) | grep -q missing.raw"
    entry=$(journalctl --boot --quiet --output=json OBJECT_SYSTEMD_USER_UNIT=mine.service)
    has "$entry" '"RAWVIEW_IMAGE":"/home/guest/missing.raw"' "a user's entry"
    has "$entry" "\"_UID\":\"$(id -u guest)\"" "a user's entry"
    ok "the entry of a user's service"
}

test_catalogue
test_ready_and_stopped
test_refusals
test_repaired
test_worker_died
test_io_error
test_allow_other
test_user_unit
