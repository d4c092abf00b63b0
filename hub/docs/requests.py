"""Schemas of request bodies where a model only says "objects", and examples of each.

The models validate messages loosely: their content goes on to an upstream, and the code that reads
a message reports what is wrong with it. Readers of the documents, and clients generated from them,
need to know what belongs there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hub.access.shares import LONGEST, SHORTEST, TITLE_LENGTH
from hub.docs.json_schema import (
    BOOLEAN,
    PLACE,
    POSITION_PATTERN,
    TEXT,
    TEXT_OR_NULL,
    Schema,
    array,
    const,
    enum,
    nullable,
    object_of,
    ref,
    tagged,
)
from hub.docs.operations import FROM, KEY, NAME
from hub.domain.one_line import LINE_PATTERN
from hub.generations.admission import MODEL_LENGTH
from hub.protocols.websocket.commands import LABEL_LENGTH

__all__ = ["CHAT_PARTS", "CONDITIONS", "EXAMPLES", "FIELDS", "PARTS", "STREAM_EXAMPLES"]

_MORE: Final[Schema] = {"type": "object", "additionalProperties": True}
_ID: Final[Schema] = {"type": "string", "minLength": 1}
_URL: Final[Schema] = {
    "type": "string",
    "pattern": "^(https?://|data:[^,]*,)",
    "description": "`https:`, `http:` or `data:`.",
}
_FILE: Final[Mapping[str, Schema]] = {
    "file_data?": {"type": "string", "pattern": "^data:[^,]*,", "description": "A `data:` URL."},
    "file_url?": {"type": "string", "pattern": "^https?://"},
    "file_id?": _ID,
    "filename?": TEXT,
}
_JSON_TEXT: Final[Schema] = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": "A JSON object.",
}
_TOOL: Final[Mapping[str, Schema]] = {"name": _ID, "description?": TEXT, "parameters?": _MORE}

CHAT_PARTS: Final[Mapping[str, Schema]] = {
    "ContentPart": {
        "description": "A part of a message. Some upstreams take other kinds, too.",
        "anyOf": [ref("TextPart"), ref("ImagePart"), ref("FilePart"), ref("AudioPart")],
    },
    "TextPart": tagged("Text.", "text", {"text": TEXT}),
    "ImagePart": tagged("An image.", "image_url", {"image_url": ref("ImageURL")}),
    "FilePart": tagged(
        "A file: its data, its URL, or the id that the provider gave it.",
        "file",
        {"file": ref("FileHeld")},
    ),
    "FileHeld": object_of("", _FILE),
    "AudioPart": tagged("Audio.", "input_audio", {"input_audio": ref("AudioHeld")}),
    "AudioHeld": object_of(
        "", {"data": {**_ID, "contentEncoding": "base64"}, "format": enum("mp3", "wav")}
    ),
    "ImageURL": object_of("", {"url": _URL, "detail?": {"enum": ["auto", "low", "high"]}}),
    "ChatCall": object_of(
        "A function call that the model requested.",
        {
            "id": _ID,
            "type": const("function"),
            "function": object_of("", {"name": _ID, "arguments": _JSON_TEXT}),
        },
    ),
    "ChatMessage": object_of(
        "A message of a chat completion. A provider's own fields are passed on.",
        {
            "role": enum("system", "developer", "user", "assistant", "tool"),
            "content?": {"anyOf": [TEXT, array(ref("ContentPart")), {"type": "null"}]},
            "name?": TEXT,
            "tool_calls?": array(ref("ChatCall")),
            "tool_call_id?": {**_ID, "description": "The call that a tool's message answers."},
        },
    ),
}
"""The messages of a chat completion."""

PARTS: Final[Mapping[str, Schema]] = {
    **CHAT_PARTS,
    "UIMessagePart": object_of(
        "A part of a message of the AI SDK or TanStack AI, told apart by `type`. A library's own "
        "parts are not sent to the model.",
        {"type": TEXT, "text?": TEXT},
    ),
    "UIMessageAsked": object_of(
        "A message of the AI SDK or TanStack AI, with all fields of its library.",
        {
            "id?": TEXT,
            "role": enum("system", "user", "assistant"),
            "parts?": array(ref("UIMessagePart")),
        },
    ),
    "AgentMessage": {
        **object_of(
            "A message of AG-UI, with all fields of its client.",
            {
                "id?": TEXT,
                "role": enum(
                    *("system", "developer", "user", "assistant", "tool", "reasoning", "activity")
                ),
            },
        ),
        "if": {"properties": {"role": {"const": "tool"}}, "required": ["role"]},
        "then": {"properties": {"toolCallId": _ID}, "required": ["toolCallId"]},
    },
    "AgentTool": object_of("A tool that the client runs; `parameters` is a JSON Schema.", _TOOL),
    "InputItem": {
        "description": "An input item of a response.",
        "anyOf": [ref("InputMessage"), ref("InputCall"), ref("InputCallOutput")],
    },
    "InputMessage": object_of(
        "",
        {
            "type?": const("message"),
            "role": enum("user", "assistant", "system", "developer"),
            "content": {"anyOf": [TEXT, array(ref("InputPart"))]},
        },
    ),
    "InputCall": tagged(
        "A function call.", "function_call", {"call_id": _ID, "name": _ID, "arguments": _JSON_TEXT}
    ),
    "InputCallOutput": tagged(
        "The result of a function call.",
        "function_call_output",
        {"call_id": _ID, "output": {"anyOf": [TEXT, array(ref("InputPart"))]}},
    ),
    "InputPart": {
        "description": "A part of an input item.",
        "anyOf": [
            ref(name)
            for name in ("InputText", "OutputText", "InputImage", "InputFile", "AudioPart")
        ],
    },
    "InputText": tagged("Text.", "input_text", {"text": TEXT}),
    "OutputText": tagged("Text of the model.", "output_text", {"text": TEXT}),
    "InputImage": tagged("An image.", "input_image", {"image_url": _URL}),
    "InputFile": tagged("A file, as in a `FilePart`.", "input_file", _FILE),
    "FunctionTool": tagged(
        "A function that the model may call; `parameters` is a JSON Schema.",
        "function",
        {**_TOOL, "strict?": BOOLEAN},
    ),
    "ToolChoice": object_of("The tool to call.", {"type": enum("function", "custom"), "name": _ID}),
    "AllowedTools": tagged(
        "The tools of which one may be called.",
        "allowed_tools",
        {"mode?": enum("auto", "required"), "tools": array(ref("ToolChoice"))},
    ),
    "TextAsked": object_of(
        "How the text is to be.",
        {"format?": ref("TextFormat"), "verbosity?": TEXT_OR_NULL},
        additionalProperties=False,
    ),
    "TextFormat": object_of(
        "The form of the text; `schema` is a JSON Schema.",
        {
            "type": enum("text", "json_object", "json_schema"),
            "name?": TEXT,
            "description?": TEXT,
            "schema?": _MORE,
            "strict?": BOOLEAN,
        },
    ),
    "ReasoningAsked": object_of(
        "How the model is to reason; nothing depends on `summary`.",
        dict.fromkeys(("effort?", "summary?", "generate_summary?"), TEXT_OR_NULL),
        additionalProperties=False,
    ),
}
"""The schemas that `FIELDS` refers to, by name."""


def _containing(message: str, *roles: str) -> Schema:
    """Messages, one of them in one of these roles: those of the assistant alone may say nothing."""
    said = {"type": "object", "properties": {"role": enum(*roles)}, "required": ["role"]}
    return {**array(ref(message), least=1), "contains": said}


_UI_MESSAGES: Final = _containing("UIMessageAsked", "system", "user")


def _line(most: int) -> Schema:
    return {**TEXT, "pattern": f"^{LINE_PATTERN}$", "maxLength": most}


_STREAM: Final[Schema] = {**TEXT, **NAME}
_PROMPT: Final[Schema] = {**TEXT, "minLength": 1}
_MODEL: Final[Schema] = nullable({**TEXT, "maxLength": MODEL_LENGTH})

_GENERATION: Final[Mapping[str, Schema]] = {
    "prompt": _PROMPT,
    "messages": array(ref("ChatMessage"), least=1),
    "stream": _STREAM,
    "model": _MODEL,
    "key": {**TEXT, **KEY},
    "branch": TEXT,
}
_QUEUE_CHANGE: Final[Mapping[str, Schema]] = {"prompt": _PROMPT, "place": PLACE}
_SUBSCRIPTION: Final[Mapping[str, Schema]] = {"stream": _STREAM, "from": {**TEXT, **FROM}}

FIELDS: Final[Mapping[str, Mapping[str, Schema]]] = {
    "GenerationRequest": _GENERATION,
    "Generate": _GENERATION,
    "QueueChange": _QUEUE_CHANGE,
    "Requeue": _QUEUE_CHANGE,
    "SubscriptionAsked": _SUBSCRIPTION,
    "Subscribe": _SUBSCRIPTION,
    "Unsubscribe": {"stream": _STREAM},
    "Append": {"stream": _STREAM, "event": ref("EventAsked")},
    "Fork": {"stream": _STREAM, "source": _STREAM, "position": nullable(ref("Position"))},
    "Presence": {"stream": _STREAM, "member": nullable(_line(LABEL_LENGTH))},
    "ShareRequest": {
        "stream": _STREAM,
        "until": nullable({**TEXT, "pattern": f"^(live|start|now|{POSITION_PATTERN})$"}),
        "expires_in": nullable({"type": "integer", "minimum": SHORTEST, "maximum": LONGEST}),
        "title": nullable(_line(TITLE_LENGTH)),
    },
    "TicketRequest": {"stream": _STREAM},
    "CompletionRequest": {
        "messages": array(ref("ChatMessage"), least=1),
        "n": nullable({"type": "integer", "const": 1}),
    },
    "ResponseRequest": {
        "input": {"anyOf": [TEXT, array(ref("InputItem"), least=1)]},
        "tools": array(ref("FunctionTool")),
        "tool_choice": {"anyOf": [TEXT, ref("ToolChoice"), ref("AllowedTools"), {"type": "null"}]},
        "text": nullable(ref("TextAsked")),
        "reasoning": nullable(ref("ReasoningAsked")),
    },
    "ChatRequest": {
        "id": _STREAM,
        "messages": _UI_MESSAGES,
        "model": _MODEL,
        "trigger": {
            "enum": ["submit-message", "regenerate-message"],
            "description": "`submit-message` by default.",
        },
    },
    "ConversationRequest": {"messages": _UI_MESSAGES, "model": _MODEL},
    "Choice": {"model": _MODEL},
    "RunRequest": {
        "threadId": _STREAM,
        "messages": _containing("AgentMessage", "system", "developer", "user", "tool"),
        "tools": array(ref("AgentTool")),
    },
    "MessagesRequest": {"messages": array(ref("ChatMessage"), least=1)},
}
"""Fields whose schemas say more than the model does."""

_GENERATION_CONDITIONS: Final[Schema] = {
    "dependentRequired": {"after": ["stream"], "branch": ["stream", "prompt"]},
    # For ``oneOf``, generators would make a type for each branch.
    "not": {
        "anyOf": [
            {"not": {"anyOf": [{"required": [one]} for one in ("prompt", "messages", "after")]}},
            {"required": ["prompt", "messages"]},
            {"required": ["after", "branch"]},
            {
                "properties": {"when_busy": {"not": {"const": "refuse"}}},
                "required": ["when_busy"],
                "not": {"required": ["prompt"]},
            },
        ]
    },
}

CONDITIONS: Final[Mapping[str, Schema]] = {
    "ResponseRequest": {
        "not": {
            "properties": {"background": {"const": True}, "store": {"const": False}},
            "required": ["background", "store"],
        }
    },
    "GenerationRequest": _GENERATION_CONDITIONS,
    "Generate": _GENERATION_CONDITIONS,
}
"""What the fields of a body or a command must be to each other."""

_HELLO: Final = {"role": "user", "content": "Say hello in three languages."}
_USER: Final = {"id": "m-1", "role": "user"}
_BRIEF: Final = {"role": "system", "content": "Be brief."}

EXAMPLES: Final[Mapping[str, list[Any]]] = {
    "GenerationRequest": [
        {"prompt": "Write a poem about rivers.", "stream": "team/rivers"},
        {"messages": [_HELLO], "options": {"temperature": 0.2}},
        {"prompt": "Now in French.", "stream": "team/rivers", "when_busy": "queue"},
    ],
    "QueueChange": [{"prompt": "Now in Spanish."}, {"place": 1}, {"now": True}],
    "ShareRequest": [{"stream": "team/rivers", "until": "now", "expires_in": 604800}],
    "TicketRequest": [{"stream": "team/rivers"}],
    "FollowRequest": [
        [{"stream": "team/rivers", "from": "start"}, {"stream": "team/lakes", "wait": True}]
    ],
    "CompletionRequest": [
        {"model": "demo", "messages": [_HELLO], "stream": True},
        {"model": "demo", "messages": [_BRIEF, _HELLO], "max_tokens": 200},
    ],
    "ResponseRequest": [
        {"model": "demo", "input": "Say hello in three languages.", "stream": True},
        {"model": "demo", "input": [_HELLO], "instructions": "Be brief."},
    ],
    "ChatRequest": [
        {
            "id": "chat-1",
            "trigger": "submit-message",
            "messages": [{**_USER, "parts": [{"type": "text", "text": "Hello"}]}],
        }
    ],
    "ConversationRequest": [
        {"messages": [{**_USER, "parts": [{"type": "text", "content": "Hello"}]}]}
    ],
    "RunRequest": [
        {"threadId": "chat-3", "runId": "run-1", "messages": [{**_USER, "content": "Hello"}]}
    ],
    "MessagesRequest": [{"messages": [_HELLO]}],
    "QueryRequest": [{"query": "How does it stream?"}],
}
"""Bodies that a hub with the default configuration takes, by the name of their schema."""

STREAM_EXAMPLES: Final[list[Any]] = [
    {"type": "message", "role": "user", "text": "Hello"},
    {"reading": 1, "unit": "°C"},
]
"""JSON bodies to append to a stream."""
