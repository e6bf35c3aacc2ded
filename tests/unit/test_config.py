"""A configuration file to settings: what it says is what is set, and what is wrong with it is said at once."""

from __future__ import annotations

import dataclasses
from pathlib import Path

import pytest
from support.configuration import LEAST, problems, put_secrets, read
from support.fake_kind import FakeKind, install_fake_kinds

from timesync.config import load, parse
from timesync.config.keys import TABLES, find_key
from timesync.config.schema import Type
from timesync.config.wording import closest, printable, shown
from timesync.errors import ConfigError, Problem
from timesync.settings import (
    HistorySettings,
    HttpSettings,
    InfluxSettings,
    LogSettings,
    ProbeSettings,
    SiteSettings,
    SpoolSettings,
    TargetSettings,
    Tie,
)

BAD = Path(__file__).with_name("bad_configs")


@pytest.fixture(autouse=True)
def _fake_kinds(monkeypatch: pytest.MonkeyPatch) -> None:
    install_fake_kinds(monkeypatch)


@pytest.fixture
def folder_of_secrets(tmp_path: Path) -> Path:
    put_secrets(tmp_path)
    return tmp_path


@pytest.mark.parametrize("path", sorted(BAD.glob("*.toml")), ids=lambda path: path.stem)
def test_bad_configuration_gives_exactly_the_message_beside_it(path: Path, folder_of_secrets: Path) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(path.read_bytes(), path.name, folder_of_secrets, {})
    message = str(caught.value).replace(str(folder_of_secrets), "FOLDER")
    assert message + "\n" == path.with_suffix(".txt").read_text(encoding="utf-8")


def test_every_bad_configuration_has_its_message_and_no_message_is_left_over() -> None:
    assert {path.stem for path in BAD.glob("*.toml")} == {path.stem for path in BAD.glob("*.txt")}


def test_least_configuration_takes_every_default_of_the_settings() -> None:
    settings = read(LEAST)
    assert settings == ProbeSettings(
        site=SiteSettings("NIM", "probe-1"),
        targets=(TargetSettings("ntp1", "ntp", "192.0.2.1"),),
        spool=SpoolSettings(Path("/var/lib/timesync")),
        source="site.toml",
    )


@pytest.mark.parametrize(
    ("table", "settings"),
    [
        ("target", TargetSettings),
        ("spool", SpoolSettings),
        ("history", HistorySettings),
        ("influxdb", InfluxSettings),
        ("http", HttpSettings),
        ("log", LogSettings),
    ],
)
def test_defaults_of_the_table_of_keys_are_those_of_the_settings(table: str, settings: type) -> None:
    for field in dataclasses.fields(settings):
        if field.name in {"tie", "options", "path"} or field.default is dataclasses.MISSING:
            continue
        assert find_key(table, field.name).default == field.default, field.name


def test_scalar_defaults_of_the_table_of_keys_are_those_of_the_settings() -> None:
    homes = {
        "keys_file": ("keys", "file"),
        "leap_seconds_file": ("clock", "leap_seconds_file"),
        "reference_max_age_s": ("reference", "max_age_s"),
        "oscillator_ppm": ("clock", "oscillator_ppm"),
        "coverage_factor": ("uncertainty", "coverage_factor"),
        "resolve_again_s": ("names", "resolve_again_s"),
    }
    for field in dataclasses.fields(ProbeSettings):
        if field.name in homes:
            assert find_key(*homes[field.name]).default == field.default, field.name


def test_numeric_keys_have_limits_and_hold_their_own_default() -> None:
    for table in TABLES:
        for key in table.keys:
            if key.type in (Type.NUMBER, Type.INTEGER, Type.SIZE, Type.DAYS):
                assert key.low is not None, key.name
                assert key.high is not None, key.name
                assert key.default is None or key.low <= key.default <= key.high, key.name


