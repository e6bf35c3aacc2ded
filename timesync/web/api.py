"""The JSON API of the page, below /api/v1, and the page itself.

Rule: read-only; each answer is bounded, each wrong parameter is told with its remedy; what is now comes from the probe's memory,
what was from the history by `Reader`, so that no question disturbs the measuring. The routes stand in `openapi.ROUTES`.
"""

from __future__ import annotations

import asyncio
import contextlib
import csv
import io
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import orjson
from aiohttp import web

from timesync import __version__
from timesync.errors import StoreError
from timesync.store.local import COLUMNS, Selection
from timesync.store.window import Window, newest, newest_of_each, window
from timesync.web import alerts, facts, runbooks
from timesync.web.assets import Assets
from timesync.web.live import MOST_LISTENERS, Hub, TooManyError
from timesync.web.openapi import PREFIX, ROUTES, describe
from timesync.web.reading import BusyError, Reader
from timesync.web.server import Page
from timesync.web.trace import HEADS, chosen, trace

if TYPE_CHECKING:
    from collections.abc import Awaitable, Callable, Mapping, Sequence
    from pathlib import Path

    from timesync.holdover_service import HoldoverService
    from timesync.model import Record
    from timesync.pipeline import TargetState
    from timesync.plugin import Demonstration
    from timesync.settings import SiteSettings

__all__ = ["StatusPage"]

NS = 1_000_000_000
DEFAULT_LAST_S = 3600.0
DEFAULT_POINTS = 600
DEFAULT_EVENTS = 200
DEFAULT_COMPARED = 24  # as many as the page has room for
MOST_ENDED = 100
ORDER = ("firing", "pending", "resolved")
COMPRESS_ABOVE = 2048
LIVE_RECORDS = "event"


@dataclass(frozen=True, slots=True)
class _Range:
    start_ns: int
    end_ns: int


class _WrongError(Exception):
    """A parameter that cannot be used, in words."""


