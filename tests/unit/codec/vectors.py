#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""Prints a C header of bytes as Apple's compressions pack them, made by tests/recipe/applepack.py without any of our C."""
import os
import random
import sys

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "..", "recipe"))
import applepack  # pylint: disable=wrong-import-position


def mixture(length, seed):
    """Noise, runs, text, and what came before, near and far: something for every way of saying it."""
    chance, out = random.Random(seed), bytearray()
    while len(out) < length:
        kind = chance.randrange(4)
        if kind == 0:
            out += chance.randbytes(chance.randrange(1, 700))
        elif kind == 1 and out:
            distance = chance.randrange(1, len(out) + 1)
            for _ in range(chance.randrange(1, 600)):
                out.append(out[-distance])
        elif kind == 2:
            out += bytes([chance.randrange(256)]) * chance.randrange(1, 3000)
        else:
            out += b"the quick brown fox %d " % chance.randrange(1000)
    return bytes(out[:length])


CONTENTS = {
    "one": b"a",
    "zeroes": bytes(5000),
    "text": b"the quick brown fox jumps over the lazy dog " * 30,
    "noise": random.Random(7).randbytes(1000),
    "near": mixture(8192, 1),
    "far": mixture(100000, 2),
}
PACKERS = {
    "ADC": applepack.adc,
    "LZVN": applepack.lzvn,
    "LZFSE_V1": lambda c: applepack.lzfse(c, ("bvx1",)),
    "LZFSE_V2": lambda c: applepack.lzfse(c, ("bvx2",)),
    "LZFSE_LZVN": lambda c: applepack.lzfse(c, ("bvxn",), 1 << 20),
    "LZFSE_MIXED": lambda c: applepack.lzfse(c, step=3000),
}


def array(name, content):
    print(f"static const uint8_t {name}[] = {{")
    for i in range(0, len(content), 32):
        print("        " + ", ".join(str(b) for b in content[i : i + 32]) + ",")
    print("};")


def main():
    rows = []
    for name, content in CONTENTS.items():
        array(f"plain_{name}", content)
        for kind, packer in PACKERS.items():
            array(f"packed_{name}_{kind}", packer(content))
            rows.append(f'{{ VECTOR_{kind}, "{name}", packed_{name}_{kind}, sizeof(packed_{name}_{kind}), '
                        f"plain_{name}, sizeof(plain_{name}) }},")
    print("static const Vector vectors[] = {\n" + "\n".join(rows) + "\n};")


if __name__ == "__main__":
    main()
