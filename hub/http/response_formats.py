"""Response encoders, which turn a pipeline's items into one streaming HTTP response.

================  ====================================  =====================================
encoder           items                                 an error, before the connection closes
================  ====================================  =====================================
`JSONObjects`     JSON objects, one after another       the object that ``failed`` makes of it
`TextLines`       lines of text                         nothing: it would look like text
`ServerEvents`    server-sent events                    the event ``error``
================  ====================================  =====================================

If the format allows it, the item ``None`` is a heartbeat.

They are for `hub.pipeline.Pipeline.respond`. Subscribers of the hub's streams share their frames
instead, see `hub.frames.encoder`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import orjson
from aiohttp import HttpVersion11, web

from hub.domain.errors import HubError
from hub.frames.line_separators import escape_line_separators
from hub.http.streaming import streaming_headers

__all__ = ["JSONObjects", "ServerEvent", "ServerEvents", "TextLines", "endless"]

_LINE_END: Final = re.compile(r"\r\n|\r|\n")


def endless(request: web.Request, headers: Mapping[str, str]) -> web.StreamResponse:
    """A response without a length: in chunks, or before HTTP/1.1 until the connection closes.

    Whoever adds the routes makes sure that the connection of a streamed response closes.
    """
    response = web.StreamResponse(headers=headers)
    if request.version >= HttpVersion11:
        response.enable_chunked_encoding()
    return response


def _response(content_type: str) -> web.StreamResponse:
    return web.StreamResponse(headers=streaming_headers(content_type))


def _error_object(error: HubError) -> Mapping[str, Any]:
    return {"error": {"code": error.code, "message": error.message}}


class JSONObjects:
    """JSON objects with nothing between them."""

    def __init__(self, failed: Callable[[HubError], Mapping[str, Any]] = _error_object) -> None:
        self._failed = failed

    def response(self) -> web.StreamResponse:
        return _response("application/json; charset=utf-8")

    def encode(self, item: Mapping[str, Any] | None) -> bytes:
        return b"\n" if item is None else orjson.dumps(item)

    def error(self, error: HubError) -> bytes:
        return orjson.dumps(self._failed(error))


class TextLines:
    """Lines of plain text."""

    def response(self) -> web.StreamResponse:
        return _response("text/plain")

    def encode(self, item: str) -> bytes:
        return f"{item}\n".encode()

    def error(self, error: HubError) -> bytes:
        return b""


class ServerEvent(NamedTuple):
    """One server-sent event; ``name`` and ``id`` are single lines."""

    text: str
    name: str = ""
    id: str = ""


class ServerEvents:
    """Server-sent events (WHATWG HTML section 9.2.5)."""

    def response(self) -> web.StreamResponse:
        return _response("text/event-stream")

    def encode(self, item: ServerEvent | None) -> bytes:
        if item is None:
            return b":\n\n"
        fields = [f"id: {item.id}"] if item.id else []
        if item.name:
            fields.append(f"event: {item.name}")
        fields.extend(f"data: {line}" for line in _LINE_END.split(item.text))
        return ("\n".join(fields) + "\n\n").encode()

    def error(self, error: HubError) -> bytes:
        text = escape_line_separators(orjson.dumps(_error_object(error)))
        return self.encode(ServerEvent(text.decode(), "error"))
