"""A JSON body as the messages it holds (Durable Streams Protocol, section 9.1).

A lone value is one message, the elements of an array are one each, and only one level of it
is taken apart. Each message keeps the bytes it came in, numbers and escapes as they were
written; line ends between its tokens alone become spaces, so that a message is one line.
"""

from __future__ import annotations

from typing import Final

import orjson

from hub.errors import FramingError, RequestError, TooLarge
from hub.events import Event, decode
from hub.framing import ConcatenatedJSON, JSONArray

__all__ = ["event_in", "split"]

MESSAGES: Final = 10_000
"""Messages that one body may hold: each is a record, and costs more than its bytes."""

BOM: Final = b"\xef\xbb\xbf"
"""Which nobody should send and every reader may ignore (RFC 8259 section 8.1)."""

_ONE_LINE: Final = bytes.maketrans(b"\r\n", b"  ")


def split(body: bytes) -> list[bytes]:
    """The messages in a body; none of an empty array.

    Raises:
        RequestError: ``bad_json``: it is not JSON, or nested too deeply.
        TooLarge: it holds more messages than may be written at once.
    """
    try:
        body.decode()
    except UnicodeDecodeError:
        raise _refused("it is not UTF-8") from None
    _check_number(body)
    # No control character stands in a string (RFC 8259 section 7), so these are white space.
    text = body.removeprefix(BOM).strip(b" \t\r\n").translate(_ONE_LINE)
    if not text:
        raise _refused("it is empty")
    framing = (JSONArray if text.startswith(b"[") else ConcatenatedJSON)(len(text) + 1)
    try:
        found = [chunk.data for chunk in (*framing.feed(text), *framing.flush())]
    except FramingError:
        raise _refused("it is malformed or nested too deeply") from None
    if not text.startswith(b"[") and len(found) != 1:
        raise _refused("it holds several values: put them into an array")
    return found


def event_in(message: bytes) -> Event | None:
    """The event that a message is, if it is one."""
    try:
        return decode(message)
    except RequestError:
        return None


def _check_number(body: bytes) -> None:
    """Refuse too many messages before the time is spent to take them apart."""
    if body.count(b",") < MESSAGES:
        return
    try:
        held = orjson.loads(body)
    except orjson.JSONDecodeError:
        raise _refused("it is malformed, or half a surrogate pair stands in it") from None
    if isinstance(held, list) and len(held) > MESSAGES:
        raise TooLarge(f"send at most {MESSAGES} messages at once")


def _refused(why: str) -> RequestError:
    return RequestError(f"the body cannot be taken as JSON: {why}", code="bad_json")
