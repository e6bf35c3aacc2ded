"""How do you know? One stored result taken apart: the chain from the target to UTC, and the budget of its uncertainty.

Rule: everything is read from the row as it was stored, nothing is computed anew but sums; what the row does not have is said to be
missing, with its reason. Steps add up: (target - probe) + (probe - reference) + (reference - UTC(k)) = x, and
[UTC - UTC(k)] - x = UTC - target. Pure.

Source: JCGM 100:2008 chapter 8 and table H.1 (how a budget is reported), section 7.2.4 (expanded uncertainty, coverage factor).
"""

from __future__ import annotations

from dataclasses import dataclass
from math import hypot
from typing import TYPE_CHECKING

from timesync.reasons import REASONS, Reason
from timesync.records import BOUND_FIELDS, CLAIM_VALID
from timesync.timescale import format_utc

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping

    from timesync.model import FieldValue, Record

__all__ = ["Explanation", "Quantity", "Step", "explain"]


@dataclass(frozen=True, slots=True)
class Step:
    """One link of the chain: `what` is a difference of two clocks, value, bound and u (k = 1) in s, None where there is none."""

    what: str
    value_s: float | None
    bound_s: float | None
    u_s: float | None
    validity: str
    source: str


@dataclass(frozen=True, slots=True)
class Quantity:
    """One line of the budget. `half_width_s` is what its error cannot exceed, None where it has no such limit.

    `contribution_s` is |sensitivity| * u. The values times their sensitivities add up to the result.
    """

    quantity: str
    value_s: float
    distribution: str
    half_width_s: float | None
    u_s: float
    sensitivity: float
    contribution_s: float
    source: str


@dataclass(frozen=True, slots=True)
class Explanation:
    """A result with all it rests on. What is None could not be claimed; `no_claim` says why (a name of timesync.reasons)."""

    target: str
    reference: str | None
    realises: str | None
    site: str
    probe: str
    at_ns: int
    no_claim: str | None
    chain: tuple[Step, ...]
    budget: tuple[Quantity, ...]
    measurand: str
    value_s: float | None
    u_s: float | None
    expanded_s: float | None
    coverage_factor: float | None
    time_error_s: float | None
    time_error_bound_s: float | None
    time_error_u_s: float | None
    time_error_expanded_s: float | None
    label: str | None
    issue: str | None
    early_s: float | None
    early_label: str | None
    early_issue: str | None
    notes: tuple[str, ...]

    @property
    def at(self) -> str:
        """The instant as text."""
        return format_utc(self.at_ns)


class _Row:
    """The fields of a row with their types."""

    def __init__(self, fields: Mapping[str, FieldValue]) -> None:
        self._fields = fields

    def number(self, name: str) -> float | None:
        value = self._fields.get(name)
        return float(value) if isinstance(value, int | float) and not isinstance(value, bool) else None

    def zero(self, name: str) -> float:
        return self.number(name) or 0.0

    def text(self, name: str) -> str | None:
        value = self._fields.get(name)
        return value if isinstance(value, str) else None


TARGET, REFERENCE, TIE = "target", "reference", "tie"
NORMAL = {"type_a", "tie", "asymmetry", "reference_asymmetry"}
_CLAIMED = "root delay / 2 + root dispersion, or clockAccuracy, as it claims"
# Parts of x, in the order of the budget: name -> the quantity in words, the side it belongs to, where it comes from.
_PARTS: Mapping[str, tuple[str, str, str]] = {
    "type_a": ("target - probe, as measured", TARGET, "type A: TDEV at the sampling interval, last 32 differences"),
    "path": (
        "asymmetry of the path to the target",
        TARGET,
        "half the round trip of {delay}, less a declared least one",
    ),
    "asymmetry": (
        "declared asymmetry of the path to the target",
        TARGET,
        "declared; the offset is corrected by {correction}",
    ),
    "timestamping": ("timestamps of target and probe", TARGET, "precision the target claims; {stamps} timestamps"),
    "oscillator": (
        "probe's oscillator during the exchange",
        TARGET,
        "oscillator_ppm of [clock], and slews that were seen",
    ),
    "interpolation": (
        "probe - reference, as measured",
        REFERENCE,
        "{quality}; probe's oscillator {span}",
    ),
    "reference_path": (
        "asymmetry of the path to the reference",
        REFERENCE,
        "half its round trip, less a declared least one",
    ),
    "reference_asymmetry": ("declared asymmetry of the path to the reference", REFERENCE, "declared"),
    "reference_timestamping": ("timestamps of reference and probe", REFERENCE, "precision the reference claims"),
    "reference_oscillator": ("probe's oscillator, reference's exchange", REFERENCE, "oscillator_ppm of [clock]"),
    "reference_upstream": ("the reference's own source", REFERENCE, _CLAIMED),
    "upstream": ("the reference's own source", REFERENCE, _CLAIMED),
    "tie": ("reference - UTC(k)", TIE, "{link}"),
}


