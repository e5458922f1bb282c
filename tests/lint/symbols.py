#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""symbols.py BUILD: what the binaries really use, read with nm.

A format library gives one symbol to the others, format_NAME (names that begin with NAME_ are its own affair), and uses
only the floors below it, memory, text, arithmetic, mutexes, zlib and zstd: nothing that opens, reads, waits or looks
around. The same goes for the library that parses partition tables. The supervisor and the generator never read an image: no pread, no library that unpacks one.
"""
import glob
import os
import re
import shutil
import subprocess
import sys
import tempfile

sys.path.insert(0, os.path.dirname(__file__))
import tree

FORMAT_MAY_USE = re.compile(
    r"""(err|node|store|table|cache|info|check|opener)_\w+|file_name_(parse|done)|format_find
    |mem(cpy|set|move|cmp|chr|mem)|__(mem(cpy|set|move)|strn?cpy|strcat|v?sn?printf|asprintf|vasprintf)_chk
    |str(len|nlen|n?cmp|n?dup|r?chr|n?cpy|str|spn|cspn|toul|toull|casecmp|ncasecmp)|isoc99_sscanf
    |malloc|calloc|realloc|reallocarray|free|qsort|bsearch|v?snprintf|v?asprintf
    |pthread_mutex_\w+|__errno_location|__stack_chk_fail|__assert_fail|_GLOBAL_OFFSET_TABLE_
    |__(popcount|u?div|u?mod|mul|clz|ctz|bswap)[sdt]i[23]
    |patched_store_\w+
    |flat_\w+
    |(uuid|utf16|crc32c|secret)_\w+|crc32c
    |(inflate|md5|sort|bunzip2|unxz)_\w+|adc_all|lzfse_all|crc32\w*|adler32\w*|ZSTD_\w+
    |(sector_cipher|cipher_store|luks_header|luks_key)_\w+
    |_*(asan|ubsan|tsan|lsan|sanitizer)_\w+|__gcov_\w+|llvm_gcov\w*""",
    re.X,
)
# Memory and text alone: bytes come from a callback.
PARTITION_MAY_USE = re.compile(
    r"""(err|uuid|utf16|crc32|apm|gpt|mbr|parse|partition)_\w+
    |mem(cpy|set|move|cmp|chr)|__(mem(cpy|set|move)|strcpy|v?sn?printf)_chk|str(len|nlen|cmp|cpy|casecmp|spn|toul)|isoc99_\w+|snprintf
    |calloc|free|__stack_chk_fail|__assert_fail|_GLOBAL_OFFSET_TABLE_
    |_*(asan|ubsan|tsan|lsan|sanitizer)_\w+|__gcov_\w+|llvm_gcov\w*""",
    re.X,
)
PRIVILEGED = ("src/rawviewd", "src/generator/rawview-generator", "src/generator/user/rawview-generator")
PRIVILEGED_MUST_NOT_USE = re.compile(r"p(read|readv|readv2|write|writev|writev2)(64)?(v2)?|inflate\w*|ZSTD_\w+|json_\w+|fuse_\w+|gcry_\w+")


def nm(path):
    """({defined global symbols}, {undefined ones that nothing inside defines})"""
    defined, undefined = set(), set()
    out = subprocess.run(["nm", "-g", path], capture_output=True, text=True, check=True).stdout
    if not out.strip() or " U " not in out and " T " not in out and " R " not in out and " D " not in out:
        out = subprocess.run(["nm", "-D", path], capture_output=True, text=True, check=True).stdout
    for line in out.splitlines():
        m = re.match(r"(?:[0-9a-f]+)?\s+([A-Za-z])\s+([^@\s]+)", line)
        if not m:
            continue
        kind, symbol = m.groups()
        if kind in "Uvw":
            undefined.add(symbol)
        else:
            defined.add(symbol)
    return defined, undefined - defined


def check_format(name, defined, undefined):
    complaints = []
    if f"format_{name}" not in defined:
        complaints.append(f"format {name}: does not define format_{name}")
    for s in sorted(defined - {f"format_{name}"}):
        if not s.startswith(name + "_"):
            complaints.append(f"format {name}: exports {s}; only format_{name} is for others, inner names begin with {name}_")
    for s in sorted(undefined):
        if not FORMAT_MAY_USE.fullmatch(s):
            complaints.append(f"format {name}: uses {s}")
    return complaints


def check(build):
    complaints, libraries = [], {}
    for path in glob.glob(os.path.join(build, "src", "**", "lib*.a"), recursive=True):
        libraries[os.path.relpath(path, build)] = nm(path)
    for s in sorted(libraries.get("src/partition/libpartition.a", ((), ()))[1]):
        if not PARTITION_MAY_USE.fullmatch(s):
            complaints.append(f"partition: uses {s}")
    formats = {}
    for path, symbols in libraries.items():
        m = re.match(r"src/format/(\w+)/lib", path)
        if m:
            formats[m.group(1)] = path
            complaints += check_format(m.group(1), *symbols)
    if not formats:
        complaints.append(f"{build}: no format library was built")
    for path, (_, undefined) in libraries.items():
        for name, own in formats.items():
            if path != own:
                inner = (libraries[own][0] & undefined) - {f"format_{name}"}
                complaints += [f"{path}: uses {s}, which is format {name}'s own" for s in sorted(inner)]
    for program in PRIVILEGED:
        path = os.path.join(build, program)
        for s in sorted(nm(path)[1]) if os.path.exists(path) else ():
            if PRIVILEGED_MUST_NOT_USE.fullmatch(s):
                complaints.append(f"{program}: uses {s}: it never looks into an image")
    return complaints


def self_test():
    sources = {
        "src/format/good/a.c": "#include <string.h>\nint good_map(char *c) { return (int)strlen(c); }\nconst int format_good = 1;\n",
        "src/format/bad/a.c": "int open(const char *, int); int read(int, void *, long); int good_map(char *);\n"
                              "int helper(void) { return open(\"/\", 0) + read(0, 0, 0) + good_map(0); }\nint format_bad = 2;\n",
        "src/partition/a.c": "int open(const char *, int); int parse_add(void) { return open(\"/\", 0); }\n",
        "src/rawviewd.c": "long pread(int, void *, long, long);\nint main(void) { return (int)pread(0, 0, 0, 0); }\n",
    }
    cc = shutil.which("cc")
    with tree.made_up(sources) as root:
        for name in ("good", "bad"):
            folder = os.path.join(root, "src/format", name)
            subprocess.run([cc, "-c", "a.c", "-o", "a.o", "-w"], cwd=folder, check=True)
            subprocess.run(["ar", "rcsT", f"lib{name}.a", "a.o"], cwd=folder, check=True, capture_output=True)
        subprocess.run([cc, "-c", "a.c", "-o", "a.o", "-w"], cwd=os.path.join(root, "src/partition"), check=True)
        subprocess.run(["ar", "rcsT", "libpartition.a", "a.o"], cwd=os.path.join(root, "src/partition"), check=True, capture_output=True)
        with tempfile.TemporaryDirectory() as alone:
            shutil.copytree(os.path.join(root, "src/format/good"), os.path.join(alone, "src/format/good"))
            tree.expect(check(alone))
        os.mkdir(os.path.join(root, "src/generator"))
        for program in PRIVILEGED[:2]:
            subprocess.run([cc, "src/rawviewd.c", "-o", program, "-w"], cwd=root, check=True)
        tree.expect(
            check(root),
            "format bad: exports helper",
            "format bad: uses open",
            "format bad: uses read",
            "format bad: uses good_map",
            "partition: uses open",
            "libbad.a: uses good_map, which is format good's own",
            "src/rawviewd: uses pread",
            "src/generator/rawview-generator: uses pread",
        )


if __name__ == "__main__":
    tree.main(check, self_test)
