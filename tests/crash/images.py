# SPDX-License-Identifier: LGPL-2.1-or-later
"""The images that the power fails over, and how qemu-img makes each of them in a folder: "image", maybe "base", "data".

What other formats than qcow2 want is in images/NAME.py, which adds to IMAGES.
"""
import glob
import importlib.util
import os
import shutil
import struct
import subprocess
import tempfile

K, M = 1024, 1024 * 1024

# What is written before the story begins, as qemu-io says it.
LITTLE = ["write -P 0x11 0 40k", "write -P 0x12 100k 9k", "write -z 60k 20k"]
HALF = ["write -P 0x21 0 600k", "write -P 0x22 800k 100k"]


class Image:
    """How to make an image, and how to write it.

    options   of qemu-img create
    size      of the disk
    writes    commands for qemu-io
    grow      the story changes the size, up to this
    base      (size, format) of a backing file
    snapshots so many internal ones, with writes in between
    bitmaps   arguments of `qemu-img bitmap --add`, one list each
    packed    made by qemu-img convert -c
    kind      another format than qcow2, as rawview calls it; "fake" is the tests' own, with places as large as `unit`
    qemu      what qemu-img calls it, when that is something else
    cluster   the unit that the story goes by, where no cluster_size= among the options says it
    make      makes the image instead of qemu-img: called with the Image and the folder
    oracle    qemu-img check is asked of what a power failure leaves
    """

    def __init__(self, options, size, writes=(), grow=0, base=None, snapshots=0, bitmaps=(), packed=False,
                 kind="qcow2", unit=0, qemu=None, cluster=64 * K, make=None, oracle=None):
        self.options, self.size, self.writes, self.grow = options, size, list(writes), grow
        self.base, self.snapshots, self.bitmaps, self.packed = base, snapshots, bitmaps, packed
        self.kind, self.unit = kind, unit
        self.qemu, self.make = qemu or kind, make
        self.oracle = kind not in ("raw", "fake") if oracle is None else oracle
        fields = dict(o.split("=") for o in options.split(",") if o)
        if "cluster_size" in fields:
            cluster = int(fields["cluster_size"].rstrip("kM")) * (K if fields["cluster_size"][-1] == "k" else 1)
        self.cluster = cluster


def many_writes(size):
    """Fills a disk of small clusters but for some gaps, in an order that leaves no long run in a row."""
    return [f"write -P {0x30 + i % 64} {(i * 7 % 16) * size // 16 // 512 * 512} {size // 16 // 512 * 512 - 1536}"
            for i in range(16)]


