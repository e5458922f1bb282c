# SPDX-License-Identifier: LGPL-2.1-or-later
"""What fio measures."""
import json
import subprocess

from disks import MIB, SPARSE_SIZE, SPARSE_WRITES, forget
from errors import Failed
from targets import shown


class Fio:
    """One run of fio on the view."""

    def __init__(self, rw, *options):
        self.rw, self.options = rw, options

    def command(self, bench, job, path, keep_cache):
        """One pass over the disk, a count of requests, or as much as there is time for."""
        if job.disk == "sparse":
            length = [f"--size={SPARSE_SIZE}", f"--number_ios={SPARSE_WRITES // 2}", "--end_fsync=1"]
        else:
            length = [f"--size={bench.disks.size_of(job.disk)}"]
            if self.rw.startswith("rand"):
                length += ["--time_based", f"--runtime={max(1, round(bench.seconds * 1000))}ms"]
        return [
            "fio", "--output-format=json", "--name=bench", "--thread", "--group_reporting", "--allow_file_create=0",
            "--fallocate=none", "--filename=" + path.replace(":", "\\:"), f"--rw={self.rw}",
            *("--" + o for o in self.options), *length, *["--invalidate=0"] * keep_cache,
        ]

    def figure(self, stdout, stderr, status, job):
        try:
            # What fio has to say about the machine stands before the JSON.
            result = json.loads(stdout[stdout.index("{\n"):])["jobs"][0]
        except ValueError:
            raise Failed(f"fio: {(stderr or stdout).strip()[-300:]}") from None
        if status != 0 or result["error"]:
            raise Failed(f"fio: {stderr.strip()[-300:] or 'error %d' % result['error']}")
        side = result["write" if job.writes else "read"]
        return side["iops"] if job.unit == "IOPS" else side["bw_bytes"] / MIB

    def measure(self, bench, job, path, keep_cache):
        command = self.command(bench, job, path, keep_cache)
        try:
            run = subprocess.run(command, capture_output=True, text=True, timeout=bench.seconds + 120)
        except subprocess.TimeoutExpired:
            raise Failed("fio did not come to an end") from None
        return self.figure(run.stdout, run.stderr, run.returncode, job)

    def run(self, bench, job, target, image):
        with shown(bench, target, image, job.writes) as view:
            return self.measure(bench, job, view.path, target.keep_cache)


class Reread(Fio):
    """Everything was read once; then it is read four times more by somebody who has opened the file anew."""

    def __init__(self):
        super().__init__("read", "bs=1M", "ioengine=psync", "numjobs=1", "direct=0", "loops=4")

    def run(self, bench, job, target, image):
        with shown(bench, target, image, False) as view:
            with open(view.path, "rb", buffering=0) as f:
                while f.read(MIB):
                    pass
            return self.measure(bench, job, view.path, True)


class Forgotten(Fio):
    """The host has nothing of the image in its cache: how the pages came there decides what a write to one of them costs."""

    def run(self, bench, job, target, image):
        forget(image)
        return super().run(bench, job, target, image)
