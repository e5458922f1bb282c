# SPDX-License-Identifier: LGPL-2.1-or-later
"""The bytes of a LUKS container, from what a recipe says.

    luks version=1 cipher=aes mode=xts-plain64 hash=sha256 key_bytes=32 size=64K passphrase=rawview
         iterations=10 payload= (position; as QEMU has it) seed= (of the key)
    luks version=2 … sector_size=512 tweak=0 segment=dynamic (or bytes) header=16K
    slot N passphrase= iterations= kdf=… same=yes     a key slot; slot 0 is there without being said
    replace FROM TO           in the text of LUKS2, in both copies
    copy N WHAT=VALUE…        in one copy (1, 2) of LUKS2, before its checksum is made; sum=no: that stays wrong
    set header.FIELD slot[N].FIELD    LUKS1
"""

import base64
import hashlib
import json
import re
import struct

import aes
from mkbytes import Image, RecipeError, pattern

ACTIVE, INACTIVE = 0x00AC71F3, 0x0000DEAD
STRIPES = 4000

HEADER = {  # field: (offset, bytes)
    "version": (6, 2), "payload_offset": (104, 4), "key_bytes": (108, 4), "mk_digest_iter": (164, 4),
}  # fmt: skip
SLOT = {"active": (0, 4), "iterations": (4, 4), "key_material_offset": (40, 4), "stripes": (44, 4)}


def secret(seed, length):
    """Bytes that look like chance and are always the same."""
    return hashlib.shake_256(seed.encode()).digest(length)


def diffuse(algorithm, block):
    length = hashlib.new(algorithm).digest_size
    return b"".join(
        hashlib.new(algorithm, struct.pack(">I", i) + block[at : at + length]).digest()[: len(block) - at]
        for i, at in enumerate(range(0, len(block), length))
    )


def split(algorithm, key, seed):
    """The stripes that a key becomes: all but the last are chance."""
    chance = secret(seed, len(key) * (STRIPES - 1))
    d = bytes(len(key))
    for at in range(0, len(chance), len(key)):
        d = diffuse(algorithm, aes.xor(d, chance[at : at + len(key)]))
    return chance + aes.xor(d, key)


def material(algorithm, mode, key, passphrase, salt, iterations):
    """What lies in the area of a key slot."""
    derived = hashlib.pbkdf2_hmac(algorithm, passphrase.encode(), salt, iterations, len(key))
    stripes = split(algorithm, key, "stripes")
    return aes.sectors(mode, derived, 0, stripes + bytes(-len(stripes) % 512))


