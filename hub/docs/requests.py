"""What the bodies of requests hold where a model only says "objects", and examples of each.

The models take messages loosely, because what stands in them goes on to an upstream, and what is
wrong in one is told by who reads it. A reader of the documents, and the code that is generated from
them, need to know what to put there.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hub.docs.operations import KEY, NAME, Schema, ref

__all__ = ["EXAMPLES", "FIELDS", "PARTS", "REFUSED", "STREAM_EXAMPLES"]

_TEXT: Final[Schema] = {"type": "string"}
_MORE: Final[Schema] = {"type": "object", "additionalProperties": True}


def _one(says: str, kind: str, **fields: Schema) -> Schema:
    """An object that its ``type`` tells from others."""
    return {
        "type": "object",
        "description": says,
        "properties": {"type": {"type": "string", "const": kind}, **fields},
        "required": ["type", *fields],
    }


def _list_of(schema: Schema, least: int = 0) -> Schema:
    return {"type": "array", "items": schema, **({"minItems": least} if least else {})}


_URL: Final[Schema] = {
    "type": "string",
    "pattern": "^(https?://|data:[^,]*,)",
    "description": "`https:`, `http:` or `data:`.",
}
_FILE: Final[Mapping[str, Schema]] = {
    "file_data": {"type": "string", "pattern": "^data:[^,]*,", "description": "A `data:` URL."},
    "file_url": {"type": "string", "pattern": "^https?://"},
    "file_id": {"type": "string", "minLength": 1},
    "filename": _TEXT,
}
_ID: Final[Schema] = {"type": "string", "minLength": 1}
_JSON_TEXT: Final[Schema] = {
    "type": "string",
    "contentMediaType": "application/json",
    "description": "A JSON object.",
}

PARTS: Final[Mapping[str, Schema]] = {
    "ContentPart": {
        "description": "A part of what somebody says. An upstream may take others, too.",
        "anyOf": [ref("TextPart"), ref("ImagePart"), ref("FilePart"), ref("AudioPart")],
    },
    "TextPart": _one("Text.", "text", text=_TEXT),
    "ImagePart": _one("A picture.", "image_url", image_url=ref("ImageURL")),
    "FilePart": _one(
        "A file: its data, where it is, or the id that the provider gave it.",
        "file",
        file=ref("FileHeld"),
    ),
    "FileHeld": {"type": "object", "properties": _FILE},
    "AudioPart": _one("A sound.", "input_audio", input_audio=ref("AudioHeld")),
    "AudioHeld": {
        "type": "object",
        "properties": {
            "data": {**_ID, "contentEncoding": "base64"},
            "format": {"type": "string", "enum": ["mp3", "wav"]},
        },
        "required": ["data", "format"],
    },
    "ImageURL": {
        "type": "object",
        "properties": {"url": _URL, "detail": {"enum": ["auto", "low", "high"]}},
        "required": ["url"],
    },
    "ChatCall": {
        "type": "object",
        "description": "A call of a function that the model asked for.",
        "properties": {
            "id": _ID,
            "type": {"type": "string", "const": "function"},
            "function": {
                "type": "object",
                "properties": {"name": _ID, "arguments": _JSON_TEXT},
                "required": ["name", "arguments"],
            },
        },
        "required": ["id", "type", "function"],
    },
    "ChatMessage": {
        "type": "object",
        "description": "A message, as chat completions have it. Fields of a provider's own go on.",
        "properties": {
            "role": {
                "type": "string",
                "enum": ["system", "developer", "user", "assistant", "tool"],
            },
            "content": {
                "anyOf": [_TEXT, _list_of(ref("ContentPart")), {"type": "null"}],
            },
            "name": _TEXT,
            "tool_calls": _list_of(ref("ChatCall")),
            "tool_call_id": {**_ID, "description": "Of a tool's message: which call it answers."},
        },
        "required": ["role"],
    },
    "UIMessagePart": {
        "type": "object",
        "description": "A part of a message of the AI SDK or of TanStack AI, told by its `type`; "
        "what a library adds of its own is not repeated to the model.",
        "properties": {"type": _TEXT, "text": _TEXT},
        "required": ["type"],
    },
    "UIMessageAsked": {
        "type": "object",
        "description": "A message of the AI SDK or of TanStack AI, with all that its library says.",
        "properties": {
            "id": _TEXT,
            "role": {"type": "string", "enum": ["system", "user", "assistant"]},
            "parts": _list_of(ref("UIMessagePart")),
        },
        "required": ["role"],
    },
    "AgentMessage": {
        "type": "object",
        "description": "A message of AG-UI, with all that its client says.",
        "properties": {
            "id": _TEXT,
            "role": {
                "type": "string",
                "enum": [
                    "system",
                    "developer",
                    "user",
                    "assistant",
                    "tool",
                    "reasoning",
                    "activity",
                ],
            },
        },
        "required": ["role"],
        "if": {"properties": {"role": {"const": "tool"}}, "required": ["role"]},
        "then": {"properties": {"toolCallId": _ID}, "required": ["toolCallId"]},
    },
    "AgentTool": {
        "type": "object",
        "description": "A tool that the client runs; `parameters` is a JSON schema.",
        "properties": {"name": _ID, "description": _TEXT, "parameters": _MORE},
        "required": ["name"],
    },
    "InputItem": {
        "description": "One of a response's input items.",
        "anyOf": [ref("InputMessage"), ref("InputCall"), ref("InputCallOutput")],
    },
    "InputMessage": {
        "type": "object",
        "properties": {
            "type": {"type": "string", "const": "message"},
            "role": {"type": "string", "enum": ["user", "assistant", "system", "developer"]},
            "content": {"anyOf": [_TEXT, _list_of(ref("InputPart"))]},
        },
        "required": ["role", "content"],
    },
    "InputCall": _one(
        "A call of a function.", "function_call", call_id=_ID, name=_ID, arguments=_JSON_TEXT
    ),
    "InputCallOutput": _one(
        "What a function gave.",
        "function_call_output",
        call_id=_ID,
        output={"anyOf": [_TEXT, _list_of(ref("InputPart"))]},
    ),
    "InputPart": {
        "description": "A part of an item of input.",
        "anyOf": [
            ref("InputText"),
            ref("OutputText"),
            ref("InputImage"),
            ref("InputFile"),
            ref("AudioPart"),
        ],
    },
    "InputText": _one("Text.", "input_text", text=_TEXT),
    "OutputText": _one("What a model said.", "output_text", text=_TEXT),
    "InputImage": _one("A picture.", "input_image", image_url=_URL),
    "InputFile": {
        "type": "object",
        "description": "A file, as in a `FilePart`.",
        "properties": {"type": {"type": "string", "const": "input_file"}, **_FILE},
        "required": ["type"],
    },
    "FunctionTool": {
        "type": "object",
        "description": "A function that the model may call; `parameters` is a JSON schema.",
        "properties": {
            "type": {"type": "string", "const": "function"},
            "name": _ID,
            "description": _TEXT,
            "parameters": _MORE,
            "strict": {"type": "boolean"},
        },
        "required": ["type", "name"],
    },
}
"""What the fields below hold, by name."""

FIELDS: Final[Mapping[str, Mapping[str, Schema]]] = {
    "GenerationRequest": {
        "prompt": {**_TEXT, "minLength": 1},
        "messages": _list_of(ref("ChatMessage"), 1),
        "stream": {**_TEXT, **NAME},
        "key": {**_TEXT, **KEY},
    },
    "CompletionRequest": {
        "messages": _list_of(ref("ChatMessage"), 1),
        "n": {"anyOf": [{"type": "integer", "const": 1}, {"type": "null"}]},
    },
    "ResponseRequest": {
        "input": {"anyOf": [_TEXT, _list_of(ref("InputItem"))]},
        "tools": _list_of(ref("FunctionTool")),
    },
    "ChatRequest": {
        "id": {**_TEXT, **NAME},
        "messages": _list_of(ref("UIMessageAsked"), 1),
        "trigger": {
            "enum": ["submit-message", "regenerate-message"],
            "description": "`submit-message` unless given.",
        },
    },
    "ConversationRequest": {"messages": _list_of(ref("UIMessageAsked"), 1)},
    "RunRequest": {
        "threadId": {**_TEXT, **NAME},
        "messages": _list_of(ref("AgentMessage"), 1),
        "tools": _list_of(ref("AgentTool")),
    },
    "MessagesRequest": {"messages": _list_of(ref("ChatMessage"), 1)},
}
"""Fields of the models whose schemas say more than the model does."""

_NEITHER: Final = {"not": {"anyOf": [{"required": ["prompt"]}, {"required": ["messages"]}]}}
REFUSED: Final[Mapping[str, Schema]] = {
    "GenerationRequest": {"anyOf": [_NEITHER, {"required": ["prompt", "messages"]}]},
}
"""What a body must not be. Of ``oneOf`` generators would make a type of its own for each."""

_HELLO: Final = {"role": "user", "content": "Say hello in three languages."}

EXAMPLES: Final[Mapping[str, list[Any]]] = {
    "GenerationRequest": [
        {"prompt": "Write a poem about rivers.", "stream": "team/rivers"},
        {"messages": [_HELLO], "options": {"temperature": 0.2}},
    ],
    "CompletionRequest": [
        {"model": "demo", "messages": [_HELLO], "stream": True},
        {
            "model": "demo",
            "messages": [{"role": "system", "content": "Be brief."}, _HELLO],
            "max_tokens": 200,
        },
    ],
    "ResponseRequest": [
        {"model": "demo", "input": "Say hello in three languages.", "stream": True},
        {"model": "demo", "input": [_HELLO], "instructions": "Be brief."},
    ],
    "ChatRequest": [
        {
            "id": "chat-1",
            "trigger": "submit-message",
            "messages": [
                {"id": "m-1", "role": "user", "parts": [{"type": "text", "text": "Hello"}]}
            ],
        }
    ],
    "ConversationRequest": [
        {
            "messages": [
                {"id": "m-1", "role": "user", "parts": [{"type": "text", "content": "Hello"}]}
            ]
        }
    ],
    "RunRequest": [
        {
            "threadId": "chat-3",
            "runId": "run-1",
            "messages": [{"id": "m-1", "role": "user", "content": "Hello"}],
        }
    ],
    "MessagesRequest": [{"messages": [_HELLO]}],
    "QueryRequest": [{"query": "How does it stream?"}],
}
"""Bodies that a hub takes as it comes, by the name of their schema."""

STREAM_EXAMPLES: Final[Mapping[str, list[Any]]] = {
    "application/json": [
        {"type": "message", "role": "user", "text": "Hello"},
        {"reading": 1, "unit": "°C"},
    ],
}
"""Bodies of appends, by content type."""
