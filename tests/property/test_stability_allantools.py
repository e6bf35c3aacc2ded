"""Agreement with allantools, an independent implementation, over random data, sizes and averaging times, to 1e-10.

What differs by definition is said here: allantools gives Theo1 at tau = m tau0 (ours: 0.75 m tau0), counts nothing where
one term is left, and takes the mean off frequency before TIE rms and MTIE, which see it (so those get phase).
"""

from __future__ import annotations

import allantools
import numpy as np
import pytest
from hypothesis import assume, given, settings
from hypothesis import strategies as st

from timesync.stability import STATISTICS

CHEAP = {"adev": 300, "oadev": 300, "mdev": 300, "tdev": 300, "hdev": 300, "ohdev": 300, "totdev": 300, "mtie": 300}
# allantools evaluates these in Python loops over every term: short records.
COSTLY = {"pdev": 60, "mtotdev": 36, "ttotdev": 36, "htotdev": 36, "theo1": 60, "tierms": 300}
SIZES = CHEAP | COSTLY


@st.composite
def records(draw: st.DrawFn, longest: int) -> tuple[np.ndarray, float]:
    """Noise of one of five slopes on a line and a parabola, scaled, and a sampling interval."""
    points = draw(st.integers(10, longest))
    rng = np.random.default_rng(draw(st.integers(0, 2**32 - 1)))
    x = rng.standard_normal(points)
    for _ in range(draw(st.integers(0, 2))):
        x = np.cumsum(x)
    t = np.arange(points)
    x = x + draw(st.sampled_from([0.0, 1.0, 1e4])) + draw(st.sampled_from([0.0, -0.3, 50.0])) * t
    x = x + draw(st.sampled_from([0.0, 1e-2])) * t**2
    return x * draw(st.sampled_from([1.0, 1e-9, 3e5])), draw(st.sampled_from([1.0, 0.125, 16.0]))


@pytest.mark.parametrize("name", SIZES)
@settings(max_examples=30, deadline=None)
@given(data=st.data())
def test_agrees_with_allantools(name: str, data: st.DataObject) -> None:
    x, tau0_s = data.draw(records(SIZES[name]))
    kind = "phase" if name in ("tierms", "mtie") else data.draw(st.sampled_from(["phase", "frequency"]))
    taus = data.draw(st.sampled_from(["octave", "decade", "all", "log:6"]))
    ours = STATISTICS[name](x, tau0_s, taus, kind, ci=None)
    assume((ours.n > 1).any())
    _, dev, _, n = getattr(allantools, name)(
        x, rate=1.0 / tau0_s, data_type={"phase": "phase", "frequency": "freq"}[kind], taus=ours.m * tau0_s
    )
    several = ours.n > 1
    np.testing.assert_allclose(ours.dev[several], dev, rtol=1e-10, atol=0)
    assert ours.n[several].tolist() == n.tolist()
