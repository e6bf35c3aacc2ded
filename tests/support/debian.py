"""The lab's real servers: Debian packages unpacked into a private, git-ignored prefix.

Rule: nothing is installed on the host and nothing is started by unpacking. Packages that Debian lets conflict (chrony,
ntpsec) live beside each other here. No root is needed. Where the machine has no package lists, or stale ones, lists of
our own are fetched under .lab/apt.

Use: `binary("chronyd")` gives the path, `environment()` what to run it with, `missing("chronyd")` the reason why not.
`python tests/support/debian.py` (make lab) unpacks everything; it is instant the second time.
"""

from __future__ import annotations

import fcntl
import getpass
import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
from contextlib import contextmanager
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

__all__ = ["BINARIES", "PREFIX", "LabError", "binary", "environment", "missing", "over_usr", "prepare"]

LAB = Path(__file__).resolve().parents[2] / ".lab"
PREFIX = LAB / "prefix"

BINARIES: Mapping[str, str] = {
    "chronyd": "chrony",
    "chronyc": "chrony",
    "ntpd": "ntpsec",
    "ptp4l": "linuxptp",
    "pmc": "linuxptp",
    "phc2sys": "linuxptp",
    "ptpd": "ptpd",
    "ethtool": "ethtool",
    "influxd": "influxdb",
    "victoria-metrics": "victoria-metrics",
    "prometheus": "prometheus",
    "promtool": "prometheus",
    "prometheus-alertmanager": "prometheus-alertmanager",
    "amtool": "prometheus-alertmanager",
    "ip": "iproute2",
    "chromium": "chromium",
    "systemd-analyze": "systemd",
    "systemd-sysusers": "systemd",
    "systemd-tmpfiles": "systemd",
}
"""Each program of the lab, and the package that has it."""

HOST_FIRST = frozenset({"ip", "ethtool", "chromium", "systemd-analyze", "systemd-sysusers", "systemd-tmpfiles"})
"""Tools taken from the host where it has them."""

BESIDES: Mapping[str, Sequence[str]] = {"chromium": ("chromium-common", "fonts-dejavu-core")}
"""What a program needs to run besides libraries: its data, letters to write with."""

# Debian's usr/bin/chromium is a script that looks for the program where it is not.
FOLDERS = ("usr/lib/chromium", "usr/sbin", "usr/bin", "sbin", "bin")
_DEPENDENCY = re.compile(r"^ *(\|?)(?:Pre)?Depends: <?([^>:\s]+)")
_LIBRARY = re.compile(r"^lib(?!js-).*(?<!-perl)$")


class LabError(Exception):
    """The lab cannot be had on this machine; the text says why and what helps."""


def _apt(command: Sequence[str], *, private: bool, cwd: Path = LAB) -> subprocess.CompletedProcess[str]:
    options = [f"-oAPT::Sandbox::User={getpass.getuser()}", "-oAcquire::Languages=none"]
    if private:
        for folder in ("lists/partial", "cache/archives/partial"):
            (LAB / "apt" / folder).mkdir(parents=True, exist_ok=True)
        options += [f"-oDir::State::Lists={LAB}/apt/lists", f"-oDir::Cache={LAB}/apt/cache"]
    environ = {**os.environ, "LC_ALL": "C"}
    argv = [command[0], "-q", *options, *command[1:]]
    return subprocess.run(argv, cwd=cwd, env=environ, capture_output=True, text=True, check=False)


def _installed_on_host(package: str) -> bool:
    query = ["dpkg-query", "-W", "-f=${db:Status-Status}", package]
    return subprocess.run(query, capture_output=True, text=True, check=False).stdout.startswith("installed")


def _library_dependencies(packages: Sequence[str], *, private: bool) -> set[str]:
    """The library packages that `packages` need, directly, and that the host lacks."""
    if not packages:
        return set()
    quiet = [f"--no-{kind}" for kind in ("recommends", "suggests", "conflicts", "breaks", "replaces", "enhances")]
    listing = _apt(["apt-cache", "depends", *quiet, *packages], private=private).stdout
    wanted: set[str] = set()
    alternatives: list[str] = []
    for line in listing.splitlines():
        match = _DEPENDENCY.match(line)
        if not match:
            continue
        alternatives.append(match[2])
        if match[1]:  # "|": the next line is an alternative to this one
            continue
        if _LIBRARY.match(alternatives[0]) and not any(map(_installed_on_host, alternatives)):
            wanted.add(alternatives[0])
        alternatives = []
    return wanted


def _closure(packages: Sequence[str], *, private: bool) -> list[str]:
    found = set(packages)
    level = set(packages)
    while level:
        level = _library_dependencies(sorted(level), private=private) - found
        found |= level
    return sorted(found)


def _marker(package: str) -> Path:
    return LAB / "unpacked" / package


def _unpack(packages: Sequence[str], *, private: bool) -> None:
    """Download in one go and unpack; raises LabError with apt's own words."""
    with tempfile.TemporaryDirectory(dir=LAB) as folder:
        got = _apt(["apt-get", "download", *packages], private=private, cwd=Path(folder))
        if got.returncode:
            raise LabError((got.stderr or got.stdout).strip())
        for file in sorted(Path(folder).glob("*.deb")):
            unpacked = subprocess.run(["dpkg-deb", "-x", file, PREFIX], capture_output=True, text=True, check=False)
            if unpacked.returncode:
                raise LabError(f"{file.name} cannot be unpacked into {PREFIX}: {unpacked.stderr.strip()}")
            name, version, *_ = file.name.split("_")
            _marker(name).write_text(version.replace("%3a", ":") + "\n")


