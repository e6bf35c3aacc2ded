"""Which noises a clock may have, from its samples: the posterior probability of every mixture, by quadrature.

Rule: the answer is not one set of noises but many, each as likely as it is: how well they are known is part of every forecast.
The same samples give the same answer: what is drawn is drawn from a seed.

Unknown are r, q1, q2 (their ratios a priori log-uniform, from where a noise counts at no averaging time that the record reaches to
where it is all that counts), their common size (a priori log-uniform), and the drift: a priori none with probability 1/2, else of
an unknown size, from the least that the record could show to `DRIFT_SIZES[-1]` times that. Size and drift are integrated in
closed form (normal and inverse gamma distributions), the two ratios by a grid that is refined where the probability is. Each
point costs one pass of the filter, and all points of a refinement share it. q3 is taken to be zero.

Flicker FM has no finite state: q1 and q2 together stand for it, fitted over the record's own averaging times; how well that
holds is measured by the benchmark of holdover.
"""

from __future__ import annotations

import math
from dataclasses import dataclass

import numpy as np

from timesync.errors import DataError
from timesync.holdover.clock import ClockNoise, Floats, Samples
from timesync.holdover.kalman import States, run

__all__ = ["LEAST", "Belief", "fit", "known"]

LEAST = 12  # samples: ten second differences for four unknowns
SETS = 64  # sets of noises that are kept
WIDEST = 2.0  # first spacing of the grid of ln(r / q1), ln(q2 / q1)
REFINEMENTS = 5
SPLIT_AT, SPLIT_MOST, SPLIT_LEAST = 0.004, 48, 12  # cells above this share are split; so many at most, and at least
BEYOND = 4.0  # how far the grid goes on, in ln, where a noise no longer counts
DRIFT_SIZES = (1.0, 3.0, 10.0, 30.0, 100.0, 300.0, 1000.0, 10000.0)
NO_DRIFT = 0.5
TINY_S = 1e-13  # phase is not finer than this: a constant record has this noise


@dataclass(frozen=True, slots=True, eq=False)
class Belief:
    """What is known of a clock after its last sample: equally likely sets of noises, each with its state.

    r (K,), q (3, K) and states in s. begin_s, samples: of the record. notes say what limits the answer.
    """

    r: Floats
    q: Floats
    states: States
    begin_s: float
    samples: int
    notes: tuple[str, ...] = ()

    @property
    def noise(self) -> ClockNoise:
        """The median of each noise."""
        q1, q2, q3 = np.median(self.q, axis=1).tolist()
        return ClockNoise(float(np.median(self.r)), q1, q2, q3)

    @property
    def sets(self) -> int:
        """How many sets of noises there are."""
        return int(self.r.size)


@dataclass(frozen=True, slots=True, eq=False)
class _Scaled:
    """The record about a straight line, in units of its own sampling interval and noise."""

    samples: Samples
    unit_s: float
    size_s: float
    at_s: float
    x0_s: float
    y0: float


def _scaled(samples: Samples) -> _Scaled:
    t, x = samples.centre_s, samples.x_s
    at_s = float(t[0])
    unit_s = float(np.median(np.diff(t[-min(t.size, 512) :])))
    y0 = float((x[-1] - x[0]) / (t[-1] - t[0]))
    rest = x - x[0] - y0 * (t - at_s)
    newest = rest[-min(t.size, 512) :]
    size_s = max(float(np.sqrt(np.mean(np.diff(newest, 2) ** 2))), TINY_S)
    first, last, centre = ((each - at_s) / unit_s for each in (samples.first_s, samples.last_s, t))
    moved = Samples(first, last, centre, rest / size_s, samples.count)
    return _Scaled(moved, unit_s, size_s, at_s, float(x[0]), y0)


