"""deploy/compose.yaml and deploy/Dockerfile, read by Docker Compose and hadolint themselves, and held against our own rules."""

from __future__ import annotations

import os
import re
import subprocess
import tomllib
from pathlib import Path
from typing import Any

import pytest
from support.containers import ROOT, configured
from support.installed import program

from timesync.cli import main

MAKE_SECRETS = ROOT / "deploy" / "make-secrets.sh"
DOCKERFILE = ROOT / "deploy" / "Dockerfile"
DIGEST = r"@sha256:[0-9a-f]{64}"
VERSION = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]["version"]
SERVICES = ("probe", "influxdb", "prometheus", "alertmanager", "grafana")


@pytest.fixture(scope="module")
def made() -> dict[str, Any]:
    return configured()


def test_there_is_what_a_site_needs(made: dict[str, Any]) -> None:
    assert set(made["services"]) == set(SERVICES)


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_has_no_right_that_it_does_not_need(made: dict[str, Any], name: str) -> None:
    service = made["services"][name]
    user = service["user"].split(":")[0]
    assert user.isdigit()
    assert user != "0"
    assert service["read_only"] is True
    assert service["cap_drop"] == ["ALL"]
    assert service["security_opt"] == ["no-new-privileges:true"]
    assert not {"cap_add", "privileged", "devices", "pid", "ipc", "network_mode", "userns_mode"} & set(service)
    assert all("noexec" in each and "nosuid" in each for each in service["tmpfs"])


@pytest.mark.parametrize("name", SERVICES)
def test_a_service_is_watched_started_again_and_reached_from_this_machine_only(made: dict[str, Any], name: str) -> None:
    service = made["services"][name]
    assert service["healthcheck"]["test"][0] == "CMD"
    assert {"interval", "timeout", "retries", "start_period"} <= set(service["healthcheck"])
    assert service["restart"] == "unless-stopped"
    assert {port["host_ip"] for port in service["ports"]} == {"127.0.0.1"}
    assert service["logging"]["options"]["max-size"]


@pytest.mark.parametrize("name", SERVICES)
def test_an_image_is_named_by_version_and_digest(made: dict[str, Any], name: str) -> None:
    image = made["services"][name]["image"]
    if name == "probe":
        assert image == f"timesync:{VERSION}"
        assert made["services"][name]["build"]["dockerfile"] == "deploy/Dockerfile"
    else:
        assert re.fullmatch(rf"[a-z/]+:v?\d+\.\d+\.\d+{DIGEST}", image)


@pytest.mark.parametrize("name", SERVICES)
def test_what_a_service_is_given_is_there(made: dict[str, Any], name: str) -> None:
    service = made["services"][name]
    for volume in service["volumes"]:
        if volume["type"] == "bind":
            assert Path(volume["source"]).exists(), volume["source"]
            assert volume["read_only"] is True
            assert (
                volume["bind"]["create_host_path"] is False
            )  # a folder in place of a file that is missing helps nobody
        else:
            assert volume["source"] in made["volumes"]
    targets = {f"/run/secrets/{secret['target']}" for secret in service.get("secrets", ())}
    said = " ".join([*service.get("environment", {}).values(), *(service.get("command") or ())])
    said += "".join(
        Path(volume["source"]).read_text() for volume in service["volumes"] if Path(volume["source"]).is_file()
    )
    assert set(re.findall(r"/run/secrets/[a-z.]+[a-z]", said)) <= targets


def test_no_secret_is_in_the_file_or_in_an_environment(made: dict[str, Any]) -> None:
    used = {secret["source"] for service in made["services"].values() for secret in service.get("secrets", ())}
    assert used == set(made["secrets"])
    for service in made["services"].values():
        for name, value in service.get("environment", {}).items():
            if re.search("PASSWORD|TOKEN|SECRET|KEY", name):
                assert name.endswith("_FILE")
                assert value.startswith("/run/secrets/")


def test_secrets_are_made_once_each_for_its_reader_alone(root: None, tmp_path: Path) -> None:
    """By the real script, in a folder that the composition is told of; what is there is kept, what was deleted is made anew."""
    folder = tmp_path / "new" / "secrets"
    subprocess.run([MAKE_SECRETS, folder], check=True, capture_output=True)
    made = configured({"TIMESYNC_SECRETS": str(folder)})
    readers: dict[str, set[int]] = {}
    for service in made["services"].values():
        for secret in service.get("secrets", ()):
            readers.setdefault(made["secrets"][secret["source"]]["file"], set()).add(int(service["user"].split(":")[0]))
    for name, users in readers.items():
        status = Path(name).stat()
        if name.endswith("page.crt"):
            assert status.st_mode & 0o777 == 0o644
        else:
            assert {status.st_uid} == users
            assert status.st_mode & 0o777 == 0o600
    files = {path: path.read_text() for path in folder.rglob("*") if path.is_file()}
    assert {str(path) for path in files} == set(readers)
    values = [text for path, text in files.items() if path.suffix in {".password", ".token"}]
    assert all(re.fullmatch(r"[0-9a-f]{64}\n", value) for value in values)
    assert len(set(values)) == len(values) - 3  # three of them have a reader and a judge
    for one, other in (
        ("influxdb/probe.password", "probe/influx.password"),
        ("influxdb/grafana.password", "grafana/influx.password"),
        ("probe/page.token", "prometheus/page.token"),
    ):
        assert files[folder / one] == files[folder / other]
    (folder / "prometheus" / "page.token").unlink()
    (folder / "grafana" / "admin.password").unlink()
    subprocess.run([MAKE_SECRETS, folder], check=True, capture_output=True)
    again = {path: path.read_text() for path in files}
    assert {path.name for path in files if again[path] != files[path]} == {"admin.password"}
    assert again[folder / "influxdb" / "admin.password"] == files[folder / "influxdb" / "admin.password"]


