"""What is provisioned to Grafana: rules made from the description of alerts, and files that have only keys that Grafana reads.

There is no Grafana here to read them. The keys are those of its documentation ("Provision Grafana", "Use configuration files to
provision alerting resources", "Configure the InfluxDB data source") and of the structures that it reads the files into.
"""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import pytest
import yaml

from timesync.alerts.grafana import expression, provisioning, uid
from timesync.alerts.kinds import KINDS

ROOT = Path(__file__).parents[2]
PROVISIONING = ROOT / "dashboards" / "provisioning"
DATASOURCES = [
    PROVISIONING / "datasources" / "prometheus.yaml",
    *sorted((PROVISIONING / "influxdb").glob("*.yaml")),
    ROOT / "deploy" / "compose" / "grafana-datasources.yaml",
]
OF_A_DATASOURCE = {
    *("orgId", "orgName", "version", "name", "type", "access", "url", "user", "database", "basicAuth", "basicAuthUser"),
    *("withCredentials", "isDefault", "correlations", "jsonData", "secureJsonData", "editable", "uid"),
}
IN_JSON = {
    "prometheus": {"httpMode", "timeInterval", "queryTimeout", "customQueryParameters", "tlsAuthWithCACert"},
    "influxdb": {"version", "dbName", "httpMode", "timeInterval", "maxSeries", "httpHeaderName1", "tlsAuthWithCACert"},
}
OF_A_RULE = {
    *(
        "uid",
        "title",
        "condition",
        "data",
        "dashboardUid",
        "panelId",
        "noDataState",
        "execErrState",
        "for",
        "annotations",
    ),
    *("labels", "isPaused", "notification_settings"),
}
DURATION = r"\d+(ms|s|m|h|d)"


def read(path: Path) -> dict[str, Any]:
    made: dict[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    assert made["apiVersion"] == 1
    return made


def expanded(value: Any) -> Any:
    """A value as Grafana has it once it has looked for variables, with no variable in its environment."""
    if isinstance(value, dict):
        return {name: expanded(each) for name, each in value.items()}
    if not isinstance(value, str):
        return value
    parts = [re.sub(r"\$__file\{[^}]+\}", "SECRET", part) for part in value.split("$$")]
    return "$".join(re.sub(r"\$(\{\w*\}|\w+)", "", part) for part in parts)


# --- datasources ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("path", DATASOURCES, ids=lambda path: path.name)
def test_a_datasource_has_only_keys_that_grafana_reads(path: Path) -> None:
    for source in read(path)["datasources"]:
        assert source.keys() <= OF_A_DATASOURCE
        assert source["jsonData"].keys() <= IN_JSON[source["type"]]
        assert source["access"] == "proxy"
        assert source["uid"] == f"timesync-{source['type']}"
        assert re.fullmatch(r"http://[\w.]+:\d+", source["url"])
        assert source["jsonData"].get("httpMode", "POST") in {"GET", "POST"}


@pytest.mark.parametrize("path", DATASOURCES, ids=lambda path: path.name)
def test_a_datasource_holds_no_secret_and_each_named_header_has_its_value(path: Path) -> None:
    for source in read(path)["datasources"]:
        secrets = source.get("secureJsonData", {})
        for name, value in secrets.items():
            assert re.fullmatch(r"(Token |Bearer )?\$__file\{/\S+\}", value), name
        headers = {name.replace("Name", "Value") for name in source["jsonData"] if name.startswith("httpHeaderName")}
        assert headers == {name for name in secrets if name.startswith("httpHeaderValue")}
        assert ("user" in source) == ("password" in secrets)


def test_influxdb_has_a_variant_for_each_version_and_all_are_asked_by_influxql():
    variants = {path.stem: read(path)["datasources"] for path in DATASOURCES if "influxdb-" in path.name}
    assert [*variants] == ["influxdb-1", "influxdb-2", "influxdb-3"]
    said = {}
    for name, (source,) in variants.items():
        assert (source["jsonData"]["version"], source["jsonData"]["dbName"]) == ("InfluxQL", "timesync")
        said[name] = expanded(source["secureJsonData"])
    assert said == {
        "influxdb-1": {"password": "SECRET"},
        "influxdb-2": {"httpHeaderValue1": "Token SECRET"},
        "influxdb-3": {"httpHeaderValue1": "Bearer SECRET"},
    }


# --- dashboards and folders ------------------------------------------------------------------------------------------------


def test_each_language_has_its_folder_with_a_stable_identity():
    providers = read(PROVISIONING / "dashboards" / "timesync.yaml")["providers"]
    known = {"name", "orgId", "folder", "folderUid", "type", "disableDeletion", "allowUiUpdates", "options"}
    for provider in providers:
        assert provider.keys() <= known | {"updateIntervalSeconds"}
        assert provider["type"] == "file"
        assert provider["options"].keys() <= {"path", "foldersFromFilesStructure"}
    assert [Path(each["options"]["path"]).name for each in providers] == ["en", "zh"]
    assert len({each["folderUid"] for each in providers}) == len({each["name"] for each in providers}) == 2


# --- alerting ------------------------------------------------------------------------------------------------------------


def test_the_rules_of_grafana_are_made_from_the_description():
    remedy = "run: python -m timesync.alerts.grafana > dashboards/provisioning/alerting/timesync.yaml"
    assert (PROVISIONING / "alerting" / "timesync.yaml").read_text(encoding="utf-8") == provisioning(), remedy


def test_each_alert_is_a_rule_with_its_words_and_grafana_reads_every_key():
    made = yaml.safe_load(provisioning())
    assert made.keys() == {"apiVersion", "contactPoints", "groups"}
    (group,) = made["groups"]
    assert group.keys() == {"orgId", "name", "folder", "interval", "rules"}
    assert group["interval"] == "30s"  # a multiple of the ten seconds that Grafana judges by
    assert len(group["rules"]) == len(KINDS)
    for kind, rule in zip(KINDS, group["rules"], strict=True):
        assert rule.keys() <= OF_A_RULE
        assert rule["uid"] == uid(kind)
        assert len(rule["uid"]) <= 40
        assert rule["title"] == kind.title
        assert re.fullmatch(DURATION, rule["for"])
        assert rule["noDataState"] in {"Alerting", "NoData", "OK", "KeepLast"}
        assert rule["execErrState"] in {"Alerting", "Error", "OK", "KeepLast"}
        assert rule["labels"] == expanded(rule["labels"]) == {"severity": kind.level.value}
        assert kind.means in rule["annotations"]["description"]
        assert rule["annotations"]["action"] == kind.action
        assert rule["annotations"]["runbook_url"].endswith(f"#{kind.name}")
        assert "$value" not in str(rule["annotations"])  # it is 1, the number of alerts
        asked, judged = rule["data"]
        assert asked["datasourceUid"] == "timesync-prometheus"
        assert asked["model"]["expr"] == expression(kind)
        assert asked["model"]["instant"] is True
        assert judged["datasourceUid"] == "__expr__"
        assert judged["model"]["expression"] == asked["refId"]
        assert rule["condition"] == judged["refId"]
    assert len({rule["title"] for rule in group["rules"]}) == len(KINDS)


def test_whom_a_rule_tells_is_there():
    made = yaml.safe_load(provisioning())
    (point,) = made["contactPoints"]
    (receiver,) = point["receivers"]
    assert receiver.keys() == {"uid", "type", "settings"}
    assert receiver["settings"] == expanded(receiver["settings"])
    told = {rule["notification_settings"]["receiver"] for rule in made["groups"][0]["rules"]}
    assert told == {point["name"]}
