#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""completion.py ROOT RAWVIEW RAWVIEWD: completion/options names what --help and the man pages name, no more and no less.

That is: each command, each option with its letter, whether it wants a value, and where a man page lists words for a value, these words.
manual.py compares --help with the man pages, and tests/package/completion.py the three shells with completion/options.
"""
import glob
import os
import re
import sys

sys.dont_write_bytecode = True
sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "completion"))
import manual
import table
import tree

OPTIONS = "completion/options"
ONE = re.compile(r"(?:, )?(--[a-z][a-z-]*|-\w)(\[=[^]]*\]|=\S+| [A-Z]+\b)?")
FORMAT_NAME = re.compile(r'^\s+\.(?:qemu_)?name = "([a-z0-9]+)",$', re.M)
PAGE_VALUE = re.compile(r"\*(--[a-z-]+)\*\[?=((?:_[^_]+_\|?)+)")


def sign(value):
    return "" if not value else "[=…]" if value.startswith("[") else "=…"


def options_of_help(text):
    """{"--name" or "-x": (what it is called also, how its value is given)}."""
    found = {}
    for line in text.split("\n"):
        part, names, value = line.strip(), [], ""
        if not line.startswith(" ") or not part.startswith("-"):
            continue
        while m := ONE.match(part):
            names.append(m[1])
            value = value or m[2] or ""
            part = part[m.end():]
        longs = [n for n in names if n.startswith("--")]
        for name in longs or names:
            found[name] = (next((n for n in names if not n.startswith("--")), "") if longs else "", sign(value))
    return found


def options_of_table(command):
    return {
        o.key(): (o.letter if o.name else "", "" if not o.value else "[=…]" if o.optional else "=…") for o in command.options.values()
    }


def compare(what, of_help, command):
    if command is None:
        yield f"{what}: a command without a section [{what}] in {OPTIONS}"
        return
    of_table = options_of_table(command)
    for name in sorted(of_help.keys() | of_table.keys()):
        if name not in of_table:
            yield f"{name}: in {what} --help, not in {OPTIONS} [{what}]"
        elif name not in of_help:
            yield f"{name}: in {OPTIONS} [{what}], not in {what} --help"
        elif of_help[name] != of_table[name]:
            there, here = (", ".join(filter(None, (letter, name + value))) for letter, value in (of_help[name], of_table[name]))
            yield f"{name}: '{there}' in {what} --help, '{here}' in {OPTIONS} [{what}]"


def compare_mount_options(text, command):
    in_help, in_table = manual.help_words(text), {o.name[2:] for o in command.options.values()}
    yield from (f"{w}: an option of -o in mount.rawview --help, not in {OPTIONS} [-o]" for w in sorted(in_help - in_table))
    yield from (f"{w}: in {OPTIONS} [-o], not in mount.rawview --help" for w in sorted(in_table - in_help))


def compare_words(page, text, command):
    for name, value in PAGE_VALUE.findall("\n".join(l for l in text.split("\n") if l.startswith("*-"))):
        option = command.options.get(name)
        words = {w for w in re.findall(r"_([^_]+)_", value) if w.islower()}
        ours = {w for v in option.value if not v.isupper() for w in [v]} if option else words
        for w in sorted(words ^ ours):
            there, here = (page, f"{OPTIONS} [{command.name}]") if w in words else (f"{OPTIONS} [{command.name}]", page)
            yield f"{name}: the value '{w}' is in {there}, not in {here}"


def compare_formats(root, commands):
    known = {"auto"}
    for path in glob.glob(os.path.join(root, "src/format/*/*.c")):
        known |= set(FORMAT_NAME.findall(tree.read("", path)))
    ours = {w for c in commands.values() for o in c.options.values() if "FORMAT" in o.value for w in o.words()}
    yield from (f"format '{n}': in src/format, not in {OPTIONS} FORMAT" for n in sorted(known - ours))
    yield from (f"format '{n}': in {OPTIONS} FORMAT, not in src/format" for n in sorted(ours - known))


def section(page, heading):
    part = re.search(rf"^## {heading}$(.*?)(?=^#|\Z)", page, re.M | re.S)
    return part.group(1) if part else ""


def check(root, rawview, rawviewd):
    commands = table.read(os.path.join(root, OPTIONS))
    page = tree.read(root, "docs/man/rawview.1.scd")
    complaints = []
    verbs = manual.commands(manual.help_text(rawview))
    for verb in verbs:
        name = f"rawview {verb}"
        complaints += compare(name, options_of_help(manual.help_text(rawview, verb)), commands.get(name))
        complaints += compare_words("rawview(1)", section(page, verb), commands[name]) if name in commands else []
    complaints += [f"[{c}]: in {OPTIONS}, and not a command" for c in commands if c.startswith("rawview ") and c[8:] not in verbs]
    complaints += compare("rawviewd", options_of_help(manual.help_text(rawviewd)), commands.get("rawviewd"))
    complaints += compare_words("rawviewd(8)", tree.read(root, "docs/man/rawviewd.8.scd"), commands["rawviewd"])
    for helper in ("mount.rawview", "umount.rawview"):
        text = manual.help_text(rawview, called=helper)
        complaints += compare(helper, options_of_help(text), commands.get(helper))
        complaints += compare_mount_options(text, commands["-o"]) if helper == "mount.rawview" else []
    return complaints + list(compare_formats(root, commands))


def self_test():
    told = """Options:
  -f, --format=NAME  as auto, raw
      --both[=BOOL]  as --other
  -o, --options=NAME[=VALUE],… several
  -n, -r     ignored
  -N SPACE   somewhere
  -w, --plain=WHAT  x
"""
    with tree.made_up({OPTIONS: """[tool] IMAGE  text
-f --format=a|B  text
--both text
-o --options=OPTIONS
-n text
-r text
--gone text
--plain=WHAT
"""}) as root:
        command = table.read(os.path.join(root, OPTIONS))["tool"]
    tree.expect(compare("tool", options_of_help(told), command), "-N: in tool --help", "--both: '--both[=…]' in", "--gone: in completion",
                "--plain: '-w, --plain=…' in")
    tree.expect(compare("other", {}, None), "other: a command without")
    tree.expect(compare_words("page", "*-f*, *--format*=_b_|_NAME_\n\tsays _c_", command), "'a' is in completion", "'b' is in page")


if __name__ == "__main__":
    tree.main(check, self_test)
