"""JSON Schemas with names: made from models and events where there are any, else written here.

What the hub writes may have more fields than are told of here, in a later version; what it
takes may not, where its model says so.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from hub.docs import requests
from hub.docs.codes import CODES
from hub.docs.operations import Schema, ref
from hub.domain import events
from hub.domain.generation import State

__all__ = [
    "ANSWERS",
    "EVENTS",
    "NUMBER",
    "POSITION",
    "TEXT",
    "TRUTH",
    "a_list",
    "const",
    "nullable",
    "of_model",
    "plain",
    "thing",
]

PREFIX: Final = "#/components/schemas/"

TEXT: Final[Schema] = {"type": "string"}
NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}
TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
TRUTH: Final[Schema] = {"type": "boolean"}
POSITION: Final[Schema] = {"type": "string", "pattern": "^[0-9]{16}_[0-9]{16}$"}


def a_list(schema: Schema) -> Schema:
    return {"type": "array", "items": schema}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def const(value: str) -> Schema:
    return {"type": "string", "const": value}


def thing(says: str, required: Mapping[str, Schema], optional: Mapping[str, Schema] = {}) -> Schema:
    """An object with these fields, and maybe others."""
    shown: dict[str, Any] = {"description": says} if says else {}
    shown |= {"type": "object", "properties": {**required, **optional}}
    return {**shown, "required": list(required)} if required else shown


def of_model(name: str, model: type[BaseModel]) -> Iterator[tuple[str, Schema]]:
    """The schema of a body that a model checks, under a name, and those that it refers to."""
    made = model.model_json_schema(by_alias=True, ref_template=PREFIX + "{model}")
    for inner, schema in made.pop("$defs", {}).items():
        yield inner.strip("_"), _as_asked(plain(schema))
    shown = _as_asked(plain(made))
    shown["properties"].update(requests.FIELDS.get(name, {}))
    if name in requests.REFUSED:
        shown["not"] = requests.REFUSED[name]
    yield name, {**shown, "examples": requests.EXAMPLES[name]}


def _as_asked(schema: dict[str, Any]) -> dict[str, Any]:
    """A model's schema without its defaults.

    What a field is that is left out is not the caller's concern. And a field with a default is
    one that must be there, to those who write types from a schema (openapi-typescript).
    """
    fields = {
        name: {word: value for word, value in held.items() if word != "default"}
        for name, held in schema["properties"].items()
    }
    return {**schema, "properties": fields}


def plain(schema: Any) -> Any:
    """A schema as pydantic makes it, without its titles and in the documents' own words."""
    if isinstance(schema, list):
        return [plain(held) for held in schema]
    if not isinstance(schema, dict):
        return schema
    shown = {}
    for name, held in schema.items():
        if name == "$ref":
            shown[name] = PREFIX + held.removeprefix(PREFIX).strip("_")
        elif name == "description" and isinstance(held, str):
            shown[name] = " ".join(held.replace("``", "`").split())
        elif not (name == "title" and isinstance(held, str)):
            shown[name] = plain(held)
    return shown


def _of_event(kind: type) -> Schema:
    """An event as it is written: what holds nothing is left out, more fields are kept."""
    made = plain(TypeAdapter(kind).json_schema(ref_template=PREFIX + "{model}"))
    made.pop("$defs", None)
    hidden = ("extra", "refusal")
    fields = {name: _told(held) for name, held in made["properties"].items() if name not in hidden}
    needed = made.get("required", [])
    if (word := events.TYPE_OF.get(kind)) is not None:
        fields = {"type": const(word), **fields}
        needed = ["type", *needed]
    if kind is events.Failed:
        fields |= _FAILED
    if kind is events.Finished:
        fields |= _FINISHED
    if kind is events.Delta:
        fields |= _DELTA
    about = " ".join((kind.__doc__ or "").replace("``", "`").split())
    return thing(about, {n: fields[n] for n in needed}, fields)


_FAILED: Final = {
    "provider": thing(
        "What the provider itself said of what it refused, without keys.",
        {},
        {
            "status": NUMBER,
            "message": TEXT,
            **{name: {"type": ["string", "integer", "null"]} for name in ("code", "type", "param")},
        },
    ),
    "retry_after": {"type": "number", "description": "The seconds that the provider asks for."},
    "attempts": {**NUMBER, "description": "How often the hub asked, if more than once."},
    "param": {**TEXT, "description": "The field of the request that the hub itself refuses."},
}
"""What `hub.domain.failures` adds."""


