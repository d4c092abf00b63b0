"""The data model of the HTTP documentation: groups of operations, each one method of one route.

It holds only what the code itself cannot tell.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final, Literal

from hub.docs.json_schema import ANY, POSITION_PATTERN, TEXT, Schema, ref
from hub.domain.defaults import NAME_LENGTH
from hub.domain.stream_names import NAME_PATTERN, RESERVED
from hub.generations.idempotency import KEY_LENGTH

__all__ = [
    "BYTES",
    "EVENT_STREAM",
    "FROM",
    "JSON",
    "KEY",
    "NAME",
    "OFFSET",
    "ErrorFormat",
    "Group",
    "Operation",
    "Parameter",
    "Response",
    "events_of",
    "group",
    "header",
    "path",
    "query",
]

ErrorFormat = Literal["hub", "openai", "page", "sentence", "text"]
"""How errors are written: the hub's JSON, OpenAI's JSON, a page, one sentence in JSON, or plain
text."""

JSON: Final = "application/json"
EVENT_STREAM: Final = "text/event-stream"

NAME: Final[Mapping[str, Any]] = {
    "pattern": f"^{NAME_PATTERN}$",
    "maxLength": NAME_LENGTH,
    "not": {"pattern": f"^{RESERVED}(/|$)"},
    "examples": ["team/rivers"],
}
"""Schema keywords of a stream's name."""
OFFSET: Final[Mapping[str, Any]] = {"pattern": f"^(-1|now|{POSITION_PATTERN})$"}
"""Schema keywords of an offset in the Durable Streams Protocol."""
FROM: Final[Mapping[str, Any]] = {"pattern": f"^(start|now|{POSITION_PATTERN})$"}
"""Schema keywords of the place in a stream to start from."""
KEY: Final[Mapping[str, Any]] = {"minLength": 1, "maxLength": KEY_LENGTH}
"""Schema keywords of an idempotency key."""

PARAMETER_LENGTH: Final = 100
"""Characters of a parameter without other limits. A line of a request's head has at most 8190
bytes: six of them fit into it, even if each character takes twelve bytes (``%F0%9F%A6%8A``)."""

BYTES: Final = ANY
"""In OpenAPI 3.1 a binary body has a content type and no schema."""


def events_of(name: str) -> Schema:
    """Server-sent events whose data has this schema, which OpenAPI 3.1 cannot express."""
    return {**TEXT, "description": f"The data of each event is a `{name}`.", "x-data": ref(name)}


@dataclass(frozen=True, slots=True)
class Parameter:
    """A parameter of a request, in its path, query or headers."""

    where: Literal["path", "query", "header"]
    name: str
    description: str
    schema: Schema


def _parameter(
    where: Literal["path", "query", "header"], name: str, description: str, **schema: Any
) -> Parameter:
    limited = {"enum", "maxLength", "pattern", "type"} & schema.keys()
    limits = {} if limited else {"maxLength": PARAMETER_LENGTH}
    return Parameter(where, name, description, {**TEXT, **limits, **schema})


path = partial(_parameter, "path")
query = partial(_parameter, "query")
header = partial(_parameter, "header")


@dataclass(frozen=True, slots=True)
class Response:
    """One successful response: its schemas by content type, its headers with descriptions."""

    status: int
    description: str
    content: Mapping[str, Schema] = field(default_factory=dict)
    headers: Mapping[str, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Operation:
    """One method of one route; ``path`` is the router's, without its patterns.

    ``errors`` are the codes of this operation, separated by spaces; those that any request can
    cause are added. Their responses may have the ``error_headers``.
    """

    method: str
    path: str
    title: str
    description: str = ""
    parameters: tuple[Parameter, ...] = ()
    body: Mapping[str, Schema] = field(default_factory=dict)
    responses: tuple[Response, ...] = ()
    errors: str = ""
    error_format: ErrorFormat = "hub"
    error_headers: Mapping[str, str] = field(default_factory=dict)
    public: bool = False
    """It needs no credential."""


@dataclass(frozen=True, slots=True)
class Group:
    """Operations that belong together, shown under one heading."""

    name: str
    description: str
    operations: tuple[Operation, ...]


def group(name: str, description: str, *operations: Operation) -> Group:
    return Group(name, description, operations)
