# SPDX-License-Identifier: LGPL-2.1-or-later
"""AES as FIPS 197 has it, encrypting only, and what encrypted images make of it: sectors in CBC and XTS, with their initial vectors."""

import functools
import hashlib
import struct


def double(x):
    return x << 1 ^ (0x11B if x & 0x80 else 0)


def make_sbox():
    sbox, p, q = [0x63] * 256, 1, 1
    while True:
        p ^= double(p)
        p &= 0xFF
        q ^= q << 1
        q ^= q << 2
        q ^= q << 4
        q &= 0xFF
        q ^= 0x09 if q & 0x80 else 0
        turned = q ^ (q << 1 | q >> 7) ^ (q << 2 | q >> 6) ^ (q << 3 | q >> 5) ^ (q << 4 | q >> 4)
        sbox[p] = (turned ^ 0x63) & 0xFF
        if p == 1:
            return sbox


SBOX = make_sbox()
# A round for one byte: what it adds to a column, for each of its four places.
T0 = [double(s) << 24 | s << 16 | s << 8 | double(s) ^ s for s in SBOX]
T1, T2, T3 = ([t >> n | (t << 32 - n) & 0xFFFFFFFF for t in T0] for n in (8, 16, 24))


@functools.lru_cache(maxsize=64)
def expand(key):
    count, words, constant = len(key) // 4, list(struct.unpack(f">{len(key) // 4}I", key)), 1
    while len(words) < 4 * (count + 7):
        last = words[-1]
        if len(words) % count == 0:
            last = (last << 8 | last >> 24) & 0xFFFFFFFF
        if len(words) % count == 0 or (count == 8 and len(words) % count == 4):
            last = struct.unpack(">I", bytes(SBOX[b] for b in struct.pack(">I", last)))[0]
        if len(words) % count == 0:
            last ^= constant << 24
            constant = double(constant)
        words.append(words[-count] ^ last)
    return words


def encrypt_block(words, block):
    """16 bytes with an expanded key."""
    a, b, c, d = struct.unpack(">4I", block)
    a, b, c, d = a ^ words[0], b ^ words[1], c ^ words[2], d ^ words[3]
    for i in range(4, len(words) - 4, 4):
        a, b, c, d = (
            T0[a >> 24] ^ T1[b >> 16 & 255] ^ T2[c >> 8 & 255] ^ T3[d & 255] ^ words[i],
            T0[b >> 24] ^ T1[c >> 16 & 255] ^ T2[d >> 8 & 255] ^ T3[a & 255] ^ words[i + 1],
            T0[c >> 24] ^ T1[d >> 16 & 255] ^ T2[a >> 8 & 255] ^ T3[b & 255] ^ words[i + 2],
            T0[d >> 24] ^ T1[a >> 16 & 255] ^ T2[b >> 8 & 255] ^ T3[c & 255] ^ words[i + 3],
        )
    last = [
        SBOX[w >> 24] << 24 | SBOX[x >> 16 & 255] << 16 | SBOX[y >> 8 & 255] << 8 | SBOX[z & 255]
        for w, x, y, z in ((a, b, c, d), (b, c, d, a), (c, d, a, b), (d, a, b, c))
    ]
    return struct.pack(">4I", *(x ^ k for x, k in zip(last, words[-4:])))


def xor(one, other):
    return (int.from_bytes(one, "little") ^ int.from_bytes(other, "little")).to_bytes(len(one), "little")


def cbc(key, vector, content):
    words, out = expand(key), []
    for at in range(0, len(content), 16):
        vector = encrypt_block(words, xor(content[at : at + 16], vector))
        out.append(vector)
    return b"".join(out)


def ecb(key, content):
    words = expand(key)
    return b"".join(encrypt_block(words, content[at : at + 16]) for at in range(0, len(content), 16))


def xts(key, vector, content):
    words, out = expand(key[: len(key) // 2]), []
    tweak = encrypt_block(expand(key[len(key) // 2 :]), vector)
    for at in range(0, len(content), 16):
        out.append(xor(encrypt_block(words, xor(content[at : at + 16], tweak)), tweak))
        number = int.from_bytes(tweak, "little") << 1
        tweak = (number & (1 << 128) - 1 ^ (0x87 if number >> 128 else 0)).to_bytes(16, "little")
    return b"".join(out)


def make_vector(kind, key, sector):
    if kind == "plain":
        return (sector & 0xFFFFFFFF).to_bytes(16, "little")
    if kind == "plain64":
        return sector.to_bytes(16, "little")
    if kind == "plain64be":
        return sector.to_bytes(16, "big")
    if kind == "null":
        return bytes(16)
    name, _, algorithm = kind.partition(":")
    assert name == "essiv", kind
    return encrypt_block(expand(hashlib.new(algorithm, key).digest()), sector.to_bytes(16, "little"))


def sectors(mode, key, first, content, size=512):
    """Whole sectors in a mode like "cbc-essiv:sha256", numbered in units of 512 bytes from `first` on."""
    chaining, _, vector = mode.partition("-")
    out = []
    for at in range(0, len(content), size):
        piece = content[at : at + size]
        if chaining == "ecb":
            out.append(ecb(key, piece))
        else:
            start = make_vector(vector, key, first + at // 512)
            out.append((xts if chaining == "xts" else cbc)(key, start, piece))
    return b"".join(out)
