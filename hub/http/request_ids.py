"""`x-request-id`: the id of a request, in its response and in every log line about it.

A client or a proxy in front may send one. An id that could break a header or a log line is
replaced.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from secrets import token_hex
from typing import Final

from aiohttp import web

from hub.http.log_format import REQUEST
from hub.http.streaming import SERVER_NAME

__all__ = ["HEADER", "begin", "made", "named", "show"]

HEADER: Final = "x-request-id"

_ID: Final = web.RequestKey("request_id", str)
_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}", re.ASCII)


def made() -> str:
    """A new id."""
    return f"req_{token_hex(16)}"


def begin(request: web.Request) -> None:
    """Give a request its id, once; from now on the log lines of its task have it."""
    if _ID not in request:
        received = request.headers.get(HEADER, "")
        request[_ID] = received if _SANE.fullmatch(received) else made()
        REQUEST.set(request[_ID])


@web.middleware
def named(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> Awaitable[web.StreamResponse]:
    """Give every request of an application its id.

    It is not a coroutine, which would keep a stack frame for every open connection.
    """
    begin(request)
    return handler(request)


async def show(request: web.Request, response: web.StreamResponse) -> None:
    """Add the request's id and the server's name to a response: for ``on_response_prepare``.

    Only for requests to the hub, not for those to an application around it.
    """
    if (request_id := request.get(_ID)) is not None:
        response.headers[HEADER] = request_id
        response.headers["Server"] = SERVER_NAME
