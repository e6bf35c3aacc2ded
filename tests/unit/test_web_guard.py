"""Who may read the page: loopback by default, elsewhere only with TLS and a secret, and no foreign name."""

from __future__ import annotations

import asyncio
import base64
import datetime as dt
import hashlib
import ssl
import subprocess
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import aiohttp
import pytest
from support.certificates import make_certificate, secret, serial_of
from support.installed import program

from timesync.errors import DataError, TimesyncError
from timesync.settings import HttpSettings
from timesync.web import guard
from timesync.web.certificate import Certificate
from timesync.web.health import Check
from timesync.web.listening import is_loopback, unsafe
from timesync.web.passwords import fits, make_line, read_passwords
from timesync.web.server import WebServer

if TYPE_CHECKING:
    from pathlib import Path

    from timesync.model import Event

PASSWORD = "correct horse"
TOKEN = "s3cret-token"


@pytest.fixture
def certificate(tmp_path: Path) -> tuple[Path, Path]:
    return make_certificate(tmp_path, 1)


@pytest.fixture
async def serve():
    running = []

    async def nothing() -> bytes:
        return b"timesync_up 1\n"

    async def start(settings: HttpSettings, **more: Any) -> str:
        server = WebServer(settings, **{"title": "t", "metrics": nothing, "alive": list, "ready": list, **more})
        await server.start()
        running.append(server)
        return server.urls[0]

    yield start
    for server in running:
        await server.stop()


def basic(name: str, password: str) -> dict[str, str]:
    """The header of basic authentication (RFC 7617)."""
    return {"Authorization": "Basic " + base64.b64encode(f"{name}:{password}".encode()).decode()}


async def status_of(url: str, path: str = "/metrics", **more: Any) -> int:
    async with aiohttp.ClientSession() as session, session.get(url + path, **more) as answer:
        return answer.status


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("::1", True),
        ("localhost", True),
        ("probe.localhost", True),
        ("0.0.0.0", False),
        ("::", False),
        ("", False),
        ("10.20.0.5", False),
        ("localhost.example", False),
    ],
)
def test_what_is_loopback(host: str, expected: bool) -> None:
    assert is_loopback(host) is expected


async def test_nothing_listens_elsewhere_without_tls_and_a_secret(tmp_path: Path, serve, certificate) -> None:
    token = secret(tmp_path / "token", TOKEN)
    whole = HttpSettings(
        host="0.0.0.0", port=0, tls_certificate=certificate[0], tls_key=certificate[1], token_file=token
    )
    assert unsafe(whole) == []
    for lacking in ("tls_certificate", "tls_key", "token_file"):
        settings = replace(whole, **{lacking: None})
        assert len(unsafe(settings)) == 1
        with pytest.raises(TimesyncError, match="is not loopback, and there is no"):
            await serve(settings)
    assert (await serve(whole)).startswith("https://0.0.0.0:")


async def test_tls_is_spoken_and_a_token_asked_for(tmp_path: Path, serve, certificate) -> None:
    token = secret(tmp_path / "token", TOKEN)
    settings = HttpSettings(port=0, tls_certificate=certificate[0], tls_key=certificate[1], token_file=token)
    url = await serve(settings)
    assert url.startswith("https://127.0.0.1:")
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    assert await status_of(url, ssl=trusting) == 401
    assert await status_of(url, ssl=trusting, headers={"Authorization": f"Bearer {TOKEN}"}) == 200
    assert await status_of(url, ssl=trusting, headers={"Authorization": f"Bearer {TOKEN}x"}) == 401
    assert await status_of(url, ssl=trusting, headers=basic("token", TOKEN)) == 200  # as a browser gives it
    assert trusting.minimum_version >= ssl.TLSVersion.TLSv1_2
    old = ssl.create_default_context(cafile=str(certificate[0]))
    with pytest.warns(DeprecationWarning, match="TLSv1_1"):
        old.maximum_version = ssl.TLSVersion.TLSv1_1
    with pytest.raises(aiohttp.ClientError):
        await status_of(url, ssl=old)


async def test_a_certificate_that_cannot_be_used_is_told(tmp_path: Path, serve, certificate) -> None:
    other = secret(tmp_path / "other.key", "no key")
    with pytest.raises(TimesyncError, match="tls_certificate and tls_key cannot be used"):
        await serve(HttpSettings(port=0, tls_certificate=certificate[0], tls_key=other))


async def test_every_address_wants_the_password_and_a_change_of_the_file_counts_at_once(tmp_path: Path, serve) -> None:
    path = secret(tmp_path / "passwords", f"# people\n{make_line('anna', PASSWORD)}\n")
    url = await serve(HttpSettings(port=0, password_file=path))
    good = basic("anna", PASSWORD)
    for address in ("/", "/metrics", "/none", "/healthz/", "/runbooks"):
        assert await status_of(url, address) == 401
    assert [await status_of(url, headers=good) for _ in range(3)] == [200, 200, 200]
    for name, password in (("anna", "wrong"), ("anna", ""), ("ben", PASSWORD), ("token", "")):
        assert await status_of(url, headers=basic(name, password)) == 401
    for header in ("Basic !!!", "Basic", "Digest x", "Bearer", f"Bearer {PASSWORD}"):
        assert await status_of(url, headers={"Authorization": header}) == 401
    secret(path, make_line("anna", "another one") + "\n")
    assert await status_of(url, headers=good) == 401
    path.chmod(0o644)
    secret_text = make_line("anna", PASSWORD)
    path.write_text(secret_text)
    async with aiohttp.ClientSession() as session, session.get(url + "/metrics", headers=good) as answer:
        assert answer.status == 500  # open to others: it protects nothing
        assert "chmod 0600" in (text := await answer.text())
        assert secret_text.rpartition("$")[2] not in text


