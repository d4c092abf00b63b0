"""A JSON body as the messages it holds (Durable Streams Protocol, section 9.1).

A lone value is one message, the elements of an array are one each, and only one level of it
is taken apart. Each message keeps the bytes it came in, numbers and escapes as they were
written; line ends between its tokens alone become spaces, so that a message is one line.
"""

from __future__ import annotations

import re
from typing import Final

import orjson

from hub.domain import json_text
from hub.domain.errors import FramingError, RequestError, TooLarge
from hub.framing import ConcatenatedJSON, JSONArray
from hub.framing.values import LONG_NUMBER, MAX_DEPTH, MAX_DIGITS

__all__ = ["one", "split"]

MESSAGES: Final = 10_000
"""Messages that one body may hold: each is a record, and costs more than its bytes."""

SHORT: Final = MAX_DIGITS
"""Bytes of a value that can hold no number of too many digits."""


BOM: Final = b"\xef\xbb\xbf"
"""Which nobody should send and every reader may ignore (RFC 8259 section 8.1)."""

_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")
# Nowhere in JSON (RFC 8259 sections 2 and 7), but to parsers that take some for white space.
_CONTROL: Final = re.compile(rb"[\x00-\x08\x0b\x0c\x0e-\x1f]")


def split(body: bytes) -> list[bytes]:
    """The messages in a body; none of an empty array.

    Raises:
        RequestError: ``bad_json``: it is not JSON, or nested too deeply.
        TooLarge: it holds more messages than may be written at once.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        raise _refused("the body", "it is not UTF-8") from None
    _check_number(body)
    text = body.removeprefix(BOM).strip(b" \t\r\n")
    if not text:
        raise _refused("the body", "it is empty")
    if not text.startswith(b"["):
        return [_whole(text, "the body")]
    return _values(JSONArray(len(text) + 1), text, "the body")


def one(value: str, what: str) -> bytes:
    """A JSON value that stood in a frame as it stands in a record, an array too.

    Raises:
        RequestError: ``bad_json``: ``what`` is not JSON, or nested too deeply.
    """
    return _whole(value.encode().strip(b" \t\r\n"), what)


def _whole(text: bytes, what: str) -> bytes:
    if _is_plain(text):
        return text.translate(_ONE_LINE)
    found = _values(ConcatenatedJSON(len(text) + 1), text, what)
    if len(found) != 1:
        raise _refused(what, "it holds several values: put them into an array")
    return found[0]


def _is_plain(text: bytes) -> bool:
    """Whether it is one value that all parsers take, as nearly every one is; told quickly."""
    if len(text) > SHORT and LONG_NUMBER.search(text):
        return False
    try:
        held = orjson.loads(text)
    except orjson.JSONDecodeError:
        return False
    return text.count(b"{") + text.count(b"[") <= MAX_DEPTH or _is_flat(held)


def _is_flat(held: object) -> bool:
    """Whether a value is not nested too deeply."""
    level = [held]
    for _ in range(MAX_DEPTH):
        level = [
            inner
            for outer in level
            if isinstance(outer, dict | list)
            for inner in (outer.values() if isinstance(outer, dict) else outer)
            if isinstance(inner, dict | list)
        ]
        if not level:
            return True
    return False


def _values(framing: ConcatenatedJSON, text: bytes, what: str) -> list[bytes]:
    if _CONTROL.search(text):
        raise _refused(what, "it holds a control character")
    try:
        chunks = [*framing.feed(text), *framing.flush()]
    except FramingError:
        raise _refused(what, "it is malformed or nested too deeply") from None
    return [chunk.data.translate(_ONE_LINE) for chunk in chunks]


def _check_number(body: bytes) -> None:
    """Refuse too many messages before the time is spent to take them apart."""
    if body.count(b",") < MESSAGES:
        return
    try:
        held = json_text.loads(body)
    except ValueError:
        raise _refused("the body", "it is malformed or nested too deeply") from None
    if isinstance(held, list) and len(held) > MESSAGES:
        raise TooLarge(f"send at most {MESSAGES} messages at once")


def _refused(what: str, why: str) -> RequestError:
    return RequestError(f"{what} cannot be taken as JSON: {why}", code="bad_json")
