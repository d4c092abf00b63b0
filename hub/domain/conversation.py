"""Read a stream as a conversation: the messages so far, as an upstream takes them.

A stream only grows, but a conversation can go back, to regenerate a reply or to edit a question.
The event that starts the new branch names, in its field ``after``, the message that the branch
continues from (``null``: the start). Everything between the two remains in the stream but no longer
belongs to the conversation.

::

    {"type":"message","role":"user","text":"Hi","id":"q1"}
    {"type":"started","generation":"gen_1"}  …          a reply
    {"type":"started","generation":"gen_2","after":"q1"}  …  another reply in its place

The name of a message is its ``id``. The name of a reply is its generation, or the ``message`` that
the generation belongs to.

The messages are in the OpenAI chat format, oldest first. A reply is the text of a generation's
deltas, even if the generation failed or was cancelled: it is what people have read. Reasoning is
not sent to the upstream again, except for what it requires (`hub.domain.provider_fields`). Nor are
tool calls without a result, which providers refuse. A reply stands where its generation started,
and the results of tools follow their calls.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from hub.domain import json_text
from hub.domain.errors import RequestError
from hub.domain.events import Delta, Event, Message, Started, ToolCall, from_json
from hub.domain.media import IMAGES, MEDIA, image_parts
from hub.domain.memory_budget import parsed_size
from hub.domain.provider_fields import EXTRA, LISTS, is_signed_media, placed, signed
from hub.domain.tool_call_ids import CallIds

__all__ = ["AFTER", "Conversation"]

AFTER: Final = "after"

EMPTY_BYTES: Final = "".__sizeof__()

TURN_BYTES: Final = 600
"""Memory of a turn besides its text."""


class Conversation:
    """The conversation between two offsets of a stream; reading more records extends it."""

    def __init__(self, start: int = 0) -> None:
        self.start = self.end = start
        self.size = 0
        """An upper bound of its bytes in memory."""
        self._turns: list[_Turn] = []
        self._replies: dict[str, _Turn] = {}
        self._calls: dict[str, _Call] = {}
        self._pictured: list[Any] = []
        """The images that are kept."""

    def messages(self) -> tuple[Mapping[str, Any], ...]:
        return tuple(message for turn in self._turns for message in turn.messages())

    def read(self, bodies: Sequence[bytes]) -> None:
        """Read the bodies of the stream's next records.

        Nearly all are deltas of plain text, and a client is waiting. Parsing thousands at once
        without making events of them takes a tenth of the time.
        """
        speaking: str | None = None
        parts: list[str] = []
        size = 0
        for value in _parse_all(bodies):
            if type(value) is dict and len(value) == 3 and value.get("type") == "delta":
                generation, text = value.get("generation"), value.get("text")
                if type(generation) is str and type(text) is str:
                    if text:
                        if generation != speaking:
                            speaking, parts = generation, self._reply(generation).parts
                        parts.append(text)
                        size += text.__sizeof__() - EMPTY_BYTES
                    continue
            speaking = None
            with suppress(RequestError):  # not an event, so not part of the conversation
                self.take(from_json(value))
        self.size += size

    def take(self, event: Event) -> None:
        """Read the stream's next event."""
        self.size += _memory(event)
        if isinstance(event, Message | Started) and AFTER in event.extra:
            self._go_back(event.extra[AFTER])
        if isinstance(event, Message):
            self._add_message(event)
        elif isinstance(event, Started):
            self._reply(event.generation, event.extra.get("message"))
        elif isinstance(event, Delta):
            if event.text:
                self._reply(event.generation).parts.append(event.text)
            if event.tool is not None:
                self._add_call(event.generation, event.tool)
            if event.extra:
                fields = self._reply(event.generation).fields
                for name in LISTS:
                    if isinstance(value := event.extra.get(name), list):
                        fields.setdefault(name, []).extend(value)
                if is_signed_media(event.extra):
                    self._add_images(event)

    def _add_images(self, event: Delta) -> None:
        """Keep signed images, and only those of one reply: a long conversation would be too large.

        `hub.domain.provider_fields` says how they go back.
        """
        images = self._reply(event.generation).fields.setdefault(IMAGES, [])
        if self._pictured is not images:
            self._pictured.clear()
            self._pictured = images
        images += image_parts(event.extra)

    def _go_back(self, name: object) -> None:
        """Drop the turns after a message; none, if no message has that name."""
        places = [at for at, turn in enumerate(self._turns) if name in turn.names]
        if places or name is None:
            end = places[-1] + 1 if places else 0
            for turn in self._turns[end:]:
                # Its generation may still run, but what it adds is never sent.
                turn.parts.clear()
                for call in turn.calls.values():
                    self._calls.pop(call.key, None)
                turn.calls.clear()
                turn.fields.clear()
            del self._turns[end:]

    def _add_message(self, message: Message) -> None:
        if message.role != "tool":
            self._turns.append(_Turn(message.role, message.extra.get("id")))
            self._turns[-1].parts.append(message.text)
            return
        # A result is of no use to an upstream without the call.
        call = self._calls.get(str(message.extra.get("tool_call_id")))
        if call is not None:
            call.result = message.text

    def _reply(self, generation: str, message: object = None) -> _Turn:
        """A generation's turn, created at its first event."""
        if generation not in self._replies:
            self._replies[generation] = _Turn("assistant", generation, message)
            self._turns.append(self._replies[generation])
        return self._replies[generation]

    def _add_call(self, generation: str, piece: ToolCall) -> None:
        calls = self._reply(generation).calls
        call = calls.get(piece.index)
        if call is None:
            call = calls[piece.index] = _Call(CallIds(generation).of(piece, 0) or "")
            self._calls[call.key] = call
        call.custom |= piece.custom
        call.name = piece.name or call.name
        call.pieces.append(piece.arguments)
        call.signed |= signed(piece)


