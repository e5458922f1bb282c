#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""generate.py SHELL OPTIONS TEMPLATE: the completion for bash, zsh or fish on standard output.

TEMPLATE is what is written by hand; a line "@data@" there becomes what OPTIONS says (see there).
"""
import sys

import table

# What follows "rawview" is a verb, or what `rawview mount` takes.
PLAIN = "rawview"


def quote(text):
    return "'" + text.replace("'", "'\\''") + "'"


def verbs(commands):
    return [c for c in commands.values() if c.name.startswith(PLAIN + " ")]


def values_of_mount_options(commands):
    """What stands between two commas after -o: words, and names that another value follows."""
    for option in commands["-o"].options.values():
        name = option.name[2:]
        if option.optional or not option.value:
            yield name, option.text
        for word in option.words():
            yield f"{name}={word}", option.text
        if option.value and (option.kinds() or not option.words()):
            yield f"{name}=", option.text


def kinds_of_mount_options(commands, known):
    """{name: what KNOWN has for its kind}, of those that want more than words."""
    for option in commands["-o"].options.values():
        for kind in option.kinds():
            if kind in known:
                yield option.name[2:], known[kind]


class Bash:
    """Functions that print words: names of options, and what a value may be."""

    def option_names(self, option):
        if option.letter:
            yield option.letter
        if option.name:
            yield option.name + ("=" if option.value and not option.optional else "")

    def cases(self, name, rows):
        yield f"{name}() {{"
        yield "    case $1 in"
        for pattern, words in rows:
            yield f"    {pattern}) printf '%s\\n' {words} ;;"
        yield "    esac"
        yield "}"

    def data(self, commands):
        shown = [c for c in commands.values() if c.name not in ("keys", "-o")]
        yield f"__rawview_verbs=({' '.join(v.name.split()[1] for v in verbs(commands))})"
        yield from self.cases("__rawview_options", [
            (quote(c.name), " ".join(n for o in c.options.values() for n in self.option_names(o))) for c in shown])
        yield from self.cases("__rawview_operands", [
            (quote(c.name), " ".join([*c.operands, *(["…"] if c.repeats else [])]) or "''") for c in shown])
        yield from self.cases("__rawview_values", [
            (" | ".join(quote(f"{c.name} {n}") for n in (o.letter, o.name) if n), " ".join(map(quote, o.words() + o.kinds())))
            for c in shown for o in c.options.values() if o.value])
        yield from self.cases("__rawview_needs_value", [
            (" | ".join(quote(f"{c.name} {n}") for c in shown for o in c.options.values() if o.value and not o.optional
                        for n in (o.letter, o.name) if n), "yes")])
        yield f"__rawview_mount_options=({' '.join(w for w, _ in values_of_mount_options(commands))})"


class Zsh:
    """Arguments of _arguments, in an array for each command."""
    ACTIONS = {
        "DESCRIPTOR": "_rawview_descriptors", "FILE": "_files", "FOLDER": "_files -/", "GROUP": "_groups", "IMAGE": "_files",
        "OPTIONS": "_rawview_mount_options", "USER": "_users", "VIEW": "_rawview_views",
    }

    def plain(self, text):
        return "".join("\\" + c if c in "[]:\\" else c for c in text)

    def action(self, option):
        known = [self.ACTIONS[k] for k in option.kinds() if k in self.ACTIONS]
        words = f"({' '.join(option.words())})"
        if not known:
            return words if option.words() else " "
        if not option.words():
            return known[0]
        return f'{{_alternative "words:word:{words}" "others:other:{known[0]}"}}'

    def spec(self, option):
        both = f"({option.letter} {option.name})" if option.letter and option.name else ""
        for name in filter(None, (option.letter, option.name)):
            if not option.value:
                yield f"{both}{name}[{self.plain(option.text)}]"
            elif name == option.letter:
                # A letter has no value that may be left out.
                value = "" if option.optional else f":value:{self.action(option)}"
                yield f"{both}{name}{'' if option.optional else '+'}[{self.plain(option.text)}]{value}"
            else:
                sign, colons = ("=-", "::") if option.optional else ("=", ":")
                yield f"{both}{name}{sign}[{self.plain(option.text)}]{colons}value:{self.action(option)}"

    def operands(self, command):
        for i, kind in enumerate(command.operands, 1):
            place = "*" if command.repeats and i == len(command.operands) else str(i)
            yield f"{place}:{kind.lower()}:{self.ACTIONS[kind]}"

    def data(self, commands):
        yield "_rawview_verbs=("
        for v in verbs(commands):
            yield "    " + quote(f"{v.name.split()[1]}:{v.text}")
        yield ")"
        yield "_rawview_specs=("
        for c in commands.values():
            if c.name in ("keys", "-o"):
                continue
            specs = [s for o in c.options.values() for s in self.spec(o)] + list(self.operands(c))
            yield f"    {quote(c.name)} {quote(chr(10).join(specs))}"
        yield ")"
        yield "_rawview_of_mount=("
        for word, text in values_of_mount_options(commands):
            yield "    " + quote(f"{word}:{text}")
        yield ")"
        kinds = " ".join(f"{n} {quote(a)}" for n, a in kinds_of_mount_options(commands, self.ACTIONS))
        yield f"_rawview_kinds_of_mount=({kinds})"


class Fish:
    """One `complete` for each option."""
    ARGUMENTS = {
        "DESCRIPTOR": "-x -a '(__rawview_descriptors)'", "FILE": "-r -F", "FOLDER": "-x -a '(__fish_complete_directories)'",
        "GROUP": "-x -a '(__fish_complete_groups)'", "IMAGE": "-r -F",
        "OPTIONS": "-x -a '(__fish_complete_list , __rawview_mount_options)'", "USER": "-x -a '(__fish_complete_users)'",
        "VIEW": "-x -a '(__rawview_views)'",
    }

    # What prints values of this kind that begin with $value.
    VALUES = {
        "FILE": "__rawview_files $value", "FOLDER": "__fish_complete_directories $value", "GROUP": "__fish_complete_groups",
        "IMAGE": "__rawview_files $value", "USER": "__fish_complete_users",
    }

    def arguments(self, option):
        if not option.value:
            return ""
        known = [self.ARGUMENTS[k] for k in option.kinds() if k in self.ARGUMENTS]
        words = f" -a {quote(' '.join(option.words()))}" if option.words() else ""
        if option.optional:
            return words
        return f" {known[0] if known else '-x'}{words}"

    def condition(self, command):
        program, *verb = command.name.split()
        if program != PLAIN:
            return f"complete -c {program}"
        return f"complete -c {program} -n '__rawview_is {verb[0] if verb else 'none'}'"

    def one(self, command):
        begin = self.condition(command)
        if command.operands[:1] in (["VIEW"], ["DESCRIPTOR"]):
            yield f"{begin} -f {self.ARGUMENTS[command.operands[0]].replace('-x ', '')}"
        elif not command.operands:
            yield f"{begin} -f"
        for o in command.options.values():
            letter = f" -s {o.letter[1:]}" if o.letter else ""
            name = f" -l {o.name[2:]}" if o.name else ""
            yield f"{begin}{letter}{name}{self.arguments(o)} -d {quote(o.text)}"

    def data(self, commands):
        yield f"set -g __rawview_verbs {' '.join(v.name.split()[1] for v in verbs(commands))}"
        yield "function __rawview_mount_options"
        for word, text in values_of_mount_options(commands):
            yield f"    printf '%s\\t%s\\n' {quote(word)} {quote(text)}"
        yield "    set -l value (string replace -r '.*=' '' -- (commandline -ct))"
        yield "    switch (string replace -r '.*,' '' -- (string replace -r '^--options=' '' -- (commandline -ct)))"
        for name, command in kinds_of_mount_options(commands, self.VALUES):
            yield f"        case '{name}=*'"
            yield f"            string replace -r '^' '{name}=' -- ({command})"
        yield "    end"
        yield "end"
        for v in verbs(commands):
            yield f"complete -c {PLAIN} -n '__rawview_is none' -a {v.name.split()[1]} -d {quote(v.text)}"
        for c in commands.values():
            if c.name not in ("keys", "-o"):
                yield from self.one(c)


def main(shell, options, template):
    commands = table.read(options)
    data = "\n".join({"bash": Bash, "zsh": Zsh, "fish": Fish}[shell]().data(commands))
    with open(template, encoding="utf-8") as f:
        print(f.read().replace("@data@", data), end="")


if __name__ == "__main__":
    main(*sys.argv[1:])
