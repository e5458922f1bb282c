#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""layers.py ROOT: a floor includes only what lies below it.

FLOORS is the plan of the house: what code in src/FLOOR may include of other floors, and which libraries' headers.
Upward and sideways includes are complaints, so are circles among headers, a folder that the plan does not know, and an
#include of a .c file anywhere.
"""
import os
import re
import sys

sys.path.insert(0, os.path.dirname(__file__))
import tree

ALL_BELOW_PROGRAMS = {
    "base", "codec", "store", "reference", "lock", "config", "ipc", "broker", "sandbox", "crypto", "block", "partition", "opener", "format",
    "view", "fuse"
}

FLOORS = {
    "base": set(),
    "store": {"base"},
    "codec": {"base"},
    "reference": {"base"},
    "lock": {"base"},
    "config": {"base", "reference"},
    "ipc": {"base"},
    "broker": {"base", "ipc", "lock", "reference"},
    "sandbox": {"base"},
    "crypto": {"base", "store"},
    "block": {"base", "store", "crypto"},
    "partition": {"base", "codec", "block"},
    "opener": {"base", "store", "block", "ipc"},
    "format": {"base", "codec", "store", "crypto", "block"},
    "view": {"base", "store", "block"},
    "fuse": {"base", "view"},
    "worker": ALL_BELOW_PROGRAMS,
    "supervisor": {"base", "broker", "config", "ipc", "lock", "reference"},
    "generator": {"base", "config"},
    "udev": {"base"},
    "cli": ALL_BELOW_PROGRAMS - {"fuse"},
}

# Headers of other projects that not everybody may include: prefix -> floors.
LIBRARIES = {
    "fuse": {"fuse", "worker"},
    "systemd/": {"supervisor", "cli"},
    "json-c/": {"block", "cli", "crypto", "view"},
    "json.h": {"block", "cli", "view"},
    "zlib.h": {"codec", "format"},
    "libdeflate.h": {"codec"},
    "bzlib.h": {"codec"},
    "lzma.h": {"codec"},
    "zstd": {"format"},
    "blkid/": {"cli"},
    "seccomp.h": {"sandbox"},
    "gcrypt.h": {"crypto"},
    "linux/landlock.h": {"sandbox"},
}

INCLUDE = re.compile(r'^\s*#\s*include\s*([<"])([^>"]+)[>"]', re.M)


def floor_of(name):
    """src/format/qcow2/map.c -> ("format", "qcow2"); src/base/err.c -> ("base", None)"""
    parts = name.split("/")[1:-1]
    return (parts[0] if parts else None), (parts[1] if len(parts) > 1 else None)


def resolve(names, name, target):
    beside = os.path.normpath(os.path.join(os.path.dirname(name), target))
    below_src = os.path.normpath(os.path.join("src", target))
    return next((n for n in (beside, below_src) if n in names), None)


def complain_of_include(name, target):
    floor, part = floor_of(name)
    other, other_part = floor_of(target)
    if floor == other:
        if part and other_part and part != other_part:
            return f"{name}: includes {target}: sideways, from {floor}/{part} to {floor}/{other_part}"
        return None
    if other in FLOORS[floor]:
        return None
    way = "upward" if floor in FLOORS.get(other, ()) else "sideways"
    return f"{name}: includes {target}: {way}, {floor} may include {sorted(FLOORS[floor])}"


def circles(graph):
    """One complaint for each circle among the includes."""
    complaints, state = [], {}

    def visit(name, path):
        state[name] = "open"
        for target in graph.get(name, ()):
            if state.get(target) == "open":
                around = path[path.index(target):] if target in path else [target]
                complaints.append("circle of includes: " + " -> ".join(around + [target]))
            elif target not in state:
                visit(target, path + [target])
        state[name] = "done"

    for name in sorted(graph):
        if name not in state:
            visit(name, [name])
    return complaints


def check(root):
    complaints, graph = [], {}
    names = set(tree.files(root))
    for name in sorted(names):
        if not name.endswith((".c", ".h")):
            continue
        floor, _ = floor_of(name)
        in_src = name.startswith("src/")
        if in_src and floor not in FLOORS:
            complaints.append(f"{name}: the plan in layers.py knows no floor '{floor}'")
            continue
        for kind, target in INCLUDE.findall(tree.read(root, name)):
            if target.endswith(".c"):
                complaints.append(f"{name}: includes {target}, which is not a header")
            if not in_src:
                continue
            if kind == "<":
                for prefix, floors in LIBRARIES.items():
                    if target.startswith(prefix) and floor not in floors:
                        complaints.append(f"{name}: includes <{target}>, which is for {sorted(floors)} only")
                continue
            found = resolve(names, name, target)
            if found is None:
                if target != "build-config.h":
                    complaints.append(f'{name}: includes "{target}", which is nowhere in src/')
                continue
            graph.setdefault(name, []).append(found)
            complaint = complain_of_include(name, found)
            if complaint:
                complaints.append(complaint)
    return complaints + circles(graph)


def self_test():
    sound = {
        "src/base/err.h": "#include <stdint.h>\n",
        "src/store/store.h": '#include "base/err.h"\n',
        "src/format/a/a.c": '#include "store/store.h"\n#include <zlib.h>\n#include "build-config.h"\n',
        "src/worker/main.c": '#include "format/a/a.h"\n',
        "src/format/a/a.h": "",
    }
    with tree.made_up(sound) as root:
        tree.expect(check(root))
    broken = {
        "src/base/err.h": "",
        "src/base/up.c": '#include "store/store.h"\n',
        "src/store/store.h": '#include "base/err.h"\n',
        "src/ipc/side.c": '#  include "config/config.h"\n',
        "src/config/config.h": "",
        "src/format/b/b.c": '#include "format/a/a.h"\n',
        "src/format/a/a.h": '#include "format/a/c.h"\n',
        "src/format/a/c.h": '#include "a.h"\n',
        "src/block/zip.c": "#include <zlib.h>\n",
        "src/block/lost.c": '#include "nowhere.h"\n',
        "src/attic/old.c": "",
        "src/supervisor/peek.c": '#include "store/store.h"\n',
        "tests/unit/base/test-up.c": '#include "../../../src/base/up.c"\n',
    }
    with tree.made_up(broken) as root:
        tree.expect(
            check(root),
            "up.c: includes src/store/store.h: upward",
            "side.c: includes src/config/config.h: sideways",
            "sideways, from format/b to format/a",
            "circle of includes: src/format/a/a.h -> src/format/a/c.h",
            "zip.c: includes <zlib.h>",
            '"nowhere.h"',
            "no floor 'attic'",
            "peek.c: includes src/store/store.h",
            "test-up.c: includes ../../../src/base/up.c, which is not a header",
        )
    known = set()
    for floor, below in FLOORS.items():
        assert floor not in below, f"{floor} lies below itself"
        assert all(floor not in FLOORS[b] for b in below), f"the plan has a circle at {floor}"
        known.add(floor)


if __name__ == "__main__":
    tree.main(check, self_test)
