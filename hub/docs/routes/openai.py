"""Routes for OpenAI's clients."""

from __future__ import annotations

from typing import Final

from hub.docs.codes import FAILURES
from hub.docs.json_schema import ref
from hub.docs.operations import (
    EVENT_STREAM,
    JSON,
    KEY,
    NAME,
    Operation,
    Parameter,
    Response,
    events_of,
    group,
    header,
    path,
    query,
)

__all__ = ["GROUP", "IDEMPOTENCY_KEY", "NAMES", "ON_DISCONNECT", "REFUSED"]

NAMES: Final = {
    "Streamhub-Stream": "The name of the reply's stream.",
    "Streamhub-Generation": "The id of the generation.",
}
ON_DISCONNECT: Final = header(
    "X-On-Disconnect",
    "Whether the generation continues or is cancelled when the client disconnects. "
    "`server.on_disconnect` sets the default.",
    enum=["continue", "cancel"],
)
IDEMPOTENCY_KEY: Final = header("Idempotency-Key", "Makes retries safe.", **KEY)

REFUSED: Final = (
    f"{' '.join(FAILURES)} bad_json bad_key model_not_found gone trimmed too_large "
    "unsupported_type key_reused limit_exceeded draining store_failed store_full"
)


def _response(
    method: str,
    suffix: str,
    title: str,
    description: str,
    response: Response,
    *parameters: Parameter,
    errors: str = "response_not_found gone",
) -> Operation:
    return Operation(
        method,
        f"/v1/responses/{{id}}{suffix}",
        title,
        description,
        (path("id", "The response's id."), *parameters),
        responses=(response,),
        errors=errors,
        error_format="openai",
    )


GROUP: Final = group(
    "OpenAI",
    "OpenAI's interface, for its clients and compatible ones. Every reply is an ordinary stream, "
    "named in a header, that others can follow.",
    Operation(
        "POST",
        "/v1/chat/completions",
        "Create a chat completion",
        "`model` is the name of an upstream, `UPSTREAM/model`, or the model that an upstream "
        "is configured with. The hub translates the fields it does not use itself for the "
        "upstream's provider, and refuses by name what that provider cannot take.",
        (
            IDEMPOTENCY_KEY,
            ON_DISCONNECT,
            header(
                "Streamhub-Stream",
                "The stream to append the reply to; by default a new one.",
                **NAME,
            ),
        ),
        {JSON: ref("CompletionRequest")},
        (
            Response(
                200,
                "The whole reply; with `stream`, server-sent events, each with a "
                "`CompletionChunk`, then `data: [DONE]`. A reply that breaks off ends with an "
                "error and never with `[DONE]`.",
                {JSON: ref("Completion"), EVENT_STREAM: events_of("CompletionChunk")},
                NAMES,
            ),
        ),
        REFUSED,
        "openai",
    ),
    Operation(
        "POST",
        "/v1/responses",
        "Create a response",
        "With `background` the hub returns at once, and the response can be retrieved by its "
        "id; with `stream` it sends events as they happen. `previous_response_id` continues "
        "an earlier response. Built-in tools and their items are passed on to upstreams that "
        "speak this API, and refused by name for others, as are stored prompts and other "
        "features without an equivalent here.",
        (IDEMPOTENCY_KEY, ON_DISCONNECT),
        {JSON: ref("ResponseRequest")},
        (
            Response(
                200,
                "The response, or its numbered events.",
                {JSON: ref("OpenAIResponse"), EVENT_STREAM: events_of("ResponseEvent")},
                NAMES,
            ),
        ),
        f"{REFUSED} response_not_found conflict",
        "openai",
    ),
    _response(
        "GET",
        "",
        "Get a response, or follow it",
        "",
        Response(
            200,
            "Its current state; with `stream=true` its events after `starting_after`.",
            {JSON: ref("OpenAIResponse"), EVENT_STREAM: events_of("ResponseEvent")},
            NAMES,
        ),
        query("stream", "Whether to send events.", enum=["true", "false"], default="false"),
        query(
            "starting_after",
            "The sequence number of the last event that was received.",
            pattern="^[0-9]{1,15}$",
        ),
        errors="bad_request response_not_found gone",
    ),
    _response(
        "GET",
        "/input_items",
        "List the input of a response",
        "Only its own input; that of earlier responses is listed under those.",
        Response(200, "A page of items.", {JSON: ref("InputItems")}, NAMES),
        query("after", "Start after the item with this id."),
        query(
            "limit", "The most items to return.", type="integer", minimum=1, maximum=100, default=20
        ),
        query("order", "The order, by age.", enum=["asc", "desc"], default="desc"),
        errors="bad_request response_not_found gone",
    ),
    _response(
        "POST",
        "/cancel",
        "Cancel a response",
        "A response that has ended does not change.",
        Response(200, "Its final state.", {JSON: ref("OpenAIResponse")}, NAMES),
    ),
    _response(
        "DELETE",
        "",
        "Delete a response",
        "This deletes its stream, too.",
        Response(200, "The response is deleted.", {JSON: ref("Deleted")}),
    ),
    Operation(
        "GET",
        "/v1/models",
        "List the models",
        responses=(Response(200, "The upstreams, the default first.", {JSON: ref("Models")}),),
        error_format="openai",
    ),
    Operation(
        "GET",
        "/v1/models/{id}",
        "Get a model",
        parameters=(path("id", "The model's name. It may contain slashes."),),
        responses=(Response(200, "The model.", {JSON: ref("Model")}),),
        errors="model_not_found",
        error_format="openai",
    ),
)
