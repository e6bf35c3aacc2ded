"""UTC - UTC(k) between and past the published dates, against what was published later."""

from __future__ import annotations

from math import hypot, sqrt

import numpy as np
import pytest

from timesync.reference.published import UNAVAILABLE, Label, Published, UtcBook, UtcTable
from timesync.reference.recompute import LABELS, utc_minus
from timesync.timescale import NS_PER_DAY, mjd_to_unix_ns

NS = 1e-9
# UTC - UTC(TP), ns, at five-day steps from MJD 55194 (Circular T 265 to 271, January to July 2010), as the laboratory publishes it.
TP = (
    *(-15.5, -18.4, -16.9, -11.5, -10.5, -17.6, -19.7),
    *(-19.7, -12.9, -19.0, -13.7, -10.9, -10.8),
    *(-12.2, -9.4, -6.4, -8.1, -12.6, -14.0),
    *(-9.0, -12.4, -6.7, -6.6, -7.5, -9.2),
    *(-9.0, -4.5, -4.3, -10.0, -10.9, -12.5),
    *(-9.9, -5.9, -10.5, -8.2, -6.5, -10.9),
    *(-18.6, -15.9, -16.0, -17.1, -11.7, -8.1),
)


def final(mjd: int, value_ns: float, u_ns: float | None = 5.0, issue: str = "Circular T 265") -> Published:
    return Published(mjd, value_ns * NS, None if u_ns is None else u_ns * NS, rapid=False, issue=issue)


def rapid(mjd: int, value_ns: float) -> Published:
    return Published(mjd, value_ns * NS, None, rapid=True, issue="UTCr 1001")


def at(mjd: float) -> int:
    return mjd_to_unix_ns(int(mjd), round(mjd % 1 * NS_PER_DAY))


def test_a_published_value_is_given_back_at_its_date() -> None:
    table = UtcTable("TP", [final(55194, -15.5), final(55199, -18.4), final(55204, -16.9)])
    found = table.at(at(55199))
    assert found.label is Label.FINAL
    assert found.value_s == pytest.approx(-18.4 * NS)
    assert (found.u_s, found.u_interpolation_s) == (pytest.approx(5 * NS), 0.0)


def test_the_middle_of_five_days_costs_2_24_ns() -> None:
    """2 ns / sqrt(day) of a caesium clock: 2 sqrt(2.5 * 2.5 / 5) = 2.236 ns."""
    found = UtcTable("TP", [final(55194, -15.5), final(55199, -18.5)]).at(at(55196.5))
    assert found.value_s == pytest.approx(-17.0 * NS)
    assert found.u_interpolation_s == pytest.approx(2.236 * NS, rel=1e-3)
    assert found.total_u_s == pytest.approx(hypot(5.0, 2.236) * NS, rel=1e-3)


def test_a_later_issue_replaces_the_value_of_an_earlier_one() -> None:
    values = [final(55194, 1.0), final(55199, 2.0), final(55199, 3.0, issue="Circular T 266")]
    assert UtcTable("TP", values).at(at(55199) - 1).value_s == pytest.approx(3.0 * NS)


def test_past_the_last_date_the_mean_rate_goes_on_and_u_grows() -> None:
    values = [final(mjd, 10.0 + 2.0 * (mjd - 55194)) for mjd in range(55194, 55215, 5)]  # 2 ns a day
    table = UtcTable("TP", values)
    found = [table.at(at(55214 + days)) for days in (0, 5, 20)]
    assert [each.label for each in found] == [Label.PREDICTED] * 3
    assert [each.value_s for each in found] == pytest.approx([50.0 * NS, 60.0 * NS, 90.0 * NS])
    # the walk of d days, and that of the rate over 20 days: at d = 20 sqrt(2) tau OADEV(tau), as for any two-point prediction
    assert found[2].u_interpolation_s == pytest.approx(2.0 * NS * sqrt(20 + 20 * 20 / 20))
    assert found[0].u_interpolation_s < found[1].u_interpolation_s < found[2].u_interpolation_s


