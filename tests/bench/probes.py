# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured without fio: how soon a view is there, what memory it takes, how fast its holes are found.

Each has run(bench, job, target, image), which returns the figure in the unit of the job.
"""
import contextlib
import errno
import os
import socket
import statistics
import subprocess
import time

from errors import Failed, Skipped
from fio import Fio
from targets import mount_points, shown, started

KIB = 1024
# Starts that make one figure: the median of them.
STARTS = 5
PATIENCE = 60


class FirstByte:
    """Milliseconds from exec of the daemon until a block of the view has been read. Asking for attributes costs nobody
    anything: as long as nothing covers the file it has no size, from then on the answer waits for the server."""

    def once(self, bench, job, target, image):
        size = bench.disks.size_of(job.disk)
        with started(bench, target, image, job.writes) as daemon:
            while os.stat(daemon.point).st_size != size:
                if daemon.process.poll() is not None or time.perf_counter() > daemon.began + PATIENCE:
                    raise daemon.failure()
                time.sleep(0.0001)
            with open(daemon.point, "rb", buffering=0) as f:
                if len(f.read(4096)) != 4096:
                    raise Failed("the view is shorter than a block")
            return (time.perf_counter() - daemon.began) * 1000

    def run(self, bench, job, target, image):
        try:
            return statistics.median(self.once(bench, job, target, image) for _ in range(STARTS))
        except OSError as e:
            raise Failed(f"the view cannot be read: {e.strerror}") from None


class Ready(FirstByte):
    """Milliseconds from exec of the daemon until it tells a service manager that it is ready."""

    def once(self, bench, job, target, image):
        path = os.path.join(bench.work, "notify")
        with contextlib.closing(socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)) as manager:
            manager.bind(path)
            manager.settimeout(PATIENCE)
            try:
                with started(bench, target, image, job.writes, {**os.environ, "NOTIFY_SOCKET": path}) as daemon:
                    while b"READY=1" not in manager.recv(64 * KIB).split(b"\n"):
                        pass
                    return (time.perf_counter() - daemon.began) * 1000
            finally:
                os.unlink(path)


def family(pid):
    """The process and all its descendants."""
    parents = {}
    for name in filter(str.isdecimal, os.listdir("/proc")):
        with contextlib.suppress(OSError):
            with open(f"/proc/{name}/stat", encoding="utf-8", errors="replace") as f:
                parents[int(name)] = int(f.read().rpartition(")")[2].split()[1])
    found = {pid}
    while more := {p for p, parent in parents.items() if parent in found} - found:
        found |= more
    return found


def shared_out_memory(pids):
    """The sum of PSS in MiB: what several share counts once, in equal parts."""
    total = 0
    for pid in pids:
        try:
            with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as f:
                total += next(int(line.split()[1]) for line in f if line.startswith("Pss:"))
        except OSError as e:
            if e.errno in (errno.EACCES, errno.EPERM):
                raise Skipped(f"only root may look at the memory of process {pid}") from None
            if e.errno not in (errno.ENOENT, errno.ESRCH):
                raise Failed(f"the memory of process {pid} cannot be looked at: {e.strerror}") from None
    return total / KIB


class Memory:
    """MiB of all processes of a view, in the midst of reading or some seconds after its first block was read: what was only
    needed for a start or a request may be given back by then."""

    idle_seconds = 4

    reading = Fio("randread", "bs=4k", "ioengine=libaio", "iodepth=32", "direct=1", "numjobs=2", "norandommap")

    def __init__(self, busy):
        self.busy = busy

    def run(self, bench, job, target, image):
        with shown(bench, target, image, job.writes) as view:
            with open(view.path, "rb", buffering=0) as f:
                f.read(4096)
            if not self.busy:
                time.sleep(self.idle_seconds)
                return shared_out_memory(family(view.daemon.process.pid))
            command = self.reading.command(bench, job, view.path, target.keep_cache)
            with subprocess.Popen(command, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True) as reader:
                try:
                    # fio takes a third of a second to begin.
                    time.sleep(0.3 + bench.seconds * 0.7)
                    memory = shared_out_memory(family(view.daemon.process.pid))
                    stdout, stderr = reader.communicate(timeout=PATIENCE)
                except BaseException:
                    reader.kill()
                    raise
            self.reading.figure(stdout, stderr, reader.returncode, job)
            return memory


class Walk:
    """Islands of data per second that SEEK_DATA and SEEK_HOLE find, as long as there is time and more of them."""

    def run(self, bench, job, target, image):
        with shown(bench, target, image, job.writes) as view:
            fd = os.open(view.path, os.O_RDONLY)
            try:
                return self.walk(fd, time.perf_counter(), bench.seconds)
            finally:
                os.close(fd)

    @staticmethod
    def walk(fd, began, seconds):
        found, off, now = 0, 0, began
        while now < began + seconds or not found:
            try:
                off = os.lseek(fd, os.lseek(fd, off, os.SEEK_DATA), os.SEEK_HOLE)
                found += 1
            except OSError as e:
                if e.errno != errno.ENXIO:
                    raise Failed(f"holes cannot be looked for: {e.strerror}") from None
                off = 0
                if not found:
                    raise Failed("no data was found") from None
            now = time.perf_counter()
        return found / (now - began)


class Views:
    """Many views of a disk at once, each in processes of its own: seconds until each has shown its first block, or MiB
    that all of them take."""

    def __init__(self, unit):
        self.unit = unit

    @staticmethod
    def wait(daemons):
        missing, end = {d.point for d in daemons}, time.perf_counter() + PATIENCE
        while missing - mount_points():
            for daemon in daemons:
                if daemon.process.poll() is not None:
                    raise daemon.failure()
            if time.perf_counter() > end:
                raise Failed(f"{len(missing - mount_points())} views are not there")
            time.sleep(0.02)
        for daemon in daemons:
            with open(daemon.point, "rb", buffering=0) as f:
                f.read(4096)

    def run(self, bench, job, target, image):
        with contextlib.ExitStack() as stack:
            daemons = [stack.enter_context(started(bench, target, image, job.writes)) for _ in range(bench.views)]
            self.wait(daemons)
            seconds = time.perf_counter() - daemons[0].began
            if self.unit == "s":
                return seconds
            time.sleep(0.2)
            return shared_out_memory(set().union(*(family(d.process.pid) for d in daemons)))
