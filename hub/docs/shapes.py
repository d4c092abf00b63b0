"""Named JSON Schemas of events and response bodies: derived from the code, or written here.

A later version of the hub may write more fields than these schemas list. Request bodies may only
have more fields where their model allows it.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from pydantic import BaseModel, TypeAdapter

from hub.docs import requests
from hub.docs.codes import CODES
from hub.docs.json_schema import (
    ANY,
    BOOLEAN,
    NUMBER,
    OBJECT,
    PLACE,
    POSITION_PATTERN,
    PREFIX,
    TEXT,
    TEXT_OR_NULL,
    Schema,
    array,
    const,
    nullable,
    object_of,
    ref,
)
from hub.domain import events
from hub.domain.generation import State
from hub.domain.integers import EXACT
from hub.streams.write_permissions import CONTROL

__all__ = ["EVENTS", "RESPONSES", "STATE", "described", "of_model", "plain"]

POSITION: Final[Schema] = {"type": "string", "pattern": f"^{POSITION_PATTERN}$"}
STATE: Final[Schema] = {"enum": [state.value for state in State]}


def of_model(name: str, model: type[BaseModel]) -> Iterator[tuple[str, Schema]]:
    """The schema of a request body's model, under a name, and the schemas it refers to."""
    schema = model.model_json_schema(by_alias=True, ref_template=PREFIX + "{model}")
    for inner, definition in schema.pop("$defs", {}).items():
        yield inner.strip("_"), _without_defaults(described(inner.strip("_"), definition))
    known = _without_defaults(described(name, schema))
    yield name, {**known, "examples": requests.EXAMPLES[name]}


def described(name: str, schema: Schema) -> Schema:
    """A model's schema, with what only `hub.docs.requests` knows of it."""
    known = {**plain(schema), **requests.CONDITIONS.get(name, {})}
    for field, said in requests.FIELDS.get(name, {}).items():
        before = known["properties"][field]
        kept = {"default": before["default"]} if before.get("default") is not None else {}
        known["properties"][field] = {**said, **kept}
    return known


def _without_defaults(schema: Schema) -> Schema:
    """A model's schema without its defaults.

    The value of an absent field is not the caller's concern, and openapi-typescript makes a field
    with a default a required one.
    """
    if "properties" not in schema:
        return schema  # an array
    fields = {name: _without_default(field) for name, field in schema["properties"].items()}
    return {**schema, "properties": fields}


def _without_default(field: Mapping[str, Any]) -> Schema:
    return {name: value for name, value in field.items() if name != "default"}


def plain(schema: Any) -> Any:
    """A schema of pydantic's without titles and with descriptions in Markdown."""
    if isinstance(schema, list):
        return [plain(item) for item in schema]
    if not isinstance(schema, dict):
        return schema
    result = {}
    for name, value in schema.items():
        if name == "$ref":
            result[name] = PREFIX + value.removeprefix(PREFIX).strip("_")
        elif name == "description" and isinstance(value, str):
            result[name] = _markdown(value)
        elif not (name == "title" and isinstance(value, str)):
            result[name] = plain(value)
    return result


def _markdown(docstring: str) -> str:
    return " ".join(docstring.replace("``", "`").split())


def _of_event(kind: type) -> Schema:
    """An event as it is written: without the fields that are ``None``, and open to more fields."""
    schema = plain(TypeAdapter(kind).json_schema(ref_template=PREFIX + "{model}"))
    required = {*schema.get("required", ()), *_ALWAYS.get(kind, ())}
    fields: dict[str, Schema] = (
        {"type": const(events.TYPE_OF[kind])} if kind in events.TYPE_OF else {}
    )
    for name, field in schema["properties"].items():
        if name not in ("extra", "refusal"):
            # A field that is there has a value.
            values = [one for one in field.get("anyOf", [field]) if one != {"type": "null"}]
            fields[name if name in required else f"{name}?"] = _without_default(values[0])
    return object_of(_markdown(kind.__doc__ or ""), {**fields, **_MORE_FIELDS.get(kind, {})})


_ALWAYS: Final[Mapping[type, Iterable[str]]] = {events.Finished: ("reason",)}
"""Fields with a default that an event must have all the same."""

