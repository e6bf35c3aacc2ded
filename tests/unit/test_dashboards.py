"""Dashboards: what is committed is what the source makes; each panel says in both languages what to do."""

from __future__ import annotations

import json
import re
from enum import Enum
from pathlib import Path
from typing import TYPE_CHECKING, Any, Literal, Union, get_args, get_origin, get_type_hints

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins
from grafana_foundation_sdk.models.dashboard import Dashboard as GrafanaDashboard

from dashboards.source.__main__ import FOLDER, files
from dashboards.source.catalogue import DASHBOARDS
from dashboards.source.model import LANGUAGES, SERIES
from dashboards.source.terms import LEGENDS, TERMS, legend, missing
from timesync.alerts.kinds import KINDS
from timesync.export.metrics import METRICS

if TYPE_CHECKING:
    from collections.abc import Iterator

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
    height = 1 + max(y for _, y in taken)
    assert len(taken) == 24 * height  # and no holes
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


# --- Grafana's own types ----------------------------------------------------------------------------------------------------

# What Grafana 11.6's types do not have: the columns of an annotation belong to the plugin of InfluxDB, and the text of a variable's
# query, which the editor shows, is written by Grafana beside the query itself.
OF_PLUGINS = re.compile(r"annotations\.list\.0\.(query|(text|tags|title)Column)|templating\.list\.\d+\.definition")


def lost(before: Any, after: Any, path: str = "") -> Iterator[str]:
    """Whatever of a value is not in another."""
    if isinstance(before, dict):
        for name, value in before.items():
            whole = f"{path}.{name}".lstrip(".")
            if name in after:
                yield from lost(value, after[name], whole)
            else:
                yield whole
    elif isinstance(before, list) and isinstance(after, list) and len(before) == len(after):
        for index, (one, two) in enumerate(zip(before, after, strict=True)):
            yield from lost(one, two, f"{path}.{index}")
    elif before != after:
        yield path


def round_trip(made: dict[str, Any]) -> dict[str, Any]:
    register_default_plugins()
    back: dict[str, Any] = json.loads(json.dumps(GrafanaDashboard.from_json(made), cls=JSONEncoder))
    return back


@pytest.mark.parametrize("name", files())
def test_grafana_s_types_know_every_key_of_a_dashboard(name: str) -> None:
    made = json.loads(files()[name])
    assert [path for path in lost(made, round_trip(made)) if not OF_PLUGINS.fullmatch(path)] == []


def wrong(value: Any, kind: Any, path: str) -> Iterator[str]:
    """Whatever is not of the type, or not one of the words, that Grafana's types have for it."""
    parts = get_args(kind)
    if isinstance(value, dict) and hasattr(kind, "from_json"):  # some are left as they are when they are read
        value = kind.from_json(value)
    if getattr(type(value), "__module__", "").startswith("grafana_foundation_sdk."):
        for name, hint in get_type_hints(type(value)).items():
            yield from wrong(getattr(value, name), hint, f"{path}.{name}".lstrip("."))
    elif get_origin(kind) is Union:
        if value is not None:
            others = [each for each in parts if each is not type(None)]
            yield from min(([*wrong(value, each, path)] for each in others), key=len)
    elif get_origin(kind) is list and isinstance(value, list):
        for index, each in enumerate(value):
            yield from wrong(each, parts[0], f"{path}.{index}")
    elif get_origin(kind) is dict and isinstance(value, dict):
        for name, each in value.items():
            yield from wrong(each, parts[1], f"{path}.{name}")
    elif not is_of(value, kind):
        yield path


def is_of(value: Any, kind: Any) -> bool:
    if get_origin(kind) is Literal:
        return value in get_args(kind)
    if kind is Any or not isinstance(kind, type):
        return get_origin(kind) is None  # else a list or a dictionary was wanted
    if issubclass(kind, Enum):
        return value in [each.value for each in kind]
    if kind is float:
        return isinstance(value, int | float)
    return isinstance(value, kind) and not (kind is int and isinstance(value, bool))


