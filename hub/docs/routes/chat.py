"""Routes for chat interfaces: the AI SDK's, TanStack AI's and AG-UI's."""

from __future__ import annotations

from typing import Final

from hub.docs.json_schema import TEXT, array, ref
from hub.docs.operations import (
    EVENT_STREAM,
    JSON,
    NAME,
    Operation,
    Response,
    events_of,
    group,
    path,
    query,
)
from hub.docs.routes.durable import CURSOR, NOTHING_CAME, READ, READING
from hub.docs.routes.openai import IDEMPOTENCY_KEY, NAMES, ON_DISCONNECT, REFUSED
from hub.generations.admission import MODEL_LENGTH

__all__ = ["GROUP"]

_ID: Final = path("id", "The chat's id, which is the name of its stream.", **NAME)
_CHOICES: Final = (
    query("upstream", "The upstream to use if the body names none."),
    query("model", "The model to use.", maxLength=MODEL_LENGTH),
    IDEMPOTENCY_KEY,
    ON_DISCONNECT,
)
_ADDRESS: Final = {**NAMES, "Location": "The address of the reply as a Durable Stream."}
_CHUNKS: Final = {**_ADDRESS, "x-vercel-ai-ui-message-stream": "`v1`."}
_ERRORS: Final = (
    f"{REFUSED} bad_name stream_not_found stream_busy stream_closed not_json unsupported_part"
)
_READ_ERRORS: Final = (
    "bad_position bad_live bad_name stream_not_found generation_not_found not_json gone "
    "position_trimmed position_unwritten limit_exceeded draining"
)


def _view(chunk: str) -> tuple[Response, ...]:
    return (
        Response(
            200,
            "The chunks as one array; with `live=sse`, `data` events with such arrays and "
            "`control` events.",
            {JSON: array(ref(chunk)), EVENT_STREAM: TEXT},
            {**READ, **CURSOR},
        ),
        NOTHING_CAME,
    )


_RUN: Final = Response(
    200,
    "For AG-UI's own client: the run, from RUN_STARTED to RUN_FINISHED or RUN_ERROR.",
    {EVENT_STREAM: events_of("ConversationChunk")},
    NAMES,
)

GROUP: Final = group(
    "Chat interfaces",
    "For the AI SDK's `useChat`, TanStack AI and AG-UI, with their own transports or those of "
    "Durable Streams. A chat is the stream that its id names.",
    Operation(
        "POST",
        "/api/chat",
        "Send a message from `useChat`, or regenerate a reply",
        "Speaks the AI SDK's UI message stream, version 1. `model`, `upstream` and `options` "
        "are as for `/v1/generations`. A message that is sent twice has one effect. With "
        "`Accept: application/json` the response is only the address of the reply.",
        _CHOICES,
        {JSON: ref("ChatRequest")},
        (
            Response(200, "The reply.", {EVENT_STREAM: events_of("UIChunk")}, _CHUNKS),
            Response(201, "The address of the reply.", {JSON: ref("ChatAddress")}, _ADDRESS),
        ),
        _ERRORS,
        "text",
    ),
    Operation(
        "GET",
        "/api/chat/{id}/stream",
        "Resume the running reply",
        "With `Accept: application/json` the response is only the address of the reply.",
        (_ID,),
        responses=(
            Response(
                200,
                "The reply from its start, or its address.",
                {EVENT_STREAM: events_of("UIChunk"), JSON: ref("ChatAddress")},
                _CHUNKS,
            ),
            Response(204, "No reply is running."),
        ),
        errors="gone position_trimmed limit_exceeded draining",
        error_format="text",
    ),
    Operation(
        "POST",
        "/api/chat/{id}/stop",
        "Stop the running reply",
        "Stops it for everybody. `useChat`'s own `stop()` only stops reading.",
        (_ID,),
        responses=(
            Response(200, "The final state of the generation.", {JSON: ref("Generation")}),
            Response(204, "No reply was running."),
        ),
        errors="generation_not_found",
        error_format="text",
    ),
    Operation(
        "GET",
        "/api/chat/{id}/stream/{generation}",
        "Read a reply as a Durable Stream",
        "For `@durable-streams/aisdk-transport`: UI message chunks in JSON. The stream closes "
        "at the end of the reply.",
        (
            _ID,
            path("generation", "The generation's id."),
            *READING,
            query(
                "whole",
                "Whether to start with the message that the reply continues.",
                enum=["true", "false"],
                default="false",
            ),
        ),
        responses=_view("UIChunk"),
        errors=_READ_ERRORS,
        error_format="text",
    ),
    Operation(
        "POST",
        "/api/chat/{id}",
        "Send a message from TanStack AI",
        "Returns as soon as the reply starts; everybody who reads the conversation receives "
        "the reply. A message that already has a reply and is sent again is answered again.",
        (_ID, *_CHOICES),
        {JSON: ref("ConversationRequest")},
        (Response(202, "The reply has started.", {}, NAMES), _RUN),
        _ERRORS,
        "sentence",
    ),
    Operation(
        "POST",
        "/api/agent",
        "Send a message from AG-UI's own client",
        "For `HttpAgent` of `@ag-ui/client`: `threadId` names the conversation's stream. "
        "`forwardedProps` may contain `model`, `upstream` and `options`. With "
        "`Accept: text/event-stream`, `/api/chat/{id}` takes and returns the same.",
        _CHOICES,
        {JSON: ref("RunRequest")},
        (_RUN,),
        _ERRORS,
        "sentence",
    ),
    Operation(
        "GET",
        "/api/chat/{id}",
        "Read TanStack AI's conversation as a Durable Stream",
        "For `@durable-streams/tanstack-ai-transport`: AG-UI events in JSON. The stream never "
        "closes. A conversation that has not started is empty.",
        (_ID, *READING),
        responses=_view("ConversationChunk"),
        errors=_READ_ERRORS,
        error_format="sentence",
    ),
)
