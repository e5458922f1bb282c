# SPDX-License-Identifier: LGPL-2.1-or-later
"""What is said of the figures: a table and the goals on the terminal, JSON and a plot in the build folder, and a section
of docs/PERFORMANCE.md. All of it is made from what is in the JSON."""
import json
import os
import statistics

from jobs import GOALS, JOBS, Limit
from plot import plot

OURS, RAW, HOST = "rawview", "rawview-raw", "host"
BEGIN, END = "<!-- {}: made by ./dev bench -->", "<!-- {}: end -->"


def say(*words):
    print(*words, flush=True)


def summary(figures):
    return {
        name: {"median": statistics.median(f), "min": min(f), "max": max(f), "rounds": f} for name, f in figures.items() if f
    }


def job_named(name):
    return next(j for j in JOBS if j.name == name)


def median(results, job, target):
    return results["figures"].get(job, {}).get(target, {}).get("median")


def times_as_good(results, job, target, peer, peer_job=""):
    """How many times as good `target` is as `peer`; None if one of them was not measured."""
    ours, theirs = median(results, job, target), median(results, peer_job or job, peer)
    if not ours or not theirs:
        return None
    return theirs / ours if job_named(job).smaller_is_better else ours / theirs


def number(value):
    if value is None:
        return "-"
    return f"{value:,.0f}" if value >= 100 else f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def ratio(value):
    return "-" if value is None else f"{value:.2f}" if value < 100 else f"{value:.0f}"


def table(results):
    """(heads, rows): name and unit, the medians of all targets, what ours is beside the others."""
    targets = results["targets"]
    peers = [name for name in targets if name not in (OURS, RAW)] if OURS in targets else []
    raw = RAW in targets and HOST in targets
    heads = ["job", "unit", *(t["short"] for t in targets.values())]
    heads += ["x" + targets[p]["short"].replace("QSD ", "") for p in peers] + ["raw:host"] * raw
    rows = []
    for job in JOBS:
        if job.name not in results["figures"]:
            continue
        row = [job.name, job.unit, *(number(median(results, job.name, t)) for t in targets)]
        row += [ratio(times_as_good(results, job.name, OURS, p)) for p in peers]
        row += [ratio(times_as_good(results, job.name, RAW, HOST))] * raw
        rows.append(row)
    return heads, rows


def print_table(results):
    heads, rows = table(results)
    count = len(results["targets"])
    widths = [14, 5, *[9] * count, *[6] * (len(heads) - 2 - count)]
    say("\nMedians. x…: how many times as good rawview is as the other one; ms, s and MiB: less is better.")
    for row in [heads, *rows]:
        cells = [c.ljust(w) if i < 2 else c.rjust(w) for i, (c, w) in enumerate(zip(row, widths))]
        say(" ".join(cells).rstrip())


def judge(results):
    """The goals whose jobs were measured, as a list of objects."""
    judged = []
    for goal in GOALS:
        if goal.job not in results["figures"]:
            continue
        if isinstance(goal, Limit):
            reached = median(results, goal.job, goal.target)
            rule, holds = {"at_most": goal.most, "unit": job_named(goal.job).unit}, reached is not None and reached <= goal.most
        else:
            reached = times_as_good(results, goal.job, goal.target, goal.peer, goal.peer_job)
            rule = {"at_least": goal.ratio, "peer": goal.peer, "peer_job": goal.peer_job or goal.job}
            holds = reached is not None and reached >= goal.ratio
        judged.append({"job": goal.job, "target": goal.target, **rule, "reached": reached, "holds": holds})
    return judged


def rule_of(results, goal):
    """(what is asked for, how far it came)."""
    titles = {name: t["short"] for name, t in results["targets"].items()}
    titles.setdefault("qsd-tree", "newer QSD")
    who = titles.get(goal["target"], goal["target"])
    if "at_most" in goal:
        return f"{who}: at most {goal['at_most']:g} {goal['unit']}", number(goal["reached"])
    peer = titles.get(goal["peer"], goal["peer"]) + (f" in {goal['peer_job']}" if goal["peer_job"] != goal["job"] else "")
    return f"{who}: at least {goal['at_least']:g} x {peer}", ratio(goal["reached"])


def verdict(goal):
    return "not measured" if goal["reached"] is None else "holds" if goal["holds"] else "does NOT hold"


def print_goals(results):
    say()
    for goal in results["goals"]:
        rule, reached = rule_of(results, goal)
        say(f"{goal['job']:15}{rule:44}{verdict(goal)}" + ("" if goal["reached"] is None else f" ({reached})"))


def heading(results):
    m = results["machine"]
    return f"{m['when']}, {m['commit']}, Linux {m['kernel']}, {m['cpus']} CPUs, {m['runs']} rounds"


def write_results(build, results):
    folder = os.path.join(build, "bench")
    os.makedirs(folder, exist_ok=True)
    with open(os.path.join(folder, "bench.json"), "w", encoding="utf-8") as f:
        json.dump(results, f, indent=2)
        f.write("\n")
    plot(os.path.join(folder, "bench.svg"), heading(results), JOBS, results)
    say(f"\nfigures: {folder}/bench.json, plot: {folder}/bench.svg")


def read_results(build, name):
    try:
        with open(os.path.join(build, "bench", name), encoding="utf-8") as f:
            return json.load(f)
    except FileNotFoundError:
        return None


def rows_as_text(heads, rows, left):
    """A table as Markdown has it; the first `left` columns are words."""
    lines = [heads, ["---"] * left + ["--:"] * (len(heads) - left), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def markdown(results):
    lines = [f"Taken {heading(results)}:", ""]
    lines += [f"* {t['title']}: {t['version']}" for t in results["targets"].values()] + [""]
    lines += rows_as_text(*table(results), 2) + [""]
    goals = [[g["job"], *rule_of(results, g), verdict(g)] for g in results["goals"]]
    lines += rows_as_text(["job", "goal", "reached", ""], goals, 2)
    return lines + [f"\nNot measured: {f}." for f in results["failures"]]


def write_section(path, name, lines):
    """Puts the lines in the place of what stands between the two marks."""
    begin, end = BEGIN.format(name), END.format(name)
    with open(path, encoding="utf-8") as f:
        text = f.read()
    before, rest = text.split(begin)
    after = rest.split(end)[1]
    with open(path, "w", encoding="utf-8") as f:
        f.write("\n".join([before + begin, *lines, end + after]))
    say(f"written: {path}, section {name}")
