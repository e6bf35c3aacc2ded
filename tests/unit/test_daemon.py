"""The whole daemon in one process, on the demonstration network: stored, shown, reloaded, stopped."""

from __future__ import annotations

import asyncio
import itertools
import json
import os
import re
import signal
import sqlite3
import subprocess
import sys
import time
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.certificates import make_certificate, serial_of

from probes.simulated import DemonstrationNetwork
from timesync import daemon as module
from timesync.alerts.limits import Limit
from timesync.daemon import HISTORY_FILE, Daemon
from timesync.errors import ConfigError, Problem, StoreError, TimesyncError
from timesync.settings import (
    AlertSettings,
    HttpSettings,
    NotifySettings,
    ProbeSettings,
    SiteSettings,
    SpoolSettings,
    TargetSettings,
)
from timesync.store.lanes import Lane
from timesync.store.local import History, Selection
from timesync.store.spool import Spool

if TYPE_CHECKING:
    from collections.abc import AsyncIterator, Callable
    from pathlib import Path

    from timesync.model import Record


async def demonstration(directory: Path) -> tuple[DemonstrationNetwork, ProbeSettings]:
    network = DemonstrationNetwork()
    targets = tuple(replace(target, interval_s=0.2) for target in await network.start())
    site = SiteSettings("demonstration", "probe")
    return network, ProbeSettings(site, targets, SpoolSettings(directory), http=HttpSettings(port=0))


@asynccontextmanager
async def running(settings: ProbeSettings, reload: Callable[[], ProbeSettings] | None = None) -> AsyncIterator[Daemon]:
    daemon = Daemon(settings, reload=reload)
    started = asyncio.Event()
    task = asyncio.create_task(daemon.run(started.set))
    async with asyncio.timeout(60):
        await asyncio.wait({task, asyncio.create_task(started.wait())}, return_when=asyncio.FIRST_COMPLETED)
        if task.done():
            task.result()
        try:
            yield daemon
        finally:
            daemon.stop()
            await task


async def get(daemon: Daemon, path: str) -> tuple[int, str]:
    async with aiohttp.ClientSession() as session, session.get(daemon.urls[0] + path) as response:
        return response.status, await response.text()


async def until(condition: Callable[[], bool]) -> None:
    while not condition():
        await asyncio.sleep(0.05)


def answering(daemon: Daemon) -> bool:
    return all(state.error is not None for state in daemon.measuring.pipeline.states.values())


def events(directory: Path) -> list[str]:
    history = History(directory / HISTORY_FILE, read_only=True)
    kinds = [record.tags["kind"] for record in history.records(Selection(measurement="event"))]
    history.close()
    return kinds


def events_so_far(directory: Path) -> list[str]:
    """The same, none while there is no history yet."""
    try:
        return events(directory)
    except (StoreError, sqlite3.Error):
        return []


def targets_in(directory: Path) -> list[str]:
    """The targets that have rows in the history, none while there is no history yet."""
    try:
        history = History(directory / HISTORY_FILE, read_only=True)
        names = history.targets()
    except (StoreError, sqlite3.Error):
        return []
    history.close()
    return names


def left_in_spool(directory: Path) -> list[Record]:
    """What a daemon that has ended had not delivered to the history yet: the next one will."""
    spool = Spool(SpoolSettings(directory), ["history"], clock_ns=time.time_ns)
    batches = [spool.read("history", lane, 1_000_000) for lane in (Lane.BACKLOG, Lane.LIVE)]
    spool.close()
    return [record for batch in batches if batch is not None for record in batch.records]


