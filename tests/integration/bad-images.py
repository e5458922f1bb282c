#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""bad-images.py RECIPES RAWVIEW FOLDER [WORD…]: every bad and every unsupported recipe against the real programs. Whatever is in the
image, each ends soon, by itself, with the status that says so and one sentence that names the file; nothing is mounted. Recipes with -WORD in
their names are left out."""
import concurrent.futures
import errno
import glob
import os
import select
import signal
import subprocess
import sys
import time

RECIPES, RAWVIEW, FOLDER = sys.argv[1:4]
LEFT_OUT = sys.argv[4:]
RAWVIEWD = os.path.join(os.path.dirname(RAWVIEW), "rawviewd")
sys.path.insert(0, RECIPES)
from mkimage import Recipe, Special  # pylint: disable=wrong-import-position

# Of processor time, which a busy machine does not stretch, and of waiting, which it does.
SECONDS_USED, SECONDS_WAITED = 1.0, 60
EX_DATAERR, EX_NOINPUT, EX_NOPERM = 65, 66, 77
CHECK_FAILED, CHECK_CORRUPT, CHECK_UNSUPPORTED = 1, 2, 63


class Wrong(Exception):
    pass


def expect(condition, *words):
    if not condition:
        raise Wrong(" ".join(str(word) for word in words))


class Run:
    """A command that was run to its end, or until its view was up."""

    def __init__(self, folder, *command):
        self.command = command
        self.paths = [os.path.join(folder, name) for name in ("stdout", "stderr")]
        with open(self.paths[0], "wb") as out, open(self.paths[1], "wb") as err:
            ready, tell = os.pipe()
            self.process = subprocess.Popen(
                [*command, *([f"--ready-fd={tell}"] if command[0] == RAWVIEWD else [])],
                cwd=folder, stdin=subprocess.DEVNULL, stdout=out, stderr=err, pass_fds=[tell])
            os.close(tell)
        self.ready = ready

    def wait_until_up(self):
        """The view's path, or nothing when it has ended without."""
        expect(select.select([self.ready], [], [], SECONDS_WAITED)[0], "hangs:", *self.command)
        return os.read(self.ready, 4096)

    def end(self):
        """Gives status, stdout, stderr."""
        guard = select.select([os.pidfd_open(self.process.pid)], [], [], SECONDS_WAITED)[0]
        if not guard:
            self.process.kill()
        _, status, usage = os.wait4(self.process.pid, 0)
        self.process.returncode = os.waitstatus_to_exitcode(status)
        os.close(self.ready)
        if guard:
            os.close(guard[0])
        expect(guard, "hangs:", *self.command)
        expect(self.process.returncode >= 0, "ended by signal:", *self.command)
        used = usage.ru_utime + usage.ru_stime
        expect(used < SECONDS_USED or SANITIZED, f"takes {used:.1f} s:", *self.command)
        texts = []
        for path in self.paths:
            with open(path, "rb") as content:
                texts.append(content.read().decode("utf-8"))
        return self.process.returncode, *texts


def is_sanitized():
    with open(RAWVIEWD, "rb") as program:
        return b"__asan_init" in (content := program.read()) or b"__tsan_init" in content


SANITIZED = is_sanitized()


def expect_sentence(text, image):
    """One line, for people, that begins with the file."""
    expect(text.endswith("\n") and text.count("\n") == 1, "not one line:", repr(text))
    expect(text.startswith(f"rawview: {image}: ") and len(text.split(": ", 2)[2].strip()) > 5, "not about the file:", repr(text))
    expect(all(c.isprintable() for c in text[:-1]), "not printable:", repr(text))


def expect_no_mount(path):
    with open("/proc/self/mountinfo", encoding="utf-8") as mounts:
        expect(path + "/" not in mounts.read(), "a mount is left in", path)


def status_of(recipe, special):
    """What the policy refuses is nothing that the image's bytes are wrong about."""
    if special:
        return EX_NOINPUT
    refused = recipe.errno in (errno.EACCES, errno.EINVAL) and any(isinstance(item, Special) for item in recipe.files.values())
    return EX_NOPERM if refused or recipe.errno in (errno.EACCES, errno.ENOKEY, errno.EKEYREJECTED) else EX_DATAERR


