"""Masks and limits on time error: what they are, how a user writes his own, and the verdict on a measurement.

Rule: a verdict has three values. "fail": some measured value within the mask's range exceeds it. "pass": none does, and the
values reach over the whole range. "insufficient": none does, but they do not reach, and the reason says where. The
margin and the averaging time where it is worst belong to every verdict that has a value to give it.

The ITU-T masks themselves are in `mask_table`, each with source, edition and clause. A limit is a sum of terms
a + b tau^p, piece by piece in tau; a piece holds above its `from_s`, up to and with its `to_s`.
"""

from __future__ import annotations

import math
import tomllib
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

import numpy as np
from numpy.typing import NDArray

from timesync.errors import ConfigError, DataError, Problem

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["LEVELS", "STATISTICS", "Mask", "Piece", "Profile", "Verdict", "judge", "judge_level", "masks_from_toml"]

Floats = NDArray[np.float64]
Outcome: TypeAlias = Literal["pass", "fail", "insufficient"]

STATISTICS = ("mtie", "tdev")  # limits against tau
LEVELS = ("max_abs_te", "cte")  # single limits
_HALF_DECADE = 10.0**0.5  # neighbouring averaging times may lie this far apart and still count as covering
_SLACK = 1e-9  # relative; a tau on a boundary belongs to it however it was computed


@dataclass(frozen=True, slots=True)
class Piece:
    """limit(tau) = constant_s + slope_s * tau^power (s), for from_s < tau <= to_s (the first piece with its from_s)."""

    from_s: float
    to_s: float
    constant_s: float = 0.0
    slope_s: float = 0.0
    power: float = 1.0


@dataclass(frozen=True, slots=True)
class Mask:
    """A limit: on `statistic` ("mtie", "tdev") by pieces, or on a level ("max_abs_te", "cte") by one piece, tau unused."""

    name: str
    statistic: str
    source: str
    edition: str
    clause: str
    pieces: tuple[Piece, ...]

    @property
    def range_s(self) -> tuple[float, float]:
        """Averaging times it covers; the end may be infinite."""
        return self.pieces[0].from_s, self.pieces[-1].to_s

    def limit_s(self, tau_s: Floats) -> Floats:
        """The limit (s) at each averaging time, NaN outside the range."""
        tau = np.asarray(tau_s, dtype=float)
        limit = np.full(tau.shape, np.nan)
        for piece in reversed(self.pieces):  # on a boundary the earlier piece holds
            inside = (tau >= piece.from_s * (1.0 - _SLACK)) & (tau <= piece.to_s * (1.0 + _SLACK))
            limit[inside] = piece.constant_s + piece.slope_s * tau[inside] ** piece.power
        return limit


@dataclass(frozen=True, slots=True)
class Profile:
    """The masks that together make one conformance claim, for example G.8272 PRTC-B."""

    name: str
    title: str
    masks: tuple[Mask, ...]


@dataclass(frozen=True, slots=True)
class Verdict:
    """The outcome of one mask on one measurement.

    margin: limit over value at the worst tau, as a ratio (below 1: exceeded); NaN without a value in range.
    worst_tau_s: where that is (NaN for a level). value_s, limit_s: there. checked_s: the taus in range, from and to.
    reason: empty for "pass"; otherwise what failed or what is missing.
    """

    mask: str
    statistic: str
    outcome: Outcome
    margin: float
    worst_tau_s: float
    value_s: float
    limit_s: float
    checked_s: tuple[float, float]
    reason: str


def judge(mask: Mask, tau_s: Floats, value_s: Floats) -> Verdict:
    """Judge measured MTIE or TDEV (s) at averaging times tau_s (s, increasing) by a mask.

    The values reach over the range when the first lies at its beginning, neighbours are at most half a decade apart, and
    the last lies within half a decade of its end; an open last piece needs one value in it.
    Raises DataError for a level mask or arrays of unequal length.
    """
    if mask.statistic not in STATISTICS:
        raise DataError(f"mask {mask.name} limits {mask.statistic}, a single number: use judge_level")
    tau, value = np.asarray(tau_s, dtype=float), np.asarray(value_s, dtype=float)
    if tau.shape != value.shape:
        raise DataError(f"mask {mask.name}: {tau.size} averaging times and {value.size} values")
    limit = mask.limit_s(tau)
    known = np.isfinite(limit) & np.isfinite(value)
    tau, value, limit = tau[known], value[known], limit[known]
    first, last = mask.range_s
    if tau.size == 0:
        why = f"no value between {first:g} s and {last:g} s"
        return _without_value(mask, (math.nan, math.nan), why)
    with np.errstate(divide="ignore"):
        ratio = limit / value  # a value of zero has an infinite margin
    worst = int(np.argmin(ratio))
    facts = (
        float(ratio[worst]),
        float(tau[worst]),
        float(value[worst]),
        float(limit[worst]),
        (float(tau[0]), float(tau[-1])),
    )
    if np.any(value > limit):
        over = f"{mask.statistic} {value[worst]:.4g} s exceeds {limit[worst]:.4g} s at tau = {tau[worst]:g} s"
        return Verdict(mask.name, mask.statistic, "fail", *facts, over)
    missing = _uncovered(mask, tau)
    return Verdict(mask.name, mask.statistic, "insufficient" if missing else "pass", *facts, missing)