_AT: Final = object_of(
    "Where it was in the reply: how much text and how many calls came before it.",
    {"text?": NUMBER, "calls?": NUMBER},
)
_OWNED: Final = {"format?": TEXT, "index?": NUMBER, "at?": _AT, "upstream?": TEXT}
_LISTS: Final[Mapping[str, Schema]] = {
    "reasoning_details?": array(
        object_of(
            "Reasoning to send back to its provider, in that provider's format.",
            {
                "type": TEXT,
                **_OWNED,
                **dict.fromkeys(("id?", "text?", "signature?", "data?", "summary?"), ANY),
                **dict.fromkeys(("media?", "expires_at?"), NUMBER),
                "media_type?": TEXT,
            },
        )
    ),
    "executed_tools?": array(
        object_of(
            "A tool that the provider ran itself.",
            {
                **dict.fromkeys(("name", "arguments", "id?"), TEXT),
                **_OWNED,
                **dict.fromkeys(("output?", "item?"), ANY),
                "error?": BOOLEAN,
                "pending?": {**BOOLEAN, "description": "The client is to run it: see `item`."},
            },
        )
    ),
    "annotations?": array(
        object_of(
            "A citation; its fields are under the name of its type.",
            {
                "type": TEXT,
                "url_citation?": object_of(
                    "",
                    {
                        **dict.fromkeys(("url", "title?", "content?"), TEXT),
                        **dict.fromkeys(("start_index?", "end_index?"), NUMBER),
                    },
                ),
            },
        )
    ),
}
_HELD: Final = {**BOOLEAN, "description": "The queued prompts wait until somebody sends one."}
_OF_REPLY: Final = {"service_tier?": TEXT, "system_fingerprint?": TEXT}
"""What the provider says about the whole reply."""

_SCALAR: Final[Schema] = {"type": ["string", "integer", "null"]}
_MORE_FIELDS: Final[Mapping[type, Mapping[str, Schema]]] = {
    events.Delta: {
        "refusal?": {**BOOLEAN, "description": "The text is a refusal instead of a reply."},
        "media?": array(
            object_of(
                "An image or audio that the model made.",
                {
                    "index": NUMBER,
                    **dict.fromkeys(("media_type", "data?", "url?", "id?"), TEXT),
                    **dict.fromkeys(("piece?", "preview?"), BOOLEAN),
                },
            )
        ),
        "logprobs?": array(
            object_of(
                "A token of this delta's text.",
                {
                    "token": TEXT,
                    "logprob": {"type": ["number", "null"]},
                    "bytes?": ANY,
                    "top_logprobs?": array(object_of("", {})),
                },
            )
        ),
        **_LISTS,
    },
    events.Failed: {
        "provider?": object_of(
            "The provider's own account of why it refused, without keys.",
            {
                "status?": NUMBER,
                "message?": TEXT,
                **dict.fromkeys(("code?", "type?", "param?"), _SCALAR),
            },
        ),
        "retry_after?": {
            "type": "number",
            "description": "How many seconds the provider asks to wait.",
        },
        "attempts?": {**NUMBER, "description": "How many requests the hub made, if several."},
        "param?": {**TEXT, "description": "The field of the request that the hub refused."},
        "held?": _HELD,
    },
    events.Finished: _OF_REPLY,
    events.Queued: {"upstream?": TEXT, "model?": TEXT, "place?": PLACE},
    events.ToolCall: {"index?": {**NUMBER, "exclusiveMaximum": EXACT}},
    events.Dropped: {"held?": _HELD},
    events.Cancelled: {
        "held?": _HELD,
        "reason?": {**const("steered"), "description": "It made way for another prompt."},
    },
}
"""Fields that `hub.domain.provider_fields`, `hub.domain.annotations` and `hub.domain.failures`
add to events."""


_SHARED: Final[Mapping[str, Schema]] = {
    "id": TEXT,
    "stream": TEXT,
    "title": TEXT_OR_NULL,
    "until": {**TEXT, "description": "`live`, or the position up to which it shows the stream."},
    "created_by": {**TEXT_OR_NULL, "description": "Who made it: a user, or `key:` and an id."},
    "created_at": TEXT,
    "expires_at": TEXT_OR_NULL,
}
_SHARE: Final = object_of("A share link, without its secret.", _SHARED)

_KINDS: Final = [ref(kind.__name__) for kind in events.TYPE_OF]


def _no_event(*others: str) -> Schema:
    """An object whose type is neither that of an event nor one of these."""
    typed = {"properties": {"type": {"enum": [*events.TYPE_OF.values(), *others]}}}
    return {"type": "object", "not": {**typed, "required": ["type"]}}


