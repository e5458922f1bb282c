#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""compare.py [--check DOCUMENT]: tries rawview and those of its peers that are installed with the same images, and prints the rows of
README's table that can be tried. With --check it says which cells of that table are not what was seen.

As root, in the namespaces of compare.sh, which makes the folder it is started in. A cell is what the table has, word for word. What a peer
has no option for is "no" without a try.
"""
import os
import re
import shutil
import subprocess
import sys
import time

SIZE = 16 << 20
PART, PART_SIZE = 1 << 20, 4 << 20
FORMATS = {"raw": [], "vmdk": [], "vdi": [], "vpc": ["-o", "force_size=on"], "vhdx": [], "parallels": [], "qed": [], "qcow": []}
SECONDS = 30


def run(*words, **more):
    return subprocess.run(words, check=True, capture_output=True, text=True, timeout=60, **more).stdout


def sha(path):
    with open(path, "rb") as f:
        return hash(f.read())


def waits_for(condition, seconds=SECONDS):
    end = time.monotonic() + seconds
    while not condition():
        if time.monotonic() > end:
            return False
        time.sleep(0.02)
    return True


def mount_entry(path):
    """Type, source, and options of the mount and of its file system at path, or None."""
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        for line in f:
            words = line.split()
            if words[4] == path:
                rest = words[words.index("-") + 1 :]
                return rest[0], rest[1], words[5].split(",") + rest[2].split(",")
    return None


def mounts_at(path):
    with open("/proc/self/mountinfo", encoding="utf-8") as f:
        return sum(line.split()[4] == path for line in f)


class Failed(Exception):
    pass


class Peer:
    """One program that shows disks. `command` makes the words that serve `image` at `place`; it stays in the foreground."""

    name, needs = "", []
    # A file takes the place of the mount point, or a folder does, with the view in it.
    folder = False
    # Options of the command, where it has them.
    formats, snapshot, part, overlay = True, None, None, None

    def __init__(self):
        self.process, self.place = None, None

    def there(self):
        return all(shutil.which(program) for program in self.needs)

    def view(self, image):
        return self.place

    def show(self, image, fmt="qcow2", place=None, writable=False, **more):
        self.place = os.path.realpath(place or f"view-{self.name}")
        if self.folder:
            os.makedirs(self.place, exist_ok=True)
        elif not os.path.exists(self.place):
            open(self.place, "w", encoding="utf-8").close()
        words = self.command(os.path.realpath(image), fmt, self.place, writable, **more)
        with open("log", "w", encoding="utf-8") as log:
            self.process = subprocess.Popen(words, stdin=subprocess.DEVNULL, stdout=log, stderr=log)
        if not waits_for(lambda: self.is_up(image) or self.process.poll() is not None) or self.process.poll() is not None:
            with open("log", encoding="utf-8", errors="replace") as log:
                text = log.read()
            self.end()
            raise Failed(text)
        return self.view(os.path.realpath(image))

    def is_up(self, image):
        if not is_served(self.place):
            return False
        try:
            return os.path.getsize(self.view(os.path.realpath(image))) > 0
        except OSError:
            return False

    def end(self):
        for _ in range(mounts_at(self.place)):
            subprocess.run(["umount", "-l", self.place], check=False, capture_output=True)
        if not waits_for(lambda: self.process.poll() is not None, 3):
            self.process.kill()
        self.process.wait()


class Rawview(Peer):
    name, needs = "rawview", [os.environ["RAWVIEW"]]

    def command(self, image, fmt, place, writable, **more):
        words = [os.environ["RAWVIEW"], "mount", "--foreground", "--pidfile=" + os.path.realpath("pid")]
        words += ["-f", {"vpc": "vhd"}.get(fmt, fmt)] if fmt else []
        words += ["--writable"] if writable and "overlay" not in more else []
        words += [f"--{key}={value}" for key, value in more.items()]
        return words + [image, place]


class Qsd(Peer):
    name, needs = "qemu-storage-daemon", ["qemu-storage-daemon"]

    def command(self, image, fmt, place, writable, part=None, overlay=None):
        fmt, writes = fmt or "raw", "off" if writable else "on"
        nodes = [f"driver=file,node-name=file,filename={image},read-only={writes}"]
        if fmt == "raw":
            nodes.append(f"driver=raw,node-name=disk,file=file,read-only={writes}")
        else:
            nodes.append(f"driver={fmt},node-name=disk,file=file,read-only={writes}")
        if part:
            nodes.append(f"driver=raw,node-name=top,file=disk,offset={part[0]},size={part[1]},read-only={writes}")
        words = ["qemu-storage-daemon"]
        for node in nodes:
            words += ["--blockdev", node]
        top = "top" if part else "disk"
        return words + ["--export", f"type=fuse,id=e,node-name={top},mountpoint={place},writable={'on' if writable else 'off'}"]


class Nbdfuse(Peer):
    name, needs = "nbdfuse", ["nbdfuse", "qemu-nbd"]

    def command(self, image, fmt, place, writable, snapshot=None, part=None, overlay=None):
        words = ["nbdfuse"] + ([] if writable else ["-r"]) + [place, "[", "qemu-nbd"] + ([] if writable else ["-r"])
        words += ["-s"] if overlay else []
        words += ["-l", snapshot] if snapshot else []
        if part:
            words += ["--image-opts", f"driver=raw,offset={part[0]},size={part[1]},file.driver={fmt},file.file.filename={image}"]
        else:
            words += (["-f", fmt] if fmt else []) + [image]
        return words + ["]"]


class Xmount(Peer):
    name, needs, folder = "xmount", ["xmount"], True

    # -d keeps it in the foreground.
    def command(self, image, fmt, place, writable, overlay=None, part=None):
        words = ["xmount", "-d", "--in", fmt or "ewf", image, "--out", "raw"]
        words += ["--offset", str(part[0]), "--sizelimit", str(part[1])] if part else []
        return words + (["--cache", overlay] if overlay else []) + [place]

    def view(self, image):
        return f"{self.place}/{os.path.splitext(os.path.basename(image))[0]}.dd"


class Libyal(Peer):
    name, needs, folder = "libyal", ["qcowmount", "vmdkmount", "vhdimount"], True
    programs = {"qcow2": ("qcowmount", "qcow1"), "qcow": ("qcowmount", "qcow1"), "vmdk": ("vmdkmount", "vmdk1"), "vpc": ("vhdimount", "vhdi1")}

    def command(self, image, fmt, place, writable, **more):
        if fmt not in self.programs:
            raise Failed("no program")
        self.file = self.programs[fmt][1]
        # -v keeps it in the foreground.
        return [self.programs[fmt][0], "-v", image, place]

    def view(self, image):
        return f"{self.place}/{self.file}"


def is_same(peer, image, fmt, disk="disk", **more):
    try:
        path = peer.show(image, fmt, **more)
    except Failed:
        return False
    try:
        same = subprocess.run(["cmp", "-s", path, disk], check=False, timeout=30).returncode == 0
    finally:
        peer.end()
    return same


def yes(what):
    return "yes" if what else "no"


def any_image(peer):
    """An image that this peer shows, and its format."""
    return ("e.raw", "raw") if peer.name == "xmount" else ("plain.qcow2", "qcow2")


def copy_of(image, name="copy"):
    name += os.path.splitext(image)[1]
    shutil.copyfile(image, name)
    return name


def over_itself(peer):
    if peer.folder:
        return "no"
    image, fmt = any_image(peer)
    image = copy_of(image)
    return yes(is_same(peer, image, fmt, place=image))


def new_qcow2(peer):
    if peer.name == "xmount":
        return "no qcow2" if not is_same(peer, "plain.qcow2", "qcow2") else "yes"
    return yes(is_same(peer, "zstd.qcow2", "qcow2") and is_same(peer, "extended.qcow2", "qcow2"))


def other_formats(peer):
    shown = [fmt for fmt in FORMATS if is_same(peer, f"disk.{fmt}", fmt)]
    if shown == list(FORMATS):
        return "all"
    return "no" if shown in ([], ["raw"]) else "one family per program"


def finds_format(peer):
    # Which of libyal's programs to call is said by who calls it.
    return None if peer.name == "libyal" else yes(is_same(peer, "plain.qcow2", None))


def snapshots(peer):
    if peer.name not in ("rawview", "nbdfuse"):
        return "no"
    return yes(is_same(peer, "snapshot.qcow2", "qcow2", disk="disk", snapshot="monday"))


def partitions(peer):
    if peer.name == "rawview":
        folder = subprocess.Popen([os.environ["RAWVIEW"], "mount", "--partitions", "--foreground", "plain.qcow2", "parts"])
        all_shown = waits_for(lambda: mount_entry(os.path.realpath("parts"))) and sorted(os.listdir("parts")) == ["disk", "p1", "p2"]
        subprocess.run(["umount", "-l", "parts"], check=True)
        folder.wait()
        return "one, or all in a folder" if all_shown and is_same(peer, "plain.qcow2", "qcow2", disk="part", partition=1) else "no"
    if peer.name == "libyal":
        return "no"
    image, fmt = any_image(peer)
    return "by offset" if is_same(peer, image, fmt, disk="part", part=(PART, PART_SIZE)) else "no"


def write_into(peer, image, fmt, **more):
    """Writes 64 KiB through a view, which has to show them: whether it could."""
    try:
        path = peer.show(image, fmt, writable=True, **more)
    except Failed:
        return False
    try:
        with open(path, "r+b", buffering=0) as f:
            f.seek(8 << 20)
            f.write(b"w" * 65536)
            os.fsync(f.fileno())
        with open(path, "rb") as f:
            f.seek(8 << 20)
            return f.read(65536) == b"w" * 65536
    except OSError:
        return False
    finally:
        peer.end()


def has_written(image, fmt):
    run("qemu-img", "convert", "-f", fmt, "-O", "raw", image, "seen")
    with open("seen", "rb") as f:
        f.seek(8 << 20)
        return f.read(65536) == b"w" * 65536


def leaves_alone(peer):
    image, fmt = any_image(peer)
    image = copy_of(image)
    before = sha(image)
    if peer.name == "rawview":
        kept = os.path.realpath("kept.qcow2")
        vmdk = copy_of("disk.vmdk")
        same = sha(vmdk)
        good = write_into(peer, image, fmt, overlay="volatile") and write_into(peer, vmdk, "vmdk", overlay=kept)
        good = good and has_written(kept, "qcow2") and (sha(image), sha(vmdk)) == (before, same)
        return "forgotten, or kept in a qcow2; any format" if good else "no"
    if peer.name == "qemu-storage-daemon":
        run("qemu-img", "create", "-q", "-f", "qcow2", "-b", os.path.realpath(image), "-F", fmt, "over.qcow2")
        good = write_into(peer, "over.qcow2", "qcow2") and has_written("over.qcow2", "qcow2") and sha(image) == before
        return "in a qcow2 made before" if good else "no"
    if peer.name == "nbdfuse":
        return "forgotten" if write_into(peer, image, fmt, overlay=True) and sha(image) == before else "no"
    if peer.name == "xmount":
        good = write_into(peer, image, fmt, overlay=os.path.realpath("cache")) and sha(image) == before
        return "kept in a file of its own" if good and os.path.getsize("cache") > 0 else "no"
    return "no"


def writes(peer):
    image, fmt = any_image(peer)
    image = copy_of(image)
    if peer.name == "xmount":
        # What it writes goes to the cache file.
        return "to a cache file" if leaves_alone(peer) != "no" and not write_into(peer, image, fmt) else "yes"
    good = write_into(peer, image, fmt) and has_written(image, fmt)
    if peer.name == "rawview":
        return "what the table above says" if good else "no"
    if peer.name == "qemu-storage-daemon":
        # `./dev bench` is where concurrent writes were found to be mixed up.
        return "all; concurrent writes corrupt data" if good else "no"
    return yes(good)


def holes(peer):
    image, fmt = any_image(peer)
    path = peer.show(image, fmt)
    try:
        with open(path, "rb", buffering=0) as f:
            return yes(os.lseek(f.fileno(), 0, os.SEEK_HOLE) < SIZE)
    finally:
        peer.end()


def tells(peer):
    image, fmt = any_image(peer)
    peer.show(image, fmt)
    kind, source, _ = mount_entry(peer.place)
    peer.end()
    return yes(os.path.basename(image) in source and kind != "fuse")


def read_only_mount(peer):
    image, fmt = any_image(peer)
    peer.show(image, fmt)
    options = mount_entry(peer.place)[2]
    peer.end()
    return yes("ro" in options)


def ticks(process):
    with open(f"/proc/{process.pid}/stat", encoding="utf-8") as f:
        words = f.read().rsplit(")", 1)[1].split()
    return int(words[11]) + int(words[12])


def unmounted(peer):
    image, fmt = any_image(peer)
    peer.show(image, fmt)
    assert waits_for(lambda: subprocess.run(["umount", peer.place], check=False, capture_output=True).returncode == 0), "busy"
    ends = waits_for(lambda: peer.process.poll() is not None, 3)
    text = "ends"
    if not ends:
        # An idle one takes none, and on a busy machine one that spins does not get all.
        before = ticks(peer.process)
        time.sleep(2)
        text = "spins" if ticks(peer.process) - before > os.sysconf("SC_CLK_TCK") / 10 else "stays"
    peer.end()
    return text


def is_served(place):
    """Whether a server answers there, which statvfs asks past the kernel's cache."""
    try:
        return mount_entry(place) is not None and bool(os.statvfs(place))
    except OSError:
        return False


