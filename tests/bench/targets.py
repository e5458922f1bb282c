# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured: the plain file, a FUSE server that does nothing, rawview, and QEMU's storage daemon, each as a file
that fio can open.

A new target is a class with the methods of Target, and one line in find_targets().
"""
import glob
import os
import re
import shutil
import signal
import subprocess
import time

from jobs import Failed


def output_of(*command):
    try:
        run = subprocess.run(command, capture_output=True, text=True)
    except OSError as e:
        raise Failed(f"{command[0]}: {e.strerror}") from None
    if run.returncode != 0:
        raise Failed(f"{command[0]}: {run.stderr.strip()}")
    return run.stdout.strip()


def is_mounted(path):
    with open("/proc/self/mountinfo", encoding="utf-8", errors="surrogateescape") as f:
        points = [line.split(" ")[4] for line in f]
    # Blanks, tabs, newlines and backslashes stand there as \\040 and the like.
    return path in (re.sub(r"\\(\d{3})", lambda m: chr(int(m[1], 8)), p) for p in points)


class Daemon:
    """A program that shows a file at `point` until it gets SIGTERM. Ended by its process, never by a name."""

    def __init__(self, command, point):
        self.point = point
        self.log = point + ".log"
        with open(self.log, "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        try:
            self.wait_for(lambda: is_mounted(point) or self.process.poll() is not None, 30)
            if self.process.poll() is not None or not is_mounted(point):
                with open(self.log, encoding="utf-8", errors="replace") as log:
                    raise Failed(log.read().strip()[-300:] or "no view came up")
        except BaseException:
            self.end()
            raise

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


class Target:
    """The interface, and what the plain file of the host needs: nothing."""

    name, title = "host", "plain file"
    format = "raw"
    may_write = True
    # The kernel's cache of a view is dropped before each run, what the server reads is not; of the plain file that
    # cache is all there is.
    keep_cache = True

    def version(self):
        return os.uname().release

    def open(self, image, point, writable):
        """Shows the image; returns (path for fio, what end() to call afterwards or None)."""
        return image, None


class Rawview(Target):
    name, title = "rawview", "rawview"
    format = "qcow2"
    keep_cache = False

    def __init__(self, build):
        self.program = os.path.join(build, "src", "rawview")

    def version(self):
        return output_of(self.program, "--version").splitlines()[0]

    def open(self, image, point, writable):
        command = [self.program, "mount", "--foreground", f"--format={self.format}"]
        command += ["--writable"] * writable + [image, point]
        return point, Daemon(command, point)


class RawviewRaw(Rawview):
    name, title = "rawview-raw", "rawview, raw image"
    format = "raw"


class Null(Target):
    """A FUSE file server that only answers: the limit of the transport. Of its image only the size matters."""

    name, title = "null", "null server"
    format = "nothing"
    keep_cache = False

    def __init__(self, program):
        self.program = program

    def version(self):
        return "zeroes over FUSE, libfuse " + output_of("fusermount3", "--version").split()[-1]

    def open(self, image, point, writable):
        return point, Daemon([self.program, str(os.path.getsize(image)), point], point)


class StorageDaemon(Target):
    name, title = "qsd", "QSD of this machine"
    format = "qcow2"
    keep_cache = False

    def __init__(self, program):
        self.program = program
        found = re.search(r"version (\d+)\.(\d+)", self.version())
        if not found:
            raise Failed("qemu-storage-daemon does not tell its version")
        self.title = f"QSD {found.group(1)}.{found.group(2)}"
        # Versions before 10 mix up the bytes of concurrent writes: their speed says nothing.
        self.may_write = int(found.group(1)) >= 10

    def version(self):
        return output_of(*self.program, "--version").splitlines()[0]

    def open(self, image, point, writable):
        name = image.replace(",", ",,")
        command = [
            *self.program,
            "--blockdev", f"driver=file,node-name=file,filename={name}",
            "--blockdev", "driver=qcow2,node-name=disk,file=file",
            "--export", f"fuse,id=view,node-name=disk,mountpoint={point.replace(',', ',,')},"
                        f"writable={'on' if writable else 'off'}",
        ]
        return point, Daemon(command, point)


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
    targets = [Target(), Rawview(build), RawviewRaw(build)]
    null_server = os.path.join(build, "tests", "bench", "null-server")
    if os.path.exists(null_server):
        targets.insert(1, Null(null_server))
    daemon = shutil.which("qemu-storage-daemon")
    if daemon:
        targets.append(StorageDaemon([daemon]))
    if tree:
        targets.append(StorageDaemonOfTree(os.path.abspath(tree)))
    return targets