def explain(record: Record) -> Explanation:
    """Take a row of `time_error` apart."""
    row, tags = _Row(record.fields), record.tags
    claim = row.text("claim")
    no_claim = None if claim == CLAIM_VALID else claim or Reason.NO_REFERENCE.value
    label = row.text("utc_label")
    against_utc = no_claim is None and row.number("utc_minus_x_s") is not None
    prefix = "utc_minus_x" if against_utc else "time_error"
    u_name = "utc_minus_x_u_s" if against_utc else "time_error_u_s"
    realises = row.text("realises")
    target = tags.get("target", "")
    return Explanation(
        target,
        tags.get("reference"),
        realises,
        tags.get("site", ""),
        tags.get("probe", ""),
        record.at_ns,
        no_claim,
        tuple(_chain(row, tags)),
        tuple(_budget(row, realises, against_utc=against_utc)) if no_claim is None else (),
        f"UTC - {target}" if against_utc else f"{target} - {realises or 'UTC(k)'}",
        row.number(f"{prefix}_s"),
        row.number(u_name),
        row.number(f"{prefix}_expanded_s"),
        row.number("coverage_factor"),
        row.number("time_error_s"),
        row.number("time_error_bound_s"),
        row.number("time_error_u_s"),
        row.number("time_error_expanded_s"),
        label,
        row.text("utc_issue"),
        row.number("utc_early_minus_x_s"),
        row.text("utc_early_label"),
        row.text("utc_early_issue"),
        tuple(_notes(row, no_claim, label)),
    )


def _sum(row: _Row, prefix: str, side: str) -> float:
    """Of the parts of one side: the bound's plain sum, or u's root sum of squares."""
    values = [row.zero(f"{prefix}_{name}_s") for name, (_, whose, _) in _PARTS.items() if whose == side]
    return sum(values) if prefix == "bound" else hypot(*values)


_HAD = {
    "interpolated": "between its measurements before and after",
    "carried": "lost, and carried on by the probe's clock since its last measurement",
}


def _chain(row: _Row, tags: Mapping[str, str]) -> Iterator[Step]:
    target, reference, realises = tags.get("target", ""), tags.get("reference"), row.text("realises") or "UTC(k)"
    quality, offset_s, x_s = row.text("quality"), row.number("offset_s"), row.number("time_error_s")
    if offset_s is not None and quality != "itself":
        stamps = f"{row.text('timestamping')} timestamps"
        how = f"{tags.get('protocol', '')} {row.text('mode') or ''} with {row.text('address') or target}, {stamps}"
        u_s = _sum(row, "u", TARGET) if x_s is not None else None
        yield Step(f"{target} - probe", offset_s, row.number("bound_s"), u_s, "at this instant", " ".join(how.split()))
    if x_s is None:
        yield _broken(row, reference, realises)
        return
    link_s = row.zero("link_s")
    if quality == "local":
        yield Step(f"probe - {reference}", 0.0, 0.0, 0.0, "always", "the reference is the probe's own clock")
    elif quality == "itself":
        claimed = "as it claims of itself: root delay / 2 + root dispersion, or clockAccuracy"
        yield Step(
            f"{target} - its source",
            0.0,
            row.zero("bound_upstream_s"),
            row.zero("u_upstream_s"),
            "at this instant",
            claimed,
        )
    else:
        between = _HAD.get(quality or "", "from one side")
        value_s = x_s - (offset_s or 0.0) - link_s
        bound_s, u_s = _sum(row, "bound", REFERENCE), _sum(row, "u", REFERENCE)
        yield Step(
            f"probe - {reference}", value_s, bound_s, u_s, "at this instant", f"{reference} {quality}, {between}"
        )
    until = row.number("tie_valid_until_ns")
    validity = "no end declared" if until is None else f"until {format_utc(int(until))[:10]}"
    source = row.text("link_source") or "declared tie"
    if row.text("link"):
        source = f"link {row.text('link')}: {source}"
    yield Step(f"{reference} - {realises}", link_s, row.zero("bound_tie_s"), row.zero("u_tie_s"), validity, source)
    yield _to_utc(row, realises)


def _broken(row: _Row, reference: str | None, realises: str) -> Step:
    claim = row.text("claim") or Reason.NO_REFERENCE.value
    meaning = REASONS[Reason(claim)].text if claim in set(Reason) else claim
    return Step(
        f"probe - {reference or 'reference'} - {realises}", None, None, None, "none", f"no claim, {claim}: {meaning}"
    )


