"""Every configuration that we show is good: those of deploy/examples, and those in the pages of the project."""

from __future__ import annotations

import json
import re
import textwrap
import tomllib
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from timesync.cli import main
from timesync.web.passwords import make_line

if TYPE_CHECKING:
    from collections.abc import Iterator

ROOT = Path(__file__).resolve().parents[2]
EXAMPLES = sorted((ROOT / "deploy" / "examples").glob("*.toml"))
KEYS = "7 AES128 HEX:000102030405060708090a0b0c0d0e0f\n12 SHA256 HEX:00112233445566778899\n"
OFTEN = "asked more often than every 16 s"
ACCEPTED = {
    "ntp-site.toml": (),
    "compose.toml": (OFTEN, "the secret travels over http"),  # between containers of one machine
    "ptp-laboratory.toml": (OFTEN,),
    "national-laboratory.toml": (OFTEN,),
}
"""What `timesync check` may remark on an example, each for a reason that the example gives."""


def blocks(page: Path) -> Iterator[str]:
    """The whole configurations in a page: code, indented or fenced, that says who measures and what."""
    text = page.read_text(encoding="utf-8")
    fenced = re.findall(r"(?ms)^```\w*\n(.*?)^```", text)
    indented = [textwrap.dedent(block) for block in re.findall(r"(?m)(?:^(?:    .*)?\n)+", text)]
    for block in [*fenced, *indented]:
        if re.search(r"(?m)^\[site\]", block) and re.search(r"(?m)^\[\[target\]\]", block):
            yield block


PAGES = {
    f"{page.relative_to(ROOT)} {number}": block
    for page in sorted(ROOT.glob("*.md")) + sorted(ROOT.glob("[dpt]*/**/*.md"))
    for number, block in enumerate(blocks(page), 1)
}


def put_files(text: str, folder: Path) -> None:
    """Everything that a configuration names beside it: secrets, folders, a certificate, a leap-second table."""
    document = tomllib.loads(text)
    tables = [table for value in document.values() for table in (value if isinstance(value, list) else [value])]
    contents = {"keys": KEYS, "passwords": f"{make_line('anna', 'correct horse')}\n"}
    for key, value in [pair for table in tables for pair in table.items()]:
        if key in {"folder", "laboratory_folder"}:
            (folder / value).mkdir(parents=True)
        elif key == "file" or key.endswith("_file") or key in {"tls_certificate", "tls_key"}:
            (folder / value).write_text(contents.get(value.rsplit(".")[-1], "s3cret\n"))
            (folder / value).chmod(0o600)


def check(text: str, path: Path, capsys: pytest.CaptureFixture[str]) -> Any:
    path.write_text(text, encoding="utf-8")
    put_files(text, path.parent)
    status = main(["check", str(path), "--json"])
    told = json.loads(capsys.readouterr().out)
    assert status == 0, told
    return told


@pytest.mark.parametrize("path", EXAMPLES, ids=lambda path: path.name)
def test_an_example_is_good(path: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    told = check(path.read_text(encoding="utf-8"), tmp_path / path.name, capsys)
    for note in told["notes"]:
        assert any(accepted in json.dumps(note) for accepted in ACCEPTED[path.name]), note
    assert told["references"]
    names = {target["name"] for target in told["targets"]}
    assert {target["reference"] for target in told["targets"]} - {None} <= names


@pytest.mark.parametrize("name", PAGES)
def test_a_configuration_in_a_page_is_good(name: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    check(PAGES[name], tmp_path / "site.toml", capsys)


def test_the_readme_shows_one() -> None:
    assert "README.md 1" in PAGES


def test_the_kinds_of_sites_that_are_promised_are_there() -> None:
    read = {path.name: tomllib.loads(path.read_text(encoding="utf-8")) for path in EXAMPLES}
    kinds = {name: {target.get("kind", "ntp") for target in site["target"]} for name, site in read.items()}
    assert kinds["ntp-site.toml"] == {"ntp"}
    assert "ptp" in kinds["ptp-laboratory.toml"]
    references = [target for target in read["national-laboratory.toml"]["target"] if "realises" in target]
    assert len(references) >= 3


def test_an_example_names_nobody_who_exists() -> None:
    """Host names are under .example (RFC 2606); only the BIPM, which publishes for all, is called by its own."""
    hosts = r"(?:[a-z0-9-]+\.)+[a-z]{2,}(?![\w.(])"
    for path in EXAMPLES:
        for line in path.read_text(encoding="utf-8").splitlines():
            words = line if line.startswith(("address", "url")) else ""
            for host in re.findall(hosts, words):
                assert host.endswith(".example"), f"{path.name}: {host}"


def test_an_example_without_its_secrets_says_which_files_are_missing(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = tmp_path / "ntp-site.toml"
    path.write_bytes((ROOT / "deploy/examples/ntp-site.toml").read_bytes())
    assert main(["check", str(path)]) == 1
    out = capsys.readouterr().out
    for name in ("ntp.keys", "influx.token", "hook.token"):
        assert f"{name} does not exist" in out
    assert "3 problems" in out


def test_the_example_is_given_files_that_the_check_looks_at(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    """What stands beside an example does not hide what is wrong in it."""
    text = (ROOT / "deploy/examples/ntp-site.toml").read_text(encoding="utf-8")
    with pytest.raises(AssertionError, match="tie_u_s"):
        check(text.replace("tie_u_s = 200e-9\n", "", 1), tmp_path / "site.toml", capsys)
