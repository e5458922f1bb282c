#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# Where rawviewd looks for a descriptor and its drop-ins, as root and as an ordinary user, and what --check prints of them.
. "$(dirname "$0")/lib.sh"
make_programs

step prepare
fill_file disk.raw 1M
truncate -s 2M other.raw
: >mp
mkdir -m 700 home
chown $USER_ID disk.raw mp home
# The folders in which descriptors lie are this test's own: a copy, empty ones, and a layer above what is there.
cp -a /etc etc
mount --bind etc /etc
rm -rf /etc/rawview
mkdir layer
mount -t tmpfs -o mode=755 none /run
mount -t tmpfs -o mode=755 none /usr/local/lib
mount -t tmpfs -o mode=755 none layer
mkdir layer/up layer/work
mount -t overlay -o "lowerdir=/usr/lib,upperdir=$W/layer/up,workdir=$W/layer/work" none /usr/lib 2>overlay.err ||
    cannot_run "no overlay over /usr/lib: $(cat overlay.err)"
rm -rf /usr/lib/rawview

# put FILE LINE…
put()
{
    local file=$1
    shift
    mkdir -p "$(dirname "$file")"
    printf '%s\n' "$@" >"$file"
}

# check NAME [OPTION…]: as root; the output stands in $OUT, what was warned of in check.err.
check()
{
    OUT=$(timeout 20 "$W/bin/rawviewd" --check "$@" 2>check.err) || fail "--check $*: status $?: $(cat check.err)"
    no_mount_left
}

# value KEY, source KEY: of the JSON in $OUT.
value()
{
    jq -r --arg key "$1" '.settings[] | select(.key == $key).value | if type == "array" then join(" ") else tostring end' <<<"$OUT"
}

source_of()
{
    jq -r --arg key "$1" '.settings[] | select(.key == $key).sources | join(" ")' <<<"$OUT"
}

files_of()
{
    jq -r '.files | join(" ")' <<<"$OUT"
}

bad()
{
    refused 78 "$@"
}

root_check()
{
    bad "$1" "$W/bin/rawviewd" --check "$2"
}

step "no descriptor anywhere, and no folder of any"
root_check 'there is no web.image in /etc/rawview, /run/rawview, /usr/local/lib/rawview or /usr/lib/rawview$' web
bad 'there is no web.image in /etc/rawview' "$W/bin/rawviewd" web

step "the first folder wins"
for folder in /usr/lib /usr/local/lib /run /etc; do
    put $folder/rawview/web.image '[Image]' "Path=$folder/%i.raw"
    check --check=json web
    equal "Path" "$(value Path)" "$folder/web.raw"
    equal "source" "$(source_of Path)" "$folder/rawview/web.image:2"
    equal "files" "$(files_of)" "$folder/rawview/web.image"
done

step "a mask, and what must not be believed, is not passed over"
ln -sf /dev/null /etc/rawview/web.image
root_check '/etc/rawview/web.image: is masked' web
rm /etc/rawview/web.image
chmod 666 /run/rawview/web.image
root_check '/run/rawview/web.image: refused: the file .* has mode 0666' web
rm /run/rawview/web.image
chown $USER_ID /usr/local/lib/rawview
root_check "/usr/local/lib/rawview/web.image: refused: the folder .* belongs to $USER_ID" web
chown root /usr/local/lib/rawview
ln -s /nowhere /etc/rawview/web.image
root_check '/etc/rawview/web.image: cannot open it: No such file' web
rm /etc/rawview/web.image

