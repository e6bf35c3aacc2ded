"""The rules for Prometheus, by Prometheus' own promtool: each alert fires for its fault, alone, and none does where all is well."""

from __future__ import annotations

import json
import subprocess
from pathlib import Path
from typing import TYPE_CHECKING

import pytest
from support.debian import binary, environment

from timesync.alerts.kinds import KIND_OF, KINDS
from timesync.alerts.prometheus import rules

if TYPE_CHECKING:
    from collections.abc import Mapping

DAY_S = 86_400
STEP_S = 60
END = "END"  # how many steps a series goes on; put in for each scenario


def labels(target: str, **more: str) -> str:
    own = {"site": "s", "probe": "p", "target": target, "protocol": "ntp", **more}
    return "{" + ",".join(f'{name}="{value}"' for name, value in own.items()) + "}"


def steps(minutes: float) -> int:
    return round(minutes * 60 / STEP_S)


def steady(value: float) -> str:
    return f"{value:g}+0x{END}"


PROBE = '{site="s",probe="p"}'
UP = 'up{job="timesync",instance="i"}'


def master(name: str) -> str:
    return "timesync_ptp_master_info" + labels(
        "t", grandmaster=name, port_identity=f"{name}-1", domain="0", timescale="ptp"
    )


def well() -> dict[str, str]:
    """A site where all is well: two references that agree, and a target within its limit of 100 us."""
    series = {
        "timesync_time_error_seconds" + labels("t", reference="utc"): steady(5e-6),
        "timesync_time_error_bound_seconds" + labels("t", reference="utc"): steady(20e-6),
        "timesync_limit_seconds" + labels("t", limit="rts25-100us"): steady(1e-4),
        "timesync_target_info" + labels("t", reference="utc", role="target"): steady(1),
        "timesync_leap_disagreement" + labels("t"): steady(0),
        "timesync_ptp_clock_class" + labels("t"): steady(6),
        master("a"): steady(1),
        "timesync_clock_steps_total" + PROBE: steady(0),
        "timesync_leap_table_expiry_timestamp_seconds" + PROBE: steady(200 * DAY_S),
        "timesync_certificate_expiry_timestamp_seconds" + PROBE: steady(6 * DAY_S),  # of seven, renewed a day ago
        "timesync_certificate_start_timestamp_seconds" + PROBE: steady(-DAY_S),
        "timesync_spool_bytes" + PROBE: steady(4096),
        "timesync_spool_limit_bytes" + PROBE: steady(1e9),
        "timesync_spool_writable" + PROBE: steady(1),
        UP: steady(1),
    }
    for target in ("t", "utc", "utc2"):
        series["timesync_utc_claim" + labels(target)] = steady(1)
        series["timesync_utc_claim_carried" + labels(target)] = steady(0)
        series["timesync_reachability_ratio" + labels(target)] = steady(1)
        series["timesync_poll_interval_seconds" + labels(target)] = steady(16)
        series["timesync_last_sample_timestamp_seconds" + labels(target)] = f"0+{STEP_S}x{END}"
    for target in ("utc", "utc2"):
        series["timesync_target_info" + labels(target, reference=target, role="reference")] = steady(1)
        series["timesync_time_error_seconds" + labels(target, reference=target)] = steady(0)
        series["timesync_time_error_bound_seconds" + labels(target, reference=target)] = steady(1e-7)
        series["timesync_offset_seconds" + labels(target)] = steady(1e-3)
        series["timesync_offset_bound_seconds" + labels(target)] = steady(1e-4)
        series["timesync_tie_expiry_timestamp_seconds" + labels(target)] = steady(100 * DAY_S)
    return series


