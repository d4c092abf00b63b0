"""A JSON Schema in words: what a value is, and the fields of an object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hub.docs.html import Markup, el, joined, prose

__all__ = ["definition", "kind"]


def definition(schema: Mapping[str, Any], *, hide: tuple[str, ...] = ()) -> Markup:
    """The fields of an object, or what else a schema allows."""
    properties = schema.get("properties", {})
    needed = schema.get("required", ())
    rows = [
        _field(name, held, needed=name in needed)
        for name, held in properties.items()
        if name not in hide
    ]
    if rows:
        return el("dl", *rows)
    if "oneOf" in schema:
        return el("dl", *(_member(one) for one in schema["oneOf"]))
    return Markup("") if properties or "type" in schema else el("p", kind(schema))


def _field(name: str, schema: Mapping[str, Any], *, needed: bool) -> Markup:
    word = Markup("") if needed else el("small", " optional")
    told = [kind(schema)]
    if "default" in schema and schema["default"] not in (None, {}):
        told.append(joined("; unless given: ", el("code", json.dumps(schema["default"]))))
    if "description" in schema:
        told.append(joined(". ", prose(schema["description"])))
    told += [definition(inner) for inner in _inside(schema) if inner.get("properties")]
    return el("div", el("dt", el("code", name), word), el("dd", *told))


def _member(schema: Mapping[str, Any]) -> Markup:
    """One of those that a `type` tells apart."""
    fields = definition(schema, hide=("type",)) if len(schema["properties"]) > 1 else ""
    return el("div", el("dt", el("code", schema["properties"]["type"]["const"])), el("dd", fields))


def _inside(schema: Mapping[str, Any]) -> list[Mapping[str, Any]]:
    """The objects that a value may be, or be a list of."""
    return [one.get("items", one) for one in schema.get("anyOf", [schema])]


def kind(schema: Mapping[str, Any]) -> Markup:
    """What a value is, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return el("a", name, href=f"#schema-{name}")
    if "x-data" in schema:
        return joined("events, the data of each a ", kind(schema["x-data"]))
    if "const" in schema:
        return el("code", json.dumps(schema["const"]))
    if "enum" in schema:
        return _either([el("code", json.dumps(one)) for one in schema["enum"]])
    if "anyOf" in schema:
        return _either([kind(one) for one in schema["anyOf"]])
    if isinstance(schema.get("type"), list):
        return _either([Markup(one) for one in schema["type"]])
    if schema.get("type") == "array":
        return joined("array of ", kind(schema.get("items", {})))
    if "not" in schema:
        return joined("any other object")
    return joined(schema.get("type", "anything"))


def _either(words: list[Markup]) -> Markup:
    """Alternatives: of more than a dozen only the first, for they stand elsewhere."""
    shown = words if len(words) <= 12 else [*words[:6], Markup("…")]
    return joined(*(joined(" or ", one) if n else one for n, one in enumerate(shown)))