class StatusPage:
    """All handlers. `states` gives the targets as they are now, `path` is the history's file (None: none is kept), `board` has the
    alerts, `holdover` gives what watches for holdovers (None: nothing does).
    """

    def __init__(
        self,
        site: SiteSettings,
        states: Callable[[], Mapping[str, TargetState]],
        path: Path | None,
        *,
        board: alerts.AlertBoard | None = None,
        holdover: Callable[[], HoldoverService | None] = lambda: None,
        demonstration: Demonstration | None = None,
        clock_ns: Callable[[], int] = time.time_ns,
    ) -> None:
        """Nothing is opened or started."""
        self._holdover = holdover
        self._board = board or alerts.AlertBoard(lambda: None)
        self._site = site
        self._states = states
        self._reader = Reader(path) if path is not None else None
        self._demonstration = demonstration
        self._clock_ns = clock_ns
        self._assets = Assets()
        self._masks: list[dict[str, Any]] | None = None
        self.hub = Hub({"targets": self._now, "alerts": self._board.now}, clock_ns)

    def pages(self) -> Sequence[Page]:
        """What the web server serves of it."""
        return (
            Page("/", "", self._assets.index),
            Page("/runbooks", "", runbooks.show),
            Page("/static/{name:[a-zA-Z0-9/._-]+}", "", self._assets.file),
            *(
                Page(PREFIX + route.path, "", self._guarded(getattr(self, f"_show_{route.handler}")))
                for route in ROUTES
            ),
        )

    def observe(self, records: Sequence[Record]) -> None:
        """Tell the pages that are open of the events among these records."""
        if self.hub.listeners:
            for record in records:
                if record.measurement == LIVE_RECORDS:
                    self.hub.tell("event", facts.event(record))

    async def close(self) -> None:
        """End the streams and the reading."""
        await self.hub.close()
        if self._reader is not None:
            self._reader.close()

    def _now(self) -> dict[str, Any]:
        now_ns = self._clock_ns()
        return {name: facts.target(name, state, self._demonstration, now_ns) for name, state in self._states().items()}

    # --- handlers --------------------------------------------------------------------------------------------------

    def _guarded(
        self, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
    ) -> Callable[[web.Request], Awaitable[web.StreamResponse]]:
        async def guarded(request: web.Request) -> web.StreamResponse:
            try:
                return await handler(request)
            except _WrongError as error:
                return _problem(400, str(error))
            except LookupError as error:
                return _problem(404, str(error.args[0]))
            except BusyError as error:
                return _problem(503, str(error))
            except StoreError as error:
                return _problem(500, str(error))

        return guarded

    async def _show_site(self, _request: web.Request) -> web.Response:
        oldest_ns = await self._reader.ask(lambda history: history.oldest_ns(), empty=None) if self._reader else None
        site = self._site
        return _json(
            {
                "site": site.name,
                "probe": site.probe,
                "latitude": site.latitude,
                "longitude": site.longitude,
                "version": __version__,
                "now_ns": self._clock_ns(),
                "simulated": self._demonstration is not None,
                "history": self._reader is not None,
                "oldest_ns": oldest_ns,
            }
        )

    async def _show_targets(self, request: web.Request) -> web.Response:
        rows = list(self._now().values())
        if _wants_csv(request):
            heads = [name for name in rows[0] if name not in {"losses", "trouble"}] if rows else ["target"]
            return _csv("targets", heads, ([row[head] for head in heads] for row in rows))
        return _json({"targets": rows})

    async def _show_comparison(self, request: web.Request) -> web.Response:
        limit = _whole(request, "limit", DEFAULT_COMPARED, 1, 100)
        targets, now_ns = list(self._now().values())[:limit], self._clock_ns()

        def answer() -> web.Response:
            rows = list(facts.pairs(targets, now_ns))
            if _wants_csv(request):
                return _csv("comparison", facts.PAIR_HEADS, ([row[head] for head in facts.PAIR_HEADS] for row in rows))
            return _json({"pairs": rows})

        return await asyncio.to_thread(answer)  # a hundred targets make ten thousand pairs: some 50 ms

    async def _show_series(self, request: web.Request) -> web.Response:
        name, asked = self._target(request), self._range(request)
        points = _whole(request, "points", DEFAULT_POINTS, 1, 2000)
        selection = Selection("time_error", name, asked.start_ns, asked.end_ns)
        empty = Window([], [], 0, thinned=False)
        found = await self._read(lambda history: window(history, selection, points), empty)
        if _wants_csv(request):
            return _csv(f"{name}", ("at_ns", *COLUMNS), found.rows)
        columns = list(zip(*found.rows, strict=True)) or [()] * (1 + len(COLUMNS))
        parts = found.parts
        return _json(
            {
                "target": name,
                "start_ns": asked.start_ns,
                "end_ns": asked.end_ns,
                "records": found.records,
                "thinned": found.thinned,
                "columns": dict(zip(("at_ns", *COLUMNS), columns, strict=True)),
                "parts": {
                    field: [getattr(part, field) for part in parts]
                    for field in ("start_ns", "end_ns", "records", "measured", "claimed")
                },
            }
        )

    async def _show_events(self, request: web.Request) -> web.Response:
        asked = self._range(request, last_s=None)
        name = self._target(request) if "target" in request.query else None
        limit = _whole(request, "limit", DEFAULT_EVENTS, 1, 1000)
        selection = Selection("event", name, asked.start_ns, asked.end_ns)
        nothing: list[Record] = []
        found = await self._read(lambda history: newest(history, selection, limit), nothing)
        rows = [facts.event(record) for record in found]
        if _wants_csv(request):
            heads = ("at_ns", "kind", "severity", "target", "text")
            return _csv("events", heads, ([row[head] for head in heads] for row in rows))
        return _json({"events": rows})

    async def _show_alerts(self, request: web.Request) -> web.Response:
        name = self._target(request) if "target" in request.query else None
        start_ns = self._clock_ns() - int(alerts.ENDED_WITHIN_S * NS)
        nothing: list[Record] = []
        if self._reader is not None:
            past = Selection("event", name, start_ns)
            tagged = {"kind": "alert_resolved"}
            nothing = await self._reader.ask(lambda history: newest(history, past, MOST_ENDED, tagged), empty=nothing)
        rows = {**{each["key"]: each for each in alerts.ended_before(nothing)}, **self._board.now()}
        found = [each for each in rows.values() if name is None or each["target"] == name]
        found.sort(key=lambda each: each["ended_ns"] or 0, reverse=True)
        found.sort(key=lambda each: ORDER.index(each["phase"]))
        if _wants_csv(request):
            heads = list(alerts.HEADS)
            return _csv("alerts", heads, ([row[head] for head in heads] for row in found))
        return _json({"enabled": self._board.enabled, "judged": self._board.judged, "alerts": found})

    async def _show_stability(self, request: web.Request) -> web.Response:
        name = self._target(request)
        nothing: list[Record] = []
        found = await self._read(lambda history: newest_of_each(history, Selection("stability", name)), nothing)
        found = facts.comparison(found)
        curves = facts.stability(found)
        if _wants_csv(request):
            columns = ("tau_s", "dev", "lo", "hi", "n", "alpha")
            rows = (
                [curve["statistic"], curve["unit"], *values]
                for curve in curves
                for values in zip(*(curve[column] for column in columns), strict=True)
            )
            return _csv(f"{name}-stability", ("statistic", "unit", *columns), rows)
        reference = found[0].tags.get("reference") if found else None
        return _json({"target": name, "reference": reference, "curves": curves})

    async def _show_holdover(self, request: web.Request) -> web.Response:
        name, asked = self._target(request), self._range(request)
        service = self._holdover()
        if service is None:
            raise LookupError(
                "no holdover is watched: [holdover] enabled = true, and few enough targets, has it watched"
            )
        from timesync.web import holdover  # noqa: PLC0415 - numpy takes 30 MB, and is there where holdover is watched

        past = holdover.Past()
        if self._reader is not None:
            past = await self._reader.ask(
                lambda history: holdover.read(history, name, asked.start_ns, asked.end_ns), empty=past
            )
        watch = service.watches.get(name)
        curve = None if watch is None else await asyncio.to_thread(holdover.curve, watch, service.settings.holdover)
        if _wants_csv(request):
            table = _choice(request, "table", holdover.TABLES)
            return _csv(f"{name}-{table}", *holdover.table(table, past, curve))
        return _json(holdover.answer(name, watch, past, curve))

    async def _show_masks(self, _request: web.Request) -> web.Response:
        if self._masks is None:
            from timesync.stability.mask_points import masks  # noqa: PLC0415 - numpy takes 30 MB, and few ask

            self._masks = masks()
        return _json({"masks": self._masks})

    async def _show_traceability(self, request: web.Request) -> web.Response:
        name = self._target(request)
        nothing: list[Record] = []
        found = await self._read(lambda history: newest(history, Selection("time_error", name), 20), nothing)
        account = trace(name, chosen(found))
        if _wants_csv(request):
            table = _choice(request, "table", list(HEADS))
            rows = ([row[head] for head in HEADS[table]] for row in account[table])
            return _csv(f"{name}-{table}", HEADS[table], rows)
        return _json(account)

    async def _show_openapi(self, _request: web.Request) -> web.Response:
        return _json(describe())

    async def _show_stream(self, request: web.Request) -> web.StreamResponse:
        if self.hub.listeners >= MOST_LISTENERS:
            return _problem(503, f"{MOST_LISTENERS} pages are open already: close one")
        response = web.StreamResponse(headers={"Content-Type": "text/event-stream", "X-Accel-Buffering": "no"})
        await response.prepare(request)
        with contextlib.suppress(ConnectionError, TooManyError):  # the page has gone, or it comes again
            await self.hub.serve(response)
        return response

    # --- what was asked ---------------------------------------------------------------------------------------------

    async def _read(self, question: Callable[[Any], Any], empty: Any) -> Any:
        if self._reader is None:
            raise LookupError("no history is kept here: [history] enabled = true keeps one")
        return await self._reader.ask(question, empty=empty)

    def _target(self, request: web.Request) -> str:
        name = request.query.get("target", "")
        if not name:
            raise _WrongError("target is missing: name one, as in ?target=ntp1; /api/v1/targets lists them")
        if name not in self._states():
            raise LookupError(f"there is no target {name[:80]!r}; /api/v1/targets lists them")
        return name

    def _range(self, request: web.Request, last_s: float | None = DEFAULT_LAST_S) -> _Range:
        end_ns = _whole(request, "end_ns", self._clock_ns() + NS, 0, 2**62)
        if "start_ns" in request.query:
            start_ns = _whole(request, "start_ns", 0, 0, 2**62)
        else:
            seconds = _number(request, "last_s", last_s)
            start_ns = max(0, end_ns - int(seconds * NS)) if seconds is not None else 0
        if start_ns >= end_ns:
            raise _WrongError("start_ns is not before end_ns: give an earlier one")
        return _Range(start_ns, end_ns)


