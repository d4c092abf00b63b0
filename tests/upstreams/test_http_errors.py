"""An HTTP answer that is no success becomes one clear error, with the wait it asks for."""

from __future__ import annotations

from datetime import UTC, datetime, timedelta
from email.utils import format_datetime

import pytest

from hub.upstreams.http_errors import explain, retry_after

NOW = datetime(2026, 3, 1, 12, 0, 0, tzinfo=UTC)


@pytest.mark.parametrize(
    ("status", "code", "retryable"),
    [
        (400, "upstream_rejected", False),
        (401, "upstream_unauthorized", False),
        (403, "upstream_unauthorized", False),
        (404, "upstream_model_not_found", False),
        (413, "upstream_rejected", False),
        (422, "upstream_rejected", False),
        (429, "upstream_rate_limited", True),
        (500, "upstream_error", True),
        (502, "upstream_error", True),
        (503, "upstream_overloaded", True),
        (504, "upstream_error", True),
        (529, "upstream_overloaded", True),
        (302, "upstream_rejected", False),
    ],
)
def test_the_status_gives_the_code(status: int, code: str, retryable: bool) -> None:
    error = explain(status, "", {}, b"", now=NOW)
    assert (error.code, error.retryable, error.retry_after) == (code, retryable, None)
    assert str(status) in error.message


@pytest.mark.parametrize(
    ("body", "words"),
    [
        (b'{"error":{"message":"No such model","type":"x"}}', "No such model"),
        (b'{"error":"No such model"}', "No such model"),
        (b'{"detail":"No such model"}', "No such model"),
        (b'{"object":"error","message":"No such model"}', "No such model"),
        (b'{"message":"No such model"}', "No such model"),
        (b'[{"error":{"message":"No such model"}}]', "No such model"),
        (b'"No such model"', "No such model"),
        (b"No such model\r\n", "No such model"),
        (b'data: {"error":{"message":"No such model"}}\n\ndata: [DONE]\n\n', "No such model"),
        (b'\nevent: error\r\ndata:{"error":"No such model"}\r\n\r\n', "No such model"),
        (b': hi\n\ndata: {"choices":[]}\n\ndata: {"detail":"No such model"}\n\n', "No such model"),
        (
            b"<!DOCTYPE html>\n<html><head><TITLE lang=en>502 Bad&nbsp;Gateway\n</title>",
            'an HTML page "502 Bad Gateway"',
        ),
        (b"<html><body>oops</body></html>", "an HTML page"),
        (b"\xff\xfe no text", "\ufffd\ufffd no text"),
        (b"[" * 100_000, "[" * 200),
        (b'{"error": {"message": "cut of', '{"error": {"message": "cut of'),
    ],
    ids=lambda value: repr(value)[:40],
)
def test_the_body_gives_the_words(body: bytes, words: str) -> None:
    error = explain(500, "Internal Server Error", {}, body, now=NOW)
    assert error.message.startswith(f"the upstream answered 500 Internal Server Error: {words}")


@pytest.mark.parametrize("body", [b"", b" \n", b"\x00"])
def test_an_empty_body_says_nothing(body: bytes) -> None:
    error = explain(529, "", {}, body, now=NOW)
    assert error.message == "the upstream answered 529, ask again later"


def test_says_what_to_do() -> None:
    said = {status: explain(status, "", {}, b"", now=NOW).message for status in (401, 404, 429)}
    assert said == {
        401: "the upstream answered 401, check its API key",
        404: "the upstream answered 404, check its url and model",
        429: "the upstream answered 429, wait before asking again",
    }


def test_a_key_is_never_shown_nor_a_long_text() -> None:
    body = b'{"error":{"message":"Bad key sk-proj-0123456789abcdef ' + b"x" * 9999 + b'"}}'
    error = explain(401, "Unauthorized", {}, body, now=NOW)
    assert "0123" not in error.message
    assert len(error.message) <= 300


def test_a_reason_cannot_break_the_line() -> None:
    assert "\n" not in explain(500, "Oh\r\nno\x1b", {}, b"", now=NOW).message


def test_a_quota_that_is_used_up_does_not_come_back_by_waiting() -> None:
    body = b'{"error":{"message":"You exceeded your current quota","code":"insufficient_quota"}}'
    error = explain(429, "Too Many Requests", {}, body, now=NOW)
    assert (error.code, error.retryable) == ("upstream_rate_limited", False)


@pytest.mark.parametrize(
    ("said", "seconds"),
    [
        ("0", 0.0),
        ("120", 120.0),
        (" 7 ", 7.0),
        ("1.5", 1.5),
        ("Sun, 01 Mar 2026 12:00:30 GMT", 30.0),
        ("Sunday, 01-Mar-26 12:00:30 GMT", 30.0),
        ("Sun Mar  1 12:00:30 2026", 30.0),
        ("Sun, 01 Mar 2026 11:00:00 GMT", 0.0),
        ("", None),
        ("soon", None),
        ("-5", None),
        ("nan", None),
        ("٣", None),
        ("1e3", None),
        ("9" * 400, None),
        ("Sun, 99 Mar 2026 12:00:30 GMT", None),
        ("Sun, 01 Mar 99999999999 12:00:30 GMT", None),
    ],
)
def test_retry_after(said: str, seconds: float | None) -> None:
    assert retry_after({"retry-After": said}, NOW) == seconds


def test_no_retry_after() -> None:
    assert retry_after({"Content-Type": "text/html"}, NOW) is None


def test_compares_with_the_present_if_no_time_is_given() -> None:
    date = format_datetime(datetime.now(UTC) + timedelta(minutes=10), usegmt=True)
    error = explain(503, "Busy", {"Retry-After": date}, b"")
    assert error.retry_after is not None
    assert 0 < error.retry_after <= 600


def test_google_says_the_wait_in_the_body() -> None:
    body = (
        b'{"error":{"code":429,"message":"Quota exceeded","status":"RESOURCE_EXHAUSTED","details":'
        b'[{"@type":"type.googleapis.com/google.rpc.RetryInfo","retryDelay":"34.5s"}]}}'
    )
    assert explain(429, "Too Many Requests", {}, body).retry_after == 34.5
    assert explain(429, "Too Many Requests", {"Retry-After": "2"}, body).retry_after == 2.0