def _known(packages: Sequence[str], *, private: bool) -> list[str]:
    """Those that the package lists offer."""
    listing = _apt(["apt-cache", "policy", *packages], private=private).stdout
    blocks = re.findall(r"^(\S+):\n  Installed: .*\n  Candidate: (.*)$", listing, flags=re.MULTILINE)
    return [name for name, candidate in blocks if candidate != "(none)"]


def _wanted() -> list[str]:
    on_host = {BINARIES[name] for name in HOST_FIRST if _on_host(name)}
    programs = set(BINARIES.values()) - on_host
    packages = sorted(programs.union(*(BESIDES.get(program, ()) for program in programs)))
    return [package for package in packages if not _marker(package).exists()]


def _on_host(name: str) -> Path | None:
    found = shutil.which(name, path=f"{os.environ.get('PATH', '')}:/usr/sbin:/sbin")
    return Path(found) if found else None


@contextmanager
def _locked() -> Iterator[None]:
    """One process at a time fills the prefix."""
    for folder in (LAB, PREFIX, LAB / "unpacked"):
        folder.mkdir(parents=True, exist_ok=True)
    with (LAB / "lock").open("w") as handle:
        fcntl.flock(handle, fcntl.LOCK_EX)
        yield


def prepare() -> Sequence[str]:
    """Unpack what is not there yet. Returns the packages that this machine's archives do not offer.

    Raises LabError where nothing can be fetched at all.
    """
    if not _wanted():
        return []
    if not shutil.which("apt-get") or not shutil.which("dpkg-deb"):
        raise LabError(
            "the lab's servers come from Debian packages, and this machine has no apt-get; use Debian or Ubuntu"
        )
    with _locked():
        wanted = _wanted()
        private = False
        known = _known(wanted, private=False)
        if len(known) < len(wanted):
            private = _update_private_lists()
            known = _known(wanted, private=private)
        if not known:
            raise LabError(f"no package list offers {', '.join(wanted)}; is there a network, and a Debian archive?")
        try:
            _unpack(_closure(known, private=private), private=private)
        except LabError:
            if private:
                raise
            _update_private_lists()  # the host's lists name files that the archive has since replaced
            _unpack(_closure(known, private=True), private=True)
    missing.cache_clear()
    return [package for package in wanted if package not in known]


def _update_private_lists() -> bool:
    print("lab: fetching package lists into .lab/apt", flush=True)
    _apt(["apt-get", "update"], private=True)  # a third party's archive may fail; what we need is then looked for
    return True


@cache
def missing(name: str) -> str | None:
    """Why a program of the lab cannot be run here, or None if it can."""
    package = BINARIES[name]
    if name in HOST_FIRST and _on_host(name):
        return None
    path = _in_prefix(name)
    if path is None:
        return f"{name} (package {package}) is not in .lab/prefix; run `make lab`"
    linked = subprocess.run(["ldd", path], env=environment(), capture_output=True, text=True, check=False).stdout
    absent = sorted({line.split()[0] for line in linked.splitlines() if "not found" in line})
    return f"{name} lacks the libraries {', '.join(absent)}" if absent else None


def _in_prefix(name: str) -> Path | None:
    return next((path for folder in FOLDERS if (path := PREFIX / folder / name).exists()), None)


def binary(name: str) -> Path:
    """The path of a program of the lab. Raises LabError with the reason if it cannot be run here."""
    reason = missing(name)
    if reason:
        raise LabError(reason)
    if name in HOST_FIRST and (found := _on_host(name)):
        return found
    path = _in_prefix(name)
    assert path is not None
    return path


def environment() -> dict[str, str]:
    """The environment to run a program of the lab in: the caller's, and the prefix's own libraries."""
    # Some packages keep libraries of their own one folder deeper, and name it by its absolute path.
    places = [
        (root, depth) for root in ("lib", "usr/lib") for depth in ("*-linux-*/*.so*", "*-linux-*/pulseaudio/*.so*")
    ]
    folders = sorted({str(file.parent) for root, depth in places for file in (PREFIX / root).glob(depth)})
    folders += [path for path in os.environ.get("LD_LIBRARY_PATH", "").split(":") if path]
    environ = dict(os.environ)
    if folders:
        environ["LD_LIBRARY_PATH"] = ":".join(folders)
    return environ


def over_usr(argv: Sequence[str | Path]) -> list[str]:
    """`argv` in a mount namespace of its own where the prefix lies over /usr: for programs that insist on their
    files under /usr/share (Debian's alertmanager). Needs root; the host's own /usr is not touched.
    """
    script = 'mount -t overlay overlay -o "lowerdir=$1:/usr" /usr && shift && exec "$@"'
    return ["unshare", "--mount", "sh", "-c", script, "sh", str(PREFIX / "usr"), *map(str, argv)]


def main() -> int:
    """Prepare the lab and say what it has; 1 if something cannot be had."""
    fresh = bool(_wanted())
    if fresh:
        print("lab: unpacking real servers into .lab/prefix (once; some 100 MB, 250 MB with a browser)", flush=True)
    try:
        absent = prepare()
    except LabError as error:
        print(f"lab: not available: {error}", file=sys.stderr)
        return 1
    reasons = [reason for name in BINARIES if (reason := missing(name))]
    for reason in reasons:
        print(f"lab: {reason}", file=sys.stderr)
    if fresh:
        versions = {file.name: file.read_text().strip() for file in sorted((LAB / "unpacked").iterdir())}
        print(f"lab: {json.dumps(versions, indent=2)}")
    return 1 if absent or reasons else 0


if __name__ == "__main__":
    sys.exit(main())
