"""A prompt that waits for its turn in a stream, and its JSON in the store."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Any, Final

import orjson

from hub.domain.events import Queued
from hub.domain.generation_request import GenerationRequest
from hub.domain.records import Position

__all__ = ["QueuedPrompt", "decode_queue", "encode_queue"]

_KEPT: Final = (
    "prompt", "upstream", "model", "author", "options", "when_busy", "owner", "scope", "counted_as",
)  # fmt: skip
"""What is kept of a request. Its idempotency key is used up once it waits."""

_PLACES: Final = ("after", "branch")


@dataclass(frozen=True, slots=True)
class QueuedPrompt:
    """The ``request`` of a generation that waits since ``at``.

    ``position`` is that of its first event, which told that it waits.
    """

    generation: str
    request: GenerationRequest
    position: Position
    at: str

    @property
    def goes_first(self) -> bool:
        """Whether it does not wait for the end of the answer that runs."""
        return self.request.when_busy != "queue"

    @property
    def size(self) -> int:
        """Bytes in the store."""
        return len(self.encode())

    def event(self, place: int) -> Queued:
        """The event that tells its readers its text and place, which is 1 for the next one."""
        request = self.request
        shown = {name: getattr(request, name) for name in ("upstream", "model", *_PLACES)}
        return Queued(
            self.generation,
            request.stream or "",
            request.prompt or "",
            request.author,
            place,
            self.at,
            {name: value for name, value in shown.items() if value is not None},
        )

    def encode(self) -> bytes:
        """As it is stored, without the names of its generation and its stream.

        Raises:
            orjson.JSONEncodeError: the options cannot be written as JSON.
        """
        request = self.request
        kept: dict[str, Any] = {name: getattr(request, name) for name in _KEPT}
        kept["options"] = dict(request.options)
        # Not without need, so that an older hub can read the others.
        places = {name: getattr(request, name) for name in _PLACES}
        kept |= {name: place for name, place in places.items() if place is not None}
        if request.credential is not None:
            kept["credential"] = request.credential
        if request.fallbacks is not None:
            kept["fallbacks"] = sorted(request.fallbacks)
        return orjson.dumps({"at": self.at, "position": str(self.position), "request": kept})

    @classmethod
    def decode(cls, generation: str, stream: str, body: bytes) -> QueuedPrompt:
        """What `encode` gave."""
        found = orjson.loads(body)
        kept = found["request"]
        if "fallbacks" in kept:
            kept["fallbacks"] = frozenset(kept["fallbacks"])
        request = GenerationRequest(stream=stream, **kept)
        return cls(generation, request, Position.parse(found["position"]), found["at"])


_UNKNOWN: Final = Position(0, 0)


def encode_queue(
    prompts: Iterable[QueuedPrompt], new: QueuedPrompt | None = None
) -> tuple[str, str]:
    """Prompts that wait in one stream as one text, empty without any, and an empty one.

    With ``new``, which is one of them, the two parts between which the position of that belongs:
    only who writes its first event knows it.

    Raises:
        orjson.JSONEncodeError: as `QueuedPrompt.encode`.
    """
    parts: list[str] = []
    cut = None
    for prompt in prompts:
        if prompt is new:
            before, _, after = _item(replace(prompt, position=_UNKNOWN)).partition(str(_UNKNOWN))
            cut = len(",".join([*parts, before]))
            parts.append(before + after)
        else:
            parts.append(_item(prompt))
    text = f"[{','.join(parts)}]" if parts else ""
    return (text, "") if cut is None else (text[: cut + 1], text[cut + 1 :])


def _item(prompt: QueuedPrompt) -> str:
    return orjson.dumps([prompt.generation, orjson.Fragment(prompt.encode())]).decode()


def decode_queue(stream: str, text: str) -> tuple[QueuedPrompt, ...]:
    """What `encode_queue` gave, its parts joined."""
    found = orjson.loads(text) if text else []
    return tuple(QueuedPrompt.decode(name, stream, orjson.dumps(body)) for name, body in found)
