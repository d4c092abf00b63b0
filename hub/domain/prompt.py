"""What is asked of an upstream, in one shape for all providers."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from hub.domain.events import NOTHING
from hub.domain.provider_fields import EXTRA, LISTS

__all__ = ["Prompt", "beside_of", "bulk_of", "input_of", "size_of"]

TOKEN_BYTES: Final = 4
"""What a token has of text in UTF-8, about: four letters of English, or a character or two of
Chinese."""


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

    def tokens(self) -> int:
        """About how many tokens it has, by the bytes of its text and of its tools.

        What pictures and sounds cost, no length tells: they are left out.
        """
        size = len(str(self.options.get("tools") or ""))
        return -(-(size + sum(map(size_of, self.messages))) // TOKEN_BYTES)


def size_of(message: Mapping[str, Any]) -> int:
    """Bytes of a message's text, and of what its tool calls say."""
    content = message.get("content")
    if isinstance(content, str) and "tool_calls" not in message:
        return _bytes_of(content)  # nearly every message there is
    return sum(map(_bytes_of, (*_texts(content), *_texts(message.get("tool_calls")))))


def bulk_of(message: Mapping[str, Any]) -> int:
    """The same, with what the model is shown again beside it."""
    return size_of(message) + beside_of(message)


def beside_of(message: Mapping[str, Any]) -> int:
    """Bytes of what the model is shown again and is no text, about."""
    beside = [message[name] for name in LISTS if name in message]
    beside += [call[EXTRA] for call in message.get("tool_calls", ()) if EXTRA in call]
    return sum(len(repr(held)) for held in beside)


def _bytes_of(text: str) -> int:
    return len(text) if text.isascii() else len(text.encode("utf-8", "replace"))


def _texts(held: object) -> Iterator[str]:
    """What of a message's content, or of the tool calls in it, is text."""
    if isinstance(held, str):
        yield held
    elif isinstance(held, list | tuple):
        for part in held:
            if isinstance(part, dict):
                yield from _texts(part.get("text"))
                yield from _texts(_called(part).get("name"))
                yield from _texts(input_of(part))


def input_of(call: Mapping[str, Any]) -> Any:
    """What a tool call gives to its tool, as it came: text, where the call is well-formed."""
    called = _called(call)
    return called.get("arguments", called.get("input"))


def _called(call: Mapping[str, Any]) -> Mapping[str, Any]:
    """What is called: a function, or a custom tool."""
    held = call.get("function", call.get("custom"))
    return held if isinstance(held, dict) else NOTHING
