"""The InfluxDB sink against a real influxd 1.6: what is written is read back, and each trouble is told as what it is."""

from __future__ import annotations

import asyncio
import random
import re
import time
from typing import TYPE_CHECKING

import pytest
from support.databases import Influxd

from timesync.model import Record
from timesync.settings import InfluxSettings, SpoolSettings
from timesync.store.delivery import Delivery, DeliveryOptions
from timesync.store.influx import InfluxSink
from timesync.store.sink import SinkUnavailableError
from timesync.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Iterator
    from pathlib import Path

    from conftest import NeedPrograms

    from timesync.model import Event

AT_NS = 1_700_000_000_123_456_789


@pytest.fixture(scope="module")
def influxd(lab: NeedPrograms, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Influxd]:
    lab("influxd")
    with Influxd(tmp_path_factory.mktemp("influxd"), max_body=100_000) as server:
        yield server


@pytest.fixture
def database(influxd: Influxd, request: pytest.FixtureRequest) -> str:
    """A fresh database for each test."""
    name = request.node.name.partition("[")[0]
    influxd.command(f'CREATE DATABASE "{name}"')
    return name


@pytest.fixture
async def sink(influxd: Influxd, database: str) -> AsyncIterator[InfluxSink]:
    made = InfluxSink(InfluxSettings("lab", influxd.url, api="v1", database=database))
    yield made
    await made.close()


def record(number: int, measurement: str = "time_error", **fields: float | str | bool) -> Record:
    return Record(measurement, AT_NS + number, {"site": "nim", "target": "a"}, {"number": number, **fields})


async def test_every_kind_of_value_is_read_back_exactly(influxd: Influxd, database: str, sink: InfluxSink) -> None:
    fields = {
        "offset_s": -1.25e-7,
        "bound_s": 5e-324,
        "large": 1.7e308,
        "t1_ns": 2**63 - 1,
        "low": -(2**63),
        "ok": True,
        "text": "é",
    }
    assert await sink.write([Record("time_error", AT_NS, {"site": "nim", "target": "a"}, fields)]) == []
    (row,) = influxd.select("SELECT * FROM time_error", database)
    assert row == {"time": AT_NS, "site": "nim", "target": "a", **fields}


async def test_awkward_names_and_texts_are_read_back_exactly(influxd: Influxd, database: str, sink: InfluxSink) -> None:
    draw = random.Random(20240607)
    alphabet = "ab ,=\"\\'#%é\u2028\t\r{}[]|\U0001f552/;:"

    def name() -> str:
        """A name without the one thing that line protocol cannot say: a backslash before a special character."""
        return "n" + re.sub(r"\\[,= \"\\]", "-", "".join(draw.choices(alphabet, k=6))) + "z"

    sent = [
        Record(
            "m " + name(),
            AT_NS + number,
            {"target": f"{number:03}", "tag" + name(): name()},
            {"f" + name(): name() + "\n\\"},
        )
        for number in range(200)
    ]
    assert await sink.write(sent) == []
    back = {row["target"]: row for row in influxd.select("SELECT * FROM /.*/", database)}
    for each in sent:
        found = {key: value for key, value in back[each.tags["target"]].items() if value is not None}
        assert found == {"time": each.at_ns, **each.tags, **each.fields}
    measurements = {row["name"] for row in influxd.select("SHOW MEASUREMENTS", database)}
    assert measurements == {each.measurement for each in sent}


async def test_writing_twice_stores_once(influxd: Influxd, database: str, sink: InfluxSink) -> None:
    sent = [record(number) for number in range(100)]
    await sink.write(sent)
    await sink.write(sent)
    assert influxd.select("SELECT count(number) FROM time_error", database)[0]["count"] == 100


@pytest.mark.parametrize("bad", [[37], [0, 99], list(range(40, 60))])
async def test_line_of_another_type_is_refused_alone(
    influxd: Influxd, database: str, sink: InfluxSink, bad: list[int]
) -> None:
    influxd.command(f'DROP DATABASE "{database}"')
    influxd.command(f'CREATE DATABASE "{database}"')
    await sink.write([record(-1, value=1.0)])
    sent = [record(number, value="a text" if number in bad else 2.0) for number in range(100)]
    refusals = await sink.write(sent)
    assert [each.record for each in refusals] == [sent[number] for number in bad]
    assert all("field type conflict" in each.reason for each in refusals)
    assert influxd.select("SELECT count(value) FROM time_error", database)[0]["count"] == 101 - len(bad)


