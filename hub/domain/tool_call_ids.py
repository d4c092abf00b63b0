"""The ids of tool calls, for clients that cannot do without: one is made up where there is none.

Gemini and Ollama give their calls no id, and a client of OpenAI's formats answers a call by
its id. The one that is made up follows from the generation and the number of the call: it is
the same in every format, for every reader, and after a restart.
"""

from __future__ import annotations

from typing import Final

from hub.domain.events import ToolCall

__all__ = ["CallIds"]

HEX: Final = 24
"""Characters of the generation's id; OpenAI refuses the id of a call with more than 40."""


class CallIds:
    """Tells the id of each call of one generation, with the first piece of the call only."""

    __slots__ = ("_begun", "_custom", "_generation")

    def __init__(self, generation: str) -> None:
        self._generation = generation.removeprefix("gen_")[:HEX]
        self._begun: dict[int, int] = {}
        """By the number of a call: where its first piece stood."""
        self._custom: set[int] = set()

    def custom(self, tool: ToolCall) -> bool:
        """Whether a piece is of a custom tool, which its first one says."""
        return tool.custom or tool.index in self._custom

    def of(self, tool: ToolCall, offset: int) -> str | None:
        """The id that goes with the piece at an offset; the same whenever that is asked."""
        if self._begun.setdefault(tool.index, offset) != offset:
            return None
        if tool.custom:
            self._custom.add(tool.index)
        return tool.id or f"call_{self._generation}{tool.index}"
