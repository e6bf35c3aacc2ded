"""What systemd is told, and that the unit file asks for what the daemon keeps to."""

from __future__ import annotations

import re
import shlex
import shutil
import socket
import subprocess
import sys
from collections import defaultdict
from pathlib import Path

import pytest
from support import debian

from timesync import systemd
from timesync.systemd import Notifier, watchdog_period_s

UNIT = Path(__file__).resolve().parents[2] / "deploy" / "systemd" / "timesync-probe.service"


@pytest.mark.parametrize(
    ("message", "expected"),
    [
        (systemd.ready(), "READY=1"),
        (systemd.ready("12 targets"), "READY=1\nSTATUS=12 targets"),
        (systemd.status("two\nlines\tand  more "), "STATUS=two lines and more"),
        (systemd.stopping(), "STOPPING=1"),
        (systemd.stopping("flushing"), "STOPPING=1\nSTATUS=flushing"),
        (systemd.watchdog(), "WATCHDOG=1"),
        (systemd.reloading(1234567), "RELOADING=1\nMONOTONIC_USEC=1234567"),
    ],
)
def test_messages_are_those_of_sd_notify(message, expected):
    assert message == expected


@pytest.mark.parametrize(
    ("environ", "expected"),
    [
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "42"}, 15.0),
        ({"WATCHDOG_USEC": "30000000"}, 15.0),
        ({"WATCHDOG_USEC": "30000000", "WATCHDOG_PID": "43"}, None),
        ({"WATCHDOG_PID": "42"}, None),
        ({"WATCHDOG_USEC": "0"}, None),
        ({"WATCHDOG_USEC": "soon"}, None),
        ({}, None),
    ],
)
def test_the_watchdog_is_fed_at_half_its_time_by_the_process_that_is_meant(environ, expected):
    assert watchdog_period_s(environ, 42) == expected


@pytest.mark.parametrize("abstract", [False, True], ids=["path", "abstract"])
def test_a_message_reaches_the_socket_as_one_datagram(tmp_path, abstract):
    name = f"@{tmp_path}/notify" if abstract else f"{tmp_path}/notify"
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind("\0" + name[1:] if abstract else name)
        notifier = Notifier.from_environment({"NOTIFY_SOCKET": name})
        assert notifier.enabled
        assert notifier.send(systemd.ready("läuft"))
        assert manager.recv(4096).decode() == "READY=1\nSTATUS=läuft"


@pytest.mark.parametrize("environ", [{}, {"NOTIFY_SOCKET": ""}, {"NOTIFY_SOCKET": "vsock:2:1234"}])
def test_without_systemd_nothing_is_sent_and_that_is_said(environ):
    notifier = Notifier.from_environment(environ)
    assert not notifier.enabled
    assert not notifier.send(systemd.watchdog())


def test_a_manager_that_is_gone_or_does_not_read_does_not_hold_up_the_daemon(tmp_path):
    name = f"{tmp_path}/notify"
    notifier = Notifier.from_environment({"NOTIFY_SOCKET": name})
    assert not notifier.send(systemd.watchdog())
    with socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM) as manager:
        manager.bind(name)
        sent = [notifier.send(systemd.watchdog()) for _ in range(10_000)]
    assert sent[0]
    assert not sent[-1]  # its queue was full, and we did not wait


def read_unit(unit: Path = UNIT) -> dict[str, dict[str, list[str]]]:
    """systemd.syntax(7), as far as our unit goes: sections, assignments that may repeat, comments."""
    sections: dict[str, dict[str, list[str]]] = defaultdict(lambda: defaultdict(list))
    section = ""
    for line in unit.read_text(encoding="utf-8").splitlines():
        if not line or line.startswith("#"):
            continue
        if header := re.fullmatch(r"\[(\w+)\]", line):
            section = header[1]
            continue
        key, mark, setting = line.partition("=")
        assert mark, line
        assert key == key.strip(), line
        sections[section][key].append(setting)
    return sections


