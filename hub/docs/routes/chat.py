"""What the chat interfaces of other people's pages speak: the AI SDK's, and TanStack AI's."""

from __future__ import annotations

from typing import Final

from hub.docs.operations import (
    EVENT_STREAM,
    JSON,
    NAME,
    OFFSET,
    TEXT,
    Answer,
    Operation,
    events_of,
    path,
    query,
    ref,
)
from hub.docs.routes.durable import READ
from hub.docs.routes.openai import LEAVES, NAMES, ONCE, REFUSED

__all__ = ["GROUPS", "OPERATIONS"]

GROUPS: Final = {
    "Chat interfaces": "For the AI SDK's `useChat` and for TanStack AI, with their own transports "
    "or with those of Durable Streams. A chat is the stream that its id names.",
}

ID: Final = path("id", "The chat's id, which is the name of its stream.", **NAME)
ASKED: Final = (
    query("upstream", "Which upstream to ask, where the body does not say."),
    query("model", "Which model."),
    ONCE,
    LEAVES,
)
ADDRESS: Final = {**NAMES, "Location": "Where the answer is a Durable Stream."}
CHUNKS: Final = {
    **ADDRESS,
    "x-vercel-ai-ui-message-stream": "`v1`.",
}
WRONG: Final = (*REFUSED, "bad_name", "stream_busy", "stream_closed", "not_json")
READING: Final = (
    query("offset", "`-1` for the start, `now`, or an offset that was told before.", **OFFSET),
    query("live", "How to wait for more.", enum=["long-poll", "sse"]),
    query("cursor", "What `Stream-Cursor` told."),
)


def _view(chunk: str) -> tuple[Answer, ...]:
    told = {**READ, "Stream-Cursor": "To be given back with the next long poll."}
    return (
        Answer(
            200,
            "The chunks, as one array; with `live=sse`, events `data`, which hold such an array, "
            "and `control`.",
            {JSON: {"type": "array", "items": ref(chunk)}, EVENT_STREAM: TEXT},
            told,
        ),
        Answer(204, "Nothing came in time.", {}, {**READ, "Stream-Cursor": "As above."}),
    )


RUN: Final = Answer(
    200,
    "To AG-UI's own client: the run, from RUN_STARTED to RUN_FINISHED or RUN_ERROR.",
    {EVENT_STREAM: events_of("ConversationChunk")},
    NAMES,
)
UNREADABLE: Final = (
    "bad_position",
    "bad_live",
    "bad_name",
    "stream_not_found",
    "generation_not_found",
    "not_json",
    "gone",
    "position_trimmed",
    "position_unwritten",
    "limit_exceeded",
    "draining",
)

OPERATIONS: Final = (
    Operation(
        "POST",
        "/api/chat",
        "Chat interfaces",
        "Say something to `useChat`'s chat, or ask for an answer again",
        "The AI SDK's UI message stream, version 1. `model`, `upstream` and `options` are as for "
        "`/v1/generations`. A message that is sent twice has one effect. "
        "`Accept: application/json` asks for the address of the answer alone.",
        parameters=ASKED,
        body={JSON: ref("ChatRequest")},
        answers=(
            Answer(200, "The answer.", {EVENT_STREAM: events_of("UIChunk")}, CHUNKS),
            Answer(201, "Where the answer is to be read.", {JSON: ref("ChatAddress")}, ADDRESS),
        ),
        errors=(*WRONG, "unsupported_part"),
        wrong="text",
    ),
    Operation(
        "GET",
        "/api/chat/{id}/stream",
        "Chat interfaces",
        "Take up the answer that is being given",
        "`Accept: application/json` asks for its address alone.",
        parameters=(ID,),
        answers=(
            Answer(
                200,
                "The answer, from its start, or its address.",
                {EVENT_STREAM: events_of("UIChunk"), JSON: ref("ChatAddress")},
                CHUNKS,
            ),
            Answer(204, "None is being given."),
        ),
        errors=("gone", "position_trimmed", "limit_exceeded", "draining"),
        wrong="text",
    ),
    Operation(
        "POST",
        "/api/chat/{id}/stop",
        "Chat interfaces",
        "Stop the answer that is being given",
        "For everybody. `useChat`'s own `stop()` only stops reading.",
        parameters=(ID,),
        answers=(
            Answer(200, "How it ended.", {JSON: ref("Generation")}),
            Answer(204, "None was being given."),
        ),
        errors=("generation_not_found",),
        wrong="text",
    ),
    Operation(
        "GET",
        "/api/chat/{id}/stream/{generation}",
        "Chat interfaces",
        "Read an answer as a Durable Stream",
        "For `@durable-streams/aisdk-transport`: UI message chunks in JSON, closed at its end.",
        parameters=(
            ID,
            path("generation", "The generation's id."),
            *READING,
            query(
                "whole",
                "Whether to begin with the message that it goes on with.",
                enum=["true", "false"],
                default="false",
            ),
        ),
        answers=_view("UIChunk"),
        errors=UNREADABLE,
        wrong="text",
    ),
    Operation(
        "POST",
        "/api/chat/{id}",
        "Chat interfaces",
        "Say something in TanStack AI's conversation",
        "It is answered as soon as the answer begins, which comes to all who read. A message that "
        "has been answered and comes again is answered again.",
        parameters=(ID, *ASKED),
        body={JSON: ref("ConversationRequest")},
        answers=(Answer(202, "It is being answered.", {}, NAMES), RUN),
        errors=(*WRONG, "unsupported_part"),
        wrong="sentence",
    ),
    Operation(
        "POST",
        "/api/agent",
        "Chat interfaces",
        "Ask as AG-UI's own client does",
        "For `HttpAgent` of `@ag-ui/client`: the conversation is the stream that `threadId` names. "
        "`forwardedProps` may hold `model`, `upstream` and `options`. `Accept: text/event-stream` "
        "has `/api/chat/{id}` take and answer the same.",
        parameters=ASKED,
        body={JSON: ref("RunRequest")},
        answers=(RUN,),
        errors=(*WRONG, "unsupported_part"),
        wrong="sentence",
    ),
    Operation(
        "GET",
        "/api/chat/{id}",
        "Chat interfaces",
        "Read TanStack AI's conversation as a Durable Stream",
        "For `@durable-streams/tanstack-ai-transport`: AG-UI events in JSON, open for ever. A "
        "conversation that has not begun is empty.",
        parameters=(ID, *READING),
        answers=_view("ConversationChunk"),
        errors=UNREADABLE,
        wrong="sentence",
    ),
)
