#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# The environment of whoever calls us: what of it reaches fusermount3 and the worker, and that root's programs are not
# looked for where the caller's PATH leads.
. "$(dirname "$0")/lib.sh"
need fusermount3

make_programs
REAL=$(command -v fusermount3)
[[ -u $REAL ]] || cannot_run "fusermount3 is not setuid"
fill_file disk.raw 1M
: >mp
install -d -m 755 -o $USER_ID home
install -m 600 -o $USER_ID disk.raw home/disk.raw
install -m 600 -o $USER_ID /dev/null home/mp

# Another fusermount3 in front of the real one, which writes down what it was given.
mkdir fakes
install -d -m 777 seen
cat >fakes/fusermount3 <<FAKE
#!/bin/sh
tr '\0' '\n' </proc/\$\$/environ >$W/seen/\$\$.environment
ls -l /proc/\$\$/fd >$W/seen/\$\$.descriptors
exec $REAL "\$@"
FAKE
chmod 755 fakes/fusermount3

# What a caller could have set to lead somebody astray.
CALLER=(env "PATH=$W/fakes:$PATH" LC_ALL=xx_XX.UTF-8 LANGUAGE=xx LD_LIBRARY_PATH=/nowhere "NOTIFY_SOCKET=$W/notify"
    "TMPDIR=$W/nowhere" MALLOC_PERTURB_=7 IFS=x)

step "a user's fusermount3 gets nothing of it"
exec 8</etc/shadow
as-user "${CALLER[@]}" rawview mount -d --allow-other=no -p "$W/home/pid" -f raw home/disk.raw home/mp >out 2>err || fail "$(cat err)"
exec 8<&-
as-user cat home/mp | cmp - disk.raw
as-user "${CALLER[@]}" rawview umount home/mp
no_mount_left
equal "runs of fusermount3" "$(find seen -name '*.environment' | wc -l)" 2
for file in seen/*.environment; do
    equal "environment of fusermount3" "$(grep -v ^_FUSE_COMMFD= "$file" | sort | tr '\n' ' ')" \
        "LC_ALL=C PATH=/usr/sbin:/usr/bin:/sbin:/bin "
done
! grep -l shadow seen/*.descriptors || fail "fusermount3 got a descriptor of our caller's"
rm -f seen/*

step "what it says is understood whatever the language"
as-user "${CALLER[@]}" rawview mount --foreground -p "$W/home/pid" -f raw home/disk.raw home/mp >front.log 2>&1 &
echo $! >front.shell
wait_until 30 test -s home/pid || fail "no view: $(cat front.log)"
as-user bash -c 'exec sleep 60 <home/mp' &
sleeper=$!
holds_the_view() { [[ $(readlink "/proc/$sleeper/fd/0") == "$W/home/mp" ]]; }
wait_until 10 holds_the_view
kill -INT "$(cat home/pid)"
wait_until 20 grep -q 'is in use; it is unmounted now' front.log || fail "busy was not understood: $(cat front.log)"
kill $sleeper
wait_for_end front
no_mount_left
rm -f seen/*

step "root's programs run no fusermount3"
"${CALLER[@]}" "$RAWVIEW" mount -d -p "$W/view.pid" -f raw disk.raw mp >out 2>err || fail "$(cat err)"
cmp mp disk.raw
WORKER=$(worker_of "$(pid_of view)")
if ! "$RAWVIEW" list --json=short | grep -q no-dump; then
    echo "   left out: a build with sanitizers"
else
    equal "environment of the worker" "$(tr '\0' ' ' <"/proc/$WORKER/environ")" ""
fi
"${CALLER[@]}" "$RAWVIEW" umount mp
no_mount_left
equal "runs of fusermount3" "$(find seen -type f | wc -l)" 0

step "… nor a worker or a rawviewd of the caller's"
for program in rawviewd rawview-worker; do
    printf '#!/bin/sh\ntouch %s/seen/%s\n' "$W" $program >fakes/$program
    chmod 755 fakes/$program
done
(cd fakes && "${CALLER[@]}" "$RAWVIEW" mount -d -p "$W/view.pid" -f raw ../disk.raw ../mp >out 2>err) || fail "$(cat fakes/err)"
down view
equal "programs of the caller's that ran" "$(find seen -type f)" ""