def test_secrets_cannot_be_made_by_whoever_cannot_give_them_away(root: None, tmp_path: Path) -> None:
    script = f"sh -s {tmp_path}/secrets"  # by standard input: nobody may not reach this checkout
    argv = ["setpriv", "--reuid=65534", "--regid=65534", "--clear-groups", *script.split()]
    done = subprocess.run(argv, input=MAKE_SECRETS.read_text(), capture_output=True, text=True, check=False, cwd="/")
    assert done.returncode == 1
    assert "run it as root" in done.stderr
    assert not (tmp_path / "secrets").exists()


def test_the_example_for_containers_is_good(root: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    subprocess.run([MAKE_SECRETS, tmp_path], check=True, capture_output=True)
    (tmp_path / "page.crt").rename(tmp_path / "probe" / "page.crt")  # in the container all are in one folder
    monkeypatch.setenv("CREDENTIALS_DIRECTORY", str(tmp_path / "probe"))
    assert main(["check", str(ROOT / "deploy/examples/compose.toml")]) == 0


def test_grafana_finds_its_dashboards_and_the_datasources_have_their_usual_uids(made: dict[str, Any]) -> None:
    ours = (ROOT / "deploy/compose/grafana-datasources.yaml").read_text()
    files = ("datasources/prometheus.yaml", "influxdb/influxdb-2.yaml")
    usual = "".join((ROOT / "dashboards/provisioning" / name).read_text() for name in files)
    pairs = r"(?m)^    uid: (\S+)\n    type: (\S+)$"
    assert set(re.findall(pairs, ours)) == set(re.findall(pairs, usual)) != set()
    provider = (ROOT / "dashboards/provisioning/dashboards/timesync.yaml").read_text()
    mounts = {each["target"]: Path(each["source"]) for each in made["services"]["grafana"]["volumes"]}
    for path in re.findall(r"(?m)^      path: (\S+)$", provider):
        folder, _, language = path.rpartition("/")
        assert list((mounts[folder] / language).glob("*.json"))


def test_the_dockerfile_is_clean_to_the_linter() -> None:
    argv = [program().with_name("hadolint"), "--no-color", "--failure-threshold", "style", DOCKERFILE]
    done = subprocess.run(argv, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout
    assert done.stdout == ""


def test_the_image_is_pinned_unprivileged_and_watched() -> None:
    text = DOCKERFILE.read_text()
    bases = re.findall(r"(?m)^FROM (\S+)", text)
    assert all(base == "python" or re.fullmatch(rf"python:\d+\.\d+\.\d+-slim-bookworm{DIGEST}", base) for base in bases)
    last = text[text.rindex("\nFROM ") :]
    assert re.findall(r"(?m)^USER (.*)$", last) == ["10001:10001"]
    assert last.index("\nUSER ") < last.index("\nENTRYPOINT ")
    for word in ("HEALTHCHECK", "STOPSIGNAL SIGTERM", "LABEL", f'image.version="{VERSION}"', "uninstall --yes"):
        assert word in last
    for install in re.findall(r"pip --python \S+ install (.*?)(?: \\)?\n", text):
        assert "--require-hashes" in install or install.startswith("--no-deps --no-build-isolation .")


def test_only_what_the_image_needs_is_sent_to_the_engine() -> None:
    """.dockerignore lets in what the Dockerfile copies; everything else, secrets and history among it, stays out."""
    lines = (ROOT / ".dockerignore").read_text().splitlines()
    assert lines[1] == "*"
    allowed = {line[1:] for line in lines if line.startswith("!")}
    copied = [
        name for names in re.findall(r"(?m)^COPY (?!--from)(.*) \S+$", DOCKERFILE.read_text()) for name in names.split()
    ]
    assert set(copied) == allowed
    assert all((ROOT / name).exists() for name in allowed)


def test_the_users_of_the_image_and_of_the_secrets_are_the_same(made: dict[str, Any]) -> None:
    script = MAKE_SECRETS.read_text()
    for name in ("probe", "influxdb", "prometheus", "grafana"):
        user = made["services"][name]["user"].split(":")[0]
        assert f"{name.upper()}={user}" in script
    assert made["services"]["probe"]["user"] == "10001:10001"
    assert os.access(MAKE_SECRETS, os.X_OK)
    assert os.access(ROOT / "deploy/compose/influxdb-users.sh", os.X_OK)  # its image runs only those that are
