"""The headers of streaming responses."""

from __future__ import annotations

from hub.http.streaming import streaming_headers


def test_nothing_on_the_way_may_store_change_hold_back_or_guess() -> None:
    assert streaming_headers("text/event-stream") == {
        "Content-Type": "text/event-stream; charset=utf-8",
        "Cache-Control": "no-store, no-transform",
        "X-Accel-Buffering": "no",
        "X-Content-Type-Options": "nosniff",
        "Referrer-Policy": "no-referrer",
    }


def test_the_charset_can_be_left_out() -> None:
    told = streaming_headers("text/event-stream", charset=False)
    assert told["Content-Type"] == "text/event-stream"


def test_plain_text_says_that_it_is_utf_8() -> None:
    assert streaming_headers("text/plain")["Content-Type"] == "text/plain; charset=utf-8"


def test_headers_are_the_callers_own() -> None:
    streaming_headers("text/plain")["Content-Type"] = "changed"
    assert streaming_headers("text/plain")["Content-Type"] != "changed"
