# SPDX-License-Identifier: LGPL-2.1-or-later
"""`./dev bench growth`: what one request costs, and whether that grows with the image.

A random read of 4 KiB and a write of 4 KiB that allocates a cluster, in instructions and in time, for each of the
shapes. The instructions are those of the worker's own code, without the kernel's: callgrind counts them while
serve-requests answers, which takes two counts of requests; the difference is without the start. The time is that of
requests to a view, one after the other, which is mostly the kernel's; of the rounds the median counts.
"""
import json
import os
import re
import statistics
import subprocess
from dataclasses import dataclass, replace

import report
from disks import MIB, write_pieces
from errors import Failed, output_of
from report import say
from targets import Rawview, shown

GIB = 1024 * MIB
BASE = "1G"
# More than a tenth above the base is said to grow.
SAME = 1.1
HEADS = ["shape", "what", "read: instr", "us", "alloc: instr", "us"]


@dataclass(frozen=True)
class Shape:
    """`islands` clusters of `size` bytes of disk have data: a power of two. With layers, they are dealt out to them."""

    name: str
    title: str
    size: int = GIB
    cluster: int = 65536
    layers: int = 1
    islands: int = 2048

    @property
    def step(self):
        return self.size // self.islands

    def with_size(self, mib):
        """With as many islands as belong to disks of so many MiB; all of them from 512 on."""
        islands = max(1, min(self.islands, self.islands * mib // 512))
        return replace(self, islands=1 << islands.bit_length() - 1)


SHAPES = (
    Shape(BASE, "1 GiB, clusters of 64 KiB, one layer"),
    Shape("64G", "64 GiB", size=64 * GIB),
    Shape("8T", "8 TiB", size=8192 * GIB),
    Shape("c512", "clusters of 512 bytes", cluster=512),
    Shape("c2M", "clusters of 2 MiB", cluster=2 * MIB, islands=512),
    Shape("chain-4", "4 layers", layers=4),
    Shape("chain-16", "16 layers", layers=16),
    Shape("chain-32", "32 layers", layers=32),
)


def names():
    return [s.name for s in SHAPES]


@dataclass(frozen=True)
class Growth:
    """As Bench in bench.py: what showing a view and counting need to know."""

    build: str
    work: str
    requests: int

    def program(self, name):
        return os.path.join(self.build, "tests", "bench", name)

    def create(self, path, shape, below):
        backing = ["-F", "qcow2", "-b", os.path.basename(below)] if below else []
        size = [] if below else [str(shape.size)]
        output_of("qemu-img", "create", "-q", "-f", "qcow2", "-o", f"cluster_size={shape.cluster}", *backing, path, *size)
        return path

    def make_layers(self, shape):
        """The paths from the lowest to the top."""
        paths = []
        for layer in range(shape.layers):
            path = os.path.join(self.work, f"{shape.name}-{layer}.qcow2")
            self.create(path, shape, paths[-1] if paths else None)
            mine = range(layer, shape.islands, shape.layers)
            write_pieces(path, "qcow2", [(i * shape.step, 4096) for i in mine])
            paths.append(path)
        return paths

    def make_empty(self, shape, layers):
        """What allocating writes go to: nothing in it, all but the top layer below it."""
        path = os.path.join(self.work, "empty.qcow2")
        return self.create(path, shape, layers[-2] if len(layers) > 1 else None)


def where(shape, count):
    return [str(shape.step), str(shape.islands), str(count)]


def count_instructions(growth, shape, image, writes, count):
    out = os.path.join(growth.work, "callgrind")
    command = ["valgrind", "-q", "--tool=callgrind", f"--callgrind-out-file={out}.%p", growth.program("serve-requests")]
    try:
        run = subprocess.Popen([*command, *["-w"] * writes, image, *where(shape, count)], stderr=subprocess.PIPE, text=True)
    except OSError as e:
        raise Failed(f"valgrind: {e.strerror}") from None
    stderr = run.communicate()[1]
    try:
        if run.returncode != 0:
            raise Failed(f"valgrind: {stderr.strip()[-300:]}")
        # The process that sends the requests has left a file, too.
        with open(f"{out}.{run.pid}", encoding="ascii", errors="replace") as f:
            return int(re.search(r"^(?:summary|totals): (\d+)", f.read(), re.M).group(1))
    finally:
        for name in os.listdir(growth.work):
            if name.startswith("callgrind."):
                os.unlink(os.path.join(growth.work, name))


def instructions(growth, shape, layers, writes):
    """Of one request."""
    # Reads: the second pass, when all tables that the cache can hold are in it.
    counts = (shape.islands // 2, shape.islands) if writes else (shape.islands, 2 * shape.islands)
    few, many = (
        count_instructions(growth, shape, growth.make_empty(shape, layers) if writes else layers[-1], writes, n) for n in counts
    )
    return (many - few) / (counts[1] - counts[0])


def nanoseconds(growth, shape, layers, writes):
    image = growth.make_empty(shape, layers) if writes else layers[-1]
    with shown(growth, Rawview(growth.build), image, writes) as view:
        count = shape.islands if writes else growth.requests
        return int(output_of(growth.program("time-requests"), *["-w"] * writes, view.path, *where(shape, count)))


def measure(growth, shapes, runs):
    figures = {s.name: {} for s in shapes}
    layers = {}
    counts = True
    for shape in shapes:
        layers[shape.name] = growth.make_layers(shape)
        try:
            for kind, writes in (("read", False), ("alloc", True)):
                if counts:
                    figures[shape.name][f"{kind}_instructions"] = instructions(growth, shape, layers[shape.name], writes)
        except Failed as e:
            counts = False
            say(f"instructions are not counted: {e}")
        say(f"{shape.name:10}{shape.title}")
    for kind, writes in (("read", False), ("alloc", True)):
        rounds = [[nanoseconds(growth, s, layers[s.name], writes) for s in shapes] for _ in range(runs)]
        for shape, taken in zip(shapes, zip(*rounds)):
            figures[shape.name][f"{kind}_ns"] = statistics.median(taken)
    return figures


def value(figures, key):
    got = figures.get(key)
    return "-" if got is None else f"{got / 1000:.1f}" if key.endswith("_ns") else f"{got:,.0f}"


def rows_of(results):
    keys = ("read_instructions", "read_ns", "alloc_instructions", "alloc_ns")
    figures, rows = results["figures"], []
    for shape in SHAPES:
        if shape.name not in figures:
            continue
        row = [shape.name, shape.title]
        for key in keys:
            base = figures.get(BASE, {}).get(key)
            cell = value(figures[shape.name], key)
            if base and shape.name != BASE and figures[shape.name].get(key):
                cell += f" ({figures[shape.name][key] / base:.2f})"
            row.append(cell)
        rows.append(row)
    return rows


def words(results):
    """What grows, and how, in a line for each of the four."""
    figures = results["figures"]
    what = {
        "read_instructions": "instructions of a read", "read_ns": "time of a read",
        "alloc_instructions": "instructions of an allocating write", "alloc_ns": "time of an allocating write",
    }
    for key, title in what.items():
        base = figures.get(BASE, {}).get(key)
        if base:
            times = {n: f[key] / base for n, f in figures.items() if n != BASE and key in f}
            grown = [f"{n} {t:.2f} times" for n, t in times.items() if t > SAME]
            yield f"{title}: " + (", ".join(grown) + " as much as " + BASE if grown else f"nowhere more than {SAME} times {BASE}")


def print_results(results):
    say("\nOf one request; in parentheses: times the first line.")
    widths = [10, 38, 16, 14, 18, 14]
    for row in [HEADS, *rows_of(results)]:
        say("".join(c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))))
    say()
    for line in words(results):
        say(line)


def markdown(results):
    m = results["machine"]
    lines = [f"Taken {m['when']}, {m['commit']}, Linux {m['kernel']}, {m['cpus']} CPUs, {m['runs']} rounds:", ""]
    lines += report.rows_as_text(HEADS, rows_of(results), 2) + [""]
    return lines + [f"* {line}" for line in words(results)]


def run(args, work, describe):
    """`describe` tells of the machine."""
    growth = Growth(args.build, work, round(20000 * args.seconds))
    shapes = [s.with_size(args.size) for s in SHAPES if not args.job or s.name in args.job]
    results = {"machine": describe(args, {"runs": args.runs}), "figures": measure(growth, shapes, args.runs)}
    print_results(results)
    folder = os.path.join(args.build, "bench")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "growth.json"), "w", encoding="utf-8") as f:
        json.dump(results, f, indent=2)
        f.write("\n")
    say(f"\nfigures: {folder}/growth.json")
    return 0
