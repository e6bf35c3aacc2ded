"""Whatever a label holds, the page stays readable and the label comes back as it was."""

from __future__ import annotations

import math

from hypothesis import given
from hypothesis import strategies as st
from support import promtext

from timesync.export.prometheus import render
from timesync.export.samples import Sample

NASTY = st.one_of(
    st.text(st.sampled_from('"\\\n\r\t,={}# ntp\x00\x85\u2028é'), min_size=1, max_size=12),
    st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20),
)


@given(st.lists(st.tuples(NASTY, NASTY), min_size=1, max_size=5, unique=True), st.floats(allow_nan=False, width=64))
def test_any_label_value_comes_back_as_it_was(pairs, number):
    body, refused = render(
        [Sample("timesync_delay_seconds", {"site": site, "target": target}, number) for site, target in pairs]
    )
    if math.isinf(number):
        assert refused == {"timesync_delay_seconds": len(pairs)}
        return
    read = promtext.read(body)["timesync_delay_seconds"].series
    assert read == {(("site", site), ("target", target)): number for site, target in pairs}
