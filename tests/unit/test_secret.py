"""A secret that cannot travel in an HTTP header is refused by name and remedy, and never shown."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest

from timesync.errors import StoreError
from timesync.store.secret import Secret

if TYPE_CHECKING:
    from pathlib import Path


def secret(folder: Path, content: bytes) -> Secret:
    path = folder / "influx.token"
    path.write_bytes(content)
    path.chmod(0o600)
    return Secret(path)


def test_first_line_is_the_secret_and_its_ends_are_trimmed(tmp_path: Path) -> None:
    assert secret(tmp_path, b"abc==  \r\nmore\n").read() == "abc=="


@pytest.mark.parametrize(
    "content", [b"top\0secret\n", b"top\rsecret\n", b"top\x1b[0msecret", "top\u2028secret".encode()]
)
def test_secret_that_no_header_can_carry_is_refused_with_the_remedy_and_unseen(tmp_path: Path, content: bytes) -> None:
    with pytest.raises(
        StoreError, match=r"influx\.token has a control character, which cannot be sent: write the file anew"
    ) as told:
        secret(tmp_path, content).read()
    assert "top" not in str(told.value)


def test_secret_that_is_put_right_is_read(tmp_path: Path) -> None:
    held = secret(tmp_path, b"bad\0")
    with pytest.raises(StoreError):
        held.read()
    held.path.write_bytes(b"good")
    assert held.read() == "good"
