"""A stream as lines of JSON, from which it can be restored byte for byte.

The first line describes the stream, each other line is a record, from the head to the tail::

    {"streamhub":1,"stream":"chat","content_type":"application/json","head":0,"tail":2,"epochs":[[0,0]]}
    {"offset":0,"body":{"type":"message","role":"user","text":"Hello"}}
    {"offset":1,"body":{"type":"message","role":"user","text":"still there?"}}

``epochs`` are pairs (epoch, first offset), so that positions stay valid. The first line may also
have ``closed``, ``closed_by``, ``ttl``, ``expires_at``, ``owner``, ``creator``, ``sequence``,
``producers`` (epoch and number by id), ``running`` (generations that had not ended) and
``forked_from``. The last is only informative: an export includes the records of the source, and
becomes a stream of its own.

A record holds its bytes in one of three forms: ``body``, unchanged, if they are a JSON value on
one line; ``text`` if they are text; otherwise ``base64``.
"""

from __future__ import annotations

import re
from base64 import b64decode, b64encode
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from datetime import datetime
from typing import IO, Annotated, Any, Final, Literal

import orjson
from pydantic import BaseModel, ConfigDict, Field, ValidationError

from hub.domain import json_text
from hub.domain.errors import RequestError
from hub.domain.events import (
    Delta,
    Dropped,
    Interrupted,
    Queued,
    Started,
    decode,
    encode,
    now,
)
from hub.domain.generation import cut_off, is_own
from hub.domain.producers import Stamp
from hub.domain.records import Record
from hub.domain.stream_settings import StreamSettings
from hub.stores import Saved
from hub.stores.sqlite.inspect import Entry

__all__ = ["Generations", "Header", "header_line", "read_header", "read_records", "record_line"]

LINE_BYTES: Final = 64 * 1024 * 1024
"""The longest line that is read."""

# The bytes of a body are taken from the line itself: parsing and encoding it again would change
# how numbers and strings are spelt.
_BODY: Final = re.compile(
    rb'\s*\{\s*"offset"\s*:\s*([0-9]{1,16})\s*,\s*"body"\s*:\s*(.*\S)\s*\}\s*'
)

_Number = Annotated[int, Field(ge=0, lt=10**16)]

# The store's next epochs are above it, and a position has 16 digits for it.
_Epoch = Annotated[int, Field(ge=0, lt=2**53)]


class Header(BaseModel):
    """The first line of an export."""

    model_config = ConfigDict(frozen=True, strict=True, extra="forbid", hide_input_in_errors=True)

    streamhub: Literal[1]
    stream: str
    content_type: str = Field(min_length=1)
    head: _Number
    tail: _Number
    epochs: list[tuple[_Epoch, _Number]]
    closed: bool = False
    closed_by: tuple[str, _Number, _Number] | None = None
    ttl: _Number | None = None
    expires_at: str | None = None
    owner: str | None = None
    creator: str | None = None
    sequence: str | None = None
    producers: dict[str, tuple[_Number, _Number]] = {}
    running: list[str] = []
    forked_from: dict[str, Any] | None = None

    def saved(self) -> Saved:
        """The stream without its records."""
        return Saved(
            StreamSettings(
                self.content_type,
                self.ttl,
                self.expires_at,
                owner=self.owner,
                creator=self.creator,
            ),
            tuple(self.epochs),
            head=self.head,
            tail=self.tail,
            # A stream of a single generation ends with it.
            closed=self.closed or self.stream in self.running,
            closed_by=None if self.closed_by is None else Stamp(*self.closed_by),
            producers=self.producers,
            sequence=self.sequence,
        )


class Generations:
    """Finds the generations in an export, ends those without a terminal event, and drops prompts
    that wait.

    Nobody continues them in the copy, whether they were ``running`` at the time of the export or
    an older hub left them without an end.
    """

    def __init__(self, running: Iterable[str], head: int, tail: int) -> None:
        self._tail = tail
        self._open = {name: _Open(head) for name in running}
        self._waiting: dict[str, None] = {}
        self._ended: list[tuple[str, int, int]] = []

    def read(self, record: Record) -> None:
        """Take the next record of the export."""
        try:
            event = decode(record.body)
        except RequestError:
            return
        name = getattr(event, "generation", "")
        if isinstance(event, Queued):
            self._waiting[name] = None
            return
        self._waiting.pop(name, None)
        if isinstance(event, Started) and name:
            tokens = None if event.usage is None else event.usage.prompt_tokens
            self._open[name] = _Open(record.offset, tokens)
        elif name not in self._open or isinstance(event, Dropped):
            return
        elif isinstance(event, Delta):
            self._open[name].deltas += 1
        else:
            self._end(name, record.offset)

    def ends(self) -> Iterator[bytes]:
        """An `Interrupted` for each generation without a terminal event, and a `Dropped` for each
        prompt that waits.
        """
        for offset, (name, run) in enumerate(list(self._open.items()), start=self._tail):
            used = cut_off(None, run.prompt_tokens, run.deltas)
            yield encode(Interrupted(name, used, at=now()))
            self._end(name, offset)
        for name in self._waiting:
            yield encode(Dropped(name, at=now()))

    def ended(self) -> Iterator[tuple[str, int, int]]:
        """The hubs' own generations, with the offsets of their first and last event."""
        yield from self._ended

    def _end(self, name: str, offset: int) -> None:
        started = self._open.pop(name).started
        if is_own(name):
            self._ended.append((name, started, offset))