FULL = """
[site]
name = "NIM"
probe = "probe-1"
latitude = 40.24
longitude = 116

[reference]
default = "utc-nim"
max_age_s = 120

[[target]]
name = "utc-nim"
address = "192.0.2.1:123"
interval_s = 4
burst = 4
burst_spacing_s = 0.5
realises = "UTC(NIM)"
tie_bound_s = 100e-9
tie_u_s = 20e-9
tie_valid_until = 2027-06-30
mode = "basic"

[[target]]
name = "ntp1"
kind = "counter"
address = "[2001:db8::1]:123"
timeout_s = 2
key = 7

[[target]]
name = "ntp2"
address = "192.0.2.2"
reference = "local"

[local_reference]
realises = "UTC(PTB)"
bound_s = 1e-6
u_s = 0
valid_until = "2027-06-30T12:00:00+02:00"

[keys]
file = "good.keys"
[clock]
oscillator_ppm = 2.5
leap_seconds_file = "leap-seconds.list"
[names]
resolve_again_s = 60
[uncertainty]
coverage_factor = 3
[spool]
directory = "spool"
max_bytes = "2 GB"
when_full = "drop_newest"
durability = "full"
[history]
enabled = false
retention_days = "forever"
[[influxdb]]
name = "central"
url = "https://influx.example:8086/"
organisation = "metrology"
bucket = "timesync"
token_file = "group.secret"
batch_size = 100
timeout_s = 5
gzip = false
verify_tls = false
ca_file = "file.txt"
[[influxdb]]
name = "old"
api = "v1"
url = "http://127.0.0.1:8086"
database = "timesync"
retention_policy = "year"
username = "probe"
password_file = "good.secret"
[http]
enabled = false
host = "::"
port = 0
[log]
level = "debug"
format = "json"
"""


@pytest.fixture
def full(folder_of_secrets: Path) -> ProbeSettings:
    return read(FULL, folder_of_secrets)


def test_full_configuration_s_targets_and_references_are_read_key_by_key(full: ProbeSettings) -> None:
    # 2027-06-30 is MJD 61586, Unix day 20999 (MJD - 40587); it counts to its end.
    tie = Tie("UTC(NIM)", 100e-9, 20e-9, 21000 * 86400 * 10**9)
    assert full.site == SiteSettings("NIM", "probe-1", 40.24, 116.0)
    assert full.targets == (
        TargetSettings("utc-nim", "ntp", "192.0.2.1:123", 4.0, 1.0, 4, 0.5, tie, None, {"mode": "basic"}),
        TargetSettings("ntp1", "counter", "[2001:db8::1]:123", timeout_s=2.0, reference="utc-nim", options={"key": 7}),
        TargetSettings("ntp2", "ntp", "192.0.2.2", reference="local"),
    )
    assert full.local_reference is not None
    assert full.local_reference.tie == Tie("UTC(PTB)", 1e-6, 0.0, (20999 * 86400 + 10 * 3600) * 10**9)


def test_full_configuration_s_tables_are_read_key_by_key(full: ProbeSettings, folder_of_secrets: Path) -> None:
    assert full.keys_file == folder_of_secrets / "good.keys"
    assert full.leap_seconds_file == folder_of_secrets / "leap-seconds.list"
    assert (full.reference_max_age_s, full.oscillator_ppm) == (120.0, 2.5)
    assert (full.coverage_factor, full.resolve_again_s) == (3.0, 60.0)
    assert full.spool == SpoolSettings(folder_of_secrets / "spool", 2_000_000_000, "drop_newest", "full")
    assert full.history == HistorySettings(enabled=False, retention_days=None)
    assert full.http == HttpSettings(enabled=False, host="::", port=0)
    assert full.log == LogSettings("debug", "json")


def test_full_configuration_s_databases_are_read_key_by_key(full: ProbeSettings, folder_of_secrets: Path) -> None:
    v2, v1 = full.influx
    assert v2 == InfluxSettings(
        "central",
        "https://influx.example:8086",
        organisation="metrology",
        bucket="timesync",
        token_file=folder_of_secrets / "group.secret",
        batch_size=100,
        timeout_s=5.0,
        gzip=False,
        verify_tls=False,
        ca_file=folder_of_secrets / "file.txt",
    )
    assert (v1.api, v1.database, v1.retention_policy, v1.username) == ("v1", "timesync", "year", "probe")


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("5_000_000", 5_000_000),
        ('"5000000"', 5_000_000),
        ('"2 GB"', 2_000_000_000),
        ('"2gb"', 2_000_000_000),
        ('"1.5 MiB"', 1_572_864),
        ('"1 TiB"', 1 << 40),
    ],
)
def test_size_is_a_number_of_bytes_or_text_with_its_unit(text: str, size: int) -> None:
    assert read(f"{LEAST}[spool]\nmax_bytes = {text}\n").spool.max_bytes == size


