# SPDX-License-Identifier: LGPL-2.1-or-later
"""What the lint scripts share: the list of files, and how a script is run or tests itself.

Each script has check(root, ...) -> list of complaints, and self_test(), which proves on a small made-up tree that the
check can fail. `script.py --self-test` runs that; `script.py ROOT [ARGS]` checks the tree and is silent when all is well.
"""
import os
import subprocess
import sys
import tempfile

SKIPPED = {".git", "build", "__pycache__"}


def files(root):
    """Paths beneath root, relative to it: those git knows or would add, or all of them without git."""
    git = subprocess.run(
        ["git", "-c", "safe.directory=*", "-C", root, "ls-files", "-z", "--cached", "--others", "--exclude-standard"],
        capture_output=True,
        text=True,
    ) if os.path.exists(os.path.join(root, ".git")) else None
    if git and git.returncode == 0:
        names = git.stdout.split("\0")
        return sorted({n for n in names if n and os.path.isfile(os.path.join(root, n))})
    found = []
    for folder, folders, names in os.walk(root):
        folders[:] = [f for f in folders if f not in SKIPPED and not f.startswith("build-")]
        found += [os.path.relpath(os.path.join(folder, n), root) for n in names]
    return sorted(found)


def read(root, name):
    with open(os.path.join(root, name), encoding="utf-8", errors="replace") as f:
        return f.read()


def made_up(contents):
    """A temporary folder with these files {name: text}; a context manager that gives its path."""
    folder = tempfile.TemporaryDirectory(prefix="rawview-lint.")
    for name, text in contents.items():
        path = os.path.join(folder.name, name)
        os.makedirs(os.path.dirname(path), exist_ok=True)
        with open(path, "w", encoding="utf-8") as f:
            f.write(text)
    return folder


def expect(complaints, *words):
    """One complaint for each of `words`, in any order, and no other."""
    left = list(complaints)
    for word in words:
        hit = next((c for c in left if word in c), None)
        assert hit is not None, f"nothing complains of {word!r}: {complaints}"
        left.remove(hit)
    assert not left, f"unexpected: {left}"


def main(check, self_test):
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return
    complaints = check(*sys.argv[1:])
    for c in complaints:
        print(c)
    sys.exit(1 if complaints else 0)
