"""How errors appear on the wire: the table from error codes to HTTP statuses.

The status is looked up by code and then by class, so a finer code needs a row only if its status
differs from its class's. Every error body is ``{"error":{"code","message"}}``.

WebSocket close codes tell the client what to do (RFC 6455 section 7.4.2 leaves 4000-4999 to
applications): after 4000-4499 it reconnects with its positions, after 4500-4999 it does not.
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
    RateLimited,
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
from hub.http.bodies import leave_packed
from hub.http.logged_paths import logged_path
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
    TOKEN_EXPIRED = 4200
    AUTH_TIMEOUT = 4203
    PROTOCOL_ERROR = 4500
    UNAUTHORIZED = 4501
    REVOKED = 4502


_CODES: Final[Mapping[str, int]] = {
    "bad_expectation": 417,
    "body_timeout": 408,
    "head_too_large": 431,
    "key_reused": 422,
    "upstream_stalled": 504,
    "upstream_timeout": 504,
    "upstream_rate_limited": 429,
    # For generations that failed: their error is rebuilt from the code alone.
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
    """The HTTP status of an error; for a provider's refusal, the provider's own status."""
    if (status := passed_on(error)) is not None:
        return status
    if error.code in _CODES:
        return _CODES[error.code]
    return next((status for kind, status in _CLASSES if isinstance(error, kind)), 500)


def error_body(code: str, message: str, **more: Any) -> bytes:
    return orjson.dumps({"error": {"code": code, "message": printable(message)}, **more})


def retry_headers(error: HubError) -> dict[str, str]:
    """The headers that say whether and when to retry.

    OpenAI's and Anthropic's clients obey ``x-should-retry``. Otherwise they retry after every 5xx
    and 429: in vain if the provider refuses the hub's key, and too often if the hub has already
    retried. The hub's own ``Retry-After`` is random, so that clients refused together do not
    return together.
    """
    if isinstance(error, RateLimited) and error.wait is not None:
        return {"Retry-After": str(ceil(error.wait))}
    if isinstance(error, Draining | LimitExceeded | Unavailable):
        return {"Retry-After": str(wait())}
    if not isinstance(error, UpstreamError):
        return {}
    headers = {}
    if error.retry_after is not None:
        headers["Retry-After"] = str(ceil(error.retry_after))
    if error.code == REFUSES_KEY or error.attempts > 1:
        headers["x-should-retry"] = "false"
    return headers


def error_response(error: HubError) -> web.Response:
    headers = retry_headers(error)
    if error.code == "unsupported_encoding":
        headers["Accept-Encoding"] = "gzip, deflate"  # RFC 9110 section 12.5.3
    if isinstance(error, Unauthorized):
        headers["WWW-Authenticate"] = challenge(error)
    return _response(status_of(error), error.code, error.message, headers)


def _response(
    status: int, code: str, message: str, headers: Mapping[str, str] | None = None
) -> web.Response:
    return web.Response(
        status=status,
        body=error_body(code, message),
        content_type="application/json",
        headers={**(headers or {}), "X-Content-Type-Options": "nosniff"},
    )


def challenge(error: Unauthorized) -> str:
    """What ``WWW-Authenticate`` says: RFC 6750 section 3 names no error where none was shown."""
    shown = "" if error.code == Unauthorized.default_code else ', error="invalid_token"'
    return f'Bearer realm="streamhub"{shown}'


def answer_to(error: Exception, request: web.Request) -> web.Response:
    """The response to any exception of a handler; that to a bug in the hub has no details.

    Raises:
        web.HTTPRedirection: ``error`` itself.
    """
    if isinstance(error, HubError):
        return error_response(error)
    if isinstance(error, web.HTTPRedirection):
        raise error
    if isinstance(error, web.HTTPException):
        kept = {name: error.headers[name] for name in ("Allow", "Upgrade") if name in error.headers}
        return _response(error.status, f"http_{error.status}", _explain(request, error), kept)
    if isinstance(error, ConnectionError) and (
        request.transport is None or request.transport.is_closing()
    ):
        # Not an error of the hub, and nobody reads this. nginx logs the same status.
        return _response(499, "client_left", "the client disconnected before the response")
    # %r, because a path may contain line breaks, which would look like another record.
    log.error("%s %r failed", request.method, logged_path(request.path), exc_info=error)
    return _response(500, "internal", "the hub failed: see its log")


@web.middleware
def unmatched(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> Awaitable[web.StreamResponse]:
    """Respond to requests that match no route.

    It is not a coroutine, which would keep a stack frame for every open connection.
    """
    error = request.match_info.http_exception
    return handler(request) if error is None else _respond(request, error)


async def _respond(request: web.Request, error: web.HTTPException) -> web.StreamResponse:
    response = answer_to(error, request)
    leave_packed(request, response)
    return response


def _explain(request: web.Request, error: web.HTTPException) -> str:
    if error.status == 404:
        return f"nothing is at {request.path[:200]}"
    if isinstance(error, web.HTTPMethodNotAllowed):
        allowed = ", ".join(sorted(error.allowed_methods))
        return f"{request.method} is not allowed here; allowed: {allowed}"
    if error.status == 413:
        return "the request body is too large"
    if error.status == 426:
        return "this address is only for WebSockets: open it with ws:// or wss://"
    if error.status == 400 and error.text is not None:
        # aiohttp's error about a WebSocket handshake, which says what is wrong.
        return error.text[:200]
    return error.reason
