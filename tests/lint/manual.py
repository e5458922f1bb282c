#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""manual.py PROGRAM PAGE [NAME]: --help and the man page name the same commands, long options and options of -o, and --help fits a
terminal of 80 columns.

PAGE is the .scd source, NAME what PROGRAM is called by. Of each command that stands beneath "Commands:" its own --help is read too. The
part of the page that follows "# SEE ALSO" is not looked at, nor are options in lines that show another program (they begin with a blank
or "$"), or in single quotes behind the name of one. Options of -o stand beneath "Options of -o" in the help, and in the page at the head of
paragraphs of "# MOUNT OPTIONS".
"""
import os
import re
import subprocess
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree

OPTION = re.compile(r"(?<![\w-])--([a-z][a-z0-9-]*[a-z0-9])")


def help_text(program, *words, called=None):
    run = subprocess.run([called or program, *words, "--help"], executable=program, capture_output=True, text=True, timeout=20)
    if run.returncode:
        raise SystemExit(f"{' '.join([program, *words])} --help: exit {run.returncode}\n{run.stderr}")
    return run.stdout


def commands(text):
    part = re.search(r"^Commands:\n((?:.+\n)+)", text, re.M)
    return re.findall(r"^  ([a-z]+) ", part.group(1), re.M) if part else []


def page_options(page):
    with open(page, encoding="utf-8") as f:
        text = f.read().split("\n# SEE ALSO")[0]
    lines = [line for line in text.split("\n") if not line.startswith((" ", "\t$", "\t#"))]
    # What a message quotes of another program: 'losetup --find'.
    text = re.sub(r"'(?!rawview)[a-z]+ [^'\n]*'", "", "\n".join(lines).replace("\\", ""))
    return set(OPTION.findall(text))


def help_words(text):
    part = re.search(r"^Options of -o.*:\n((?:  .+\n)+)", text, re.M)
    return set(re.findall(r"^  ([a-z-]+)", part.group(1), re.M)) if part else set()


def page_words(text):
    part = re.search(r"^# MOUNT OPTIONS\n(.*?)^# ", text, re.M | re.S)
    heads = re.findall(r"\n\n(\*.*)\n\t", "\n" + part.group(1)) if part else []
    return {word for head in heads for word in re.findall(r"\*([a-z-]+)\*", head)}


def wide_lines(texts):
    return [
        f"{' '.join(verb + ['--help'])}: {len(line)} columns: {line.strip()}"
        for verb, text in texts
        for line in text.split("\n")
        if len(line) > 80
    ]


def check(program, page, called=None):
    text = help_text(program, called=called)
    verbs = commands(text)
    texts = [([], text)] + [([v], help_text(program, v)) for v in verbs]
    in_help = set(OPTION.findall("".join(t for _, t in texts)))
    in_page, name = page_options(page), os.path.basename(page)
    headings = set(re.findall(r"^## ([a-z]+)$", tree.read("", page), re.M))
    words, words_in_page = help_words(text), page_words(tree.read("", page))
    return (
        wide_lines(texts)
        + [f"--{o}: in --help, not in {name}" for o in sorted(in_help - in_page)]
        + [f"--{o}: in {name}, not in --help" for o in sorted(in_page - in_help)]
        + [f"{w}: an option of -o in --help, not in {name}" for w in sorted(words - words_in_page)]
        + [f"{w}: an option of -o in {name}, not in --help" for w in sorted(words_in_page - words)]
        + [f"{v}: a command without a part of its own in {name}" for v in verbs if v not in headings]
        + [f"{h}: in {name}, and not a command" for h in sorted(headings - set(verbs))]
    )


def self_test():
    script = """#!/bin/sh
case $1 in
verb) printf '  --inner=X  y%66s\\n  and one more%67s\\n' this-fits this-does-not ;;
mute) ;;
*) printf 'Commands:\\n  verb   z\\n  mute   z\\n\\n-a --both | --only-help\\nOptions of -o:\\n  both=X  y\\n  word-in-help  y\\n' ;;
esac
"""
    page = """prog(1)

*--both*
\t$ other --not-ours
*--only\\-page* 'another --theirs'

## verb
*--inner*=_X_

## gone

# MOUNT OPTIONS

*both*=_X_, *word-in-page*
\ty *not-a-word* z

# SEE ALSO

--elsewhere
"""
    with tree.made_up({"prog": script, "prog.1.scd": page}) as root:
        program = os.path.join(root, "prog")
        os.chmod(program, 0o755)
        tree.expect(
            check(program, os.path.join(root, "prog.1.scd")),
            "verb --help: 81 columns: and one more",
            "--only-help: in --help",
            "--only-page: in prog.1.scd",
            "mute: a command without",
            "gone: in prog.1.scd, and not a command",
            "word-in-help: an option of -o in --help",
            "word-in-page: an option of -o in prog.1.scd",
        )


if __name__ == "__main__":
    tree.main(check, self_test)
