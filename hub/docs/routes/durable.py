"""The Durable Streams Protocol."""

from __future__ import annotations

from typing import Final

from hub.docs.operations import (
    BYTES,
    EVENT_STREAM,
    JSON,
    TEXT,
    Answer,
    Operation,
    header,
    query,
)
from hub.docs.routes.streams import NAME

__all__ = ["GROUPS", "OPERATIONS"]

GROUPS: Final = {
    "Durable Streams": "The Durable Streams Protocol on the same streams: of JSON, which are "
    "conversations, and of anything else, which are bytes. Its document says more than this one.",
}

PATH: Final = "/v1/stream/{name}"
ANYTHING: Final = {JSON: {}, "text/plain": TEXT, "application/octet-stream": BYTES}

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
TYPE: Final = header("Content-Type", "The stream's content type.")
KEPT: Final = ("limit_exceeded", "draining", "store_failed", "store_full")

OPERATIONS: Final = (
    Operation(
        "PUT",
        PATH,
        "Durable Streams",
        "Make a stream, or fork one",
        "Empty, or with what the body holds. A fork begins with another stream's records up to an "
        "offset, which are shared, not copied. Asking again for the same changes nothing.",
        parameters=(
            NAME,
            TYPE,
            header("Stream-TTL", "Seconds after which it expires unless it is used."),
            header("Stream-Expires-At", "When it expires, as RFC 3339."),
            CLOSED,
            header("Stream-Forked-From", "The path of the stream that it is forked from."),
            header("Stream-Fork-Offset", "The offset before which the fork takes what is there."),
            header("Stream-Fork-Sub-Offset", "How many messages or bytes further."),
        ),
        body=ANYTHING,
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
            NAME,
            TYPE,
            CLOSED,
            header("Stream-Seq", "Refused unless greater than the last, byte by byte."),
            header("Producer-Id", "Who appends."),
            header("Producer-Epoch", "Its life: a greater one fences those before."),
            header("Producer-Seq", "The number of this append, from 0."),
        ),
        body=ANYTHING,
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
            NAME,
            query("offset", "`-1` for the start, `now`, or an offset that was told before."),
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
        parameters=(NAME,),
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
        parameters=(NAME,),
        answers=(Answer(204, "It is gone."),),
        errors=("stream_not_found", "stream_deleted", "store_failed"),
    ),
)
