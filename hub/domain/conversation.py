"""A stream read as a conversation: what was said so far, as an upstream wants to be told.

A stream only grows, but a conversation may go back: an answer is asked for again, or a
question is put in other words. The event that begins the new branch says so in its field
``after``: the name of the message that it goes on from (``null`` for none: from the start).
What stands between the two is history of the stream, and no longer of the conversation.

::

    {"type":"message","role":"user","text":"Hi","id":"q1"}
    {"type":"started","generation":"gen_1"}  …          an answer
    {"type":"started","generation":"gen_2","after":"q1"}  …  another, in its place

A message is named by its ``id``, an answer by its generation, or by the ``message`` that the
generation is a part of.

The messages come oldest first, in the OpenAI chat shape. A reply is the text of a generation's
deltas, also of one that failed or was cancelled: it is what the people in the conversation have
read. Reasoning is not repeated to the upstream, but for what it must see again
(`hub.domain.provider_fields`), nor are tool calls that nobody has answered, which providers refuse.
A reply stands where its generation started, and the results of tools stand behind their calls.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final

import orjson

from hub.domain import json_text
from hub.domain.errors import RequestError
from hub.domain.events import Delta, Event, Message, Started, ToolCall, from_json
from hub.domain.memory_budget import parsed_size
from hub.domain.provider_fields import EXTRA, LISTS, placed, signed
from hub.domain.tool_call_ids import CallIds

__all__ = ["AFTER", "Conversation"]

AFTER: Final = "after"

EMPTY_BYTES: Final = "".__sizeof__()

TURN_BYTES: Final = 600
"""What a turn takes beside its text."""


class Conversation:
    """What was said from one offset of a stream up to another; it can be gone on with."""

    def __init__(self, start: int = 0) -> None:
        self.start = self.end = start
        self.size = 0
        """Bytes of memory that it takes, at most."""
        self._turns: list[_Turn] = []
        self._replies: dict[str, _Turn] = {}
        self._calls: dict[str, _Call] = {}

    def messages(self) -> tuple[Mapping[str, Any], ...]:
        """All that was said."""
        return tuple(message for turn in self._turns for message in turn.messages())

    def read(self, bodies: Sequence[bytes]) -> None:
        """What comes next in the stream, as it stands in its records.

        Nearly all are deltas of plain text. To parse thousands of them at once and to make no
        event of them takes a tenth of the time; whoever asks waits for it.
        """
        speaking: str | None = None
        parts: list[str] = []
        size = 0
        for held in _parsed(bodies):
            if type(held) is dict and len(held) == 3 and held.get("type") == "delta":
                generation, text = held.get("generation"), held.get("text")
                if type(generation) is str and type(text) is str:
                    if text:
                        if generation != speaking:
                            speaking, parts = generation, self._reply(generation).parts
                        parts.append(text)
                        size += text.__sizeof__() - EMPTY_BYTES
                    continue
            speaking = None
            with suppress(RequestError):  # what is no event says nothing here
                self.take(from_json(held))
        self.size += size

    def take(self, event: Event) -> None:
        """What comes next in the stream."""
        self.size += _memory(event)
        if isinstance(event, Message | Started) and AFTER in event.extra:
            self._go_back(event.extra[AFTER])
        if isinstance(event, Message):
            self._message(event)
        elif isinstance(event, Started):
            self._reply(event.generation, event.extra.get("message"))
        elif isinstance(event, Delta):
            self._delta(event.generation, event.text)
        if isinstance(event, Delta) and event.tool is not None:
            self._call(event.generation, event.tool)
        if isinstance(event, Delta) and event.extra:
            fields = self._reply(event.generation).fields
            for name in LISTS:
                if isinstance(held := event.extra.get(name), list):
                    fields.setdefault(name, []).extend(held)

    def _go_back(self, name: object) -> None:
        """To where a message ends; nowhere, if there is none of that name."""
        places = [at for at, turn in enumerate(self._turns) if name in turn.names]
        if places or name is None:
            end = places[-1] + 1 if places else 0
            for turn in self._turns[end:]:
                # Its generation may go on, but nobody is told of it again.
                turn.parts.clear()
                for call in turn.calls.values():
                    self._calls.pop(call.key, None)
                turn.calls.clear()
                turn.fields.clear()
            del self._turns[end:]

    def _message(self, said: Message) -> None:
        if said.role != "tool":
            self._turns.append(_Turn(said.role, said.extra.get("id")))
            self._turns[-1].parts.append(said.text)
            return
        # A result says nothing to an upstream that is not told of the call.
        call = self._calls.get(str(said.extra.get("tool_call_id")))
        if call is not None:
            call.result = said.text

    def _delta(self, generation: str, text: str) -> None:
        if text:
            self._reply(generation).parts.append(text)

    def _reply(self, generation: str, message: object = None) -> _Turn:
        """A generation's reply, begun when it is first heard of."""
        if generation not in self._replies:
            self._replies[generation] = _Turn("assistant", generation, message)
            self._turns.append(self._replies[generation])
        return self._replies[generation]

    def _call(self, generation: str, piece: ToolCall) -> None:
        calls = self._reply(generation).calls
        if piece.index not in calls:
            call = calls[piece.index] = _Call(CallIds(generation).of(piece, 0) or "")
            self._calls[call.key] = call
        calls[piece.index].custom |= piece.custom
        calls[piece.index].name = piece.name or calls[piece.index].name
        calls[piece.index].pieces.append(piece.arguments)
        calls[piece.index].beside |= signed(piece)