@pytest.mark.parametrize("path", ["/healthz", "/readyz"])
async def test_a_container_may_ask_without_a_secret_whether_all_is_well_and_learns_no_more(
    tmp_path: Path, serve, path: str
) -> None:
    seen = [Check("spool", well=False, detail="the disk is full")]
    token = secret(tmp_path / "token", TOKEN)
    url = await serve(HttpSettings(port=0, token_file=token), alive=lambda: seen, ready=lambda: seen)
    async with aiohttp.ClientSession(url) as session:
        async with session.get(path) as answer:
            assert (answer.status, await answer.json()) == (503, {"status": "failing"})
        async with session.get(path, headers={"Authorization": f"Bearer {TOKEN}"}) as answer:
            assert (await answer.json())["checks"][0]["detail"] == "the disk is full"
        async with session.get(path, headers={"Authorization": "Bearer wrong"}) as answer:
            assert answer.status == 401
        seen.clear()
        async with session.get(path) as answer:
            assert (answer.status, await answer.json()) == (200, {"status": "ok"})


async def test_only_where_it_is_asked_for_a_browser_is_told_to_come_back_by_tls_only(serve, certificate) -> None:
    """It would bind every port of the host name."""
    plain = await serve(HttpSettings(port=0, hsts=True))
    settings = HttpSettings(port=0, tls_certificate=certificate[0], tls_key=certificate[1])
    usual, secure = await serve(settings), await serve(replace(settings, hsts=True))
    trusting = ssl.create_default_context(cafile=str(certificate[0]))
    async with aiohttp.ClientSession() as session:
        async with session.get(plain + "/metrics") as answer:
            assert "Strict-Transport-Security" not in answer.headers  # RFC 6797 section 7.2
        async with session.get(usual + "/metrics", ssl=trusting) as answer:
            assert "Strict-Transport-Security" not in answer.headers
        async with session.get(secure + "/metrics", ssl=trusting) as answer:
            assert answer.headers["Strict-Transport-Security"] == "max-age=31536000"


# A certificate that is renewed.


async def test_a_renewed_certificate_is_taken_at_a_reload_and_by_itself(tmp_path: Path, serve, monkeypatch) -> None:
    monkeypatch.setattr("timesync.web.server.CERTIFICATE_EVERY_S", 0.05)
    told: list[Event] = []
    files = make_certificate(tmp_path, 1)
    url = await serve(HttpSettings(port=0, tls_certificate=files[0], tls_key=files[1]), tell=told.append)
    assert await asyncio.to_thread(serial_of, url) == 1
    make_certificate(tmp_path, 2)
    async with asyncio.timeout(10):
        while await asyncio.to_thread(serial_of, url) != 2:
            await asyncio.sleep(0.02)
    assert [event.kind for event in told] == ["certificate_renewed"]


async def test_a_renewal_that_is_wrong_is_told_once_and_the_one_before_serves_on(
    tmp_path: Path, serve, monkeypatch
) -> None:
    monkeypatch.setattr("timesync.web.server.CERTIFICATE_EVERY_S", 0.05)
    told: list[Event] = []
    files = make_certificate(tmp_path, 1)
    url = await serve(HttpSettings(port=0, tls_certificate=files[0], tls_key=files[1]), tell=told.append)
    other = tmp_path / "other"
    other.mkdir()
    files[0].write_bytes(make_certificate(other, 2)[0].read_bytes())  # the key does not belong to it
    await asyncio.sleep(0.5)
    assert [event.kind for event in told] == ["certificate_refused"]
    assert "belong together" in told[0].text
    assert "PRIVATE KEY" not in told[0].text
    assert await asyncio.to_thread(serial_of, url) == 1
    secret(files[1], (other / "probe.key").read_text())
    await asyncio.sleep(0.3)
    assert [event.kind for event in told] == ["certificate_refused", "certificate_renewed"]
    assert await asyncio.to_thread(serial_of, url) == 2


def test_a_renewal_that_is_half_written_is_waited_for(tmp_path: Path) -> None:
    files = make_certificate(tmp_path, 1)
    used = Certificate(*files)
    assert not used.renew(patient=True)
    whole = tmp_path / "new"
    whole.mkdir()
    new = make_certificate(whole, 2)
    files[0].write_bytes(new[0].read_bytes())
    assert not used.renew(patient=True)  # the key is still to come
    secret(files[1], new[1].read_text())
    assert used.renew(patient=True)
    assert not used.renew(patient=False)
    secret(files[1], "nothing")
    with pytest.raises(TimesyncError, match="belong together"):
        used.renew(patient=False)  # somebody has asked: now, and not at the next look
    assert not used.renew(patient=False)  # and not again


