"""A client's request for a generation."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal

import orjson

from hub.domain.errors import RequestError
from hub.domain.events import NOTHING, Message
from hub.domain.memory_budget import parsed_size

__all__ = ["GenerationRequest", "WhenBusy"]

WhenBusy = Literal["refuse", "queue", "steer", "replace"]
"""What becomes of a prompt for a stream that answers another: it is refused, waits for its turn, or
goes first. To ``steer`` stops the answer where a sentence ends, to ``replace`` at once."""


@dataclass(frozen=True, slots=True)
class GenerationRequest:
    """What to generate.

    With ``prompt``, the hub appends the user's message to the stream and sends the stream's
    conversation; with ``messages``, it sends exactly those. Without ``stream`` the reply gets a
    stream of its own, which closes at its end. ``key`` makes retries safe.
    ``when_busy`` is what happens if the stream answers another prompt.

    ``after`` is what the prompt, or the reply without one, follows in the conversation: the name
    or the position of a message or a reply (`hub.domain.branches`), ``""`` for the beginning. With
    neither prompt nor messages the hub sends the conversation up to there. ``branch`` is any
    message or reply of the branch that the prompt continues, wherever that has got to by its turn.

    ``said`` are messages that the stream does not have yet, appended before the reply; ``beside``
    are more fields for its `started` event. Neither is part of the `fingerprint`, because both
    follow from the rest.

    The others are set by `hub.access.generations` for the principal: the ``owner`` of a stream that
    begins, the ``scope`` of the key, the ``credential`` that asks (`Principal.credential`), the
    name that its generations are ``counted_as``, the ``epoch`` of the stream that was checked, and
    the ``fallbacks`` that may be asked (``None``: all).
    """

    prompt: str | None = None
    messages: tuple[Mapping[str, Any], ...] | None = None
    stream: str | None = None
    upstream: str | None = None
    model: str | None = None
    author: str | None = None
    key: str | None = None
    options: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    when_busy: WhenBusy = "refuse"
    after: str | None = None
    branch: str | None = None
    said: tuple[Message, ...] = ()
    beside: Mapping[str, Any] = field(default_factory=lambda: NOTHING)
    items: bool = False
    """See `hub.domain.prompt.Prompt`; it follows from the client's interface."""
    owner: str | None = None
    scope: str | None = None
    credential: str | None = None
    counted_as: str | None = None
    epoch: int | None = None
    fallbacks: frozenset[str] | None = None

    @property
    def kept_key(self) -> str | None:
        """The key as it is stored: the same key of two principals stands for two requests."""
        if self.key is None or self.scope is None:
            return self.key
        return f"{self.scope}\n{self.key}"  # a subject has no line break

    @property
    def continues(self) -> bool:
        """Whether it needs a conversation that is there."""
        return bool(self.after) or self.branch is not None

    def fingerprint(self) -> bytes:
        """A hash of what must be the same when the key is used again."""
        fields = [self.prompt, self.messages, self.stream, self.upstream, self.model]
        places = {"after": self.after, "branch": self.branch}
        chosen = {name: place for name, place in places.items() if place is not None}
        # Without a place it is what it was before there were any: stored ones must match.
        also = [chosen] if chosen else []
        return hashlib.sha256(_json([*fields, dict(self.options), *also])).digest()

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
