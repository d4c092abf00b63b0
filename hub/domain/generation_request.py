"""A client's request for a generation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import orjson

from hub.domain.errors import RequestError
from hub.domain.events import NOTHING, Message
from hub.domain.memory_budget import parsed_size

__all__ = ["GenerationRequest"]


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What to generate.

    With ``prompt``, the hub appends the user's message to the stream and sends the stream's
    conversation; with ``messages``, it sends exactly those. Without ``stream`` the reply gets a
    stream of its own, which closes at its end. ``key`` makes retries safe.

    ``said`` are messages that the stream does not have yet, appended before the reply; ``beside``
    are more fields for its `started` event. Neither is part of the `fingerprint`, because both
    follow from the rest.
    """

    prompt: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    stream: str | None = None
    upstream: str | None = None
    model: str | None = None
    author: str | None = None
    key: str | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    said: tuple[Message, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    items: bool = False
    """See `hub.domain.prompt.Prompt`; it follows from the client's interface."""

    def fingerprint(self) -> bytes:
        """A hash of what must be the same when the key is used again."""
        fields = [self.prompt, self.messages, self.stream, self.upstream, self.model]
        return hashlib.sha256(_json([*fields, dict(self.options)])).digest()

    def size(self) -> int:
        """Bytes of the prompt or the messages."""
        if self.messages is None:
            return len((self.prompt or "").encode())
        return len(_json(self.messages))

    def memory(self) -> int:
        """An estimate of the memory of the prompt or the messages, in bytes."""
        return parsed_size(_json([self.prompt, self.messages, dict(self.options)]))


def _json(value: object) -> bytes:
    try:
        return orjson.dumps(value)
    except orjson.JSONEncodeError as error:
        raise RequestError(f"the request cannot be written as JSON: {error}") from None
