# SPDX-License-Identifier: LGPL-2.1-or-later
"""The file `options`, read: what generate.py makes completion of, and what lint compares with --help."""
import dataclasses
import re

LINE = re.compile(r"(?:(?P<letter>-\w)(?: (?=-))?)?(?P<name>--[a-z][a-z-]*)?(?P<value>\[=[^\]]+\]|=\S+)?(?:\s+(?P<text>\S.*))?")
HEAD = re.compile(r"\[(?P<name>[^]]+)\](?P<operands>(?: \[?[A-Z]+\]?…?)*)(?:\s+(?P<text>\S.*))?")


@dataclasses.dataclass
class Option:
    letter: str  # "-f" or ""
    name: str  # "--format" or ""
    value: list  # alternatives: words, and kinds in capitals; empty: it has none
    optional: bool
    text: str
    named: dict  # what some of the kinds stand for

    def words(self):
        """What can be typed as it stands."""
        return [w for v in self.value for w in self.named.get(v, [v]) if not w.isupper()]

    def kinds(self):
        return [v for v in self.value if v.isupper() and v not in self.named]

    def key(self):
        return self.name or self.letter


@dataclasses.dataclass
class Command:
    name: str
    operands: list  # kinds; the last may be repeated
    repeats: bool
    text: str
    options: dict  # by key()


def parse_option(line, named):
    m = LINE.fullmatch(line)
    if not m or not (m["letter"] or m["name"]):
        raise SystemExit(f"options: '{line}' is no option")
    value = m["value"] or ""
    return Option(m["letter"] or "", m["name"] or "", [v for v in value.strip("[]=").split("|") if v], value.startswith("["), m["text"] or "", named)


def read(path):
    """{name: Command}, in order."""
    commands, current, named = {}, None, {"BOOL": ["yes", "no"]}
    waiting = []
    with open(path, encoding="utf-8") as f:
        for line in map(str.rstrip, f):
            if not line or line.startswith("#"):
                continue
            m = HEAD.fullmatch(line)
            if m:
                operands = m["operands"].split()
                current = Command(m["name"], [o.strip("[]…") for o in operands], "…" in m["operands"], m["text"] or "", {})
                commands[current.name] = current
            elif line.startswith("FORMAT "):
                named["FORMAT"] = line.split()[1].split("|")
            elif line.startswith("include "):
                waiting.append((current, line.split(" ", 1)[1]))
            else:
                option = parse_option(line, named)
                current.options[option.key()] = option
    # The last section that includes another may itself be included: from the end.
    for command, other in reversed(waiting):
        command.options = {**commands[other].options, **command.options}
    return commands