def refuse(recipe, run, image, special):
    expect(not run.wait_until_up(), "a view of a bad image")
    status, out, err = run.end()
    expect(status == status_of(recipe, special), f"rawviewd ends with {status}:", err)
    expect(out == "", "on stdout:", out)
    expect_sentence(err, image)
    for word in recipe.words:
        expect(word in err, f"does not say '{word}' but:", err)


def read_faults(recipe, run, view):
    """A view that opens: the places that cannot be read give EIO, and are told of in the log."""
    if not run.wait_until_up():
        raise Wrong("no view: {0} {1} {2}".format(*run.end()))
    with open(view, "rb", buffering=0) as f:
        for code, off, _ in recipe.faults:
            try:
                os.pread(f.fileno(), 512, off)
                raise Wrong(f"byte {off} can be read")
            except OSError as reason:
                expect(reason.errno == code, f"byte {off}:", reason)
    # It is told of a moment later.
    end = time.monotonic() + SECONDS_WAITED
    while os.path.getsize(run.paths[1]) == 0 and time.monotonic() < end:
        time.sleep(0.01)
    run.process.send_signal(signal.SIGTERM)
    status, _, err = run.end()
    expect(status == 0, f"ends with {status}:", err)
    expect("Input/output error" in err, "the log does not tell:", err)


def key_file(recipe, folder):
    """As suite format has it: the passphrase is rawview, another one, or nobody has one."""
    passphrase = recipe.open.get("passphrase", "rawview")
    if not passphrase:
        return []
    path = os.path.join(folder, "passphrase")
    with open(os.open(path, os.O_WRONLY | os.O_CREAT, 0o600), "w", encoding="utf-8") as key:
        key.write(passphrase)
    return [f"--key-file={path}"]


def show(recipe, folder, image, special):
    view = os.path.join(folder, "view")
    with open(view, "wb"):
        pass
    options = [f"--{key}={text}" for key, text in recipe.open.items() if key != "passphrase"] + key_file(recipe, folder)
    run = Run(folder, RAWVIEWD, f"--path={image}", f"--mount-point={view}", *options)
    if recipe.errno:
        refuse(recipe, run, image, special)
    else:
        read_faults(recipe, run, view)
    expect_no_mount(folder)


def tell(recipe, folder, image, verb, allowed):
    options = [f"--format={recipe.open['format']}"] if "format" in recipe.open else []
    status, out, err = Run(folder, RAWVIEW, verb, *options, image).end()
    expect(status in allowed, f"rawview {verb} ends with {status}:", out, err)
    if out == "":
        expect_sentence(err, image)
    return status


def try_recipe(path):
    recipe = Recipe(path)
    folder = os.path.join(FOLDER, os.path.basename(path).removesuffix(".recipe"))
    os.mkdir(folder)
    recipe.make(folder)
    name, first = next(iter(recipe.files.items()))
    image = os.path.join(folder, name)
    special = isinstance(first, Special) and first.kind != "link"
    show(recipe, folder, image, special)
    info = tell(recipe, folder, image, "info", (0, 1))
    check = tell(recipe, folder, image, "check", (0, CHECK_FAILED, CHECK_CORRUPT, 3, CHECK_UNSUPPORTED))
    return info, check


def main():
    paths = [path for kind in ("bad", "unsupported") for path in sorted(glob.glob(os.path.join(RECIPES, kind + "-*.recipe")))]
    paths = [path for path in paths if not any(f"-{word}" in os.path.basename(path) for word in LEFT_OUT)]
    failures, passed = 0, {}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        for path, future in [(path, pool.submit(try_recipe, path)) for path in paths]:
            name = os.path.basename(path)
            try:
                passed.setdefault(future.result(), []).append(name)
            except (Wrong, UnicodeDecodeError, OSError) as reason:
                print(f"FAIL: {name}: {reason}", file=sys.stderr)
                failures += 1
    for (info, check), names in sorted(passed.items()):
        print(f"info {info}, check {check}: {len(names)}", *(names if os.environ.get("RAWVIEW_NAMES") else []))
    if failures or len(paths) < 150:
        sys.exit(f"{failures} of {len(paths)} recipes failed")


if __name__ == "__main__":
    main()
