"""How an error shows at the edge: the one table from codes to HTTP statuses.

Codes are looked up as they are, then by the class that gives them their default, so a finer
code needs a row only where its status differs. Every error body is
``{"error":{"code","message"}}``.

WebSocket close codes instruct (RFC 6455 section 7.4.2 leaves 4000-4999 to applications):
after 4000-4499 the client comes back, with its positions; after 4500-4999 it does not.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, Mapping
from enum import IntEnum
from math import ceil
from typing import Any, Final

import orjson
from aiohttp import web

from hub.domain.errors import (
    Conflict,
    Draining,
    Forbidden,
    Gone,
    HubError,
    LimitExceeded,
    NotFound,
    RequestError,
    StoreError,
    TooLarge,
    Unauthorized,
    Unavailable,
    UnsupportedType,
    UpstreamError,
    printable,
)
from hub.domain.failures import REFUSES_KEY, passed_on
from hub.http.retry_times import wait

__all__ = [
    "CloseCode",
    "answer_to",
    "challenge",
    "error_body",
    "error_response",
    "retry_headers",
    "status_of",
    "unmatched",
]

log = logging.getLogger("hub")


class CloseCode(IntEnum):
    """Why the hub closes a WebSocket."""

    DRAINING = 4000
    TOO_MANY_CONNECTIONS = 4100
    PROTOCOL_ERROR = 4500


_CODES: Final[Mapping[str, int]] = {
    "bad_expectation": 417,
    "body_timeout": 408,
    "head_too_large": 431,
    "key_reused": 422,
    "upstream_stalled": 504,
    "upstream_timeout": 504,
    "upstream_rate_limited": 429,
    # Why a generation failed, told once more by somebody who has only the code.
    "bad_request": 400,
    "unsupported_option": 400,
    "draining": 503,
    "generation_too_long": 504,
    "internal": 500,
    "unsupported_transfer": 501,  # RFC 9112 section 6.1
    "store_full": 507,
    "store_rejected": 500,
}

_CLASSES: Final[tuple[tuple[type[HubError], int], ...]] = (
    (TooLarge, 413),
    (UnsupportedType, 415),
    (RequestError, 400),
    (Unauthorized, 401),
    (Forbidden, 403),
    (NotFound, 404),
    (Conflict, 409),
    (Gone, 410),
    (LimitExceeded, 429),
    (Draining, 503),
    (Unavailable, 503),
    (StoreError, 503),
    (UpstreamError, 502),
)


def status_of(error: HubError) -> int:
    """The HTTP status of an error: of a provider's refusal, what it said itself."""
    if (status := passed_on(error)) is not None:
        return status
    if error.code in _CODES:
        return _CODES[error.code]
    return next((status for kind, status in _CLASSES if isinstance(error, kind)), 500)


def error_body(code: str, message: str, **more: Any) -> bytes:
    """The JSON of an error."""
    return orjson.dumps({"error": {"code": code, "message": printable(message)}, **more})


def retry_headers(error: HubError) -> dict[str, str]:
    """The headers that say when to come back, for what passes by itself, or not to.

    OpenAI's and Anthropic's clients obey ``x-should-retry``. They would ask again after every
    5xx and 429: in vain where the hub's key is refused, and too often where the hub itself has
    asked again before it gave up. The hub says another time to each, so that those who were
    refused together do not come together.
    """
    if isinstance(error, Draining | LimitExceeded | Unavailable):
        return {"Retry-After": str(wait())}
    if not isinstance(error, UpstreamError):
        return {}
    told = {}
    if error.retry_after is not None:
        told["Retry-After"] = str(ceil(error.retry_after))
    if error.code == REFUSES_KEY or error.attempts > 1:
        told["x-should-retry"] = "false"
    return told


def error_response(error: HubError) -> web.Response:
    """The HTTP response of an error."""
    headers = retry_headers(error)
    if error.code == "unsupported_encoding":
        headers["Accept-Encoding"] = "gzip, deflate"  # RFC 9110 section 12.5.3
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = challenge(error)
    return web.Response(
        status=status_of(error),
        body=error_body(error.code, error.message),
        content_type="application/json",
        headers=headers,
    )


def challenge(error: Unauthorized) -> str:
    """What ``WWW-Authenticate`` says: RFC 6750 section 3 names no error where none was shown."""
    shown = "" if error.code == Unauthorized.default_code else ', error="invalid_token"'
    return f'Bearer realm="streamhub"{shown}'


def answer_to(error: Exception, request: web.Request) -> web.Response:
    """The response to whatever a handler raised; a mistake of ours says nothing more.

    Raises:
        web.HTTPRedirection: as it came.
    """
    if isinstance(error, HubError):
        return error_response(error)
    if isinstance(error, web.HTTPRedirection):
        raise error
    if isinstance(error, web.HTTPException):
        return _json(error.status, f"http_{error.status}", _explained(request, error), error)
    if isinstance(error, ConnectionError) and (
        request.transport is None or request.transport.is_closing()
    ):
        # Nobody reads it, and nothing is wrong here. (nginx's status for the same.)
        return _json(499, "client_left", "the client left before it was answered")
    # %r, because a path may hold line breaks, which would look like another record.
    log.error("%s %r failed", request.method, request.path, exc_info=error)
    return _json(500, "internal", "the hub itself failed: its log says more")


@web.middleware
def unmatched(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> Awaitable[web.StreamResponse]:
    """Answer what no route takes. All else passes by, without a frame in every connection."""
    if request.match_info.http_exception is None:
        return handler(request)
    return _refused(request, request.match_info.http_exception)


async def _refused(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    return answer_to(error, request)


def _json(
    status: int, code: str, message: str, error: web.HTTPException | None = None
) -> web.Response:
    kept = ("Allow", "Upgrade")
    headers = {name: error.headers[name] for name in kept if error and name in error.headers}
    headers["X-Content-Type-Options"] = "nosniff"
    return web.Response(
        status=status,
        body=error_body(code, message),
        content_type="application/json",
        headers=headers,
    )


def _explained(request: web.Request, error: web.HTTPException) -> str:
    if error.status == 404:
        return f"nothing is at {request.path[:200]}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return f"{request.method} is not allowed here; allowed: {allowed}"
    if error.status == 413:
        return "the request body is larger than this hub takes"
    if error.status == 426:
        return "this address speaks WebSocket only: open it with ws:// or wss://"
    if error.status == 400 and error.text is not None:
        # aiohttp's own, about the handshake of a WebSocket: it says what is wrong.
        return error.text[:200]
    return error.reason
