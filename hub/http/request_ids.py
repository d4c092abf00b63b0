"""`x-request-id`: the name of a request, in its response and in every line of the log about it.

A client, or a proxy in front, may bring one. What could break a header or a line of a log is no
name, and is replaced.
"""

from __future__ import annotations

import re
from collections.abc import Awaitable, Callable
from typing import Final
from uuid import uuid4

from aiohttp import web

from hub.http.log_format import REQUEST
from hub.http.streaming import SERVER_NAME

__all__ = ["HEADER", "begin", "made", "named", "show"]

HEADER: Final = "x-request-id"

_ID: Final = web.RequestKey("request_id", str)
_SANE: Final = re.compile(r"[A-Za-z0-9][A-Za-z0-9._:/+=@-]{0,127}", re.ASCII)


def made() -> str:
    """A new name."""
    return f"req_{uuid4().hex}"


def begin(request: web.Request) -> None:
    """Name a request, once; from here on the log of its task names it, too."""
    if _ID not in request:
        brought = request.headers.get(HEADER, "")
        request[_ID] = brought if _SANE.fullmatch(brought) else made()
        REQUEST.set(request[_ID])


@web.middleware
def named(
    request: web.Request, handler: Callable[[web.Request], Awaitable[web.StreamResponse]]
) -> Awaitable[web.StreamResponse]:
    """Name every request of an application, without a frame in every connection."""
    begin(request)
    return handler(request)


async def show(request: web.Request, response: web.StreamResponse) -> None:
    """Name the request and the server in a response: for an app's ``on_response_prepare``.

    Those to requests of the hub only, not of an application around it.
    """
    if (name := request.get(_ID)) is not None:
        response.headers[HEADER] = name
        response.headers["Server"] = SERVER_NAME