EVENTS: Final[Mapping[str, Schema]] = {
    **{
        kind.__name__: _of_event(kind)
        for kind in (events.Usage, events.Seconds, events.ToolCall, *events.TYPE_OF)
    },
    "Retrying": object_of(
        "The hub repeats a failed request, or sends it to another upstream. No part of the reply "
        "has arrived yet.",
        {
            "type": const("retrying"),
            "attempt": NUMBER,
            "after": {"type": "number"},
            **dict.fromkeys(("generation", "code", "message", "upstream?"), TEXT),
        },
    ),
    "Event": {
        "description": "One record of a stream of events. Any other JSON object is one too.",
        "anyOf": [*_KINDS, ref("Retrying"), _no_event("retrying")],
    },
    "EventAsked": {
        "description": "An event to append. Any other JSON object is one too, except those of the "
        "types of what the hub sends between events.",
        "anyOf": [*_KINDS, _no_event(*sorted(CONTROL))],
    },
    "Position": {**POSITION, "description": "A place in a stream: opaque text to send back as is."},
}

_ERROR_CODE: Final[Schema] = {
    "type": "string",
    "anyOf": [{"enum": [*CODES, "page_not_built"]}, {"pattern": "^http_[0-9]{3}$"}],
}

_USAGE: Final = object_of(
    "",
    {
        **dict.fromkeys(("prompt_tokens", "completion_tokens", "total_tokens"), NUMBER),
        "completion_tokens_details?": object_of("", {"reasoning_tokens": NUMBER}),
        "prompt_tokens_details?": object_of("", {"cached_tokens": NUMBER}),
    },
)
_FINISH: Final[Schema] = {"enum": ["stop", "length", "tool_calls", "content_filter"]}
_KIND: Final[Schema] = {"enum": ["function", "custom"]}
_CALL: Final = {
    "function?": object_of("", {"arguments": TEXT, "name?": TEXT}),
    "custom?": object_of("", {"input": TEXT, "name?": TEXT}),
    "extra_content?": object_of("Send this back to the provider with the call.", {}),
}


def _completion(description: str, kind: str, choice: Mapping[str, Schema], usage: Schema) -> Schema:
    choices = array(object_of("", {"index": NUMBER, **choice}))
    envelope = {"id": TEXT, "object": const(kind), "created": NUMBER, "model": TEXT}
    return object_of(description, {**envelope, "choices": choices, "usage?": usage, **_OF_REPLY})