def test_a_prediction_does_not_go_on_for_ever() -> None:
    table = UtcTable("TP", [final(55194, 1.0), final(55199, 2.0)])
    assert table.at(at(55199 + 69)).label is Label.PREDICTED
    assert table.at(at(55199 + 70)) is UNAVAILABLE
    assert table.at(at(55193)) is UNAVAILABLE
    assert UtcTable("TP", []).at(at(55199)) is UNAVAILABLE


def test_a_gap_of_several_dates_is_not_bridged() -> None:
    table = UtcTable("TP", [final(55194, 1.0), final(55199, 2.0), final(55224, 3.0)])
    assert table.at(at(55205)) is UNAVAILABLE


def test_rapid_values_lead_on_from_the_final_ones() -> None:
    table = UtcTable("TP", [final(55194, 1.0), final(55199, 2.0), *(rapid(mjd, 3.0) for mjd in range(55195, 55207))])
    assert table.at(at(55196)).label is Label.FINAL
    found = table.at(at(55203.5))
    assert (found.label, found.issue) == (Label.RAPID, "UTCr 1001")
    assert found.value_s == pytest.approx(3.0 * NS)
    assert found.u_s == pytest.approx(
        hypot(5.0, 2.0) * NS
    )  # UTCr follows UTC to 2 ns; the laboratory's u is that of Circular T
    assert table.at(at(55206)).label is Label.PREDICTED


def test_where_no_uncertainty_is_published_there_is_none() -> None:
    table = UtcTable("NEW", [final(55194, 1.0, None), final(55199, 2.0, None)])
    found = table.at(at(55196))
    assert (found.label, found.u_s, found.total_u_s) == (Label.FINAL, None, None)


def test_predictions_of_utc_tp_agree_with_what_was_published_later() -> None:
    """Each month from those before, as at the end of the month: of 36 predictions at most 2 u off in 95 %, so 34 or more here."""
    errors = []
    for month in range(6):
        count = 7 + 6 * month
        table = UtcTable("TP", [final(55194 + 5 * number, value) for number, value in enumerate(TP[:count])])
        for number in range(count, count + 6):
            found = table.at(at(55194 + 5 * number))
            assert found.label is Label.PREDICTED
            assert found.total_u_s is not None
            errors.append((TP[number] * NS - found.value_s) / found.total_u_s)
    assert len(errors) == 36
    assert sum(abs(error) <= 2.0 for error in errors) >= 34


def test_a_whole_series_is_computed_as_one_by_one() -> None:
    values = [final(55194 + 5 * number, value) for number, value in enumerate(TP)]
    values += [rapid(55194 + 5 * 42 + day, -8.0 + 0.1 * day) for day in range(1, 9)]
    table = UtcTable("TP", values)
    at_ns = np.arange(at(55190), at(55440), NS_PER_DAY // 7, dtype=np.int64)
    x_s = np.linspace(-1e-6, 1e-6, len(at_ns))
    u_s = np.full(len(at_ns), 30e-9)
    series = utc_minus(table, at_ns, x_s, u_s)
    for index, instant in enumerate(at_ns.tolist()):
        one = table.at(instant)
        assert LABELS[series.label[index]] is one.label
        if one is UNAVAILABLE:
            assert np.isnan(series.value_s[index])
        else:
            assert one.total_u_s is not None
            assert series.value_s[index] == pytest.approx(one.value_s - x_s[index], abs=1e-15)
            assert series.u_s[index] == pytest.approx(hypot(one.total_u_s, 30e-9), rel=1e-9)
    assert {LABELS[code] for code in np.unique(series.label)} == set(Label)


def test_the_newest_date_of_each_publication_is_told() -> None:
    table = UtcTable("TP", [final(55194, 1.0), final(55199, 2.0), rapid(55201, 3.0), rapid(55200, 3.0)])
    told = {publication: until_ns for _, publication, _, until_ns in UtcBook({"TP": table}).newest()}
    assert told == {"circular_t": at(55199), "utcr": at(55201)}
    assert UtcBook({"NEW": UtcTable("NEW", [])}).newest() == []