def _to_utc(row: _Row, realises: str) -> Step:
    what = f"UTC - {realises}"
    label, value_s = row.text("utc_label"), row.number("utc_minus_utck_s")
    if value_s is None:
        why = "nothing published was imported or fetched" if label is None else "no published date is near enough"
        return Step(what, None, None, None, label or "unavailable", why)
    published = row.number("u_utck_s")
    u_s = None if published is None else hypot(published, row.zero("u_utc_interpolation_s"))
    how = {"final": "between its dates", "rapid": "between its dates", "predicted": "past its last date"}.get(
        label or "", ""
    )
    return Step(what, value_s, None, u_s, label or "", f"{row.text('utc_issue')}, {how}")


def _budget(row: _Row, realises: str | None, *, against_utc: bool) -> Iterator[Quantity]:
    """Each input of the result. In UTC - X all that is in x has the sensitivity -1, and what is subtracted in x +1."""
    sign = -1.0 if against_utc else 1.0
    if against_utc:
        published = row.number("u_utck_s")
        issue = row.text("utc_issue") or ""
        what = f"UTC - {realises or 'UTC(k)'}"
        yield _line(what, row.zero("utc_minus_utck_s"), "normal", None, published or 0.0, 1.0, issue)
        interpolation_s = row.zero("u_utc_interpolation_s")
        yield _line(
            f"{what}, from the dates to this instant",
            0.0,
            "normal",
            None,
            interpolation_s,
            1.0,
            f"white FM, {row.text('utc_label')}",
        )
    words = {
        "delay": _us(row.number("delay_s")),
        "correction": _us(row.number("asymmetry_correction_s")),
        "stamps": row.text("timestamping") or "unknown",
        "quality": row.text("quality") or "unknown",
        "span": "since its last measurement" if row.text("quality") == "carried" else "between its measurements",
        "link": row.text("link_source") or "declared tie",
    }
    measured = {"type_a": row.zero("offset_s"), "tie": row.zero("link_s")}
    if row.text("quality") not in {"local", "itself"}:
        measured["interpolation"] = row.zero("time_error_s") - row.zero("offset_s") - row.zero("link_s")
    for name, (quantity, _, source) in _PARTS.items():
        u_s, half_width_s = row.number(f"u_{name}_s"), row.number(BOUND_FIELDS.get(name, ""))
        if name == "type_a" and u_s is None and row.text("quality") != "itself":
            yield _line(
                quantity, measured[name], "normal", None, 0.0, sign, "type A: not known yet, fewer than three samples"
            )
        elif u_s is not None:
            modelled = name == "interpolation" and row.text("quality") == "carried"
            distribution = "normal" if name in NORMAL or modelled else "rectangular"
            yield _line(
                quantity, measured.get(name, 0.0), distribution, half_width_s, u_s, sign, source.format_map(words)
            )


def _line(
    quantity: str,
    value_s: float,
    distribution: str,
    half_width_s: float | None,
    u_s: float,
    sensitivity: float,
    source: str,
) -> Quantity:
    return Quantity(quantity, value_s, distribution, half_width_s, u_s, sensitivity, abs(sensitivity) * u_s, source)


def _notes(row: _Row, no_claim: str | None, label: str | None) -> Iterator[str]:
    if no_claim is not None:
        known = REASONS.get(Reason(no_claim)) if no_claim in set(Reason) else None
        yield (
            f"no claim against UTC(k): {known.text}; {known.remedy}"
            if known
            else f"no claim against UTC(k): {no_claim}"
        )
        return
    u_s, bound_s, expanded_s = (row.zero(f"time_error_{name}_s") for name in ("u", "bound", "expanded"))
    parts = hypot(*(row.zero(f"u_{name}_s") for name in _PARTS))
    if parts > u_s * (1.0 + 1e-9):
        yield f"the root sum of squares of x, {_us(parts)}, is cut at the bound, which no error exceeds"
    if expanded_s < row.zero("coverage_factor") * u_s * (1.0 - 1e-9):
        yield f"U of x is cut at the bound, {_us(bound_s)}, which no error exceeds"
    if label == "unavailable" or label is None:
        yield "no UTC - UTC(k) is known for this instant: import the issue (timesync circular-t import), or set [utc]"
    elif row.number("utc_minus_x_u_s") is None:
        yield f"{row.text('utc_issue')} publishes no uncertainty: there is none for UTC - X"
    elif label != "final":
        yield f"{label}: it becomes final with the Circular T of this month, which appears about the 10th of the next"
    early_s = row.number("utc_early_minus_x_s")
    if early_s is not None:
        change_s = row.zero("utc_minus_x_s") - early_s
        yield (
            f"the first estimate was {early_s * 1e9:+.1f} ns ({row.text('utc_early_label')}, {row.text('utc_early_issue')}); "
            f"what was published later moved it by {change_s * 1e9:+.1f} ns"
        )


def _us(value_s: float | None) -> str:
    return "-" if value_s is None else f"{value_s * 1e6:.3f} us"
