"""A JSON Schema as HTML: the kind of a value, and the fields of an object."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

from hub.docs.html import Markup, el, joined, prose

__all__ = ["definition", "kind"]


def definition(schema: Mapping[str, Any], *, hide: tuple[str, ...] = ()) -> Markup:
    """The fields of an object or the members of a union, otherwise the kind of the value."""
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    rows = [
        _field(name, field, required=name in required)
        for name, field in properties.items()
        if name not in hide
    ]
    if rows:
        return el("dl", *rows)
    if "oneOf" in schema:
        return el("dl", *(_member(one) for one in schema["oneOf"]))
    return Markup("") if properties or "type" in schema else el("p", kind(schema))


def _field(name: str, schema: Mapping[str, Any], *, required: bool) -> Markup:
    optional = Markup("") if required else el("small", " optional")
    parts = [kind(schema)]
    if schema.get("default") not in (None, {}):
        parts.append(joined("; default: ", el("code", json.dumps(schema["default"]))))
    if "description" in schema:
        parts.append(joined(". ", prose(schema["description"])))
    for inner in schema.get("anyOf", [schema]):
        items = inner.get("items", inner)
        if items.get("properties"):
            parts.append(definition(items))
    return el("div", el("dt", el("code", name), optional), el("dd", *parts))


def _member(schema: Mapping[str, Any]) -> Markup:
    """A member of a union that `type` tells apart."""
    fields = definition(schema, hide=("type",)) if len(schema["properties"]) > 1 else ""
    return el("div", el("dt", el("code", schema["properties"]["type"]["const"])), el("dd", fields))


def kind(schema: Mapping[str, Any]) -> Markup:
    """The kind of a value, in a few words."""
    if "$ref" in schema:
        name = schema["$ref"].rpartition("/")[2]
        return el("a", name, href=f"#schema-{name}")
    if "x-data" in schema:
        return joined("events, each with the data ", kind(schema["x-data"]))
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
    if "not" in schema and schema.get("type") == "object":
        return Markup("any other object")
    return joined(schema.get("type", "anything"))


def _either(words: list[Markup]) -> Markup:
    """Alternatives; of more than a dozen only the first few, since they are listed elsewhere."""
    shown = words if len(words) <= 12 else [*words[:6], Markup("…")]
    return joined(*(joined(" or ", one) if n else one for n, one in enumerate(shown)))