step "drop-ins of all folders, by file name"
put /usr/local/lib/rawview/web.image '[Image]' "Path=$W/disk.raw" 'Format=raw' 'References=chain' 'AllowedPaths=/lost' '[View]' "MountPoint=/lost"
put /usr/lib/rawview/web.image.d/20-last.conf '[View]' "MountPoint=$W/mp"
put /run/rawview/web.image.d/10-first.conf '[View]' 'MountPoint=/first' '[Image]' 'AllowedPaths=' "AllowedPaths=/a \\" "   '/b c'"
put /etc/rawview/web.image.d/15-mode.conf '[View]' 'Mode=0440' '; a comment' 'Colour=red' '[Mystery]' 'Key=x'
put /usr/lib/rawview/web.image.d/15-mode.conf '[View]' 'Mode=0777'
put /usr/lib/rawview/web.image.d/30-masked.conf 'nonsense'
ln -s /dev/null /run/rawview/web.image.d/30-masked.conf
check --check=json web
equal "files" "$(files_of)" "/usr/local/lib/rawview/web.image /run/rawview/web.image.d/10-first.conf /etc/rawview/web.image.d/15-mode.conf /usr/lib/rawview/web.image.d/20-last.conf"
equal "MountPoint" "$(value MountPoint)" "$W/mp"
equal "Mode" "$(value Mode) $(source_of Mode)" "0440 /etc/rawview/web.image.d/15-mode.conf:2"
equal "AllowedPaths" "$(value AllowedPaths)" "/a /b c"
equal "a default" "$(value CacheSize) $(source_of CacheSize)" "16777216 "
equal "warnings" "$(grep -c . check.err)" 2
grep -q "/etc/rawview/web.image.d/15-mode.conf:4: unknown key 'Colour' in section \[View\], ignored" check.err
grep -q '/etc/rawview/web.image.d/15-mode.conf:5: unknown section \[Mystery\], ignored' check.err

step "… for people, with an option that overrules"
check --cache-size=32M web
for line in '# /run/rawview/web.image.d/10-first.conf' 'AllowedPaths=/a /b\\ c +/run/rawview/web.image.d/10-first.conf:5' \
    'Writable=no +default' 'CacheSize=32M +--cache-size' "Path=$W/disk.raw +/usr/local/lib/rawview/web.image:2"; do
    grep -qE "^$line\$" <<<"$OUT" || fail "no line '$line' in: $OUT"
done

step "the image is not opened, and need not be there"
put /etc/rawview/absent.image '[Image]' 'Path=/nowhere/at/all' 'Format=raw'
strace -f -e trace=%file,%process -o trace "$W/bin/rawviewd" --check absent >stdout 2>stderr || true
# A build with sanitizers does not end well when it is traced.
if grep -qs 'exited with 0' trace; then
    grep -q absent.image trace
    ! grep -qE 'nowhere|rawview-worker|mount\(' trace || fail "it does more than to read: $(grep -E 'nowhere|worker|mount\(' trace)"
else
    echo "   left out: it cannot be traced here"
fi
check absent

step "a view of all that"
"$W/bin/rawviewd" web >web.log 2>&1 &
SERVICE=$!
wait_until 30 is_mounted mp || fail "no view: $(cat web.log)"
cmp mp disk.raw
equal "mode" "$(stat -c %a mp)" 440
kill -TERM $SERVICE
wait $SERVICE || fail "rawviewd ended with $?: $(cat web.log)"
no_mount_left

step "what is wrong, with its place"
rm /etc/rawview/web.image.d/15-mode.conf /usr/lib/rawview/web.image.d/15-mode.conf
put /run/rawview/web.image.d/40-wrong.conf '[View]' 'Writable=perhaps'
root_check "^rawview: /run/rawview/web.image.d/40-wrong.conf:2: Writable: 'perhaps' is not a boolean; allowed are yes, no" web
put /run/rawview/web.image.d/40-wrong.conf '[View]' 'Growable=yes'
root_check '^rawview: /usr/local/lib/rawview/web.image: Growable=yes .* needs Writable=yes' web
chmod 777 /run/rawview/web.image.d
root_check 'refused: the folder .*/web.image.d belongs to root and has mode 0777' web
refused 64 "'xml' is not allowed; allowed are human, json" "$W/bin/rawviewd" --check=xml web
refused 64 'is no name of a descriptor' "$W/bin/rawviewd" --check ../web
rm -r /run/rawview/web.image.d

# user-check SETTING… -- ARGUMENT…: rawviewd of the user, in an environment of these settings alone.
cat >"$W/bin/user-check" <<'END'
#!/bin/bash
settings=("PATH=$PATH")
for name in ASAN_OPTIONS UBSAN_OPTIONS TSAN_OPTIONS; do
    [[ -z ${!name:-} ]] || settings+=("$name=${!name}")
done
while [[ $1 != -- ]]; do
    settings+=("$1")
    shift
