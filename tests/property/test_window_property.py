"""Min-max decimation of the history, held against every row of it: no peak is hidden, no row is made up."""

from __future__ import annotations

import math
import tempfile
from pathlib import Path

from hypothesis import given
from hypothesis import strategies as st

from timesync.model import Record
from timesync.store.local import History, Selection
from timesync.store.window import window

value = st.floats(-1.0, 1.0)
sample = st.tuples(
    value | st.none(), st.floats(0.0, 1.0), st.floats(0.0, 1.0), st.sampled_from(["a", "b"]), st.booleans()
)


def record(at_ns: int, drawn: tuple[float | None, float, float, str, bool]) -> Record:
    error, bound, delay, reference, missed = drawn
    fields: dict[str, float | str] = {"claim": "valid"}
    if not missed:
        fields |= {"offset_s": bound - delay, "bound_s": bound, "delay_s": delay}
        if error is not None:
            fields |= {"time_error_s": error, "time_error_bound_s": bound, "time_error_u_s": bound}
    return Record("time_error", at_ns, {"target": "t", "reference": reference}, fields)


@given(st.lists(sample, min_size=1, max_size=120), st.integers(1, 12), st.integers(0, 50), st.integers(1, 200))
def test_every_extreme_of_every_part_is_in_the_answer(samples, points, start_ns, length_ns):
    with tempfile.TemporaryDirectory() as folder:
        history = History(Path(folder) / "h.sqlite3", read_only=False)
        history.write([record(number, drawn) for number, drawn in enumerate(samples)])
        end_ns = start_ns + length_ns
        found = window(history, Selection("time_error", "t", start_ns, end_ns), points)
        history.close()
    inside = {number: record(number, drawn) for number, drawn in enumerate(samples) if start_ns <= number < end_ns}
    assert found.records == len(inside) == sum(part.records for part in found.parts)
    assert len(found.parts) <= points
    rows = {row[0]: row for row in found.rows}
    assert list(rows) == sorted(rows)
    for at_ns, row in rows.items():  # each is one that was measured, as it was measured
        fields = inside[at_ns].fields
        assert row[1] == fields.get("time_error_s")
        assert row[2] == fields.get("time_error_bound_s")
        assert row[5] == fields.get("delay_s") or row[5] == fields.get("delay_s", math.nan)
    if not found.thinned:
        assert set(rows) == {at_ns for at_ns, each in inside.items() if "offset_s" in each.fields}
    for part in found.parts:
        these = [each for at_ns, each in inside.items() if part.start_ns <= at_ns < part.end_ns]
        shown = [row for at_ns, row in rows.items() if part.start_ns <= at_ns < part.end_ns]
        assert part.measured == sum("offset_s" in each.fields for each in these)
        assert part.claimed == sum("time_error_s" in each.fields for each in these)
        for name, column in (("time_error_s", 1), ("time_error_bound_s", 2), ("delay_s", 5)):
            truth = [float(each.fields[name]) for each in these if name in each.fields]
            seen = [row[column] for row in shown if row[column] is not None]
            assert bool(truth) == bool(seen)
            if truth:
                assert max(seen) == max(truth)
                assert name == "time_error_bound_s" or min(seen) == min(truth)