@pytest.mark.parametrize("name", files())
def test_every_value_of_a_dashboard_is_of_the_type_that_grafana_has_for_it(name: str) -> None:
    register_default_plugins()
    made = GrafanaDashboard.from_json(json.loads(files()[name]))
    assert [*wrong(made, GrafanaDashboard, "")] == []


def test_a_value_that_grafana_does_not_take_would_be_found():
    register_default_plugins()
    made = json.loads(files()["en/network.json"])
    made["panels"][0]["options"]["textMode"] = "loud"
    made["panels"][0]["gridPos"]["w"] = "wide"
    made["refresh"] = 30
    found = {*wrong(GrafanaDashboard.from_json(made), GrafanaDashboard, "")}
    assert found == {"panels.0.options.text_mode", "panels.0.grid_pos.w", "refresh"}


def test_a_key_that_grafana_does_not_know_would_be_found():
    made = json.loads(files()["en/network.json"])
    made["panels"][0]["options"]["colour"] = "blue"
    made["panels"][0]["fieldConfig"]["defaults"]["tresholds"] = {}
    assert {"panels.0.options.colour", "panels.0.fieldConfig.defaults.tresholds"} <= set(lost(made, round_trip(made)))


# --- words and colours ------------------------------------------------------------------------------------------------------


def test_a_term_has_one_word_in_chinese():
    texts = [
        (*text, panel.title[0]) for each in DASHBOARDS for panel in each.panels for text in (panel.title, panel.about)
    ]
    texts += [(kind.title, kind.title_zh, kind.name) for kind in KINDS]
    assert {where: lacking for english, chinese, where in texts if (lacking := missing(english, chinese))} == {}
    said = " ".join(english for english, _, _ in texts)
    assert [pattern for pattern, _ in TERMS if not re.search(pattern, said, re.IGNORECASE)] == []


def test_legends_are_put_in_chinese_and_labels_stay():
    assert legend("{{site}} {{target}} round trip", "zh") == "{{site}} {{target}} 往返 时延"
    assert legend("{{upper}} upper", "zh") == "{{upper}} 上界"
    assert legend("upper", "en") == "upper"
    words = {
        word
        for each in DASHBOARDS
        for panel in each.panels
        for query in panel.queries
        for word in re.sub(r"\{\{.*?\}\}|\$\w+", "", query.legend).split()
    }
    assert words - LEGENDS.keys() <= {"1", "h", "s", "u"}
    assert LEGENDS.keys() <= words


def luminance(colour: str) -> float:
    """Relative luminance of an sRGB colour (WCAG 2.1)."""
    parts = [int(colour[index : index + 2], 16) / 255 for index in (1, 3, 5)]
    linear = [part / 12.92 if part <= 0.04045 else ((part + 0.055) / 1.055) ** 2.4 for part in parts]
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2]


def test_only_colours_that_everybody_can_tell_apart_are_used():
    okabe_ito = {"#E69F00", "#56B4E9", "#009E73", "#F0E442", "#0072B2", "#D55E00", "#CC79A7", "#999999"}
    for text in files().values():
        assert set(re.findall(r"#[0-9A-Fa-f]{6}\b", text)) <= okabe_ito
    good, warn = luminance(SERIES[0]), luminance(SERIES[1])
    assert (max(good, warn) + 0.05) / (min(good, warn) + 0.05) > 2.0


def test_a_look_is_that_of_a_query_of_its_panel_and_a_band_has_its_other_end():
    for text in files().values():
        for panel in json.loads(text)["panels"]:
            letters = {target["refId"] for target in panel["targets"]}
            legends = {target.get("legendFormat") for target in panel["targets"]}
            for override in panel["fieldConfig"]["overrides"]:
                if override["matcher"]["id"] == "byFrameRefID":
                    assert override["matcher"]["options"] in letters
                else:  # without slashes Grafana takes a pattern for the whole name
                    assert re.fullmatch("/.+/", override["matcher"]["options"])
                for each in override["properties"]:
                    assert each["id"] != "custom.fillBelowTo" or each["value"] in legends
