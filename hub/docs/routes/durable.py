"""The Durable Streams Protocol."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from hub.docs.operations import (
    BYTES,
    EVENT_STREAM,
    JSON,
    OFFSET,
    TEXT,
    Answer,
    Operation,
    Schema,
    header,
    query,
)
from hub.docs.requests import STREAM_EXAMPLES
from hub.docs.routes.streams import STREAM

__all__ = ["GROUPS", "OPERATIONS"]

GROUPS: Final = {
    "Durable Streams": "The Durable Streams Protocol on the same streams: of JSON, which are "
    "conversations, and of anything else, which are bytes. Its document says more than this one.",
}

PATH: Final = "/v1/stream/{name}"
ANYTHING: Final = {JSON: {}, "text/plain": TEXT, "application/octet-stream": BYTES}
WRITTEN: Final[Mapping[str, Schema]] = {
    JSON: {
        # Not also an array: generated clients could not tell that from a file.
        "type": "object",
        "description": "Of a JSON stream: a record, which is an `Event` or any other JSON. An "
        "array is as many records as it has members.",
        "examples": STREAM_EXAMPLES[JSON],
    },
    "application/octet-stream": {
        "type": "string",
        "format": "binary",
        "description": "Of any other stream: bytes, under its own content type, whatever that is.",
    },
}

NEXT: Final = {
    "Stream-Next-Offset": "The offset after what is there.",
    "Stream-Closed": "`true` if nothing comes after it.",
}
READ: Final = {**NEXT, "Stream-Up-To-Date": "`true` if this was all there is."}
REACHED: Final = {
    "Producer-Epoch": "The producer's epoch.",
    "Producer-Seq": "The last append of the producer that was accepted.",
}
CLOSED: Final = header("Stream-Closed", "`true` closes the stream with this.")
NUMBER: Final = {"pattern": "^(0|[1-9][0-9]{0,14})$"}
KEPT: Final = ("limit_exceeded", "draining", "store_failed", "store_full")

OPERATIONS: Final = (
    Operation(
        "PUT",
        PATH,
        "Durable Streams",
        "Make a stream, or fork one",
        "Empty, or with what the body holds, whose `Content-Type` is the stream's. A fork begins "
        "with another stream's records up to an offset, which are shared, not copied. Asking again "
        "for the same changes nothing.",
        parameters=(
            STREAM,
            header("Stream-TTL", "Seconds after which it expires unless it is used.", **NUMBER),
            header(
                "Stream-Expires-At",
                "When it expires, as RFC 3339.",
                pattern="^[0-9]{4}-[0-9]{2}-[0-9]{2}T.+$",
            ),
            CLOSED,
            header("Stream-Forked-From", "The path of the stream that it is forked from."),
            header(
                "Stream-Fork-Offset",
                "The offset before which the fork takes what is there.",
                pattern="^[0-9]{16}_[0-9]{16}$",
            ),
            header("Stream-Fork-Sub-Offset", "How many messages or bytes further.", **NUMBER),
        ),
        body=WRITTEN,
        answers=(
            Answer(201, "It is made.", {}, {**NEXT, "Location": "Its address."}),
            Answer(200, "It was there, and is so.", {}, NEXT),
        ),
        errors=(
            "bad_json",
            "bad_name",
            "bad_header",
            "bad_content_type",
            "bad_expiry",
            "bad_fork_offset",
            "bad_position",
            "stream_not_found",
            "stream_exists",
            "stream_deleted",
            "content_type",
            "generation_owned",
            "foreign_generation",
            "gone",
            "too_large",
            *KEPT,
        ),
    ),
    Operation(
        "POST",
        PATH,
        "Durable Streams",
        "Append, close, or both",
        "The members of a JSON array are records of their own. With a producer's three headers an "
        "append that is repeated has one effect.",
        parameters=(
            STREAM,
            CLOSED,
            header("Stream-Seq", "Refused unless greater than the last, byte by byte."),
            header("Producer-Id", "Who appends.", minLength=1, maxLength=255),
            header("Producer-Epoch", "Its life: a greater one fences those before.", **NUMBER),
            header("Producer-Seq", "The number of this append, from 0.", **NUMBER),
        ),
        body=WRITTEN,
        answers=(
            Answer(204, "It is kept, or was before.", {}, {**NEXT, **REACHED}),
            Answer(200, "It is kept, as a producer's next append.", {}, {**NEXT, **REACHED}),
        ),
        errors=(
            "bad_json",
            "bad_event",
            "bad_header",
            "bad_content_type",
            "bad_producer",
            "empty_body",
            "producer_epoch",
            "producer_fenced",
            "stream_not_found",
            "stream_closed",
            "stream_deleted",
            "stream_seq",
            "content_type",
            "generation_owned",
            "foreign_generation",
            "producer_gap",
            "too_many_producers",
            "too_large",
            *KEPT,
        ),
        beside={
            **NEXT,
            **REACHED,
            "Producer-Expected-Seq": "The append that is missing.",
            "Producer-Received-Seq": "The one that came instead.",
        },
    ),
    Operation(
        "GET",
        PATH,
        "Durable Streams",
        "Read",
        "What there is from an offset on; as soon as there is something (`live=long-poll`); or "
        "as it comes (`live=sse`).",
        parameters=(
            STREAM,
            query(
                "offset", "`-1` for the start, `now`, or an offset that was told before.", **OFFSET
            ),
            query("live", "How to wait for more.", enum=["long-poll", "sse"]),
            query("cursor", "What `Stream-Cursor` told, so that caches in between stay apart."),
            header("If-None-Match", "An `ETag` of before."),
        ),
        answers=(
            Answer(
                200,
                "The records: of JSON one array, else bytes as they are. With `live=sse`, events "
                "`data` and `control`.",
                {**ANYTHING, EVENT_STREAM: TEXT},
                {
                    **READ,
                    "ETag": "Of what is told here, where it cannot change.",
                    "Stream-Cursor": "To be given back with the next long poll.",
                    "Stream-SSE-Data-Encoding": "`base64` where the content is no text.",
                },
            ),
            Answer(
                204,
                "Nothing came in time.",
                {},
                {**READ, "Stream-Cursor": "To be given back with the next long poll."},
            ),
            Answer(304, "As it was told before.", {}, READ),
        ),
        errors=(
            "bad_position",
            "bad_live",
            "stream_not_found",
            "position_trimmed",
            "position_unwritten",
            "stream_deleted",
            "limit_exceeded",
            "draining",
        ),
    ),
    Operation(
        "HEAD",
        PATH,
        "Durable Streams",
        "Look at a stream",
        parameters=(STREAM,),
        answers=(
            Answer(
                200,
                "What it is and where it ends.",
                {},
                {
                    **NEXT,
                    "Stream-TTL": "Seconds after which it expires unless it is used.",
                    "Stream-Expires-At": "When it expires.",
                },
            ),
        ),
        errors=("stream_not_found", "gone"),
    ),
    Operation(
        "DELETE",
        PATH,
        "Durable Streams",
        "Delete a stream",
        "For good; what is generated in it is cancelled.",
        parameters=(STREAM,),
        answers=(Answer(204, "It is gone."),),
        errors=("stream_not_found", "stream_deleted", "store_failed"),
    ),
)
