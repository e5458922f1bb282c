#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""recording.py SCREEN SVG: draws a screen of tmux (capture-pane -p -e) as an SVG in which one command after the other appears.
recording.py --check SCREEN SVG: compares with an SVG that is there, but for numbers.
recording.py --self-test proves that the comparison can fail.

A line that begins with "$ " is a prompt; what stands behind it appears first, and what the command has printed a little
later. Where nothing moves, everything is to be seen.
"""
import html
import re
import sys

WIDE, HIGH, MARGIN = 8.4, 18, 14
COLUMNS = 88
ESCAPE = re.compile(r"\x1b\[([0-9;]*)m|\x1b[()][A-Z0-9]|[\x0e\x0f]")
COLOURS = {31: "red", 32: "green", 33: "yellow", 34: "blue", 35: "magenta", 36: "cyan"}
STYLE = """
    text { font: 14px ui-monospace, 'DejaVu Sans Mono', Menlo, Consolas, monospace; fill: #d8dee9; white-space: pre; }
    .bold { font-weight: bold; } .dim { opacity: .6; }
    .red { fill: #e06c75; } .green { fill: #98c379; } .yellow { fill: #e5c07b; }
    .blue { fill: #61afef; } .magenta { fill: #c678dd; } .cyan { fill: #56b6c2; }
    .step { animation: appear TOTALs infinite; }
    @media (prefers-reduced-motion: reduce) { .step { animation: none !important; } }
"""


def runs(line, state):
    """Pieces of text of one look, [(column, text, classes)]; state goes on into the next line."""
    pieces, at, column = [], 0, 0
    for escape in [*ESCAPE.finditer(line), None]:
        text = line[at:escape.start() if escape else len(line)]
        if text:
            pieces.append((column, text, sorted(state)))
            column += len(text)
        if escape is None:
            break
        at = escape.end()
        if escape.group(1) is not None:
            change(state, [int(n or 0) for n in escape.group(1).split(";")])
    return pieces


def change(state, codes):
    for code in codes:
        if code == 0:
            state.clear()
        elif code in (1, 2):
            state.add({1: "bold", 2: "dim"}[code])
        elif code == 22:
            state.difference_update({"bold", "dim"})
        elif code in COLOURS or code == 39:
            state.difference_update(COLOURS.values())
            state.update([COLOURS[code]] if code in COLOURS else [])


def parse(screen):
    state = set()
    lines = [runs(line.rstrip(), state) for line in screen.rstrip("\n").split("\n")]
    while lines and plain(lines[-1]).strip() in ("", "$"):
        lines.pop()
    return lines


def plain(pieces):
    return "".join(text for _, text, _ in pieces).rstrip()


def draw_line(pieces, row):
    spans = []
    for column, text, classes in pieces:
        if not text.strip():
            continue
        left = len(text) - len(text.lstrip(" "))
        text = text.strip(" ")
        x = MARGIN + (column + left) * WIDE
        look = f' class="{" ".join(classes)}"' if classes else ""
        # Whatever the font, a column is a column.
        spans.append(f'<tspan x="{x:.1f}" textLength="{len(text) * WIDE:.1f}"{look}>{html.escape(text, False)}</tspan>')
    return f'<text y="{MARGIN + 24 + row * HIGH}">{"".join(spans)}</text>' if spans else ""


def draw(lines):
    steps, begin = [], 1.0
    for row, pieces in enumerate(lines):
        if plain(pieces).startswith("$ "):
            steps.append([begin, [(row, pieces)]])
            steps.append([begin + 0.9, []])
            begin += 2.6
        else:
            steps[-1][1].append((row, pieces))
    total = begin + 4
    frames, groups = [], []
    for number, (start, rows) in enumerate(steps):
        share = 100 * start / total
        frames.append(f"    @keyframes step{number} {{ 0%, {share:.2f}% {{ opacity: 0; }} {share + 0.01:.2f}%, 100% {{ opacity: 1; }} }}")
        drawn = "\n".join(filter(None, (draw_line(pieces, row) for row, pieces in rows)))
        groups.append(f'<g class="step" style="animation-name: step{number}">\n{drawn}\n</g>')
    width, height = COLUMNS * WIDE + 2 * MARGIN, len(lines) * HIGH + 2 * MARGIN + 24
    return "\n".join(
        [
            "<!-- SPDX-License-Identifier: LGPL-2.1-or-later -->",
            "<!-- Made by ./dev recording from what the commands print. -->",
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{width:.0f}" height="{height}" viewBox="0 0 {width:.0f} {height}" xml:space="preserve">',
            "<title>rawview shows a VMDK as a raw disk</title>",
            "<style>" + STYLE.replace("TOTAL", f"{total:.1f}") + "\n".join(frames) + "\n</style>",
            f'<rect width="{width:.0f}" height="{height}" rx="8" fill="#1e222a"/>',
            *(f'<circle cx="{MARGIN + 6 + i * 18}" cy="14" r="5" fill="{c}"/>' for i, c in enumerate(("#e06c75", "#e5c07b", "#98c379"))),
            *groups,
            "</svg>",
            "",
        ]
    )


def words(svg):
    """What is to be read in an SVG, a list for each line with its looks; numbers, and how wide they are, do not count."""
    lines = []
    for line in re.findall(r"<text [^>]*>(.*)</text>", svg):
        spans = re.findall(r"<tspan x=[^>]*?(?: class=\"([^\"]*)\")?>([^<]*)</tspan>", line)
        pieces = [(look, re.sub(r"0x[0-9a-f]+|[0-9]+([.][0-9]+)?", "0", html.unescape(text))) for look, text in spans]
        lines.append([(look, re.sub(r" +", " ", text)) for look, text in pieces])
    return lines


def compare(svg, there):
    seen, shown = words(svg), words(there)
    if not shown:
        return ["the recording shows nothing"]
    differ = [f"seen  {a}\nshown {b}" for a, b in zip(seen, shown) if a != b]
    if len(seen) != len(shown):
        differ.append(f"{len(seen)} lines are seen, the recording has {len(shown)}")
    return differ


def self_test():
    screen = "\x1b[32m$\x1b[39m a <b>\n\x1b[1mX  12\x1b[0m end\n\n\x1b[32m$\x1b[39m c\nlabel 0x12ab\n\x1b[32m$\x1b[39m \n"
    lines = parse(screen)
    assert [plain(l) for l in lines] == ["$ a <b>", "X  12 end", "", "$ c", "label 0x12ab"], lines
    svg = draw(lines)
    assert words(svg)[0] == [("green", "$"), ("", "a <b>")], words(svg)
    assert not compare(svg, draw(parse(screen.replace("12ab", "77").replace("X  12", "X   7"))))
    assert len(compare(svg, draw(parse(screen.replace("end", "ends"))))) == 1
    assert len(compare(svg, draw(parse(screen.replace("[1m", "[2m"))))) == 1
    assert len(compare(svg, draw(parse(screen.replace("label 0x12ab\n", ""))))) == 1
    assert compare(svg, "") == ["the recording shows nothing"]


def main():
    if sys.argv[1:] == ["--self-test"]:
        self_test()
        return 0
    checks = sys.argv[1] == "--check"
    screen, path = sys.argv[-2:]
    with open(screen, encoding="utf-8") as f:
        svg = draw(parse(f.read()))
    if not checks:
        with open(path, "w", encoding="utf-8") as f:
            f.write(svg)
        return 0
    with open(path, encoding="utf-8") as f:
        differ = compare(svg, f.read())
    for d in differ:
        print(d)
    if differ:
        print(f"{path} is out of date: ./dev recording makes it anew")
    return 1 if differ else 0


if __name__ == "__main__":
    sys.exit(main())
