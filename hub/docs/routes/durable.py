"""Routes of the Durable Streams Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hub.docs.json_schema import ANY, POSITION_PATTERN, TEXT, Schema
from hub.docs.operations import (
    BYTES,
    EVENT_STREAM,
    JSON,
    OFFSET,
    Operation,
    Response,
    group,
    header,
    query,
)
from hub.docs.requests import STREAM_EXAMPLES
from hub.docs.routes.streams import STREAM

__all__ = ["CURSOR", "GROUP", "NOTHING_CAME", "READ", "READING"]

_PATH: Final = "/v1/stream/{name}"
_BODY: Final[Mapping[str, Schema]] = {
    JSON: {
        # Not also an array: generated clients could not tell that from a file.
        "type": "object",
        "description": "For a JSON stream: a record, which is an `Event` or any other JSON. Each "
        "member of an array becomes a record.",
        "examples": STREAM_EXAMPLES,
    },
    "application/octet-stream": {
        "type": "string",
        "format": "binary",
        "description": "For any other stream: bytes, under the stream's own content type.",
    },
}

_NEXT: Final = {
    "Stream-Next-Offset": "The offset after the last record.",
    "Stream-Closed": "`true` if the stream is closed and nothing follows.",
}
READ: Final = {**_NEXT, "Stream-Up-To-Date": "`true` if the response reaches the end."}
CURSOR: Final = {"Stream-Cursor": "Send it back as `cursor` with the next long poll."}
READING: Final = (
    query("offset", "`-1` for the start, `now`, or an offset from an earlier response.", **OFFSET),
    query("live", "How to wait for more records.", enum=["long-poll", "sse"]),
    query("cursor", "The last `Stream-Cursor`; it keeps caches from mixing up responses."),
)
NOTHING_CAME: Final = Response(204, "No new record came in time.", {}, {**READ, **CURSOR})

_APPENDED: Final = {
    **_NEXT,
    "Producer-Epoch": "The producer's epoch.",
    "Producer-Seq": "The producer's last append that was accepted.",
}
_CLOSED: Final = header("Stream-Closed", "`true` closes the stream after this request's records.")
_TTL: Final = "Seconds without use after which the stream expires."
_NUMBER: Final = {"pattern": "^(0|[1-9][0-9]{0,14})$"}
_WRITE_ERRORS: Final = "limit_exceeded draining store_failed store_full"

GROUP: Final = group(
    "Durable Streams",
    "The Durable Streams Protocol on the same streams: JSON streams, which are conversations, and "
    "byte streams of any other content type. The protocol's own document has the details.",
    Operation(
        "PUT",
        _PATH,
        "Create or fork a stream",
        "The body, if any, is the first record, and its `Content-Type` is the stream's. A fork "
        "starts with the records of another stream up to an offset; they are shared, not "
        "copied. Repeating the request changes nothing.",
        (
            STREAM,
            header("Stream-TTL", _TTL, **_NUMBER),
            header(
                "Stream-Expires-At",
                "When the stream expires, in RFC 3339.",
                pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T.+$",
            ),
            _CLOSED,
            header("Stream-Forked-From", "The path of the stream to fork."),
            header(
                "Stream-Fork-Offset",
                "The fork has the source's records before this offset.",
                pattern=f"^{POSITION_PATTERN}$",
            ),
            header(
                "Stream-Fork-Sub-Offset",
                "How many messages or bytes after the offset to fork.",
                **_NUMBER,
            ),
        ),
        _BODY,
        (
            Response(201, "Created.", {}, {**_NEXT, "Location": "The stream's address."}),
            Response(200, "The stream already exists with these settings.", {}, _NEXT),
        ),
        "bad_json bad_name bad_header bad_content_type bad_expiry bad_fork_offset bad_position "
        "stream_not_found stream_exists stream_deleted content_type generation_owned "
        f"foreign_generation author_not_permitted gone too_large {_WRITE_ERRORS}",
    ),
    Operation(
        "POST",
        _PATH,
        "Append, close, or both",
        "Each member of a JSON array becomes a record. With the three producer headers a "
        "repeated append has one effect.",
        (
            STREAM,
            _CLOSED,
            header(
                "Stream-Seq",
                "Must be greater than the last one of the stream, whoever sent that, compared byte "
                "by byte.",
            ),
            header("Producer-Id", "Who appends.", minLength=1, maxLength=255),
            header(
                "Producer-Epoch",
                "The producer's epoch; a greater one fences off all earlier ones.",
                **_NUMBER,
            ),
            header("Producer-Seq", "The number of this append, from 0.", **_NUMBER),
        ),
        _BODY,
        (
            Response(204, "Appended, now or by an earlier attempt.", {}, _APPENDED),
            Response(200, "Appended, as the producer's next append.", {}, _APPENDED),
        ),
        "bad_json bad_event bad_header bad_content_type bad_producer empty_body producer_epoch "
        "producer_fenced stream_not_found stream_closed stream_deleted stream_seq content_type "
        "generation_owned foreign_generation author_not_permitted producer_gap "
        f"too_many_producers too_large {_WRITE_ERRORS}",
        error_headers={
            **_APPENDED,
            "Producer-Expected-Seq": "The append that is missing.",
            "Producer-Received-Seq": "The append that arrived instead.",
        },
    ),
    Operation(
        "GET",
        _PATH,
        "Read",
        "Returns what follows an offset: at once, as soon as there is something "
        "(`live=long-poll`), or continuously (`live=sse`).",
        (STREAM, *READING, header("If-None-Match", "The `ETag` of an earlier response.")),
        responses=(
            Response(
                200,
                "The records: one array for JSON, otherwise the bytes. With `live=sse`, "
                "`data` and `control` events.",
                {
                    JSON: ANY,
                    "text/plain": TEXT,
                    "application/octet-stream": BYTES,
                    EVENT_STREAM: TEXT,
                },
                {
                    **READ,
                    "ETag": "Identifies this response if it can no longer change.",
                    **CURSOR,
                    "Stream-SSE-Data-Encoding": "`base64` if the content is not text.",
                },
            ),
            NOTHING_CAME,
            Response(304, "Not modified.", {}, READ),
        ),
        errors="bad_position bad_live stream_not_found position_trimmed position_unwritten "
        "stream_deleted limit_exceeded draining",
    ),
    Operation(
        "HEAD",
        _PATH,
        "Get a stream's settings",
        parameters=(STREAM,),
        responses=(
            Response(
                200,
                "The stream's settings and where it ends.",
                {},
                {**_NEXT, "Stream-TTL": _TTL, "Stream-Expires-At": "When it expires."},
            ),
        ),
        errors="stream_not_found gone",
    ),
    Operation(
        "DELETE",
        _PATH,
        "Delete a stream",
        "This cannot be undone. Running generations in the stream are cancelled.",
        (STREAM,),
        responses=(Response(204, "The stream is deleted."),),
        errors="stream_not_found stream_deleted store_failed",
    ),
)