_AT: Final = thing(
    "What of the answer stood before: characters of its text, and calls.",
    {},
    {"text": NUMBER, "calls": NUMBER},
)
_OWNED: Final[Mapping[str, Schema]] = {"format": TEXT, "index": NUMBER, "at": _AT, "upstream": TEXT}
_SPAN: Final = {"start_index": NUMBER, "end_index": NUMBER, "content": TEXT}
_DELTA: Final[Mapping[str, Schema]] = {
    "refusal": {**TRUTH, "description": "The text is what the model says instead of an answer."},
    "media": a_list(
        thing(
            "A picture or a sound that the model has made.",
            {"media_type": TEXT, "index": NUMBER},
            {"data": TEXT, "url": TEXT, "id": TEXT, "piece": TRUTH, "preview": TRUTH},
        )
    ),
    "executed_tools": a_list(
        thing(
            "A tool that the provider has run itself.",
            {"name": TEXT, "arguments": TEXT},
            {**_OWNED, "id": TEXT, "output": {}, "error": TRUTH, "item": {}},
        )
    ),
    "annotations": a_list(
        thing(
            "What is cited; the fields stand under the name of the type.",
            {"type": TEXT},
            {"url_citation": thing("", {"url": TEXT}, {"title": TEXT, **_SPAN})},
        )
    ),
    "logprobs": a_list(
        thing(
            "A token of the text beside it.",
            {"token": TEXT, "logprob": {"type": ["number", "null"]}},
            {"bytes": {}, "top_logprobs": a_list(thing("", {}))},
        )
    ),
    "reasoning_details": a_list(
        thing(
            "Reasoning that its provider must see again, in that provider's form.",
            {"type": TEXT},
            {**_OWNED, "id": {}, "text": {}, "signature": {}, "data": {}, "summary": {}},
        )
    ),
}
"""What `hub.domain.provider_fields` and `hub.domain.annotations` add."""
_FINISHED: Final = {"service_tier": TEXT, "system_fingerprint": TEXT}
"""What the provider says of the whole answer."""


def _told(schema: Mapping[str, Any]) -> Schema:
    """A field that is there has a value."""
    kept = [one for one in schema.get("anyOf", [schema]) if one != {"type": "null"}]
    return {name: held for name, held in kept[0].items() if name != "default"}


_PARTS: Final = (events.Usage, events.Seconds, events.ToolCall)

RETRYING: Final = thing(
    "A request that failed is made again, or by another upstream: nothing of the reply has come.",
    {
        "type": const("retrying"),
        "generation": TEXT,
        "attempt": NUMBER,
        "after": {"type": "number"},
        "code": TEXT,
        "message": TEXT,
    },
    {"upstream": TEXT},
)

EVENTS: Final[Mapping[str, Schema]] = {
    **{part.__name__: _of_event(part) for part in _PARTS},
    **{kind.__name__: _of_event(kind) for kind in events.TYPE_OF},
    "Retrying": RETRYING,
    "Event": {
        "description": "One record of a stream of events. Any other JSON object is one too.",
        "anyOf": [
            *(ref(kind.__name__) for kind in events.TYPE_OF),
            ref("Retrying"),
            {
                "type": "object",
                "not": {"properties": {"type": {"enum": [*events.TYPE_OF.values(), "retrying"]}},
                        "required": ["type"]},
            },
        ],
    },
    "Position": {
        **POSITION,
        "description": "Where to go on in a stream: opaque text, to be given back as it came.",
    },
}  # fmt: skip

_ERROR_CODE: Final[Schema] = {
    "type": "string",
    "anyOf": [{"enum": [*CODES, "page_not_built"]}, {"pattern": "^http_[0-9]{3}$"}],
}

_USAGE: Final = thing(
    "",
    {"prompt_tokens": NUMBER, "completion_tokens": NUMBER, "total_tokens": NUMBER},
    {
        "completion_tokens_details": thing("", {"reasoning_tokens": NUMBER}),
        "prompt_tokens_details": thing("", {"cached_tokens": NUMBER}),
    },
)
_FINISH: Final[Schema] = {"enum": ["stop", "length", "tool_calls", "content_filter"]}
_FUNCTION: Final = thing("", {"arguments": TEXT}, {"name": TEXT})
_EXTRA: Final = {"extra_content": thing("What goes back to the provider with the call.", {})}
_CUSTOM: Final = thing("", {"input": TEXT}, {"name": TEXT})
_KIND: Final[Schema] = {"enum": ["function", "custom"]}
_PIECE: Final = thing(
    "",
    {"index": NUMBER},
    {"id": TEXT, "type": _KIND, "function": _FUNCTION, "custom": _CUSTOM, **_EXTRA},
)
_CALL: Final = thing(
    "", {"id": TEXT, "type": _KIND}, {"function": _FUNCTION, "custom": _CUSTOM, **_EXTRA}
)
_BESIDE: Final = {
    name: _DELTA[name] for name in ("reasoning_details", "executed_tools", "annotations")
}


def _envelope(kind: str, choice: Schema) -> Mapping[str, Schema]:
    told = {"id": TEXT, "object": const(kind), "created": NUMBER, "model": TEXT}
    return {**told, "choices": a_list(choice)}