ERROR = "timesync_time_error_seconds" + labels("t", reference="utc")
# For each alert: what differs from a site that is well, when to look, and whom it names.
FAULTS: Mapping[str, tuple[dict[str, str], str, str]] = {
    "reference_lost": (
        {"timesync_utc_claim" + labels("utc"): steady(0), "timesync_utc_claim" + labels("t"): steady(0)},
        *("20m", "utc"),
    ),
    "unreachable": ({"timesync_reachability_ratio" + labels("t"): steady(0)}, "20m", "t"),
    "stale": ({"timesync_last_sample_timestamp_seconds" + labels("t"): steady(0)}, "20m", "t"),
    "loss": ({"timesync_reachability_ratio" + labels("t"): steady(0.625)}, "20m", "t"),
    "certain_breach": ({ERROR: steady(-121e-6)}, "20m", "t"),
    "possible_breach": ({ERROR: steady(81e-6)}, "20m", "t"),
    "forecast_breach": ({ERROR: f"0+{20e-6 * STEP_S / 3600:g}x{END}"}, "150m", "t"),
    "not_traceable": ({"timesync_utc_claim" + labels("t"): steady(0)}, "20m", "t"),
    "holdover": ({"timesync_ptp_clock_class" + labels("t"): steady(7)}, "20m", "t"),
    "leap_trouble": ({"timesync_leap_disagreement" + labels("t"): steady(1)}, "20m", "t"),
    "grandmaster_change": (
        {master("a"): f"1+0x{steps(5)} stale", master("b"): f"_x{steps(5)} 1+0x{END}"},
        *("8m", "t"),
    ),
    "tie_expiring": ({"timesync_tie_expiry_timestamp_seconds" + labels("utc"): steady(13 * DAY_S)}, "20m", "utc"),
    "reference_disagreement": ({"timesync_offset_seconds" + labels("utc2"): steady(5e-3)}, "20m", ""),
    "clock_stepped": ({"timesync_clock_steps_total" + PROBE: f"0+0x{steps(5)} 1+0x{END}"}, "8m", ""),
    "leap_list_expiring": ({"timesync_leap_table_expiry_timestamp_seconds" + PROBE: steady(29 * DAY_S)}, "20m", ""),
    "certificate_expiring": (
        {
            "timesync_certificate_expiry_timestamp_seconds" + PROBE: steady(13 * DAY_S),
            "timesync_certificate_start_timestamp_seconds" + PROBE: steady(-77 * DAY_S),
        },
        *("20m", ""),
    ),
    "spool_unwritable": ({"timesync_spool_writable" + PROBE: steady(0)}, "20m", ""),
    "spool_filling": (
        {"timesync_spool_bytes" + PROBE: steady(8.1e8), "timesync_spool_oldest_timestamp_seconds" + PROBE: steady(0)},
        *("20m", ""),
    ),
    "spool_growing": ({"timesync_spool_oldest_timestamp_seconds" + PROBE: steady(0)}, "20m", ""),
    "probe_down": ({UP: steady(0)}, "20m", ""),
}


def fires(at: str, *expected: tuple[str, str]) -> dict[str, object]:
    """At this time these alerts fire (kind, target) and no others."""
    samples = []
    for name, target in expected:
        whom = f',target="{target}"' if target else ""
        samples.append({"labels": f'{{alertname="{KIND_OF[name].rule}"{whom}}}', "value": 1})
    return {
        "expr": 'count by (alertname, target) (ALERTS{alertstate="firing"})',
        "eval_time": at,
        "exp_samples": samples,
    }


def scenario(name: str, changes: dict[str, str], *looks: dict[str, object]) -> dict[str, object]:
    minutes = max(int(str(look["eval_time"]).removesuffix("m")) for look in looks)
    last = str(steps(minutes) + 1)
    series = [{"series": key, "values": values.replace(END, last)} for key, values in {**well(), **changes}.items()]
    return {"name": name, "interval": f"{STEP_S}s", "input_series": series, "promql_expr_test": list(looks)}


def of_hysteresis() -> list[dict[str, object]]:
    """Above `clear` a firing alert goes on and none begins; a silence of less than its hold is no end."""
    between, beyond, within = 75e-6, 81e-6, 5e-6
    name = ("possible_breach", "t")
    return [
        scenario("a value between clear and threshold begins nothing", {ERROR: steady(between)}, fires("40m")),
        scenario(
            "and keeps what fires",
            {ERROR: f"{beyond:g}+0x{steps(20)} {between:g}+0x{steps(50)} {within:g}+0x{END}"},
            *(fires("18m", name), fires("60m", name), fires("74m", name), fires("78m")),
        ),
        scenario(
            "a dead reference does not hide a target that is unreachable",
            {
                "timesync_utc_claim" + labels("utc"): steady(0),
                "timesync_utc_claim" + labels("t"): steady(0),
                "timesync_reachability_ratio" + labels("t"): steady(0),
            },
            fires("20m", ("reference_lost", "utc"), ("unreachable", "t")),
        ),
    ]


def state(name: str) -> dict[str, str]:
    """The state that the watch for holdovers sees the target in."""
    names = ("unknown", "freerun", "acquiring", "locked", "holdover", "holdover_out")
    return {"timesync_holdover_state" + labels("t", state=each): steady(each == name) for each in names}


