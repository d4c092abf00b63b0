"""Streamed arguments that come as single values with their places, written as JSON text.

Gemini can stream the arguments of a function call like this (``partialArgs``)::

    {"jsonPath": "$.recipe.steps[0]", "stringValue": "Boil ", "willContinue": true}
    {"jsonPath": "$.recipe.steps[0]", "stringValue": "water"}
    {"jsonPath": "$.recipe.serves", "numberValue": 2}

The values come in the order in which the model writes them, so each adds to the end of the text:
``{"recipe":{"steps":["Boil ``, then ``water``, then ``"],"serves":2``, and at the end ``}}``. A
value inside an object or a list that was already closed is an error.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hub.domain.json_values import as_text, malformed
from hub.domain.surrogates import Surrogates

__all__ = ["PartialArguments"]

Step = str | int
"""A key of an object, or an index of a list."""

DEPTH: Final = 100
"""Levels that arguments may have, well below the limits of JSON parsers."""

_STEP: Final = re.compile(
    r"""\.([^.\[\]]+) | \[([0-9]{1,6})\] | \["((?:[^"\\]|\\.)*)"\] | \['((?:[^'\\]|\\.)*)'\]""",
    re.VERBOSE,
)
_ESCAPED: Final = re.compile(r"\\(.)")


@dataclass(slots=True)
class _Container:
    """An object or a list that is not closed yet; ``step`` is its place in the one around it."""

    step: Step
    is_list: bool
    keys: set[str] = field(default_factory=set)
    size: int = 0

    @property
    def end(self) -> str:
        return "]" if self.is_list else "}"

    def begin(self, step: Step) -> str:
        """The text before the value at this step."""
        if isinstance(step, int) is not self.is_list:
            raise malformed("arguments with a key in a list or a number in an object")
        comma = "," if self.size else ""
        if isinstance(step, int):
            if step != self.size:
                raise malformed("arguments with the values of a list out of order")
            self.size += 1
            return comma
        if step in self.keys:
            raise malformed("arguments with a value in a part that was closed")
        self.keys.add(step)
        self.size += 1
        return f"{comma}{as_text(step)}:"


class PartialArguments:
    """The arguments of one call; the texts that it gives, joined, are a JSON object."""

    def __init__(self) -> None:
        self._containers: list[_Container] = []
        # The place of the string without a closing quote.
        self._string: tuple[Step, ...] | None = None
        self._characters = Surrogates()

    def add(self, held: Any) -> str:
        """The text that one entry of ``partialArgs`` adds.

        Raises:
            UpstreamError: ``upstream_malformed``: it cannot be added.
        """
        if not isinstance(held, dict):
            raise malformed("partial arguments that are not objects")
        path = _path(held.get("jsonPath"))
        text = held.get("stringValue")
        if not isinstance(text, str):
            value = _value(held)
            return self._move_to(path) + value if value else ""
        before = "" if path == self._string else self._move_to(path) + '"'
        self._string = path
        return before + _characters(self._characters.join(text))

    def end(self) -> str:
        """The text that closes everything open."""
        if not self._containers:
            return "{}"
        text = self._close_string()
        text += "".join(container.end for container in reversed(self._containers))
        self._containers.clear()
        return text

    def _move_to(self, path: tuple[Step, ...]) -> str:
        """All text before the value at this place: ends, beginnings, its key."""
        containers = self._containers
        text = self._close_string()
        if not containers:
            containers.append(_Container("", is_list=False))
            text += "{"
        around = path[:-1]
        shared = 0
        while shared < min(len(around), len(containers) - 1):
            if containers[shared + 1].step != around[shared]:
                break
            shared += 1
        while len(containers) > shared + 1:
            text += containers.pop().end
        for place in range(shared, len(around)):
            text += containers[-1].begin(path[place])
            containers.append(_Container(path[place], isinstance(path[place + 1], int)))
            text += "[" if containers[-1].is_list else "{"
        return text + containers[-1].begin(path[-1])

    def _close_string(self) -> str:
        if self._string is None:
            return ""
        self._string = None
        return _characters(self._characters.rest()) + '"'


def _path(held: Any) -> tuple[Step, ...]:
    """The steps of a JSON path of names and indexes (RFC 9535, sections 2.3.1 and 2.3.3)."""
    if not isinstance(held, str) or held[:1] != "$":
        raise malformed("partial arguments without a JSON path")
    steps: list[Step] = []
    at = 1
    while at < len(held):
        found = _STEP.match(held, at)
        if found is None or len(steps) == DEPTH:
            raise malformed("partial arguments with a JSON path that cannot be followed")
        name, place, *quoted = found.groups()
        if place is not None:
            steps.append(int(place))
        else:
            steps.append(name or _ESCAPED.sub(r"\1", next((q for q in quoted if q), "")))
        at = found.end()
    if not steps:
        raise malformed("partial arguments with an empty JSON path")
    return tuple(steps)


def _value(held: Mapping[str, Any]) -> str:
    """A value other than a string, as JSON; empty if there is none."""
    for name in ("numberValue", "boolValue"):
        if isinstance(value := held.get(name), bool | int | float):
            return as_text(value)
    return "null" if "nullValue" in held else ""


def _characters(text: str) -> str:
    """The text as it is written between the quotes of a JSON string."""
    return as_text(text)[1:-1]