class Luks1:
    """A header of version 1 with its key material. `slots`: {number: (passphrase, iterations)}."""

    def __init__(self, slots, mode="xts-plain64", algorithm="sha256", key_len=32, cipher="aes", seed="key"):
        self.key, self.mode, self.slots = secret(seed, key_len), mode, slots
        self.algorithm, self.cipher = algorithm, cipher
        self.area = -(-key_len * STRIPES // 4096) * 4096
        self.payload = 4096 + 8 * self.area

    def place(self, number):
        return 4096 + number * self.area

    def chunks(self, payload):
        salt = secret("digest salt", 32)
        digest = hashlib.pbkdf2_hmac(self.algorithm, self.key, salt, 10, 20)
        head = struct.pack(
            ">6sH32s32s32sII20s32sI40s", b"LUKS\xba\xbe", 1, self.cipher.encode(), self.mode.encode(),
            self.algorithm.encode(), payload // 512, len(self.key), digest, salt, 10,
            b"01234567-89ab-cdef-0123-456789abcdef",
        )  # fmt: skip
        out = []
        for n in range(8):
            passphrase, iterations = self.slots.get(n, (None, 0))
            slot_salt = secret(f"salt {n}", 32)
            head += struct.pack(
                ">II32sII", INACTIVE if passphrase is None else ACTIVE, iterations, slot_salt,
                self.place(n) // 512, STRIPES,
            )  # fmt: skip
            if passphrase is not None and self.cipher == "aes":
                content = material(self.algorithm, self.mode, self.key, passphrase, slot_salt, iterations)
                out.append((self.place(n), content))
        return [(0, head)] + out


class Luks2:
    """Two copies of a header of version 2 with key material, PBKDF2 only."""

    def __init__(self, image):
        get = image.options.get
        self.image, self.algorithm = image, get("hash", "sha256")
        self.mode = get("mode", "xts-plain64")
        self.key = secret(get("seed", "key"), image.value(get("key_bytes", "32")))
        self.length = image.value(get("header", "16K"))
        self.area = -(-len(self.key) * STRIPES // 4096) * 4096
        self.payload = image.value(get("payload", "1M"))

    def place(self, number):
        return 2 * self.length + number * self.area

    def slot(self, number, iterations):
        encryption = f"{self.image.options.get('cipher', 'aes')}-{self.mode}"
        return {
            "type": "luks2", "key_size": len(self.key),
            "af": {"type": "luks1", "stripes": STRIPES, "hash": self.algorithm},
            "area": {
                "type": "raw", "offset": str(self.place(number)), "size": str(self.area),
                "encryption": encryption, "key_size": len(self.key),
            },
            "kdf": {
                "type": "pbkdf2", "hash": self.algorithm, "iterations": iterations,
                "salt": base64.b64encode(secret(f"salt {number}", 32)).decode(),
            },
        }  # fmt: skip

    def text(self):
        get, salt = self.image.options.get, secret("digest salt", 32)
        digest = hashlib.pbkdf2_hmac(self.algorithm, self.key, salt, 10, hashlib.new(self.algorithm).digest_size)
        text = json.dumps({
            "keyslots": {str(n): self.slot(n, iterations) for n, (_, iterations) in self.image.slots.items()},
            "tokens": {},
            "segments": {"0": {
                "type": "crypt", "offset": str(self.payload), "size": get("segment", "dynamic"),
                "iv_tweak": get("tweak", "0"), "encryption": f"{get('cipher', 'aes')}-{self.mode}",
                "sector_size": int(get("sector_size", "512")),
            }},
            "digests": {"0": {
                "type": "pbkdf2", "keyslots": [str(n) for n in self.image.slots], "segments": ["0"],
                "hash": self.algorithm, "iterations": 10,
                "salt": base64.b64encode(salt).decode(), "digest": base64.b64encode(digest).decode(),
            }},
            "config": {"json_size": str(self.length - 4096), "keyslots_size": "0"},
        }, separators=(",", ":"))  # fmt: skip
        for before, after in self.image.replaced:
            if before not in text:
                raise RecipeError(f"'{before}' does not stand in the text")
            text = text.replace(before, after, 1)
        return text.encode()

    def copy(self, number):
        pos = number * self.length
        head = struct.pack(
            ">6sHQQ48s32s64s40s48sQ184s64s", b"SKUL\xba\xbe" if number else b"LUKS\xba\xbe", 2, self.length, 7,
            b"a label", b"sha256", secret("header salt", 64), b"01234567-89ab-cdef-0123-456789abcdef", b"", pos,
            b"", b"",
        )  # fmt: skip
        whole = bytearray((head.ljust(4096, b"\0") + self.text()).ljust(self.length, b"\0"))
        options = dict(self.image.copies.get(number, {}))
        sums = options.pop("sum", "yes") == "yes"
        for what, text in options.items():
            at, width, order = self.image.target(what)
            whole[at : at + (width or len(text))] = (
                self.image.value(text).to_bytes(width, order) if width else text.encode()
            )
        whole[448:512] = (hashlib.sha256(whole).digest() if sums else b"wrong").ljust(64, b"\0")
        return pos, bytes(whole)

    def chunks(self):
        out = [self.copy(0), self.copy(1)]
        for n, (passphrase, iterations) in self.image.slots.items():
            salt = secret(f"salt {n}", 32)
            out.append((self.place(n), material(self.algorithm, self.mode, self.key, passphrase, salt, iterations)))
        return out


class File(Image):
    secret = True  # run-recipe.py gives qemu-img a passphrase

    def __init__(self, options, seed):
        super().__init__(options, seed, 4096, "64K")
        self.version = int(options.get("version", "1"))
        self.slots, self.replaced, self.copies = {}, [], {}
        self.add_slot(0, options)

    def add_slot(self, number, options):
        self.slots[number] = (options.get("passphrase", "rawview"), int(options.get("iterations", "10")))

    def say_slot(self, options, number):
        self.add_slot(int(number), options)

    def say_unslot(self, _options, number):
        del self.slots[int(number)]

    def say_replace(self, options, *words):
        if options:
            raise RecipeError("no '=' can be replaced")
        self.replaced.append(words)

    def say_copy(self, options, number):
        self.copies[int(number) - 1] = options

    def header(self):
        get = self.options.get
        if self.version == 2:
            return Luks2(self)
        return Luks1(
            self.slots, get("mode", "xts-plain64"), get("hash", "sha256"), self.value(get("key_bytes", "32")),
            get("cipher", "aes"), get("seed", "key"),
        )  # fmt: skip

    def build(self):
        header = self.header()
        payload = self.value(self.options["payload"]) if "payload" in self.options else header.payload
        chunks = header.chunks() if self.version == 2 else header.chunks(payload)
        size = int(self.options.get("sector_size", "512"))
        disk = pattern(self.seed, 0, self.size)
        if self.options.get("cipher", "aes") == "aes":
            first = int(self.options.get("tweak", "0"))
            disk = aes.sectors(header.mode, header.key, first, disk + bytes(-len(disk) % size), size)
        chunks.append((payload, disk))
        self.names |= {"payload": payload}
        return self.finish(chunks, payload + self.size)

    def field(self, what):
        if match := re.fullmatch(r"header\.(\w+)", what):
            return *HEADER[match[1]], "big"
        if match := re.fullmatch(r"slot\[(\d)\]\.(\w+)", what):
            at, width = SLOT[match[2]]
            return 208 + 48 * int(match[1]) + at, width, "big"
        return None

    def paint(self, disk, recipe):
        disk.truncate(self.size)
        disk.seek(0)
        disk.write(pattern(self.seed, 0, self.size))
        self.paint_models(disk, self.size, self.seed)
