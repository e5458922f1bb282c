# SPDX-License-Identifier: LGPL-2.1-or-later
"""Packs bytes as Apple's own compressions do: ADC, LZVN and LZFSE. Written from descriptions of the formats, without any of our C:
what comes out has been unpacked by 7z too. What may be said in several ways is said in each of them in turn, since these packers
are for tests of those who unpack.
"""
import random
import struct


def matches(content, distance_max, length_min, length_max):
    """Goes through `content`: (bytes as they are, length, distance) in turn; the last has length 0."""
    seen, start, at = {}, 0, 0
    while at < len(content):
        key = content[at : at + length_min]
        before = seen.get(key) if len(key) == length_min else None
        seen[key] = at
        if before is None or at - before > distance_max:
            at += 1
            continue
        length = length_min
        while length < length_max and at + length < len(content) and content[before + length] == content[at + length]:
            length += 1
        yield content[start:at], length, at - before
        at += length
        start = at
    yield content[start:], 0, 0


def adc(content):
    out = bytearray()
    for plain, length, distance in matches(content, 65536, 4, 67):
        for i in range(0, len(plain), 128):
            piece = plain[i : i + 128]
            out += bytes([0x80 | len(piece) - 1]) + piece
        if length == 0:
            continue
        if length <= 18 and distance <= 1024:
            out += bytes([length - 3 << 2 | distance - 1 >> 8, distance - 1 & 0xFF])
        else:
            out += bytes([0x40 | length - 4]) + struct.pack(">H", distance - 1)
    return bytes(out)


def lzvn(content, seed=1, history=b""):
    """A bare LZVN stream. What stands in `history` came out before."""
    chance, out, last = random.Random(seed), bytearray(), 0
    for plain, length, distance in lzvn_matches(content, history):
        while len(plain) > 3:
            count = min(len(plain), 271)
            out += bytes([0xE0, count - 16]) if count >= 16 else bytes([0xE0 | count])
            out += plain[:count]
            plain = plain[count:]
        if length == 0:
            # Literals that no match follows.
            out += (bytes([0xE0 | len(plain)]) + plain) if plain else b""
            break
        first, opcode = lzvn_opcode(len(plain), length, distance, last, chance)
        out += opcode + plain
        last, length = distance, length - first
        while length > 0:
            count = min(length, 271)
            out += bytes([0xF0, count - 16]) if count >= 16 else bytes([0xF0 | count])
            length -= count
        if chance.random() < 0.05:
            out += bytes([chance.choice([0x0E, 0x16])])
    return bytes(out) + b"\6" + bytes(7)


def lzvn_matches(content, history):
    """As matches(), with what came out before."""
    if not history:
        yield from matches(content, 65535, 4, 2000)
        return
    taken, carried = 0, b""
    for plain, length, distance in matches(history + content, 65535, 4, 2000):
        cut = max(0, len(history) - taken)
        taken += len(plain) + length
        if taken <= len(history) and length:
            continue
        # A match that reaches over the border is cut in two, and what is left may be too short to be one.
        length -= max(0, cut - len(plain)) if length else 0
        if 0 < length < 4:
            carried = (history + content)[taken - length : taken]
            continue
        yield carried + plain[cut:], length, distance
        carried = b""


def lzvn_opcode(literals, length, distance, last, chance):
    """How much of the match it says, and its bytes."""
    ways, short = [], min(length, 10 if literals < 2 else 8)
    # What would look like 0111… or like 101…, 1101… … is taken by others.
    common = [m for m in range(3, short + 1) if (literals << 6 | m - 3 << 3) >> 4 not in (0x7, 0xA, 0xB, 0xD, 0xE, 0xF)]
    if common:
        m = common[-1]
        head = literals << 6 | m - 3 << 3
        if distance == last and literals:
            ways.append((m, bytes([head | 6])))
        if distance < 0x600:
            ways.append((m, bytes([head | distance >> 8, distance & 0xFF])))
        ways.append((m, bytes([head | 7]) + struct.pack("<H", distance)))
    if distance < 1 << 14:
        m = min(length, 34)
        ways.append((m, bytes([0xA0 | literals << 3 | m - 3 >> 2]) + struct.pack("<H", distance << 2 | m - 3 & 3)))
    return chance.choice(ways)


