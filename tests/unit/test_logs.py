"""Log lines: readable by a machine or by a person, one event a line, and never a secret."""

from __future__ import annotations

import io
import json
import logging
import math
import os
import warnings
from pathlib import Path

import pytest

from timesync.logs import JsonFormatter, TextFormatter, set_up
from timesync.reasons import Reason
from timesync.settings import LogSettings

CREATED_S = 1_790_000_000.123456


@pytest.fixture
def restored():
    """The root logger as it was."""
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level
    yield
    for handler in [known for known in root.handlers if known not in handlers]:
        root.removeHandler(handler)
    root.setLevel(level)
    logging.captureWarnings(capture=False)


def entry(message: str = "target added", *arguments: object, level: int = logging.INFO, **extra: object):
    record = logging.LogRecord("timesync.daemon", level, __file__, 1, message, arguments, None)
    record.created = CREATED_S
    vars(record).update(extra)
    return record


def failed(error: Exception) -> logging.LogRecord:
    """An entry with the traceback of this error."""

    def fail() -> None:
        raise error

    record = entry("it failed")
    try:
        fail()
    except type(error) as caught:
        record.exc_info = (type(caught), caught, caught.__traceback__)
    return record


def as_json(record: logging.LogRecord) -> dict[str, object]:
    line = JsonFormatter().format(record)
    assert "\n" not in line
    return json.loads(line)


def test_a_json_line_has_the_instant_the_event_and_its_facts():
    assert as_json(entry("added %s", "ntp1", target="ntp1", interval_s=16.0, burst=None)) == {
        "time": "2026-09-21T14:13:20.123456Z",
        "level": "info",
        "logger": "timesync.daemon",
        "message": "added ntp1",
        "target": "ntp1",
        "interval_s": 16.0,
        "burst": None,
    }


@pytest.mark.parametrize(
    ("value", "shown"),
    [
        (Path("/var/lib"), "/var/lib"),
        (Reason.TIMEOUT, "timeout"),
        (math.nan, "nan"),
        (math.inf, "inf"),
        ({"a": (1, 2)}, {"a": [1, 2]}),
        (b"\xff", "b'\\xff'"),
        ("\udc80", "\udc80"),
    ],
    ids=repr,
)
def test_any_value_becomes_strict_json(value, shown):
    line = JsonFormatter().format(entry(fact=value))
    assert json.loads(line, parse_constant=pytest.fail)["fact"] == shown


def test_a_fact_does_not_overwrite_the_line_itself():
    line = as_json(entry(level_="x", time="noon", logger="other"))
    assert line["time"] == "2026-09-21T14:13:20.123456Z"
    assert line["time_"] == "noon"
    assert line["logger_"] == "other"


def test_an_exception_is_one_field_of_the_line():
    assert "ValueError: broken\nin two" in str(as_json(failed(ValueError("broken\nin two")))["exception"])


SECRET = "s3cr3t-Value"


@pytest.mark.parametrize(
    ("message", "extra"),
    [
        ("x", {"token": SECRET}),
        ("x", {"influx_token": SECRET}),
        ("x", {"Authorization": f"Token {SECRET}"}),
        ("x", {"password": SECRET}),
        ("x", {"private_key": SECRET}),
        ("x", {"options": {"api-key": SECRET, "nested": {"passphrase": SECRET}}}),
        (f"GET https://user:{SECRET}@db.example/write", {}),
        (f"header Authorization: Bearer {SECRET}", {}),
        ("x", {"url": f"http://db.example/write?db=x&u=me&p={SECRET}&precision=ns"}),
        ("x", {"list": [f"Token {SECRET}"]}),
    ],
)
@pytest.mark.parametrize("formatter", [JsonFormatter(), TextFormatter()], ids=["json", "text"])
def test_a_secret_is_not_logged(formatter, message, extra):
    line = formatter.format(entry(message, **extra))
    assert SECRET not in line
    assert "[hidden]" in line


def test_a_secret_in_an_exception_is_not_logged():
    record = failed(OSError(f"cannot reach https://me:{SECRET}@db.example/"))
    for formatter in (JsonFormatter(), TextFormatter()):
        line = formatter.format(record)
        assert SECRET not in line
        assert "https://[hidden]@db.example/" in line


@pytest.mark.parametrize("fact", ["token_file", "key_id", "keys_file", "tokens_left"])
def test_what_only_sounds_like_a_secret_is_logged(fact):
    assert as_json(entry(**{fact: "visible"}))[fact] == "visible"


