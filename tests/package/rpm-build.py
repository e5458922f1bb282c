#!/usr/bin/env python3
# SPDX-License-Identifier: LGPL-2.1-or-later
"""rpm-build.py ROOT: the packages for Fedora are built, and hold what Debian's hold.

rpmbuild itself fails when a file is installed that no line of %files has, or the other way round. rpmlint looks at what comes out, the shell at the
scriptlets. Then the files of the packages are compared with those of the .deb: names, and what is in the texts. The tests in %check are left out:
suite `package` has them in `dist`. Exit 77 without rpmbuild and its companions.
"""
import fnmatch
import os
import re
import shutil
import subprocess
import sys
import tempfile

NEEDED = ("git", "meson", "rpmbuild", "rpmlint", "rpm2cpio", "cpio", "dpkg-buildpackage", "dh", "dh_apparmor", "scdoc")
SCRIPTLETS = ("PREIN", "POSTIN", "PREUN", "POSTUN", "PRETRANS", "POSTTRANS")
# What each of the two has for itself.
DEBIAN_ALONE = {
    "/etc/apparmor.d/*": "Fedora has SELinux instead",
    "/usr/share/rawview/apparmor/*": "the same",
    "/usr/lib/systemd/system/rawview-apparmor.service": "the same",
    "/usr/share/man/man8/rawview-apparmor.service.8.gz": "the same",
    "/usr/share/doc/rawview/changelog*.gz": "Debian's names for CHANGELOG.md, the licence, and what to know of the package",
    "/usr/share/doc/rawview/copyright": "the same",
    "/usr/share/doc/rawview/README.Debian": "the same",
    "/usr/share/lintian/*": "for lintian",
}
FEDORA_ALONE = {
    "/usr/share/doc/rawview/CHANGELOG.md": "Debian's changelog.gz",
    "/usr/share/licenses/*": "Debian's copyright",
    "/usr/share/selinux/*": "Debian has AppArmor instead",
}
# Folders that have other names: Debian's, and Fedora's.
FOLDERS = (
    ("/lib/", "/usr/lib/"),
    ("/usr/share/zsh/vendor-completions/", "/usr/share/zsh/site-functions/"),
    ("/usr/share/doc/rawview-[0-9.]*/", "/usr/share/doc/rawview/"),
)
TEXTS = ("/usr/lib/", "/usr/share/applications/", "/usr/share/mime/", "/usr/share/polkit-1/", "/usr/share/bash-completion/", "/usr/share/fish/")


def run(*command, **more):
    return subprocess.run(command, check=True, capture_output=True, text=True, **more).stdout


def common_name(path):
    for theirs, ours in FOLDERS:
        path = re.sub("^" + theirs, ours, path)
    # Debian leaves small files as they are.
    return path.removesuffix(".gz") if path.startswith("/usr/share/doc/") and path.endswith(".md.gz") else path


def files_in(folder):
    found = {}
    for where, _, names in os.walk(folder):
        for name in names:
            path = os.path.join(where, name)
            found[common_name(path[len(folder):])] = path
    return found


def unpack(rpms, folder):
    os.mkdir(folder)
    for rpm in rpms:
        with subprocess.Popen(["rpm2cpio", rpm], stdout=subprocess.PIPE) as source:
            run("cpio", "--extract", "--make-directories", "--quiet", cwd=folder, stdin=source.stdout)
        if source.returncode:
            raise RuntimeError(f"rpm2cpio {rpm}: {source.returncode}")


def content(path):
    with open(path, "rb") as f:
        data = f.read()
    # Where udev is.
    return None if data.startswith(b"\x7fELF") else data.replace(b'"/usr/lib/udev/', b'"/lib/udev/')


