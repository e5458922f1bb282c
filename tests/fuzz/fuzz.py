#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Runs fuzz targets one after the other, and says what they did.

    fuzz.py TREE FOLDER SECONDS [TARGET…]

TREE is a build with -Dfuzzers=true. Each target gets its share of SECONDS and begins with the inputs of corpus.py and those that
it kept in FOLDER/corpus/TARGET. What it finds is FOLDER/found/TARGET-…, what it said FOLDER/TARGET.log. The exit status is
1 when something was found, or when a target has not run at all.
"""
import os
import re
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import corpus

# Longer inputs find nothing new.
MAX_LEN_OF_FORMAT = 256 << 10
MAX_LEN = {"qcow2": 128 << 10, "image": 192 << 10, "codec": 8192, "name": 2048, "config": 8192, "ipc": 32 << 10, "mountinfo": 8192}
# What one allocation may ask for, in MiB; what all of them, with those that the sanitizer holds back, may; seconds for one input.
MALLOC_LIMIT, RSS_LIMIT, TIMEOUT = 64, 2048, 20


def last_number(pattern, text):
    found = re.findall(pattern, text)
    return int(found[-1]) if found else 0


def run(tree, folder, target, seconds):
    """Executions, edges, inputs in the corpus, findings of this run."""
    kept, found = os.path.join(folder, "corpus", target), os.path.join(folder, "found")
    os.makedirs(kept, exist_ok=True)
    os.makedirs(found, exist_ok=True)
    before = set(os.listdir(found))
    log = os.path.join(folder, target + ".log")
    with tempfile.TemporaryDirectory(prefix="fuzz-") as scratch, open(log, "w+", encoding="utf-8", errors="replace") as out:
        begin = os.path.join(scratch, "begin")
        os.mkdir(begin)
        corpus.make(target, begin)
        status = subprocess.run(
            [
                os.path.join(tree, "tests", "fuzz", "fuzz-" + target),
                f"-max_total_time={seconds}",
                f"-max_len={MAX_LEN.get(target, MAX_LEN_OF_FORMAT)}",
                f"-malloc_limit_mb={MALLOC_LIMIT}",
                f"-rss_limit_mb={RSS_LIMIT}",
                f"-timeout={TIMEOUT}",
                # Slow on a busy machine is no finding, and would leave a file like one.
                f"-report_slow_units={TIMEOUT}",
                "-print_final_stats=1",
                f"-artifact_prefix={found}/{target}-",
                kept,
                begin,
            ],
            stdout=out,
            stderr=subprocess.STDOUT,
            env={**os.environ, "TMPDIR": scratch},
            check=False,
        ).returncode
        out.seek(0)
        text = out.read()
    new = sorted(set(os.listdir(found)) - before)
    executions = last_number(r"number_of_executed_units: (\d+)", text)
    if status != 0 or new:
        print("\n".join(text.splitlines()[-40:]))
    for name in new:
        print(f"fuzz: {os.path.join(found, name)}")
    if status != 0 and not new:
        new = [f"ended with status {status}, see {log}"]
        print(f"fuzz: {target}: {new[0]}")
    if executions == 0 and not new:
        new = ["has not run"]
        print(f"fuzz: {target} has not run, see {log}")
    return executions, last_number(r" cov: (\d+)", text), len(os.listdir(kept)), len(new)


def main():
    if len(sys.argv) < 4 or not sys.argv[3].isdigit() or set(sys.argv[4:]) - set(corpus.TARGETS):
        sys.exit(__doc__)
    tree, folder, seconds = sys.argv[1], os.path.abspath(sys.argv[2]), int(sys.argv[3])
    targets = sys.argv[4:] or corpus.TARGETS
    lines = []
    for target in targets:
        share = max(1, seconds // len(targets))
        print(f"fuzz: {target}, {share} s", flush=True)
        lines.append((target, *run(tree, folder, target, share)))
    print(f"{'target':<12} {'executions':>12} {'edges':>8} {'corpus':>8} {'findings':>9}")
    for line in lines:
        print("{:<12} {:>12} {:>8} {:>8} {:>9}".format(*line))
    sys.exit(1 if any(line[-1] for line in lines) else 0)


if __name__ == "__main__":
    main()
