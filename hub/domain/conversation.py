"""Read a stream as a conversation: the messages so far, as an upstream takes them.

A stream only grows, but a conversation can go back, to regenerate a reply or to edit a question.
The event that starts the new branch names, in its field ``after``, what the branch continues from
(`hub.domain.branches`).

::

    {"type":"message","role":"user","text":"Hi","id":"q1"}
    {"type":"started","generation":"gen_1"}  …          a reply
    {"type":"started","generation":"gen_2","after":"q1"}  …  another reply in its place

An upstream is sent one branch: that of the last turn, or any other that a prompt continues.

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
from hub.domain.branches import AFTER, START, Branches
from hub.domain.errors import MessageNotFound, RequestError
from hub.domain.events import NOTHING, Delta, Event, Message, Started, ToolCall, from_json
from hub.domain.media import IMAGES, MEDIA, image_parts
from hub.domain.memory_budget import parsed_size
from hub.domain.provider_fields import EXTRA, LISTS, is_signed_media, placed, signed
from hub.domain.tool_call_ids import CallIds

__all__ = ["AFTER", "TURN_BYTES", "Conversation"]

PIECE_BYTES: Final = 8
"""Memory of a reference to a piece of text."""

TURN_BYTES: Final = 600
"""Memory of a turn, or of a call, besides its text."""


class Conversation:
    """The conversation between two offsets of a stream; reading more records extends it."""

    def __init__(self, start: int = 0) -> None:
        self.start = self.end = start
        self.size = 0
        """An upper bound of its bytes in memory."""
        self.count = 0
        """The messages, replies and tool calls that were read, of all branches."""
        self._turns: Branches[_Turn] = Branches()
        self._replies: dict[str, _Turn] = {}
        self._calls: dict[str, _Call] = {}
        self._pictured: list[Any] = []
        """The images that are kept."""

    def messages(self, place: int | None = None) -> tuple[Mapping[str, Any], ...]:
        """The messages up to a place of `find` or `newest`, by default the last one."""
        turns = self._turns.branch(self._turns.last if place is None else place)
        return tuple(message for turn in turns for message in turn.messages())

    def find(self, name: str) -> int:
        """The place that a name or a position means; that of the beginning for an empty one.

        Raises:
            MessageNotFound: nothing has that name.
        """
        place = START if name == "" else self._turns.find(name)
        if place is None:
            raise MessageNotFound(f'no message of the conversation is called "{name[:100]}"')
        return place

    def newest(self, name: str) -> tuple[int, int | None]:
        """Where the branch with a message has got to, and the offset after the beginning of that.

        The offset is ``None`` if the next turn goes there anyway.

        Raises:
            MessageNotFound: nothing has that name.
        """
        place = self._turns.newest(self.find(name))
        return place, None if place == self._turns.last else self._turns.begins(place) + 1

    def read(self, bodies: Sequence[bytes]) -> None:
        """Read the bodies of the records from ``end`` on.

        Nearly all are deltas of plain text, and a client is waiting. Parsing thousands at once
        without making events of them takes a tenth of the time.
        """
        speaking: str | None = None
        said: list[str] = []
        for offset, value in enumerate(_parse_all(bodies), start=self.end):
            if type(value) is dict and len(value) == 3 and value.get("type") == "delta":
                generation, text = value.get("generation"), value.get("text")
                if type(generation) is str and type(text) is str:
                    if text:
                        if generation != speaking:
                            self._say(speaking, said)
                            speaking = generation
                            self._reply(generation, offset)
                        said.append(text)
                    continue
            self._say(speaking, said)
            speaking = None
            with suppress(RequestError):  # not an event, so not part of the conversation
                self._take(from_json(value), offset)
        self._say(speaking, said)
        self.end += len(bodies)

    def _say(self, generation: str | None, said: list[str]) -> None:
        """Add what a generation said to its turn as one text.

        Each text takes 50 bytes besides its letters, and nearly all are short.
        """
        if generation is None:
            return
        text = "".join(said)
        said.clear()
        self._replies[generation].parts.append(text)
        self.size += PIECE_BYTES + text.__sizeof__()

    def take(self, event: Event) -> None:
        """Read the event of the record at ``end``."""
        self._take(event, self.end)
        self.end += 1

    def _take(self, event: Event, offset: int) -> None:
        self.size += _memory(event)
        if isinstance(event, Message):
            self._add_message(event, offset)
        elif isinstance(event, Started):
            self._reply(event.generation, offset, event.extra)
        elif isinstance(event, Delta):
            if event.text:
                self._reply(event.generation, offset).parts.append(event.text)
            if event.tool is not None:
                self._add_call(event.generation, event.tool, offset)
            if event.extra:
                reply = self._reply(event.generation, offset)
                for name in LISTS:
                    if isinstance(value := event.extra.get(name), list):
                        reply.fields.setdefault(name, []).extend(value)
                if is_signed_media(event.extra):
                    self._add_images(reply, event)

    def _add_images(self, reply: _Turn, event: Delta) -> None:
        """Keep signed images, and only those of one reply: a long conversation would be too large.

        `hub.domain.provider_fields` says how they go back.
        """
        images = reply.fields.setdefault(IMAGES, [])
        if self._pictured is not images:
            self._pictured.clear()
            self._pictured = images
        images += image_parts(event.extra)

    def _add_message(self, message: Message, offset: int) -> None:
        if message.role != "tool":
            turn = _Turn(message.role)
            turn.parts.append(message.text)
            self._append(turn, offset, [message.extra.get("id")], message.extra)
            return
        # A result is of no use to an upstream without the call.
        call = self._calls.get(str(message.extra.get("tool_call_id")))
        if call is not None:
            call.result = message.text

    def _reply(self, generation: str, offset: int, extra: Mapping[str, Any] = NOTHING) -> _Turn:
        """A generation's turn, created at its first event."""
        turn = self._replies.get(generation)
        if turn is None:
            turn = self._replies[generation] = _Turn("assistant")
            self._append(turn, offset, [generation, extra.get("message")], extra)
        return turn

    def _append(
        self, turn: _Turn, offset: int, names: Sequence[object], fields: Mapping[str, Any]
    ) -> None:
        self._turns.add(turn, offset, names, fields)
        self.count += 1
        self.size += TURN_BYTES + sum(name.__sizeof__() for name in names if isinstance(name, str))

    def _add_call(self, generation: str, piece: ToolCall, offset: int) -> None:
        calls = self._reply(generation, offset).calls
        call = calls.get(piece.index)
        if call is None:
            call = calls[piece.index] = _Call(CallIds(generation).of(piece, 0) or "")
            self._calls[call.key] = call
            self.count += 1
            self.size += TURN_BYTES + call.key.__sizeof__()
        call.custom |= piece.custom
        if piece.name and piece.name != call.name:
            call.name = piece.name
            self.size += call.name.__sizeof__()
        call.pieces.append(piece.arguments)
        call.signed |= signed(piece)


