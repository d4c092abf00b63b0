"""What a coordinator and its hubs say to each other, as bytes.

A message has words, which are JSON, and perhaps bodies, which are bytes. It consists of the length
of its words and that of its bodies (4 bytes each, big-endian), the words as a JSON array, and the
bodies (`hub.stores.packed`). Messages follow one another without anything between them.

A hub asks with ``[id, operation, …]``, ids counting from 1, and is answered once, in any order::

    [id, "ok", …]           what came of it
    [id, "no", type, …]     an error, which is raised in the hub
    [id, "settling", ms]    others may still put back what was lost: ask again after so long

A change of a stream that the hub listens to comes as ``[0, stream, change, epoch, first, fields]``,
and what another hub says on a topic as ``[0, topic]`` with one body.
"""

from __future__ import annotations

import struct
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple

import orjson

from hub.domain import errors
from hub.domain.errors import HubError, ProducerFenced, ProducerGap, StoreError, StreamClosed
from hub.domain.producers import Stamp
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores.packed import Damaged, pack, unpack
from hub.stores.shared import Bodies, Entry, Notice, State, Ticked, Written

__all__ = [
    "MESSAGE_BYTES",
    "TOPIC",
    "VERSION",
    "Damaged",
    "Message",
    "Parser",
    "bodies_of",
    "encode",
    "entries_from",
    "entries_words",
    "error_from",
    "error_words",
    "notice_from",
    "notice_message",
    "settings_from",
    "settings_words",
    "state_from",
    "state_words",
    "ticked_from",
    "written_from",
]

VERSION: Final = 2
"""The form of all messages; a coordinator refuses hubs of another one."""

MESSAGE_BYTES: Final = 64 * 1024 * 1024
"""The longest message."""

TOPIC: Final = "\0"
"""What the names of topics begin with, and no name of a stream."""

Words = Sequence[Any]

_LENGTHS: Final = struct.Struct(">II")


class Message(NamedTuple):
    """The words of a message, and its bodies as one string."""

    words: list[Any]
    blob: bytes = b""

    @property
    def bodies(self) -> list[bytes]:
        """Its bodies.

        Raises:
            Damaged: they are none.
        """
        return unpack(self.blob)


def encode(words: Words, bodies: Bodies = ()) -> bytes:
    """A message as bytes; named tuples among the words are arrays, too."""
    said = orjson.dumps(words, default=tuple)
    blob = pack(bodies) if bodies else b""
    return _LENGTHS.pack(len(said), len(blob)) + said + blob


class Parser:
    """Finds the messages in bytes that come cut anywhere."""

    def __init__(self, most: int = MESSAGE_BYTES) -> None:
        self._most = most
        self._rest = bytearray()

    def feed(self, data: bytes) -> list[Message]:
        """The messages that are complete with ``data``.

        Raises:
            Damaged: that is no message, or one that is too long; nothing after it is understood.
        """
        found: list[Message] = []
        source: bytes | bytearray = data
        if self._rest:
            self._rest += data
            source = self._rest
        at, end = 0, len(source)
        while end - at >= _LENGTHS.size:
            said, blob = _LENGTHS.unpack_from(source, at)
            if said + blob > self._most:
                raise Damaged(f"a message of {said + blob} bytes is too long")
            start = at + _LENGTHS.size
            if start + said + blob > end:
                break
            at = start + said + blob
            found.append(_message(source[start : start + said], source[start + said : at]))
        if source is data:
            self._rest += data[at:]
        else:
            del self._rest[:at]
        return found


def _message(said: bytes | bytearray, blob: bytes | bytearray) -> Message:
    try:
        words = orjson.loads(said)
    except orjson.JSONDecodeError:
        raise Damaged("the words of a message are not JSON") from None
    if not isinstance(words, list) or len(words) < 2 or not isinstance(words[0], int):
        raise Damaged("a message has no number")
    return Message(words, bytes(blob))


# Values


def stamp_from(words: Words | None) -> Stamp | None:
    return None if words is None else Stamp(*words)


def written_from(words: Words) -> Written:
    return Written(*words)


def ticked_from(words: Words) -> Ticked:
    written, *others = words
    return Ticked(None if written is None else Written(*written), *others)


