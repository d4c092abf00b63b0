"""The headers and query of the Durable Streams Protocol, parsed strictly.

Numbers are decimal digits only: `int` would also accept signs, spaces, underscores and the
digits of other scripts.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from datetime import datetime
from typing import Final, NamedTuple
from urllib.parse import unquote

from aiohttp import web

from hub.domain.errors import RequestError, StreamNotFound
from hub.domain.producers import Stamp
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.http.forwarded import host, is_forwarded, known_scheme, scheme
from hub.streams.history import From

__all__ = [
    "ForkRequest",
    "address",
    "closes",
    "content_type",
    "fork",
    "known_interval",
    "named",
    "reading",
    "settings",
    "stamp",
]

LARGEST: Final = 2**53 - 1
"""The largest whole number that every client represents exactly (protocol section 5.2.1)."""

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}")
PRODUCER_LENGTH: Final = 255

_OFFSETS: Final[Mapping[str, From]] = {"-1": "start", "now": "now"}
_DIGITS: Final = re.compile(r"[0-9]{1,16}")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_TYPE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*(?:;.*)?")


class ForkRequest(NamedTuple):
    """Where a PUT forks from: ``further`` messages after a position, or else the tail."""

    source: str
    position: Position | None
    further: int


def named(request: web.Request, name: str) -> str | None:
    """The value of a header.

    Raises:
        RequestError: it is given twice, or is not text.
    """
    values = request.headers.getall(name, [])
    if len(values) > 1:
        raise RequestError(f"{name} is given more than once", code="bad_header")
    if not values:
        return None
    try:
        values[0].encode()
    except UnicodeEncodeError:
        raise RequestError(f"{name} is not UTF-8", code="bad_header") from None
    return values[0]


def closes(request: web.Request) -> bool:
    """Whether the request closes the stream; any value except ``true`` is ignored."""
    return (named(request, "Stream-Closed") or "").lower() == "true"


def content_type(request: web.Request) -> str | None:
    """The content type as the client wrote it; aiohttp would give a default if it is missing.

    Raises:
        RequestError: it is malformed (RFC 9110 section 8.3.1).
    """
    value = named(request, "Content-Type")
    if not value:
        return None
    if _TYPE.fullmatch(value.strip()) is None:
        raise RequestError("Content-Type must be type/subtype", code="bad_content_type")
    return value.strip()


def settings(request: web.Request, default_type: str) -> StreamSettings:
    """The settings of the stream that a PUT creates.

    Raises:
        RequestError: ``bad_expiry``: the expiry is malformed, or there are two.
    """
    ttl, at = named(request, "Stream-TTL"), named(request, "Stream-Expires-At")
    if ttl is not None and at is not None:
        raise RequestError("give Stream-TTL or Stream-Expires-At, not both", code="bad_expiry")
    if at is not None:
        _check_time(at)
    seconds = None if ttl is None else _number(ttl, _NUMBER, "Stream-TTL", "bad_expiry")
    return StreamSettings(content_type(request) or default_type, seconds, at)


def address(request: web.Request) -> str:
    """The URL of the request, as the client knows it.

    The protocol wants an absolute URL (section 5.1), so it needs the scheme and the host that the
    client used. Where a proxy is not trusted or does not tell them, the result is a path (RFC 9110
    section 10.2.2).
    """
    path = request.rel_url.raw_path
    used = known_scheme(request) if is_forwarded(request) else scheme(request)
    named = host(request)
    return path if used is None or not named else f"{used}://{named}{path}"


def stamp(request: web.Request) -> Stamp | None:
    """The producer of an append and the append's number, if the request has them.

    Raises:
        RequestError: ``bad_producer``: not all three headers are given, or one is malformed.
    """
    names = ("Producer-Id", "Producer-Epoch", "Producer-Seq")
    producer, epoch, number = (named(request, name) for name in names)
    if producer is None and epoch is None and number is None:
        return None
    if not producer or epoch is None or number is None:
        raise RequestError(f"give all of {', '.join(names)}, or none", code="bad_producer")
    if len(producer) > PRODUCER_LENGTH:
        raise RequestError(
            f"Producer-Id must have at most {PRODUCER_LENGTH} characters", code="bad_producer"
        )
    return Stamp(
        producer,
        _number(epoch, _DIGITS, "Producer-Epoch", "bad_producer"),
        _number(number, _DIGITS, "Producer-Seq", "bad_producer"),
    )


def fork(request: web.Request) -> ForkRequest | None:
    """The fork that a PUT asks for.

    Raises:
        RequestError: ``bad_fork_offset``: malformed, or without a source.
        StreamNotFound: the source is not a stream of this hub.
    """
    source = named(request, "Stream-Forked-From")
    at = named(request, "Stream-Fork-Offset")
    further = named(request, "Stream-Fork-Sub-Offset")
    if source is None:
        if at is not None or further is not None:
            raise RequestError(
                "a fork's offset also needs Stream-Forked-From", code="bad_fork_offset"
            )
        return None
    more = _number(further or "0", _NUMBER, "Stream-Fork-Sub-Offset", "bad_fork_offset")
    if further == "" or (more and at is None):
        raise RequestError(
            "Stream-Fork-Sub-Offset counts from Stream-Fork-Offset: give both",
            code="bad_fork_offset",
        )
    # All streams lie under this path, also if the hub is part of another application.
    before, route, _ = request.rel_url.raw_path.partition("/v1/stream/")
    root = before + route
    if not source.startswith(root):
        raise StreamNotFound(f"Stream-Forked-From must be the path of a stream, under {root}")
    position = None if at is None else Position.parse(at)
    return ForkRequest(unquote(source.removeprefix(root)), position, more)


def reading(request: web.Request) -> tuple[From | None, str | None]:
    """The ``offset`` and ``live`` of a GET; ``None`` for what is not given.

    Raises:
        RequestError, PositionError: one of them is malformed, or ``live`` is without an offset.
    """
    offsets, live = request.query.getall("offset", []), request.query.get("live")
    if len(offsets) > 1:
        raise RequestError("offset is given more than once", code="bad_position")
    start: From | None = None
    if offsets:
        start = _OFFSETS.get(offsets[0]) or Position.parse(offsets[0])
    if live is not None and start is None:
        raise RequestError("live also needs an offset", code="bad_position")
    if live not in (None, "long-poll", "sse"):
        raise RequestError("live must be long-poll or sse", code="bad_live")
    return start, live


def known_interval(request: web.Request) -> int | None:
    """The interval that the client knows from its last response; nonsense is ignored."""
    cursor = request.query.get("cursor", "")
    return int(cursor) if _DIGITS.fullmatch(cursor) else None


def _number(text: str, form: re.Pattern[str], name: str, code: str) -> int:
    number = int(text) if form.fullmatch(text) else LARGEST + 1
    if number > LARGEST:
        raise RequestError(f"{name} must be a whole number in decimal digits", code=code)
    return number


def _check_time(text: str) -> None:
    try:
        if _TIME.fullmatch(text) is None:
            raise ValueError
        datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise RequestError(
            "Stream-Expires-At must be a time such as 2030-01-31T12:00:00Z", code="bad_expiry"
        ) from None
