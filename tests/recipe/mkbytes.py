# SPDX-License-Identifier: LGPL-2.1-or-later
"""Bytes that recipes are made of: patterns, compressed streams, numbers written as expressions."""

import array
import ast
import operator
import re
import struct
import sys
import zlib

UNSEEN = 0xEE  # fills what nobody may ever read

SUFFIX = {"K": 10, "M": 20, "G": 30, "T": 40, "P": 50, "E": 60}
OPERATORS = {
    ast.Add: operator.add,
    ast.Sub: operator.sub,
    ast.Mult: operator.mul,
    ast.FloorDiv: operator.floordiv,
    ast.LShift: operator.lshift,
    ast.BitOr: operator.or_,
    ast.BitAnd: operator.and_,
}


class RecipeError(Exception):
    pass


def evaluate(text, names):
    """A number from an expression; `names` gives plain numbers, and dicts for name[index]."""

    def value(node):
        if isinstance(node, ast.Constant) and isinstance(node.value, int):
            return node.value
        if isinstance(node, ast.BinOp) and type(node.op) in OPERATORS:
            return OPERATORS[type(node.op)](value(node.left), value(node.right))
        if isinstance(node, ast.UnaryOp) and isinstance(node.op, ast.USub):
            return -value(node.operand)
        if isinstance(node, ast.Name) and isinstance(names.get(node.id), int):
            return names[node.id]
        if isinstance(node, ast.Subscript) and isinstance(node.value, ast.Name):
            index = value(node.slice)
            if index in names.get(node.value.id, {}):
                return names[node.value.id][index]
        raise RecipeError(f"cannot make a number of '{text}'")

    plain = re.sub(r"\b(\d+)([KMGTPE])\b", lambda m: f"({m[1]}<<{SUFFIX[m[2]]})", text)
    try:
        return value(ast.parse(plain, mode="eval").body)
    except SyntaxError:
        raise RecipeError(f"'{text}' is not an expression") from None


def text_bytes(text):
    if text.startswith("hex:"):
        return bytes.fromhex(text[4:])
    return text.encode()


def pattern(seed, off, length):
    """Each 8 bytes at a guest offset divisible by 8: the seed (2 bytes) and that offset (6), big-endian."""
    first = off // 8 * 8
    words = array.array("Q", range(seed << 48 | first, seed << 48 | (off + length + 7) // 8 * 8, 8))
    if sys.byteorder == "little":
        words.byteswap()
    return words.tobytes()[off - first : off - first + length]


def stripes(seed, off, length):
    """Sixteen runs of one byte each: what a zstd stream without an entropy coder can make small."""
    run = max(length // 16, 1)
    return b"".join(
        bytes([(seed * 16 + off // length + i) & 0xFF]) * min(run, length - i * run)
        for i in range((length + run - 1) // run)
    )


def deflate(content, level, window, finished):
    coder = zlib.compressobj(level, zlib.DEFLATED, -window)
    return coder.compress(content) + coder.flush(zlib.Z_FINISH if finished else zlib.Z_SYNC_FLUSH)


def zstd_blocks(content):
    """RLE blocks for runs of one byte, raw blocks between them; RFC 8878, 3.1.1.2."""
    pieces, at = [], 0
    for match in re.finditer(rb"(.)\1{31,}", content, re.DOTALL):
        pieces.append((0, content[at : match.start()]))
        pieces.append((1, match[0]))
        at = match.end()
    pieces.append((0, content[at:]))
    small = [
        (kind, piece[i : i + 0x10000])
        for kind, piece in pieces
        for i in range(0, len(piece), 0x10000)
    ] or [(0, b"")]
    for i, (kind, piece) in enumerate(small):
        head = (i == len(small) - 1) | kind << 1 | len(piece) << 3
        yield struct.pack("<I", head)[:3] + (piece[:1] if kind else piece)


def zstd_frame(content, sized=True):
    # Frame header descriptor 0xA0: single segment, 4 bytes of content size. 0x00: a window descriptor follows;
    # 0x60 there means 4 MiB.
    head = b"\xa0" + struct.pack("<I", len(content)) if sized else b"\x00\x60"
    return b"\x28\xb5\x2f\xfd" + head + b"".join(zstd_blocks(content))


def zstd(content, frames=1, sized=True, skippable=False):
    step = (len(content) + frames - 1) // frames
    stream = b"\x50\x2a\x4d\x18" + struct.pack("<I", 3) + b"abc" if skippable else b""
    for i in range(0, max(len(content), 1), max(step, 1)):
        stream += zstd_frame(content[i : i + step], sized)
    return stream


def pack_counts(counts, order):
    """Refcounts of a whole block: entries smaller than a byte are packed from the lowest bit on."""
    width = 1 << order
    if width >= 8:
        return b"".join(count.to_bytes(width // 8, "big") for count in counts)
    per_byte = 8 // width
    return bytes(
        sum(count << width * j for j, count in enumerate(counts[i : i + per_byte]))
        for i in range(0, len(counts), per_byte)
    )


class Image:
    """One file of a recipe, whatever its format; mkNAME.py has a class File made of it for statement NAME.

    seed   the first two bytes of each 8 of its pattern
    cs     the unit that model[N] counts in
    size   of the guest disk, as the recipe says or as far as the format can say it
    names  what expressions may use; build() adds to it
    """

    def __init__(self, options, seed, cs=1 << 16, size="256K"):
        self.options, self.seed, self.cs = options, seed * 16, cs
        self.names = {"cs": cs}
        self.size = self.value(options.get("size", size))
        self.sets, self.length, self.models = [], None, {}

    def value(self, text):
        return evaluate(text, self.names)

    # What a format has to say.

    def map(self, kind, first, last, value, options):
        """KIND[FIRST..LAST]=VALUE OPTIONS"""
        raise RecipeError(f"no statement begins with '{kind}['")

    def build(self):
        """The bytes of the file, without those that nobody wrote: [(position, bytes)], and its size. Ends with finish()."""
        raise NotImplementedError

    def paint(self, disk, recipe):
        """Draws what the guest sees over what lies in `disk`, an open file: that of below(), or nothing; and cuts or
        extends it to its own size."""
        raise NotImplementedError

    def below(self):
        """The name of the file below, or None."""
        return self.options.get("backing")

    def more_files(self):
        """Further files that this statement makes: [(name, chunks, size)]."""
        return []

    def field(self, what):
        """Position, width and byte order of a field with a name of its own, for `set`; None: there is none."""
        return None

    # What all have.

    def finish(self, chunks, end):
        """The last word: `set` and `truncate`."""
        self.names["end"] = end
        for what, text in self.sets:
            pos, width, order = self.target(what)
            if width:
                number = self.value(text) & (1 << width * 8) - 1
                chunks.append((pos, number.to_bytes(width, order)))
            else:
                chunks.append((pos, text_bytes(text)))
        return chunks, end if self.length is None else self.value(self.length)

    def target(self, what):
        if match := re.fullmatch(r"(?:(le|be|u)(8|16|32|64)|bytes)@(.+)", what):
            order = "little" if match[1] == "le" else "big"
            return self.value(match[3]), int(match[2] or 0) // 8, order
        if found := self.field(what):
            return found
        raise RecipeError(f"cannot set '{what}'")

    def paint_models(self, disk, size, seed):
        """What model[N] says instead."""
        for n, (kind, options) in self.models.items():
            length = min(self.cs, size - n * self.cs)
            own = self.value(options["seed"]) if "seed" in options else seed
            disk.seek(n * self.cs)
            disk.write(bytes(length) if kind == "zero" else pattern(own, n * self.cs, length))
