# SPDX-License-Identifier: LGPL-2.1-or-later
"""past-worker.py VIEW IMAGE WORKER read|write: what goes on while the worker is stopped, and what is true of it afterwards."""
import contextlib
import mmap
import os
import signal
import subprocess
import sys
import time

view, image, worker, what = sys.argv[1], sys.argv[2], int(sys.argv[3]), sys.argv[4]


@contextlib.contextmanager
def stopped():
    os.kill(worker, signal.SIGSTOP)
    # What waits for the worker cannot be interrupted: somebody else lets it go on, and the test fails.
    with subprocess.Popen(["sh", "-c", f"sleep 20; kill -CONT {worker}"], start_new_session=True) as guard:
        try:
            yield
            assert guard.poll() is None, f"{view}: waits for the worker"
        finally:
            if guard.poll() is None:
                os.killpg(guard.pid, signal.SIGKILL)
            os.kill(worker, signal.SIGCONT)


def facts(path):
    st = os.stat(path)
    return st.st_size, st.st_blocks, st.st_mtime_ns


def same(path, other):
    assert facts(path) == facts(other), f"{facts(path)} of {path}, {facts(other)} of {other}"


with open(image, "rb") as f:
    before = f.read()
fd = os.open(view, os.O_RDONLY if what == "read" else os.O_RDWR)
if what == "read":
    # Mapped before, since mapping asks for the size.
    with mmap.mmap(fd, len(before), prot=mmap.PROT_READ) as mapped, stopped():
        assert os.pread(fd, 5000, 3000) == before[3000:8000]
        assert mapped[100000:200000] == before[100000:200000]
    sys.exit(0)

with mmap.mmap(fd, len(before)) as mapped:
    # Before the first write after it has asked for attributes the kernel asks whether the file has capabilities.
    os.pwrite(fd, b"first", 0)
    with stopped():
        os.pwrite(fd, b"second", 4096)
        assert os.pread(fd, 6, 4096) == b"second"
        mapped[8192:8197] = b"third"
with open(image, "rb") as f:
    now = f.read()
assert now[:5] == b"first" and now[4096:4102] == b"second" and now[8192:8197] == b"third"
same(view, image)
os.fsync(fd)

# Past the end it grows, and everybody knows at once.
os.pwrite(fd, b"end", len(before) + 1000)
assert os.path.getsize(image) == len(before) + 1003
same(view, image)
assert os.fstat(fd).st_size == len(before) + 1003 == os.lseek(fd, 0, os.SEEK_END)
appending = os.open(view, os.O_WRONLY | os.O_APPEND)
os.write(appending, b"appended")
assert os.pread(fd, 100, len(before) + 1003) == b"appended"
os.ftruncate(fd, 1 << 20)
os.pwrite(fd, b"x", (2 << 20) - 1)
assert os.pread(fd, (1 << 20) - 1, 1 << 20) == bytes((1 << 20) - 1)
assert os.lseek(fd, 1 << 20, os.SEEK_DATA) > 1 << 20
os.posix_fallocate(fd, 0, 3 << 20)
same(view, image)
assert os.fstat(fd).st_size == 3 << 20

# What is mapped and written changes the times, too, and those that somebody sets stay until then.
os.utime(view, (1, 1))
assert os.stat(view).st_mtime == 1
with mmap.mmap(fd, 4096) as mapped:
    # No two times of a file are nearer to each other than a tick of the kernel's clock.
    time.sleep(0.1)
    mapped[0:6] = b"mapped"
    mapped.flush()
assert os.stat(view).st_mtime_ns == os.stat(image).st_mtime_ns
os.close(os.open(view, os.O_RDWR | os.O_TRUNC))
assert os.fstat(fd).st_size == 0 == os.path.getsize(image)
os.pwrite(fd, before, 0)
os.fsync(fd)