RESPONSES: Final[Mapping[str, Schema]] = {
    "Error": object_of(
        "An error: a code for programs and a sentence for people.",
        {"error": object_of("", {"code": _ERROR_CODE, "message": TEXT})},
    ),
    "OpenAIError": object_of(
        "An error in OpenAI's format.",
        {
            "error": object_of(
                "",
                {
                    "message": TEXT,
                    "type": {"enum": ["invalid_request_error", "upstream_error", "server_error"]},
                    "param": TEXT_OR_NULL,
                    "code": _ERROR_CODE,
                },
            )
        },
    ),
    "Sentence": object_of(
        "An error as a sentence and a code.", {"error": TEXT, "code": _ERROR_CODE}
    ),
    "OpenAIResponse": object_of(
        "A response in the format of OpenAI's Responses.",
        {
            "id": TEXT,
            "object": const("response"),
            "created_at": NUMBER,
            "status": {
                "enum": ["queued", "in_progress", "completed", "incomplete", "failed", "cancelled"]
            },
            "error": nullable(
                object_of(
                    "", {"code": TEXT, "message": TEXT, "param?": TEXT_OR_NULL, "type?": TEXT}
                )
            ),
            "incomplete_details": nullable(object_of("", {"reason": TEXT})),
            "model": TEXT,
            "output": array(object_of("", {"id": TEXT, "type": TEXT, "status": TEXT})),
            "usage": nullable(
                object_of(
                    "", dict.fromkeys(("input_tokens", "output_tokens", "total_tokens"), NUMBER)
                )
            ),
        },
    ),
    "InputItems": object_of(
        "A page of a response's input items, in OpenAI's format.",
        {
            "object": const("list"),
            "data": array(OBJECT),
            "first_id": TEXT_OR_NULL,
            "last_id": TEXT_OR_NULL,
            "has_more": BOOLEAN,
        },
    ),
    "Deleted": object_of("", {"id": TEXT, "object": const("response"), "deleted": {"const": True}}),
    "ChatAddress": object_of("The address of a reply.", {"streamUrl": TEXT}),
    "Me": object_of(
        "Whoever makes a request, and how they could sign in.",
        {
            **dict.fromkeys(("user", "tenant", "key", "expires"), TEXT_OR_NULL),
            "signed_in": {
                **TEXT_OR_NULL,
                "description": "How: `link`, `header`, `key`, `token`, `application`, or the name "
                "of another way. `null` if they have not.",
            },
            "allowed": {**BOOLEAN, "description": "Whether they may do anything."},
            "folder": {
                **TEXT_OR_NULL,
                "description": "What the names of conversations begin with in which they may take "
                "part: empty, or with a slash at the end. `null` if there are none.",
            },
            "conversations": {
                **TEXT_OR_NULL,
                "description": "The stream in which they keep their list of conversations, which "
                "nobody else can read. `null` if they may keep none.",
            },
            "methods": array(
                object_of(
                    "A way to sign in. Its URL is relative to the hub's root; it is `null` if one "
                    "begins elsewhere.",
                    {"kind": TEXT, "label": TEXT, "url": TEXT_OR_NULL},
                )
            ),
        },
    ),
    "SignedOut": object_of("Where to go next, relative to the hub's root.", {"url": TEXT}),
    "Generation": object_of(
        "One run of an upstream for one prompt. While it runs, `usage` is its usage so far.",
        {
            "id": TEXT,
            "stream": TEXT,
            "position": nullable(POSITION),
            "upstream": TEXT,
            "model": TEXT_OR_NULL,
            "state": STATE,
            "started_at": TEXT,
            "reason?": {"enum": ["stop", "length", "tool", "filter"]},
            "code?": TEXT,
            "message?": TEXT,
            "usage?": ref("Usage"),
            "seconds?": ref("Seconds"),
            "ended_at?": TEXT_OR_NULL,
        },
    ),
    "Queue": object_of(
        "The prompts that wait in a stream, the next one first. If `held`, they wait until "
        "somebody sends one or another answer finishes.",
        {"prompts": array(ref("Queued")), "held": BOOLEAN},
    ),
    "Streams": object_of(
        "A page of streams, ordered by name.",
        {
            "streams": array(
                object_of(
                    "",
                    {
                        **dict.fromkeys(("name", "content_type"), TEXT),
                        "closed": BOOLEAN,
                        "tail": POSITION,
                        "running": TEXT_OR_NULL,
                    },
                )
            ),
            "more": BOOLEAN,
            "next?": TEXT,
        },
    ),
    "Share": _SHARE,
    "NewShare": object_of(
        "A new share link.",
        {
            **_SHARED,
            "url": {
                **TEXT,
                "description": "Its address on the hub, which is shown only this once. `sl_` and "
                "its last part is the credential that a program presents.",
            },
        },
    ),
    "Shares": object_of(
        "A page of share links, ordered by id.", {"shares": array(ref("Share")), "more": BOOLEAN}
    ),
    "Ticket": object_of(
        "A ticket for one stream.",
        {
            "ticket": TEXT,
            "expires_at": TEXT,
            "url": {**TEXT, "description": "The stream's address on the hub, with the ticket."},
        },
    ),
    "Model": object_of(
        "An upstream in OpenAI's format for a model.",
        {"id": TEXT, "object": const("model"), "created": NUMBER, "owned_by": TEXT},
    ),
    "Models": object_of(
        "The upstreams, the default first.", {"object": const("list"), "data": array(ref("Model"))}
    ),
    "Completion": _completion(
        "A whole reply, in the format of OpenAI's chat completions.",
        "chat.completion",
        {
            "message": object_of(
                "",
                {
                    "role": const("assistant"),
                    "content": TEXT_OR_NULL,
                    "reasoning_content?": TEXT,
                    "tool_calls?": array(object_of("", {"id": TEXT, "type": _KIND, **_CALL})),
                    **_LISTS,
                },
            ),
            "finish_reason": _FINISH,
        },
        _USAGE,
    ),
    "CompletionChunk": _completion(
        "A chunk of a reply; `data: [DONE]` follows the last one.",
        "chat.completion.chunk",
        {
            "delta": object_of(
                "",
                {
                    "role?": const("assistant"),
                    "content?": TEXT_OR_NULL,
                    "reasoning_content?": TEXT,
                    "tool_calls?": array(
                        object_of("", {"index": NUMBER, "id?": TEXT, "type?": _KIND, **_CALL})
                    ),
                    **_LISTS,
                },
            ),
            "finish_reason": nullable(_FINISH),
        },
        nullable(_USAGE),
    ),
    "Piece": object_of(
        "A piece of the tutorial's streams: state 0 has text, 1 is the end, -1 is an error.",
        {
            "state": {"enum": [0, 1, -1]},
            "data": array(ANY),
            **dict.fromkeys(("text", "message", "tt?"), TEXT),
        },
    ),
}