ROWS = {
    "over the image itself": over_itself,
    "qcow2 with zstd or extended L2": new_qcow2,
    "other formats of QEMU": other_formats,
    "finds the format out": finds_format,
    "internal snapshots": snapshots,
    "partitions as files": partitions,
    "writes that leave the image alone": leaves_alone,
    "writes": writes,
    "SEEK_HOLE, SEEK_DATA": holes,
    "`findmnt` tells what it is": tells,
    "a read-only view is a read-only mount": read_only_mount,
    "unmounted by somebody else": unmounted,
}


def make_images():
    """A disk with two partitions and with holes, `disk`, and images of it; `part` is the first partition."""
    with open("disk", "wb") as f:
        f.truncate(SIZE)
        f.seek(PART)
        f.write(b"".join(b"line %059d\n" % i for i in range(4000)))
    subprocess.run(
        ["sfdisk", "-q", "--label", "dos", "disk"], input=f"start=2048, size={PART_SIZE >> 9}, type=83\nsize=8192, type=83\n", text=True, check=True
    )
    with open("disk", "rb") as f, open("part", "wb") as part:
        f.seek(PART)
        part.write(f.read(PART_SIZE))
    convert = ["qemu-img", "convert", "-f", "raw"]
    run(*convert, "-O", "qcow2", "disk", "plain.qcow2")
    run(*convert, "-O", "qcow2", "-c", "-o", "compression_type=zstd", "disk", "zstd.qcow2")
    run(*convert, "-O", "qcow2", "-o", "extended_l2=on", "disk", "extended.qcow2")
    shutil.copyfile("plain.qcow2", "snapshot.qcow2")
    run("qemu-img", "snapshot", "-c", "monday", "snapshot.qcow2")
    run("qemu-io", "-f", "qcow2", "-c", "write -q -P 7 1M 64k", "snapshot.qcow2")
    shutil.copyfile("disk", "e.raw")
    os.mkdir("parts")
    for fmt, options in FORMATS.items():
        run(*convert, "-O", fmt, *options, "disk", f"disk.{fmt}")