def _without_value(mask: Mask, checked_s: tuple[float, float], why: str) -> Verdict:
    return Verdict(mask.name, mask.statistic, "insufficient", math.nan, math.nan, math.nan, math.nan, checked_s, why)


def _uncovered(mask: Mask, tau: Floats) -> str:
    """What of the mask's range the averaging times leave open, in words; empty when nothing."""
    first, last = mask.range_s
    open_from = []
    if tau[0] > first * (1.0 + _SLACK):
        open_from.append((first, float(tau[0])))
    wide = np.flatnonzero(tau[1:] > tau[:-1] * _HALF_DECADE * (1.0 + _SLACK))
    open_from.extend((float(tau[i]), float(tau[i + 1])) for i in wide)
    if math.isinf(last):
        if tau[-1] <= mask.pieces[-1].from_s:
            open_from.append((float(tau[-1]), last))
    elif tau[-1] * _HALF_DECADE < last * (1.0 - _SLACK):
        open_from.append((float(tau[-1]), last))
    return "; ".join(f"nothing measured from {a:g} s to {b:g} s" for a, b in open_from)


def judge_level(mask: Mask, value_s: float, *, duration_s: float, least_s: float = 0.0) -> Verdict:
    """Judge a level (max|TE| or cTE, s) found over `duration_s`.

    least_s: how long a record the claim needs (G.8273.2 averages cTE over 1000 s); a shorter one can fail, not pass.
    """
    if mask.statistic not in LEVELS:
        raise DataError(f"mask {mask.name} limits {mask.statistic} against tau: use judge")
    piece, size = mask.pieces[0], abs(value_s)
    if math.isnan(size):
        return _without_value(mask, (0.0, duration_s), "no value was measured")
    limit = piece.constant_s
    margin = limit / size if size > 0.0 else math.inf
    facts = (margin, math.nan, value_s, limit, (0.0, duration_s))
    if size > limit:
        return Verdict(
            mask.name, mask.statistic, "fail", *facts, f"{mask.statistic} {value_s:.4g} s exceeds {limit:.4g} s"
        )
    if duration_s < least_s:
        short = f"{duration_s:g} s measured of the {least_s:g} s needed"
        return Verdict(mask.name, mask.statistic, "insufficient", *facts, short)
    return Verdict(mask.name, mask.statistic, "pass", *facts, "")


# --- a user's own ------------------------------------------------------------------------------------------------------

_TEXTS = ("name", "statistic", "source", "edition", "clause")
_NUMBERS = {"from_s": None, "to_s": math.inf, "constant_s": 0.0, "slope_s": 0.0, "power": 1.0}


def masks_from_toml(text: str, source: str) -> tuple[Mask, ...]:
    """Masks of a TOML text: an array `mask` of tables with name, statistic, source, edition, clause and `pieces`.

    A piece has from_s and any of to_s (default: open), constant_s, slope_s, power. A level mask has one piece with
    constant_s. `source` names the file in errors. Raises ConfigError with every problem found.

        [[mask]]
        name = "hall-3"
        statistic = "tdev"
        source = "house rule"
        edition = "2026"
        clause = "-"
        pieces = [{ from_s = 1, to_s = 100, constant_s = 5e-9 }, { from_s = 100, slope_s = 5e-11 }]
    """
    try:
        document = tomllib.loads(text)
    except tomllib.TOMLDecodeError as error:
        raise ConfigError(source, (Problem(source, str(error), "Correct the TOML."),)) from error
    problems: list[Problem] = []
    tables = document.get("mask")
    if not isinstance(tables, list) or not tables:
        raise ConfigError(source, (Problem("mask", "no mask is defined", "Begin each with a [[mask]] header."),))
    problems.extend(Problem(key, "unknown key", "Remove it.") for key in document if key != "mask")
    masks = [_read_mask(f"mask[{i}]", table, problems) for i, table in enumerate(tables)]
    names = [mask.name for mask in masks if mask is not None]
    problems.extend(
        Problem("mask", f"the name {name!r} occurs twice", "Name each mask once.")
        for name in sorted({name for name in names if names.count(name) > 1})
    )
    if problems:
        raise ConfigError(source, tuple(problems))
    return tuple(mask for mask in masks if mask is not None)


