# SPDX-License-Identifier: LGPL-2.1-or-later
"""What a fuzzer of texts and packets begins with, made independently of our C."""
import bz2
import lzma
import os
import struct
import sys
import zlib

sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "recipe"))
sys.path.insert(0, os.path.join(os.path.dirname(os.path.abspath(__file__)), "..", "integration"))
import applepack  # pylint: disable=wrong-import-position
import tables  # pylint: disable=wrong-import-position

NAMES = """
base
./base
sub/deep
sub/../base
../in/base
../out/secret
away/secret
secret
link
sub/up/base
sub/upper/out/secret
slash/etc/passwd
magic
root/etc/passwd
/etc/passwd
/dev/null
/proc/self/fd/0
null
fifo
folder
loop
../allowed/base
../allowed/away/secret
../in-beside
../given/base
ä b
file:base
file:///base
nbd:localhost:10809
nbd://localhost/a
http://localhost/a
fat:rw:folder
json:{"driver":"file","filename":"base"}
json:{"driver":"qcow2","file":{"driver":"file","filename":"base"}}
json:{"driver":"qcow2","file.filename":"sub/deep","file.driver":"host_device"}
json:{"driver":"raw","file":{"driver":"nbd","host":"a"}}
json:{"file":{"file":{"file":{"file":{}}}}}
json:{"driver":"file","filename":"a\\u0000b"}
json:{"driver":"file","driver":"raw","filename":"base"}
json:[1,2.5e3,null,true,"\\ud83d\\ude00"]
json:{
"""

CONFIGS = [
    """# a comment
[Image]
Path=/vm/%i.qcow2
Format=qcow2
References=chain
AllowedPaths=/vm/a "/vm/b c" '/d'\\
  /e\\ f
""",
    """[Image]
Path=%h/disk.img
Snapshot=before update
ForceShare=yes
[View]
MountPoint=%t/view-%u-%U-%n
Owner=root
Group=0
Mode=0640
CacheSize=64M
AllowOther=auto
LogLevel=debug
[Install]
Automatic=on
NoFail=1
""",
    """[View]
Writable=true
Growable=1
[Image]
Path=/a
Format=auto
References=none
""",
    """; another
[Other]
Key=%z
[View]
Overlay=volatile
Partition=1
Offset=1M
Size=9223372036854775807
Unknown=1
[Image]
Path=
Path=relative
KeyFile=/k
""",
    "\ufeff[Image]\r\nPath = /a\r\n",
]

MOUNTS = [
    """22 1 254:0 / / rw,relatime shared:1 - ext4 /dev/root rw,errors=remount-ro
23 22 0:21 / /proc rw,nosuid - proc proc rw
36 35 98:0 /mnt1 /mnt2 rw,noatime master:1 propagate_from:2 - ext3 /dev/root rw,errors=continue
71 22 0:58 / /vm/a\\040b.qcow2 ro,nosuid,nodev shared:30 - fuse.rawview /vm/a\\040b.qcow2 ro,user_id=0,group_id=0,allow_other
72 22 0:59 / /vm/\\011\\012\\134\\0401 rw - fuse.rawview \\040 rw,user_id=1000
73 22 0:60 / /srv/A=\\040"b\\012C=$d-part1 rw - fuse.rawview /vm/c rw,user_id=0
74 22 0:61 / /srv/\xc3\xa9\u202e.raw rw - fuse.rawview /vm/d rw,user_id=0
""",
    "1 2 3:4 / / rw - a\n1 2 3:4 / / rw - a b\n1 2 3:4 / / rw\n-1 2 3:4\n",
]

STATES = ['{"pid":1234,"unit":"rawview@a.service","faults":0}', '{"pid":-1}', '{"pid":"99999999999"}', '{"pid":[{}]}', "{", "5"]

SIZES = ["0", "512", "64K", "1m", "20G", "8388608T", "18446744073709551615", "18446744073709551616", "K", "1KK"]


def packet(kind, body=b"", fds=0, flags=0):
    """As fuzz-ipc.c takes it: flags, kind, length, bytes."""
    return struct.pack(">BBH", flags | fds, kind, len(body)) + body


