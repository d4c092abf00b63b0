"""Read request bodies within limits of size and time, and validate them with a model."""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import Final, TypeVar

import orjson
from aiohttp import HttpVersion11, StreamReader, web
from pydantic import BaseModel, RootModel, ValidationError

from hub.domain.errors import RequestError, TooLarge, UnsupportedType
from hub.domain.memory_budget import SMALL, MemoryBudget, request_size
from hub.http.json_models import first_error, validated

__all__ = ["Bodies", "body_of", "leave_packed", "read_json", "release"]

BODY: Final = web.RequestKey("body", bytes)
"""The key under which a request has its body once `Bodies` has read it."""


@dataclass(frozen=True, slots=True)
class _Held:
    """What a body has taken from a budget."""

    budget: MemoryBudget
    size: int
    caller: str | None

    def give(self) -> None:
        self.budget.give(self.size, self.caller)


HELD: Final = web.RequestKey("held", _Held)
"""The key under which a request has what its body has taken."""

ENCODINGS: Final = frozenset({"", "identity", "gzip", "deflate"})
"""The content encodings that are accepted. aiohttp decodes these and leaves any other as it is, so
that a stream would hold the encoded bytes."""

LINGER_SECONDS: Final = 1.0
"""How long a wait lasts for the rest of a body that is not read; aiohttp waits again and again."""

M = TypeVar("M", bound=BaseModel)


class Bodies:
    """Reads the bodies of all requests, each within ``seconds`` and all within a memory budget.

    Otherwise clients that send the start of a large body and then nothing would hold memory that
    no limit on connections counts. Only what has arrived counts: announcing costs nothing, and
    nobody else may wait for what does not come.
    """

    def __init__(self, allowance: MemoryBudget, *, seconds: float) -> None:
        self._allowance = allowance
        self._seconds = seconds

    def admit(self, request: web.Request) -> None:
        """Check the body that a request's head announces.

        Raises:
            UnsupportedType: ``unsupported_encoding``: the hub cannot decode it.
            RequestError: ``unsupported_transfer`` or ``bad_http``.
            TooLarge: it has more bytes than the application accepts.
            LimitExceeded: there is no memory left for it.
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
        length = request.content_length or 0
        if 0 < request.client_max_size < length:
            raise _too_large(request)
        if length > SMALL:
            self._allowance.check(length)

    async def take(self, request: web.Request, caller: str | None) -> int:
        """Read the body, for `body_of`; ``caller`` is who is counted for it, if anybody.

        What it takes from the memory budget, with what the decoded JSON may need, the request holds
        until `release`. Returns its bytes, without any content encoding.

        Raises:
            RequestError: it arrives too slowly or does not match its headers.
            HubError: as `admit`.
        """
        self.admit(request)
        body = request[BODY] = await self._read(request, caller)
        needed = request_size(body)
        self._allowance.take(needed, caller)
        request[HELD] = _Held(self._allowance, needed, caller)
        return len(body)

    async def _read(self, request: web.Request, caller: str | None) -> bytes:
        most = request.client_max_size
        pieces: list[bytes] = []
        size = taken = 0
        try:
            # Most bodies arrive with their head and need no timer.
            async with asyncio.timeout(None if request.content.is_eof() else self._seconds):
                async for piece in request.content.iter_any():
                    pieces.append(piece)
                    size += len(piece)
                    if 0 < most < size:
                        raise _too_large(request)
                    if size > SMALL:
                        self._allowance.take(size - taken, caller)
                        taken = size
                    if len(pieces) > 1:
                        # What is unpacked is there at once, and would leave the loop no turn.
                        await asyncio.sleep(0)
        except TimeoutError:
            message = f"the body did not arrive within {self._seconds:g} s"
            raise RequestError(message, code="body_timeout") from None
        except web.RequestPayloadError:
            raise _misencoded() from None
        finally:
            self._allowance.give(taken, caller)
        return pieces[0] if len(pieces) == 1 else b"".join(pieces)


def release(request: web.Request) -> None:
    """Give back what the request's body holds, once nobody needs it any more; also a second time.

    A generation that it began has taken what it needs.
    """
    if HELD in request:
        request[HELD].give()
        del request[HELD]
        del request[BODY]


class _Packed(StreamReader):
    """The rest of a body that stays packed, because nobody reads it."""

    __slots__ = ()

    async def readany(self) -> bytes:
        """Nothing, after a while. aiohttp calls this for the rest of a body before it closes."""
        await asyncio.sleep(LINGER_SECONDS)
        return b""


def leave_packed(request: web.Request, response: web.StreamResponse) -> None:
    """Do not have the rest of an encoded body unpacked, before a response to it is sent.

    Otherwise aiohttp would read it to its end, or for seconds, without a turn for anybody else: two
    megabytes can be two gigabytes. The connection closes after the response.
    """
    content = request.content
    if content.is_eof() or not request.headers.get("Content-Encoding"):
        return
    if type(content) is StreamReader:
        content.__class__ = _Packed
        response.force_close()


def _misencoded() -> RequestError:
    message = "the body does not match its Content-Encoding or Transfer-Encoding"
    return RequestError(message, code="bad_body")


def _too_large(request: web.Request) -> TooLarge:
    most = request.client_max_size
    return TooLarge(
        f"the request body is larger than the limit of {most} bytes (limits.body_bytes)",
        code="http_413",
    )


async def body_of(request: web.Request) -> bytes:
    """The body of a request, also of one that was not admitted by this hub.

    Raises:
        RequestError: ``bad_body``: it is not encoded as its headers say.
    """
    try:
        return request[BODY] if BODY in request else await request.read()
    except web.RequestPayloadError:
        raise _misencoded() from None


async def read_json(request: web.Request, model: type[M]) -> M:
    """Validate the request's JSON body, whose size the application limits, with a model.

    The body is an object or, for a `RootModel`, an array.

    The content type must be JSON, because pages of other origins can send other types without a
    preflight (CORS calls these simple requests).

    Raises:
        UnsupportedType: the content type is not JSON.
        RequestError: it is not JSON, or a field is invalid.
    """
    if request.content_type != "application/json":
        raise UnsupportedType("send JSON with Content-Type: application/json")
    try:
        value = orjson.loads(await body_of(request))
    except orjson.JSONDecodeError as error:
        raise RequestError(f"the body is not JSON: {error.msg}", code="bad_json") from None
    kind, called = (list, "array") if issubclass(model, RootModel) else (dict, "object")
    if not isinstance(value, kind):
        raise RequestError(f"the body must be a JSON {called}")
    try:
        orjson.dumps(value)
    except orjson.JSONEncodeError:
        # orjson reads 1024 levels but writes only 254, and the hub has to write it again.
        raise RequestError("the body is nested too deeply", code="bad_json") from None
    try:
        return validated(model.model_validate, value)
    except ValidationError as invalid:
        first = first_error(invalid)
        where = ".".join(str(part) for part in first["loc"])[:64]
        raise RequestError(
            f"{where or 'the body'}: {first['msg'].lower()}", param=where or None
        ) from None
