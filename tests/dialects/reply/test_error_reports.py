"""Errors are found in every shape, and what is shown of them is fit to be shown."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.dialects.reply.error_reports import LENGTH, clean, find_error
from hub.domain.events import Usage


@pytest.mark.parametrize(
    ("held", "message", "code"),
    [
        ({"error": {"message": "m", "type": "server_error"}}, "m", "upstream_error"),
        ({"error": {"message": "m", "code": 429}}, "m", "upstream_rate_limited"),
        ({"error": {"message": "m", "code": "rate_limit_exceeded"}}, "m", "upstream_rate_limited"),
        ({"error": {"message": "m", "status": "UNAVAILABLE"}}, "m", "upstream_overloaded"),
        ({"type": "error", "error": {"type": "overloaded_error", "message": "m"}}, "m",
         "upstream_overloaded"),
        ({"error": {"message": "m", "code": "invalid_api_key"}}, "m", "upstream_unauthorized"),
        ({"error": {"message": "m", "type": "authentication_error"}}, "m", "upstream_unauthorized"),
        ({"error": {"message": "m", "code": "context_length_exceeded"}}, "m", "upstream_rejected"),
        ({"error": {"message": "m", "code": 500}}, "m", "upstream_error"),
        ({"error": {"message": "m", "code": "404"}}, "m", "upstream_model_not_found"),
        ({"error": "m"}, "m", "upstream_error"),
        ({"error": True, "message": "m"}, "m", "upstream_error"),
        ({"error": {"error": {"message": "m"}}}, "m", "upstream_error"),
        ({"error": {"type": "weird"}}, "weird", "upstream_error"),
        ({"error": {"a": [1]}}, '{"a":[1]}', "upstream_error"),
        ({"error": ["m"]}, "m", "upstream_error"),
        ({"error": True}, "", "upstream_error"),
        ({"object": "error", "message": "m", "code": 400}, "m", "upstream_rejected"),
        ({"object": "error"}, "", "upstream_error"),
        ({"detail": "m"}, "m", "upstream_error"),
        ({"error_code": 336100, "error_msg": "m"}, "m", "upstream_error"),
        ({"base_resp": {"status_code": 1004, "status_msg": "m"}}, "m", "upstream_error"),
        ({"base_resp": {"status_code": 503, "status_msg": ""}}, "", "upstream_overloaded"),
        ({"error": {"message": "m", "http_status_code": 429}}, "m", "upstream_rate_limited"),
        ({"error": "m", "error_type": "overloaded"}, "m", "upstream_overloaded"),
        ({"statusCode": 401, "message": "m"}, "m", "upstream_unauthorized"),
        ({"error": {"message": "m", "metadata": {"raw": "why", "provider_name": "P"}}}, "m: why",
         "upstream_error"),
        ({"error": {"message": "m", "metadata": {"raw": {"a": 1}}}}, "m", "upstream_error"),
        ({"detail": [{"loc": ["body"], "msg": "m"}]}, "m", "upstream_error"),
        ({"detail": [{"loc": ["body", "stop", 0], "msg": "m"}]}, "stop.0: m", "upstream_error"),
        ({"detail": [{"loc": "body.stop", "msg": "m"}]}, "m", "upstream_error"),
        ({"errors": [{"message": "m", "code": 503}]}, "m", "upstream_overloaded"),
        ({"code": "Throttling.RateLimit", "message": "m"}, "m", "upstream_rate_limited"),
        ({"status": 500, "msg": "m"}, "m", "upstream_error"),
        ([{"error": {"message": "m", "status": "NOT_FOUND"}}], "m", "upstream_model_not_found"),
    ],
)  # fmt: skip
def test_finds(held: Any, message: str, code: str) -> None:
    found = find_error(held)
    assert found is not None
    assert (found.message, found.code) == (message, code)


@pytest.mark.parametrize(
    "held",
    [
        {"error": None, "choices": []},
        {"error": "", "text": "a"},
        {"error": False},
        {"error": {}},
        {"state": 0, "data": [], "text": "a", "message": ""},
        {"message": "just text"},
        {"message": {"content": "a"}, "status": "running"},
        {"code": 200, "message": "ok"},
        {"code": 0, "message": "success"},
        {"type": "ping", "message": "hello"},
        {"object": "chat.completion.chunk"},
        {},
        [],
        None,
        "error",
        5,
    ],
)
def test_finds_none(held: Any) -> None:
    assert find_error(held) is None


def test_becomes_the_end_of_a_generation() -> None:
    found = find_error({"error": "out of memory"})
    assert found is not None
    failed = found.failure(Usage(3, 4))
    assert failed.message == "the upstream reports an error: out of memory"
    assert (failed.code, failed.usage) == ("upstream_error", Usage(3, 4))


def test_says_so_when_nothing_was_said() -> None:
    found = find_error({"error": True})
    assert found is not None
    assert found.failure(None).message == "the upstream reports an error and does not say which"


@pytest.mark.parametrize(
    "secret",
    [
        "sk-proj-Abc123DEF456ghi789_x-y",
        "sk-abcd****************wxyz",
        "sk_live_0123456789abcdef",
        "gsk_0123456789abcdefABCDEF",
        "hf_abcdefABCDEF0123",
        "xai-0123456789abcdef",
        "AIzaSyA-0123456789abcdefghij",
        "AKIAIOSFODNN7EXAMPLE",
        "eyJhbGciOiJIUzI1NiJ9.eyJzdWIiOiIxIn0.c2lnbmF0dXJl",
    ],
)
@pytest.mark.parametrize("around", ["Incorrect key: {}.", '{{"k":"{}"}}', "{}", "({})"])
def test_masks_keys(secret: str, around: str) -> None:
    shown = clean(around.format(secret))
    assert secret[8:] not in shown
    assert "…" in shown


@pytest.mark.parametrize(
    "words", ["Authorization: Bearer s3cretvalue", "bearer s3cretvalue", "api_key=s3cretvalue",
              "X-Api-Key: s3cretvalue", '"api-key":"s3cretvalue"', "password = s3cretvalue"],
)  # fmt: skip
def test_masks_what_stands_where_keys_stand(words: str) -> None:
    assert "s3cret" not in clean(words)


@pytest.mark.parametrize("words", ["The task-runner failed", "max_tokens: 5000", "risk-assessment"])
def test_leaves_other_words_alone(words: str) -> None:
    assert clean(words) == words


def test_is_one_line_without_control_characters() -> None:
    assert clean("a\x1b[31m\r\n\tb\x00\u202ec \u2028 d\ud83d") == "a[31m bc d\ufffd"


def test_cuts_after_masking() -> None:
    shown = clean("x" * (LENGTH - 8) + " sk-0123456789abcdef")
    assert len(shown) <= LENGTH
    assert "012" not in shown


@given(st.text(alphabet=st.characters(exclude_categories=()), max_size=1000))
def test_is_never_too_long_and_always_encodes(words: str) -> None:
    shown = clean(words)
    assert len(shown) <= LENGTH
    assert shown.encode().decode() == shown
    assert "\n" not in shown