def _memory(event: Event) -> int:
    """Bytes kept of an event, besides the turn that it may begin."""
    if isinstance(event, Message):
        return event.text.__sizeof__()
    if not isinstance(event, Delta):
        return 0
    pieces = (event.text, "" if event.tool is None else event.tool.arguments)
    kept = (*LISTS, MEDIA) if is_signed_media(event.extra) else LISTS
    fields = {name: value for name, value in event.extra.items() if name in kept}
    if event.tool is not None and event.tool.extra_content:
        fields[EXTRA] = event.tool.extra_content
    return sum(PIECE_BYTES + piece.__sizeof__() for piece in pieces if piece) + (
        parsed_size(repr(fields).encode()) if fields else 0
    )


def _parse_all(bodies: Sequence[bytes]) -> Iterator[object]:
    """The JSON of each body; ``None`` for one that is none."""
    values: list[object] = []
    with suppress(orjson.JSONDecodeError):
        values = orjson.loads(b"[%s]" % b",".join(bodies))
    if len(values) == len(bodies):
        yield from values
    else:
        # Some valid JSON is refused by orjson, and other programs may have written anything.
        for body in bodies:
            try:
                yield json_text.loads(body)
            except ValueError:
                yield None


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

    def __init__(self, role: str) -> None:
        self.role = role
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
