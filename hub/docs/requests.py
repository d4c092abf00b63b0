"""Schemas of request bodies where a model only says "objects", and examples of each.

The models validate messages loosely: their content goes on to an upstream, and the code that reads
a message reports what is wrong with it. Readers of the documents, and clients generated from them,
need to know what belongs there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hub.docs.json_schema import (
    BOOLEAN,
    TEXT,
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

__all__ = ["EXAMPLES", "FIELDS", "PARTS", "REFUSED", "STREAM_EXAMPLES"]

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

PARTS: Final[Mapping[str, Schema]] = {
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
}
"""The schemas that `FIELDS` refers to, by name."""

_UI_MESSAGES: Final[Schema] = {
    **array(ref("UIMessageAsked"), least=1),
    # Messages of the assistant alone may say nothing at all.
    "contains": {
        "type": "object",
        "properties": {"role": enum("system", "user")},
        "required": ["role"],
    },
}

FIELDS: Final[Mapping[str, Mapping[str, Schema]]] = {
    "GenerationRequest": {
        "prompt": {**TEXT, "minLength": 1},
        "messages": array(ref("ChatMessage"), least=1),
        "stream": {**TEXT, **NAME},
        "key": {**TEXT, **KEY},
    },
    "QueueChange": {
        "prompt": {**TEXT, "minLength": 1},
        "place": {"type": "integer", "minimum": 1, "description": "1 is the next one."},
    },
    "SubscriptionAsked": {"stream": {**TEXT, **NAME}, "from": {**TEXT, **FROM}},
    "ShareRequest": {"stream": {**TEXT, **NAME}},
    "TicketRequest": {"stream": {**TEXT, **NAME}},
    "CompletionRequest": {
        "messages": array(ref("ChatMessage"), least=1),
        "n": nullable({"type": "integer", "const": 1}),
    },
    "ResponseRequest": {
        "input": {"anyOf": [TEXT, array(ref("InputItem"))]},
        "tools": array(ref("FunctionTool")),
    },
    "ChatRequest": {
        "id": {**TEXT, **NAME},
        "messages": _UI_MESSAGES,
        "trigger": {
            "enum": ["submit-message", "regenerate-message"],
            "description": "`submit-message` by default.",
        },
    },
    "ConversationRequest": {"messages": _UI_MESSAGES},
    "RunRequest": {
        "threadId": {**TEXT, **NAME},
        "messages": array(ref("AgentMessage"), least=1),
        "tools": array(ref("AgentTool")),
    },
    "MessagesRequest": {"messages": array(ref("ChatMessage"), least=1)},
}
"""Fields whose schemas say more than the model does."""

_NEITHER: Final = {"not": {"anyOf": [{"required": ["prompt"]}, {"required": ["messages"]}]}}
REFUSED: Final[Mapping[str, Schema]] = {
    "GenerationRequest": {"anyOf": [_NEITHER, {"required": ["prompt", "messages"]}]}
}
"""What a body must not match. For ``oneOf``, generators would make a type for each branch."""

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