def _memory(event: Event) -> int:
    """Bytes kept of an event: the texts of a reply are joined, the pieces of calls are not."""
    if isinstance(event, Message | Started):
        text = event.text if isinstance(event, Message) else ""
        return TURN_BYTES + text.__sizeof__()
    if not isinstance(event, Delta):
        return 0
    piece = "" if event.tool is None else event.tool.arguments
    kept = (*LISTS, MEDIA) if is_signed_media(event.extra) else LISTS
    fields = {name: value for name, value in event.extra.items() if name in kept}
    if event.tool is not None and event.tool.extra_content:
        fields[EXTRA] = event.tool.extra_content
    return (
        (event.text.__sizeof__() - EMPTY_BYTES)
        + (piece.__sizeof__() if piece else 0)
        + (parsed_size(repr(fields).encode()) if fields else 0)
    )


def _parse_all(bodies: Sequence[bytes]) -> Iterator[object]:
    try:
        yield from orjson.loads(b"[%s]" % b",".join(bodies))
    except orjson.JSONDecodeError:
        # Some valid JSON is refused by orjson, and other programs may have written anything.
        for body in bodies:
            with suppress(ValueError):
                yield json_text.loads(body)


class _Call:
    """A tool call of a reply, and its result once there is one."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.name = ""
        self.custom = False
        self.pieces: list[str] = []
        self.signed: dict[str, Any] = {}
        self.result: str | None = None

    def to_json(self) -> dict[str, Any]:
        """The call for an upstream, which only takes arguments that are JSON."""
        if self.custom:
            custom = {"name": self.name, "input": "".join(self.pieces)}
            return {"id": self.key, "type": "custom", "custom": custom, **self.signed}
        arguments = "".join(self.pieces) or "{}"
        try:
            orjson.loads(arguments)
        except orjson.JSONDecodeError:
            arguments = "{}"
        function = {"name": self.name, "arguments": arguments}
        return {"id": self.key, "type": "function", "function": function, **self.signed}


class _Turn:
    """A message or a reply."""

    def __init__(self, role: str, *names: object) -> None:
        self.role = role
        self.names = [name for name in names if isinstance(name, str)]
        self.parts: list[str] = []
        self.calls: dict[int, _Call] = {}
        self.fields: dict[str, list[Any]] = {}

    def messages(self) -> Iterator[Mapping[str, Any]]:
        self.parts[:] = [text := "".join(self.parts)]
        numbers = [n for n, call in self.calls.items() if call.name and call.result is not None]
        answered = [self.calls[number] for number in numbers]
        fields = {name: placed(value, numbers) for name, value in self.fields.items() if value}
        if answered:
            calls = [call.to_json() for call in answered]
            yield {"role": self.role, "content": text or None, "tool_calls": calls, **fields}
        elif text or fields.get(IMAGES):
            yield {"role": self.role, "content": text or None, **fields}
        for call in answered:
            yield {"role": "tool", "tool_call_id": call.key, "content": call.result}
