"""Ids for tool calls of providers that send none.

Gemini and Ollama give their calls no ids, and clients of OpenAI's formats need them to return
results. A generated id depends only on the generation and the number of the call, so it is the same
in every format, for every reader, and after a restart.
"""

from __future__ import annotations

from typing import Final

from hub.domain.events import ToolCall

__all__ = ["CallIds"]

HEX: Final = 24
"""How many characters of the generation's id are used; OpenAI accepts call ids of up to 40."""


class CallIds:
    """The ids of one generation's calls, each returned only with the first piece of its call."""

    __slots__ = ("_begun", "_custom", "_generation")

    def __init__(self, generation: str) -> None:
        self._generation = generation.removeprefix("gen_")[:HEX]
        self._begun: dict[int, int] = {}
        """The offset of the first piece of each call."""
        self._custom: set[int] = set()

    def custom(self, tool: ToolCall) -> bool:
        """Whether a piece belongs to a custom tool's call, which its first piece declares."""
        return tool.custom or tool.index in self._custom

    def of(self, tool: ToolCall, offset: int) -> str | None:
        """The id to send with the piece at an offset; repeated calls return the same."""
        if self._begun.setdefault(tool.index, offset) != offset:
            return None
        if tool.custom:
            self._custom.add(tool.index)
        return tool.id or f"call_{self._generation}{tool.index}"
