"""No octets crash the observer or the reading of files: random frames, mutated frames of real exchanges, and files of both."""

from __future__ import annotations

import json
import random
import struct
from typing import TYPE_CHECKING

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from support.capturefuzz import fuzz_capture, kept_frames
from support.frames import Script, l2, ntp, ptp, udp4, udp6, vlan

from timesync.capture.frames import LINK_TYPES, Datagram, Passed, unwrap
from timesync.capture.observer import Observer
from timesync.capture.report import document
from timesync.capture_text import report_lines
from timesync.leapseconds import embedded_leap_table

if TYPE_CHECKING:
    from pathlib import Path

LEAPS = embedded_leap_table()


def observed(frames: list[tuple[int | None, int, bytes, int]]) -> None:
    """All of it goes in and comes out, and every frame is accounted for."""
    observer = Observer(leaps=LEAPS)
    for at_ns, link_type, data, wire in frames:
        observer.take(at_ns, link_type, data, wire)
    report = observer.report("noise")
    assert report.frames == len(frames)
    assert report.ptp_messages + report.ntp_packets + sum(report.passed_over.values()) == len(frames)
    json.dumps(document(report))
    assert list(report_lines(report))


@given(st.sampled_from(sorted(LINK_TYPES)), st.binary(max_size=200), st.integers(0, 400))
def test_any_octets_are_a_datagram_or_passed_over(link_type: int, data: bytes, wire: int) -> None:
    assert isinstance(unwrap(link_type, data, wire), Datagram | Passed)


FRAME = st.one_of(
    st.binary(max_size=120),
    st.binary(max_size=90).map(l2),
    st.binary(max_size=90).map(lambda data: udp4(319, data)),
    st.builds(
        lambda kind, body, **more: udp6(320, ptp(kind, body, **more)),
        st.integers(0, 15),
        st.binary(max_size=70),
        number=st.integers(0, 3),
        clock=st.integers(0, 2),
        domain=st.integers(0, 1),
        flags=st.integers(0, 0xFFFF),
        correction=st.integers(-(2**63), 2**63 - 1),
        log=st.integers(-128, 127),
        sdo=st.integers(0, 15),
    ),
    st.builds(
        lambda mode, **more: udp4(123, ntp(mode, **more)),
        st.integers(0, 7),
        origin=st.integers(0, 2),
        receive=st.integers(0, 2),
        transmit=st.integers(0, 2),
        stratum=st.integers(0, 255),
        leap=st.integers(0, 3),
        poll=st.integers(-128, 127),
    ),
)


@given(st.lists(st.tuples(st.one_of(st.none(), st.integers(0, 2**64)), FRAME, st.integers(0, 9)), max_size=40))
def test_no_sequence_of_frames_crashes_the_observer(frames: list[tuple[int | None, bytes, int]]) -> None:
    observed([(at_ns, 1, data, len(data) + more) for at_ns, data, more in frames])


@pytest.mark.parametrize("seed", range(3))
def test_mutated_frames_of_real_stacks_do_not_crash_the_observer(seed: int) -> None:
    assert fuzz_capture(3000, seed).read > 500


def test_frames_out_of_order_and_twice_do_not_crash_the_observer() -> None:
    rng = random.Random(5)
    frames = kept_frames() * 2
    rng.shuffle(frames)
    observed([(at_ns, 1, vlan(data, 5) if rng.random() < 0.1 else data, len(data) + 4) for at_ns, data in frames])


def files() -> list[bytes]:
    """A good pcap, nanoseconds, and a good pcapng."""
    script = Script()
    script.turns(3)
    plain = struct.pack("<IHHiIII", 0xA1B23C4D, 2, 4, 0, 0, 65535, 1)
    for at_ns, frame in script.frames:
        plain += struct.pack("<IIII", at_ns // 10**9, at_ns % 10**9, len(frame), len(frame)) + frame

    def block(kind: int, body: bytes) -> bytes:
        body += bytes(-len(body) % 4)
        return struct.pack("<II", kind, 12 + len(body)) + body + struct.pack("<I", 12 + len(body))

    new = block(0x0A0D0D0A, struct.pack("<IHHq", 0x1A2B3C4D, 1, 0, -1))
    new += block(1, struct.pack("<HHIHHB3xHH", 1, 0, 65535, 9, 1, 9, 0, 0))
    for at_ns, frame in script.frames:
        new += block(6, struct.pack("<IIIII", 0, at_ns >> 32, at_ns & 0xFFFFFFFF, len(frame), len(frame)) + frame)
    return [plain, new]


def read_all(path: Path) -> None:
    from timesync.errors import DataError
    from timesync.plugin import load_capture

    try:
        frames = load_capture().open_file(str(path))
    except DataError:
        return
    observer = Observer()
    for frame in frames:
        if frame is not None:
            observer.take(*frame)
    frames.close()
    observer.report("file")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    pytest.importorskip("scapy", reason="the extra 'capture' is not installed: make test installs it")
    from timesync.plugin import UnknownProbeKindError, load_capture

    try:
        load_capture()
    except UnknownProbeKindError as absent:
        pytest.skip(f"{absent} (make test does)")
    return tmp_path_factory.mktemp("files")


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.integers(0, 1), st.lists(st.tuples(st.integers(0, 4000), st.integers(0, 255)), max_size=8), st.integers(0, 4000)
)
def test_no_mutation_of_a_file_crashes_its_reading(
    folder: Path, which: int, changes: list[tuple[int, int]], cut: int
) -> None:
    data = bytearray(files()[which])
    for at, value in changes:
        data[at % len(data)] = value
    path = folder / "mutated"
    path.write_bytes(data[: len(data) - cut] if cut % 3 == 0 else data)
    read_all(path)


@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(
    st.sampled_from([b"", b"\xd4\xc3\xb2\xa1", b"\xa1\xb2\x3c\x4d", b"\x0a\x0d\x0d\x0a", b"\x1f\x8b\x08\x00"]),
    st.binary(max_size=300),
)
def test_no_octets_of_a_file_crash_its_reading(folder: Path, magic: bytes, rest: bytes) -> None:
    path = folder / "noise"
    path.write_bytes(magic + rest)
    read_all(path)


def test_a_capture_may_be_as_long_as_it_likes() -> None:
    """What an observer holds is bounded: of 10,000 frames (1.3 MB with their times) it keeps less than a third."""
    import tracemalloc

    tracemalloc.start()
    observer = Observer()
    script = Script()
    for _ in range(2000):
        script.turn()
        for at_ns, frame in script.frames:
            observer.take(at_ns, 1, frame)
        script.frames.clear()
    size, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert observer.frames == 10_000
    assert size < 400_000
