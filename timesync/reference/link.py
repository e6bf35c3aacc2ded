"""How a reference is tied to UTC(k), as a value that ages: reference minus UTC(k), with its bound, u and end.

Rule: a link without data, or whose data are too old, is a tie that claims nothing and says why; it is never replaced by zero. Past
its newest data the value is held: the bound grows by `rate_bound` and u by a rectangle of that width. Pure: time is a parameter.

Sources: RFC 5905 section 11.2.1 (the sample of least distance is the best of a window); JCGM 100:2008 sections 4.3.7 and 5.1.2; for
GNSS links W. Lewandowski et al., "Circular T uncertainties" (u_A of the link, u_B of its calibration).
"""

from __future__ import annotations

from collections import deque
from math import hypot, sqrt
from typing import TYPE_CHECKING

from timesync.reasons import Reason
from timesync.reference.common_view import fit_last
from timesync.settings import Tie
from timesync.timescale import NS_PER_DAY, format_utc

if TYPE_CHECKING:
    from collections.abc import Sequence

    from timesync.model import TimeError
    from timesync.reference.common_view import Comparison
    from timesync.settings import LinkSettings

__all__ = ["CALIBRATED", "GNSS", "NETWORK", "NetworkLink", "calibrated_tie", "gnss_tie", "initial_tie"]

CALIBRATED, NETWORK, GNSS = "calibrated", "network", "gnss"
FIT_NS = NS_PER_DAY
SQRT3 = sqrt(3.0)
NS = 1_000_000_000
KEPT = 512  # samples of a network link


def calibrated_tie(link: LinkSettings, realises: str) -> Tie:
    """The tie of a calibration: from its date to the end of its validity."""
    source = f"calibration {link.certificate}".strip() if link.certificate else "declared calibration"
    if link.calibrated_at_ns is not None:
        source += f" of {format_utc(link.calibrated_at_ns)[:10]}"
    return Tie(
        realises,
        link.bound_s or 0.0,
        link.u_s or 0.0,
        link.valid_until_ns,
        link.value_s,
        link.calibrated_at_ns,
        link.name,
        source,
    )


def initial_tie(link: LinkSettings, realises: str) -> Tie:
    """What holds before anything was measured: the calibration, or nothing."""
    if link.kind == CALIBRATED:
        return calibrated_tie(link, realises)
    return Tie(realises, link=link.name, no_claim=Reason.LINK_MISSING)


def _aged(
    link: LinkSettings, realises: str, at_ns: int, now_ns: int, value_s: float, bound_s: float, u_s: float, source: str
) -> Tie:
    """A result of `at_ns` as it is worth now, claimed until it is too old."""
    end_ns = at_ns + round(link.max_age_s * NS)
    if link.valid_until_ns is not None:
        end_ns = min(end_ns, link.valid_until_ns)
    if now_ns > end_ns:
        expired = link.valid_until_ns is not None and now_ns > link.valid_until_ns
        return Tie(realises, link=link.name, no_claim=Reason.REFERENCE_EXPIRED if expired else Reason.LINK_STALE)
    growth_s = link.rate_bound * max(0, now_ns - at_ns) / NS
    return Tie(realises, bound_s + growth_s, hypot(u_s, growth_s / SQRT3), end_ns, value_s, None, link.name, source)


class NetworkLink:
    """A reference measured, by this probe, against a server of the laboratory: the sample of least bound in the window counts."""

    def __init__(self, link: LinkSettings, realises: str) -> None:
        self.link = link
        self._realises = realises
        self._window_ns = round(link.window_s * NS)
        self._samples: deque[TimeError] = deque(maxlen=KEPT)

    def push(self, error: TimeError) -> None:
        """One comparison; what has no claim is left out."""
        if error.time_error_s is not None:
            self._samples.append(error)

    def tie(self, now_ns: int) -> Tie:
        """The tie as it stands now."""
        best: tuple[float, TimeError] | None = None
        for error in self._samples:
            assert error.bound_s is not None
            age_ns = now_ns - error.offset.at_ns
            worth_s = error.bound_s + self.link.rate_bound * max(0, age_ns) / NS
            if age_ns <= self._window_ns and (best is None or worth_s < best[0]):
                best = worth_s, error
        if best is None:
            reason = Reason.LINK_STALE if self._samples else Reason.LINK_MISSING
            return Tie(self._realises, link=self.link.name, no_claim=reason)
        error = best[1]
        assert error.time_error_s is not None
        assert error.bound_s is not None
        assert error.u_s is not None
        source = f"{error.offset.protocol} to {self.link.through}, best sample of the last {self.link.window_s:g} s"
        return _aged(
            self.link, self._realises, error.offset.at_ns, now_ns, error.time_error_s, error.bound_s, error.u_s, source
        )


def gnss_tie(
    link: LinkSettings, realises: str, comparison: Comparison | None, names: Sequence[str], now_ns: int
) -> Tie:
    """The tie by two receivers: the line through the last day of epochs, at its newest; `names` are those of the receivers.

    u is that of single epochs about the line with that of the calibration; the bound is the calibration's.
    """
    last = None if comparison is None else fit_last(comparison.epochs, FIT_NS)
    if last is None or comparison is None:
        return Tie(realises, link=link.name, no_claim=Reason.LINK_MISSING)
    at_ns, value_s, u_a_s = last
    bound_s, u_b_s = link.bound_s or 0.0, link.u_s or 0.0
    method = link.method.replace("_", " ")
    source = f"GNSS {method} of {' and '.join(names)} to {format_utc(at_ns)[:16]}, {len(comparison.epochs)} epochs"
    if link.certificate:
        source += f", calibration {link.certificate}"
    return _aged(link, realises, at_ns, now_ns, value_s + link.value_s, bound_s, hypot(u_a_s, u_b_s), source)
