"""A request to an upstream, in one format for all providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hub.domain.events import NOTHING
from hub.domain.media import IMAGES
from hub.domain.provider_fields import EXTRA, ITEM, LISTS

__all__ = ["Prompt", "beside_of", "bulk_of", "input_of", "size_of"]

TOKEN_BYTES: Final = 4
"""About the UTF-8 bytes of a token: four English letters, or one or two Chinese characters."""


@dataclass(frozen=True, slots=True)
class Prompt:
    """One request to an upstream.

    ``messages`` are OpenAI chat messages (``role``, ``content`` and so on), oldest first; dialects
    translate them for their provider. ``options`` are the client's other request fields
    (``temperature``, ``max_tokens``, ``tools`` …) by their OpenAI names. ``model`` is ``None`` for
    the upstream's default. ``items`` is true if the client can run calls that have no form but the
    provider's own (`hub.domain.executed_tools`).
    """

    messages: tuple[Mapping[str, Any], ...]
    model: str | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    items: bool = False

    @property
    def text(self) -> str:
        """The text of the last message, for upstreams that take a single text."""
        content = self.messages[-1].get("content") if self.messages else ""
        if isinstance(content, list):
            parts = (part.get("text", "") for part in content if isinstance(part, dict))
            return "".join(part for part in parts if isinstance(part, str))
        return content if isinstance(content, str) else ""

    def tokens(self) -> int:
        """Estimate the tokens from the bytes of the text and of the tools.

        Images and audio are left out, because their cost does not follow from their length.
        """
        size = len(str(self.options.get("tools") or ""))
        return -(-(size + sum(map(size_of, self.messages))) // TOKEN_BYTES)


def size_of(message: Mapping[str, Any]) -> int:
    """Bytes of a message's text and of its tool calls."""
    content = message.get("content")
    if isinstance(content, str) and "tool_calls" not in message:
        return _bytes_of(content)  # nearly every message
    return sum(map(_bytes_of, (*_texts(content), *_texts(message.get("tool_calls")))))


def bulk_of(message: Mapping[str, Any]) -> int:
    """Bytes of a message, `size_of` and `beside_of` together."""
    return size_of(message) + beside_of(message)


def beside_of(message: Mapping[str, Any]) -> int:
    """Estimate the bytes of the provider's fields that are sent back with a message."""
    beside = [message[name] for name in (*LISTS, IMAGES, ITEM) if name in message]
    beside += [call[EXTRA] for call in message.get("tool_calls", ()) if EXTRA in call]
    return sum(len(repr(value)) for value in beside)


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _texts(value: object) -> Iterator[str]:
    """The texts in a message's content or in its tool calls."""
    if isinstance(value, str):
        yield value
    elif isinstance(value, list | tuple):
        for part in value:
            if isinstance(part, dict):
                yield from _texts(part.get("text"))
                yield from _texts(_called(part).get("name"))
                yield from _texts(input_of(part))


def input_of(call: Mapping[str, Any]) -> Any:
    """The input of a tool call, unchecked: text if the call is well-formed."""
    called = _called(call)
    return called.get("arguments", called.get("input"))


def _called(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """The function or custom tool of a call."""
    called = call.get("function", call.get("custom"))
    return called if isinstance(called, dict) else NOTHING
