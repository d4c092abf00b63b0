"""What a stream is made as."""

from __future__ import annotations

import pytest

from hub.domain.stream_settings import JSON, StreamSettings, essence


@pytest.mark.parametrize(
    ("content_type", "wanted"),
    [
        ("application/json", "application/json"),
        ("Application/JSON; charset=utf-8", "application/json"),
        ("text/plain;charset=utf-8", "text/plain"),
        ("  text/plain ; x=y;z", "text/plain"),
        ("", ""),
    ],
)
def test_a_type_is_compared_without_parameters_and_case(content_type: str, wanted: str) -> None:
    assert essence(content_type) == wanted


@pytest.mark.parametrize(
    ("content_type", "json", "text"),
    [
        (JSON, True, False),
        ("APPLICATION/JSON;v=1", True, False),
        ("application/jsonl", False, False),
        ("application/vnd.api+json", False, False),
        ("text/plain", False, True),
        ("Text/Markdown; charset=utf-8", False, True),
        ("application/octet-stream", False, False),
    ],
)
def test_a_type_says_what_the_records_are(content_type: str, json: bool, text: bool) -> None:
    settings = StreamSettings(content_type)
    assert (settings.is_json, settings.is_text) == (json, text)


def test_a_stream_holds_events_unless_it_is_said_otherwise() -> None:
    assert StreamSettings() == StreamSettings(JSON, ttl=None, expires_at=None, fork=None)
