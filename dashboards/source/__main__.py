"""`python -m dashboards.source`: write every dashboard into dashboards/grafana, in each language."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING

from dashboards.source.catalogue import DASHBOARDS
from dashboards.source.model import LANGUAGES, json_of

if TYPE_CHECKING:
    from collections.abc import Mapping

FOLDER = Path(__file__).parents[1] / "grafana"


def files() -> Mapping[str, str]:
    """Every file, by its path below dashboards/grafana."""
    return {
        f"{language}/{dashboard.name}.json": json.dumps(
            json_of(dashboard, DASHBOARDS, language), ensure_ascii=False, indent=1
        )
        + "\n"
        for language in LANGUAGES
        for dashboard in DASHBOARDS
    }


if __name__ == "__main__":
    for name, text in files().items():
        path = FOLDER / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_text(text, encoding="utf-8")