@pytest.mark.parametrize(
    ("text", "day", "second"),
    [
        ("2027-06-30", 21000, 0),
        ('"2027-06-30"', 21000, 0),
        ("2027-06-30T00:00:00Z", 20999, 0),
        ('"2027-06-30T12:00:00Z"', 20999, 43200),
        ("2027-06-30 12:00:00-01:00", 20999, 46800),
        ("1972-01-01T00:00:00Z", 730, 0),  # 1972-01-01 is MJD 41317, 730 days after the Unix epoch (MJD 40587)
    ],
)
def test_date_counts_to_its_end_and_instant_to_itself(text: str, day: int, second: int) -> None:
    settings = read(f"{LEAST}realises = 'UTC(NIM)'\ntie_bound_s = 1e-6\ntie_u_s = 0\ntie_valid_until = {text}\n")
    tie = settings.targets[0].tie
    assert tie is not None
    assert tie.valid_until_ns == (day * 86400 + second) * 10**9


def test_state_directory_of_systemd_is_the_default_place() -> None:
    settings = read(LEAST, environment={"STATE_DIRECTORY": "/run/state/timesync:/run/state/other"})
    assert settings.spool.directory == Path("/run/state/timesync")


def test_directory_in_the_file_goes_before_that_of_systemd() -> None:
    settings = read(f'{LEAST}[spool]\ndirectory = "/srv/spool"\n', environment={"STATE_DIRECTORY": "/run/state"})
    assert settings.spool.directory == Path("/srv/spool")


def test_credential_of_the_service_goes_before_the_file_beside_the_configuration(folder_of_secrets: Path) -> None:
    given = folder_of_secrets / "credentials"
    given.mkdir()
    (given / "influx.token").write_text("token\n")
    (given / "influx.token").chmod(0o440)  # as systemd hands it to a dynamic user
    text = f"{LEAST}[[influxdb]]\nname = 'a'\nurl = 'https://h'\nbucket = 'b'\ntoken_file = "
    environment = {"CREDENTIALS_DIRECTORY": str(given)}
    assert (
        read(f"{text}'influx.token'\n", folder_of_secrets, environment).influx[0].token_file == given / "influx.token"
    )
    beside = read(f"{text}'good.secret'\n", folder_of_secrets, environment).influx[0].token_file
    assert beside == folder_of_secrets / "good.secret"
    with pytest.raises(ConfigError, match="cannot be looked at"):
        read(f"{text}'{'n' * 300}'\n", folder_of_secrets, environment)


def test_timeout_that_is_not_given_shrinks_to_fit_the_turn() -> None:
    assert read(f"{LEAST}interval_s = 0.5\n").targets[0].timeout_s == 0.5
    assert read(f"{LEAST}interval_s = 2\nburst = 7\nburst_spacing_s = 0.25\n").targets[0].timeout_s == 0.5


TIE = "realises = 'UTC(NIM)'\ntie_bound_s = 1e-6\ntie_u_s = 0\n"
LOCAL = "[local_reference]\nrealises = 'UTC(NIM)'\nbound_s = 1e-6\nu_s = 0\n"
SECOND = "[[target]]\nname = 'ntp2'\naddress = 'b'\n"


@pytest.mark.parametrize(
    ("text", "references"),
    [
        (LEAST + SECOND, [None, None]),
        (LEAST + TIE + SECOND, [None, "ntp1"]),
        (LEAST + SECOND + TIE, ["ntp2", None]),
        (LEAST + SECOND + LOCAL, ["local", "local"]),
        (LEAST + TIE + SECOND + LOCAL, [None, "ntp1"]),
        (LEAST + TIE + SECOND + LOCAL + "[reference]\ndefault = 'local'\n", [None, "local"]),
        (LEAST + TIE + SECOND + "reference = 'local'\n" + LOCAL, [None, "local"]),
    ],
)
def test_target_is_compared_with_its_own_choice_then_the_default_then_the_first(
    text: str, references: list[str | None]
) -> None:
    assert [target.reference for target in read(text).targets] == references


def test_byte_order_mark_and_windows_line_ends_are_read() -> None:
    data = b"\xef\xbb\xbf" + LEAST.replace("\n", "\r\n").encode()
    assert parse(data, "site.toml", Path("/nowhere"), {}).site.name == "NIM"


@pytest.mark.parametrize(
    ("data", "message"),
    [
        (b"[site]\nname = \xff", "site.toml: line 2: it is not UTF-8. Save the file as UTF-8"),
        (
            b"a = " + b"[" * 5000,
            "site.toml: arrays or tables are nested too deeply. Nothing here needs more than one level",
        ),
    ],
)
def test_bytes_that_are_no_document_are_one_problem(data: bytes, message: str) -> None:
    with pytest.raises(ConfigError) as caught:
        parse(data, "site.toml", Path("/nowhere"), {})
    assert [str(problem) for problem in caught.value.problems] == [message]


