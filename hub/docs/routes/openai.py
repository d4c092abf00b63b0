"""What OpenAI's clients speak."""

from __future__ import annotations

from typing import Final

from hub.docs.codes import FAILURES
from hub.docs.operations import (
    EVENT_STREAM,
    JSON,
    KEY,
    NAME,
    Answer,
    Operation,
    Parameter,
    events_of,
    header,
    path,
    query,
    ref,
)

__all__ = ["GROUPS", "OPERATIONS"]

GROUPS: Final = {
    "OpenAI": "The interface of OpenAI, for its clients and all that speak as they do. An answer "
    "is a stream like any other, named in a header, which others can follow.",
}

NAMES: Final = {
    "Streamhub-Stream": "The stream of the answer.",
    "Streamhub-Generation": "The id of the generation.",
}

LEAVES: Final = header(
    "X-On-Disconnect",
    "Whether a client that goes away ends the answer; `server.on_disconnect` says what holds for "
    "who says nothing.",
    enum=["continue", "cancel"],
)
INTO: Final = header(
    "Streamhub-Stream", "The stream to put the answer into; else one of its own.", **NAME
)
ONCE: Final = header("Idempotency-Key", "Makes asking again harmless.", **KEY)
ID: Final = path("id", "The response's id.")

REFUSED: Final = (
    *FAILURES,
    "bad_json",
    "bad_key",
    "model_not_found",
    "gone",
    "trimmed",
    "too_large",
    "unsupported_type",
    "key_reused",
    "limit_exceeded",
    "draining",
    "store_failed",
    "store_full",
)
_NOT_FOUND: Final = ("response_not_found", "gone")


def _response(
    method: str,
    place: str,
    title: str,
    says: str,
    answer: Answer,
    *parameters: Parameter,
    errors: tuple[str, ...] = _NOT_FOUND,
) -> Operation:
    return Operation(
        method,
        f"/v1/responses/{{id}}{place}",
        "OpenAI",
        title,
        says,
        parameters=(ID, *parameters),
        answers=(answer,),
        errors=errors,
        wrong="openai",
    )


OPERATIONS: Final = (
    Operation(
        "POST",
        "/v1/chat/completions",
        "OpenAI",
        "Ask for a chat completion",
        "`model` names an upstream, or `UPSTREAM/model`, or the model that an upstream is "
        "configured with. Fields that are not the hub's own go to the upstream, translated into "
        "its provider's words; what it cannot take is refused by name.",
        parameters=(ONCE, LEAVES, INTO),
        body={JSON: ref("CompletionRequest")},
        answers=(
            Answer(
                200,
                "The answer, whole; with `stream` as server-sent events, each a "
                "`CompletionChunk`, then `data: [DONE]`. An answer that breaks off ends in an "
                "error, and never in `[DONE]`.",
                {JSON: ref("Completion"), EVENT_STREAM: events_of("CompletionChunk")},
                NAMES,
            ),
        ),
        errors=REFUSED,
        wrong="openai",
    ),
    Operation(
        "POST",
        "/v1/responses",
        "OpenAI",
        "Begin a response",
        "With `background` it is answered at once, and can be asked for by its id; with `stream` "
        "its events are told as they come. `previous_response_id` goes on from one before. What "
        "has no counterpart here (built-in tools, stored prompts) is refused by name.",
        parameters=(ONCE, LEAVES),
        body={JSON: ref("ResponseRequest")},
        answers=(
            Answer(
                200,
                "The response, or its numbered events.",
                {JSON: ref("OpenAIResponse"), EVENT_STREAM: events_of("ResponseEvent")},
                NAMES,
            ),
        ),
        errors=(*REFUSED, "response_not_found", "conflict"),
        wrong="openai",
    ),
    _response(
        "GET",
        "",
        "Look at a response, or follow it",
        "",
        Answer(
            200,
            "As it is now; with `stream=true` its events, from the one after `starting_after`.",
            {JSON: ref("OpenAIResponse"), EVENT_STREAM: events_of("ResponseEvent")},
            NAMES,
        ),
        query("stream", "Whether to be told its events.", enum=["true", "false"], default="false"),
        query(
            "starting_after", "The number of the last event that was seen.", pattern="^[0-9]{1,15}$"
        ),
        errors=("bad_request", *_NOT_FOUND),
    ),
    _response(
        "GET",
        "/input_items",
        "List what a response was asked",
        "Its own input; what was said before it stands with the responses before it.",
        Answer(200, "A page of items.", {JSON: ref("InputItems")}, NAMES),
        query("after", "The id of the item to go on after."),
        query(
            "limit", "The most items of a page.", type="integer", minimum=1, maximum=100, default=20
        ),
        query("order", "By age.", enum=["asc", "desc"], default="desc"),
        errors=("bad_request", *_NOT_FOUND),
    ),
    _response(
        "POST",
        "/cancel",
        "Cancel a response",
        "One that has ended stays as it is.",
        Answer(200, "As it is then.", {JSON: ref("OpenAIResponse")}, NAMES),
    ),
    _response(
        "DELETE",
        "",
        "Forget a response",
        "Its stream, too.",
        Answer(200, "It is gone.", {JSON: ref("Deleted")}),
    ),
    Operation(
        "GET",
        "/v1/models",
        "OpenAI",
        "List the models",
        answers=(Answer(200, "The upstreams, the default one first.", {JSON: ref("Models")}),),
        wrong="openai",
    ),
    Operation(
        "GET",
        "/v1/models/{id}",
        "OpenAI",
        "Look at a model",
        parameters=(path("id", "A model's name, which may hold slashes."),),
        answers=(Answer(200, "There is one.", {JSON: ref("Model")}),),
        errors=("model_not_found",),
        wrong="openai",
    ),
)