async def test_what_is_measured_is_in_history_and_metrics(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    network, settings = await demonstration(tmp_path)
    async with running(settings) as daemon:
        await until(lambda: answering(daemon))
        metrics = ""
        async with asyncio.timeout(20):
            while "timesync_time_error_seconds{" not in metrics or "timesync_leap_table_expiry_" not in metrics:
                await asyncio.sleep(0.05)
                status, metrics = await get(daemon, "/metrics")
        assert status == 200
        assert (await get(daemon, "/healthz"))[0] == 200
        ready = json.loads((await get(daemon, "/readyz"))[1])
        monkeypatch.setattr(module, "FLUSH_DEADLINE_S", 60.0)
        polls = {name: state.polls for name, state in daemon.measuring.pipeline.states.items()}
        assert ready
    await network.stop()
    history = History(tmp_path / HISTORY_FILE, read_only=True)
    for name, count in polls.items():
        stored = [record for record in history.records(Selection(target=name)) if record.measurement == "time_error"]
        # A row tells of several polls where the loop was stalled for longer than an interval.
        assert sum(int(record.fields.get("polls", 1)) for record in stored) >= count
    history.close()
    assert "started" in events(tmp_path)
    assert events(tmp_path)[-1] == "stopped"
    assert "leap_table" in events(tmp_path)


async def test_a_reload_keeps_what_did_not_change_and_opens_what_is_new(tmp_path: Path) -> None:
    network, settings = await demonstration(tmp_path)
    kept = tuple(target for target in settings.targets if target.name != "drifting")
    new = replace(settings, targets=(*kept, replace(settings.targets[1], name="again")))
    async with running(settings, reload=lambda: new) as daemon:
        await until(lambda: answering(daemon))
        before = daemon.measuring.pipeline.states["good"]
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "again" in daemon.measuring.pipeline.states)
        await until(lambda: answering(daemon))
        assert daemon.measuring.pipeline.states["good"] is before
        assert "drifting" not in daemon.measuring.pipeline.states
        assert "drifting" not in (await get(daemon, "/metrics"))[1]
    await network.stop()
    assert "reloaded" in events(tmp_path)


async def test_a_reload_takes_a_renewed_certificate(tmp_path: Path) -> None:
    network, settings = await demonstration(tmp_path)
    certificate, key = make_certificate(tmp_path, 1)
    settings = replace(settings, http=replace(settings.http, tls_certificate=certificate, tls_key=key))
    async with running(settings, reload=lambda: settings) as daemon:
        await until(lambda: bool(daemon.urls))
        make_certificate(tmp_path, 2)
        os.kill(os.getpid(), signal.SIGHUP)
        async with asyncio.timeout(20):
            while await asyncio.to_thread(serial_of, daemon.urls[0]) != 2:
                await asyncio.sleep(0.05)
    await network.stop()
    assert "certificate_renewed" in events(tmp_path)


async def test_a_bad_configuration_at_reload_changes_nothing(tmp_path: Path) -> None:
    network, settings = await demonstration(tmp_path)

    def bad() -> ProbeSettings:
        raise ConfigError("site.toml", (Problem("[site]", "it is missing", "Add it."),))

    async with running(settings, reload=bad) as daemon:
        await until(lambda: answering(daemon))
        os.kill(os.getpid(), signal.SIGHUP)
        polls = daemon.measuring.pipeline.states["good"].polls
        await until(lambda: daemon.measuring.pipeline.states["good"].polls > polls + 2)
    await network.stop()
    assert "reload_failed" in events(tmp_path)


async def test_a_setting_that_needs_a_restart_is_said_to(tmp_path: Path) -> None:
    network, settings = await demonstration(tmp_path)
    new = replace(settings, http=HttpSettings(port=1), reference_max_age_s=7.0)
    async with running(settings, reload=lambda: new) as daemon:
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: daemon.settings.reference_max_age_s == 7.0)
        assert daemon.settings.http == settings.http  # what is in effect
    await network.stop()
    assert "restart_needed" in events(tmp_path)


async def test_other_sinks_are_taken_at_reload(tmp_path: Path) -> None:
    network, settings = await demonstration(tmp_path)
    new = replace(settings, history=replace(settings.history, retention_days=1.0))
    async with running(settings, reload=lambda: new) as daemon:
        await until(lambda: answering(daemon))
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: daemon.settings == new)
        before = daemon.measuring.pipeline.states["good"].polls
        await until(lambda: daemon.measuring.pipeline.states["good"].polls > before + 2)
    await network.stop()
    assert events(tmp_path)[-1] == "stopped"


async def test_reloads_asked_for_together_come_one_after_the_other(tmp_path: Path) -> None:
    network, settings = await demonstration(tmp_path)
    versions = itertools.cycle([settings.targets[:2], settings.targets[1:], settings.targets])
    days = itertools.count(10.0)
    reading = 0

    def read() -> ProbeSettings:
        nonlocal reading
        reading += 1
        assert reading == 1
        time.sleep(0.02)
        reading -= 1
        return replace(settings, targets=next(versions), history=replace(settings.history, retention_days=next(days)))

    async with running(settings, reload=read) as daemon:
        for pause_s in (0.0, 0.0, 0.001, 0.01, 0.03, 0.05, 0.0, 0.2):
            os.kill(os.getpid(), signal.SIGHUP)
            await asyncio.sleep(pause_s)
        await asyncio.sleep(0.5)
        assert set(daemon.measuring.pipeline.states) >= {target.name for target in daemon.settings.targets}
    await network.stop()
    told = events(tmp_path)
    assert "reload_failed" not in told
    assert 2 <= told.count("reloaded") <= 8
    assert told[-1] == "stopped"


