"""deploy/README.md: what it names is there, and what is there it names."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from timesync.cli import COMMANDS

ROOT = Path(__file__).parents[2]
DEPLOY = ROOT / "deploy"
GUIDE = (DEPLOY / "README.md").read_text(encoding="utf-8")
PAGES = sorted(DEPLOY.glob("*.md"))


def anchors(page: Path) -> set[str]:
    """The names by which the headings of a page are reached."""
    headings = re.findall(r"(?m)^#+ (.*)$", page.read_text(encoding="utf-8"))
    return {re.sub(r"[^\w -]", "", heading.lower()).replace(" ", "-") for heading in headings}


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.name)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in re.findall(r"\]\(([^)]+)\)", page.read_text(encoding="utf-8")):
        name, _, anchor = link.partition("#")
        if name.startswith("https://"):
            continue
        target = (page.parent / name).resolve() if name else page
        assert target.exists(), link
        if anchor:
            assert anchor in anchors(target), link


def test_every_command_exists() -> None:
    words = re.findall(
        r"(?:^    (?:sudo )?(?:/opt/timesync/bin/)?|`)timesync ([a-z][a-z0-9-]+)", GUIDE, flags=re.MULTILINE
    )
    assert {"backup", "check", "export", "health", "measure"} <= set(words) <= set(COMMANDS)


def test_everything_in_the_folder_is_named() -> None:
    for path in DEPLOY.iterdir():
        if path.name not in {"README.md", ".env", "secrets"}:
            assert path.name in GUIDE, path.name
    for path in (DEPLOY / "systemd" / "drop-ins").iterdir():
        assert f"`{path.name}`" in GUIDE, path.name


def test_every_file_that_is_installed_or_copied_is_in_the_checkout() -> None:
    named = set(re.findall(r"(?<![\w/])(?:deploy|dashboards|requirements)/[\w./*-]+\w", GUIDE))
    assert "deploy/examples/ntp-site.toml" in named
    for name in named - {"deploy/.env"}:
        assert list(ROOT.glob(name)), name


def test_packages_are_installed_by_their_hashes_only() -> None:
    installs = re.findall(r"(?m)^    .*pip install (.*)$", GUIDE)
    assert len(installs) == 6
    for words in installs:
        assert words.startswith("--require-hashes ") or (words.startswith("--no-deps ") and words.endswith(" ."))