# Of LZFSE's symbols: what they stand for, and how many further bits say what exactly.
L = [(i, 0) for i in range(16)] + [(16, 2), (20, 3), (28, 5), (60, 8)]
M = [(i, 0) for i in range(16)] + [(16, 3), (24, 5), (56, 8), (312, 11)]
D = [(0, 0)]
for _symbol in range(1, 64):
    D.append((D[-1][0] + (1 << D[-1][1]), _symbol // 4))
STATES = {"l": 64, "m": 64, "d": 256, "literal": 1024}
SYMBOLS = {"l": L, "m": M, "d": D, "literal": [(i, 0) for i in range(256)]}


def symbol_of(kind, value):
    table = SYMBOLS[kind]
    symbol = max(i for i, (base, _) in enumerate(table) if base <= value)
    return symbol, value - table[symbol][0], table[symbol][1]


def frequencies(kind, symbols):
    """As many states as there are, shared out by how often each symbol occurs."""
    states, counts = STATES[kind], [0] * len(SYMBOLS[kind])
    for symbol in symbols:
        counts[symbol] += 1
    if not symbols:
        return counts
    shares = [max(1, n * states // len(symbols)) if n else 0 for n in counts]
    while sum(shares) != states:
        largest = shares.index(max(shares))
        shares[largest] += 1 if sum(shares) < states else -1
    return shares


class Coder:
    """Finite state entropy, backwards: for a symbol and the state that is to come after it, the state before."""

    def __init__(self, kind, shares):
        states, self.before, at = STATES[kind], {}, 0
        for symbol, share in enumerate(shares):
            bits = states.bit_length() - share.bit_length() if share else 0
            longer = (2 * states >> bits) - share if share else 0
            for i in range(share):
                width = bits if i < longer else bits - 1
                begin = (share + i << bits) - states if i < longer else (i - longer) << width
                for further in range(1 << width):
                    self.before[symbol, begin + further] = (at, further, width)
                at += 1
        self.state = 0

    def step(self, symbol):
        """The bits that lead from the state before to the one after."""
        self.state, further, width = self.before[symbol, self.state]
        return further, width


def bits_to_bytes(fields):
    """Fields in the order in which they are read: from the end. Also how many bits of the last byte are not used."""
    value = count = 0
    for number, width in fields:
        value = value << width | number
        count += width
    length = -(-count // 8)
    return value.to_bytes(length, "little"), length * 8 - count


def code_literals(literals, shares):
    coders = [Coder("literal", shares) for _ in range(4)]
    fields = []
    for i in range(len(literals) - 1, -1, -1):
        fields.append(coders[i % 4].step(literals[i]))
    return (*bits_to_bytes(fields[::-1]), [c.state for c in coders])


def code_triplets(triplets, shares):
    coders = {kind: Coder(kind, shares[kind]) for kind in "lmd"}
    fields = []
    for triplet in reversed(triplets):
        for kind in "dml":
            symbol, further, width = symbol_of(kind, triplet["lmd".index(kind)])
            fields.append((further, width))
            fields.append(coders[kind].step(symbol))
    return (*bits_to_bytes(fields[::-1]), [coders[kind].state for kind in "lmd"])


def prefix_code(numbers):
    """The frequencies of a bvx2: bits from the lowest on."""
    value = at = 0
    for n in numbers:
        if n < 4:
            code, width = [(0, 2), (2, 2), (1, 3), (5, 3)][n]
        elif n < 8:
            code, width = 3 | n - 4 << 3, 5
        elif n < 24:
            code, width = 7 | n - 8 << 4, 8
        else:
            code, width = 15 | n - 24 << 4, 14
        value |= code << at
        at += width
    return value.to_bytes(-(-at // 8), "little")


def lzfse_triplets(content):
    """(L, M, D) as a block has them, with D 0 for the distance before, and the literals."""
    last, triplets, literals = 0, [], bytearray()
    for plain, length, distance in matches(content, 262139, 4, 100000):
        literals += plain
        left = len(plain)
        while left > 315:
            triplets.append((315, 0, 1))
            last = 1
            left -= 315
        while left or length:
            m = min(length, 2359)
            d = distance if length else 1
            triplets.append((left, m, 0 if d == last else d))
            last, left, length = d, 0, length - m
    return triplets, bytes(literals) + bytes(-len(literals) % 4)


def lzfse_block(content, version=2):
    """One bvx1 or bvx2 block. It has to have no more than 40000 literals and 10000 matches."""
    triplets, literals = lzfse_triplets(content)
    shares = {kind: frequencies(kind, [symbol_of(kind, t["lmd".index(kind)])[0] for t in triplets]) for kind in "lmd"}
    shares["literal"] = frequencies("literal", list(literals))
    l_bytes, l_unused, l_states = code_literals(literals, shares["literal"])
    t_bytes, t_unused, t_states = code_triplets(triplets, shares)
    # Apple's encoder puts them there, and 7z insists.
    t_bytes = bytes(8) + t_bytes
    numbers = [n for kind in ("l", "m", "d", "literal") for n in shares[kind]]
    if version == 1:
        head = struct.pack("<4sIIIIII", b"bvx1", len(content), len(l_bytes) + len(t_bytes), len(literals), len(triplets),
                           len(l_bytes), len(t_bytes))
        head += struct.pack("<i4Hi3H", -l_unused, *l_states, -t_unused, *t_states) + struct.pack("<360H", *numbers) + bytes(2)
        return head + l_bytes + t_bytes
    packed = prefix_code(numbers)
    fields = (
        len(literals) | len(l_bytes) << 20 | len(triplets) << 40 | 7 - l_unused << 60,
        sum(s << 10 * i for i, s in enumerate(l_states)) | len(t_bytes) << 40 | 7 - t_unused << 60,
        32 + len(packed) | t_states[0] << 32 | t_states[1] << 42 | t_states[2] << 52,
    )
    return struct.pack("<4sI3Q", b"bvx2", len(content), *fields) + packed + l_bytes + t_bytes


def lzfse(content, kinds=("bvx2", "bvxn", "bvx-", "bvx1"), step=30000):
    """A stream of blocks of `kinds` in turn, of `step` bytes each."""
    out = bytearray()
    for i, at in enumerate(range(0, len(content), step)):
        piece, kind = content[at : at + step], kinds[i % len(kinds)]
        if kind == "bvx-":
            out += struct.pack("<4sI", b"bvx-", len(piece)) + piece
        elif kind == "bvxn":
            packed = lzvn(piece, i, content[max(0, at - 2000) : at])
            out += struct.pack("<4sII", b"bvxn", len(piece), len(packed)) + packed
        else:
            out += lzfse_block(piece, int(kind[3]))
    return bytes(out) + b"bvx$"
