#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# rawview doctor: each obstacle is made, in a mount namespace of its own, and is named, with what mends it; where that is a command,
# it is typed, and then nothing stands in the way.
# What is in quotes runs in a namespace of its own.
# shellcheck disable=SC2016
. "$(dirname "$0")/lib.sh"
need fusermount3 setfacl
remote=/lib/systemd/systemd-journal-remote
[[ -x $remote ]] || cannot_run "systemd-journal-remote is missing"

make_programs
doctor()
{
    rawview doctor "$@" >out 2>err
}

# finds ABOUT WORDS [COMMAND…]: one bad finding, and status 1.
finds()
{
    local about=$1 words=$2 status=0
    shift 2
    "${@:-doctor}" || status=$?
    equal "status" $status 1
    grep -qE "^bad  $about: .*$words" out || fail "'$words' is missing: $(cat out err)"
    [[ ! -s err ]] || fail "stderr: $(cat err)"
}

# The line beneath the first bad finding, up to the remark in brackets. What only root can type is typed by root here.
mend()
{
    grep -A1 '^bad ' out | sed -n '2s/^     -> //p' | sed 's/   (.*//; s/^by root: //'
}

as-user-doctor()
{
    as-user rawview doctor >out 2>err
}

# in_own COMMAND: in a mount namespace of its own.
in_own()
{
    unshare --mount bash -Eeuo pipefail -c "$(declare -f fail equal doctor as-user-doctor finds mend); USER_ID=$USER_ID; STEP='$STEP'
        trap 'fail \"\\\`\$BASH_COMMAND\\\` ended with \$?: \$(cat out err)\"' ERR
        $1"
}

fill_file disk.raw 1M
mkdir folder
chmod 1777 folder
qemu-img convert -f raw -O qcow2 disk.raw disk.qcow2
chmod 644 disk.*

step "nothing"
doctor disk.qcow2 || fail "$(cat out err)"
grep -qx 'Nothing stands in the way.' out || fail "$(cat out)"
doctor --json -v disk.qcow2
jq -e 'map(.grade) | index("ok") != null and index("bad") == null' out >/dev/null || fail "$(cat out)"
[[ $(jq -r '.[] | select(.about == "disk.qcow2") | .text' out) == *"is qcow2"* ]] || fail "$(cat out)"

step "/dev/fuse"
in_own '
    mkdir dev
    mount -t tmpfs none dev
    mknod -m 666 dev/null c 1 3
    mount --move dev /dev
    finds /dev/fuse "is missing, though"
    eval "$(mend)"
    doctor
    chmod 600 /dev/fuse
    finds /dev/fuse "its mode is 0600" as-user-doctor
    eval "$(mend)"
    as-user-doctor || fail "$(cat out)"
    rm /dev/fuse
    : >/dev/fuse
    finds /dev/fuse "is not the character device"
    eval "$(mend)"
    doctor
    mount -o remount,nodev /dev
    finds /dev/fuse "nodev"'

step "fusermount3"
in_own '
    cp /usr/bin/fusermount3 program
    chmod 755 program
    mount --bind program /usr/bin/fusermount3
    finds /usr/bin/fusermount3 "not set-user-ID" as-user-doctor
    eval "$(mend)"
    as-user-doctor
    mount -o remount,bind,nosuid /usr/bin/fusermount3
    finds /usr/bin/fusermount3 "mounted nosuid" as-user-doctor'
finds /usr/bin/fusermount3 'no_new_privs' bash -c 'setpriv --no-new-privs --reuid "$1" --clear-groups rawview doctor >out 2>err' - $USER_ID