@pytest.mark.parametrize(
    ("key", "expected"),
    [
        ("Type", ["notify"]),
        ("NotifyAccess", ["main"]),
        ("Restart", ["always"]),
        ("ExecReload", ["/bin/kill -HUP $MAINPID"]),
        ("WatchdogSec", ["30"]),
        ("User", ["timesync"]),
        ("DynamicUser", ["yes"]),
        ("StateDirectory", ["timesync"]),
        ("CapabilityBoundingSet", [""]),
        ("AmbientCapabilities", [""]),
        ("NoNewPrivileges", ["yes"]),
        ("ProtectClock", ["yes"]),
        ("ProtectSystem", ["strict"]),
        ("ProtectHome", ["yes"]),
        ("ProtectProc", ["invisible"]),
        ("PrivateDevices", ["yes"]),
        ("MemoryDenyWriteExecute", ["yes"]),
        ("RestrictNamespaces", ["yes"]),
        ("RestrictAddressFamilies", ["AF_INET AF_INET6 AF_NETLINK AF_UNIX"]),
        ("SystemCallFilter", ["@system-service", "~@privileged @resources"]),
    ],
)
def test_the_unit_is_watched_restarted_and_unprivileged(key, expected):
    assert read_unit()["Service"][key] == expected


def test_the_unit_starts_the_probe_and_is_never_given_up():
    unit = read_unit()
    assert unit["Service"]["ExecStart"] == ["/opt/timesync/bin/timesync probe --config /etc/timesync/site.toml"]
    assert unit["Unit"]["StartLimitIntervalSec"] == ["0"]
    assert unit["Install"]["WantedBy"] == ["multi-user.target"]


def test_a_dead_daemon_is_noticed_before_a_stop_is_forced():
    service = read_unit()["Service"]
    assert float(service["WatchdogSec"][0]) <= float(service["TimeoutStopSec"][0]) <= 60


FOLDER = UNIT.parent
DROP_INS = sorted((FOLDER / "drop-ins").glob("*.conf"), key=lambda path: path.name)
NOT_BEFORE_AN_INSTALLATION = "/opt/timesync/bin/timesync is not executable"


@pytest.fixture
def installed(lab, tmp_path) -> Path:
    """The units in a folder of their own, as /etc/systemd/system would have them."""
    lab("systemd-analyze")
    for path in (*FOLDER.glob("*.service"), *FOLDER.glob("*.timer")):
        shutil.copy(path, tmp_path)
    (tmp_path / "timesync-probe.service.d").mkdir()
    return tmp_path


def analyze(installed: Path, *words: str) -> subprocess.CompletedProcess[str]:
    """systemd's own judgement. Its unit files are the host's, or the lab's where the host has no systemd."""
    paths = f"{installed}:{debian.PREFIX}/lib/systemd/system:"
    environ = {**debian.environment(), "SYSTEMD_UNIT_PATH": paths, "SYSTEMD_COLORS": "0"}
    argv = [debian.binary("systemd-analyze"), *words]
    return subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)


@pytest.mark.parametrize(
    ("unit", "drop_ins", "at_most"),
    [
        ("timesync-probe", (), 1.5),
        *(("timesync-probe", (path.name,), 2.0) for path in DROP_INS if path.name != "ptp-l2.conf"),
        ("timesync-probe", tuple(path.name for path in DROP_INS), 2.0),
        ("timesync-backup", (), 1.0),
    ],
    ids=lambda value: "+".join(value) or "alone" if isinstance(value, tuple) else str(value),
)
def test_systemd_rates_a_unit_as_well_protected_and_knows_every_setting(installed, unit, drop_ins, at_most):
    for name in drop_ins:
        shutil.copy(FOLDER / "drop-ins" / name, installed / "timesync-probe.service.d")
    file = installed / f"{unit}.service"
    # The scale of systemd-analyze(1): 0 no exposure to 10.0 all of it; the threshold is in tenths.
    threshold = f"--threshold={round(at_most * 10)}"
    rated = analyze(installed, "security", "--offline=true", threshold, "--no-pager", str(file))
    assert rated.returncode == 0, rated.stdout + rated.stderr
    verified = analyze(installed, "verify", "--man=no", str(file))
    complaints = [line for line in verified.stderr.splitlines() if "timesync" in line]
    assert [line for line in complaints if NOT_BEFORE_AN_INSTALLATION not in line] == []


