"""The InfluxDB sink against a real VictoriaMetrics, by both interfaces; and what VictoriaMetrics makes of our records."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
from support.databases import VictoriaMetrics

from timesync.model import Record
from timesync.settings import InfluxSettings
from timesync.store.influx import InfluxSink

if TYPE_CHECKING:
    from collections.abc import Iterator

    from conftest import NeedPrograms

AT_NS = 1_700_000_000_123_456_789


@pytest.fixture(scope="module")
def victoria(lab: NeedPrograms, tmp_path_factory: pytest.TempPathFactory) -> Iterator[VictoriaMetrics]:
    lab("victoria-metrics")
    with VictoriaMetrics(tmp_path_factory.mktemp("victoria")) as server:
        yield server


def settings(server: VictoriaMetrics, api: str) -> InfluxSettings:
    if api == "v2":
        return InfluxSettings("lab", server.url, api="v2", bucket="timesync", organisation="lab")
    return InfluxSettings("lab", server.url, api="v1", database="timesync")


@pytest.mark.parametrize("api", ["v1", "v2"])
async def test_numbers_arrive_with_their_tags_and_instants_cut_to_milliseconds(
    victoria: VictoriaMetrics, api: str
) -> None:
    sink = InfluxSink(settings(victoria, api))
    tags = {"site": "nim", "target": f"over {api}"}
    sent = [
        Record(
            "time_error",
            AT_NS + number * 10**9,
            tags,
            {"offset_s": number * 1e-9, "stratum": 1, "ok": True, "mode": "basic"},
        )
        for number in range(100)
    ]
    assert await sink.write(sent) == []
    await sink.close()
    (offset,) = victoria.export(f'time_error_offset_s{{target="over {api}"}}')
    assert offset["metric"]["site"] == "nim"
    assert offset["timestamps"] == [each.at_ns // 10**6 for each in sent]
    assert offset["values"] == pytest.approx([each.fields["offset_s"] for each in sent], rel=1e-12)
    (stratum,) = victoria.export(f'time_error_stratum{{target="over {api}"}}')
    assert set(stratum["values"]) == {1}
    (ok,) = victoria.export(f'time_error_ok{{target="over {api}"}}')
    assert set(ok["values"]) == {1}


async def test_two_records_within_a_millisecond_become_one_instant(victoria: VictoriaMetrics) -> None:
    sink = InfluxSink(settings(victoria, "v2"))
    await sink.write(
        [Record("event", AT_NS + number, {"target": "close"}, {"value": float(number)}) for number in range(2)]
    )
    await sink.close()
    (series,) = victoria.export('event_value{target="close"}')
    assert len(set(series["timestamps"])) == 1


async def test_text_is_not_kept_as_text(victoria: VictoriaMetrics) -> None:
    sink = InfluxSink(settings(victoria, "v2"))
    await sink.write([Record("event", AT_NS, {"target": "words"}, {"text": "clock stepped", "value": 1.0})])
    await sink.close()
    victoria.export('event_value{target="words"}')
    found = victoria.export('event_text{target="words"}')
    assert all(set(series["values"]) == {0} for series in found)