@pytest.mark.parametrize("pause_s", [0.0, 0.005, 0.02, 0.05])
async def test_an_end_during_a_reload_ends_and_stores_everything(tmp_path: Path, pause_s: float) -> None:
    network, settings = await demonstration(tmp_path)
    new = replace(settings, targets=settings.targets[:2], history=replace(settings.history, retention_days=1.0))
    async with running(settings, reload=lambda: new):
        os.kill(os.getpid(), signal.SIGHUP)
        await asyncio.sleep(pause_s)
        os.kill(os.getpid(), signal.SIGTERM)
        await asyncio.sleep(0.0)
        os.kill(os.getpid(), signal.SIGHUP)  # refused
    await network.stop()
    spool = Spool(settings.spool, ["history"], clock_ns=time.time_ns)
    assert spool.status().sinks["history"].depth == 0 or events(tmp_path)[-1] != "stopped"
    spool.close()


HANGUP_AT_START = """
import os, signal, sys
from timesync.commands import probe, up

def load(path, real=probe.load, sent=[]):
    if not sent:  # long before there is a handler: the default of the signal would end this process
        sent.append(os.kill(os.getpid(), signal.SIGHUP))
    return real(path)

probe.load = up.load = load
from timesync.cli import main
sys.exit(main(sys.argv[1:]))
"""


@pytest.mark.parametrize("words", [("probe",), ("up", "--no-tui")])
def test_a_reload_asked_for_before_the_daemon_is_ready_is_done_when_it_is(
    tmp_path: Path, words: tuple[str, ...]
) -> None:
    config = tmp_path / "site.toml"
    config.write_text(
        '[site]\nname = "s"\nprobe = "p"\n[spool]\ndirectory = "state"\n[http]\nenabled = false\n'
        '[[target]]\nname = "silent"\naddress = "127.0.0.1:9"\ninterval_s = 0.2\ntimeout_s = 0.1\n'
    )
    with subprocess.Popen(
        [sys.executable, "-c", HANGUP_AT_START, *words, "--config", config],
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as daemon:
        deadline = time.monotonic() + 30
        while "reloaded" not in events_so_far(tmp_path / "state") and time.monotonic() < deadline:
            time.sleep(0.1)
        daemon.terminate()
        output, _ = daemon.communicate(timeout=30)
    assert daemon.returncode == 0, output
    assert "reloaded" in events(tmp_path / "state")


async def test_a_reload_that_cannot_be_put_into_service_says_what_is(tmp_path: Path) -> None:
    network, settings = await demonstration(tmp_path)
    keyed = TargetSettings("keyed", "ntp", "127.0.0.1:9", options={"key": 7})
    new = replace(settings, targets=(*settings.targets[1:], keyed))
    async with running(settings, reload=lambda: new) as daemon:
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "reload_failed" in events_so_far(tmp_path))
        assert daemon.settings is settings
        polls = daemon.measuring.pipeline.states[settings.targets[0].name].polls
        await until(lambda: daemon.measuring.pipeline.states[settings.targets[0].name].polls > polls + 1)
    await network.stop()
    history = History(tmp_path / HISTORY_FILE, read_only=True)
    (text,) = [
        str(row.fields["text"])
        for row in history.records(Selection(measurement="event"))
        if row.tags["kind"] == "reload_failed"
    ]
    history.close()
    assert "the keys file has no key 7" in text
    assert f"In service is the one before: {len(settings.targets)} targets" in text


async def test_sinks_that_cannot_be_taken_leave_the_former_ones_served(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    network, settings = await demonstration(tmp_path)
    new = replace(settings, history=replace(settings.history, retention_days=1.0), reference_max_age_s=7.0)

    def full(spool: Spool, names: list[str]) -> None:
        raise OSError(28, "No space left on device")

    async with running(settings, reload=lambda: new) as daemon:
        monkeypatch.setattr(Spool, "set_sinks", full)
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "reload_failed" in events_so_far(tmp_path))
        assert daemon.settings.history == settings.history
        assert daemon.settings.reference_max_age_s == 7.0
    await network.stop()
    assert events(tmp_path)[-1] == "stopped"


async def test_a_surprise_while_the_configuration_is_read_ends_nothing(tmp_path: Path) -> None:
    network, settings = await demonstration(tmp_path)

    def read() -> ProbeSettings:
        raise ModuleNotFoundError("No module named 'counter_driver'")

    async with running(settings, reload=read):
        os.kill(os.getpid(), signal.SIGHUP)
        await until(lambda: "reload_failed" in events_so_far(tmp_path))
    await network.stop()


