# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured: the plain file, a FUSE server that does nothing, rawview, and QEMU's storage daemon, each as a file
that fio can open.

A new target is a class with the methods of Target, and one line in find_targets().
"""
import contextlib
import glob
import os
import re
import shutil
import signal
import subprocess
import tempfile
import time

from errors import Failed, output_of


def mount_points():
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        points = [line.split(" ")[4] for line in f]
    # Blanks, tabs, newlines and backslashes stand there as \\040 and the like.
    return {re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), p) for p in points}


def is_mounted(path):
    return path in mount_points()


class Daemon:
    """A program that shows a file at `point` until it gets SIGTERM. Ended by its process, never by a name."""

    def __init__(self, command, point, environment=None):
        self.point = point
        self.log = point + ".log"
        self.began = time.perf_counter()
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log, env=environment)

    def failure(self):
        with open(self.log, encoding="utf-8", errors="replace") as log:
            return Failed(log.read().strip()[-300:] or "no view came up")

    def wait_until_up(self):
        self.wait_for(lambda: is_mounted(self.point) or self.process.poll() is not None, 30)
        if self.process.poll() is not None or not is_mounted(self.point):
            raise self.failure()

    @staticmethod
    def wait_for(done, seconds):
        end = time.monotonic() + seconds
        while not done() and time.monotonic() < end:
            time.sleep(0.002)

    def end(self):
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(60)
            except subprocess.TimeoutExpired:
                self.process.kill()
                self.process.wait()
        self.wait_for(lambda: not is_mounted(self.point), 5)
        if is_mounted(self.point):
            lazily = ["umount", "-l"] if os.getuid() == 0 else ["fusermount3", "-u", "-z"]
            subprocess.run([*lazily, self.point], check=False)
        os.unlink(self.log)


class View:
    """What is measured at the moment: the path for whoever reads, and the daemon, if there is one."""

    def __init__(self, path, daemon):
        self.path, self.daemon = path, daemon


@contextlib.contextmanager
def started(bench, target, image, writable, environment=None):
    """The daemon of the target, begun and not waited for, over a mount point of its own: nothing that a view left
    behind could meet the next one."""
    fd, point = tempfile.mkstemp(dir=bench.work, prefix=f"{target.name}.")
    os.close(fd)
    daemon = None
    try:
        daemon = Daemon(target.command(image, point, writable), point, environment)
        yield daemon
    finally:
        if daemon:
            daemon.end()
        os.unlink(point)


@contextlib.contextmanager
def shown(bench, target, image, writable):
    if not target.is_served:
        yield View(image, None)
        return
    with started(bench, target, image, writable) as daemon:
        daemon.wait_until_up()
        yield View(daemon.point, daemon)


class Target:
    """The interface, and what the plain file of the host needs: nothing."""

    name, title = "host", "plain file"
    # The head of its column.
    short = "host"
    format = "raw"
    may_write = True
    # Otherwise the file itself is measured, and there is no command.
    is_served = False
    # The kernel's cache of a view is dropped before each run, what the server reads is not; of the plain file that
    # cache is all there is.
    keep_cache = True

    def version(self):
        return "Linux " + os.uname().release

    def command(self, image, point, writable):
        """What shows the image over the file `point`, in the foreground."""
        raise NotImplementedError


class Null(Target):
    """A FUSE file server that only answers: the limit of the transport. Of its image only the size matters."""

    name, title, short = "null", "null server", "null"
    format = "nothing"
    is_served = True
    keep_cache = False

    def __init__(self, program):
        self.program = program

    def version(self):
        return "zeroes over FUSE, libfuse " + output_of("fusermount3", "--version").split()[-1]

    def command(self, image, point, writable):
        return [self.program, str(os.path.getsize(image)), point]


class Rawview(Target):
    name, title, short = "rawview", "rawview", "rawview"
    format = "qcow2"
    is_served = True
    keep_cache = False
    writing = ["--writable"]

    def __init__(self, build):
        # rawview-worker stands beside it.
        self.program = os.path.join(build, "src", "rawviewd")

    def version(self):
        return output_of(self.program, "--version").splitlines()[0]

    def command(self, image, point, writable):
        command = [self.program, f"--path={image}", f"--mount-point={point}", f"--format={self.format}", "--quiet"]
        return command + self.writing * writable


class RawviewRaw(Rawview):
    name, title, short = "rawview-raw", "rawview, raw image", "raw view"
    format = "raw"
    # To a view that may not grow nobody writes past the worker.
    writing = ["--writable", "--growable"]


class StorageDaemon(Target):
    name, title = "qsd", "QSD of this machine"
    format = "qcow2"
    is_served = True
    keep_cache = False

    def __init__(self, program):
        self.program = program
        found = re.search(r"version (\d+)\.(\d+)", self.version())
        if not found:
            raise Failed("qemu-storage-daemon does not tell its version")
        self.title = self.short = f"QSD {found.group(1)}.{found.group(2)}"
        # Versions before 10 mix up the bytes of concurrent writes: their speed says nothing.
        self.may_write = int(found.group(1)) >= 10

    def version(self):
        return output_of(*self.program, "--version").splitlines()[0]

    def command(self, image, point, writable):
        name, mode = image.replace(",", ",,"), "read-only=" + ("off" if writable else "on")
        export = f"fuse,id=view,node-name=disk,mountpoint={point.replace(',', ',,')}"
        return [
            *self.program,
            "--blockdev", f"driver=file,node-name=file,{mode},filename={name}",
            "--blockdev", f"driver=qcow2,node-name=disk,{mode},file=file",
            "--export", export + (",writable=on" if writable else ",writable=off"),
        ]


class StorageDaemonOfTree(StorageDaemon):
    """Of another Debian's tree, run with that tree's loader and libraries: needs neither chroot nor root."""

    name = "qsd-tree"

    def __init__(self, tree):
        found = glob.glob(os.path.join(glob.escape(tree), "usr/lib/*/ld-linux*.so.*"))
        daemon = os.path.join(tree, "usr/bin/qemu-storage-daemon")
        if len(found) != 1 or not os.path.exists(daemon):
            raise Failed(f"{tree}: no Debian tree with qemu-storage-daemon")
        super().__init__([found[0], "--library-path", os.path.dirname(found[0]), daemon])


def find_targets(build, tree):
    """Those that this machine has, in the order of the table."""
    targets = [Target()]
    null_server = os.path.join(build, "tests", "bench", "null-server")
    if os.path.exists(null_server):
        targets.append(Null(null_server))
    targets += [Rawview(build), RawviewRaw(build)]
    daemon = shutil.which("qemu-storage-daemon")
    if daemon:
        targets.append(StorageDaemon([daemon]))
    if tree:
        targets.append(StorageDaemonOfTree(os.path.abspath(tree)))
    return targets
