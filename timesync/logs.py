"""Structured logs with the standard library: JSON lines for machines, one readable line for people.

Rule: a line is one event, with its facts as fields (`log.info("target added", extra={"target": name})`) and not melted into
prose. Text that came from outside cannot break a line or steer a terminal. Secrets are not logged: a field whose name
says that it is one, and credentials in URLs and headers, are blotted out wherever they stand.
Sources: systemd.exec(5), JOURNAL_STREAM; sd-daemon(3) for the priority prefix; RFC 3339 for instants; no-color.org.
"""

from __future__ import annotations

import json
import logging
import math
import os
import re
import sys
from collections.abc import Mapping
from datetime import UTC, datetime
from typing import TYPE_CHECKING, TextIO

if TYPE_CHECKING:
    from timesync.settings import LogSettings

__all__ = ["LEVELS", "JsonFormatter", "TextFormatter", "set_up"]

LEVELS: Mapping[str, int] = {
    "debug": logging.DEBUG,
    "info": logging.INFO,
    "warning": logging.WARNING,
    "error": logging.ERROR,
}

BLOT = "[hidden]"

_SECRET_NAME = re.compile(
    r"(^|[_.-])(password|passphrase|passwd|secret|token|authorization|cookie|credential|key)s?$", re.IGNORECASE
)
_SECRET_TEXT = (
    (re.compile(r"(?<=://)[^/\s@]+@"), f"{BLOT}@"),  # user:password@ in a URL
    (re.compile(r"\b(Bearer|Token|Basic)\s+[\w+/=.~-]{8,}", re.IGNORECASE), rf"\1 {BLOT}"),  # RFC 9110, 11.6.2
    (re.compile(r"\b((?:password|passwd|secret|token|p|api_key)=)[^&\s\"']+", re.IGNORECASE), rf"\1{BLOT}"),
)
# Everything that a LogRecord has of its own; the rest was given as `extra`.
_OF_THE_RECORD = frozenset(vars(logging.makeLogRecord({}))) | {"message", "asctime", "taskName"}
_OF_THE_LINE = frozenset({"time", "level", "logger", "message", "exception"})
_CONTROL = re.compile(r"[\x00-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069]")
_NEEDS_QUOTES = re.compile(r"[\s\"'=]")

# sd-daemon(3): the number in front of a line that journald takes as its priority.
_PRIORITIES: Mapping[int, int] = {logging.CRITICAL: 2, logging.ERROR: 3, logging.WARNING: 4, logging.INFO: 6}
_COLOURS: Mapping[int, str] = {
    logging.CRITICAL: "\x1b[1;31m",
    logging.ERROR: "\x1b[31m",
    logging.WARNING: "\x1b[33m",
    logging.DEBUG: "\x1b[2m",
}


def _hide(text: str) -> str:
    for pattern, blot in _SECRET_TEXT:
        text = pattern.sub(blot, text)
    return text