def test_a_setting_that_systemd_does_not_know_is_told(installed):
    file = installed / "timesync-probe.service"
    file.write_text(file.read_text().replace("ProtectClock=yes", "ProtectClocks=yes"))
    assert "ProtectClocks" in analyze(installed, "verify", "--man=no", str(file)).stderr


def test_the_timer_is_known_and_wakes_every_night(installed):
    timer = installed / "timesync-backup.timer"
    complaints = [
        line for line in analyze(installed, "verify", "--man=no", str(timer)).stderr.splitlines() if "timesync" in line
    ]
    assert [line for line in complaints if NOT_BEFORE_AN_INSTALLATION not in line] == []
    (when,) = re.findall(r"(?m)^OnCalendar=(.*)$", timer.read_text())
    told = analyze(installed, "calendar", "--iterations=3", when)
    assert told.returncode == 0
    nights = re.findall(r"(\d{4}-\d\d-\d\d) 02:40:00 UTC", told.stdout)
    assert len(set(nights)) == 3


def test_the_backup_is_the_probes_own_user_and_sees_no_network(installed):
    probe, backup = read_unit(), read_unit(FOLDER / "timesync-backup.service")
    assert backup["Service"]["User"] == probe["Service"]["User"] == ["timesync"]
    assert backup["Service"]["DynamicUser"] == ["yes"]
    assert backup["Service"]["PrivateNetwork"] == ["yes"]
    states = backup["Service"]["StateDirectory"][0].split()
    assert states[0] == probe["Service"]["StateDirectory"][0]
    words = shlex.split(backup["Service"]["ExecStart"][0])
    assert words[:2] == ["/opt/timesync/bin/timesync", "backup"]
    assert words[2:5] == [f"/var/lib/{states[1]}", "--directory", f"/var/lib/{states[0]}"]


def test_the_group_and_the_folders_are_made_as_systemd_reads_them(lab, root, tmp_path):
    lab("systemd-sysusers", "systemd-tmpfiles")
    (tmp_path / "etc").mkdir()
    environ = debian.environment()
    for tool, words, file in (
        ("systemd-sysusers", (), "timesync.sysusers.conf"),
        ("systemd-tmpfiles", ("--create",), "timesync.tmpfiles.conf"),
    ):
        argv = [debian.binary(tool), *words, f"--root={tmp_path}", FOLDER / file]
        done = subprocess.run(argv, env=environ, capture_output=True, text=True, check=False)
        assert done.returncode == 0, done.stderr
    groups = (tmp_path / "etc/group").read_text()
    assert re.findall(r"(?m)^(\w+):", groups) == ["clock"]
    assert 'GROUP="clock"' in (FOLDER / "60-timesync-clock.rules").read_text()
    assert "SupplementaryGroups=clock" in (FOLDER / "drop-ins" / "hardware-clock.conf").read_text()
    modes = {name: (tmp_path / name).stat().st_mode & 0o777 for name in ("etc/timesync", "etc/timesync/secrets")}
    assert modes == {"etc/timesync": 0o755, "etc/timesync/secrets": 0o700}


def test_what_the_daemon_is_made_of_loads_where_no_memory_may_be_writable_and_executable():
    # MemoryDenyWriteExecute=, by the kernel's own switch (prctl 65, PR_SET_MDWE, Linux 6.3); an older kernel says EINVAL.
    program = """
import ctypes, errno, mmap, sys
if ctypes.CDLL(None, use_errno=True).prctl(65, 1, 0, 0, 0):
    assert ctypes.get_errno() == errno.EINVAL
    sys.exit(0)
import numpy, sqlite3
import timesync.cli, timesync.export.prometheus, timesync.web.server
import aiohttp, cryptography.hazmat.primitives.cmac, influxdb_client
try:
    mmap.mmap(-1, 4096, prot=mmap.PROT_WRITE | mmap.PROT_EXEC)
except OSError:
    sys.exit(0)
sys.exit("the switch had no effect")
"""
    loaded = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=False)
    assert loaded.returncode == 0, loaded.stderr
