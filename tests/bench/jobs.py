# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured, and what the figures should reach. A new job or goal is one line here."""
from dataclasses import dataclass

from fio import Fio, Forgotten, Reread
from probes import FirstByte, Memory, Ready, Views, Walk

# Whoever shows a disk, whatever lies beneath.
ALL = ("host", "null", "rawview", "rawview-raw", "qsd", "qsd-tree")
# Whoever reads a format.
READERS = ("rawview", "qsd", "qsd-tree")


@dataclass(frozen=True)
class Job:
    name: str
    title: str
    unit: str
    # See disks.py. "full" is the same disk in all rounds, every cluster allocated; "thin" and "sparse" are empty, a
    # new one each time; the others are only read.
    disk: str
    # Has run(bench, job, target, image), which returns the figure.
    probe: object
    targets: tuple = ALL
    writes: bool = False
    # How often it is run in a row; the best counts. Where a virtual machine gives its free memory back to its host,
    # the first use of a page costs more than all the rest, and a try warms up memory for the next.
    tries: int = 1
    # Rounds at most.
    rounds: int = 1000
    # Jobs in a row that name one group take turns, so that they can be compared with each other.
    group: str = ""

    @property
    def smaller_is_better(self):
        return self.unit in ("ms", "s", "MiB")


def stream(name, title, disk, rw, *options, **more):
    return Job(name, title, "MiB/s", disk, Fio(rw, "bs=1M", "ioengine=psync", "numjobs=1", *options), **more)


def scattered(name, title, disk, rw, depth, engine="libaio", kind=Fio, **more):
    options = ("bs=4k", f"ioengine={engine}", f"iodepth={depth}", "direct=1", "numjobs=2", "norandommap")
    return Job(name, title, "IOPS", disk, kind(rw, *options), writes="write" in rw, **more)


def compressed(kind):
    return (
        stream(f"{kind}-read", f"{kind} clusters, sequential read, 1 MiB", kind, "read", "direct=0", targets=READERS),
        stream(f"{kind}-direct", f"{kind} clusters, sequential read, 1 MiB, O_DIRECT", kind, "read", "direct=1", targets=READERS),
        scattered(f"{kind}-random", f"{kind} clusters, random read, 4 KiB, depth 32", kind, "randread", 32, targets=READERS),
    )


JOBS = (
    stream("read", "sequential read, 1 MiB", "full", "read", "direct=0"),
    stream("read-direct", "sequential read, 1 MiB, O_DIRECT", "full", "read", "direct=1"),
    Job("reread", "sequential read, 1 MiB, of what was read before, opened again", "MiB/s", "full", Reread()),
    scattered("randread-1", "random read, 4 KiB, depth 1", "full", "randread", 1),
    scattered("randread-32", "random read, 4 KiB, depth 32", "full", "randread", 32),
    stream("write", "sequential write into allocated clusters, 1 MiB", "full", "write", "direct=0", writes=True, tries=2),
    stream(
        "write-direct", "sequential write into allocated clusters, 1 MiB, O_DIRECT", "full", "write", "direct=1",
        writes=True, tries=2,
    ),
    scattered("randwrite-1", "random write into allocated clusters, 4 KiB, depth 1", "full", "randwrite", 1),
    scattered("randwrite-32", "random write into allocated clusters, 4 KiB, depth 32", "full", "randwrite", 32),
    scattered("randwrite-cold", "the same, the image not in the host's cache", "full", "randwrite", 32, kind=Forgotten),
    scattered("randwrite-sync", "random write into allocated clusters, 4 KiB, pwrite", "full", "randwrite", 1, "psync"),
    stream(
        "alloc", "allocating sequential write, 1 MiB, fsync at the end", "thin", "write", "direct=0", "end_fsync=1",
        writes=True, tries=2,
    ),
    stream(
        "alloc-direct", "allocating sequential write, 1 MiB, O_DIRECT, fsync at the end", "thin", "write", "direct=1",
        "end_fsync=1", writes=True, tries=2,
    ),
    scattered("randalloc-32", "allocating random write, 4 KiB, depth 32, fsync at the end", "sparse", "randwrite", 32),
    *compressed("zlib"),
    *compressed("zstd"),
    scattered("chain-1", "random read, 4 KiB, depth 32, one layer", "one", "randread", 32, targets=READERS, group="chain"),
    scattered("chain-4", "random read, 4 KiB, depth 32, four layers", "chain", "randread", 32, targets=READERS, group="chain"),
    Job("walk", "SEEK_DATA and SEEK_HOLE through a sparse disk of 1 TiB", "ext/s", "walk", Walk(), targets=("host", *READERS)),
    Job("start", "from exec to the first byte of the view", "ms", "small", FirstByte(), targets=READERS),
    Job("ready", "from exec to READY=1", "ms", "small", Ready(), targets=("rawview",)),
    Job("pss-idle", "memory (PSS) of a view that nobody uses", "MiB", "full", Memory(busy=False), targets=READERS),
    Job("pss-busy", "memory (PSS) of a view under random reading, depth 32", "MiB", "full", Memory(busy=True), targets=READERS),
    Job("views", "many views at once, until all are there", "s", "small", Views("s"), targets=("rawview", "qsd-tree"), rounds=1),
    Job("views-pss", "memory (PSS) of all of them", "MiB", "small", Views("MiB"), targets=("rawview", "qsd-tree"), rounds=1),
)


@dataclass(frozen=True)
class Goal:
    """In `job`, `target` should be at least `ratio` times as good as `peer`, in the same job or in `peer_job`."""

    job: str
    ratio: float
    peer: str
    target: str = "rawview"
    peer_job: str = ""


@dataclass(frozen=True)
class Limit:
    """The figure of `target` should be at most this, in the unit of the job."""

    job: str
    most: float
    target: str = "rawview"


READING = ("read", "read-direct", "reread", "randread-1", "randread-32")
WRITING = ("write", "write-direct", "randwrite-1", "randwrite-32", "randwrite-cold", "randwrite-sync", "alloc", "alloc-direct", "randalloc-32")

GOALS = (
    Goal("randread-32", 5, "qsd-tree"),
    Goal("randread-32", 0.7, "null"),
    Goal("randwrite-32", 5, "qsd-tree"),
    Goal("randwrite-32", 0.6, "null"),
    Goal("randwrite-cold", 5, "qsd-tree"),
    Goal("randwrite-cold", 0.6, "null"),
    Goal("randread-1", 2, "qsd-tree"),
    Goal("read", 3, "qsd-tree"),
    Goal("read-direct", 3, "qsd-tree"),
    Goal("write", 3, "qsd-tree"),
    Goal("write-direct", 3, "qsd-tree"),
    Goal("reread", 0.6, "host"),
    Goal("reread", 5, "qsd-tree"),
    Goal("alloc", 0.8, "host"),
    Goal("alloc-direct", 0.8, "host"),
    Goal("randalloc-32", 1, "qsd-tree"),
    Goal("randwrite-1", 1, "qsd-tree"),
    Goal("randwrite-sync", 1, "qsd-tree"),
    Goal("zlib-read", 4, "qsd-tree"),
    Goal("chain-4", 0.9, "rawview", peer_job="chain-1"),
    Goal("start", 1, "qsd"),
    Goal("start", 1, "qsd-tree"),
    Limit("ready", 10),
    Limit("pss-idle", 2),
    Limit("views-pss", 400),
    *(Goal(job, 0.95, "host", target="rawview-raw") for job in READING + WRITING),
)
