"""Routes that follow streams, list them, and open the WebSocket."""

from __future__ import annotations

from typing import Final

from hub.docs.json_schema import ANY, TEXT, ref
from hub.docs.operations import (
    EVENT_STREAM,
    FROM,
    JSON,
    NAME,
    Operation,
    Response,
    events_of,
    group,
    header,
    path,
    query,
)
from hub.domain.stream_names import NAME_PATTERN

__all__ = ["GROUP", "STREAM"]

STREAM: Final = path("name", "The stream's name. It may contain slashes.", **NAME)

_NAME_PREFIX: Final = f"^({NAME_PATTERN}/?)?$"

GROUP: Final = group(
    "Streams",
    "A stream is a named, append-only sequence of records. A position marks a place in a stream "
    "from which to resume; the hub reports it when the records at that position are gone.",
    Operation(
        "GET",
        "/v1/live/{name}",
        "Follow a stream",
        "Sends the records from a position on, then each new record as it arrives, until the "
        "stream closes. A response that ends without `closed` (for text: without the last "
        "chunk of the body) was cut off and can be resumed. A native `EventSource` resumes by "
        "itself.",
        (
            STREAM,
            query(
                "format",
                "The format of the response; `Accept` can choose it too.",
                enum=["sse", "ndjson", "json", "text"],
                default="sse",
            ),
            query("from", "`start`, `now` or a position.", default="start", **FROM),
            query(
                "wait",
                "Whether to wait for a stream that does not exist yet.",
                enum=["true", "false"],
                default="false",
            ),
            header(
                "Last-Event-ID",
                "The position that an `EventSource` sends; it overrides `from`.",
                **FROM,
            ),
        ),
        responses=(
            Response(
                200,
                "The records. The `id` of a server-sent event is the position after it; in "
                'ndjson and json, lines `{"type":"position"}` give the position, and `reset` '
                "and `closed` have lines of their own. The text format contains only what the "
                "model replied.",
                {EVENT_STREAM: TEXT, "application/x-ndjson": TEXT, JSON: ANY, "text/plain": TEXT},
                {"Stream-Next-Offset": "The position at which the response starts."},
            ),
            Response(
                204, "The stream is closed and was read to its end. An `EventSource` stops here."
            ),
        ),
        errors="bad_format bad_position bad_wait bad_name stream_not_found not_json gone "
        "limit_exceeded draining",
    ),
    Operation(
        "POST",
        "/v1/follow",
        "Follow many streams in one response",
        "For clients without a WebSocket, whose connections are few. Each stream is named once and "
        "followed from `start`, `now` or a position; with `wait` it need not exist yet. The "
        "response has the messages of the WebSocket. Each stream gets an `ok` with its position, "
        "or an `error` of its own while the others go on. To change the set, end the response "
        "and ask again with your positions. The response ends when all of its streams have, and "
        "after `streams.sse_rotate_seconds`: ask again for those that were neither `closed` nor "
        "refused. At most `limits.subscriptions` streams are followed, and 256.",
        (
            query(
                "format",
                "The format of the response; `Accept` can choose it too.",
                enum=["sse", "ndjson"],
                default="sse",
            ),
        ),
        {JSON: ref("FollowRequest")},
        responses=(
            Response(
                200,
                "The messages, each as the `data` of a server-sent event or as a line.",
                {EVENT_STREAM: events_of("FollowFrame"), "application/x-ndjson": TEXT},
            ),
        ),
        errors="bad_format bad_request bad_json unsupported_type limit_exceeded draining",
    ),
    Operation(
        "GET",
        "/v1/streams",
        "List streams",
        "Returns one page at a time, in the order of the names. `server.list_streams` enables "
        "it; it is off by default, so that a name that nobody can guess keeps a stream private "
        "to those who know it.",
        (
            query("prefix", "Only list names that start with this.", pattern=_NAME_PREFIX),
            query(
                "after",
                "Start after this name, or where `next` of the page before says.",
                pattern=f"{_NAME_PREFIX}|^![A-Za-z0-9_-]{{22}}$",
            ),
            query(
                "limit",
                "The most streams to return.",
                pattern="^([1-9][0-9]{0,2}|1000)$",
                default="100",
            ),
        ),
        responses=(
            Response(
                200,
                "A page. If another follows, `more` is true and `next` is its `after`; a page "
                "before the last one may be short or empty.",
                {JSON: ref("Streams")},
            ),
        ),
        errors="bad_name bad_limit bad_cursor listing_off",
    ),
    Operation(
        "GET",
        "/v1/ws",
        "Open a WebSocket",
        "The subprotocol is `hub.v1`. The AsyncAPI document describes its messages.",
        (
            header("Sec-WebSocket-Protocol", "A list that includes `hub.v1`, or absent."),
            header("Origin", "An allowed origin, or absent."),
        ),
        responses=(Response(101, "The WebSocket is open."),),
        errors="bad_request bad_subprotocol origin_not_allowed limit_exceeded draining",
    ),
)
