"""One series and what is usual for it: level, rate and scatter, followed robustly, so that a change stands out at once.

Rule: what a series does next is predicted from itself alone; a value counts for no more than `CLIP` times the usual scatter, so
that a spike does not move the prediction, and the scatter is a median, so that tails do not raise it. Pure; instants in seconds
on any even axis, values in seconds.

Source: the alpha-beta filter (critically damped: beta = alpha^2 / (2 - alpha)) with Huber's clipped innovation; the running median
by stochastic approximation (Robbins and Monro, 1951); Theil and Sen's slope for the beginning.
"""

from __future__ import annotations

from array import array
from statistics import median

__all__ = ["OUTLIER", "TELLING", "WARM_UP", "Tracker", "slope_of"]

# Values that make a beginning: before that nothing can be unusual.
WARM_UP = 12
# Times the usual scatter: from where a value is clipped, counts as an outlier, and is looked into.
CLIP = 3.0
OUTLIER = 4.0
TELLING = 6.0
ALPHA = 0.2
BETA = ALPHA * ALPHA / (2.0 - ALPHA)
# The median of |N(0, 1)|.
MAD_TO_SIGMA = 0.6745
# A second difference of white noise scatters by so many times that.
SQRT6 = 6.0**0.5
# Each value moves the median by this share, at first by up to five times as much.
STEP_OF_SCATTER = 0.02
FIRST_STEPS = 4
FIRST_VALUES = 50
# A noisy series' level is followed by so much of each value, whatever its size.
NOISY_ALPHA = 0.2
# A line through so few values hides part of their scatter, and that is known the worse the fewer they were: it is taken to be
# larger by FIRST_DOUBT / (values + FIRST_DOUBT).
FIRST_SCATTER = 1.2
FIRST_DOUBT = 8.0
# Outliers among the last so many values: the register's width.
REGISTER_BITS = 16
_MASK = (1 << REGISTER_BITS) - 1


def slope_of(points: list[tuple[float, float]]) -> float:
    """Theil and Sen's slope: the median of the slopes of all pairs; 0 of fewer than two instants."""
    slopes = [
        (later[1] - earlier[1]) / (later[0] - earlier[0])
        for index, later in enumerate(points)
        for earlier in points[:index]
        if later[0] > earlier[0]
    ]
    return median(slopes) if slopes else 0.0


class Tracker:
    """Level, rate (0 where `with_rate` is false) and scatter of a series; `floor_s` is the least scatter that is believed."""

    __slots__ = ("_count", "_first", "floor_s", "level_s", "rate", "ready", "register", "scatter_s", "t_s", "with_rate")

    def __init__(self, floor_s: float, *, with_rate: bool = True) -> None:
        self.floor_s = floor_s
        self.with_rate = with_rate
        self.ready = False
        self.level_s = self.rate = self.t_s = 0.0
        self.scatter_s = floor_s
        self.register = 0
        self._count = 0
        # Instants and values of the beginning, in turn; None outside of it: a probe has some thousand trackers.
        self._first: array[float] | None = None

    def expected(self, t_s: float) -> float:
        """What the series should be at `t_s`."""
        return self.level_s + self.rate * (t_s - self.t_s)

    def unusual(self, t_s: float, value_s: float) -> bool:
        """Whether a value is worth looking into: beyond `TELLING` times the scatter."""
        off_s = abs(value_s - self.level_s - self.rate * (t_s - self.t_s))
        return off_s > TELLING * self.scatter_s and self.ready and off_s > TELLING * self.sigma_s

    @property
    def sigma_s(self) -> float:
        """The usual scatter, larger while few values have shown it."""
        return self.scatter_s * (1.0 + FIRST_DOUBT / (self._count + FIRST_DOUBT))

    def push(self, t_s: float, value_s: float) -> None:
        """The next value."""
        if not self.ready:
            self._begin(t_s, value_s)
            return
        span_s = t_s - self.t_s
        if span_s <= 0.0:
            return
        scatter_s = self.scatter_s
        expected_s = self.level_s + self.rate * span_s
        off_s = value_s - expected_s
        size_s = off_s if off_s >= 0.0 else -off_s
        limit_s = CLIP * scatter_s
        if size_s > limit_s:
            off_s = limit_s if off_s > 0.0 else -limit_s
        self.register = (self.register << 1 | (size_s > OUTLIER * scatter_s)) & _MASK
        factor = 1.0 + STEP_OF_SCATTER
        self._count += 1
        if self._count < FIRST_VALUES:
            factor += STEP_OF_SCATTER * FIRST_STEPS * (1.0 - self._count / FIRST_VALUES)
        if size_s > MAD_TO_SIGMA * scatter_s:
            self.scatter_s = scatter_s * factor
        else:
            lower_s = scatter_s / factor
            self.scatter_s = max(self.floor_s, lower_s)
        self.t_s = t_s
        self.level_s = expected_s + ALPHA * off_s
        if self.with_rate:
            self.rate += BETA * off_s / span_s

    def note(self, t_s: float, value_s: float) -> None:
        """While the series is noisy: count whether a value is an outlier, follow its level, and keep the scatter from before."""
        if not self.ready or t_s <= self.t_s:
            return
        expected_s = self.expected(t_s)
        self.register = (self.register << 1 | (abs(value_s - expected_s) > OUTLIER * self.scatter_s)) & _MASK
        self.level_s, self.t_s = expected_s + NOISY_ALPHA * (value_s - expected_s), t_s

    def shift(self, step_s: float, rate: float, t_s: float) -> None:
        """The series has changed for good: by `step_s` at `t_s`, and by `rate` from then on."""
        if self.ready:
            self.level_s = self.expected(t_s) + step_s
            self.rate += rate
            self.t_s = t_s

    def begin_again(self) -> None:
        """Forget the level and rate, not the scatter."""
        self.ready = False
        self.register = 0
        self._first = None

    def _begin(self, t_s: float, value_s: float) -> None:
        if self._first is None:
            self._first = array("d")
        elif t_s <= self._first[-2]:
            return
        self._first.extend((t_s, value_s))
        if len(self._first) < 2 * WARM_UP:
            return
        first = list(zip(self._first[::2], self._first[1::2], strict=True))
        self.rate = slope_of(first) if self.with_rate else 0.0
        self.t_s = t_s
        self.level_s = median(value + self.rate * (t_s - at) for at, value in first)
        residuals = [abs(value - self.expected(at)) for at, value in first]
        differences = [abs(c[1] - 2.0 * b[1] + a[1]) for a, b, c in zip(first, first[1:], first[2:], strict=False)]
        scatter_s = FIRST_SCATTER * max(median(residuals), median(differences) / SQRT6) / MAD_TO_SIGMA
        self.scatter_s = max(self.floor_s, scatter_s)
        self.ready = True
        self._count = 0
        self._first = None
