# SPDX-License-Identifier: LGPL-2.1-or-later
"""The figures as an SVG: a group of bars for each job, each as long as its median beside the highest figure of the group;
the thin line over a bar goes from the lowest to the highest figure."""
from html import escape

WIDTH, LEFT, RIGHT = 860, 150, 150
BAR, GAP, HEAD = 16, 4, 34
COLOURS = ("#888888", "#1f77b4", "#17a2b8", "#d9822b", "#b2423f", "#7b5ea7")


def text(x, y, words, extra=""):
    return f'<text x="{x:.0f}" y="{y:.0f}" {extra}>{escape(words)}</text>'


def number(value):
    return f"{value:,.0f}" if value >= 100 else f"{value:.2f}"


def group(y, job, row, targets):
    """The lines of one job, and the y below it."""
    unit = job.unit + (", less is better" if job.smaller_is_better else "")
    lines = [text(10, y + 20, f"{job.title} ({unit})", 'font-weight="bold"')]
    y += HEAD
    best = max(figures["max"] for figures in row.values())
    for i, (name, target) in enumerate(targets.items()):
        if name not in row:
            continue
        figures = row[name]
        low, middle, high = (figures[k] / best * (WIDTH - LEFT - RIGHT) for k in ("min", "median", "max"))
        centre = y + BAR / 2
        colour = COLOURS[i % len(COLOURS)]
        lines += [
            text(LEFT - 8, y + BAR - 4, target["title"], 'text-anchor="end"'),
            f'<rect x="{LEFT}" y="{y}" width="{middle:.1f}" height="{BAR}" fill="{colour}"/>',
            f'<path d="M{LEFT + low:.1f} {centre} H{LEFT + high:.1f}" stroke="black"/>',
            text(LEFT + high + 8, y + BAR - 4, number(figures["median"])),
        ]
        y += BAR + GAP
    return lines, y


def plot(path, heading, jobs, results):
    """results: as in the JSON; jobs without figures are left out."""
    lines, y = [text(10, 22, heading)], HEAD
    for job in jobs:
        if results["figures"].get(job.name):
            more, y = group(y, job, results["figures"][job.name], results["targets"])
            lines += more
    with open(path, "w", encoding="utf-8") as f:
        f.write(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{y + GAP}" font-family="sans-serif" '
                f'font-size="12">\n<rect width="100%" height="100%" fill="white"/>\n')
        f.write("\n".join(lines) + "\n</svg>\n")