def table_of(document):
    """Cells of README's table by row and column; a column is known by the first word of its head."""
    with open(document, encoding="utf-8") as f:
        lines = [line.strip() for line in f if line.startswith("|")]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in lines]
    heads = next(row for row in rows if row[0] == "" and row[1] == "rawview")
    columns = [re.split(r"[ ']", head)[0] for head in heads]
    return {row[0]: dict(zip(columns, row)) for row in rows[rows.index(heads) + 2 :]}


def main():
    peers = [peer for peer in (Rawview(), Qsd(), Nbdfuse(), Xmount(), Libyal()) if peer.there()]
    make_images()
    seen = {}
    for row, tried in ROWS.items():
        seen[row] = {}
        for peer in peers:
            cell = tried(peer)
            if cell:
                seen[row][peer.name] = cell
        print(f"{row}: " + ", ".join(f"{peer}: {cell}" for peer, cell in seen[row].items()), flush=True)
    if sys.argv[1:2] != ["--check"]:
        return 0
    table, bad = table_of(sys.argv[2]), 0
    for row, cells in seen.items():
        for peer, cell in cells.items():
            if table[row][peer] != cell:
                print(f"{row}, {peer}: README says '{table[row][peer]}', seen was '{cell}'", file=sys.stderr)
                bad += 1
    missing = {"qemu-storage-daemon", "nbdfuse", "xmount", "libyal"} - {peer.name for peer in peers}
    print(f"in numbers: {sum(map(len, seen.values()))} cells of the table tried, {bad} wrong; not installed: {', '.join(sorted(missing)) or 'none'}")
    return 1 if bad else 0


if __name__ == "__main__":
    sys.exit(main())
