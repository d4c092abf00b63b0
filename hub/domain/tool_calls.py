"""Assemble the tool calls of one reply from their pieces, for clients that want whole calls.

A call is reported as soon as it has a name. Its arguments are reported piece by piece and, once the
reply is complete, as a value.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final, NamedTuple, Self

import orjson

from hub.domain.events import NOTHING, ToolCall
from hub.domain.provider_fields import signed
from hub.domain.tool_call_ids import CallIds

__all__ = ["Call", "Calls", "Piece"]


CALL_BYTES: Final = 400
"""Memory of a call besides its arguments."""


@dataclass(frozen=True, slots=True)
class Call:
    """A call so far; without a name it has not been reported."""

    id: str
    name: str = ""
    arguments: str = ""
    custom: bool = False
    beside: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    """Fields to send back with it (`hub.domain.provider_fields`)."""

    def input(self) -> Any:
        """The arguments as a value; those of a custom tool are text.

        Raises:
            ValueError: they are not JSON.
        """
        return self.arguments if self.custom else orjson.loads(self.arguments or "{}")


class Piece(NamedTuple):
    """News of a call: more ``text`` of its arguments, and whether the call ``begins``."""

    call: Call
    text: str
    begins: bool


class Calls:
    __slots__ = ("_calls", "_generation")

    def __init__(self, generation: str) -> None:
        self._generation = generation
        self._calls: dict[int, Call] = {}

    def copy(self) -> Self:
        copied = type(self)(self._generation)
        copied._calls = dict(self._calls)
        return copied

    @property
    def size(self) -> int:
        """About the bytes of memory that they take."""
        return sum(CALL_BYTES + len(call.arguments) for call in self._calls.values())

    def add(self, piece: ToolCall) -> Piece | None:
        """Add a piece; ``None`` while the call has no name."""
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
        # Arguments that came before the name were held back until now.
        begins = not before.name
        return Piece(call, call.arguments if begins else piece.arguments, begins)

    def told(self) -> list[Call]:
        """The calls that have been reported, in order."""
        return [call for _, call in sorted(self._calls.items()) if call.name]
