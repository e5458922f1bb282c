# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is measured, and what the figures should reach. A new job or goal is one line here."""
import json
import subprocess
from dataclasses import dataclass

MIB = 1024 * 1024
# Of the disk with allocating random writes: so large that hardly two of them meet in one cluster.
SPARSE_SIZE = 16 * 1024 * MIB
SPARSE_WRITES = 8192


@dataclass(frozen=True)
class Job:
    name: str
    title: str
    # The disk before the job. "full": every cluster allocated, the same disk in all rounds. "thin", "sparse": nothing
    # allocated, a new disk each time.
    disk: str
    unit: str
    options: tuple

    @property
    def writes(self):
        return "read" not in self.options[0]

    @property
    def tries(self):
        """How often it is run in a row; the best counts. Where a virtual machine gives its free memory back to its
        host, the first use of a page costs more than all the rest, and a try warms up memory for the next."""
        return 2 if self.disk == "thin" else 1

    def sizes(self, bench):
        """How much fio does: a pass over the disk, a count of requests, or as much as it can in some seconds."""
        if self.disk == "sparse":
            return [f"--size={SPARSE_SIZE}", f"--number_ios={SPARSE_WRITES // 2}", "--end_fsync=1"]
        if self.options[0].startswith("rand"):
            return [f"--size={bench.size}", "--time_based", f"--runtime={bench.seconds}"]
        return [f"--size={bench.size}"] + (["--end_fsync=1"] if self.writes else [])

    def figure(self, result):
        """The one number of fio's result."""
        side = result["jobs"][0]["write" if self.writes else "read"]
        return side["iops"] if self.unit == "IOPS" else side["bw_bytes"] / MIB


def stream(name, title, disk, *options):
    return Job(name, title, disk, "MiB/s", (*options, "bs=1M", "ioengine=psync", "numjobs=1"))


def scattered(name, title, disk, rw, depth, engine="libaio"):
    return Job(
        name, title, disk, "IOPS",
        (rw, "bs=4k", f"ioengine={engine}", f"iodepth={depth}", "direct=1", "numjobs=2", "norandommap"),
    )


JOBS = (
    stream("read", "sequential read, 1 MiB", "full", "read", "direct=0"),
    stream("read-direct", "sequential read, 1 MiB, O_DIRECT", "full", "read", "direct=1"),
    scattered("randread-1", "random read, 4 KiB, depth 1", "full", "randread", 1),
    scattered("randread-32", "random read, 4 KiB, depth 32", "full", "randread", 32),
    stream("alloc", "allocating sequential write, 1 MiB, fsync at the end", "thin", "write", "direct=0"),
    stream("alloc-direct", "allocating sequential write, 1 MiB, O_DIRECT, fsync at the end", "thin", "write", "direct=1"),
    scattered("randalloc-32", "allocating random write, 4 KiB, depth 32, fsync at the end", "sparse", "randwrite", 32),
    scattered("randwrite-1", "random write into allocated clusters, 4 KiB, depth 1", "full", "randwrite", 1),
    scattered("randwrite-32", "random write into allocated clusters, 4 KiB, depth 32", "full", "randwrite", 32),
    scattered(
        "randwrite-sync", "random write into allocated clusters, 4 KiB, pwrite", "full", "randwrite", 1, "psync",
    ),
)


@dataclass(frozen=True)
class Goal:
    """Of `job`, rawview should reach `ratio` times the figure of `peer`."""

    job: str
    peer: str
    ratio: float


GOALS = (
    Goal("alloc", "host", 0.8),
    Goal("alloc-direct", "host", 0.8),
    Goal("randwrite-1", "qsd-tree", 1.0),
    Goal("randwrite-32", "qsd-tree", 1.0),
    Goal("randwrite-sync", "qsd-tree", 1.0),
)


class Failed(Exception):
    """Something was not measured; the text says why, in one sentence."""


def run_fio(bench, job, path, keep_cache):
    """One run of the job on the file; returns its figure."""
    command = [
        "fio", "--output-format=json", "--name=bench", "--thread", "--group_reporting",
        "--allow_file_create=0", "--fallocate=none", "--filename=" + path.replace(":", "\\:"),
        f"--rw={job.options[0]}", *("--" + o for o in job.options[1:]), *job.sizes(bench),
    ]
    if keep_cache:
        command.append("--invalidate=0")
    try:
        run = subprocess.run(command, capture_output=True, text=True, timeout=bench.seconds + 120)
    except subprocess.TimeoutExpired:
        raise Failed("fio did not come to an end") from None
    try:
        # What fio has to say about the machine stands before the JSON.
        result = json.loads(run.stdout[run.stdout.index("{\n"):])
    except ValueError:
        raise Failed(f"fio: {(run.stderr or run.stdout).strip()[-300:]}") from None
    if run.returncode != 0 or result["jobs"][0]["error"]:
        raise Failed(f"fio: {run.stderr.strip()[-300:] or 'error %d' % result['jobs'][0]['error']}")
    return job.figure(result)