ANSWERS: Final[Mapping[str, Schema]] = {
    "Error": thing(
        "What went wrong: the code for programs, one sentence for people.",
        {"error": thing("", {"code": _ERROR_CODE, "message": TEXT})},
    ),
    "OpenAIError": thing(
        "The same in OpenAI's shape.",
        {
            "error": thing(
                "",
                {
                    "message": TEXT,
                    "type": {"enum": ["invalid_request_error", "upstream_error", "server_error"]},
                    "param": {"type": ["string", "null"]},
                    "code": _ERROR_CODE,
                },
            )
        },
    ),
    "Sentence": thing(
        "The same as one sentence, and its code.", {"error": TEXT, "code": _ERROR_CODE}
    ),
    "OpenAIResponse": thing(
        "A response, in the shape of OpenAI's Responses.",
        {
            "id": TEXT,
            "object": const("response"),
            "created_at": NUMBER,
            "status": {
                "enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
            },
            "error": nullable(
                thing("", {"code": TEXT, "message": TEXT}, {"param": TEXT_OR_NULL, "type": TEXT})
            ),
            "incomplete_details": nullable(thing("", {"reason": TEXT})),
            "model": TEXT,
            "output": a_list(thing("", {"id": TEXT, "type": TEXT, "status": TEXT})),
            "usage": nullable(
                thing("", {"input_tokens": NUMBER, "output_tokens": NUMBER, "total_tokens": NUMBER})
            ),
        },
    ),
    "InputItems": thing(
        "A page of what a response was asked, as OpenAI documents it.",
        {
            "object": const("list"),
            "data": {"type": "array", "items": {"type": "object"}},
            "first_id": {"type": ["string", "null"]},
            "last_id": {"type": ["string", "null"]},
            "has_more": {"type": "boolean"},
        },
    ),
    "Deleted": thing("", {"id": TEXT, "object": const("response"), "deleted": {"const": True}}),
    "ChatAddress": thing("Where an answer is to be read.", {"streamUrl": TEXT}),
    "Generation": thing(
        "One run of an upstream for one prompt; the usage of a running one is what it has so far.",
        {
            "id": TEXT,
            "stream": TEXT,
            "position": nullable(POSITION),
            "upstream": TEXT,
            "model": {"type": ["string", "null"]},
            "state": {"enum": [state.value for state in State]},
            "started_at": TEXT,
        },
        {
            "reason": {"enum": ["stop", "length", "tool", "filter"]},
            "code": TEXT,
            "message": TEXT,
            "usage": ref("Usage"),
            "seconds": ref("Seconds"),
            "ended_at": {"type": ["string", "null"]},
        },
    ),
    "Streams": thing(
        "A page of streams, by name.",
        {
            "streams": a_list(
                thing(
                    "",
                    {
                        "name": TEXT,
                        "content_type": TEXT,
                        "closed": TRUTH,
                        "tail": POSITION,
                        "running": {"type": ["string", "null"]},
                    },
                )
            ),
            "more": TRUTH,
        },
    ),
    "Model": thing(
        "An upstream, as OpenAI shows a model.",
        {"id": TEXT, "object": const("model"), "created": NUMBER, "owned_by": TEXT},
    ),
    "Models": thing(
        "The upstreams, the default one first.",
        {
            "object": const("list"),
            "data": a_list(ref("Model")),
        },
    ),
    "Completion": thing(
        "A whole answer, in the shape of OpenAI's chat completions.",
        _envelope(
            "chat.completion",
            thing(
                "",
                {
                    "index": NUMBER,
                    "message": thing(
                        "",
                        {"role": const("assistant"), "content": {"type": ["string", "null"]}},
                        {"reasoning_content": TEXT, "tool_calls": a_list(_CALL), **_BESIDE},
                    ),
                    "finish_reason": _FINISH,
                },
            ),
        ),
        {"usage": _USAGE, **_FINISHED},
    ),
    "CompletionChunk": thing(
        "A piece of an answer; `data: [DONE]` follows the last.",
        _envelope(
            "chat.completion.chunk",
            thing(
                "",
                {
                    "index": NUMBER,
                    "delta": thing(
                        "",
                        {},
                        {
                            "role": const("assistant"),
                            "content": TEXT,
                            "reasoning_content": TEXT,
                            "tool_calls": a_list(_PIECE),
                            **_BESIDE,
                        },
                    ),
                    "finish_reason": {"anyOf": [_FINISH, {"type": "null"}]},
                },
            ),
        ),
        {"usage": nullable(_USAGE), **_FINISHED},
    ),
    "Piece": thing(
        "What the tutorial's routes stream: state 0 brings text, 1 ends, -1 says what went wrong.",
        {"state": {"enum": [0, 1, -1]}, "data": a_list({}), "text": TEXT, "message": TEXT},
        {"tt": TEXT},
    ),
}
