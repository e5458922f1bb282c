#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""What `./dev bench` runs: each job (jobs.py) on each target (targets.py), round after round with the targets taking
turns, so that whatever else the machine does hits all of them. Of the rounds the median counts. Figures of two runs
are not to be compared, ratios within one job are.

bench.py BUILD [growth | docs] [OPTION…] [JOB …]
"""
import argparse
import itertools
import os
import platform
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass

import growth
import report
from disks import MIB, Disks
from errors import Failed, Skipped, output_of
from jobs import JOBS
from report import say
from targets import find_targets

ROOT = os.path.dirname(os.path.dirname(os.path.dirname(os.path.abspath(__file__))))
DOCUMENT = os.path.join(ROOT, "docs", "PERFORMANCE.md")


@dataclass(frozen=True)
class Bench:
    """What a measurement needs to know of the whole."""

    build: str
    work: str
    disks: Disks
    runs: int
    seconds: float
    views: int


def measure(bench, job, target):
    image = bench.disks.make(target, job.disk)
    try:
        return job.probe.run(bench, job, target, image)
    finally:
        if job.writes:
            bench.disks.let_go(image)


def best(bench, job, target):
    figures = [measure(bench, job, target) for _ in range(job.tries)]
    return min(figures) if job.smaller_is_better else max(figures)


def run_group(bench, jobs, targets, failures):
    """{job name: {target name: [figure of each round]}}; a target that fails once is out of that job."""
    figures = {j.name: {t.name: [] for t in targets if t.name in j.targets and (t.may_write or not j.writes)} for j in jobs}
    for i in range(bench.runs):
        turn = i % max(len(targets), 1)
        for target, job in itertools.product(targets[turn:] + targets[:turn], jobs):
            row = figures[job.name]
            if target.name not in row or i >= job.rounds:
                continue
            try:
                row[target.name].append(best(bench, job, target))
            except Skipped as e:
                del row[target.name]
                say(f"skipped: {job.name}, {target.title}: {e}")
            except Failed as e:
                del row[target.name]
                failures.append(f"{job.name}, {target.title}: {e}")
    return figures


def describe(args, settings):
    run = subprocess.run(["git", "-C", ROOT, "describe", "--always", "--dirty"], capture_output=True, text=True)
    return {
        "when": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "commit": run.stdout.strip() or None,
        "build": args.build,
        "kernel": platform.release(),
        "cpus": os.cpu_count(),
        "load": os.getloadavg(),
        "fio": output_of("fio", "--version"),
        **settings,
    }


def choose_targets(args):
    targets = find_targets(args.build, args.tree)
    wanted = args.targets.split(",") if args.targets else [t.name for t in targets]
    unknown = [w for w in wanted if w not in [t.name for t in targets]]
    if unknown:
        raise Failed(f"there is no target {unknown[0]} here; there are: {' '.join(t.name for t in targets)}")
    return [t for t in targets if t.name in wanted]


def run_jobs(bench, jobs, targets):
    """(figures, failures), as they are in the JSON."""
    figures, failures = {}, []
    for _, group in itertools.groupby(jobs, lambda j: j.group or j.name):
        group, began = list(group), time.monotonic()
        measured = run_group(bench, group, targets, failures)
        for job in group:
            figures[job.name] = report.summary(measured[job.name])
            say(f"{job.name:16}{job.title}")
        say(f"{'':16}({time.monotonic() - began:.0f} s)")
    return figures, failures


def add_to_last(last, results):
    """The figures of jobs that were not measured this time stay as they were."""
    if last:
        results["figures"] = {**last["figures"], **results["figures"]}
        results["targets"] = {**last["targets"], **results["targets"]}
        again = tuple(f"{name}, " for name in results["figures"] if name not in last["figures"])
        results["failures"] += [f for f in last["failures"] if not f.startswith(again)]


def run_bench(args, work):
    targets = choose_targets(args)
    known = {t.name: {"title": t.title, "short": t.short, "version": t.version()} for t in targets}
    for name, target in known.items():
        say(f"{name:12}{target['title']}: {target['version']}")
    machine = describe(args, {"size": args.size * MIB, "runs": args.runs, "seconds": args.seconds, "views": args.views})
    if machine["load"][0] > machine["cpus"] / 2:
        say(f"This machine is busy (load {machine['load'][0]:.1f}): expect noise.")

    bench = Bench(args.build, work, Disks(work, args.size * MIB), args.runs, args.seconds, args.views)
    figures, failures = run_jobs(bench, [j for j in JOBS if not args.job or j.name in args.job], targets)
    results = {"machine": machine, "targets": known, "figures": figures, "failures": failures}
    if args.add:
        add_to_last(report.read_results(args.build, "bench.json"), results)
    results["goals"] = report.judge(results)
    report.print_table(results)
    report.print_goals(results)
    for failure in failures:
        say(f"not measured: {failure}")
    report.write_results(args.build, results)
    return 1 if failures else 0


def write_document(build):
    written = 0
    for name, lines_of in (("bench", report.markdown), ("growth", growth.markdown)):
        results = report.read_results(build, f"{name}.json")
        if results:
            report.write_section(DOCUMENT, name, lines_of(results))
            written += 1
    if not written:
        raise Failed("nothing was measured yet: ./dev bench, ./dev bench growth")


def parse():
    names = [j.name for j in JOBS]
    parser = argparse.ArgumentParser(
        prog="./dev bench",
        usage="%(prog)s [growth | docs] [OPTION…] [JOB …]",
        description="Measures rawview beside others. growth: what a request costs, and how that grows with the image. "
                    "docs: writes what was measured last into docs/PERFORMANCE.md.",
        epilog=f"jobs: {' '.join(names)}",
    )
    parser.add_argument("build", help=argparse.SUPPRESS)
    parser.add_argument("--tree", metavar="DIR", help="a newer Debian's tree, whose qemu-storage-daemon is measured too")
    parser.add_argument("--quick", action="store_true", help="one round on small disks: to see that it runs")
    parser.add_argument("--runs", metavar="N", type=int, help="rounds; the median counts (default: 3)")
    parser.add_argument("--seconds", metavar="S", type=float, help="length of random jobs (default: 1)")
    parser.add_argument("--dir", metavar="DIR", help="where the images are made (default: the build folder)")
    parser.add_argument("--size", metavar="MIB", type=int, help="of the disks (default: 512)")
    parser.add_argument("--views", metavar="N", type=int, help="how many are many at once (default: 200)")
    parser.add_argument("--targets", metavar="NAME,…", help="only these; the first words of the output say which there are")
    parser.add_argument("--add", action="store_true", help="keep what the last run has measured of other jobs")
    parser.add_argument("job", nargs="*", help="only these")
    args = parser.parse_intermixed_args()
    for name, plain, quick in (("runs", 3, 1), ("seconds", 1, 0.5), ("size", 512, 64), ("views", 200, 20)):
        if getattr(args, name) is None:
            setattr(args, name, quick if args.quick else plain)
    args.verb = args.job.pop(0) if args.job and args.job[0] in ("growth", "docs") else None
    for name in args.job:
        if name not in (growth.names() if args.verb == "growth" else names):
            parser.error(f"there is no job '{name}'; there are: {' '.join(names)}; of growth: {' '.join(growth.names())}")
    if min(args.runs, args.size, args.views) < 1 or args.seconds <= 0:
        parser.error("--runs, --seconds, --size and --views are at least 1")
    return args


def run(args):
    if args.verb == "docs":
        return write_document(args.build)
    work = os.path.abspath(tempfile.mkdtemp(prefix="bench.", dir=args.dir or args.build))
    try:
        return growth.run(args, work, describe) if args.verb == "growth" else run_bench(args, work)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def main():
    # Ends through the finally of everything that is open: daemons, mounts, files.
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))
    args = parse()
    try:
        sys.exit(run(args))
    except Failed as e:
        sys.exit(f"dev bench: {e}")
    except KeyboardInterrupt:
        sys.exit(130)


if __name__ == "__main__":
    main()
