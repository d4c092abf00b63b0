"""Building blocks for JSON Schemas of the dialect 2020-12."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from hub.domain.integers import EXACT

__all__ = [
    "ANY",
    "BOOLEAN",
    "NUMBER",
    "OBJECT",
    "PLACE",
    "POSITION_PATTERN",
    "PREFIX",
    "TEXT",
    "TEXT_OR_NULL",
    "Schema",
    "array",
    "const",
    "enum",
    "nullable",
    "object_of",
    "ref",
    "tagged",
]

Schema = Mapping[str, Any]

PREFIX: Final = "#/components/schemas/"

POSITION_PATTERN: Final = "[0-9]{16}_[0-9]{16}"
"""The form of a place in a stream, within an expression."""

ANY: Final[Schema] = {}
TEXT: Final[Schema] = {"type": "string"}
TEXT_OR_NULL: Final[Schema] = {"type": ["string", "null"]}
NUMBER: Final[Schema] = {"type": "integer", "minimum": 0}
BOOLEAN: Final[Schema] = {"type": "boolean"}
OBJECT: Final[Schema] = {"type": "object"}
PLACE: Final[Schema] = {
    "type": "integer",
    "minimum": 1,
    "exclusiveMaximum": EXACT,
    "description": "In a queue; 1 is the next one.",
}


def ref(name: str) -> Schema:
    return {"$ref": PREFIX + name}


def array(items: Schema, *, least: int = 0) -> Schema:
    return {"type": "array", "items": items, **({"minItems": least} if least else {})}


def nullable(schema: Schema) -> Schema:
    return {"anyOf": [schema, {"type": "null"}]}


def const(value: str) -> Schema:
    return {"type": "string", "const": value}


def enum(*values: str) -> Schema:
    return {"type": "string", "enum": list(values)}


def object_of(description: str, fields: Mapping[str, Schema], **keywords: Any) -> Schema:
    """An object with these fields; a name that ends in ``?`` is optional."""
    schema: dict[str, Any] = {"description": description} if description else {}
    schema |= {"type": "object"}
    schema["properties"] = {name.removesuffix("?"): field for name, field in fields.items()}
    if required := [name for name in fields if not name.endswith("?")]:
        schema["required"] = required
    return {**schema, **keywords}


def tagged(description: str, tag: str, fields: Mapping[str, Schema], **keywords: Any) -> Schema:
    """An object that its ``type`` tells from others."""
    return object_of(description, {"type": const(tag), **fields}, **keywords)