async def test_files_that_change_while_they_are_read_are_left_to_the_next_look(tmp_path: Path, monkeypatch) -> None:
    files = make_certificate(tmp_path, 1)
    used = Certificate(*files)
    load = Certificate._load

    def interrupted(self: Certificate) -> ssl.SSLContext:
        context = load(self)
        make_certificate(tmp_path, 3)  # the next pair, while the one before is being taken
        return context

    make_certificate(tmp_path, 2)
    monkeypatch.setattr(Certificate, "_load", interrupted)
    assert not used.renew(patient=True)
    monkeypatch.setattr(Certificate, "_load", load)
    assert used.renew(patient=True)


async def test_guesses_are_slow_and_do_not_pile_up(tmp_path: Path, serve, monkeypatch) -> None:
    monkeypatch.setattr(guard, "WAITING", 2)
    path = secret(tmp_path / "passwords", make_line("anna", PASSWORD))
    url = await serve(HttpSettings(port=0, password_file=path))
    guesses = (status_of(url, headers=basic("anna", f"guess {number}")) for number in range(12))
    found = await asyncio.gather(*guesses)
    assert set(found) == {401, 429}
    assert await status_of(url, headers=basic("anna", PASSWORD)) == 200


@pytest.mark.parametrize(
    ("host", "expected"),
    [
        ("evil.example", 421),
        ("evil.example:9787", 421),
        ("localhost.evil.example", 421),
        ("127.0.0.1.evil.example", 421),
        ("localhost:1", 200),
        ("127.0.0.1", 200),
        ("[::1]:9787", 200),
    ],
)
async def test_a_foreign_name_that_points_here_reads_nothing(serve, host: str, expected: int) -> None:
    url = await serve(HttpSettings(port=0))
    assert await status_of(url, headers={"Host": host}) == expected


# Passwords.


def test_the_hash_is_scrypt_of_rfc_7914() -> None:
    # RFC 7914 section 12, third vector: scrypt("pleaseletmein", "SodiumChloride", 16384, 8, 1), 64 octets; ours are the first 32.
    line = make_line("anna", "pleaseletmein", salt=b"SodiumChloride")
    wanted = "7023bdcb3afd7348461c06cd81fd38ebfda8fbba904f8e3ea9b543f6545da1f2"
    assert (
        hashlib.scrypt(b"pleaseletmein", salt=b"SodiumChloride", n=16384, r=8, p=1, maxmem=2**26, dklen=32).hex()
        == wanted
    )
    assert line == "anna:scrypt$ln=14,r=8,p=1$U29kaXVtQ2hsb3JpZGU$cCO9yzr9c0hGHAbNgf046/2o+7qQT44+qbVD9lRdofI"
    assert fits(line, "pleaseletmein")
    assert not fits(line, "pleaseletmeout")
    assert not fits(None, "pleaseletmein")


def test_two_lines_of_one_password_are_not_the_same() -> None:
    assert make_line("a", PASSWORD) != make_line("a", PASSWORD)


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("", "nobody is in it"),
        ("# only this\n", "nobody is in it"),
        ("anna:hunter2\n", "line 1 is no line of"),
        ("\nanna:scrypt$ln=31,r=8,p=1$AA$AA\n", "line 2 is no line of"),  # 16 GiB for each guess
    ],
)
def test_a_file_that_is_none_is_told_by_its_line(text: str, message: str) -> None:
    with pytest.raises(DataError, match=message) as caught:
        read_passwords(text)
    assert "hunter2" not in str(caught.value)


def test_the_command_prints_a_line_that_fits() -> None:
    done = subprocess.run(
        [program(), "password", "anna"], input=PASSWORD + "\n", capture_output=True, text=True, check=True
    )
    assert fits(read_passwords(done.stdout)["anna"], PASSWORD)
    assert PASSWORD not in done.stdout
    for name, given in (("an:na", PASSWORD), ("anna", "")):
        bad = subprocess.run(
            [program(), "password", name], input=given + "\n", capture_output=True, text=True, check=False
        )
        assert bad.returncode == 2
        assert bad.stderr.startswith("timesync: ")


async def test_until_when_the_served_certificate_is_valid_is_known(certificate) -> None:
    """What is served counts, whatever is in the file since: one that cannot be used does not take its place."""

    async def metrics() -> bytes:
        return b""

    settings = HttpSettings(port=0, tls_certificate=certificate[0], tls_key=certificate[1])
    server = WebServer(settings, title="t", metrics=metrics, alive=list, ready=list)
    assert server.certificate_validity is None
    await server.start()
    certificate[0].write_bytes(b"")
    server.renew()
    now_s = dt.datetime.now(dt.UTC).timestamp()
    await server.stop()
    assert 86_000 < server.certificate_validity.until_ns / 1e9 - now_s <= 86_400
    assert 86_400 <= now_s - server.certificate_validity.from_ns / 1e9 < 86_800
