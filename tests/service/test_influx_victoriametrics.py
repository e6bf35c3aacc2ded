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
    from pathlib import Path

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


async def test_text_becomes_zero_and_a_long_integer_is_rounded(victoria: VictoriaMetrics) -> None:
    sink = InfluxSink(settings(victoria, "v2"))
    fields = {"text": "clock stepped", "t1_ns": AT_NS, "ok": True}
    assert await sink.write([Record("event", AT_NS, {"target": "words"}, fields)]) == []
    await sink.close()
    values = {
        each["metric"]["__name__"]: each["values"] for each in victoria.export('{target="words",__name__=~"event_.*"}')
    }
    assert values["event_text"] == [0]
    assert values["event_ok"] == [1]
    assert values["event_t1_ns"] == [int(float(AT_NS))]  # a double resolves 256 ns here
    assert values["event_t1_ns"] != [AT_NS]


async def test_records_within_a_millisecond_fall_on_one_instant(victoria: VictoriaMetrics) -> None:
    sink = InfluxSink(settings(victoria, "v2"))
    await sink.write([Record("event", AT_NS + number, {"target": "close"}, {"value": 1.0}) for number in range(2)])
    await sink.close()
    (series,) = victoria.export('event_value{target="close"}')
    assert set(series["timestamps"]) == {AT_NS // 10**6}


async def test_writing_twice_is_harmless_only_with_deduplication(
    lab: NeedPrograms, victoria: VictoriaMetrics, tmp_path: Path
) -> None:
    lab("victoria-metrics")
    with VictoriaMetrics(tmp_path, "-dedup.minScrapeInterval=1ms") as deduplicating:
        for server, expected in ((victoria, 2), (deduplicating, 1)):
            sink = InfluxSink(settings(server, "v2"))
            for _ in range(2):
                await sink.write([Record("event", AT_NS, {"target": "twice"}, {"value": 1.0})])
            await sink.close()
            (series,) = server.export('event_value{target="twice"}')
            assert len(series["values"]) == expected
