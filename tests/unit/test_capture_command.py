"""`timesync capture` on files: formats and times exactly as they are, and exit statuses that a script can use.

The files are written here with struct, as the formats' descriptions have them; scapy reads them.
"""

from __future__ import annotations

import gzip
import json
import struct
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from support.frames import AT_NS, Script, l2, ptp, udp4

from timesync.cli import main
from timesync.plugin import UnknownProbeKindError, load_capture

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timesync.plugin import Frame

pytest.importorskip("scapy", reason="the extra 'capture' is not installed: make test installs it")
try:
    CAPTURE = load_capture()
except UnknownProbeKindError as absent:
    pytest.skip(f"{absent} (make test does)", allow_module_level=True)

FrameList = list[tuple[int, bytes]]


def pcap(frames: FrameList, *, nano: bool = True, endian: str = "<", link_type: int = 1, wire: int = 0) -> bytes:
    """A pcap file; `wire` octets more were on the wire than were kept."""
    data = struct.pack(endian + "IHHiIII", 0xA1B23C4D if nano else 0xA1B2C3D4, 2, 4, 0, 0, 65535, link_type)
    for at_ns, frame in frames:
        seconds, rest = divmod(at_ns, 10**9)
        head = (seconds, rest if nano else rest // 1000, len(frame), len(frame) + wire)
        data += struct.pack(endian + "IIII", *head) + frame
    return data


def block(kind: int, body: bytes, endian: str) -> bytes:
    body += bytes(-len(body) % 4)
    return struct.pack(endian + "II", kind, 12 + len(body)) + body + struct.pack(endian + "I", 12 + len(body))


def pcapng(frames: FrameList, *, resolution: int | None = 9, endian: str = "<") -> bytes:
    """A pcapng file with one interface; `resolution` is its if_tsresol, None for the default of microseconds."""
    data = block(0x0A0D0D0A, struct.pack(endian + "IHHq", 0x1A2B3C4D, 1, 0, -1), endian)
    option = b"" if resolution is None else struct.pack(endian + "HHB3xHH", 9, 1, resolution, 0, 0)
    data += block(1, struct.pack(endian + "HHI", 1, 0, 65535) + option, endian)
    per_s = 10**6 if resolution is None else 2 ** (resolution & 0x7F) if resolution & 0x80 else 10**resolution
    for at_ns, frame in frames:
        ticks = at_ns * per_s // 10**9
        head = struct.pack(endian + "IIIII", 0, ticks >> 32, ticks & 0xFFFFFFFF, len(frame), len(frame))
        data += block(6, head + frame, endian)
    return data


def exchange(**how: Any) -> FrameList:
    script = Script(**how)
    script.turns(16)
    return script.frames


def read(path: Path) -> tuple[list[Frame], Sequence[str], bool]:
    frames = CAPTURE.open_file(str(path))
    try:
        return [each for each in frames if each is not None], frames.notes, frames.complete
    finally:
        frames.close()


FORMATS = {
    "pcap.ns": (pcap(exchange()), 1),
    "pcap.ns.big": (pcap(exchange(), endian=">"), 1),
    "pcap.us": (pcap(exchange(), nano=False), 1000),
    "pcapng.ns": (pcapng(exchange()), 1),
    "pcapng.ns.big": (pcapng(exchange(), endian=">"), 1),
    "pcapng.us": (pcapng(exchange(), resolution=None), 1000),
    "pcapng.100ps": (pcapng(exchange(), resolution=10), 1),
}


@pytest.mark.parametrize("name", FORMATS)
@pytest.mark.parametrize("packed", [False, True])
def test_every_format_is_read_with_its_times_as_they_are(name: str, packed: bool, tmp_path: Path) -> None:
    data, unit_ns = FORMATS[name]
    path = tmp_path / name
    path.write_bytes(gzip.compress(data) if packed else data)
    frames, notes, complete = read(path)
    assert [each.at_ns for each in frames] == [at_ns // unit_ns * unit_ns for at_ns, _ in exchange()]
    assert [each.data for each in frames] == [frame for _, frame in exchange()]
    assert {each.resolution_ns for each in frames} == {unit_ns}
    assert (list(notes), complete) == ([], True)


def test_binary_time_units_are_rounded_down_to_whole_nanoseconds(tmp_path: Path) -> None:
    """if_tsresol with its highest bit set counts in powers of two."""
    path = tmp_path / "x.pcapng"
    path.write_bytes(pcapng([(AT_NS + 1, l2(ptp(0, bytes(10))))], resolution=0x80 | 32))
    (frame,), _, _ = read(path)
    assert frame.at_ns is not None
    assert 0 <= AT_NS + 1 - frame.at_ns <= 1


def test_packets_without_a_time_are_told(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """Simple Packet Blocks of pcapng have none."""
    frame = l2(ptp(0, bytes(10)))
    path = tmp_path / "x.pcapng"
    path.write_bytes(pcapng([]) + block(3, struct.pack("<I", len(frame)) + frame, "<"))
    assert main(["capture", str(path)]) == 3
    assert "1 without a time" in capsys.readouterr().out


@pytest.mark.parametrize("cut", [1, 5, 17, 60])
@pytest.mark.parametrize("name", ["pcap.ns", "pcapng.ns"])
def test_a_file_that_ends_too_early_is_read_as_far_as_it_goes(name: str, cut: int, tmp_path: Path) -> None:
    path = tmp_path / name
    path.write_bytes(FORMATS[name][0][:-cut])
    frames, notes, complete = read(path)
    assert len(frames) == len(exchange()) - 1
    assert not complete
    assert "ends within a record" in notes[-1]


def test_a_broken_compression_is_read_as_far_as_it_goes(tmp_path: Path) -> None:
    path = tmp_path / "x.pcap.gz"
    path.write_bytes(gzip.compress(FORMATS["pcap.ns"][0])[:-200])
    frames, notes, complete = read(path)
    assert 0 < len(frames) < len(exchange())
    assert not complete
    assert "cannot be read on" in notes[-1]


def run(arguments: list[str | Path], capsys: pytest.CaptureFixture[str]) -> tuple[int, str, str]:
    status = main(["capture", *map(str, arguments)])
    told = capsys.readouterr()
    return status, told.out, told.err


@pytest.fixture
def clean(tmp_path: Path) -> Path:
    path = tmp_path / "clean.pcap"
    path.write_bytes(pcap(exchange(ahead_ns=1500)))
    return path


def test_the_report_is_a_table_for_people(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run([clean], capsys)
    assert status == 0
    assert "001122.fffe.334455-1" in out
    assert "+1.500 us" in out
    assert "Nothing wrong was found." in out


def test_json_holds_the_whole_report(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, out, _ = run([clean, "--json"], capsys)
    document = json.loads(out)
    assert status == 0
    assert document["exchanges"][0]["best_offset_s"] == pytest.approx(1.5e-6)
    assert document["masters"][0]["grandmaster"] == "001122.fffe.334455"
    assert document["resolution_s"] == 1e-9
    assert document["findings"] == []


def test_the_exit_status_judges(clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert run([clean, "--strict", "--max-offset", "1e-5"], capsys)[0] == 0
    assert run([clean, "--max-offset", "1e-6"], capsys)[0] == 1
    faulty = tmp_path / "faulty.pcap"
    faulty.write_bytes(pcap(exchange(sync_flags=0)))
    assert run([faulty], capsys)[0] == 0
    assert run([faulty, "--strict"], capsys)[0] == 1
    nothing = tmp_path / "nothing.pcap"
    nothing.write_bytes(pcap([(AT_NS, udp4(53, b"no time"))]))
    assert run([nothing], capsys)[0] == 3


def test_a_source_that_is_none_is_told_with_what_there_is(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    status, _, err = run([tmp_path / "no"], capsys)
    assert status == 2
    assert "no such interface (there are: " in err
    text = tmp_path / "text"
    text.write_text("this is no capture file at all, but longer than a header")
    status, _, err = run([text], capsys)
    assert status == 2
    assert "not a pcap or pcapng file" in err
    empty = tmp_path / "empty"
    empty.touch()
    assert run([empty], capsys)[0] == 2
    assert run([tmp_path], capsys)[0] == 2


def test_count_and_duration_end_a_file_early(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    _, out, _ = run([clean, "--count", "7"], capsys)
    assert "7 frames: 7 PTP" in out
    _, out, _ = run([clean, "--duration", "0.25"], capsys)
    assert "10 frames: 10 PTP" in out  # two whole turns of five


def test_frames_of_ptp_and_ntp_are_kept_to_the_nanosecond(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    frames = [(AT_NS + 123_456_789, udp4(53, b"not this")), *exchange()]
    path, kept = tmp_path / "all.pcap", tmp_path / "kept.pcap"
    path.write_bytes(pcap(frames))
    assert run([path, "--write", kept], capsys)[0] == 0
    assert kept.read_bytes() == pcap(exchange())


def test_a_plot_is_drawn(clean: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    pytest.importorskip("matplotlib", reason="the extra 'plot' is not installed")
    picture = tmp_path / "x.svg"
    assert run([clean, "--plot", picture], capsys)[0] == 0
    text = picture.read_text()
    assert text.startswith("<?xml")
    assert "PTP and NTP in clean.pcap" in text


def test_without_scapy_the_remedy_is_told(
    clean: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "scapy"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "scapy", None)
    status, _, err = run([clean], capsys)
    assert status == 2
    assert "pip install 'timesync[capture]'" in err


def test_options_of_an_interface_are_refused_for_a_file(clean: Path, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        run([clean, "--filter", "host 10.0.0.1"], capsys)
    assert ended.value.code == 2


def test_the_default_output_needs_neither_matplotlib_nor_scapys_layers(clean: Path, tmp_path: Path) -> None:
    import subprocess

    code = (
        "import sys; from timesync.cli import main; main(['capture', sys.argv[1]]);"
        "print([n for n in sys.modules if n in ('matplotlib', 'scapy.all') or n.startswith('scapy.contrib')])"
    )
    done = subprocess.run([sys.executable, "-c", code, clean], capture_output=True, text=True, check=True)
    assert done.stdout.splitlines()[-1] == "[]"
    assert done.stderr == ""


CAPTURES = Path(__file__).parent / "captures"


@pytest.mark.parametrize("name", ["ptp4l-chronyd.pcap", "ptp4l-chronyd.pcapng"])
def test_a_kept_capture_of_real_stacks_is_understood(name: str, capsys: pytest.CaptureFixture[str]) -> None:
    """The first 1.1 s of the lab's busy cable: ptp4l 3.1.1 in five domains and chronyd 4.3, whose offsets are known."""
    status, out, _ = run([CAPTURES / name, "--timescale", "utc", "--json", "--strict"], capsys)
    assert status == 0
    report = json.loads(out)
    assert report["passed_over"] == {}
    assert {each["domain"] for each in report["domains"]} == {0, 3, 5, 24, 93}
    truth_s = {"domain 0": 25e-3, "domain 24": 1.5e-3, "10.123.0.2": -10e-3, "fd00:123::2": -10e-3}
    held = 0
    for exchange in report["exchanges"]:
        for clock, ahead_s in truth_s.items():
            if clock == exchange["clock"] or exchange["clock"].endswith(f"-1 {clock}"):
                assert abs(exchange["best_offset_s"] - ahead_s) <= exchange["best_bound_s"]
                held += 1
    assert held == 4
