"""What the BIPM publishes, fetched on schedule: the web API for the laboratories of this site, and issues of Circular T as text.

Rule: a server is asked only for what may be new, conditionally (ETag, Last-Modified), and at most `LARGEST_BYTES` are taken. What
cannot be fetched or read changes nothing and is told by an error of the family with its remedy; it is tried again at the next turn.
Source: RFC 9110 sections 13.1.2 and 13.1.3 (conditional requests).
"""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING
from urllib.parse import quote

import aiohttp
from yarl import URL

from timesync import __version__
from timesync.errors import DataError, StoreError
from timesync.reference.circular_t import issue_of_mjd
from timesync.store.published import PublishedStore
from timesync.timescale import unix_ns_to_mjd

if TYPE_CHECKING:
    from collections.abc import Collection, Iterator
    from pathlib import Path

    from timesync.settings import UtcSettings
    from timesync.store.published import Imported

__all__ = ["LARGEST_BYTES", "fetch_all"]

LARGEST_BYTES = 5_000_000
BACK_DAYS = 120  # what the API is asked for: a rate, and the issue that may come late
ISSUES_BACK = 4
NOT_MODIFIED, NOT_FOUND = 304, 404


async def fetch_all(
    settings: UtcSettings, path: Path, labs: Collection[str], now_ns: int
) -> tuple[list[Imported], list[str]]:
    """Ask for everything that may be new; returns what was taken in, and what went wrong, in words."""
    taken: list[Imported] = []
    troubles: list[str] = []
    headers = {"User-Agent": f"timesync/{__version__}"}
    timeout = aiohttp.ClientTimeout(total=settings.timeout_s)
    async with aiohttp.ClientSession(headers=headers, timeout=timeout) as session:
        for url, is_api in _wanted(settings, labs, now_ns):
            try:
                imported = await _fetch(session, url, path, now_ns, is_api=is_api)
            except TimeoutError:
                troubles.append(f"{url}: no answer within {settings.timeout_s:g} s")
            except (aiohttp.ClientError, OSError) as error:
                troubles.append(f"{url}: {str(error) or type(error).__name__}")
            except (DataError, StoreError) as error:
                troubles.append(str(error))
            else:
                if imported is not None and imported.new:
                    taken.append(imported)
    return taken, troubles


def _wanted(settings: UtcSettings, labs: Collection[str], now_ns: int) -> Iterator[tuple[str, bool]]:
    """The addresses to ask, and whether each is the API's."""
    today = unix_ns_to_mjd(now_ns)[0]
    if settings.api_url:
        for lab in sorted(labs):
            query = f"scale=utc+utcr&lab={quote(lab)}&mjd1={today - BACK_DAYS}&mjd2={today}"
            yield f"{settings.api_url}?{query}", True
    if settings.circular_t_url:
        newest = issue_of_mjd(today) - 1  # this month's appears in the next
        for number in range(newest - ISSUES_BACK + 1, newest + 1):
            yield settings.circular_t_url.replace("{issue}", str(number)), False


async def _fetch(session: aiohttp.ClientSession, url: str, path: Path, now_ns: int, *, is_api: bool) -> Imported | None:
    """Ask one address; None where it has nothing new, or not yet. Raises DataError for an answer that is none."""
    etag, last_modified = await asyncio.to_thread(_known, path, url)
    conditions = {"If-None-Match": etag, "If-Modified-Since": last_modified}
    headers = {name: value for name, value in conditions.items() if value}
    # Encoded by us: the API takes a plus sign as it stands.
    async with session.get(URL(url, encoded=True), headers=headers, allow_redirects=False) as response:
        if response.status == NOT_MODIFIED or (response.status == NOT_FOUND and not is_api):
            return None
        if response.status != 200:
            raise DataError(f"{url}: answers {response.status} {response.reason}; correct the address in [utc]")
        data = await response.content.read(LARGEST_BYTES + 1)
        while not response.content.at_eof() and len(data) <= LARGEST_BYTES:
            data += await response.content.read(LARGEST_BYTES + 1 - len(data))
        if len(data) > LARGEST_BYTES:
            raise DataError(f"{url}: more than {LARGEST_BYTES} bytes; look at what answers there")
        stamps = response.headers.get("ETag"), response.headers.get("Last-Modified")
    return await asyncio.to_thread(_take, path, url, data, stamps, now_ns, is_api)


def _known(path: Path, url: str) -> tuple[str | None, str | None]:
    with PublishedStore(path) as store:
        return store.answer(url)


def _take(
    path: Path,
    url: str,
    data: bytes,
    stamps: tuple[str | None, str | None],
    now_ns: int,
    is_api: bool,  # noqa: FBT001 - as above
) -> Imported | None:
    with PublishedStore(path) as store:
        taken = store.add_reply(data, url, now_ns) if is_api else store.add_bulletin(data, url, now_ns)
        store.remember_answer(url, *stamps, now_ns)
    return taken
