"""What a database's answer means: only a fault of the line itself may set a record aside."""

from __future__ import annotations

import pytest

from timesync.store.answers import Verdict, dropped_all, judge, retry_after_s

# Bodies as InfluxDB 1.6, 1.8, 2.7 and 3 Core send them.
CONFLICT_1 = (
    b'{"error":"partial write: field type conflict: input field \\"value\\" on measurement \\"m\\" is type float, '
    b'already exists as type string dropped=1"}'
)
PARSE_1 = b'{"error":"unable to parse \'m x=\': missing field value"}'
CONFLICT_2 = (
    b'{"code":"unprocessable entity","message":"failure writing points to database: partial write: field type conflict: '
    b'input field \\"v\\" on measurement \\"m\\" is type integer, already exists as type float dropped=3"}'
)
PARTIAL_3 = (
    b'{"error":"partial write of line protocol occurred","data":[{"original_line":"m v=","line_number":2,'
    b'"error_message":"invalid field value"}]}'
)


@pytest.mark.parametrize(
    ("status", "body", "verdict"),
    [
        (204, b"", Verdict.STORED),
        (200, b"{}", Verdict.STORED),
        (400, CONFLICT_1, Verdict.LINE_FAULT),
        (400, PARSE_1, Verdict.LINE_FAULT),
        (422, CONFLICT_2, Verdict.LINE_FAULT),
        (400, PARTIAL_3, Verdict.LINE_FAULT),
        (400, b'{"error":"database is required"}', Verdict.DOUBTFUL),
        (400, b"<html>Bad Request</html>", Verdict.DOUBTFUL),
        (413, b'{"error":"Request Entity Too Large"}', Verdict.TOO_LARGE),
        (401, b'{"error":"authorization failed"}', Verdict.UNAVAILABLE),
        (403, b"", Verdict.UNAVAILABLE),
        (404, b'{"error":"database not found: \\"x\\""}', Verdict.UNAVAILABLE),
        (429, b"", Verdict.UNAVAILABLE),
        (500, b'{"error":"timeout"}', Verdict.UNAVAILABLE),
        (503, b"", Verdict.UNAVAILABLE),
        (301, b"", Verdict.UNAVAILABLE),
    ],
)
def test_verdict(status: int, body: bytes, verdict: Verdict) -> None:
    assert judge(status, body, {}).verdict is verdict


def test_what_the_database_said_is_kept_and_cut() -> None:
    assert "database not found" in judge(404, b'{"error":"database not found"}', {}).text
    assert "invalid field value" in judge(400, PARTIAL_3, {}).text
    assert judge(503, b"", {"X-Influxdb-Error": "engine is closed"}).text == "HTTP 503: engine is closed"
    assert len(judge(500, b"x" * 10_000, {}).text) < 500


def test_dropped_count_that_names_the_whole_batch_needs_no_search() -> None:
    text = judge(422, CONFLICT_2, {}).text
    assert dropped_all(text, 3)
    assert not dropped_all(text, 4)
    assert not dropped_all("unable to parse", 1)


def test_retry_after_is_seconds_or_a_date_against_the_answers_own() -> None:
    assert retry_after_s({"Retry-After": "120"}) == 120.0
    headers = {"retry-after": "Fri, 31 Dec 1999 23:59:59 GMT", "date": "Fri, 31 Dec 1999 23:59:29 GMT"}
    assert retry_after_s(headers) == 30.0
    assert retry_after_s({"retry-after": "soon"}) is None
    assert retry_after_s({}) is None
