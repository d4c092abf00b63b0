"""The tutorial's routes: each way of streaming over HTTP, in a few lines."""

from __future__ import annotations

from typing import Final

from hub.docs.codes import FAILURES
from hub.docs.json_schema import OBJECT, TEXT, ref
from hub.docs.operations import EVENT_STREAM, JSON, Operation, Response, group, header, query

__all__ = ["GROUP"]

_PIECES: Final = Response(
    200, "JSON objects with nothing between them, each a `Piece`.", {JSON: ref("Piece")}
)
_FILE: Final = (
    {"application/octet-stream": TEXT},
    {"Content-Disposition": "The name to save the file under."},
)
_EXAMPLES: Final = {
    "/ret_json_data": (
        "Get a JSON greeting in one piece", Response(200, "A greeting.", {JSON: OBJECT})
    ),
    "/stream_json_data": ("Stream a text, one character in each JSON object", _PIECES),
    "/stream_data_to_frontend": ("Stream the same, re-cut into objects with one more field",
                                 _PIECES),
}  # fmt: skip
_PROXIES: Final = {
    "/stream_data_to_frontend_test": (
        "Send `messages` to the upstream `llm`", "MessagesRequest", ()
    ),
    "/stream_faq_data_to_frontend_test": (
        "Send `query` to the upstream `faq`", "QueryRequest",
        (query("query", "The question.", maxLength=500),),
    ),
}  # fmt: skip
_PROXY_ERRORS: Final = f"{' '.join(FAILURES)} origin_not_allowed"

GROUP: Final = group(
    "Tutorial",
    "Each way of streaming over HTTP in a few lines: what this hub grew from.",
    *(
        Operation(method, name, title, responses=(response,))
        for name, (title, response) in _EXAMPLES.items()
        for method in ("GET", "POST")
    ),
    *(
        Operation(
            method,
            name,
            title,
            "The reply belongs to its request: it stops when the client disconnects.",
            parameters if method == "GET" else (),
            {JSON: ref(body)} if method == "POST" else {},
            (_PIECES,),
            _PROXY_ERRORS + (" bad_json unsupported_type too_large" if method == "POST" else ""),
        )
        for name, (title, body, parameters) in _PROXIES.items()
        for method in ("GET", "POST")
    ),
    Operation(
        "GET",
        "/stream",
        "Five lines of text, one a second",
        responses=(Response(200, "The lines.", {"text/plain": TEXT}),),
    ),
    Operation(
        "GET",
        "/sse",
        "Five server-sent events, one a second",
        parameters=(header("Last-Event-ID", "The number of the last event received."),),
        responses=(
            Response(200, "The events.", {EVENT_STREAM: TEXT}),
            Response(204, "All events were received. An `EventSource` stops here."),
        ),
    ),
    *(
        Operation(
            method,
            "/stream-file",
            "A large file, whole or in ranges",
            "`file` in `[tutorial]` serves a file of your own, with the type of its name.",
            (header("Range", "The byte ranges to send."),),
            responses=(
                Response(200, "The file.", *_FILE),
                Response(206, "The requested ranges.", *_FILE),
                Response(304, "Not modified."),
            ),
            errors="not_found",
        )
        for method in ("GET", "HEAD")
    ),
)