async def test_a_port_in_use_is_a_message_with_a_remedy(tmp_path: Path) -> None:
    network, settings = await demonstration(tmp_path / "one")
    async with running(settings) as daemon:
        port = int(daemon.urls[0].rsplit(":", 1)[1])
        second = Daemon(replace(settings, spool=SpoolSettings(tmp_path / "two"), http=HttpSettings(port=port)))
        with pytest.raises(TimesyncError, match=rf"cannot listen on 127\.0\.0\.1 port {port}.*Choose another"):
            await second.run()
    await network.stop()


async def test_two_daemons_do_not_share_a_spool(tmp_path: Path) -> None:
    network, settings = await demonstration(tmp_path)
    async with running(settings):
        with pytest.raises(TimesyncError, match=str(tmp_path)):
            Daemon(settings)
    await network.stop()


async def test_readiness_says_what_is_missing(tmp_path: Path) -> None:
    # A target that never answers: the first poll is only complete after its time-out.
    target = TargetSettings("silent", "ntp", "127.0.0.1:9", interval_s=3600.0)
    settings = ProbeSettings(SiteSettings("s", "p"), (target,), SpoolSettings(tmp_path), http=HttpSettings(port=0))
    async with running(settings) as daemon:
        status, body = await get(daemon, "/readyz")
        document: dict[str, Any] = json.loads(body)
        assert status == 503
        assert "no poll completed yet" in json.dumps(document)


def test_sigterm_ends_the_process_with_everything_stored(tmp_path: Path) -> None:
    # The same by the command line, as a service manager does it.
    from pathlib import Path

    program = Path(sys.executable).with_name("timesync")
    config = tmp_path / "site.toml"
    config.write_text(
        '[site]\nname = "s"\nprobe = "p"\n[spool]\ndirectory = "state"\n[http]\nenabled = false\n'
        '[[target]]\nname = "silent"\naddress = "127.0.0.1:9"\ninterval_s = 0.2\ntimeout_s = 0.1\n'
    )
    with subprocess.Popen(
        [program, "probe", "--config", config], stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True
    ) as daemon:
        deadline = time.monotonic() + 30
        while "silent" not in targets_in(tmp_path / "state") and time.monotonic() < deadline:
            time.sleep(0.1)
        daemon.terminate()
        output, _ = daemon.communicate(timeout=30)
    assert daemon.returncode == 0, output
    # A machine that is busy may have left some of it in the spool, been late for a poll, or not have heard the refusal in time.
    left = left_in_spool(tmp_path / "state")
    told = events(tmp_path / "state") + [record.tags["kind"] for record in left if record.measurement == "event"]
    assert told[-1] == "stopped"
    history = History(tmp_path / "state" / HISTORY_FILE, read_only=True)
    reasons = {record.fields["reason"] for record in history.records(Selection(target="silent"))}
    history.close()
    assert reasons <= {"port_unreachable", "timeout", "probe_overloaded"}
    assert reasons


async def test_an_alert_is_stored_shown_and_told_and_known_after_a_restart(tmp_path: Path) -> None:
    network, settings = await demonstration(tmp_path)
    told = tmp_path / "told"
    tell = NotifySettings("file", "command", command=f"/usr/bin/tee -a {told}", least="info")
    tight, wide = Limit("tight", 1e-12), Limit("wide", 100.0)
    alerts = AlertSettings(patience=0.0)

    def limited(limit: Limit) -> ProbeSettings:
        targets = tuple(replace(target, limit=limit) for target in settings.targets)
        return replace(settings, targets=targets, alerts=alerts, notify=(tell,))

    async with running(limited(tight)) as daemon:
        await until(lambda: told.exists() and "beyond the limit" in told.read_text())
        firing = {alert.kind.name for alert in daemon.alerts.active()}
        assert firing & {"possible_breach", "certain_breach"}
        await asyncio.sleep(1.1)  # a beat
        metrics = (await get(daemon, "/metrics"))[1]
        assert "timesync_limit_seconds{" in metrics
        assert 'messenger="file"' in metrics
    breach = re.compile(r"^(?:CRITICAL|WARNING): \S+: the time error", re.MULTILINE)  # a poll may be lost besides
    first = len(breach.findall(told.read_text()))
    assert first
    async with running(limited(wide)) as daemon:
        await until(lambda: re.search(r"\bover: ", told.read_text()) is not None)  # and not "holdover: "
        await until(lambda: not daemon.alerts.active())
    await network.stop()
    assert len(breach.findall(told.read_text())) == first
    assert {"alert_firing", "alert_resolved"} <= set(events(tmp_path))