def test_a_text_line_is_for_people():
    line = TextFormatter().format(
        entry("no reply", level=logging.WARNING, target="ntp 1", offset_s=1.5e-6, n=3, off=None)
    )
    assert line == (
        '2026-09-21T14:13:20.123Z warning timesync.daemon: no reply  target="ntp 1"  offset_s=1.5e-06  n=3  off=null'
    )


@pytest.mark.parametrize("nasty", ["two\nlines", "\x1b[2Jgone", "\rover", "bell\x07", "\u202eright to left", "\x9b31m"])
def test_text_from_outside_cannot_steer_a_terminal_or_forge_a_line(nasty):
    line = TextFormatter().format(entry(nasty, detail=nasty))
    assert line.isprintable()
    assert "\\" in line


def test_a_traceback_for_people_has_its_lines_and_no_other_control_characters():
    lines = TextFormatter().format(failed(ValueError("\x1b[31mred"))).splitlines()
    assert len(lines) > 2
    assert all(line.isprintable() for line in lines)


class Terminal(io.StringIO):
    """A stream that says that it is a terminal."""

    def isatty(self) -> bool:
        return True


@pytest.mark.parametrize(
    ("wanted", "stream", "environ", "begins"),
    [
        ("auto", io.StringIO, {}, "{"),
        ("auto", Terminal, {"NO_COLOR": "1"}, "20"),
        ("auto", Terminal, {"TERM": "dumb"}, "20"),
        ("auto", Terminal, {"TERM": "xterm"}, "\x1b["),
        ("json", Terminal, {}, "{"),
        ("text", io.StringIO, {"TERM": "xterm"}, "20"),
    ],
)
def test_auto_is_text_on_a_terminal_and_json_elsewhere(restored, wanted, stream, environ, begins):
    target = stream()
    set_up(LogSettings(format=wanted), stream=target, environ=environ)
    logging.getLogger("timesync.test").warning("hello")
    assert target.getvalue().startswith(begins)


@pytest.mark.parametrize(
    ("level", "priority"), [("debug", 7), ("info", 6), ("warning", 4), ("error", 3), ("critical", 2)]
)
def test_the_journal_gets_the_priority_that_journald_reads(restored, tmp_path, level, priority):
    # sd-daemon(3): SD_DEBUG "<7>", SD_INFO "<6>", SD_WARNING "<4>", SD_ERR "<3>", SD_CRIT "<2>".
    with (tmp_path / "journal").open("w+") as stream:
        status = os.fstat(stream.fileno())
        journal = {"JOURNAL_STREAM": f"{status.st_dev}:{status.st_ino}"}
        set_up(LogSettings(level="debug"), stream=stream, environ=journal)
        logging.getLogger("timesync.test").log(logging.getLevelNamesMapping()[level.upper()], "hello")
        stream.seek(0)
        line = stream.read()
    assert line.startswith(f"<{priority}>{{")
    assert json.loads(line[3:])["message"] == "hello"


def test_a_stream_that_is_not_the_journals_gets_no_priority(restored, tmp_path):
    with (tmp_path / "file").open("w+") as stream:
        set_up(LogSettings(), stream=stream, environ={"JOURNAL_STREAM": "1:1"})
        logging.getLogger("timesync.test").info("hello")
        stream.seek(0)
        assert stream.read().startswith("{")


def test_setting_up_again_takes_the_place_of_the_first(restored):
    first, second = io.StringIO(), io.StringIO()
    before = len(logging.getLogger().handlers)
    set_up(LogSettings(level="debug"), stream=first, environ={})
    set_up(LogSettings(level="warning"), stream=second, environ={})
    logging.getLogger("timesync.test").info("not wanted")
    logging.getLogger("timesync.test").warning("wanted")
    assert first.getvalue() == ""
    assert [json.loads(line)["message"] for line in second.getvalue().splitlines()] == ["wanted"]
    assert len(logging.getLogger().handlers) == before + 1


def test_warnings_of_libraries_are_logged(restored):
    stream = io.StringIO()
    with warnings.catch_warnings():
        warnings.simplefilter("always")
        set_up(LogSettings(), stream=stream, environ={})
        warnings.warn("something is old", DeprecationWarning, stacklevel=1)
    assert "something is old" in json.loads(stream.getvalue())["message"]
