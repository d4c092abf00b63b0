"""Generations: started, looked at, cancelled."""

from __future__ import annotations

from typing import Final

from hub.docs.operations import JSON, KEY, Answer, Operation, header, path, ref

__all__ = ["GROUPS", "OPERATIONS"]

GROUPS: Final = {
    "Generations": "A generation is one run of an upstream for one prompt. It goes on whether "
    "anybody follows it or not, and ends in exactly one event.",
}

ID: Final = path("id", "The generation's id.")

OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/generations",
        "Generations",
        "Start a generation",
        "With `prompt` the user's message is appended to the stream, and the conversation in it "
        "is sent; with `messages` exactly those are. Without `stream` the reply gets a stream of "
        "its own, closed at its end.",
        parameters=(
            header(
                "Idempotency-Key",
                "Makes asking again harmless: the same key is the same generation. It goes over "
                "`key` in the body.",
                **KEY,
            ),
        ),
        body={JSON: ref("GenerationRequest")},
        answers=(
            Answer(
                201,
                "It has begun, or had begun before with the same key.",
                {JSON: ref("Generation")},
                {"Location": "The stream of the reply."},
            ),
        ),
        errors=(
            "bad_request",
            "bad_json",
            "bad_key",
            "bad_name",
            "unsupported_option",
            "upstream_not_found",
            "stream_busy",
            "stream_closed",
            "not_json",
            "trimmed",
            "generation_deleted",
            "too_large",
            "unsupported_type",
            "key_reused",
            "limit_exceeded",
            "draining",
            "store_failed",
            "store_full",
        ),
    ),
    Operation(
        "GET",
        "/v1/generations/{id}",
        "Generations",
        "Look at a generation",
        parameters=(ID,),
        answers=(Answer(200, "How it is now, or how it ended.", {JSON: ref("Generation")}),),
        errors=("generation_not_found",),
    ),
    Operation(
        "DELETE",
        "/v1/generations/{id}",
        "Generations",
        "Cancel a generation",
        "The upstream's connection is closed within 100 ms. One that has ended stays as it is.",
        parameters=(ID,),
        answers=(Answer(200, "How it ended.", {JSON: ref("Generation")}),),
        errors=("generation_not_found",),
    ),
)