def fit(samples: Samples, *, sets: int = SETS, seed: int = 1) -> Belief:
    """What the samples tell of their clock. Raises DataError where there are too few of them."""
    if len(samples) < LEAST:
        raise DataError(f"{len(samples)} samples are too few to know a clock by: at least {LEAST} are needed")
    scaled = _scaled(samples)
    points = _quadrature(scaled.samples)
    rng = np.random.default_rng(seed)
    drift, cell = np.divmod(_resample(points.weight.ravel(), sets, rng), points.weight.shape[1])
    # The size squared: inverse gamma, half as many degrees of freedom as samples.
    size2 = points.squares[drift, cell] / rng.chisquare(len(samples), sets)
    mean, p = _with_drift(points.mean[:, cell], points.p[:, cell], points.prior[cell], _VARIANCES[drift])
    return _unscaled(scaled, points.noises[:, cell] * size2, mean, p * size2, samples)


@dataclass(frozen=True, slots=True, eq=False)
class _Points:
    """Points of the grid (n) and drift sizes (d): noises (3, n), state with a vague drift, weight and squares (d, n)."""

    noises: Floats
    mean: Floats
    p: Floats
    prior: Floats
    weight: Floats
    squares: Floats


_VARIANCES = np.concatenate([[0.0], np.square(DRIFT_SIZES)])  # of the drift, in what the record leaves of it
_PRIOR = np.log(np.concatenate([[NO_DRIFT], np.full(len(DRIFT_SIZES), (1 - NO_DRIFT) / len(DRIFT_SIZES))]))


def _quadrature(samples: Samples) -> _Points:
    length = math.log(max(float(samples.last_s[-1]), 4.0))
    a = np.arange(-BEYOND - 2.0, 2 * length + BEYOND, WIDEST)  # ln r / q1: r counts at one interval, q1 over the record
    b = np.arange(-2 * length - BEYOND, BEYOND + 2.0, WIDEST)  # ln q2 / q1
    centres = np.stack([each.ravel() for each in np.meshgrid(a, b, indexing="ij")])
    widths = np.full(centres.shape[1], WIDEST)
    found = _evaluate(samples, centres)
    for _ in range(REFINEMENTS):
        log_mass = np.logaddexp.reduce(found[-2], axis=0) + 2 * np.log(widths)
        mass = np.exp(log_mass - np.logaddexp.reduce(log_mass))
        order = np.argsort(-mass)
        split = order[: max(min(int(np.count_nonzero(mass > SPLIT_AT)), SPLIT_MOST), SPLIT_LEAST)]
        kept = np.setdiff1d(np.arange(mass.size), split)
        corners = np.array([[-1, -1, 1, 1], [-1, 1, -1, 1]]) / 4
        fresh = (centres[:, split, None] + corners[:, None, :] * widths[split][None, :, None]).reshape(2, -1)
        centres = np.concatenate([centres[:, kept], fresh], axis=1)
        widths = np.concatenate([widths[kept], np.repeat(widths[split] / 2, 4)])
        more = _evaluate(samples, fresh)
        found = [np.concatenate([old[..., kept], new], axis=-1) for old, new in zip(found, more, strict=True)]
    noises, mean, p, prior, log_evidence, squares = found
    log_weight = log_evidence + 2 * np.log(widths)
    weight = np.exp(log_weight - log_weight.max())
    return _Points(noises, mean, p, prior, weight / weight.sum(), squares)


def _evaluate(samples: Samples, centres: Floats) -> list[Floats]:
    """At points (2, n): noises, mean, p, prior variance of the drift, log evidence and sum of squares (d, n)."""
    ratios = np.stack([np.exp(centres[0]), np.ones(centres.shape[1]), np.exp(centres[1])])
    noises = ratios / (np.array([6.0, 2.0, 1.0]) @ ratios)  # second differences of mean square 1, as the record's
    step = np.abs(np.diff(samples.x_s) / np.diff(samples.centre_s)).max() + 1.0
    width = float(samples.last_s[0] - samples.first_s[0])
    mean, p = np.zeros((3, noises.shape[1])), np.zeros((6, noises.shape[1]))
    mean[0] = samples.x_s[0]
    p[0], p[3] = (10 * step * max(width, 1.0)) ** 2, (10 * step) ** 2
    p[5] = (10 * step / max(float(samples.last_s[-1]) / 8, 1.0)) ** 2
    q = np.concatenate([noises[1:], np.zeros((1, noises.shape[1]))])
    filtered = run(samples, States(float(samples.first_s[0]), mean, p), noises[0], q)
    m, v = filtered.states.mean[2], filtered.states.p[5]
    prior = p[5]
    own = 1.0 / np.maximum(1.0 / v - 1.0 / prior, 1e-9 / v)  # variance and value of the drift by the samples alone
    value = own * m / v
    vague = value**2 / (own + prior)
    wider = 1 + _VARIANCES[:, None]
    squares = np.maximum(filtered.squares - vague, 1e-6 * len(samples)) + value**2 / own / wider
    log_evidence = -0.5 * (filtered.log_variances - np.log(own + prior) + np.log(own * wider))
    log_evidence = log_evidence - len(samples) / 2 * np.log(squares) + _PRIOR[:, None]
    return [noises, filtered.states.mean, filtered.states.p, prior, log_evidence, squares]


