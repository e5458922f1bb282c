#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""recipes.py DOCUMENT: does what the document says, and compares what it shows.

Of a Markdown file every fenced block is one of these:

  ```console          Commands and what they print. "$ " is the user alice, "# " is root; a line that ends with a backslash goes on
                      in the next one, which begins with "> ", and so does a text between <<EOF and EOF. A command has to
                      succeed, or to fail where it ends with "# refused". It prints what stands beneath it and nothing else:
                      "…" is any text within a line, and alone on a line any lines, or none.
  ```ini /etc/FILE    A file: it is written there before the next command runs; beneath ~ as the user, elsewhere as root.
  anything            after a line <!-- not run: REASON --> or <!-- run by: SUITE `TEST` --> is left alone, and counted.

Blocks beneath one "## " heading belong together: two shells, one for each user, in a fresh /home/alice, prepared by
<!-- scene: NAME --> beneath the heading (scenes.sh), and nothing mounted and no process left at the end. Run in
namespaces of its own (recipes.sh), as root.

recipes.py --self-test proves that it can fail.
"""
import os
import re
import signal
import subprocess
import sys
import time

HERE = os.path.dirname(os.path.realpath(__file__))
HOME = "/home/alice"
FENCE = re.compile(r"^```(\w*)(?: (\S+))?$")
COMMENT = re.compile(r"^<!-- (scene|not run|run by): (.*) -->$")
TEST = re.compile(r"^(integration|system|vm|documents) `([\w-]+)`$")
REFUSED = re.compile(r"\s# refused$")
SECONDS = 60


class Bad(Exception):
    pass


class Section:
    def __init__(self, title):
        self.title, self.scene, self.steps = title, None, []


def parse(text):
    """Sections of steps (line, "run", user, command, output) or (line, "write", path, text), and what is not run."""
    sections, left = [Section("")], []
    lines, comment, i = text.split("\n"), None, 0
    while i < len(lines):
        line = lines[i]
        i += 1
        told, fence = COMMENT.match(line), FENCE.match(line)
        if line.startswith("## "):
            sections.append(Section(line[3:]))
        elif told and told.group(1) == "scene":
            sections[-1].scene = told.group(2)
        elif told:
            comment = told.groups()
            continue
        elif fence:
            start = i
            while i < len(lines) and lines[i] != "```":
                i += 1
            if i == len(lines):
                raise Bad(f"line {start}: the block has no end")
            block = lines[start:i]
            i += 1
            if comment:
                left.append((start, *comment))
            elif fence.group(1) == "console":
                sections[-1].steps += parse_console(block, start)
            elif fence.group(2):
                sections[-1].steps.append((start, "write", fence.group(2), "\n".join(block) + "\n"))
            else:
                raise Bad(f"line {start}: is neither run nor written, and does not say why")
        if line.strip():
            comment = None
    return sections, left


def parse_console(block, at):
    steps, i = [], 0
    while i < len(block):
        if block[i][:2] not in ("$ ", "# "):
            raise Bad(f"line {at + i + 1}: a command was expected: {block[i]}")
        line, user, command = at + i + 1, "alice" if block[i][0] == "$" else "root", [block[i][2:]]
        i += 1
        while i < len(block) and block[i].startswith("> "):
            command.append(block[i][2:])
            i += 1
        output = []
        while i < len(block) and block[i][:2] not in ("$ ", "# "):
            output.append(block[i])
            i += 1
        steps.append((line, "run", user, "\n".join(command), output))
    return steps


def matches(shown, seen):
    """Whether the lines that are shown stand for the lines that were seen; empty ones at the end do not count."""
    parts = []
    while seen and not seen[-1].strip():
        seen = seen[:-1]
    while shown and not shown[-1].strip():
        shown = shown[:-1]
    for line in shown:
        if line == "…":
            parts.append(r"(?:.*\n)*?")
        else:
            parts.append(".*".join(re.escape(piece) for piece in line.rstrip().split("…")) + r" *\n")
    return re.fullmatch("".join(parts), "".join(line.rstrip() + "\n" for line in seen)) is not None


class Shell:
    """A shell of one user that keeps its folder and its variables from one command to the next."""

    def __init__(self, user, work):
        self.work, self.user = work, user
        end, ours = os.pipe()
        self.status = os.fdopen(end)
        environment = {
            "PATH": os.environ["PATH"],
            "HOME": HOME if user == "alice" else "/root",
            "USER": user,
            "LC_ALL": "C.UTF-8",
            "TZ": "UTC",
            "COLUMNS": "120",
        }
        start = [] if user == "root" else ["setpriv", f"--reuid={user}", f"--regid={user}", "--init-groups"]
        self.process = subprocess.Popen(
            [*start, "bash", "--norc"],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            env=environment,
            cwd=HOME,
            text=True,
            pass_fds=[ours],
        )
        os.close(ours)
        self.answer = ours

    def run(self, command):
        script, output = (os.path.join(self.work, f"{self.user}.{what}") for what in ("command", "output"))
        with open(script, "w", encoding="utf-8") as f:
            f.write(command + "\n")
        with open(output, "w", encoding="utf-8"):
            os.chmod(output, 0o666)
        self.process.stdin.write(f". {script} </dev/null >{output} 2>&1 {self.answer}>&-; echo $? >&{self.answer}\n")
        self.process.stdin.flush()

        def late(*_):
            raise TimeoutError

        signal.signal(signal.SIGALRM, late)
        signal.alarm(SECONDS)
        try:
            status = self.status.readline().strip()
        except TimeoutError:
            status = f"nothing after {SECONDS} seconds"
        signal.alarm(0)
        with open(output, encoding="utf-8", errors="replace") as f:
            lines = f.read().split("\n")
        return status, lines[:-1] if lines[-1] == "" else lines

    def end(self):
        self.process.stdin.close()
        self.process.wait(20)
        self.status.close()


def run_step(shells, step):
    line, _, user, command, shown = step
    status, seen = shells[user].run(command)
    may_fail = REFUSED.search(command.split("\n")[0])
    if (status == "0") == bool(may_fail):
        raise Bad(f"line {line}: `{command}` ends with {status}:\n" + "\n".join(seen))
    if not matches(shown, seen):
        raise Bad(f"line {line}: `{command}` prints:\n" + "\n".join(seen) + "\nand the document shows:\n" + "\n".join(shown))


def write_file(path, text):
    if path.startswith("~/"):
        path = HOME + path[1:]
    os.makedirs(os.path.dirname(path), exist_ok=True)
    with open(path, "w", encoding="utf-8") as f:
        f.write(text)
    if path.startswith(HOME):
        subprocess.run(["chown", "-R", "alice:alice", HOME], check=True)


def mounts():
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return {line.split()[4] for line in f}


def processes():
    return {int(name) for name in os.listdir("/proc") if name.isdigit()}


def name_of(pid):
    try:
        with open(f"/proc/{pid}/status", encoding="utf-8") as f:
            words = dict(line.rstrip("\n").split(":\t", 1) for line in f if ":\t" in line)
        return None if words["State"].startswith("Z") else words["Name"]
    except OSError:
        return None


def left_over(mounts_before, processes_before):
    return sorted(mounts() - mounts_before) + [n for n in map(name_of, processes() - processes_before) if n]


def run_scene(words):
    subprocess.run(["bash", "-euc", f". {HERE}/scenes.sh; {words}"], cwd=HOME, check=True, stdin=subprocess.DEVNULL)


def run_section(section, work):
    mounts_before, processes_before = mounts(), processes()
    subprocess.run(["mount", "-t", "tmpfs", "none", "/home"], check=True)
    subprocess.run(["install", "-d", "-o", "alice", "-g", "alice", "-m", "755", HOME], check=True)
    if section.scene:
        run_scene(f"scene_{section.scene}")
        subprocess.run(["chown", "-R", "alice:alice", HOME], check=True)
    shells = {user: Shell(user, work) for user in ("alice", "root")}
    for step in section.steps:
        if step[1] == "run":
            run_step(shells, step)
        else:
            write_file(*step[2:])
    for shell in shells.values():
        shell.end()
    if section.scene:
        run_scene(f"! declare -F end_{section.scene} >/dev/null || end_{section.scene}")
    subprocess.run(["umount", "/home"], check=True)
    end = time.monotonic() + 10
    while left_over(mounts_before, processes_before) and time.monotonic() < end:
        time.sleep(0.05)
    left = left_over(mounts_before, processes_before)
    if left:
        raise Bad(f"'{section.title}' leaves behind: {', '.join(left)}")


def is_test(words):
    name = TEST.match(words)
    return name and os.path.exists(os.path.join(HERE, "..", name.group(1), name.group(2) + ".sh"))


def run(document, work):
    with open(document, encoding="utf-8") as f:
        sections, left = parse(f.read())
    name = os.path.basename(document)
    bad = [f"line {line}: there is no such test: {why}" for line, kind, why in left if kind == "run by" and not is_test(why)]
    for section in sections:
        if not section.steps:
            continue
        start = time.monotonic()
        try:
            run_section(section, work)
        except Bad as wrong:
            bad.append(str(wrong))
            break
        print(f"   {section.title}: {len(section.steps)} steps, {time.monotonic() - start:.1f} s", flush=True)
    for line, kind, why in left:
        print(f"   line {line} {kind}: {why}")
    print("".join(f"{name}: {b}\n" for b in bad), end="", file=sys.stderr)
    steps = sum(len(s.steps) for s in sections)
    print(f"in numbers: {name}: {steps} steps run, {len(left)} blocks are not run here")
    return 1 if bad or not steps else 0


def self_test():
    for shown, seen, wanted in (
        (["a", "b"], ["a", "b"], True),
        (["a…z"], ["a something z"], True),
        (["…"], [], True),
        (["…", "z"], ["x", "y", "z"], True),
        ([], ["x"], False),
        (["a"], [], False),
        (["a.c"], ["abc"], False),
        (["a…", "c"], ["ab", "x", "c"], False),
        (["a", ""], ["a"], True),
        (["a"], ["", "a"], False),
    ):
        assert matches(shown, seen) == wanted, (shown, seen)
    text = """# T

## One
<!-- scene: guest -->

```console
$ echo a \\
> b
a b
# cat <<EOF # refused
> x
> EOF
```

```ini /etc/x
y
```

<!-- not run: it takes a day -->
```
z
```
"""
    sections, left = parse(text)
    assert [s.title for s in sections] == ["", "One"] and sections[1].scene == "guest"
    assert sections[1].steps == [
        (7, "run", "alice", "echo a \\\nb", ["a b"]),
        (10, "run", "root", "cat <<EOF # refused\nx\nEOF", []),
        (15, "write", "/etc/x", "y\n"),
    ], sections[1].steps
    assert left == [(20, "not run", "it takes a day")], left
    assert is_test("system `journal`") and not is_test("system `no-such`") and not is_test("journal")
    for wrong in ("```\nx\n```\n", "```console\nx\n```\n", "```console\n$ x\n", "<!-- not run: y -->\nText.\n```\nx\n```\n"):
        try:
            parse(wrong)
        except Bad:
            continue
        raise AssertionError(f"nothing is wrong with {wrong!r}")


if __name__ == "__main__":
    if sys.argv[1:] == ["--self-test"]:
        self_test()
    else:
        sys.exit(run(sys.argv[1], sys.argv[2]))
