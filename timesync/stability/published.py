"""Published fits for the total and Theo1 statistics: degrees of freedom and bias, for agreement with Stable32.

Rule: the numbers are those printed, used where they are defined and nowhere else; `quadratic` has the exact values.

Source: W. J. Riley, NIST SP 1065 (2008), 5.4 (tables of EDF) and 5.5 to 5.16 (bias), after: TOTVAR, C. Greenhall, D. Howe,
D. Percival, IEEE UFFC 46 (1999); modified total, D. Howe, F. Vernotte, 31st PTTI (1999); Hadamard total, D. Howe et al.,
32nd PTTI (2000); Theo1, D. Howe, T. Tasset, 36th PTTI (2004). T is taken as points * tau0.
"""

from __future__ import annotations

import math

__all__ = ["published"]

_TOTVAR = {0: (1.50, 0.0), -1: (1.17, 0.22), -2: (0.93, 0.36)}  # b, c: edf = b T/tau - c
_TOTVAR_BIAS = {0: 0.0, -1: 0.481, -2: 0.750}  # a: E/AVAR = 1 - a tau/T
_MTOT = {2: (1.90, 2.10), 1: (1.20, 1.40), 0: (1.10, 1.20), -1: (0.85, 0.50), -2: (0.75, 0.31)}  # b, c as above
_MTOT_BIAS = {2: 0.94, 1: 0.83, 0: 0.73, -1: 0.70, -2: 0.69}  # E/MVAR
_HTOT = {0: (0.559, 1.004), -1: (0.868, 1.140), -2: (0.938, 1.696), -3: (0.974, 2.554), -4: (1.276, 3.149)}
_HTOT_BIAS = {0: 0.995, -1: 0.851, -2: 0.771, -3: 0.717, -4: 0.679}  # E/HVAR, m > 1
_THEO1_BIAS = {  # a, b, c: AVAR/E = a + b/m^c
    2: (0.09, 0.74, 0.40),
    1: (0.14, 0.82, 0.30),
    0: (1.0, 0.0, 0.0),
    -1: (1.87, -1.05, 0.79),
    -2: (2.70, -1.53, 0.85),
}


def published(statistic: str, alpha: int, m: int, points: int) -> tuple[float, float]:
    """Degrees of freedom and bias of totdev, mtotdev, htotdev, theo1 or theobr; KeyError where none is published."""
    length = points / m
    if statistic == "totdev":
        b, c = _TOTVAR[alpha]
        return b * length - c, 1.0 - _TOTVAR_BIAS[alpha] / length
    if statistic == "mtotdev":
        b, c = _MTOT[alpha]
        return b * length - c, _MTOT_BIAS[alpha]
    if statistic == "htotdev":
        b, c = _HTOT[alpha]
        return length / (b + c / length), _HTOT_BIAS[alpha] if m > 1 else 1.0
    edf = _theo1_edf(alpha, float(points), 0.75 * m)
    if statistic == "theobr":
        return edf, 1.0
    a, b, c = _THEO1_BIAS[alpha]
    return edf, 1.0 / (a + b / float(m) ** c)


def _theo1_edf(alpha: int, n: float, r: float) -> float:
    """Howe and Tasset's fits; n phase points, r = 0.75 m."""
    if alpha == 2:
        return 0.86 * (n + 1.0) * (n - 4.0 * r / 3.0) / (n - r) * r / (r + 1.14)
    if alpha == 1:
        return (4.798 * n * n - 6.374 * n * r + 12.387 * r) / (math.sqrt(r + 36.6) * (n - r)) * r / (r + 0.3)
    if alpha == 0:
        return ((4.1 * n + 0.8) / r - (3.1 * n + 6.5) / n) * r * math.sqrt(r) / (r * math.sqrt(r) + 5.2)
    if alpha == -1:
        return (2.0 * n * n - 1.3 * n * r - 3.5 * r) / (n * r) * r**3 / (r**3 + 2.3)
    k = 4.4 * n - 1.0
    return (4.4 * n - 2.0) / (2.9 * r) * (k * k - 8.6 * r * k + 11.4 * r * r) / (4.4 * n - 3.0) ** 2