def _whole(request: web.Request, name: str, default: int, low: int, high: int) -> int:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = int(text)
    except ValueError:
        raise _WrongError(f"{name}={text[:40]!r} is no whole number") from None
    if not low <= value <= high:
        raise _WrongError(f"{name}={text[:40]} is outside {low} to {high}")
    return value


def _choice(request: web.Request, name: str, choices: Sequence[str]) -> str:
    value = request.query.get(name, choices[0])
    if value not in choices:
        raise _WrongError(f"{name}={value[:40]!r}: write {', '.join(choices[:-1])} or {choices[-1]}")
    return value


def _number(request: web.Request, name: str, default: float | None) -> float | None:
    text = request.query.get(name)
    if text is None:
        return default
    try:
        value = float(text)
    except ValueError:
        raise _WrongError(f"{name}={text[:40]!r} is no number") from None
    if not 0.0 < value <= 4e9:
        raise _WrongError(f"{name}={text[:40]} is not between 0 and 4e9 s")
    return value


def _wants_csv(request: web.Request) -> bool:
    wanted = request.query.get("format", "json")
    if wanted not in {"json", "csv"}:
        raise _WrongError(f"format={wanted[:40]!r}: write json or csv")
    return wanted == "csv"


def _json(data: Any, status: int = 200) -> web.Response:
    body = orjson.dumps(data)
    response = web.Response(body=body, status=status, headers={"Content-Type": "application/json"})
    if len(body) > COMPRESS_ABOVE:
        response.enable_compression()
    return response


def _problem(status: int, text: str) -> web.Response:
    return _json({"error": text}, status)


def _csv(name: str, heads: Sequence[str], rows: Any) -> web.Response:
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\r\n")  # RFC 4180
    writer.writerow(heads)
    writer.writerows([_safe(cell) for cell in row] for row in rows)
    safe = "".join(letter if letter.isalnum() or letter in "-_." else "_" for letter in name)[:80]
    headers = {
        "Content-Type": "text/csv; charset=utf-8; header=present",
        "Content-Disposition": f'attachment; filename="{safe}.csv"',
    }
    response = web.Response(body=text.getvalue().encode(), headers=headers)
    response.enable_compression()
    return response


def _safe(cell: Any) -> Any:
    """A text that a spreadsheet would take for a formula is made a text (OWASP, "CSV Injection")."""
    if isinstance(cell, str) and cell[:1] in {"=", "+", "-", "@", "\t", "\r"}:
        return "'" + cell
    return cell
