"""Hypothesis strategies for what a JSON Schema of the documents takes, at its limits above all.

They know the keywords that the documents use. What none of them makes up by itself, such as objects
under conditions, is made up and thrown away until the schema takes it.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from hub.domain.integers import EXACT
from tests.support.strategies import json_values, texts

__all__ = ["taken_by"]

Schema = Mapping[str, Any]

_LARGEST = 2**63


def taken_by(document: Schema, name: str) -> st.SearchStrategy[Any]:
    """JSON values that the schema of this name takes."""
    schemas = document["components"]["schemas"]
    held = {"$ref": f"#/components/schemas/{name}", "components": document["components"]}
    return _values(schemas[name], schemas).filter(Draft202012Validator(held).is_valid)


def _values(schema: Schema, schemas: Schema) -> st.SearchStrategy[Any]:
    if "$ref" in schema:
        return _values(schemas[schema["$ref"].rpartition("/")[2]], schemas)
    if "const" in schema:
        return st.just(schema["const"])
    if "enum" in schema:
        return st.sampled_from(schema["enum"])
    if "anyOf" in schema:
        return st.one_of([_values(one, schemas) for one in schema["anyOf"]])
    kinds = schema.get("type", [])
    kinds = [kinds] if isinstance(kinds, str) else kinds
    made = [_of_kind(kind, schema, schemas) for kind in kinds]
    return st.one_of(made) if made else json_values


def _of_kind(kind: str, schema: Schema, schemas: Schema) -> st.SearchStrategy[Any]:
    match kind:
        case "string":
            return _strings(schema)
        case "integer":
            return _integers(schema)
        case "number":
            return st.floats(allow_nan=False, allow_infinity=False) | _integers(schema)
        case "boolean":
            return st.booleans()
        case "null":
            return st.none()
        case "array":
            items = _values(schema.get("items", {}), schemas)
            return st.lists(items, min_size=schema.get("minItems", 0), max_size=3)
    return _objects(schema, schemas)


def _strings(schema: Schema) -> st.SearchStrategy[str]:
    least, most = schema.get("minLength", 0), schema.get("maxLength", 40)
    if "pattern" in schema:
        # In the documents as in ECMA-262 "$" is the end and nothing else.
        pattern = schema["pattern"].replace("$", r"\Z")
        return st.from_regex(pattern).filter(lambda text: least <= len(text) <= most)
    longest = texts.map(lambda text: (text or "x") * most).map(lambda text: text[:most])
    return st.text(_CHARACTERS, min_size=least, max_size=min(most, least + 12)) | longest


_CHARACTERS = st.characters(exclude_categories=["Cs"])


def _integers(schema: Schema) -> st.SearchStrategy[Any]:
    """Integers, some of them written as 2.0."""
    least = schema.get("minimum", schema.get("exclusiveMinimum", -_LARGEST - 1) + 1)
    most = schema.get("maximum", schema.get("exclusiveMaximum", _LARGEST) - 1)
    whole = st.integers(least, most) | st.sampled_from([least, most])
    exact = st.integers(max(least, 1 - EXACT), min(most, EXACT - 1))
    return whole | exact.map(float)


def _objects(schema: Schema, schemas: Schema) -> st.SearchStrategy[dict[str, Any]]:
    properties = schema.get("properties", {})
    required = schema.get("required", ())
    fields = {name: _values(field, schemas) for name, field in properties.items()}
    known = st.fixed_dictionaries(
        {name: fields[name] for name in required},
        optional={name: field for name, field in fields.items() if name not in required},
    )
    depends = schema.get("dependentRequired", {})
    if depends:
        known = known.map(lambda held: _with_what_it_needs(held, depends))
    if schema.get("additionalProperties") is False:
        return known
    others = st.dictionaries(texts.filter(lambda name: name not in fields), json_values, max_size=2)
    return st.builds(lambda held, more: {**more, **held}, known, others)


def _with_what_it_needs(held: dict[str, Any], depends: Schema) -> dict[str, Any]:
    """The object without the fields that need others which it lacks."""
    return {
        name: value
        for name, value in held.items()
        if all(needed in held for needed in depends.get(name, ()))
    }
