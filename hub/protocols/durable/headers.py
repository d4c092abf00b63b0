"""The headers and query of the Durable Streams Protocol, read strictly.

What the protocol writes as a number is decimal digits and nothing else: Python's own `int`
would also take signs, spaces, underscores and the digits of other scripts.
"""

from __future__ import annotations

import re
from datetime import datetime
from typing import Final
from urllib.parse import unquote

from aiohttp import web

from hub.domain.errors import RequestError, StreamNotFound
from hub.domain.producers import Stamp
from hub.domain.records import Position
from hub.domain.stream_settings import StreamSettings
from hub.streams.history import From

__all__ = [
    "ForkAsked",
    "address",
    "closes",
    "content_type",
    "fork_asked",
    "known_interval",
    "named",
    "offset",
    "settings",
    "stamp",
]

LARGEST: Final = 2**53 - 1
"""The largest whole number that is the same everywhere (protocol section 5.2.1)."""

_NUMBER: Final = re.compile(r"0|[1-9][0-9]{0,15}")
PRODUCER_LENGTH: Final = 255
PROXIED: Final = ("Forwarded", "Via", "X-Forwarded-For", "X-Forwarded-Host", "X-Real-IP")
"""What only a proxy adds to a request."""

_PROTO: Final = re.compile(r'proto="?([a-z]+)', re.IGNORECASE)
_DIGITS: Final = re.compile(r"[0-9]{1,16}")
_TIME: Final = re.compile(
    r"[0-9]{4}-[0-9]{2}-[0-9]{2}T[0-9]{2}:[0-9]{2}:[0-9]{2}(?:\.[0-9]{1,9})?(?:Z|[+-][0-9]{2}:[0-9]{2})"
)
_TYPE: Final = re.compile(r"[!#$%&'*+.^_`|~0-9A-Za-z-]+/[!#$%&'*+.^_`|~0-9A-Za-z-]+[ \t]*(?:;.*)?")


class ForkAsked:
    """What a PUT says about the stream it forks from."""

    def __init__(self, source: str, position: Position | None, further: int) -> None:
        self.source = source
        self.position = position
        self.further = further


def named(request: web.Request, name: str) -> str | None:
    """A header's value.

    Raises:
        RequestError: it is given twice, or is no text.
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
    """Whether the request closes the stream; any value but ``true`` is as none."""
    return (named(request, "Stream-Closed") or "").lower() == "true"


def content_type(request: web.Request) -> str | None:
    """The content type as the client wrote it; not what aiohttp makes of a missing one.

    Raises:
        RequestError: it is not one (RFC 9110 section 8.3.1).
    """
    found = named(request, "Content-Type")
    if not found:
        return None
    if _TYPE.fullmatch(found.strip()) is None:
        raise RequestError("Content-Type must be type/subtype", code="bad_content_type")
    return found.strip()


def settings(request: web.Request, default_type: str) -> StreamSettings:
    """What a PUT makes a stream as.

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
    """The address of what is asked for, as the client knows it.

    The protocol wants it whole (section 5.1), so it must have the scheme that the client used,
    which only a proxy may know. One that does not say it is answered with a path (RFC 9110
    section 10.2.2). Whoever lies here has the lie for an answer, and nobody else sees it.
    """
    path = request.rel_url.raw_path
    said = [
        *_PROTO.findall(request.headers.get("Forwarded", "")),
        request.headers.get("X-Forwarded-Proto", ""),
    ]
    scheme = next((one for one in (s.split(",")[0].strip().lower() for s in said) if one), None)
    if scheme is None and not any(name in request.headers for name in PROXIED):
        scheme = request.scheme
    return f"{scheme}://{request.host}{path}" if scheme in ("http", "https") else path


def stamp(request: web.Request) -> Stamp | None:
    """The append's place among those of its producer, if it names one.

    Raises:
        RequestError: ``bad_producer``: not all three headers, or one is malformed.
    """
    names = ("Producer-Id", "Producer-Epoch", "Producer-Seq")
    producer, epoch, number = (named(request, name) for name in names)
    if producer is None and epoch is None and number is None:
        return None
    if not producer or epoch is None or number is None:
        raise RequestError(f"give all of {', '.join(names)}, or none", code="bad_producer")
    if len(producer) > PRODUCER_LENGTH:
        said = f"Producer-Id has at most {PRODUCER_LENGTH} characters"
        raise RequestError(said, code="bad_producer")
    return Stamp(
        producer,
        _number(epoch, _DIGITS, "Producer-Epoch", "bad_producer"),
        _number(number, _DIGITS, "Producer-Seq", "bad_producer"),
    )


def fork_asked(request: web.Request, streams: str) -> ForkAsked | None:
    """The fork that a PUT asks for; ``streams`` is the path that all streams lie under.

    Raises:
        RequestError: ``bad_fork_offset``: malformed, or without a source.
        StreamNotFound: the source is no stream of this hub.
    """
    source = named(request, "Stream-Forked-From")
    at = named(request, "Stream-Fork-Offset")
    further = named(request, "Stream-Fork-Sub-Offset")
    if source is None:
        if at is not None or further is not None:
            raise RequestError("a fork's offset needs Stream-Forked-From", code="bad_fork_offset")
        return None
    more = _number(further or "0", _NUMBER, "Stream-Fork-Sub-Offset", "bad_fork_offset")
    if further == "" or (more and at is None):
        raise RequestError(
            "Stream-Fork-Sub-Offset goes on from Stream-Fork-Offset: give both",
            code="bad_fork_offset",
        )
    if not source.startswith(streams):
        raise StreamNotFound(f"Stream-Forked-From must be the path of a stream, under {streams}")
    position = None if at is None else Position.parse(at)
    return ForkAsked(unquote(source.removeprefix(streams)), position, more)


def offset(request: web.Request) -> From | None:
    """Where the client wants to read from; ``None`` if it does not say.

    Raises:
        PositionError: it is no offset.
    """
    given = request.query.getall("offset", [])
    if not given:
        return None
    if len(given) > 1:
        raise RequestError("offset is given more than once", code="bad_position")
    if given[0] == "-1":
        return "start"
    return "now" if given[0] == "now" else Position.parse(given[0])


def known_interval(request: web.Request) -> int | None:
    """The interval that the client had from its last answer; what makes no sense is ignored."""
    said = request.query.get("cursor", "")
    return int(said) if _DIGITS.fullmatch(said) else None


def _number(text: str, form: re.Pattern[str], name: str, code: str) -> int:
    found = int(text) if form.fullmatch(text) else LARGEST + 1
    if found > LARGEST:
        raise RequestError(f"{name} must be a whole number in decimal digits", code=code)
    return found


def _check_time(text: str) -> None:
    try:
        if _TIME.fullmatch(text) is None:
            raise ValueError
        datetime.fromisoformat(text).timestamp()
    except (ValueError, OverflowError):
        raise RequestError(
            "Stream-Expires-At must be a time such as 2030-01-31T12:00:00Z", code="bad_expiry"
        ) from None