def _memory(event: Event) -> int:
    """Bytes that are kept of an event: the texts of a reply are joined, pieces of calls are not."""
    if isinstance(event, Message | Started):
        text = event.text if isinstance(event, Message) else ""
        return TURN_BYTES + text.__sizeof__()
    if not isinstance(event, Delta):
        return 0
    piece = "" if event.tool is None else event.tool.arguments
    fields = {name: held for name, held in event.extra.items() if name in LISTS}
    if event.tool is not None and event.tool.extra_content:
        fields[EXTRA] = event.tool.extra_content
    return (
        (event.text.__sizeof__() - EMPTY_BYTES)
        + (piece.__sizeof__() if piece else 0)
        + (parsed_size(repr(fields).encode()) if fields else 0)
    )


def _parsed(bodies: Sequence[bytes]) -> Iterable[object]:
    try:
        found: list[object] = orjson.loads(b"[%s]" % b",".join(bodies))
    except orjson.JSONDecodeError:
        return [held for body in bodies for held in _one(body)]
    return found


def _one(body: bytes) -> list[object]:
    """What orjson refuses may be JSON nevertheless, and a record of another program is anything."""
    try:
        return [json_text.loads(body)]
    except ValueError:
        return []


class _Call:
    """A tool call of a reply, and what the tool gave once it has."""

    def __init__(self, key: str) -> None:
        self.key = key
        self.name = ""
        self.custom = False
        self.pieces: list[str] = []
        self.beside: dict[str, Any] = {}
        self.result: str | None = None

    def asked(self) -> dict[str, Any]:
        """As it is repeated to an upstream, which takes no arguments that are not JSON."""
        if self.custom:
            custom = {"name": self.name, "input": "".join(self.pieces)}
            return {"id": self.key, "type": "custom", "custom": custom, **self.beside}
        arguments = "".join(self.pieces) or "{}"
        try:
            orjson.loads(arguments)
        except orjson.JSONDecodeError:
            arguments = "{}"
        function = {"name": self.name, "arguments": arguments}
        return {"id": self.key, "type": "function", "function": function, **self.beside}


class _Turn:
    """A message, or a reply: what one side said at once."""

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
        fields = {name: placed(held, numbers) for name, held in self.fields.items()}
        if answered:
            calls = [call.asked() for call in answered]
            yield {"role": self.role, "content": text or None, "tool_calls": calls, **fields}
        elif text:
            yield {"role": self.role, "content": text, **fields}
        for call in answered:
            yield {"role": "tool", "tool_call_id": call.key, "content": call.result}