async def test_record_older_than_the_retention_is_refused_and_the_rest_is_stored(
    influxd: Influxd, database: str
) -> None:
    influxd.command(f'CREATE RETENTION POLICY "short" ON "{database}" DURATION 26w REPLICATION 1 DEFAULT')
    sink = InfluxSink(InfluxSettings("lab", influxd.url, api="v1", database=database, retention_policy="short"))
    now_ns = time.time_ns()
    old = [Record("time_error", 10**18 + number, {"target": "a"}, {"x": 1.0}) for number in range(50)]
    new = [Record("time_error", now_ns + number, {"target": "a"}, {"x": 1.0}) for number in range(50)]
    refusals = await sink.write([*old, *new])
    await sink.close()
    assert [each.record for each in refusals] == old
    assert influxd.select("SELECT count(x) FROM short.time_error", database)[0]["count"] == 50


async def test_batch_that_is_too_large_is_halved_until_it_fits(influxd: Influxd, database: str) -> None:
    settings = InfluxSettings("lab", influxd.url, api="v1", database=database, gzip=False)
    sink = InfluxSink(settings)
    sent = [record(number, text="x" * 1000) for number in range(500)]  # half a megabyte; the server takes 100 kB
    assert await sink.write(sent) == []
    huge = record(1000, text="x" * 200_000)
    refusals = await sink.write([huge, record(1001)])
    await sink.close()
    assert [each.record for each in refusals] == [huge]
    assert "413" in refusals[0].reason
    assert influxd.select("SELECT count(number) FROM time_error", database)[0]["count"] == 501


async def test_missing_database_makes_the_batch_wait(influxd: Influxd) -> None:
    sink = InfluxSink(InfluxSettings("lab", influxd.url, api="v1", database="absent"))
    with pytest.raises(SinkUnavailableError, match="database not found"):
        await sink.write([record(1)])
    await sink.close()


async def test_api_that_this_release_does_not_have_makes_the_batch_wait(influxd: Influxd) -> None:
    sink = InfluxSink(InfluxSettings("lab", influxd.url, api="v2", bucket="timesync"))
    with pytest.raises(SinkUnavailableError, match="v1 for InfluxDB 1"):
        await sink.write([record(1)])
    await sink.close()


async def test_password_is_read_again_when_the_file_changes_and_never_shown(lab: NeedPrograms, tmp_path: Path) -> None:
    lab("influxd")
    password = tmp_path / "password"
    password.touch(mode=0o600)
    password.write_text("wrong-secret\n")
    (tmp_path / "influxd").mkdir()
    with Influxd(tmp_path / "influxd", auth=True) as server:
        server.command("CREATE USER admin WITH PASSWORD 'right-secret' WITH ALL PRIVILEGES")
        server.command("CREATE DATABASE timesync", u="admin", p="right-secret")
        settings = InfluxSettings(
            "lab", server.url, api="v1", database="timesync", username="admin", password_file=password
        )
        sink = InfluxSink(settings)
        with pytest.raises(SinkUnavailableError, match="credentials are not accepted") as caught:
            await sink.write([record(1)])
        assert "wrong-secret" not in str(caught.value)
        password.write_text("right-secret\n")
        assert await sink.write([record(1)]) == []
        await sink.close()
        assert server.select("SELECT number FROM time_error", u="admin", p="right-secret")[0]["number"] == 1


async def test_database_that_comes_back_gets_what_gathered_meanwhile_once(lab: NeedPrograms, tmp_path: Path) -> None:
    """The whole way: spool, delivery, a server that is stopped and started again."""
    lab("influxd")
    (tmp_path / "influxd").mkdir()
    server = Influxd(tmp_path / "influxd")
    with server:
        server.command("CREATE DATABASE timesync")
        sink = InfluxSink(
            InfluxSettings("central", server.url, api="v1", database="timesync", timeout_s=5.0, batch_size=100)
        )
        spool = Spool(SpoolSettings(tmp_path / "spool"), ["central"], time.time_ns)
        options = DeliveryOptions(linger_s=0.01, first_pause_s=0.05, longest_pause_s=0.2)
        events: list[Event] = []
        delivery = Delivery(
            spool, [sink], clock_ns=time.time_ns, uniform=lambda: 0.5, report=events.append, options=options
        )
        task = asyncio.create_task(delivery.run())
        for number in range(3000):
            if number == 500:
                await asyncio.to_thread(server.stop)
            if number == 2500:
                await asyncio.to_thread(server.start)
            spool.append([record(number)])
            delivery.wake()
            await asyncio.sleep(0)
        async with asyncio.timeout(30):
            while delivery.status().depth:
                await asyncio.sleep(0.05)
        assert await delivery.stop(5)
        await task
        spool.close()
        rows = await asyncio.to_thread(server.select, "SELECT number FROM time_error")
        assert [row["number"] for row in rows] == list(range(3000))
        assert {"sink_unavailable", "sink_recovered"} <= {event.kind for event in events}
