"""What a client wants generated."""

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
    """What a client wants generated.

    With ``prompt`` the user's message is appended to the stream and the conversation so far
    is sent; with ``messages`` exactly those are. Without ``stream`` the reply gets a stream
    of its own, closed at its end. ``key`` makes asking again harmless.

    ``said`` is what of the messages was not in the stream yet, and is appended before the
    reply begins; ``beside`` are fields that its `started` event has beside its own. (Neither
    is part of what must be the same: they say nothing that the rest does not.)
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

    def fingerprint(self) -> bytes:
        """What must be the same when a key is used again."""
        asked = [self.prompt, self.messages, self.stream, self.upstream, self.model]
        return hashlib.sha256(_json([*asked, dict(self.options)])).digest()

    def size(self) -> int:
        """Bytes of the prompt or the messages."""
        if self.messages is None:
            return len((self.prompt or "").encode())
        return len(_json(self.messages))

    def memory(self) -> int:
        """Bytes of memory that the prompt or the messages take, about."""
        return parsed_size(_json([self.prompt, self.messages, dict(self.options)]))


def _json(asked: object) -> bytes:
    try:
        return orjson.dumps(asked)
    except orjson.JSONEncodeError as error:
        raise RequestError(f"what is asked cannot be written as JSON: {error}") from None