IMAGES = {
    "raw": Image("cluster_size=4k", 300 * K, kind="raw"),
    "fake": Image("cluster_size=4k", 300 * K, grow=400 * K, kind="fake", unit=4 * K),
    "fake-parts": Image("cluster_size=4k", 300 * K, grow=400 * K, kind="fake", unit=512),
    "v2": Image("compat=0.10", 2 * M, LITTLE, grow=3 * M),
    "v2-4k": Image("compat=0.10,cluster_size=4k", 3 * M, LITTLE, grow=5 * M),
    "v3": Image("compat=1.1", 2 * M, LITTLE, grow=3 * M),
    "v3-ragged": Image("compat=1.1", 2 * M - 1536, LITTLE),
    "4k": Image("cluster_size=4k", 3 * M, LITTLE, grow=7 * M),
    "4k-empty": Image("cluster_size=4k", 1 * M),
    "4k-1bit": Image("cluster_size=4k,refcount_bits=1", 1 * M, LITTLE, grow=3 * M),
    "4k-64bit": Image("cluster_size=4k,refcount_bits=64", 5 * M, HALF, grow=6 * M),
    "1bit": Image("refcount_bits=1", 2 * M, LITTLE),
    "2M": Image("cluster_size=2048k", 5 * M, LITTLE),
    # 64 refcounts in a block, 64 blocks or L2 tables in a cluster of their table, 32k behind each.
    "512-64bit": Image("cluster_size=512,refcount_bits=64", 256 * K, LITTLE, grow=512 * K),
    "512-tables": Image("cluster_size=512,refcount_bits=64", 1900 * K, many_writes(1600 * K), grow=2300 * K),
    "512": Image("cluster_size=512", 256 * K, LITTLE, grow=512 * K),
    "512-8bit": Image("cluster_size=512,refcount_bits=8", 256 * K, LITTLE, grow=512 * K),
    "512-1bit": Image("cluster_size=512,refcount_bits=1", 256 * K, LITTLE, grow=512 * K),
    "512-v2": Image("cluster_size=512,compat=0.10", 256 * K, LITTLE, grow=512 * K),
    "lazy": Image("lazy_refcounts=on", 2 * M, LITTLE, grow=3 * M),
    "lazy-512": Image("lazy_refcounts=on,cluster_size=512", 256 * K, LITTLE, grow=512 * K),
    "extended": Image("extended_l2=on,cluster_size=16k", 1 * M, LITTLE, grow=2 * M),
    "extended-64k": Image("extended_l2=on", 2 * M, LITTLE, grow=3 * M),
    "extended-base": Image("extended_l2=on,cluster_size=16k", 1 * M, LITTLE, grow=2 * M, base=(600 * K, "raw")),
    "extended-snapshot": Image("extended_l2=on,cluster_size=16k", 1 * M, LITTLE, snapshots=1),
    "base-shorter": Image("cluster_size=4k", 1 * M, LITTLE, grow=2 * M, base=(301 * K + 512, "raw")),
    "base-longer": Image("cluster_size=4k", 300 * K, LITTLE, grow=2 * M, base=(1 * M, "raw")),
    "base-longer-64k": Image("compat=1.1", 900 * K, LITTLE, grow=2 * M, base=(2 * M, "raw")),
    "base-qcow2": Image("compat=1.1", 1 * M, LITTLE, grow=2 * M, base=(1 * M, "qcow2")),
    "base-v2": Image("compat=0.10,cluster_size=4k", 600 * K, LITTLE, grow=1 * M, base=(400 * K, "raw")),
    "base-512": Image("cluster_size=512", 200 * K, LITTLE, grow=400 * K, base=(300 * K, "raw")),
    "snapshot": Image("compat=1.1", 2 * M, HALF, snapshots=1, grow=3 * M),
    "snapshot-4k": Image("cluster_size=4k", 1 * M, HALF, snapshots=2, grow=2 * M),
    "snapshot-512": Image("cluster_size=512", 256 * K, LITTLE, snapshots=2, grow=512 * K),
    "snapshot-2bit": Image("cluster_size=512,refcount_bits=2", 256 * K, LITTLE, snapshots=2),
    "snapshot-v2": Image("compat=0.10,cluster_size=4k", 1 * M, HALF, snapshots=1),
    "snapshot-base": Image("cluster_size=4k", 1 * M, HALF, snapshots=1, base=(1 * M, "raw")),
    "packed": Image("compat=1.1", 2 * M, packed=True, grow=3 * M),
    "packed-4k": Image("cluster_size=4k", 512 * K, packed=True, grow=1 * M),
    "packed-zstd": Image("cluster_size=16k,compression_type=zstd", 1 * M, packed=True),
    "packed-snapshot": Image("cluster_size=4k", 512 * K, packed=True, snapshots=1),
    "packed-extended": Image("extended_l2=on,cluster_size=16k", 1 * M, packed=True),
    "metadata": Image("preallocation=metadata", 2 * M, LITTLE),
    "metadata-4k": Image("preallocation=metadata,cluster_size=4k", 1 * M, LITTLE, grow=2 * M),
    "metadata-extended": Image("preallocation=metadata,extended_l2=on,cluster_size=16k", 1 * M, LITTLE),
    "data": Image("data_file=data", 2 * M, LITTLE, grow=3 * M),
    "data-4k": Image("data_file=data,cluster_size=4k", 1 * M, LITTLE, grow=3 * M),
    "data-512": Image("data_file=data,cluster_size=512", 256 * K, LITTLE, grow=512 * K),
    "data-base": Image("data_file=data,cluster_size=4k", 600 * K, LITTLE, base=(400 * K, "raw")),
    "data-extended": Image("data_file=data,extended_l2=on,cluster_size=16k", 1 * M, LITTLE),
    "data-raw": Image("data_file=data,data_file_raw=on", 2 * M, LITTLE, grow=3 * M),
    "data-raw-4k": Image("data_file=data,data_file_raw=on,cluster_size=4k", 1 * M, LITTLE, grow=2 * M),
    "bitmap": Image("cluster_size=4k", 1 * M, LITTLE, bitmaps=[["on"]]),
    "bitmaps": Image("compat=1.1", 2 * M, LITTLE, bitmaps=[["on"], ["--disable", "off"]]),
    "bitmap-disabled": Image("cluster_size=4k", 1 * M, LITTLE, bitmaps=[["--disable", "off"]]),
}


