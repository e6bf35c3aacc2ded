"""The page's own files: read from the package, held in memory, served with a tag by which a browser knows that it has them.

Rule: only what is in the folder when it is first asked for is served, by its exact name; nothing is looked up on the disk by what
a client says.
"""

from __future__ import annotations

import gzip
from dataclasses import dataclass
from hashlib import blake2b
from pathlib import Path
from typing import TYPE_CHECKING

from aiohttp import web

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = ["FOLDER", "Assets"]

FOLDER = Path(__file__).parent / "static"
TYPES = {
    ".html": "text/html; charset=utf-8",
    ".css": "text/css; charset=utf-8",
    ".js": "text/javascript; charset=utf-8",
    ".svg": "image/svg+xml",
    ".txt": "text/plain; charset=utf-8",
}


@dataclass(frozen=True, slots=True)
class _Asset:
    body: bytes
    packed: bytes
    type: str
    tag: str


class Assets:
    """The files by their path below the folder, such as "app.js"."""

    def __init__(self, folder: Path = FOLDER) -> None:
        """Nothing is read yet: a probe that nobody looks at keeps none of it in memory."""
        self._folder = folder
        self._files: Mapping[str, _Asset] | None = None

    def names(self) -> list[str]:
        """What there is."""
        return sorted(self._loaded())

    def _loaded(self) -> Mapping[str, _Asset]:
        if self._files is None:
            found = {}
            for path in self._folder.rglob("*"):
                if path.suffix in TYPES:
                    body = path.read_bytes()
                    tag = f'"{blake2b(body, digest_size=12).hexdigest()}"'
                    packed = gzip.compress(body, mtime=0)
                    found[path.relative_to(self._folder).as_posix()] = _Asset(body, packed, TYPES[path.suffix], tag)
            self._files = found
        return self._files

    async def index(self, request: web.Request) -> web.Response:
        """The page itself."""
        return self._answer(request, "index.html")

    async def file(self, request: web.Request) -> web.Response:
        """One of its files."""
        return self._answer(request, request.match_info["name"])

    def _answer(self, request: web.Request, name: str) -> web.Response:
        asset = self._loaded().get(name)
        if asset is None:
            raise web.HTTPNotFound
        # "no-cache": kept, and asked about each time, so that a new version is seen at once.
        headers = {"ETag": asset.tag, "Cache-Control": "no-cache", "Vary": "Accept-Encoding"}
        if request.headers.get("If-None-Match") == asset.tag:
            return web.Response(status=304, headers=headers)
        headers["Content-Type"] = asset.type
        if "gzip" in request.headers.get("Accept-Encoding", ""):
            return web.Response(body=asset.packed, headers={**headers, "Content-Encoding": "gzip"})
        return web.Response(body=asset.body, headers=headers)
