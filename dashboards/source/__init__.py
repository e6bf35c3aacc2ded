"""The one source of the dashboards: `python -m dashboards.source` writes them anew, in English and in Chinese."""