def _read_mask(where: str, table: Any, problems: list[Problem]) -> Mask | None:
    before = len(problems)
    if not isinstance(table, dict):
        problems.append(Problem(where, "is not a table", "Begin it with a [[mask]] header."))
        return None
    _unknown_keys(where, table, (*_TEXTS, "pieces"), problems)
    problems.extend(
        Problem(f"{where}.{key}", "missing, or not a text", "Give it as a quoted text.")
        for key in _TEXTS
        if not isinstance(table.get(key), str) or not table[key]
    )
    statistic = table.get("statistic")
    if isinstance(statistic, str) and statistic and statistic not in (*STATISTICS, *LEVELS):
        known = ", ".join((*STATISTICS, *LEVELS))
        problems.append(Problem(f"{where}.statistic", f"{statistic!r} is not known", f"Use one of {known}."))
    raw = table.get("pieces")
    if not isinstance(raw, list) or not raw:
        problems.append(Problem(f"{where}.pieces", "missing, or not a list", "Give at least one piece."))
        return None
    pieces = [_read_piece(f"{where}.pieces[{i}]", item, statistic in LEVELS, problems) for i, item in enumerate(raw)]
    whole = [piece for piece in pieces if piece is not None]
    if len(whole) == len(raw):
        _check_pieces(where, whole, statistic in LEVELS, problems)
    if len(problems) > before:
        return None
    name, kind, document, edition, clause = (str(table[key]) for key in _TEXTS)
    return Mask(name, kind, document, edition, clause, tuple(whole))


def _unknown_keys(where: str, table: dict[str, Any], known: tuple[str, ...], problems: list[Problem]) -> None:
    remedy = f"Known are {', '.join(known)}."
    problems.extend(Problem(f"{where}.{key}", "unknown key", remedy) for key in table if key not in known)


def _read_piece(where: str, item: Any, level: bool, problems: list[Problem]) -> Piece | None:  # noqa: FBT001 - a fact of the mask, passed on
    before = len(problems)
    if not isinstance(item, dict):
        problems.append(Problem(where, "is not a table", "Write it as { from_s = 1, constant_s = 5e-9 }."))
        return None
    values: dict[str, float] = {}
    _unknown_keys(where, item, tuple(_NUMBERS), problems)
    for key, default in _NUMBERS.items():
        value = item.get(key, 0.0 if level and key == "from_s" else default)
        if isinstance(value, bool) or not isinstance(value, int | float) or math.isnan(value):
            problems.append(Problem(f"{where}.{key}", "missing, or not a number", "Give it as a number."))
        else:
            values[key] = float(value)
    return Piece(**values) if len(problems) == before else None


def _check_pieces(where: str, pieces: Sequence[Piece], level: bool, problems: list[Problem]) -> None:  # noqa: FBT001 - a fact of the mask, passed on
    if level and (len(pieces) != 1 or pieces[0].constant_s <= 0.0 or pieces[0].slope_s != 0.0):
        problems.append(Problem(f"{where}.pieces", "a level needs one positive constant_s", "Give that one piece."))
        return
    for i, piece in enumerate(pieces):
        here = f"{where}.pieces[{i}]"
        if not level and not 0.0 < piece.from_s < piece.to_s:
            problems.append(Problem(here, "covers no averaging time", "Let 0 < from_s < to_s."))
        elif not level:
            ends = [piece.from_s] + ([piece.to_s] if math.isfinite(piece.to_s) else [])
            if any(piece.constant_s + piece.slope_s * end**piece.power <= 0.0 for end in ends):
                problems.append(Problem(here, "gives a limit that is not positive", "Give constant_s or slope_s."))
        if i and not math.isclose(piece.from_s, pieces[i - 1].to_s):
            problems.append(
                Problem(here, "does not begin where the piece before it ends", "Join the pieces, in order.")
            )
