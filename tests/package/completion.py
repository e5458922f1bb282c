#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""completion.py SHELL FOLDER OPTIONS: what the completion in FOLDER makes of lines that somebody types in a terminal.

Each line ends with a tab, as typed. What the shell has made of it is then given to a function, `put`, which writes its words into a file:
so nothing has to be read from the screen. Every option of every command is typed but for its last letter; then come values.
Exit 77 without the shell.
"""
import os
import pty
import select
import shutil
import signal
import sys
import tempfile
import time

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "completion"))
import table

# What is typed, and the words that it becomes. VIEW is a view, in the current folder as well.
LINES = [
    ("rawview inf", "rawview info"),
    ("rawview check disk.q", "rawview check disk.qcow2"),
    ("rawview disk.q", "rawview disk.qcow2"),
    ("rawview mount -f vmd", "rawview mount -f vmdk"),
    ("rawview mount --format vmd", "rawview mount --format vmdk"),
    ("rawview mount --format=vmd", "rawview mount --format=vmdk"),
    ("rawview --allow-other=aut", "rawview --allow-other=auto"),
    ("rawview disk.qcow2 --format=vmd", "rawview disk.qcow2 --format=vmdk"),
    ("rawview mount --growable=y", "rawview mount --growable=yes"),
    ("rawview mount --key-file=sec", "rawview mount --key-file=secret.key"),
    ("rawview mount --owner=nobod", "rawview mount --owner=nobody"),
    ("rawview mount --allowed-paths=fold", "rawview mount --allowed-paths=folder/"),
    ("rawview mount -o growabl", "rawview mount -o growable"),
    ("rawview mount -o ro,force-shar", "rawview mount -o ro,force-share"),
    ("rawview mount -o ro,format=vmd", "rawview mount -o ro,format=vmdk"),
    ("rawview mount -o ro,key-file=sec", "rawview mount -o ro,key-file=secret.key"),
    ("rawview mount -o owner=nobod", "rawview mount -o owner=nobody"),
    ("rawview mount disk.qcow2 poi", "rawview mount disk.qcow2 point"),
    ("rawview list --json=pre", "rawview list --json=pretty"),
    ("rawview info --output=j", "rawview info --output=json"),
    ("rawview check -r lea", "rawview check -r leaks"),
    ("rawview umount /somewhere/a", "rawview umount /somewhere/a view"),
    ("rawview umount disk.v", "rawview umount disk.vmdk"),
    ("rawview umount disk.vmdk /somewhere/a", "rawview umount disk.vmdk /somewhere/a view"),
    ("rawviewd w", "rawviewd web"),
    ("rawviewd --check=js", "rawviewd --check=json"),
    ("mount.rawview disk.qcow2 point -o ro,format=vmd", "mount.rawview disk.qcow2 point -o ro,format=vmdk"),
]

# {shell: how it is started, what it is told first}; {folder} has the completion, {put} the file that `put` writes.
SHELLS = {
    "bash": (
        ["bash", "--norc", "--noprofile", "-i"],
        ". {folder}/rawview",
        "put() {{ printf '%s\\n' \"$@\" >{put}.new && mv {put}.new {put}; }}",
    ),
    "zsh": (
        ["zsh", "-f", "-i"],
        "fpath=({folder} $fpath); autoload -Uz compinit; compinit -u -D; unsetopt autoremoveslash; setopt nobeep",
        "put() {{ print -rl -- $@ >{put}.new && mv {put}.new {put} }}",
    ),
    "fish": (
        ["fish", "--no-config", "-i"],
        "set -g fish_autosuggestion_enabled 0; source {folder}/rawview.fish",
        "function put; printf '%s\\n' $argv >{put}.new; and mv {put}.new {put}; end",
    ),
}


class Terminal:
    """A shell in a terminal, in a folder of its own."""

    def __init__(self, shell, folder, home):
        command, *told = SHELLS[shell]
        self.put = os.path.join(home, "said")
        self.screen = b""
        environment = {
            "HOME": home, "PATH": f"{home}/bin:{os.environ['PATH']}", "TERM": "xterm", "LC_ALL": "C.UTF-8",
            "XDG_CONFIG_HOME": f"{home}/config", "XDG_RUNTIME_DIR": f"{home}/run", "PS1": "$ ",
        }
        self.pid, self.fd = pty.fork()
        if self.pid == 0:
            os.chdir(f"{home}/here")
            os.execvpe(command[0], command, environment)
        for line in told:
            self.send(line.format(folder=folder, put=self.put) + "\r")
        self.send("put ready\r")
        self.answer()

    def send(self, text):
        os.write(self.fd, text.encode())

    def answer(self):
        """The words that `put` was given."""
        end = time.monotonic() + 60
        while not os.path.exists(self.put):
            if time.monotonic() > end:
                raise SystemExit(f"the shell says nothing; on its screen is:\n{self.screen[-3000:].decode(errors='replace')}")
            if select.select([self.fd], [], [], 0.002)[0]:
                self.screen += os.read(self.fd, 65536)
        with open(self.put, encoding="utf-8") as f:
            words = f.read().split("\n")[:-1]
        os.unlink(self.put)
        return words

    def type(self, line):
        """What LINE and a tab become. Ctrl-A is the line's beginning in all of them."""
        self.send(line + "\t\x01put \r")
        return " ".join(self.answer())

    def close(self):
        os.kill(self.pid, signal.SIGKILL)
        os.close(self.fd)
        os.waitpid(self.pid, 0)


def make_home(home):
    for folder in ("bin", "here/folder", "config/rawview", "run"):
        os.makedirs(os.path.join(home, folder))
    for name in ("here/disk.qcow2", "here/point", "here/secret.key", "config/rawview/web.image"):
        with open(os.path.join(home, name), "w", encoding="utf-8"):
            pass
    # Views, as the kernel would have them. The other one is not in this folder, and has a name that is to be quoted.
    findmnt = os.path.join(home, "bin", "findmnt")
    with open(findmnt, "w", encoding="utf-8") as f:
        f.write(f"#!/bin/sh\nprintf '%s\\n' '{home}/here/disk.vmdk' '/somewhere/a view'\n")
    os.chmod(findmnt, 0o755)


def option_lines(commands):
    for c in commands.values():
        if c.name in ("keys", "-o"):
            continue
        for o in c.options.values():
            # Where another option is all but its last letter, as --partition is of --partitions, a tab cannot tell which is meant.
            if o.name and o.name[:-1] not in c.options:
                yield f"{c.name} {o.name[:-1]}", f"{c.name} {o.name}"


def check(shell, folder, options):
    if not shutil.which(shell):
        print(f"no {shell} here")
        sys.exit(77)
    complaints = []
    with tempfile.TemporaryDirectory(prefix="rawview-completion.") as home:
        make_home(home)
        terminal = Terminal(shell, folder, home)
        lines = [*option_lines(table.read(options)), *LINES]
        for typed, expected in lines:
            became = terminal.type(typed)
            # "=" is put behind an option that wants a value, as it pleases the shell.
            if became != expected and became != expected + "=":
                complaints.append(f"{shell}: '{typed}' became '{became}', expected '{expected}'")
        terminal.close()
    print("\n".join(complaints) or f"{shell}: {len(lines)} lines")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(check(*sys.argv[1:]))
