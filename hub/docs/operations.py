"""The nouns of a description: an operation is one method of one route.

They hold only what the code cannot say by itself. A schema is a JSON Schema of the dialect
2020-12, or a `Ref` to one that has a name in `hub.docs.shapes`.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, Literal

from hub.domain.defaults import NAME_LENGTH
from hub.domain.stream_names import NAME_PATTERN
from hub.generations.idempotency import KEY_LENGTH

__all__ = [
    "BYTES",
    "EVENT_STREAM",
    "FROM",
    "JSON",
    "KEY",
    "NAME",
    "OFFSET",
    "TEXT",
    "Answer",
    "Operation",
    "Parameter",
    "Schema",
    "Shape",
    "events_of",
    "header",
    "path",
    "query",
    "ref",
]

Schema = Mapping[str, Any]
Where = Literal["path", "query", "header"]
Shape = Literal["hub", "openai", "sentence", "text"]
"""How an error is written: the hub's own, OpenAI's, one sentence in JSON, or as text."""

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

TEXT: Final[Schema] = {"type": "string"}
NAME: Final[Mapping[str, Any]] = {
    "pattern": f"^{NAME_PATTERN}$",
    "maxLength": NAME_LENGTH,
    "examples": ["team/rivers"],
}
"""What the name of a stream is like."""
OFFSET: Final[Mapping[str, Any]] = {"pattern": "^(-1|now|[0-9]{16}_[0-9]{16})$"}
"""What an offset of the Durable Streams Protocol is like."""
FROM: Final[Mapping[str, Any]] = {"pattern": "^(start|now|[0-9]{16}_[0-9]{16})$"}
"""Where to begin in a stream."""
KEY: Final[Mapping[str, Any]] = {"minLength": 1, "maxLength": KEY_LENGTH}
"""What an idempotency key is like."""

BYTES: Final[Schema] = {}
"""Anything: in OpenAPI 3.1 a body of bytes has a content type and no schema."""


def ref(name: str) -> Schema:
    """A schema that has a name."""
    return {"$ref": f"#/components/schemas/{name}"}


def events_of(name: str) -> Schema:
    """Server-sent events whose data has this schema; OpenAPI 3.1 has no word for that."""
    return {**TEXT, "description": f"The data of each event is a `{name}`.", "x-data": ref(name)}


@dataclass(frozen=True, slots=True)
class Parameter:
    """What a request may say besides its body."""

    name: str
    where: Where
    says: str
    schema: Schema = field(default_factory=lambda: TEXT)


def path(name: str, says: str, **schema: Any) -> Parameter:
    return Parameter(name, "path", says, {**TEXT, **schema})


def query(name: str, says: str, **schema: Any) -> Parameter:
    return Parameter(name, "query", says, {**TEXT, **schema})


def header(name: str, says: str, **schema: Any) -> Parameter:
    return Parameter(name, "header", says, {**TEXT, **schema})


@dataclass(frozen=True, slots=True)
class Answer:
    """One way in which a request is answered that is no error.

    ``content`` is by content type; ``headers`` say what each header tells.
    """

    status: int
    says: str
    content: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route; ``path`` is as the router has it, its patterns left out.

    ``errors`` are the codes that are its own; what can happen to any request is added. They
    are in the shape that ``wrong`` names, and have some of the headers ``beside`` it.
    """

    method: str
    path: str
    group: str
    title: str
    says: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Schema] = field(default_factory=dict)
    answers: tuple[Answer, ...] = ()
    errors: tuple[str, ...] = ()
    wrong: Shape = "hub"
    beside: Mapping[str, str] = field(default_factory=dict)