def test_integer_of_thousands_of_digits_is_a_problem_in_decimal_and_in_hexadecimal() -> None:
    assert problems(f"{LEAST}interval_s = {'9' * 5000}\n")[0].startswith("site.toml: it cannot be read as TOML")
    above = "a number of 20000 bits s is above the most allowed, 86400 s"
    assert above in problems(f"{LEAST}interval_s = 0x{'f' * 5000}\n")[0]


def test_file_that_cannot_be_read_is_a_configuration_error(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="No such file or directory"):
        load(tmp_path / "absent.toml")


def test_load_resolves_paths_from_the_folder_of_the_file(tmp_path: Path) -> None:
    (tmp_path / "site.toml").write_text(f'{LEAST}[spool]\ndirectory = "spool"\n')
    assert load(tmp_path / "site.toml", {}).spool.directory == tmp_path / "spool"


def test_secret_in_a_wrong_place_is_never_shown() -> None:
    text = f"{LEAST}[[influxdb]]\nname = 'a'\nurl = 'https://u:TOPSECRET@h'\nbucket = 'b'\ntoken = 'TOPSECRET'\n"
    found = problems(text)
    assert len(found) == 2
    assert "TOPSECRET" not in "".join(found)


@pytest.mark.parametrize(
    "text",
    [
        "TOPSECRET",
        "1 SHA1 HEX:TOPSECRET",
        "TOPSECRET =",
        "a = TOPSECRET",
        "a = 1 TOPSECRET",
        "a = 'TOPSECRET",
        'a = "\\TOPSECRET"',
        "[TOPSECRET",
        "[TOPSECRET]\n[TOPSECRET]",
        "TOPSECRET = 1\nTOPSECRET.TOPSECRET = 2",
        "a = {TOPSECRET = 1, TOPSECRET = 2}",
        "a = {TOPSECRET = 1}\n[a.TOPSECRET]",
        "a.TOPSECRET = 1\n[a.TOPSECRET.b]",
        "\u0001TOPSECRET",
        "#TOPSECRET \u0001",
        "TOPSECRET = 2027-13-45",
    ],
)
def test_file_that_is_no_toml_is_told_by_its_place_and_never_by_its_text(text: str) -> None:
    (found,) = problems(f"# 1\n{text}\n")
    assert found.startswith("site.toml: line ")
    assert "column" in found
    assert "TOPSECRET" not in found.upper()


def test_kinds_are_looked_for_once_however_many_targets_there_are(monkeypatch: pytest.MonkeyPatch) -> None:
    from timesync import plugin

    asked: list[str] = []
    load_kind = plugin.load_kind
    monkeypatch.setattr("timesync.plugin.load_kind", lambda name: asked.append(name) or load_kind(name))
    read(LEAST + "".join(f"[[target]]\nname = 't{n}'\naddress = 'h'\n" for n in range(50)))
    assert asked == ["ntp"]


def test_kind_that_stumbles_over_an_option_is_a_problem_and_no_crash(monkeypatch: pytest.MonkeyPatch) -> None:
    def check(self: object, target: TargetSettings, where: str) -> list[Problem]:
        return [] if target.options["mode"] in {"auto", "basic"} else [Problem(where, "?", "?")]

    monkeypatch.setattr(FakeKind, "check", check)
    (problem,) = problems(f"{LEAST}mode = []\n")
    assert problem.startswith('site.toml: [[target]] 1 "ntp1": the probe kind "ntp" cannot check it (TypeError')


@pytest.mark.parametrize(
    ("word", "known", "meant"),
    [
        ("interval", ["interval_s", "timeout_s"], "interval_s"),
        ("Max-Bytes", ["max_bytes"], "max_bytes"),
        ("zzz", ["interval_s"], None),
        ("x" * 10_000, ["interval_s"], None),
    ],
)
def test_suggestion_is_the_known_word_that_is_nearest(word: str, known: list[str], meant: str | None) -> None:
    assert closest(word, known) == meant


def test_shown_text_cannot_move_the_cursor_and_stays_short() -> None:
    assert printable("a\x1b[2Jb\nc") == r"a\x1b[2Jb\nc"
    assert len(shown("x" * 1000)) < 70
