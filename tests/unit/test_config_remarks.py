"""What a good configuration is worth remarking on: what will follow from it, and when."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.configuration import LEAST, put_secrets, read
from support.fake_kind import install_fake_kinds

from timesync.config import remarks

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture(autouse=True)
def _fake_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake_kinds(monkeypatch)


def notes(text: str, now_ns: int = 0) -> list[str]:
    return [str(remark) for remark in remarks(read(text), now_ns)]


TIED = f"{LEAST}realises = 'UTC(NIM)'\ntie_bound_s = 1e-6\ntie_u_s = 0\ntie_valid_until = 2027-06-30\n"


@pytest.mark.parametrize(
    ("text", "note"),
    [
        (LEAST, "[[target]]: no reference for ntp1: offsets of this machine's clock, without a UTC(k) claim"),
        (
            f"{TIED}interval_s = 1\n".replace("192.0.2.1", "ntp.example"),
            "[[target]]: ntp1: asked more often than every 16 s; do so only where",
        ),
        (f"{TIED}[[target]]\nname = 'b'\naddress = '192.0.2.1'\n", "[[target]]: ntp1, b have one address and the same"),
        (f"{TIED}interval_s = 40\n", '[[target]] "ntp1": one lost reply makes this reference stale (max_age_s is 64)'),
        (f"{TIED}[history]\nenabled = false\n", "[history]: neither a history nor a database"),
        (
            f"{TIED}[[influxdb]]\nname = 'c'\nurl = 'https://h'\nbucket = 'b'\nverify_tls = false\n",
            '[[influxdb]] "c": the server\'s certificate is not checked',
        ),
    ],
)
def test_what_is_allowed_and_worth_a_thought_is_remarked(text: str, note: str) -> None:
    assert any(found.startswith(note) for found in notes(text)), notes(text)


def test_token_over_plain_http_is_remarked_unless_it_stays_on_the_machine(tmp_path: Path) -> None:
    put_secrets(tmp_path)

    def remark_count(host: str) -> int:
        sink = f"[[influxdb]]\nname = 'c'\nurl = 'http://{host}:8086'\nbucket = 'b'\ntoken_file = 'good.secret'\n"
        settings = read(TIED + sink, tmp_path)
        return sum("readable on the way" in remark.text for remark in remarks(settings, 0))

    assert [remark_count(host) for host in ("influx.example", "127.0.0.1", "[::1]", "localhost")] == [1, 0, 0, 0]


def test_spool_that_holds_less_than_a_day_is_remarked_with_its_hours() -> None:
    # 10 records a second of 2.2 kB are 79.2 MB an hour.
    often = f"{TIED}interval_s = 1\nburst = 10\nburst_spacing_s = 0.05\ntimeout_s = 0.3\n[spool]\nmax_bytes = "
    note = "[spool]: max_bytes holds the records of 10 hours (10 a second)"
    assert any(found.startswith(note) for found in notes(f"{often}792_000_000\n")), notes(f"{often}792_000_000\n")
    assert not any("[spool]" in found for found in notes(f"{often}1_901_000_000\n"))


def test_tie_that_has_ended_is_remarked_from_its_instant_on() -> None:
    end = 21000 * 86400 * 10**9
    ended = '[[target]] "ntp1": its tie to UTC(NIM) ended 0 days ago: no claim is made until it is renewed'
    assert notes(TIED, end - 1) == []
    assert notes(TIED, end) == [ended]


@pytest.mark.parametrize("address", ["127.0.0.1:1123", "[::1]:1123", "localhost", "10.20.0.10", "fd00::1"])
def test_server_of_the_site_itself_may_be_asked_often_without_remark(address: str) -> None:
    assert notes(f"{TIED}interval_s = 0.1\n".replace("192.0.2.1", address)) == []