def check_same(debian, fedora):
    """That what is in both is the same, and what is in one alone is meant to be."""
    def alone(path, patterns):
        return any(fnmatch.fnmatch(path, p) for p in patterns)

    for path in sorted(debian.keys() - fedora.keys()):
        if not alone(path, DEBIAN_ALONE):
            yield f"{path}: in Debian's package, and not in Fedora's"
    for path in sorted(fedora.keys() - debian.keys()):
        if not alone(path, FEDORA_ALONE):
            yield f"{path}: in Fedora's package, and not in Debian's"
    for path in sorted(debian.keys() & fedora.keys()):
        one, other = debian[path], fedora[path]
        if os.path.islink(one) or os.path.islink(other):
            if not os.path.islink(other) or not os.path.islink(one) or os.readlink(one) != os.readlink(other):
                yield f"{path}: a link to another place, or none"
        elif path.startswith(TEXTS) and content(one) != content(other):
            yield f"{path}: says something else in Fedora's package"
        elif os.access(one, os.X_OK) != os.access(other, os.X_OK):
            yield f"{path}: can be executed in one of the packages alone"
    for pattern in DEBIAN_ALONE:
        if not any(fnmatch.fnmatch(path, pattern) for path in debian):
            yield f"{pattern}: not in Debian's package any more"


def check_scriptlets(rpm):
    for tag in SCRIPTLETS:
        text = run("rpm", "-qp", "--qf", f"%{{{tag}}}", rpm)
        if text == "(none)":
            continue
        said = subprocess.run(["sh", "-n"], input=text, capture_output=True, text=True)
        if said.returncode:
            yield f"{os.path.basename(rpm)}: {tag}: {said.stderr}"
        # A macro that nobody knows stays as it stands.
        for word in re.findall(r"^\s*%\w+.*", text, re.M):
            yield f"{os.path.basename(rpm)}: {tag}: {word.strip()}: is no macro"


def check_manuals(fedora):
    """rpmlint 2.4 takes the section for the name of a page that is a link, and misses others."""
    pages = {os.path.basename(path).removesuffix(".gz")[:-2] for path in fedora if path.startswith("/usr/share/man/")}
    for path in fedora:
        folder, name = os.path.split(path)
        if folder in ("/usr/bin", "/usr/sbin", "/usr/libexec/rawview") and name not in pages:
            yield f"{path}: has no man page"


def check(root):
    missing = [program for program in NEEDED if not shutil.which(program)]
    if missing:
        print(f"needs {', '.join(missing)} (./dev deps)")
        return 77
    packaging = os.path.join(root, "packaging")
    with tempfile.TemporaryDirectory(prefix="rawview-rpm.") as work:
        out, debian, fedora = (os.path.join(work, name) for name in ("out", "debian", "fedora"))
        if subprocess.run([os.path.join(packaging, "build-rpm"), out, "--without", "tests"], check=False).returncode:
            return 1
        every = sorted(os.path.join(out, name) for name in os.listdir(out) if name.endswith(".rpm"))
        rpms = [rpm for rpm in every if not rpm.endswith(".src.rpm")]
        filters = os.path.join(work, "rpmlintrc")
        with open(filters, "w", encoding="utf-8") as f:
            for name in ("rawview.rpmlintrc", "packages.rpmlintrc"):
                with open(os.path.join(packaging, name), encoding="utf-8") as part:
                    f.write(part.read())
        lint = subprocess.run(
            ["rpmlint", "--strict", "-c", f"{packaging}/rpmlint.toml", "-r", filters, *every],
            check=False, capture_output=True, text=True)
        complaints = [lint.stdout + lint.stderr] if lint.returncode else []
        for rpm in rpms:
            complaints += check_scriptlets(rpm)
        place = run(os.path.join(packaging, "build-deb")).strip()
        for name in os.listdir(place):
            if re.match(r"rawview_.*\.deb$", name):
                run("dpkg-deb", "-x", os.path.join(place, name), debian)
        unpack(rpms, fedora)
        packed = files_in(fedora)
        complaints += check_same(files_in(debian), packed)
        complaints += check_manuals(packed)
        run(os.path.join(fedora, "usr/bin/rawview"), "--version")
        names = ", ".join(os.path.basename(rpm) for rpm in rpms)
    print("\n".join(complaints) or f"{names}: built, rpmlint is content, {len(packed)} files that are Debian's, too")
    return 1 if complaints else 0


if __name__ == "__main__":
    sys.exit(check(*sys.argv[1:]))
