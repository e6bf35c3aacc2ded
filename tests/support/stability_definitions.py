"""The definitions of the statistics, written out as the publications write them: loops over every term, no cleverness.

For records of some tens of points. A phase term is dropped when a point it uses is NaN; with `breaks`, where the
frequency between points i and i + 1 is missing at each i in breaks, a term is dropped when its span holds a break.
Each function gives (deviation, terms), or None where no term is left.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

Floats = NDArray[np.float64]
Outcome = tuple[float, int] | None


def _whole(x: Floats, breaks: Iterable[int], points: Iterable[int]) -> bool:
    used = list(points)
    low, high = min(used), max(used)
    return not any(math.isnan(x[i]) for i in used) and not any(low <= b < high for b in breaks)


def _root(squares: list[float], scale: float) -> Outcome:
    return (math.sqrt(math.fsum(squares) / len(squares) * scale), len(squares)) if squares else None


def differences(x: Floats, m: int, weights: tuple[int, ...], stride: int, breaks: Iterable[int] = ()) -> list[float]:
    """Squared differences at lag m with the given weights, for every stride-th start."""
    squares = []
    for i in range(0, len(x) - (len(weights) - 1) * m, stride):
        points = [i + k * m for k in range(len(weights))]
        if _whole(x, breaks, points):
            squares.append(sum(w * x[p] for w, p in zip(weights, points, strict=True)) ** 2)
    return squares


def adev(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    return _root(differences(x, m, (1, -2, 1), m, breaks), 0.5 / (m * tau0) ** 2)


def oadev(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    return _root(differences(x, m, (1, -2, 1), 1, breaks), 0.5 / (m * tau0) ** 2)


def hdev(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    return _root(differences(x, m, (-1, 3, -3, 1), m, breaks), 1 / 6 / (m * tau0) ** 2)


def ohdev(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    return _root(differences(x, m, (-1, 3, -3, 1), 1, breaks), 1 / 6 / (m * tau0) ** 2)


def tierms(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    return _root(differences(x, m, (-1, 1), 1, breaks), 1.0)


def mdev(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    squares = [
        (sum(x[i + 2 * m] - 2 * x[i + m] + x[i] for i in range(j, j + m)) / m) ** 2
        for j in range(len(x) - 3 * m + 1)
        if _whole(x, breaks, range(j, j + 3 * m))
    ]
    return _root(squares, 0.5 / (m * tau0) ** 2)


def tdev(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    found = mdev(x, m, tau0, breaks)
    return None if found is None else (found[0] * m * tau0 / math.sqrt(3), found[1])


def pdev(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    if m == 1:
        return oadev(x, 1, tau0, breaks)
    squares = [
        sum(((m - 1) / 2 - k) * (x[i + k] - x[i + m + k]) for k in range(m)) ** 2
        for i in range(len(x) - 2 * m)
        if _whole(x, breaks, range(i, i + 2 * m))
    ]
    return _root(squares, 72 / (m**4 * (m * tau0) ** 2))


def totdev(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    """The record must begin and end with a point that is present."""
    size = len(x)
    ahead = [2 * x[0] - x[j] for j in range(size - 2, 0, -1)]
    after = [2 * x[-1] - x[size - 1 - j] for j in range(1, size - 1)]
    extended = np.array([*ahead, *x, *after])
    first = size - 2
    mirrored = [first - 1 - b for b in breaks] + [2 * (first + size - 1) - 1 - first - b for b in breaks]
    torn = [first + b for b in breaks] + mirrored
    squares = [
        (extended[i - m] - 2 * extended[i] + extended[i + m]) ** 2
        for i in range(first + 1, first + size - 1)
        if _whole(extended, torn, (i - m, i, i + m))
    ]
    return _root(squares, 0.5 / (m * tau0) ** 2)


def _detrended(values: Floats) -> Floats:
    size = len(values)
    half = size // 2
    slope = (np.mean(values[size - half :]) - np.mean(values[:half])) / (size - half)
    return np.array([value - slope * k for k, value in enumerate(values)])


def _stretch(values: Floats, m: int) -> float:
    inner = _detrended(values)
    extended = np.concatenate((inner[::-1], inner, inner[::-1]))
    terms = []
    for j in range(6 * m):
        a, b, c = (np.mean(extended[j + k * m : j + (k + 1) * m]) for k in range(3))
        terms.append((a - 2 * b + c) ** 2)
    return math.fsum(terms) / (6 * m)


def mtotdev(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    starts = [i for i in range(len(x) - 3 * m + 1) if _whole(x, breaks, range(i, i + 3 * m))]
    return _root([_stretch(x[i : i + 3 * m], m) for i in starts], 0.5 / (m * tau0) ** 2)


def ttotdev(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    found = mtotdev(x, m, tau0, breaks)
    return None if found is None else (found[0] * m * tau0 / math.sqrt(3), found[1])


def htotdev(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    if m == 1:
        return ohdev(x, 1, tau0, breaks)
    y = np.diff(x) / tau0
    starts = [i for i in range(len(y) - 3 * m + 1) if _whole(x, breaks, range(i, i + 3 * m + 1))]
    return _root([_stretch(y[i : i + 3 * m], m) for i in starts], 1 / 6)


def theo1(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    total, terms = 0.0, 0
    for k in range(1, m // 2 + 1):
        squares = [
            ((x[i] - x[i + k]) + (x[i + m] - x[i + m - k])) ** 2
            for i in range(len(x) - m)
            if _whole(x, breaks, (i, i + k, i + m - k, i + m))
        ]
        if not squares:
            return None
        total += math.fsum(squares) / len(squares) / k
        terms += len(squares)
    return math.sqrt(total / 0.75) / (m * tau0), terms


def theobr_ratio(x: Floats, tau0: float) -> float:
    """Mean ratio of Allan variance to Theo1, over the terms that a record without gaps has."""
    ratios = []
    for i in range(len(x) // 6 - 3 + 1):
        allan, theo = oadev(x, 9 + 3 * i, tau0), theo1(x, 12 + 4 * i, tau0)
        if allan is not None and theo is not None:
            ratios.append((allan[0] / theo[0]) ** 2)
    return float(np.mean(ratios))


def mtie(x: Floats, m: int, tau0: float, breaks: Iterable[int] = ()) -> Outcome:
    ranges = []
    for i in range(len(x) - m):
        present = [value for value in x[i : i + m + 1] if not math.isnan(value)]
        if len(present) >= 2 and not any(i <= b < i + m for b in breaks):
            ranges.append(max(present) - min(present))
    return (max(ranges), len(ranges)) if ranges else None


DEFINITIONS: dict[str, Callable[..., Outcome]] = {
    f.__name__: f
    for f in (
        *(adev, oadev, mdev, tdev, hdev, ohdev, pdev),
        *(totdev, mtotdev, ttotdev, htotdev, theo1, tierms, mtie),
    )
}
