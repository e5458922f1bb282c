# SPDX-License-Identifier: LGPL-2.1-or-later
"""The images that are measured, beneath the work folder.

full    every cluster allocated, with random bytes; one for each target, which is only written in place
thin    nothing allocated; a new one each time
sparse  the same, and so large that hardly two of the random writes to it meet in one cluster
one     as full, for all targets, only read
chain   four layers over each other, between which the clusters are dealt out; the lowest is `one`
zlib, zstd
        every cluster compressed, to a third or so
walk    1 TiB with islands of data in it
small   hardly anything
"""
import os
import random

from errors import Failed, output_of

MIB = 1024 * 1024
SPARSE_SIZE = 16 * 1024 * MIB
SPARSE_WRITES = 8192
WALK_SIZE = 1024 * 1024 * MIB
WALK_ISLANDS = 4096
SMALL_SIZE = 64 * MIB
CLUSTER = 65536
CHAIN_LAYERS = 4
WORDS = 2048


def settle(path):
    fd = os.open(path, os.O_RDWR)
    os.fsync(fd)
    os.close(fd)


def forget(path):
    """Has the host's cache forget what it has of a file."""
    settle(path)
    fd = os.open(path, os.O_RDONLY)
    os.posix_fadvise(fd, 0, 0, os.POSIX_FADV_DONTNEED)
    os.close(fd)


def write_pieces(path, form, pieces):
    """`pieces`: (offset, length). One qemu-io for all of them."""
    requests = "".join(f"write -q -P {1 + i % 255} {off} {length}\n" for i, (off, length) in enumerate(pieces))
    # Without a flush after each of them.
    output_of("qemu-io", "-t", "unsafe", "-f", form, path, given=requests)


def make_words(size):
    """Text that compresses as prose does: words that are drawn from a list, the first of them most often."""
    draw = random.Random(7)
    words = [bytes(draw.choices(b"abcdefghijklmnopqrstuvwxyz", k=draw.randint(2, 9))) for _ in range(WORDS)]
    weights = [1 / (i + 1) for i in range(WORDS)]
    text = b" ".join(draw.choices(words, weights, k=size // 4))
    return text[:size]


class Disks:
    """`shared` are the images for all targets, `full` those of one each."""

    def __init__(self, work, size):
        self.work, self.size = work, size
        self.content = os.path.join(work, "content")
        self.full = {}
        self.shared = {}

    def size_of(self, kind):
        if kind in ("zlib", "zstd"):
            return self.size // 2
        return {"sparse": SPARSE_SIZE, "walk": WALK_SIZE, "small": SMALL_SIZE}.get(kind, self.size)

    def path(self, name):
        return os.path.join(self.work, name)

    def make_content(self):
        if not os.path.exists(self.content):
            with open(self.content, "wb") as f:
                for _ in range(self.size // MIB):
                    f.write(os.urandom(MIB))
        return self.content

    def make_empty(self, path, form, size):
        if form == "nothing":
            with open(path, "wb") as f:
                f.truncate(size)
        else:
            output_of("qemu-img", "create", "-q", "-f", form, path, str(size))
        return path

    def make_full(self, target):
        path = self.path(f"{target.name}-full.{target.format}")
        if target.format == "nothing":
            return self.make_empty(path, target.format, self.size)
        if path not in self.full:
            output_of("qemu-img", "convert", "-f", "raw", "-O", target.format, "-S", "0", self.make_content(), path)
            settle(path)
            self.full[path] = True
        return path

    def make_one(self, path, _):
        output_of("qemu-img", "convert", "-f", "raw", "-O", "qcow2", "-S", "0", self.make_content(), path)

    def make_chain(self, path, _):
        below = self.make_shared("one", "qcow2")
        for layer in range(1, CHAIN_LAYERS):
            above = path if layer == CHAIN_LAYERS - 1 else self.path(f"chain-{layer}.qcow2")
            output_of("qemu-img", "create", "-q", "-f", "qcow2", "-F", "qcow2", "-b", os.path.basename(below), above)
            clusters = range(self.size // CLUSTER)
            write_pieces(above, "qcow2", [(c * CLUSTER, CLUSTER) for c in clusters if c % CHAIN_LAYERS == layer])
            below = above

    def make_compressed(self, path, kind):
        words = make_words(4 * MIB)
        plain = self.path("words")
        with open(plain, "wb") as f:
            for i in range(self.size_of(kind) // len(words) + 1):
                # No two clusters alike.
                turn = i * 4099 % len(words)
                f.write(words[turn:] + words[:turn])
            f.truncate(self.size_of(kind))
        output_of("qemu-img", "convert", "-c", "-f", "raw", "-O", "qcow2", "-o", f"compression_type={kind}", plain, path)
        os.unlink(plain)

    def make_walk(self, path, form):
        self.make_empty(path, form, WALK_SIZE)
        islands = min(WALK_ISLANDS, self.size // CLUSTER)
        step = WALK_SIZE // islands
        write_pieces(path, form, [(i * step, 4096) for i in range(islands)])

    def make_small(self, path, form):
        self.make_empty(path, form, SMALL_SIZE)
        write_pieces(path, form, [(0, CLUSTER)])

    def make_shared(self, kind, form):
        path = self.path(f"{kind}.{form}")
        if path not in self.shared:
            make = {
                "one": self.make_one, "chain": self.make_chain, "walk": self.make_walk, "small": self.make_small,
                "zlib": self.make_compressed, "zstd": self.make_compressed,
            }[kind]
            make(path, form if kind in ("walk", "small") else kind)
            settle(path)
            self.shared[path] = True
        return path

    def make(self, target, kind):
        if kind == "full":
            return self.make_full(target)
        if kind in ("thin", "sparse"):
            return self.make_empty(self.path(f"{target.name}-{kind}.{target.format}"), target.format, self.size_of(kind))
        if target.format == "nothing":
            raise Failed("there is nothing behind the null server")
        return self.make_shared(kind, target.format)

    def let_go(self, path):
        """After a job has written: nothing of it is left for the next one to wait for."""
        if path in self.full:
            settle(path)
        else:
            os.unlink(path)