def _plain(value: object, name: str = "") -> object:
    """A value as JSON knows it, without secrets. Not-finite numbers and other objects become text."""
    if _SECRET_NAME.search(name):
        return BLOT
    if value is None or isinstance(value, bool | int):
        return value
    if isinstance(value, float) and math.isfinite(value):
        return value
    if isinstance(value, Mapping):
        return {str(key): _plain(inner, str(key)) for key, inner in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        return [_plain(inner) for inner in value]
    return _hide(str(value))


def _fields(record: logging.LogRecord) -> dict[str, object]:
    """What was given as `extra`. A name that the line uses itself gets an underscore."""
    given = {name: value for name, value in vars(record).items() if name not in _OF_THE_RECORD}
    return {f"{name}_" if name in _OF_THE_LINE else name: _plain(value, name) for name, value in given.items()}


def _exception(formatter: logging.Formatter, record: logging.LogRecord) -> str:
    return _hide(formatter.formatException(record.exc_info)) if record.exc_info else ""


def _instant(record: logging.LogRecord, timespec: str) -> str:
    instant = datetime.fromtimestamp(record.created, tz=UTC)
    return instant.isoformat(timespec=timespec).replace("+00:00", "Z")


class JsonFormatter(logging.Formatter):
    """One JSON object a line: time (RFC 3339, UTC), level, logger, message, the fields, exception."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        line: dict[str, object] = {
            "time": _instant(record, "microseconds"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "message": _hide(record.getMessage()),
            **_fields(record),
        }
        if exception := _exception(self, record):
            line["exception"] = exception
        return json.dumps(line, ensure_ascii=True, allow_nan=False)


class JournalFormatter(JsonFormatter):
    """The same with the priority in front, which journald takes off again."""

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        return f"<{_PRIORITIES.get(record.levelno, 7)}>{super().format(record)}"


class TextFormatter(logging.Formatter):
    """One line for people: time (UTC), level, logger, message, name=value; then an exception on lines of its own."""

    def __init__(self, colours: Mapping[int, str] | None = None) -> None:
        super().__init__()
        self._colours = colours or {}

    def format(self, record: logging.LogRecord) -> str:
        """The line, without its end."""
        head = f"{_instant(record, 'milliseconds')} {record.levelname.lower():7} {record.name}: "
        facts = "".join(f"  {name}={_shown(value)}" for name, value in _fields(record).items())
        line = head + _visible(_hide(record.getMessage()) + facts)
        if exception := _exception(self, record):
            # Line ends of a traceback are wanted, other control characters are not.
            line = "\n".join([line, *(f"    {_visible(part)}" for part in exception.splitlines())])
        colour = self._colours.get(record.levelno)
        return f"{colour}{line}\x1b[0m" if colour else line


def _shown(value: object) -> str:
    if isinstance(value, float):
        return f"{value:.9g}"
    text = value if isinstance(value, str) else json.dumps(value)
    return json.dumps(text, ensure_ascii=False) if isinstance(value, str) and _NEEDS_QUOTES.search(text) else text


def _visible(text: str) -> str:
    """Control characters and those that reorder text, written as escapes."""
    return _CONTROL.sub(lambda found: found[0].encode("unicode_escape").decode("ascii"), text)


def _goes_to_journal(stream: TextIO, environ: Mapping[str, str]) -> bool:
    """Whether this very stream is connected to the journal, by the device and inode that systemd tells."""
    try:
        status = os.fstat(stream.fileno())
    except (OSError, ValueError):  # not a file
        return False
    return environ.get("JOURNAL_STREAM") == f"{status.st_dev}:{status.st_ino}"


def _formatter(wanted: str, stream: TextIO, environ: Mapping[str, str]) -> logging.Formatter:
    terminal = stream.isatty()
    if wanted == "text" or (wanted == "auto" and terminal):
        coloured = terminal and not environ.get("NO_COLOR") and environ.get("TERM") != "dumb"
        return TextFormatter(_COLOURS if coloured else None)
    return JournalFormatter() if _goes_to_journal(stream, environ) else JsonFormatter()


class _Handler(logging.StreamHandler[TextIO]):
    """Ours, so that setting up again replaces it and leaves others alone."""


def set_up(
    settings: LogSettings, *, stream: TextIO | None = None, environ: Mapping[str, str] = os.environ
) -> logging.Handler:
    """Log everything of this process to `stream` (standard error by default) as the settings say; returns the handler.

    May be called again, at a reload: the new settings take the place of the old.
    """
    target = sys.stderr if stream is None else stream
    handler = _Handler(target)
    handler.setFormatter(_formatter(settings.format, target, environ))
    root = logging.getLogger()
    for old in [known for known in root.handlers if isinstance(known, _Handler)]:
        root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(LEVELS[settings.level])
    logging.captureWarnings(capture=True)
    # asyncio tells at debug level which selector it uses, and influxdb-client's HTTP layer each request with its headers.
    for chatty in ("asyncio", "aiohttp.access", "urllib3", "Rx"):
        logging.getLogger(chatty).setLevel(max(logging.INFO, LEVELS[settings.level]))
    return handler
