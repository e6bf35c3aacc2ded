"""The text that a scrape gets: always readable, whatever the labels and values hold."""

from __future__ import annotations

import asyncio
import math

import pytest
from support import promtext

from timesync.export import prometheus
from timesync.export.families import Kind, Life, Metric, Subject
from timesync.export.metrics import METRICS
from timesync.export.prometheus import CONTENT_TYPE, Exposition, check_table, render
from timesync.export.samples import Sample
from timesync.model import Record


def sample(value: object, name: str = "timesync_delay_seconds", **labels: str) -> Sample:
    return Sample(name, labels, value)  # type: ignore[arg-type]  # wrong kinds of value on purpose


def test_escapes_are_those_of_the_format_description():
    # The example of "Exposition formats": a Windows path, a quoted word and a line feed.
    body, _ = render([sample(1, site="C:\\DIR\\FILE.TXT", target='Cannot find file:\n"FILE.TXT"')])
    line = r'timesync_delay_seconds{site="C:\\DIR\\FILE.TXT",target="Cannot find file:\n\"FILE.TXT\""} 1.0'
    assert line in body.decode().splitlines()


def test_a_surrogate_is_written_visibly_and_the_page_stays_utf8():
    body, _ = render([sample(1, target="ntp\udc80")])
    assert promtext.value(promtext.read(body), "timesync_delay_seconds", target="ntp\\udc80") == 1


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf, "1.0", b"1", None, 10**400, 1j], ids=repr)
def test_what_is_not_a_finite_number_is_left_out_and_counted(value):
    body, refused = render([sample(value, target="a"), sample(2.0, target="b")])
    assert promtext.read(body)["timesync_delay_seconds"].series == {(("target", "b"),): 2.0}
    assert refused == {"timesync_delay_seconds": 1}


def test_a_metric_outside_the_table_is_refused():
    with pytest.raises(KeyError, match="timesync_unknown"):
        render([sample(1.0, name="timesync_unknown")])


def test_a_label_that_the_metric_does_not_have_is_refused():
    with pytest.raises(ValueError, match="timesync_delay_seconds has no label city"):
        render([sample(1.0, city="Beijing")])


@pytest.mark.parametrize(
    ("name", "label"), [("timesync-offset", "site"), ("0ffset", "site"), ("offset", "__name"), ("offset", "my-site")]
)
def test_a_table_with_a_name_that_prometheus_would_not_take_is_refused(name, label):
    entry = Metric(name, Kind.GAUGE, Subject.PROCESS, Life.KEPT, "help", (label,))
    with pytest.raises(ValueError, match=r"not a (metric|label) name"):
        check_table({name: entry})


def test_help_with_a_line_feed_or_backslash_stays_on_its_line(monkeypatch):
    text = "first\nsecond \\ third"
    entry = Metric("timesync_test", Kind.GAUGE, Subject.PROCESS, Life.KEPT, text)
    monkeypatch.setattr(prometheus, "metric", lambda name: entry)
    body, _ = render([sample(1.0, name="timesync_test")])
    assert promtext.read(body)["timesync_test"].help == text


def test_the_thread_gives_way_again_and_again():
    breaths = []
    render([sample(1.0, target=str(number)) for number in range(640)], lambda: breaths.append(1))
    assert len(breaths) == 20  # ten times 64 series, gathered and then written


# The exposition as the daemon uses it.


def record(target: str, **fields: float) -> Record:
    return Record("time_error", 10**18, {"site": "NIM", "probe": "p1", "target": target, "protocol": "ntp"}, fields)


class Clock:
    """Monotonic seconds by hand."""

    def __init__(self) -> None:
        self.now_s = 1000.0

    def __call__(self) -> float:
        return self.now_s


async def test_a_scrape_shows_targets_build_and_process_and_only_names_of_the_table():
    exposition = Exposition("NIM", "p1", tallies=dict, clock=Clock())
    exposition.add_target("a", protocol="ntp", interval_s=1.0)
    exposition.observe(record("a", offset_s=0.25))
    read = promtext.read(await exposition.expose())
    assert promtext.value(read, "timesync_offset_seconds", site="NIM", probe="p1", target="a", protocol="ntp") == 0.25
    assert promtext.value(read, "timesync_build_info") == 1
    assert promtext.value(read, "process_resident_memory_bytes") > 1e6
    assert promtext.value(read, "process_cpu_seconds_total") > 0
    assert promtext.value(read, "process_open_fds") >= 3
    for name, family in read.items():
        assert family.kind == METRICS[name].kind.value
        assert family.help == METRICS[name].help


async def test_time_passes_by_the_clock_that_was_given():
    clock = Clock()
    exposition = Exposition("NIM", "p1", tallies=dict, clock=clock)
    exposition.add_target("a", protocol="ntp", interval_s=1.0)
    exposition.observe(record("a", offset_s=0.25))
    clock.now_s += 60.0
    assert "timesync_offset_seconds" not in promtext.read(await exposition.expose())


async def test_values_that_could_not_be_shown_are_counted_from_scrape_to_scrape():
    exposition = Exposition("NIM", "p1", tallies=dict, clock=Clock())
    exposition.add_target("a", protocol="ntp", interval_s=1.0)
    exposition.observe(record("a", offset_s=math.nan))
    counts = []
    for _ in range(3):
        read = promtext.read(await exposition.expose())
        assert "timesync_offset_seconds" not in read
        counts.append(promtext.value(read, "timesync_exposition_refused_total", metric="timesync_offset_seconds"))
    assert counts == [None, 1, 2]


async def test_scrapes_at_the_same_time_share_one_rendering(monkeypatch):
    calls = []
    real = prometheus.render

    def counting(*arguments):
        calls.append(1)
        return real(*arguments)

    monkeypatch.setattr(prometheus, "render", counting)
    exposition = Exposition("NIM", "p1", tallies=dict, clock=Clock())
    bodies = await asyncio.gather(*(exposition.expose() for _ in range(5)))
    assert all(body == bodies[0] for body in bodies)
    assert len(calls) == 1
    await exposition.expose()
    assert len(calls) == 2


async def test_a_scraper_that_hangs_up_does_not_spoil_the_scrape_of_another():
    exposition = Exposition("NIM", "p1", tallies=dict, clock=Clock())
    first = asyncio.create_task(exposition.expose())
    second = asyncio.create_task(exposition.expose())
    await asyncio.sleep(0)
    first.cancel()
    assert promtext.read(await second)
    assert promtext.read(await exposition.expose())


def test_the_content_type_is_that_of_the_text_format():
    assert CONTENT_TYPE == "text/plain; version=0.0.4; charset=utf-8"
