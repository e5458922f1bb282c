#!/bin/bash
# SPDX-License-Identifier: LGPL-2.1-or-later
#
# recording.sh SVG: types the commands of the recording in a terminal, and writes SVG of what was to be seen; recording.sh
# --check SVG: compares with SVG instead, but for numbers. `./dev recording` writes docs/recording.svg.
words=("$@")
svg=$(realpath "${words[-1]}")
. "$(dirname "$0")/terminal.sh"
. "$HERE/../documents/machine.sh"

# shellcheck disable=SC2016
commands=(
    'file web.vmdk'
    'rawview web.vmdk'
    'fdisk -l web.vmdk'
    'rawview list'
    'rawview umount web.vmdk'
    'file web.vmdk'
)

step "the commands"
# shellcheck source=tests/documents/scenes.sh
(cd /home/alice && bash -euc ". $HERE/../documents/scenes.sh; scene_tour" && chown -R alice:alice .)
mkdir -m 700 /run/user/61184
chown alice:alice /run/user/61184
in_tmux new-session -d -x 88 -y 60 -c /home/alice \
    "exec setpriv --reuid=alice --regid=alice --init-groups env -i HOME=/home/alice USER=alice PATH=$PATH LC_ALL=C.UTF-8 TZ=UTC \
    XDG_RUNTIME_DIR=/run/user/61184 TERM=screen-256color PS1='ready> ' bash --norc --noprofile"
in_tmux set-option -g status off
is_ready
enter "PS1='\\[\\e[32m\\]\$\\[\\e[m\\] '; clear"

# A prompt at the end, and nothing behind it.
has_dollar()
{
    [[ $(screen | sed '/^ *$/d' | tail -n 1) =~ ^\$\ *$ && $(screen | grep -c '^\$') == "$1" ]]
}

count=1
wait_until 20 has_dollar $count || fail "no prompt: $(screen)"
for command in "${commands[@]}"; do
    enter "$command"
    count=$((count + 1))
    wait_until 20 has_dollar $count || fail "'$command' does not end: $(screen)"
done
screen_colours >seen
in_tmux kill-server

step "what was seen"
"$PYTHON" "$HERE/../documents/recording.py" "${words[@]:0:${#words[@]}-1}" seen "$svg"
no_mount_left
