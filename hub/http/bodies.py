"""Read request bodies within limits of size and time, and validate them with a model."""

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
"""The content encodings that are accepted. aiohttp decodes these and leaves any other as it is, so
that a stream would hold the encoded bytes."""

M = TypeVar("M", bound=BaseModel)


class Bodies:
    """Reads the bodies of all requests, each within ``seconds`` and all within a memory budget.

    Otherwise clients that send the start of a large body and then nothing would hold memory that
    no limit on connections counts.
    """

    def __init__(self, allowance: MemoryBudget, *, largest: int, seconds: float) -> None:
        self._allowance = allowance
        self._largest = largest
        self._seconds = seconds

    def admit(self, request: web.Request) -> int:
        """Check the body that a request's head announces; returns the most bytes it may have.

        Raises:
            UnsupportedType: ``unsupported_encoding``: the hub cannot decode it.
            RequestError: ``unsupported_transfer`` or ``bad_http``.
            TooLarge: it has more bytes than the application accepts.
            LimitExceeded: the memory budget is used up.
        """
        encoding = request.headers.get("Content-Encoding", "").strip().lower()
        if encoding not in ENCODINGS:
            message = "Content-Encoding must be gzip or deflate, or absent"
            raise UnsupportedType(message, code="unsupported_encoding")
        coding = request.headers.get("Transfer-Encoding")
        if coding is not None and coding.strip().lower() != "chunked":
            message = "Transfer-Encoding must be chunked"
            raise RequestError(message, code="unsupported_transfer")
        if coding is not None and request.version < HttpVersion11:
            # A proxy may have taken its body for another request (RFC 9112 section 6.1).
            raise RequestError("HTTP/1.0 has no Transfer-Encoding", code="bad_http")
        length, most = request.content_length or 0, request.client_max_size
        if 0 < most < length:
            raise _too_large(request)
        size = min(length or self._largest, self._largest)
        self._allowance.check(size)
        return size

    async def take(self, request: web.Request) -> int:
        """Read the body, which the request then holds.

        Returns the bytes taken from the memory budget, which include what the decoded JSON may
        need, for `give_back` once the request has its response.

        Raises:
            RequestError: it arrives too slowly or does not match its headers.
            HubError: as `admit`.
        """
        with self._allowance.taken(self.admit(request)):
            body = await self._read(request)
        needed = parsed_size(body)
        self._allowance.take(needed)
        return needed

    def give_back(self, taken: int) -> None:
        self._allowance.give(taken)

    async def _read(self, request: web.Request) -> bytes:
        try:
            # Most bodies arrive with their head and need no timer.
            async with asyncio.timeout(None if request.content.is_eof() else self._seconds):
                return await request.read()
        except TimeoutError:
            message = f"the body did not arrive within {self._seconds:g} s"
            raise RequestError(message, code="body_timeout") from None
        except web.HTTPRequestEntityTooLarge:
            raise _too_large(request) from None
        except web.RequestPayloadError:
            message = "the body does not match its Content-Encoding or Transfer-Encoding"
            raise RequestError(message, code="bad_body") from None


def _too_large(request: web.Request) -> TooLarge:
    most = request.client_max_size
    return TooLarge(
        f"the request body is larger than the limit of {most} bytes (limits.body_bytes)",
        code="http_413",
    )


async def read_json(request: web.Request, model: type[M]) -> M:
    """Validate the request's JSON body, whose size the application limits, with a model.

    The content type must be JSON, because pages of other origins can send other types without a
    preflight (CORS calls these simple requests).

    Raises:
        UnsupportedType: the content type is not JSON.
        RequestError: it is not JSON, or a field is invalid.
    """
    if request.content_type != "application/json":
        raise UnsupportedType("send JSON with Content-Type: application/json")
    try:
        value = orjson.loads(await request.read())
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error.msg}", code="bad_json") from None
    if not isinstance(value, dict):
        raise RequestError("the body must be a JSON object")
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        # orjson reads 1024 levels but writes only 254, and the hub has to write it again.
        raise RequestError("the body is nested too deeply", code="bad_json") from None
    try:
        return model.model_validate(value)
    except ValidationError as invalid:
        first = invalid.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])[:64]
        raise RequestError(
            f"{where or 'the body'}: {first['msg'].lower()}", param=where or None
        ) from None
