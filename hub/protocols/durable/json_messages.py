"""Split a JSON body into its messages (Durable Streams Protocol, section 9.1).

A single value is one message; the elements of an array, one level deep, are one each. Messages
keep their bytes, with numbers and escapes as they were written. Only line ends between tokens
become spaces, so that a message is one line.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

from hub.domain import json_text
from hub.domain.errors import FramingError, RequestError, TooLarge
from hub.framing import ConcatenatedJSON, JSONArray
from hub.framing.chunk import BOM
from hub.framing.values import MAX_DEPTH, has_long_number

__all__ = ["one", "split"]

MESSAGES: Final = 10_000
"""Messages in one body at most: each is a record, and costs more than its bytes."""

_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")
# JSON has none of these (RFC 8259 sections 2 and 7), but some parsers take some for white space.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def split(body: bytes) -> list[bytes]:
    """The messages in a body; none if it is an empty array.

    Raises:
        RequestError: ``bad_json``: it is not JSON, or nested too deeply.
        TooLarge: it holds more than `MESSAGES` messages.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        raise _refused("the body", "it is not UTF-8") from None
    _check_number(body)
    # Every reader may ignore a byte order mark (RFC 8259 section 8.1).
    text = body.removeprefix(BOM).strip(b" \t\r\n")
    if not text:
        raise _refused("the body", "it is empty")
    if not text.startswith(b"["):
        return [_whole(text, "the body")]
    return _values(JSONArray(len(text) + 1), text, "the body")


def one(value: str, what: str) -> bytes:
    """A JSON value from a frame as one message, even if it is an array.

    Raises:
        RequestError: ``bad_json``: ``what`` is not JSON, or nested too deeply.
    """
    return _whole(value.encode().strip(b" \t\r\n"), what)


def _whole(text: bytes, what: str) -> bytes:
    if _is_plain(text):
        return text.translate(_ONE_LINE)
    values = _values(ConcatenatedJSON(len(text) + 1), text, what)
    if len(values) != 1:
        raise _refused(what, "it holds several values: put them into an array")
    return values[0]


def _is_plain(text: bytes) -> bool:
    """A quick check that the text is one value that every parser accepts, as nearly all are."""
    if has_long_number(text):
        return False
    try:
        value = orjson.loads(text)
        if text.count(b"{") + text.count(b"[") > MAX_DEPTH:
            orjson.dumps(value)  # fails at about `MAX_DEPTH` levels, and never above it
    except (orjson.JSONDecodeError, orjson.JSONEncodeError):
        return False
    return True


def _values(framing: ConcatenatedJSON, text: bytes, what: str) -> list[bytes]:
    if _CONTROL.search(text):
        raise _refused(what, "it holds a control character")
    try:
        chunks = [*framing.feed(text), *framing.flush()]
    except FramingError:
        raise _refused(what, "it is malformed or nested too deeply") from None
    return [chunk.data.translate(_ONE_LINE) for chunk in chunks]


def _check_number(body: bytes) -> None:
    """Refuse too many messages before spending the time to split them."""
    if body.count(b",") < MESSAGES:
        return
    try:
        value = json_text.loads(body)
    except ValueError:
        raise _refused("the body", "it is malformed or nested too deeply") from None
    if isinstance(value, list) and len(value) > MESSAGES:
        raise TooLarge(f"send at most {MESSAGES} messages at once")


def _refused(what: str, why: str) -> RequestError:
    return RequestError(f"{what} cannot be read as JSON: {why}", code="bad_json")
