"""The tutorial's routes: each way of streaming over HTTP, in a few lines."""

from __future__ import annotations

from typing import Final

from hub.docs.codes import FAILURES
from hub.docs.operations import EVENT_STREAM, JSON, TEXT, Answer, Operation, header, query, ref

__all__ = ["GROUPS", "OPERATIONS"]

GROUPS: Final = {
    "Tutorial": "Each way of streaming over HTTP in a few lines: what this hub grew from.",
}

PIECES: Final = Answer(
    200,
    "JSON objects one after another with nothing between them, each a `Piece`.",
    {JSON: ref("Piece")},
)
FILE: Final = {"application/octet-stream": TEXT}
SAVED: Final = {"Content-Disposition": "The name under which it is saved."}
HELLO: Final = Answer(200, "A hello.", {JSON: {"type": "object"}})

_BOTH: Final = {
    "/ret_json_data": ("A JSON hello, all at once", HELLO),
    "/stream_json_data": ("A text, one character in one JSON object", PIECES),
    "/stream_data_to_frontend": ("The same, cut back into objects, each with a field more", PIECES),
}
_ASKED: Final = {
    "/stream_data_to_frontend_test": ("Ask the upstream `llm` for `messages`", "MessagesRequest"),
    "/stream_faq_data_to_frontend_test": ("Ask the upstream `faq` for `query`", "QueryRequest"),
}
_FAQ: Final = (query("query", "What to ask."),)

OPERATIONS: Final = (
    *(
        Operation(method, name, "Tutorial", title, answers=(answer,))
        for name, (title, answer) in _BOTH.items()
        for method in ("GET", "POST")
    ),
    *(
        Operation(
            method,
            name,
            "Tutorial",
            title,
            "It is tied to its request: who leaves ends it.",
            parameters=_FAQ if method == "GET" and "faq" in name else (),
            body={JSON: ref(body)} if method == "POST" else {},
            answers=(PIECES,),
            errors=(
                *FAILURES,
                "origin_not_allowed",
                *(("bad_json", "unsupported_type", "too_large") if method == "POST" else ()),
            ),
        )
        for name, (title, body) in _ASKED.items()
        for method in ("GET", "POST")
    ),
    Operation(
        "GET",
        "/stream",
        "Tutorial",
        "Five lines of text, one a second",
        answers=(Answer(200, "The lines.", {"text/plain": TEXT}),),
    ),
    Operation(
        "GET",
        "/sse",
        "Tutorial",
        "Five server-sent events, one a second",
        parameters=(header("Last-Event-ID", "The number of the last event that was read."),),
        answers=(
            Answer(200, "The events.", {EVENT_STREAM: TEXT}),
            Answer(204, "All were read: an `EventSource` stops."),
        ),
    ),
    *(
        Operation(
            method,
            "/stream-file",
            "Tutorial",
            "A large file, whole or in ranges",
            "A file of your own, `file` in `[tutorial]`, has the type that its name says.",
            parameters=(header("Range", "Which bytes."),),
            answers=(
                Answer(200, "The file.", FILE, SAVED),
                Answer(206, "The part asked for.", FILE, SAVED),
                Answer(304, "As it was asked for before."),
            ),
            errors=("not_found",),
        )
        for method in ("GET", "HEAD")
    ),
)
