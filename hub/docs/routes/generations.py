"""Routes that start, show and cancel generations."""

from __future__ import annotations

from typing import Final

from hub.docs.json_schema import ref
from hub.docs.operations import JSON, KEY, NAME, Operation, Response, group, header, path

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
        "Without `stream`, the reply gets a stream of its own, which closes at its end. "
        "`when_busy` says what happens to a prompt while the stream answers another one: it is "
        "refused, waits for its turn (`queue`), or goes first: `steer` stops the answer where a "
        "sentence ends, `replace` at once. `after` and `branch` choose what of the conversation is "
        "continued: a prompt stands `after` a message or an answer, in place of what followed "
        "that, or goes on where the `branch` with it has got to. Without a prompt, the message "
        "that it comes `after` is answered again.",
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
                "The generation started, now or earlier with the same key, or is queued.",
                {JSON: ref("Generation")},
                {"Location": "The stream of the reply."},
            ),
        ),
        "bad_request bad_json bad_key bad_name unsupported_option upstream_not_found "
        "model_not_permitted max_tokens_not_permitted option_not_permitted "
        "author_not_permitted stream_not_found message_not_found "
        "stream_busy stream_closed not_json trimmed generation_deleted too_large "
        "unsupported_type key_reused limit_exceeded queue_full draining store_failed store_full",
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
        "PATCH",
        "/v1/generations/{id}",
        "Change a queued prompt",
        "Its text, or its place in the queue; or send it `now`, which stops the answer that runs. "
        "Whoever queued it may do so; the prompts of others need the permission `cancel`, as does "
        "stopping an answer.",
        (_ID,),
        {JSON: ref("QueueChange")},
        (Response(200, "The generation.", {JSON: ref("Generation")}),),
        "bad_request bad_json generation_not_found model_not_permitted "
        "max_tokens_not_permitted option_not_permitted not_permitted not_queued prompt_changed "
        "stream_closed too_large unsupported_type queue_full store_failed "
        "store_full",
    ),
    Operation(
        "GET",
        "/v1/queue/{name}",
        "List the prompts that wait in a stream",
        "Whoever follows the stream sees the same from its events `queued`, `dropped` and "
        "`started`.",
        (path("name", "The stream's name. It may contain slashes.", **NAME),),
        responses=(Response(200, "The prompts, the next one first.", {JSON: ref("Queue")}),),
        errors="bad_name stream_not_found stream_deleted",
    ),
    Operation(
        "DELETE",
        "/v1/generations/{id}",
        "Cancel a generation",
        "The connection to the upstream closes within 100 ms. A queued one is dropped. A "
        "generation that has ended does not change.",
        (_ID,),
        responses=(Response(200, "Its final state.", {JSON: ref("Generation")}),),
        errors="generation_not_found not_permitted prompt_changed store_failed store_full",
    ),
)