def of_holdover() -> list[dict[str, object]]:
    """A clock that runs free is foreseen by its model; one that is steered, or without a model, by the line."""
    within = "timesync_holdover_time_to_own_limit_seconds" + labels("t", limit="rts25-100us")
    drifting = {ERROR: f"0+{20e-6 * STEP_S / 3600:g}x{END}"}
    no_class = {"timesync_ptp_clock_class" + labels("t"): f"_x{END}"}
    name = ("forecast_breach", "t")
    coasts = ("holdover", "t")
    return [
        scenario("three hours left by the model", {**state("freerun"), within: steady(3 * 3600)}, fires("40m", name)),
        scenario("five hours left by the model", {**state("freerun"), within: steady(5.1 * 3600)}, fires("40m")),
        scenario("the model is not asked of a steered clock", {**state("locked"), within: steady(60)}, fires("75m")),
        scenario(
            "the model knows better than the line",
            {**state("holdover"), **drifting, within: steady(20 * 3600)},
            fires("150m", coasts),
        ),
        scenario("the line where there is no model", {**state("holdover"), **drifting}, fires("150m", name, coasts)),
        scenario(
            "it goes on until an hour more is left",
            {
                **state("freerun"),
                within: f"{3 * 3600}+0x{steps(50)} {4.5 * 3600:g}+0x{steps(50)} {5.1 * 3600:g}+0x{END}",
            },
            *(fires("48m", name), fires("90m", name), fires("135m")),
        ),
        scenario("an NTP server that is seen to coast", {**state("holdover"), **no_class}, fires("20m", coasts)),
    ]


def of_carried_claims() -> list[dict[str, object]]:
    """The reference is lost, and claims go on by the probe's clock with a bound that grows: one alert, and what is certain."""
    lost = {
        "timesync_utc_claim" + labels("utc"): steady(0),
        "timesync_utc_claim_carried" + labels("utc"): f"_x{END}",
        "timesync_utc_claim_carried" + labels("t"): steady(1),
        "timesync_time_error_bound_seconds" + labels("t", reference="utc"): f"2e-5+{30e-6 * STEP_S:g}x{END}",
    }
    reference = ("reference_lost", "utc")
    back = {
        "timesync_utc_claim_carried" + labels("t"): f"1+0x{steps(120)} 0+0x{END}",
        ERROR: f"0+{30e-6 * STEP_S / 3600:g}x{steps(120)} 5e-06+0x{END}",
    }
    return [
        scenario("only the bound reaches beyond the limit", lost, fires("40m", reference)),
        scenario(
            "beyond it whatever the probe's clock did",
            {**lost, ERROR: f"5e-06+0x{steps(5)} {1:g}+0x{END}"},
            fires("20m", reference, ("certain_breach", "t")),
        ),
        scenario(
            "a reference that is back: what is by it again has its full weight",
            {"timesync_time_error_bound_seconds" + labels("t", reference="utc"): steady(1e-3)},
            fires("20m", ("possible_breach", "t")),
        ),
        scenario("the line leaves out what was carried on", back, fires("119m"), fires("200m")),
    ]


def scenarios_of_all() -> list[dict[str, object]]:
    found = [scenario("all is well", {}, fires("10m"), fires("75m"))]
    found += [scenario(name, changes, fires(at, (name, target))) for name, (changes, at, target) in FAULTS.items()]
    return found + of_hysteresis() + of_holdover() + of_carried_claims()


def promtool(folder: Path, scenarios: list[dict[str, object]]) -> subprocess.CompletedProcess[str]:
    (folder / "rules.yaml").write_text(rules(), encoding="utf-8")
    test = {"rule_files": ["rules.yaml"], "evaluation_interval": f"{STEP_S}s", "tests": scenarios}
    (folder / "tests.yaml").write_text(json.dumps(test))  # JSON is YAML
    command = [binary("promtool"), "test", "rules", "tests.yaml"]
    return subprocess.run(command, cwd=folder, env=environment(), capture_output=True, text=True, check=False)


def test_every_alert_has_its_scenario():
    assert FAULTS.keys() == {kind.name for kind in KINDS}


def test_promtool_takes_the_rules(lab, tmp_path):
    lab("promtool")
    (tmp_path / "rules.yaml").write_text(rules(), encoding="utf-8")
    command = [binary("promtool"), "check", "rules", "rules.yaml"]
    checked = subprocess.run(command, cwd=tmp_path, env=environment(), capture_output=True, text=True, check=False)
    assert checked.returncode == 0, checked.stdout + checked.stderr


@pytest.mark.service
def test_each_alert_fires_for_its_fault_and_no_other_does(lab, tmp_path):
    lab("promtool")
    done = promtool(tmp_path, scenarios_of_all())
    assert done.returncode == 0, done.stdout + done.stderr


def test_promtool_would_say_so_if_an_alert_were_missing(lab, tmp_path):
    lab("promtool")
    done = promtool(tmp_path, [scenario("nothing is wrong", {}, fires("20m", ("holdover", "t")))])
    assert done.returncode == 1


def test_the_examples_for_prometheus_and_alertmanager_are_good(lab):
    lab("promtool", "amtool")
    folder = Path(__file__).parents[2] / "dashboards" / "prometheus"
    for command in (
        [binary("promtool"), "check", "config", folder / "prometheus.example.yml"],
        [binary("amtool"), "check-config", folder / "alertmanager.example.yml"],
    ):
        checked = subprocess.run(command, env=environment(), capture_output=True, text=True, check=False)
        assert checked.returncode == 0, checked.stdout + checked.stderr