def settings_words(settings: StreamSettings) -> Words:
    fork = settings.fork
    return (
        *(settings.content_type, settings.ttl, settings.expires_at),
        *((None, 0) if fork is None else (fork.source, fork.offset)),
        *(settings.owner, settings.creator, "" if fork is None else fork.token),
    )


def settings_from(words: Words) -> StreamSettings:
    content_type, ttl, expires_at, source, offset, owner, creator, token = words
    fork = None if source is None else Fork(source, offset, token)
    return StreamSettings(content_type, ttl, expires_at, fork, owner, creator)


def entries_words(entries: Iterable[Entry]) -> Words:
    """Entries without their bodies (`bodies_of`)."""
    return [(entry.first, len(entry.bodies)) for entry in entries]


def bodies_of(entries: Iterable[Entry]) -> list[bytes]:
    return [body for entry in entries for body in entry.bodies]


def entries_from(words: Words, bodies: Bodies) -> list[Entry]:
    """
    Raises:
        Damaged: the bodies are not those of the entries.
    """
    entries: list[Entry] = []
    at = 0
    for first, count in words:
        entries.append(Entry(first, bodies[at : at + count]))
        at += count
    if at != len(bodies):
        raise Damaged(f"{at} records are told of, and there are {len(bodies)}")
    return entries


_SAME: Final = (
    *("born", "life", "head", "tail", "change", "closed", "sequence", "hidden", "forks"),
    *("expires", "running", "node", "number", "began", "queue", "prompts"),
)
"""Fields of a state that are words as they are."""


def state_words(state: State) -> Mapping[str, Any]:
    """A state without its bodies, which are those of its entries in their order."""
    return {
        **{name: getattr(state, name) for name in _SAME},
        "settings": settings_words(state.settings),
        "epochs": state.epochs,
        "entries": entries_words(state.entries),
        "producers": dict(state.producers),
        "closed_by": state.closed_by,
    }


def state_from(words: Mapping[str, Any], bodies: Bodies) -> State:
    """
    Raises:
        Damaged: the bodies are not those of the entries.
    """
    return State(
        **{name: words[name] for name in _SAME},
        settings=settings_from(words["settings"]),
        epochs=tuple((epoch, first) for epoch, first in words["epochs"]),
        entries=entries_from(words["entries"], bodies),
        producers={name: (epoch, number) for name, (epoch, number) in words["producers"].items()},
        closed_by=stamp_from(words["closed_by"]),
    )


def notice_message(
    stream: str, change: int, epoch: int, first: int, told: Mapping[str, Any], bodies: Bodies
) -> bytes:
    """A change of a stream; ``told`` are the other fields of `Notice` that are not ``None``."""
    return encode((0, stream, change, epoch, first, told), bodies)


def notice_from(message: Message) -> tuple[str, Notice]:
    """The stream that has changed, and how.

    Raises:
        Damaged: that is no change.
    """
    try:
        _, stream, change, epoch, first, told = message.words
        for name in ("stamp", "closed_by"):
            if told.get(name) is not None:
                told[name] = Stamp(*told[name])
        return stream, Notice(change, epoch, first, message.bodies, **told)
    except (AttributeError, TypeError, ValueError) as error:
        raise Damaged(f"a change cannot be read: {error}") from None


# Errors


def error_words(error: HubError) -> Words:
    """An error as words."""
    more: list[Any] = []
    if isinstance(error, StreamClosed):
        more = [error.position]
    elif isinstance(error, ProducerFenced):
        more = [error.epoch]
    elif isinstance(error, ProducerGap):
        more = [error.expected, error.received]
    return (type(error).__name__, error.message, error.code, *more)


def error_from(words: Words) -> HubError:
    """The error that somebody has told as words."""
    name, message, code, *more = words
    kind = getattr(errors, name, None)
    if kind is StreamClosed:
        return StreamClosed(message, code=code, position=more[0])
    if kind is ProducerFenced:
        return ProducerFenced(message, epoch=more[0])
    if kind is ProducerGap:
        return ProducerGap(message, expected=more[0], received=more[1])
    if isinstance(kind, type) and issubclass(kind, HubError):
        return kind(message, code=code)
    return StoreError(message, code=code)
