#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `./dev bench` runs: each job (jobs.py) on each target (targets.py), round after round with the targets taking
turns, so that whatever else the machine does hits all of them. Of the rounds the median counts. Figures of two runs
are not to be compared, ratios within one are.

bench.py BUILD [--tree DIR] [--runs N] [--seconds S] [--dir DIR] [--size MIB] [--targets NAME,…] [JOB …]
"""
import argparse
import json
import os
import platform
import shutil
import signal
import statistics
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

from jobs import GOALS, JOBS, MIB, SPARSE_SIZE, Failed, run_fio
from plot import plot
from targets import find_targets, output_of


def say(*words):
    print(*words, flush=True)


@dataclass(frozen=True)
class Settings:
    work: str
    size: int
    runs: int
    seconds: int


class Disks:
    """The images of all targets, beneath the work folder."""

    def __init__(self, settings):
        self.settings = settings
        self.content = os.path.join(settings.work, "content")
        self.full = {}

    def path(self, target, kind):
        return os.path.join(self.settings.work, f"{target.name}-{kind}.{target.format}")

    def make_content(self):
        with open(self.content, "wb") as f:
            for _ in range(self.settings.size // MIB):
                f.write(os.urandom(MIB))

    def make_full(self, target):
        """Every cluster allocated, with random bytes; made once and then only written in place."""
        if target.format == "nothing":
            return self.make_nothing(target, "full", self.settings.size)
        if target.name not in self.full:
            if not os.path.exists(self.content):
                self.make_content()
            path = self.path(target, "full")
            output_of("qemu-img", "convert", "-f", "raw", "-O", target.format, "-S", "0", self.content, path)
            self.full[target.name] = path
            settle(path)
        return self.full[target.name]

    def make(self, target, kind):
        if kind == "full":
            return self.make_full(target)
        path = self.path(target, kind)
        size = SPARSE_SIZE if kind == "sparse" else self.settings.size
        if target.format == "nothing":
            return self.make_nothing(target, kind, size)
        output_of("qemu-img", "create", "-q", "-f", target.format, path, str(size))
        return path

    def make_nothing(self, target, kind, size):
        path = self.path(target, kind)
        with open(path, "wb") as f:
            f.truncate(size)
        return path

    def let_go(self, path):
        """After a job has written: nothing of it is left for the next one to wait for."""
        if path in self.full.values():
            settle(path)
        else:
            os.unlink(path)


def settle(path):
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)


def measure(settings, disks, job, target):
    image = disks.make(target, job.disk)
    # A mount point of its own for each run: nothing that a view left behind could meet the next one.
    fd, point = tempfile.mkstemp(dir=settings.work, prefix=f"{target.name}.")
    os.close(fd)
    daemon = None
    try:
        path, daemon = target.open(image, point, job.writes)
        return run_fio(settings, job, path, target.keep_cache)
    finally:
        if daemon:
            daemon.end()
            os.unlink(daemon.log)
        os.unlink(point)
        if job.writes:
            disks.let_go(image)


def run_job(settings, disks, job, targets, failures):
    """{target name: [figure of each round]}; a target that fails once is out of this job."""
    figures = {t.name: [] for t in targets if t.may_write or not job.writes}
    wanted = [t for t in targets if t.name in figures]
    for i in range(settings.runs):
        turn = i % max(len(wanted), 1)
        for target in wanted[turn:] + wanted[:turn]:
            if target.name not in figures:
                continue
            try:
                figures[target.name].append(max(measure(settings, disks, job, target) for _ in range(job.tries)))
            except Failed as e:
                del figures[target.name]
                failures.append(f"{job.name}, {target.title}: {e}")
    return figures


def summary(figures):
    return {
        name: {"median": statistics.median(f), "min": min(f), "max": max(f), "rounds": f} for name, f in figures.items() if f
    }


def ratio(row, name, peer):
    """The median of `name` in medians of `peer`; None if one of them was not measured."""
    if name not in row or peer not in row or not row[peer]["median"]:
        return None
    return row[name]["median"] / row[peer]["median"]


def cell(value, form):
    return "-" if value is None else format(value, form)


def print_table(jobs, targets, table):
    ours = next((t for t in targets if t.name.startswith("rawview")), targets[0])
    peers = [t for t in targets if t is not ours]
    heads = [t.title for t in targets] + [f"x {p.title}" for p in peers]
    widths = [max(len(h), 8) for h in heads]
    say(f"\nMedians; x: what {ours.title} reaches, divided by what the other one reaches.")
    say(f"{'job':16}{'unit':7}" + "  ".join(h.rjust(w) for h, w in zip(heads, widths)))
    for job in jobs:
        row = table[job.name]
        cells = [cell(row[t.name]["median"] if t.name in row else None, ",.0f") for t in targets]
        cells += [cell(ratio(row, ours.name, p.name), ".2f") for p in peers]
        say(f"{job.name:16}{job.unit:7}" + "  ".join(c.rjust(w) for c, w in zip(cells, widths)))


def judge(jobs, targets, table):
    """The goals as a list of objects, each said in a line."""
    judged = []
    titles = {t.name: t.title for t in targets}
    say()
    for goal in GOALS:
        if goal.job not in [j.name for j in jobs]:
            continue
        reached = ratio(table[goal.job], "rawview", goal.peer)
        word = "not measured" if reached is None else "holds" if reached >= goal.ratio else "does NOT hold"
        say(f"{goal.job}: at least {goal.ratio} x {titles.get(goal.peer, goal.peer)}: {word}"
            + ("" if reached is None else f" ({reached:.2f})"))
        judged.append({"job": goal.job, "peer": goal.peer, "at_least": goal.ratio, "reached": reached})
    return judged


def describe(build, targets, settings):
    run = subprocess.run(["git", "-C", os.path.dirname(__file__), "describe", "--always", "--dirty"], capture_output=True, text=True)
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": run.stdout.strip() or None,
        "build": build,
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "fio": output_of("fio", "--version"),
        "size": settings.size,
        "runs": settings.runs,
        "seconds": settings.seconds,
        "versions": {t.name: t.version() for t in targets},
    }


def write_results(build, machine, jobs, targets, results):
    folder = os.path.join(build, "bench")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "bench.json"), "w", encoding="utf-8") as f:
        json.dump(results, f, indent=2)
        f.write("\n")
    heading = f"{machine['when']}, {machine['commit']}, Linux {machine['kernel']}, {machine['cpus']} CPUs, {machine['runs']} rounds"
    plot(os.path.join(folder, "bench.svg"), heading, jobs, targets, results["figures"])
    say(f"\nfigures: {folder}/bench.json, plot: {folder}/bench.svg")


def bench(args, work, jobs):
    settings = Settings(work, args.size * MIB, args.runs, args.seconds)
    targets = find_targets(args.build, args.tree)
    wanted = args.targets.split(",") if args.targets else [t.name for t in targets if t.name != "rawview-raw"]
    unknown = [w for w in wanted if w not in [t.name for t in targets]]
    if unknown:
        raise Failed(f"there is no target {unknown[0]} here; there are: {' '.join(t.name for t in targets)}")
    targets = [t for t in targets if t.name in wanted]
    machine = describe(args.build, targets, settings)
    for target in targets:
        say(f"{target.name:12}{target.title}: {machine['versions'][target.name]}")

    if machine["load"][0] > machine["cpus"] / 2:
        say(f"This machine is busy (load {machine['load'][0]:.1f}): expect noise.")

    disks, table, failures = Disks(settings), {}, []
    for job in jobs:
        began = time.monotonic()
        table[job.name] = summary(run_job(settings, disks, job, targets, failures))
        say(f"{job.name:16}{job.title}  ({time.monotonic() - began:.0f} s)")
    print_table(jobs, targets, table)
    goals = judge(jobs, targets, table)
    for failure in failures:
        say(f"not measured: {failure}")
    results = {"machine": machine, "figures": table, "goals": goals, "failures": failures}
    write_results(args.build, machine, jobs, targets, results)
    return 1 if failures else 0


def parse():
    names = [j.name for j in JOBS]
    parser = argparse.ArgumentParser(prog="./dev bench", epilog=f"jobs: {' '.join(names)}")
    parser.add_argument("build", help=argparse.SUPPRESS)
    parser.add_argument("--tree", metavar="DIR", help="a newer Debian's tree, whose qemu-storage-daemon is measured too")
    parser.add_argument("--runs", metavar="N", type=int, default=3, help="rounds; the median counts (default: 3)")
    parser.add_argument("--seconds", metavar="S", type=int, default=2, help="length of random jobs (default: 2)")
    parser.add_argument("--dir", metavar="DIR", help="where the images are made (default: the build folder)")
    parser.add_argument("--size", metavar="MIB", type=int, default=512, help="of the disks (default: 512)")
    parser.add_argument("--targets", metavar="NAME,…", help="only these; the first words of the output say which there are")
    parser.add_argument("job", nargs="*", help="only these")
    args = parser.parse_intermixed_args()
    for name in args.job:
        if name not in names:
            parser.error(f"there is no job '{name}'; there are: {' '.join(names)}")
    if min(args.runs, args.seconds, args.size) < 1:
        parser.error("--runs, --seconds and --size are at least 1")
    return args


def main():
    # Ends through the finally of everything that is open: daemons, mounts, files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args = parse()
    jobs = [j for j in JOBS if not args.job or j.name in args.job]
    work = tempfile.mkdtemp(prefix="bench.", dir=args.dir or args.build)
    try:
        sys.exit(bench(args, os.path.abspath(work), jobs))
    except Failed as e:
        sys.exit(f"dev bench: {e}")
    except KeyboardInterrupt:
        sys.exit(130)
    finally:
        shutil.rmtree(work, ignore_errors=True)


if __name__ == "__main__":
    main()