def _with_drift(mean: Floats, p: Floats, prior: Floats, times: Floats) -> tuple[Floats, Floats]:
    """The state if the drift beforehand is normal about zero with `times` the variance that the samples leave of it."""
    v = p[5]
    own = 1.0 / np.maximum(1.0 / v - 1.0 / prior, 1e-9 / v)
    value = own * mean[2] / v
    new_v = own * times / (1 + times)
    new_m = value * times / (1 + times)
    slope = np.stack([p[2], p[4], v]) / v
    mean = mean + slope * (new_m - mean[2])
    change = new_v - v
    pairs = [(0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2)]
    return mean, np.stack([p[k] + slope[i] * slope[j] * change for k, (i, j) in enumerate(pairs)])


def _resample(weight: Floats, count: int, rng: np.random.Generator) -> np.ndarray:
    """Indices by systematic resampling."""
    places = (rng.random() + np.arange(count)) / count
    return np.minimum(np.searchsorted(np.cumsum(weight), places), weight.size - 1)


def _unscaled(scaled: _Scaled, noises: Floats, mean: Floats, p: Floats, samples: Samples) -> Belief:
    unit, size = scaled.unit_s, scaled.size_s
    powers = size / unit ** np.arange(3.0)
    mean = mean * powers[:, None]
    since = float(samples.last_s[-1]) - scaled.at_s
    mean[0] += scaled.x0_s + scaled.y0 * since
    mean[1] += scaled.y0
    pairs = np.array([powers[i] * powers[j] for i, j in ((0, 0), (0, 1), (0, 2), (1, 1), (1, 2), (2, 2))])
    states = States(float(samples.last_s[-1]), mean, p * pairs[:, None])
    r, q1, q2 = noises * size**2
    q = np.stack([q1 / unit, q2 / unit**3, np.zeros_like(q1)])
    return Belief(r, q, states, float(samples.first_s[0]), int(np.sum(samples.count)))


def known(samples: Samples, noise: ClockNoise, *, drift_u: float | None = 0.0) -> Belief:
    """The filter that knows the noises: one set. drift_u: standard uncertainty of the drift beforehand (1/s), None for any."""
    scaled = _scaled(samples)
    unit, size = scaled.unit_s, scaled.size_s
    span = float(scaled.samples.last_s[-1])
    steps = np.abs(np.diff(scaled.samples.x_s) / np.diff(scaled.samples.centre_s)).max()
    p = np.zeros((6, 1))
    p[0] = p[3] = (300 * steps) ** 2
    p[5] = (100 * steps / span) ** 2 if drift_u is None else (drift_u * unit**2 / size) ** 2
    mean = np.array([[scaled.samples.x_s[0]], [0.0], [0.0]])
    r = np.array([noise.r / size**2])
    q = np.array([[noise.q1 * unit / size**2], [noise.q2 * unit**3 / size**2], [noise.q3 * unit**5 / size**2]])
    filtered = run(scaled.samples, States(float(scaled.samples.first_s[0]), mean, p), r, q)
    belief = _unscaled(scaled, np.concatenate([r[None], q[:2]]), filtered.states.mean, filtered.states.p, samples)
    true_q = np.array([[noise.q1], [noise.q2], [noise.q3]])
    return Belief(np.array([noise.r]), true_q, belief.states, belief.begin_s, belief.samples)