def messages():
    """Each kind in native order, as the C structs have it."""
    sealed = struct.pack("=QIIII", 1 << 20, 0, 0, 0x1FF, 0) + b"qcow2"
    serve = struct.pack("=II", 104, 80)
    return [
        packet(1, b"/vm/a.qcow2", fds=1),
        packet(2, struct.pack("=II", 0, 0) + b"base"),
        packet(2, struct.pack("=II", 1, 1) + b"sub/deep"),
        packet(2, struct.pack("=II", 0, 0) + b"../out/secret"),
        packet(3, struct.pack("=I", 1), fds=1),
        packet(3, struct.pack("=I", 1), fds=1, flags=4),
        packet(4, struct.pack("=i", 13) + b"refused"),
        packet(5, sealed),
        packet(6, struct.pack("=i", 74) + b"bad"),
        packet(7, serve, fds=1),
        packet(8),
        packet(9, struct.pack("=iIQQQ", 5, 1, 4096, 512, 1)),
        packet(10, struct.pack("=i", 0)),
        packet(11, struct.pack("=IIIIQ", 15, 1000, 1000, 0o640, 1 << 24)),
        packet(11, struct.pack("=IIIIQ", 16, 0, 0, 0, 0)),
        packet(12, struct.pack("=IiQ", 8, 1, 1 << 24)),
        packet(10, b"x" * 600),
        packet(2, b"x" * 1200, flags=0x30),
        packet(1, b"", flags=0xC0),
        packet(2, struct.pack("=II", 2, 12) + b"abcd", flags=0xC0),
        packet(2, struct.pack("=II", 0, 0) + b"base", fds=3),
        packet(14, struct.pack("=I", 0) + b"luks"),
        packet(14, struct.pack("=I", 7) + b"luks"),
        packet(14, struct.pack("=I", 0) + b"\033[2J"),
        packet(15, struct.pack("=I", 6) + b"sesame"),
        packet(15, struct.pack("=I", 8192) + b"x" * 8192),
        packet(15, struct.pack("=I", 8193) + b"x" * 8192),
    ]


def ipc():
    every = messages()
    for one in every:
        yield b"\0" + one
        yield b"\2" + one
    yield b"\0" + b"".join(every)
    for stage in range(5):
        for policy in range(4):
            yield b"\1" + struct.pack(">H", stage << 4 | policy | 0x100) + b"".join(every)
    # The life of a view as it should be: its image names a file, is sound, is served, and ends.
    sound = [every[1], every[2], every[7], every[10], every[11], every[12]]
    yield b"\1" + struct.pack(">H", 1) + b"".join(sound)
    for one in sound:
        yield b"\1" + struct.pack(">H", 0x31) + one
    # Served, and asked to change something.
    yield b"\1" + struct.pack(">H", 0x81) + every[15] + every[15]
    yield b"\2" + every[4] + every[6] + every[5]


def raw_deflate(content):
    packer = zlib.compressobj(9, zlib.DEFLATED, -15)
    return packer.compress(content) + packer.flush()


def codecs():
    """What each codec packs, in the order that fuzz-codec.c has them: the codec, room, bytes."""
    contents = [
        b"a",
        bytes(1000),
        b"the quick brown fox jumps over the lazy dog " * 20,
        bytes(i * i >> 7 & 0xFF for i in range(3000)),
        bytes(range(256)) * 3 + b"ab" * 300 + bytes(range(256)),
    ]
    packers = [
        applepack.adc,
        applepack.lzvn,
        lambda c: applepack.lzfse(c, step=700),
        bz2.compress,
        lzma.compress,
        zlib.compress,
        raw_deflate,
        lambda c: applepack.lzfse(c, ("bvx2",)),
    ]
    for i, packer in enumerate(packers):
        for content in contents:
            for room in (len(content) + 15, len(content) // 2, 4 * len(content)):
                yield struct.pack(">BH", i if i < 7 else 2, room // 16) + packer(content)


def disks():
    """As fuzz-partition.c takes them: hostile tables, and some that are sound, of a disk of 16 MiB."""
    made = [disk for _, disk in tables.hostile().values()] + list(tables.sound().values())
    for disk in made:
        for first in b"m", b"-":
            out = first + struct.pack(">H", tables.SECTORS)
            for pos, content in disk.pieces.items():
                for at in range(0, len(content), 1 << 15):
                    piece = content[at : at + (1 << 15)].rstrip(b"\0")
                    out += struct.pack(">HH", (pos + at) // tables.SECTOR, len(piece)) + piece
            yield out


def texts(target):
    """All that there is for a target of this name, as bytes."""
    if target == "name":
        for name in NAMES.strip().split("\n") + ["a" * 1023, "a" * 1024, "a/" * 500, "../" * 20 + "etc/passwd"]:
            for choice in (0x01, 0x12, 0x29, 0x03):
                yield bytes([choice]) + name.encode()
    elif target == "config":
        yield from (text.encode() for text in CONFIGS)
    elif target == "mountinfo":
        yield from (b"m" + text.encode() for text in MOUNTS)
        yield from (b"s" + text.encode() for text in STATES)
        yield from (b"z" + text.encode() for text in SIZES)
    elif target == "codec":
        yield from codecs()
    elif target == "partition":
        yield from disks()
    elif target == "ipc":
        yield from ipc()
