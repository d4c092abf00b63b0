"""The conversations in streams, as they are sent to an upstream before a prompt."""

from __future__ import annotations

import sys
from collections.abc import Mapping
from typing import Any, Final, NamedTuple
from weakref import WeakKeyDictionary

from hub.connections.one_at_a_time import OneAtATime
from hub.domain import defaults
from hub.domain.branches import AFTER
from hub.domain.conversation import TURN_BYTES, Conversation
from hub.domain.errors import MessageNotFound, TooLarge
from hub.domain.events import NOTHING, Event, Message, Started, now
from hub.domain.generation import Generation
from hub.domain.generation_request import GenerationRequest
from hub.domain.memory_budget import MemoryBudget
from hub.domain.prompt import Prompt, beside_of, input_of
from hub.domain.records import Position
from hub.streams.followed import FollowedStream

__all__ = ["Conversations", "Messages", "Past", "beginning_of", "memory_of"]

Messages = tuple[Mapping[str, Any], ...]

MESSAGE_BYTES: Final = 300
"""Memory that a message takes besides its text."""

CONVERSATIONS: Final = 100
CONVERSATION_BYTES: Final = 32 * 1024 * 1024
"""The conversations that are kept in memory, and the bytes that they may take: reading a long one
again from its beginning takes tens of milliseconds."""


REPLACED: Final = 4
"""A conversation takes at most so many times the bytes of the largest prompt in memory, with what
was replaced in it. One character can make a text four times as large."""


class Past(NamedTuple):
    """What a request continues: the messages before it, and the fields that say so in its event."""

    messages: Messages = ()
    fields: Mapping[str, Any] = NOTHING


class Conversations:
    """Reads the messages of streams, and keeps those that were used last.

    A conversation of more than ``most`` messages, or `REPLACED` times ``prompt_bytes``, is refused,
    and not read again. What is read takes from ``allowance``: a stream may be as large
    as the disk, and its forks are as large at no cost. So each caller has one read at a time, too,
    in turns with all others; without authentication each stream is.
    """

    def __init__(
        self,
        most: int,
        *,
        prompt_bytes: int = defaults.PROMPT_BYTES,
        allowance: MemoryBudget | None = None,
    ) -> None:
        self._most = most
        self._most_bytes = REPLACED * prompt_bytes
        self._allowance = MemoryBudget(sys.maxsize) if allowance is None else allowance
        self._turns = OneAtATime()
        self._read: WeakKeyDictionary[FollowedStream, Conversation] = WeakKeyDictionary()
        """The oldest first."""
        self._refused: WeakKeyDictionary[FollowedStream, tuple[int, str]] = WeakKeyDictionary()
        """The heads of streams whose conversations are too long, and what is said of them."""

    @property
    def kept(self) -> list[str]:
        """The names of the streams whose conversations are in memory."""
        return [stream.name for stream in self._read]

    async def before(self, stream: FollowedStream, request: GenerationRequest) -> Past:
        """What a request continues in a stream, up to its tail when this returns.

        Raises:
            TooLarge: there are too many messages, or they are too long.
            LimitExceeded: there is no memory left for them.
            MessageNotFound: there is none that it comes after, or whose branch it continues, or
                that it asks to answer again.
        """
        if request.prompt is None and request.after is None:
            return Past()
        async with self._turns.of(request.counted_as or f"stream {stream.name}"):
            # From its end on nothing waits.
            conversation = await self._whole(stream, request.counted_as)
        place, fields = None, NOTHING
        if request.after is not None:
            place, fields = conversation.find(request.after), {AFTER: request.after or None}
        elif request.branch is not None:
            place, offset = conversation.newest(request.branch)
            fields = {} if offset is None else {AFTER: str(Position(stream.epoch, offset))}
        past = conversation.messages(place) if request.messages is None else ()
        if not (past or request.prompt or request.messages):
            raise MessageNotFound("nothing has been said there that could be answered")
        return Past(past, fields)

    async def _whole(self, stream: FollowedStream, caller: str | None) -> Conversation:
        """The conversation of a stream; only what is new in it is read, for a caller.

        Raises:
            TooLarge, LimitExceeded: as `before`.
        """
        head, why = self._refused.get(stream, (-1, ""))
        if head == stream.head:
            raise TooLarge(why)
        past = self._read.pop(stream, None)
        if past is None or past.start != stream.head:
            past = Conversation(stream.head)
        with self._allowance.growing(caller) as more:
            async for records in stream.stretches(past.end):
                before, past.end = past.size, records[0].offset
                past.read([record.body for record in records])
                self._check(stream, past)
                more(past.size - before)
        past.end = stream.tail
        if past.size <= CONVERSATION_BYTES:
            self._read[stream] = past
        size = sum(one.size for one in self._read.values())
        while size > CONVERSATION_BYTES or len(self._read) > CONVERSATIONS:
            size -= self._read.pop(next(iter(self._read))).size
        return past

    def _check(self, stream: FollowedStream, past: Conversation) -> None:
        """Check that a conversation is not too long, as far as it is read.

        Raises:
            TooLarge: it is.
        """
        if past.count > self._most:
            limit = f"{self._most} messages, with those that were replaced (limits.prompt_messages)"
        elif past.size > self._most_bytes + TURN_BYTES * past.count:
            limit = f"{self._most_bytes} bytes, with what was replaced (limits.prompt_bytes)"
        else:
            return
        why = (
            f"the conversation has more than {limit}: begin another one, or send what matters as "
            '"messages"'
        )
        self._refused[stream] = past.start, why
        raise TooLarge(why)


def beginning_of(
    request: GenerationRequest, past: Past, generation: Generation
) -> tuple[Prompt, list[Event]]:
    """What an upstream is sent, and the events with which the generation begins, its own last."""
    said: list[Event] = list(request.said)
    messages, beside = request.messages or past.messages, request.beside
    if request.prompt is None:
        beside = {**beside, **past.fields}
    else:
        said.insert(0, Message("user", request.prompt, request.author, now(), past.fields))
        messages = (*messages, {"role": "user", "content": request.prompt})
    prompt = Prompt(messages, request.model, request.options, request.items)
    generation.asked = prompt.tokens()
    return prompt, [*said, generation.apply(Started(extra=beside))]


def memory_of(past: Messages) -> int:
    """Bytes of memory that messages and their tool calls take."""
    texts = [message["content"] or "" for message in past]
    texts += [input_of(call) for message in past for call in message.get("tool_calls", ())]
    return sum(MESSAGE_BYTES + text.__sizeof__() for text in texts) + sum(map(beside_of, past))