done
shift
exec as-user env -i "${settings[@]}" rawviewd "$@"
END
chmod 755 "$W/bin/user-check"

step "a user has folders of the user's own, and root's for users, but not root's"
put /etc/rawview/mine.image '[Image]' 'Path=/system'
bad "there is no mine.image in $W/home/.config/rawview, /etc/rawview/user or /usr/lib/rawview/user\$" \
    user-check "HOME=$W/home" -- mine
bad "there is no mine.image in $W/home/c/rawview, $W/home/r/rawview, /etc/rawview/user or /usr/lib/rawview/user\$" \
    user-check "HOME=$W/home" "XDG_CONFIG_HOME=$W/home/c" "XDG_RUNTIME_DIR=$W/home/r" -- mine
as-user mkdir -p home/.config/rawview home/c/rawview home/r/rawview/mine.image.d
# user_says WANT: where Path= comes from.
user_says()
{
    OUT=$(user-check "HOME=$W/home" "XDG_CONFIG_HOME=$W/home/c" "XDG_RUNTIME_DIR=$W/home/r" -- --check=json mine)
    equal "source" "$(source_of Path)" "$1"
}
put /usr/lib/rawview/user/mine.image '[Image]' 'Path=/x'
user_says /usr/lib/rawview/user/mine.image:2
put /etc/rawview/user/mine.image '[Image]' 'Path=/x'
user_says /etc/rawview/user/mine.image:2
as-user sh -c 'printf "[Image]\nPath=/x\n" >home/r/rawview/mine.image'
user_says "$W/home/r/rawview/mine.image:2"
as-user sh -c 'printf "[Image]\nPath=%%h/x\n" >home/c/rawview/mine.image'
user_says "$W/home/c/rawview/mine.image:2"
equal "%h" "$(value Path)" "$W/home/x"
as-user sh -c 'printf "[Image]\nPath=%%t/x\n" >home/r/rawview/mine.image.d/x.conf'
user_says "$W/home/r/rawview/mine.image.d/x.conf:2"
equal "%t" "$(value Path)" "$W/home/r/x"
as-user sh -c 'printf "[Image]\nPath=/x\n" >home/.config/rawview/mine.image'
OUT=$(user-check "HOME=$W/home" -- --check=json mine)
equal "source" "$(source_of Path)" "$W/home/.config/rawview/mine.image:2"

step "… which nobody else may write to, and a mask there counts"
as-user chmod 666 home/c/rawview/mine.image
bad 'c/rawview/mine.image: refused: the file .* must be writable by you and root alone' \
    user-check "XDG_CONFIG_HOME=$W/home/c" -- --check mine
as-user ln -sf /dev/null home/c/rawview/mine.image
bad 'c/rawview/mine.image: is masked' user-check "XDG_CONFIG_HOME=$W/home/c" -- --check mine
# Somebody else's folder says nothing to us, and that is said.
mkdir -m 700 closed
bad "closed/rawview/mine.image: cannot open it: Permission denied" user-check "XDG_CONFIG_HOME=$W/closed" -- --check mine

step "root does not look where a user's variables lead"
put "$W/rootcfg/rawview/mine.image" '[Image]' 'Path=/wrong'
OUT=$(XDG_CONFIG_HOME=$W/rootcfg XDG_RUNTIME_DIR=$W/rootcfg HOME=$W/rootcfg "$W/bin/rawviewd" --check=json mine)
equal "Path" "$(value Path)" /system

step "a view of a user's, by name"
rm home/c/rawview/mine.image
printf '%s\n' '[Image]' "Path=$W/disk.raw" 'Format=raw' '[View]' "MountPoint=$W/mp" | as-user tee home/c/rawview/mine.image >/dev/null
as-user rm home/r/rawview/mine.image.d/x.conf
user-check "XDG_CONFIG_HOME=$W/home/c" "XDG_RUNTIME_DIR=$W/home/r" -- --pidfile="$W/home/pid" mine >mine.log 2>&1 &
wait_until 30 test -s home/pid || fail "no view: $(cat mine.log)"
as-user cmp mp disk.raw
kill -TERM "$(cat home/pid)"
wait $! || fail "rawviewd ended with $?: $(cat mine.log)"
no_mount_left
