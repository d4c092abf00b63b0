"""Routes that start, show and cancel generations."""

from __future__ import annotations

from typing import Final

from hub.docs.json_schema import ref
from hub.docs.operations import JSON, KEY, Operation, Response, group, header, path

__all__ = ["GROUP"]

_ID: Final = path("id", "The generation's id.")

GROUP: Final = group(
    "Generations",
    "A generation is one run of an upstream for one prompt. It runs whether or not anybody follows "
    "it, and ends with exactly one event.",
    Operation(
        "POST",
        "/v1/generations",
        "Start a generation",
        "With `prompt`, the hub appends the user's message to the stream and sends the "
        "stream's conversation to the upstream; with `messages`, it sends exactly those. "
        "Without `stream`, the reply gets a stream of its own, which closes at its end.",
        (
            header(
                "Idempotency-Key",
                "Makes retries safe: requests with the same key share one generation. It "
                "overrides `key` in the body.",
                **KEY,
            ),
        ),
        {JSON: ref("GenerationRequest")},
        (
            Response(
                201,
                "The generation started, now or earlier with the same key.",
                {JSON: ref("Generation")},
                {"Location": "The stream of the reply."},
            ),
        ),
        "bad_request bad_json bad_key bad_name unsupported_option upstream_not_found "
        "model_not_permitted max_tokens_not_permitted author_not_permitted stream_not_found "
        "stream_busy stream_closed not_json trimmed generation_deleted too_large "
        "unsupported_type key_reused limit_exceeded draining store_failed store_full",
    ),
    Operation(
        "GET",
        "/v1/generations/{id}",
        "Get a generation",
        parameters=(_ID,),
        responses=(Response(200, "Its current or final state.", {JSON: ref("Generation")}),),
        errors="generation_not_found",
    ),
    Operation(
        "DELETE",
        "/v1/generations/{id}",
        "Cancel a generation",
        "The connection to the upstream closes within 100 ms. A generation that has ended does "
        "not change.",
        (_ID,),
        responses=(Response(200, "Its final state.", {JSON: ref("Generation")}),),
        errors="generation_not_found",
    ),
)
