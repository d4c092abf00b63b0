"""What is asked of an upstream, in one shape for all providers."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from hub.events import NOTHING

__all__ = ["Prompt"]


@dataclass(frozen=True, slots=True)
class Prompt:
    """One question to an upstream.

    ``messages`` are objects of the OpenAI chat shape (``role``, ``content`` and what goes
    with them), oldest first: the form that every provider's own is translated from.
    ``options`` are the other request fields a client set (``temperature``, ``max_tokens``,
    ``tools`` …), by their OpenAI names. ``model`` is ``None`` for the upstream's own.
    """

    messages: tuple[Mapping[str, Any], ...]
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: NOTHING)

    @property
    def text(self) -> str:
        """The text of the last message, for upstreams that take one line."""
        content = self.messages[-1].get("content") if self.messages else ""
        if isinstance(content, list):
            parts = (part.get("text", "") for part in content if isinstance(part, dict))
            return "".join(part for part in parts if isinstance(part, str))
        return content if isinstance(content, str) else ""
