"""A stream read as a conversation: what was said so far, as an upstream wants to be told."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import Any

from hub.events import Delta, Event, Message, Started

__all__ = ["history"]


def history(events: Iterable[Event]) -> tuple[Mapping[str, Any], ...]:
    """The messages of a conversation, oldest first, in the OpenAI chat shape.

    A reply is the text of a generation's deltas, also of one that failed or was cancelled:
    it is what the people in the conversation have read. Reasoning and tool calls are not
    repeated to the upstream. A reply stands where its generation started.
    """
    said: list[tuple[str, list[str]]] = []
    replies: dict[str, list[str]] = {}
    for event in events:
        if isinstance(event, Message):
            said.append((event.role, [event.text]))
        elif isinstance(event, Started):
            _reply(said, replies, event.generation)
        elif isinstance(event, Delta) and event.text:
            _reply(said, replies, event.generation).append(event.text)
    messages = ((role, "".join(parts)) for role, parts in said)
    return tuple({"role": role, "content": text} for role, text in messages if text)


def _reply(
    said: list[tuple[str, list[str]]], replies: dict[str, list[str]], generation: str
) -> list[str]:
    """The parts of a generation's reply, begun when it is first heard of."""
    if generation not in replies:
        replies[generation] = []
        said.append(("assistant", replies[generation]))
    return replies[generation]
