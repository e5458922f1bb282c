#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""run-power.py POWER [--least=N] [--most=N] [--seed=N] [--sparse] [--keep=FOLDER] [NAME…]: images of every kind, made by
qemu-img, are written while the power fails, by the program `power`.

--least  fail when there were fewer different disks than this, over all images
--most   about so many disks for each image and way of writing, beyond one after each operation; 0: all
--sparse without that one after each operation
NAME     only the images whose names begin so

Two at a time. Ends with 77 where there is no qemu-img. The last line says how many disks were looked at.
"""
import argparse
import array
import concurrent.futures
import os
import shutil
import struct
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import images


class Failure(Exception):
    pass


class Runner:
    def __init__(self, options, work):
        self.options, self.work = options, work

    def power(self, folder, image, *arguments):
        arguments += (f"--format={image.kind}",)
        if not image.oracle:
            arguments += ("--no-qemu",)
        return subprocess.run(
            [self.options.power, f"--cluster={image.cluster}", *arguments, folder], capture_output=True, text=True)

    def one(self, number, name):
        """One image: one thread, then several. The line to print."""
        image, folder = images.IMAGES[name], f"{self.work}/{name}"
        os.mkdir(folder)
        images.make_image(image, folder)
        lines = []
        for threads in (1, 4):
            arguments = [f"--seed={self.options.seed + number}", f"--threads={threads}", f"--most={self.options.most}",
                         f"--hashes={folder}/hashes"]
            if self.options.sparse:
                arguments.append("--sparse")
            if image.grow and threads == 1:
                arguments.append(f"--max-size={image.grow}")
            done = self.power(folder, image, *arguments)
            lines.append(done.stdout.strip())
            if done.returncode != 0:
                if self.options.keep:
                    shutil.copytree(folder, f"{self.options.keep}/{name}", dirs_exist_ok=True)
                raise Failure(f"{name}, {' '.join(arguments)}:\n  {done.stdout}  {done.stderr.strip()}")
        hashes = array.array("Q")
        with open(f"{folder}/hashes", "rb") as f:
            hashes.frombytes(f.read())
        shutil.rmtree(folder)
        return f"{name}: {'; 4 threads: '.join(lines)}", set(hashes)

    def prove(self):
        """An image that is corrupt has to be found out by both, or all that follows proves nothing."""
        image, folder = images.IMAGES["v3"], f"{self.work}/corrupt"
        os.mkdir(folder)
        images.make_image(image, folder)
        with open(f"{folder}/image", "r+b") as f:
            table, = struct.unpack(">Q", os.pread(f.fileno(), 8, 48))
            block, = struct.unpack(">Q", os.pread(f.fileno(), 8, table))
            last = os.fstat(f.fileno()).st_size // image.cluster - 1
            os.pwrite(f.fileno(), b"\0\0", block + 2 * last)
        for words, *arguments in (("qemu-img check", "--no-check"), ("corruption", "--no-qemu")):
            done = self.power(folder, image, "--deeds=0", *arguments)
            if done.returncode == 0 or words not in done.stderr:
                raise Failure(f"a corrupt image passes: {done.stdout}{done.stderr}")
        shutil.rmtree(folder)


def run_all(options, work):
    names = [n for n in images.IMAGES if not options.names or any(n.startswith(p) for p in options.names)]
    runner, seen, failures = Runner(options, work), set(), []
    runner.prove()
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        jobs = [pool.submit(runner.one, i, name) for i, name in enumerate(names, 1)]
        for job in concurrent.futures.as_completed(jobs):
            try:
                line, hashes = job.result()
                seen |= hashes
                print(line, flush=True)
            except (Failure, RuntimeError) as e:
                failures.append(str(e))
                print(f"FAILED: {e}", flush=True)
    if len(seen) < options.least:
        failures.append(f"there were to be {options.least} different disks at least")
    for failure in failures:
        print(f"FAILED: {failure}")
    print(f"in numbers: {len(names)} images, {len(seen)} different disks after a power failure, {len(failures)} failures")
    return 1 if failures else 0


def main():
    parser = argparse.ArgumentParser(add_help=False)
    parser.add_argument("power")
    parser.add_argument("--least", type=int, default=0)
    parser.add_argument("--most", type=int, default=300)
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--sparse", action="store_true")
    parser.add_argument("--keep")
    parser.add_argument("names", nargs="*")
    options = parser.parse_intermixed_args()
    options.power = os.path.abspath(options.power)
    if not images.can_make():
        return 1 if os.environ.get("CI") == "true" else 77
    with images.work_folder() as work:
        return run_all(options, work)


if __name__ == "__main__":
    sys.exit(main())