def run(*command, cwd=None):
    done = subprocess.run(command, cwd=cwd, capture_output=True, text=True)
    if done.returncode != 0:
        raise RuntimeError(f"{' '.join(command)}: {done.stdout}{done.stderr}")


def qemu_io(folder, name, kind, commands):
    if commands:
        run("qemu-io", "-f", kind, *(a for c in commands for a in ("-c", c)), name, cwd=folder)


def text(size):
    """Bytes that pack well, no two sectors alike."""
    return b"".join(struct.pack("<Q", i * 0x9e3779b97f4a7c15 & (1 << 64) - 1) * 64 for i in range(size // 512))


def with_options(image):
    return ["-o", image.options] if image.options else []


def make_base(image, folder):
    size, kind = image.base
    with open(f"{folder}/plain", "wb") as f:
        f.write(text(size))
    run("qemu-img", "convert", "-f", "raw", "-O", kind, "plain", "base", cwd=folder)
    os.unlink(f"{folder}/plain")
    return ["-b", "base", "-F", kind]


def make_packed(image, folder):
    with open(f"{folder}/plain", "wb") as f:
        f.write(text(image.size))
    run("qemu-img", "convert", "-f", "raw", "-c", "-O", image.qemu, *with_options(image), "plain", "image", cwd=folder)
    os.unlink(f"{folder}/plain")


def make_simple(image, folder):
    with open(f"{folder}/image", "wb") as f:
        if image.kind == "fake":
            f.write((b"FAKEDISK" + struct.pack("<QQQ", image.size, image.cluster, image.unit)).ljust(36 * K, b"\0"))
        else:
            f.write(text(image.size))


def make_image(image, folder):
    if image.make:
        image.make(image, folder)
        return
    if image.kind in ("raw", "fake"):
        make_simple(image, folder)
        return
    if image.packed:
        make_packed(image, folder)
    else:
        below = make_base(image, folder) if image.base else []
        run("qemu-img", "create", "-q", "-f", image.qemu, *with_options(image), *below, "image", str(image.size),
            cwd=folder)
    qemu_io(folder, "image", image.qemu, image.writes)
    for i in range(image.snapshots):
        run("qemu-img", "snapshot", "-c", f"s{i}", "image", cwd=folder)
        qemu_io(folder, "image", image.qemu, [f"write -P {0x50 + i} {8 + 16 * i}k 20k"])
    for arguments in image.bitmaps:
        run("qemu-img", "bitmap", "--add", *arguments[:-1], "-f", "qcow2", "image", arguments[-1], cwd=folder)


def add_formats():
    """The modules in images/, each of which begins with `from images import IMAGES, Image`."""
    for path in sorted(glob.glob(os.path.join(os.path.dirname(os.path.abspath(__file__)), "images", "*.py"))):
        name = "images_of_" + os.path.basename(path).removesuffix(".py")
        spec = importlib.util.spec_from_file_location(name, path)
        spec.loader.exec_module(importlib.util.module_from_spec(spec))


def can_make():
    """Says so if not."""
    if shutil.which("qemu-img") and shutil.which("qemu-io"):
        return True
    print("no qemu-img and qemu-io here")
    return False


def work_folder():
    """A temporary folder where writing is cheap; a context manager that gives its path."""
    fast = "/dev/shm" if os.access("/dev/shm", os.W_OK) else None
    return tempfile.TemporaryDirectory(prefix="rawview-crash.", dir=fast)


add_formats()
