"""Following streams, and which there are."""

from __future__ import annotations

from typing import Final

from hub.docs.operations import (
    EVENT_STREAM,
    FROM,
    JSON,
    NAME,
    TEXT,
    Answer,
    Operation,
    header,
    path,
    query,
    ref,
)
from hub.domain.stream_names import NAME_PATTERN

__all__ = ["GROUPS", "OPERATIONS", "STREAM"]

STREAM: Final = path("name", "The stream's name, which may hold slashes.", **NAME)

BEGUN: Final = f"^({NAME_PATTERN}/?)?$"

GROUPS: Final = {
    "Streams": "A stream is a named sequence of records to which is only ever appended. A "
    "position says where to go on in it; whoever asks for one that is no longer there is told so.",
}

OPERATIONS: Final = (
    Operation(
        "GET",
        "/v1/live/{name}",
        "Streams",
        "Follow a stream",
        "Its records from a position on, then each as it comes, until the stream closes. What "
        "ends without having said so (`closed`, or for text the last chunk of the body) was cut, "
        "and may be resumed. A native `EventSource` resumes by itself.",
        parameters=(
            STREAM,
            query(
                "format",
                "How it is written; `Accept` says it too.",
                enum=["sse", "ndjson", "json", "text"],
                default="sse",
            ),
            query("from", "`start`, `now` or a position.", default="start", **FROM),
            query(
                "wait",
                "Whether to wait for a stream that is not there yet.",
                enum=["true", "false"],
                default="false",
            ),
            header(
                "Last-Event-ID", "What an `EventSource` tells: a position, over `from`.", **FROM
            ),
        ),
        answers=(
            Answer(
                200,
                "The records. A server-sent event has the position after it as its `id`; in "
                'ndjson and json, lines `{"type":"position"}` tell it, and `reset` and `closed` '
                "say what happened. Text is what the model answers, and nothing else.",
                {
                    EVENT_STREAM: TEXT,
                    "application/x-ndjson": TEXT,
                    JSON: {},
                    "text/plain": TEXT,
                },
                {"Stream-Next-Offset": "The position where it begins."},
            ),
            Answer(204, "The stream is closed and was read to its end: an `EventSource` stops."),
        ),
        errors=(
            "bad_format",
            "bad_position",
            "bad_wait",
            "bad_name",
            "stream_not_found",
            "not_json",
            "gone",
            "limit_exceeded",
            "draining",
        ),
    ),
    Operation(
        "GET",
        "/v1/streams",
        "Streams",
        "List the streams",
        "A page at a time, in the order of their names. It is off unless `server.list_streams` "
        "turns it on: a name that nobody can guess keeps a stream among those who know it.",
        parameters=(
            query("prefix", "What their names begin with.", pattern=BEGUN),
            query(
                "after",
                "The name after which to begin: the last of the page before.",
                pattern=BEGUN,
            ),
            query("limit", "How many at most.", pattern="^([1-9][0-9]{0,2}|1000)$", default="100"),
        ),
        answers=(Answer(200, "The page; `more` if another follows.", {JSON: ref("Streams")}),),
        errors=("bad_name", "bad_limit", "listing_off"),
    ),
    Operation(
        "GET",
        "/v1/ws",
        "Streams",
        "Open a WebSocket",
        "The subprotocol is `hub.v1`; what is said over it stands in the AsyncAPI document.",
        parameters=(
            header("Sec-WebSocket-Protocol", "`hub.v1` among others, or none at all."),
            header("Origin", "One that the hub allows, or none."),
        ),
        answers=(Answer(101, "It is open."),),
        errors=(
            "bad_request",
            "bad_subprotocol",
            "origin_not_allowed",
            "limit_exceeded",
            "draining",
        ),
    ),
)
