"""The keys of a configuration, found by walking over its pydantic models."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from typing import Annotated, Any, Literal, get_args, get_origin

from pydantic import BaseModel

from hub.config.toml_lines import Key

__all__ = ["dotted", "hint", "known_keys", "takes_text", "under"]


def under(kind: Any, step: str | int) -> Any | None:
    """The type of the key ``step`` in a table of type ``kind``; ``None`` if there is none."""
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        field = kind.model_fields.get(str(step))
        return None if field is None else field.annotation
    if get_origin(kind) is dict:
        return get_args(kind)[1]
    return Any if kind is Any else None


def known_keys(model: type[BaseModel], values: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    """Every key; for tables with free names, those under every name in ``values``."""
    for name, field in model.model_fields.items():
        value = values.get(name)
        yield from _known((name,), field.annotation, value if isinstance(value, dict) else {})


def _known(key: tuple[str, ...], kind: Any, values: Mapping[str, Any]) -> Iterator[tuple[str, ...]]:
    if isinstance(kind, type) and issubclass(kind, BaseModel):
        yield from ((*key, *rest) for rest in known_keys(kind, values))
    elif get_origin(kind) is dict and isinstance(get_args(kind)[1], type(BaseModel)):
        for name, table in values.items():
            inner = table if isinstance(table, dict) else {}
            yield from _known((*key, name), get_args(kind)[1], inner)
    else:
        yield key


def takes_text(model: type[BaseModel], key: Key) -> bool:
    """Whether the value of a key is text."""
    kind: Any = model
    for step in key:
        kind = under(kind, step)
    return _is_text(kind)


def _is_text(kind: Any) -> bool:
    if get_origin(kind) is Annotated:
        return _is_text(get_args(kind)[0])
    if get_origin(kind) in (None, Literal, dict, list):
        return kind is str or get_origin(kind) is Literal
    return any(_is_text(each) for each in get_args(kind))  # a union


def hint(model: type[BaseModel], key: Key) -> str:
    """Suggest the key that an unknown ``key`` may stand for."""
    *table, name = map(str, key)
    kind: Any = model
    for step in table:
        kind = under(kind, step)
    siblings = list(kind.model_fields)
    near = get_close_matches(name.lower(), siblings, n=1, cutoff=0.6)
    elsewhere = [dotted(known) for known in known_keys(model, {}) if known[-1] == name]
    if near or elsewhere:
        return f'did you mean "{(near or elsewhere)[0]}"?'
    return f"the keys of this table are {', '.join(siblings)}"


def dotted(key: Key) -> str:
    """A key in TOML's notation, with array indices in brackets."""
    parts = [
        f"[{step}]" if isinstance(step, int) else f".{_quoted(step)}"
        for step in key
        if step != "[key]"  # pydantic's mark for an invalid name
    ]
    return "".join(parts).removeprefix(".")


def _quoted(step: str) -> str:
    bare = re.fullmatch(r"[A-Za-z0-9_-]+", step)
    return step if bare else json.dumps(step, ensure_ascii=False)
