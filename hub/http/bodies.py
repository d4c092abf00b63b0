"""Request bodies: read whole, bounded in bytes and time, and checked against a model."""

from __future__ import annotations

import asyncio
from typing import Final, TypeVar

import orjson
from aiohttp import HttpVersion11, web
from pydantic import BaseModel, ValidationError

from hub.domain.errors import RequestError, TooLarge, UnsupportedType
from hub.domain.memory_budget import MemoryBudget, parsed_size

__all__ = ["Bodies", "read_json"]

ENCODINGS: Final = frozenset({"", "identity", "gzip", "deflate"})
"""What a body may be encoded in. aiohttp decodes these, and keeps what it does not know as it is:
then a stream would hold it so."""

M = TypeVar("M", bound=BaseModel)


class Bodies:
    """Takes in the bodies of all requests: each in so many seconds, all within an allowance.

    Without this, clients that send the beginnings of large bodies and then nothing would
    hold memory that no limit on connections counts.
    """

    def __init__(self, allowance: MemoryBudget, *, largest: int, seconds: float) -> None:
        self._allowance = allowance
        self._largest = largest
        self._seconds = seconds

    def admit(self, request: web.Request) -> int:
        """Whether the body that a request's head tells of may come; how many bytes that may be.

        Raises:
            UnsupportedType: it is encoded in a way that is not known here.
            RequestError: ``unsupported_transfer``: it is transferred so; ``bad_http``.
            TooLarge: it has more bytes than the application takes.
            LimitExceeded: others send too much at this moment.
        """
        encoding = request.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ENCODINGS:
            said = "Content-Encoding is gzip, deflate or none at all"
            raise UnsupportedType(said, code="unsupported_encoding")
        coding = request.headers.get("Transfer-Encoding")
        if coding is not None and coding.strip().lower() != "chunked":
            said = "Transfer-Encoding can only be chunked"
            raise RequestError(said, code="unsupported_transfer")
        if coding is not None and request.version < HttpVersion11:
            # Whoever passed it on may have taken its body for another's (RFC 9112 section 6.1).
            raise RequestError("HTTP/1.0 knows no Transfer-Encoding", code="bad_http")
        told, most = request.content_length or 0, request.client_max_size
        if 0 < most < told:
            raise _too_large(request)
        size = min(told or self._largest, self._largest)
        self._allowance.check(size)
        return size

    async def take(self, request: web.Request) -> int:
        """Read the body, which the request then holds.

        Gives what it took of the allowance, for `give_back` when the request is answered:
        what the body may need as JSON, too.

        Raises:
            RequestError: it came too slowly, or is not what its headers say; else as `admit`.
        """
        with self._allowance.taken(self.admit(request)):
            body = await self._read(request)
        needed = parsed_size(body)
        self._allowance.take(needed)
        return needed

    def give_back(self, taken: int) -> None:
        """The request is answered."""
        self._allowance.give(taken)

    async def _read(self, request: web.Request) -> bytes:
        try:
            # Most have come with their head, and need no clock.
            async with asyncio.timeout(None if request.content.is_eof() else self._seconds):
                return await request.read()
        except TimeoutError:
            said = f"the body did not come within {self._seconds:g} s"
            raise RequestError(said, code="body_timeout") from None
        except web.HTTPRequestEntityTooLarge:
            raise _too_large(request) from None
        except web.RequestPayloadError:
            said = "the body is not what Content-Encoding or Transfer-Encoding says it is"
            raise RequestError(said, code="bad_body") from None


def _too_large(request: web.Request) -> TooLarge:
    most = request.client_max_size
    return TooLarge(
        f"the request body is larger than this hub takes: {most} bytes (limits.body_bytes)",
        code="http_413",
    )


async def read_json(request: web.Request, model: type[M]) -> M:
    """The request's JSON body as a model; its size is bounded by the application.

    The content type must say JSON: a page of another origin can send other types without
    being asked (the CORS protocol calls such requests simple), but not this one.

    Raises:
        UnsupportedType: the content type is not JSON.
        RequestError: it cannot be decoded, is not JSON, or a field is wrong.
    """
    if request.content_type != "application/json":
        raise UnsupportedType("send JSON, with Content-Type: application/json")
    try:
        held = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error.msg}", code="bad_json") from None
    if not isinstance(held, dict):
        raise RequestError("the body must be a JSON object")
    _check_depth(held)
    try:
        return model.model_validate(held)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:64]
        raise RequestError(
            f"{where or 'the body'}: {first['msg'].lower()}", param=where or None
        ) from None


def _check_depth(held: object) -> None:
    """Refuse what can be read but not written again: orjson writes 254 levels, reads 1024.

    Raises:
        RequestError: it is nested too deeply.
    """
    try:
        orjson.dumps(held)
    except orjson.JSONEncodeError:
        raise RequestError("the body is nested too deeply", code="bad_json") from None