step "fuse.conf"
in_own '
    echo "mount_max = 0" >conf
    mount --bind conf /etc/fuse.conf
    finds /etc/fuse.conf "allows 0 mounts" as-user-doctor
    eval "$(mend)"
    as-user-doctor
    eval "$(sed -n "/^note .*no user_allow_other/{n;s/^     -> by root: //p}" out)"
    as-user-doctor
    ! grep -q user_allow_other out || fail "$(cat out)"'

step "root without rights"
finds root 'no CAP_SYS_ADMIN' bash -c 'setpriv --bounding-set -sys_admin rawview doctor >out 2>err'

step "the run-time folder of root"
in_own '
    mount -t tmpfs -o nr_inodes=4,size=1m none /run
    : >/run/rawview
    finds /run/rawview "is no folder"
    eval "$(mend)"
    doctor
    mkdir /run/rawview
    chown $USER_ID /run/rawview
    finds /run/rawview "belongs to $USER_ID"
    eval "$(mend)"
    doctor
    : >/run/1
    : >/run/2
    finds /run/rawview "has no inode left"
    ! rawview mount --partitions disk.raw >/dev/null 2>&1 || fail "a view with no inode left"
    eval "$(mend)"
    doctor
    head -c 2m /dev/zero >/run/1 2>/dev/null || true
    doctor
    grep -q "^note /run/rawview: has no space left" out || fail "$(cat out)"
    eval "$(sed -n "/^note .*no space/{n;s/^     -> //p}" out)"
    doctor
    ! grep -q "no space" out || fail "$(cat out)"
    mount -o remount,ro /run
    doctor
    grep -q "^note /run/rawview: .*read-only" out'

step "the run-time folder of a user"
# What is typed must be typed by the user, in the same shell.
in_own '
    chmod 444 disk.raw
    as-user-then-doctor() { as-user bash -c "$1; rawview doctor" >out 2>err; }
    unset XDG_RUNTIME_DIR
    as-user-doctor
    grep -A1 "^note XDG_RUNTIME_DIR: is not set" out | tail -n 1 | sed "s/^     -> //" >line
    as-user-then-doctor "$(cat line)"
    ! grep -q XDG_RUNTIME_DIR out || fail "$(cat out)"
    for run in relative /nowhere /run "$PWD/disk.raw"; do
        XDG_RUNTIME_DIR=$run as-user-doctor
        grep -q "^note XDG_RUNTIME_DIR: is $run, which" out || fail "$run: $(cat out)"
    done
    mkdir run
    mount -t tmpfs -o nr_inodes=4 none run
    mkdir run/rawview
    chmod 700 run
    chown $USER_ID run
    export XDG_RUNTIME_DIR=$PWD/run
    finds "$PWD/run/rawview" "belongs to root" as-user-doctor
    as-user-then-doctor "$(mend)"
    as-user mkdir -m 500 run/rawview
    finds "$PWD/run/rawview" "takes no file .Permission denied." as-user-doctor
    as-user-then-doctor "$(mend)"
    : >run/last
    finds "$PWD/run/rawview" "has no inode left" as-user-doctor
    ! as-user rawview mount --format=raw disk.raw >said 2>&1 || fail "a view with no inode left"
    eval "$(mend)"
    as-user-doctor
    as-user rawview mount --format=raw disk.raw >said
    equal "the place of the view" "$(cat said)" "$PWD/run/rawview/disk.raw"
    as-user rawview umount "$(cat said)"
    chmod 644 disk.raw'

step "limits"
for limit in n:10 u:10; do
    # shellcheck disable=SC2016
    as-user bash -c 'ulimit -S"$1" "$2"
        rawview doctor >"$3/said"
        line=$(<"$3/said")
        [[ $line =~ "bad  limits: of this shell allow "[^$'\''\n'\'']*$'\''\n'\''"     -> "([^$'\''\n'\'']*) ]] || exit 9
        eval "${BASH_REMATCH[1]}"
        rawview doctor' - ${limit%:*} ${limit#*:} "$W/folder" >out 2>&1 || fail "$limit: $? $(cat out folder/said)"
done
as-user bash -c 'ulimit -n 10; rawview doctor' >out 2>&1 || true
grep -A1 '^bad  limits: ' out | grep -qE '^     -> by root: prlimit --nofile=256 --pid [0-9]+$' || fail "$(cat out)"
# Sanitizers take terabytes of addresses.
if [[ $(nm "$RAWVIEW") != *__[at]san_init* ]]; then
    bash -c 'ulimit -Sv 100000; rawview doctor' >out
    grep -A1 '^note limits: of this shell allow 102400000 bytes of memory' out | grep -qx '     -> ulimit -Sv 131072' || fail "$(cat out)"
fi
bash -c 'ulimit -f 1000; rawview doctor' >out
grep -q '^note limits: of this shell allow 1024000 bytes in a file' out || fail "$(cat out)"

step "a kernel that is too old"
finds kernel 'Linux 2.6 is too old' setarch --uname-2.6 bash -c 'rawview doctor >out 2>err'

step "an image"
finds nosuch 'does not exist' doctor nosuch
finds folder 'neither a regular file' doctor folder
chmod 600 disk.qcow2
as-user-doctor-of() { as-user rawview doctor "$1" >out 2>err; }
finds disk.qcow2 'may not be read by this user .mode 0600.' as-user-doctor-of disk.qcow2
eval "$(mend)"
as-user-doctor-of disk.qcow2 || fail "$(cat out)"
as-other rawview doctor disk.qcow2 >out 2>&1 && fail "another user may read it: $(cat out)"
setfacl --remove-all disk.qcow2
chmod 644 disk.qcow2
mkdir -p shut/open
cp disk.qcow2 shut/open/
chmod 700 shut
finds shut/open/disk.qcow2 "the folder $W/shut is closed" as-user-doctor-of shut/open/disk.qcow2
eval "$(mend)"
as-user-doctor-of shut/open/disk.qcow2 || fail "$(cat out)"
install -o $USER_ID -m 000 disk.qcow2 own.qcow2
finds own.qcow2 'may not be read' as-user-doctor-of own.qcow2
as-user bash -c "$(mend)"
as-user-doctor-of own.qcow2 || fail "$(cat out)"
qemu-img create -q -f qcow2 -b ../up.qcow2 -F qcow2 -u folder/over.qcow2 1M
finds folder/over.qcow2 "what it names cannot be had: .*'../up.qcow2'" doctor folder/over.qcow2
head -c 100 disk.qcow2 >cut.qcow2
finds cut.qcow2 'cannot be opened: qcow2: the file ends' doctor cut.qcow2
equal "what mends it" "$(mend)" "rawview check cut.qcow2"
mkfifo hold
qemu-io -f qcow2 disk.qcow2 <hold >qemu 2>&1 &
holder=$!
exec 9>hold
echo 'write 0 4k' >&9
wait_until 20 grep -q wrote qemu || fail "$(cat qemu)"
finds disk.qcow2 "in use by qemu-io .pid $holder" doctor disk.qcow2
mend | grep -qF ': rawview mount --force-share disk.qcow2' || fail "$(cat out)"
exec 9>&-
wait $holder
doctor disk.qcow2

step "a view that is there, and a stale one"
up view disk.qcow2
doctor disk.qcow2
grep -q '^note disk.qcow2: is covered by a view' out || fail "$(cat out)"
sed -n '/^note disk.qcow2/{n;p}' out | grep -qx '     -> rawview umount disk.qcow2' || fail "$(cat out)"
# Its worker ends with it. Without its worker alone it would clean up.
kill -KILL "$(cat view.pid)"
wait_until 20 bash -c 'rawview list | grep -q stale'
finds "$W/disk.qcow2" 'is a stale view'
eval "$(mend)"
doctor

step "a view whose worker was stopped, of root's and of a user's"
answers()
{
    timeout 20 getfattr --absolute-names -n user.rawview.state "$1" >/dev/null 2>&1
}
# The signal is one thing, that the process has come to a halt another.
is_in_state() { [[ $(cut -d' ' -f3 "/proc/$1/stat") == "$2" ]]; }
halt()
{
    kill -STOP "$1"
    wait_until 20 is_in_state "$1" T || fail "$1 does not stop"
}
# sick VIEW WORDS DOCTOR LINE: what is said of a view, what mends it is typed, and the view is well or gone.
sick()
{
    local line
    finds "$1" "$2" "$3"
    line=$(mend)
    [[ $line == "$4" ]] || fail "mended by '$line', expected '$4'"
    if [[ $3 == doctor ]]; then eval "$line"; else as-user bash -c "$line"; fi
}
up view disk.qcow2
worker=$(worker_of "$(pid_of view)")
halt "$worker"
as-user-doctor || fail "root's view is in the way of a user: $(cat out err)"
grep -A1 "^note $W/disk.qcow2: .* is stuck" out | grep -qx "     -> by root: umount -f $W/disk.qcow2" || fail "$(cat out)"
sick "$W/disk.qcow2" "is a view of $W/disk.qcow2 that gives no answer: its rawview-worker .pid $worker. was stopped" doctor "kill -CONT $worker"
answers disk.qcow2 || fail "the view gives no answer after SIGCONT"
doctor

step "a view that somebody traces"
"$PYTHON" -c '
import ctypes, os, signal, sys
libc = ctypes.CDLL(None, use_errno=True)
for task in os.listdir(f"/proc/{sys.argv[1]}/task"):
    for request in 0x4206, 0x4207:  # PTRACE_SEIZE, PTRACE_INTERRUPT
        assert libc.ptrace(request, int(task), None, None) == 0
signal.pause()' "$worker" &
tracer=$!
wait_until 20 is_in_state "$worker" t || fail "nobody holds the worker"
sick "$W/disk.qcow2" "its rawview-worker .pid $worker. is in the hands of python3 .pid $tracer." doctor "kill $tracer"
wait $tracer || true
answers disk.qcow2 || fail "the view gives no answer when the tracer is gone"
doctor
down view

step "a view whose connection was cut"
up view disk.qcow2
daemon=$(pid_of view)
halt "$daemon"
mountpoint -q /sys/fs/fuse/connections || mount -t fusectl none /sys/fs/fuse/connections
device=$(mount_field MAJ:MIN disk.qcow2)
echo 1 >"/sys/fs/fuse/connections/${device#*:}/abort"
sick "$W/disk.qcow2" "is a stale view of .* its connection was cut while its rawviewd .pid $daemon. was stopped" doctor "kill -CONT $daemon"
wait_until 20 process_is_gone "$daemon" || fail "rawviewd is still there"
is_not_mounted disk.qcow2 || fail "the view is still there"
doctor

step "a view of a user's"
mkdir -m 1777 shared
install -o $USER_ID -m 600 disk.qcow2 "shared/my disk.qcow2"
as-user rawview mount -p "$W/shared/pid" "shared/my disk.qcow2" >/dev/null
worker=$(worker_of "$(cat shared/pid)")
halt "$worker"
sick "$W/shared/my disk.qcow2" "its rawview-worker .pid $worker. was stopped" as-user-doctor "kill -CONT $worker"
kill -KILL "$(cat shared/pid)"
wait_until 20 bash -c 'rawview list | grep -q stale'
finds "$W/shared/my disk.qcow2" 'is a stale view' doctor
equal "what mends it for root" "$(mend)" "rawview umount --stale"
sick "$W/shared/my disk.qcow2" 'is a stale view' as-user-doctor "rawview umount '$W/shared/my disk.qcow2'"
as-user-doctor

step "a view that is covered"
up view disk.qcow2
mount --bind disk.raw disk.qcow2
doctor
grep -q "^note $W/disk.qcow2: is a view of .* that is covered by a mount of the type" out || fail "$(cat out)"
eval "$(sed -n '/^note .*covered by/{n;s/^     -> //p}' out)"
doctor
! grep -q covered out || fail "$(cat out)"
down view

step "descriptors"
as-user-doctor
grep -q "^note HOME: is $HOME, which belongs to somebody else" out || fail "$(cat out)"
home=$(sed -n '/^note HOME/{n;s/^     -> //p}' out)
as-user bash -c "$home; rawview doctor" >out
! grep -q "^note HOME" out || fail "$(cat out)"
in_own '
    mkdir -p /etc/rawview
    mount -t tmpfs none /etc/rawview
    printf "[Image]\nPath=%s\nFormat=qcow2\nNonsense=1\n[View]\nWritable=perhaps\n" "$PWD/disk.qcow2" >/etc/rawview/web.image
    finds web.image "/etc/rawview/web.image:6: .*Writable"
    grep -q "^note descriptor: .*/etc/rawview/web.image:4: .*Nonsense" out
    sed -i "s/perhaps/no/" /etc/rawview/web.image
    doctor
    sed -i "s/disk.qcow2/gone/" /etc/rawview/web.image
    finds web.image "its image .*gone cannot be found"'

# What journald keeps when it hears audit itself, once as an old refusal.
journal_of()
{
    local age=$1 text=$2 now
    now=$(date +%s%6N)
    printf '%s\n' "__CURSOR=s=$RANDOM" "__REALTIME_TIMESTAMP=$((now - age * 1000000))" "__MONOTONIC_TIMESTAMP=$SECONDS" \
        "_BOOT_ID=$(tr -d - </proc/sys/kernel/random/boot_id)" "_MACHINE_ID=$(cat /etc/machine-id)" \
        _TRANSPORT=audit _AUDIT_TYPE=1400 _AUDIT_TYPE_NAME=AVC SYSLOG_IDENTIFIER=audit PRIORITY=5 "MESSAGE=$text" ''
}

# has_denials ENTRY: a journal and no log of auditd's, a policy that was loaded long ago, and programs that only note what they are told.
has_denials()
{
    local journal program
    mount -t tmpfs none /var/log
    mount -t tmpfs none /run
    mount -t tmpfs none /sys/fs
    mkdir -p /sys/fs/selinux/class tools
    touch -d '2 days ago' /sys/fs/selinux/class
    journal=/var/log/journal/$(cat /etc/machine-id)
    mkdir -p "$journal"
    "$remote" --output="$journal/system.journal" - <"$1" >/dev/null 2>&1
    for program in semanage semodule; do
        printf '#!/bin/sh\necho "%s $*" >>"%s"\n' $program "$PWD/told" >tools/$program
    done
    printf '#!/bin/sh\necho "restorecon $*" >>"%s"\nexec chmod 644 "$2"\n' "$PWD/told" >tools/restorecon
    printf '#!/bin/sh\ncat >>"%s"\n' "$PWD/told" >tools/audit2allow
    chmod 755 tools/*
    PATH=$PWD/tools:$PATH
    rm -f told
}
in_own_with_denials()
{
    in_own "$(declare -f has_denials); remote=$remote; has_denials $1
        $2"
}

# The policy is loaded anew: a folder's time is enough of that.
avc="avc:  denied  { read open } for  pid=812 comm=\"rawviewd\" path=\"$W/disk.qcow2\" dev=\"dm-0\" ino=131"
avc+=' scontext=system_u:system_r:rawviewd_t:s0 tcontext=unconfined_u:object_r:default_t:s0 tclass=file permissive=0'
capability='avc:  denied  { sys_ptrace } for  pid=813 comm="rawviewd" capability=19  scontext=system_u:system_r:rawviewd_t:s0'
capability+=' tcontext=system_u:system_r:rawviewd_t:s0 tclass=capability permissive=0'

step "refusals of SELinux in the journal"
{ journal_of 9000 "AVC ${capability/sys_ptrace/sys_rawio}" && journal_of 0 "AVC $avc" && journal_of 0 "AVC $avc"; } >entries
in_own_with_denials entries '
    finds SELinux "has refused rawviewd .pid 812. read open of $PWD/disk.qcow2: the process is system_u:system_r:rawviewd_t:s0, and the file is unconfined_u:object_r:default_t:s0"
    equal "lines" "$(grep -c "^bad " out)" 1
    eval "$(mend)"
    equal "semanage" "$(head -n 1 told)" "semanage fcontext -a -t rawview_image_t $PWD/disk.qcow2"
    equal "restorecon" "$(sed -n 2p told)" "restorecon -v $PWD/disk.qcow2"
    doctor'
journal_of 0 "AVC $capability" >entries
in_own_with_denials entries '
    finds SELinux "has refused rawviewd .pid 813. sys_ptrace .capability."
    eval "$(mend)"
    grep -qF '"'$capability'"' told || fail "audit2allow was told: $(cat told)"
    equal "what was loaded" "$(grep semodule told)" "semodule -i rawview-local.pp"
    touch /sys/fs/selinux/class
    doctor'
journal_of 0 "AVC ${capability/permissive=0/permissive=1}" >entries
in_own_with_denials entries '
    doctor
    grep -q "^note SELinux: is permissive, and would refuse rawviewd" out'
journal_of 0 'AVC avc:  denied  { read } for  pid=9 comm="httpd" name="file1" tclass=file' >entries
in_own_with_denials entries doctor

step "refusals of SELinux in the log of auditd"
journal_of 9000 nothing >entries
in_own_with_denials entries '
    mkdir /var/log/audit
    echo "type=AVC msg=audit($(($(date +%s) - 9000)).243:24286): '"$avc"'" >/var/log/audit/audit.log
    doctor
    printf "%s\n" "type=AVC msg=audit($(date +%s.%3N):24287): '"$avc"'" \
        "type=SYSCALL msg=audit($(date +%s.%3N):24287): arch=c000003e syscall=257 success=no exit=-13" >>/var/log/audit/audit.log
    finds SELinux "has refused rawviewd .pid 812. read open of $PWD/disk.qcow2"
    eval "$(mend)"
    doctor'

step "a terminal of 60 columns"
timeout 60 "$PYTHON" "$HERE/screen.py" 60 -- as-user "$W/bin/rawview" doctor -v >screen.raw
sed 's/\x1b\[[0-9;]*m//g; s/\r$//' screen.raw >screen
grep -qx 'ok   /dev/fuse: can be opened' screen || fail "$(cat -v screen)"
grep -A1 '^note HOME: ' screen | tail -n 1 | grep -q '^     [a-z]' || fail "no second line: $(cat -v screen)"
! grep -v '^     ->' screen | grep -E '.{61}' || fail "lines that are too long: $(cat -v screen)"

step "words"
refused 2 'one image' rawview doctor a b
