"""Dashboards: what is committed is what the source makes; each panel says in both languages what to do."""

from __future__ import annotations

import json
import re
from pathlib import Path

import pytest

from dashboards.source.__main__ import FOLDER, files
from dashboards.source.catalogue import DASHBOARDS
from dashboards.source.model import LANGUAGES
from timesync.export.metrics import METRICS

ISSUED = ["network", "target", "ptp", "stability", "holdover", "traceability", "pipeline"]


def test_the_dashboards_are_made_from_their_source():
    made = files()
    committed = {
        path.relative_to(FOLDER).as_posix(): path.read_text(encoding="utf-8") for path in FOLDER.rglob("*.json")
    }
    assert committed == made, "run: python -m dashboards.source"
    assert [dashboard.name for dashboard in DASHBOARDS] == ISSUED


@pytest.mark.parametrize("name", files())
def test_a_dashboard_has_a_stable_identity_links_and_panels_that_do_not_overlap(name: str) -> None:
    made = json.loads(files()[name])
    language, _, rest = name.partition("/")
    stem = Path(rest).stem
    assert made["uid"] == (f"timesync-{stem}" if language == "en" else f"timesync-{stem}-zh")
    assert len(made["uid"]) <= 40  # Grafana's limit
    known = {json.loads(text)["uid"] for text in files().values()}
    assert {link["url"].removeprefix("/d/") for link in made["links"]} <= known - {made["uid"]}
    assert len(made["links"]) == len(DASHBOARDS) - 1
    taken = [
        (x, y)
        for panel in made["panels"]
        for x in range(panel["gridPos"]["x"], panel["gridPos"]["x"] + panel["gridPos"]["w"])
        for y in range(panel["gridPos"]["y"], panel["gridPos"]["y"] + panel["gridPos"]["h"])
    ]
    assert len(taken) == len(set(taken))
    assert max(x for x, _ in taken) < 24
    assert len({panel["id"] for panel in made["panels"]}) == len(made["panels"])


def test_every_panel_says_what_it_is_and_what_to_do_in_both_languages():
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            assert len(panel.title) == len(panel.about) == len(LANGUAGES)
            assert any("\u4e00" <= letter <= "\u9fff" for letter in panel.about[1])
            assert panel.about[0].endswith((".", "?"))


def test_every_metric_that_is_asked_for_exists():
    for dashboard in DASHBOARDS:
        for panel in dashboard.panels:
            for query in panel.queries:
                assert set(re.findall(r"\btimesync_\w+", query.text)) <= METRICS.keys(), query.text
