# SPDX-License-Identifier: LGPL-2.1-or-later
# shellcheck shell=bash
#
# A person at a terminal: a shell in tmux, within the namespaces of integration's lib.sh.
#   open_terminal COLUMNS [LINES]   a terminal with a shell in it, prompt "ready> "
#   resize COLUMNS                  and its programs know
#   enter TEXT                      types a line; press KEY presses Ctrl-C (C-c) and the like
#   screen                          what is to be seen, screen_colours with its escape sequences
#   sees PATTERN                    waits until a line of the screen matches, or fails and prints the screen
#   is_ready                        waits until the shell is back
#   finish TEXT                     enters a line, and waits until it has run; its status stands in $SAID_STATUS
. "$(dirname "${BASH_SOURCE[0]}")/../integration/lib.sh"
need tmux

in_tmux()
{
    LC_ALL=C.UTF-8 tmux -f /dev/null -S "$W/tmux" "$@"
}

open_terminal()
{
    in_tmux new-session -d -x "$1" -y "${2:-24}" -c "$W" \
        "env LC_ALL=C.UTF-8 TERM=screen-256color PS1='ready> ' HISTFILE= PATH=$PATH bash --norc --noprofile"
    in_tmux set-option -g status off
    in_tmux set-option -g history-limit 5000
    is_ready
}

close_terminal()
{
    in_tmux kill-server
    wait_until 20 tmux_is_gone || fail "tmux does not end"
}

tmux_is_gone()
{
    ! in_tmux list-sessions >/dev/null 2>&1
}

# tmux tells the terminal's programs a little later.
resize()
{
    in_tmux resize-window -x "$1"
    wait_until 20 has_width "$1" || fail "the terminal does not become $1 columns wide"
}

has_width()
{
    [[ $(stty -F "$(in_tmux display-message -p '#{pane_tty}')" size) == *" $1" ]]
}

enter()
{
    in_tmux send-keys -l -- "$1"
    in_tmux send-keys Enter
}

press()
{
    in_tmux send-keys "$1"
}

screen()
{
    in_tmux capture-pane -p
}

screen_colours()
{
    in_tmux capture-pane -p -e
}

screen_has()
{
    screen | grep -qE -- "$1"
}

sees()
{
    wait_until 20 screen_has "$1" || fail "no '$1' on the screen: $(screen)"
}

# The last line with anything in it is a prompt, and nothing has been typed behind it.
has_prompt()
{
    [[ $(screen | sed '/^ *$/d' | tail -n 1) =~ ^(\^C)?ready\>\ *$ ]]
}

is_ready()
{
    wait_until 30 has_prompt || fail "the shell is not back: $(screen)"
}

finish()
{
    rm -f said-status
    enter "$1; echo \$? >$W/said-status; stty -a >$W/said-stty"
    wait_until 30 test -s said-stty || fail "'$1' does not end: $(screen)"
    is_ready
    # shellcheck disable=SC2034
    SAID_STATUS=$(cat said-status)
    rm said-stty
}
