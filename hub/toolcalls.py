"""Which tool call a streamed piece belongs to, where servers do not say it clearly.

By the OpenAI format each piece carries the ``index`` of its call, and only the first one
the ``id`` and the ``name``. Seen besides: no index at all; the name repeated with every
piece, or empty; a new random id with every piece; index 0 for every one of several calls,
with an id of its own each or with none; arguments in the first piece, or everything in one;
arguments as an object; a call of which nothing is filled in. Calls are numbered here by
their first appearance, whatever the server counts from.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Any, Final

from hub.events import ToolCall
from hub.jsonvalue import as_object, as_text, malformed
from hub.surrogates import Surrogates, whole

__all__ = ["ToolCalls"]

# A reply that asks for more calls than this is not one.
MOST: Final = 1_000


@dataclass(slots=True)
class _Call:
    number: int
    index: int | None
    key: str = ""
    name: str = ""
    begun: bool = False
    arguments: Surrogates = field(default_factory=Surrogates)


class ToolCalls:
    """The tool calls of one reply."""

    __slots__ = ("_calls",)

    def __init__(self) -> None:
        self._calls: list[_Call] = []

    def __bool__(self) -> bool:
        return bool(self._calls)

    def piece(self, held: Any, place: int) -> ToolCall | None:
        """What one entry of a ``tool_calls`` list adds; ``place`` is where in it it stands.

        ``None`` if it adds nothing. The id and the name of a call are given once.

        Raises:
            UpstreamError: it is not a piece of a tool call.
        """
        if not isinstance(held, dict):
            raise malformed("a tool call that is not an object")
        # A custom tool has an ``input``, which is any text.
        function = as_object(held.get("function")) or as_object(held.get("custom"))
        index, key, name = held.get("index"), _text(held.get("id")), _text(function.get("name"))
        said = _arguments(function.get("arguments", function.get("input")))
        call = self._find(index if type(index) is int else None, key, name, place)
        new = call is None
        if call is None:
            if not (key or name or said):
                return None  # a form that was not filled in
            call = self._begin(index if type(index) is int else None)
        # Of the id and the name only what is new is given on.
        key, call.key = ("", call.key) if call.key else (key, key)
        name, call.name = ("", call.name) if call.name else (name, name)
        call.begun = call.begun or bool(said)
        arguments = call.arguments.join(said)
        if not (new or key or name or arguments):
            return None
        return ToolCall(call.number, key or None, name or None, arguments)

    def rest(self) -> list[ToolCall]:
        """What was held back of the arguments, at the end of the reply."""
        left = ((call, call.arguments.rest()) for call in self._calls)
        return [ToolCall(call.number, arguments=text) for call, text in left if text]

    def _find(self, index: int | None, key: str, name: str, place: int) -> _Call | None:
        """The call a piece goes on with, ``None`` if it begins one."""
        last = self._calls[-1] if self._calls else None
        if index is not None:
            call = next((call for call in reversed(self._calls) if call.index == index), None)
            if call is None or not name:
                return call
            # Another id alone may come from a server that makes one up for every piece.
            another = call.key not in ("", key) if key else call.begun and call.name != name
            return None if another else call
        if key:
            call = next((call for call in reversed(self._calls) if call.key == key), None)
            return call if call is not None or name else last
        begins = last is not None and name and (place > 0 or name != last.name)
        return None if begins else last

    def _begin(self, index: int | None) -> _Call:
        if len(self._calls) >= MOST:
            raise malformed(f"more than {MOST} tool calls in one reply")
        call = _Call(len(self._calls), index)
        self._calls.append(call)
        return call


def _text(value: Any) -> str:
    return whole(value) if isinstance(value, str) else ""


def _arguments(value: Any) -> str:
    if value is None or isinstance(value, str):
        return value or ""
    if isinstance(value, dict):
        return as_text(value)
    raise malformed("tool-call arguments that are neither text nor an object")