@dataclass(slots=True)
class _Open:
    """A generation without an end; ``deltas`` counts its deltas."""

    started: int
    prompt_tokens: int | None = None
    deltas: int = 0


def header_line(entry: Entry) -> bytes:
    """The first line of a stream's export."""
    settings, fork = entry.settings, entry.settings.fork
    required = {
        "streamhub": 1,
        "stream": entry.name,
        "content_type": settings.content_type,
        "head": entry.head,
        "tail": entry.tail,
        "epochs": entry.epochs,
    }
    optional = {
        "closed": entry.closed,
        "closed_by": entry.closed_by and tuple(entry.closed_by),
        "ttl": settings.ttl,
        "expires_at": settings.expires_at,
        "owner": settings.owner,
        "creator": settings.creator,
        "sequence": entry.sequence,
        "producers": entry.producers or None,
        "running": entry.running or None,
        "forked_from": fork and {"stream": fork.source, "offset": fork.offset},
    }
    given = {
        key: value for key, value in optional.items() if value is not None and value is not False
    }
    return orjson.dumps({**required, **given}) + b"\n"


def record_line(offset: int, body: bytes, settings: StreamSettings) -> bytes:
    """The line of one record."""
    # A JSON value within one line can be read back unchanged.
    if settings.is_json and body == body.strip() and b"\n" not in body and b"\r" not in body:
        return b'{"offset":%d,"body":%b}\n' % (offset, body)
    if settings.is_text:
        try:
            return orjson.dumps({"offset": offset, "text": body.decode()}) + b"\n"
        except UnicodeDecodeError:
            pass  # a character may have been cut between two appends
    return orjson.dumps({"offset": offset, "base64": b64encode(body).decode()}) + b"\n"


def read_header(lines: IO[bytes]) -> Header:
    """Read the first line of an export.

    Raises:
        RequestError: it is not the first line of an export.
    """
    line = _line(lines, 1)
    try:
        header = Header.model_validate_json(line)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(map(str, first["loc"]))
        raise _malformed(1, f"{where}: {first['msg']}" if where else first["msg"]) from None
    firsts = [first for _, first in header.epochs]
    if not header.epochs or header.epochs != sorted(header.epochs) or firsts != sorted(firsts):
        raise _malformed(1, "epochs: must be rising pairs")
    if firsts[-1] > header.tail or header.head > header.tail:
        raise _malformed(1, "tail: must not be before the head or the last epoch")
    if header.ttl is not None and header.expires_at is not None:
        raise _malformed(1, "ttl: cannot be combined with expires_at")
    try:
        datetime.fromisoformat(header.expires_at or "2000-01-01")
    except ValueError:
        raise _malformed(1, "expires_at: must be a time in the format of RFC 3339") from None
    return header


def read_records(lines: IO[bytes], settings: StreamSettings) -> Iterator[Record]:
    """Read the records of an export, after its header.

    Raises:
        RequestError: a line is not a record.
    """
    number = 2
    while line := _line(lines, number):
        if line.strip():
            yield _record(line, number, settings)
        number += 1


def _record(line: bytes, number: int, settings: StreamSettings) -> Record:
    found = _BODY.fullmatch(line)
    try:
        if found is not None:
            json_text.loads(found[2])
            return Record(int(found[1]), found[2], None)
        held = orjson.loads(line)
        offset, body = held["offset"], _body(held)
    except (KeyError, TypeError, ValueError):
        raise _malformed(number, 'must be {"offset":…} with "body", "text" or "base64"') from None
    if type(offset) is not int or offset < 0:
        raise _malformed(number, "offset: must be a whole number")
    if settings.is_json:
        try:
            json_text.loads(body)
        except ValueError:
            raise _malformed(number, "must hold a JSON value, as its stream does") from None
    return Record(offset, body, None)


def _body(held: dict[str, Any]) -> bytes:
    text = held.get("text")
    return text.encode() if isinstance(text, str) else b64decode(held["base64"], validate=True)


def _line(lines: IO[bytes], number: int) -> bytes:
    line = lines.readline(LINE_BYTES + 1)
    if len(line) > LINE_BYTES:
        raise _malformed(number, f"is longer than {LINE_BYTES} bytes")
    return line


def _malformed(number: int, what: str) -> RequestError:
    return RequestError(f"line {number} is not part of an export: {what}", code="export_malformed")
