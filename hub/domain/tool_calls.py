"""The tool calls of one answer, put together from their pieces, for clients that want whole ones.

A call is told of as soon as it has a name. Its arguments are told piece by piece, and, once
the answer is complete, as the value that they are.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, Self

import orjson

from hub.domain.events import NOTHING, ToolCall
from hub.domain.provider_fields import signed
from hub.domain.tool_call_ids import CallIds

__all__ = ["Call", "Calls", "Piece"]


@dataclass(frozen=True, slots=True)
class Call:
    """A call so far; without a name it has not been told of."""

    id: str
    name: str = ""
    arguments: str = ""
    custom: bool = False
    beside: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """What is to be given back with it (`hub.domain.provider_fields`)."""

    def input(self) -> Any:
        """Its arguments as a value; those of a custom tool are text.

        Raises:
            ValueError: they are not JSON.
        """
        return self.arguments if self.custom else orjson.loads(self.arguments or "{}")


class Piece(NamedTuple):
    """What is new of a call: ``text`` of its arguments, and whether it ``begins``."""

    call: Call
    text: str
    begins: bool


class Calls:
    """The calls of one generation, by their numbers."""

    __slots__ = ("_calls", "_generation")

    def __init__(self, generation: str) -> None:
        self._generation = generation
        self._calls: dict[int, Call] = {}

    def copy(self) -> Self:
        """Another with the same."""
        made = type(self)(self._generation)
        made._calls = dict(self._calls)
        return made

    def add(self, piece: ToolCall) -> Piece | None:
        """What a piece adds; ``None`` as long as the call has no name."""
        before = self._calls.get(piece.index)
        if before is None:
            before = Call(CallIds(self._generation).of(piece, 0) or "")
        name = before.name or piece.name or ""
        beside = {**before.beside, **signed(piece)} if piece.extra_content else before.beside
        custom = before.custom or piece.custom
        call = Call(before.id, name, before.arguments + piece.arguments, custom, beside)
        self._calls[piece.index] = call
        if not name:
            return None
        # What came before the name was held back until now.
        begins = not before.name
        return Piece(call, call.arguments if begins else piece.arguments, begins)

    def told(self) -> list[Call]:
        """Those that have been told of, in their order."""
        return [call for _, call in sorted(self._calls.items()) if call.name]
