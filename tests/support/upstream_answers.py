"""What a scripted upstream says: answers made of steps, and ready-made pieces of them.

An `Answer` is a head, and steps that are taken in turn: bytes are sent, a number is a pause
in seconds, a `Gate` waits for the test, an `Ending` leaves the client in one of several bad
ways. `Wire` gives the bytes of an answer as HTTP/1 has them, true or not.
"""

from __future__ import annotations

import asyncio
import json
import zlib
from collections.abc import Iterable, Iterator, Mapping
from enum import Enum, auto
from itertools import pairwise
from typing import Any, Literal

from tests.support.patience import PATIENCE

__all__ = [
    "Answer",
    "Coding",
    "Ending",
    "Framing",
    "Gate",
    "Step",
    "Wire",
    "ollama_ndjson",
    "openai_block",
    "openai_sse",
    "refusal",
]

"""Seconds that a test waits for what must come: long, because nobody waits for it but who
fails, and the machine may be busy with something else."""


class Ending(Enum):
    """How an answer ends when it does not end as it should."""

    CLOSE = auto()  # a FIN in the middle of the body
    RESET = auto()  # an RST in the middle of the body
    HANG = auto()  # nothing more, until the client leaves


class Gate:
    """A place in a script where the upstream waits until the test opens it."""

    def __init__(self) -> None:
        self._reached = asyncio.Event()
        self._opened = asyncio.Event()

    async def reached(self) -> None:
        """Return when the upstream stands at the gate: all before it has been sent."""
        async with asyncio.timeout(PATIENCE):
            await self._reached.wait()

    def open(self) -> None:
        self._opened.set()

    async def passed(self) -> None:
        """The upstream's side: arrive, and wait."""
        self._reached.set()
        await self._opened.wait()


Step = bytes | float | Gate | Ending
Framing = Literal["chunked", "length", "close", "raw"]
Coding = Literal["gzip", "deflate"]


class Answer:
    """The script of one answer.

    ``framing`` is what marks the end of the body: ``chunked`` (each piece of bytes is one
    HTTP chunk), ``length`` (a Content-Length), ``close`` (HTTP/1.0, the end of the
    connection), or ``raw``: the bytes of the steps are the whole answer, head and all.
    ``length`` overrides the Content-Length, to lie. ``reason`` may be ``None`` (a status
    line that ends after the number). ``coding`` compresses the body, a flush a piece.
    """

    def __init__(
        self,
        *steps: Step,
        status: int = 200,
        reason: str | None = "OK",
        type: str | None = "text/event-stream",  # noqa: A002  # the name HTTP gives it
        headers: Mapping[str, str] | None = None,
        framing: Framing = "chunked",
        coding: Coding | None = None,
        length: int | None = None,
    ) -> None:
        self.steps = steps
        self.status = status
        self.reason = reason
        self.type = type
        self.headers = dict(headers or {})
        self.framing: Framing = framing
        self.coding: Coding | None = coding
        self.length = length

    def cut(self, *places: int) -> Answer:
        """The same answer with its bytes sent in pieces, cut at these offsets."""
        return self._with(_cut(self.steps, sorted(set(places))), self.length)

    def stop(self, place: int, ending: Ending) -> Answer:
        """The same answer up to this offset of its bytes, then a bad ending."""
        return self._with((*_until(self.steps, place), ending), Wire(self).length())

    def raw(self) -> Answer:
        """The same answer as bytes of the wire, so that ``cut`` and ``stop`` can be
        anywhere: in the head, in the size of an HTTP chunk, before the last CRLF."""
        wire = Wire(self)
        pieces = [wire.head(), *map(wire.piece, self.pieces()), wire.end()]
        closes = [Ending.CLOSE] if self.framing == "close" else []
        return Answer(b"".join(pieces), *closes, framing="raw")

    @property
    def body(self) -> bytes:
        """The bytes of all steps together."""
        return b"".join(self.pieces())

    def pieces(self) -> Iterator[bytes]:
        return (step for step in self.steps if isinstance(step, bytes))

    def _with(self, steps: Iterable[Step], length: int | None) -> Answer:
        return Answer(
            *steps,
            status=self.status,
            reason=self.reason,
            type=self.type,
            headers=self.headers,
            framing=self.framing,
            coding=self.coding,
            length=length,
        )


def _cut(steps: Iterable[Step], places: list[int]) -> Iterator[Step]:
    start = 0
    for step in steps:
        if not isinstance(step, bytes):
            yield step
            continue
        edges = [0, *(p - start for p in places if start < p < start + len(step)), len(step)]
        yield from (step[a:b] for a, b in pairwise(edges))
        start += len(step)


def _until(steps: Iterable[Step], place: int) -> Iterator[Step]:
    for step in steps:
        if isinstance(step, bytes):
            if place < len(step):
                yield step[:place]
                return
            place -= len(step)
        yield step


class Wire:
    """The bytes of one answer as HTTP/1 has them."""

    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        # 31 is zlib's number for the gzip format, 15 for its own, HTTP's "deflate".
        bits = {"gzip": 31, "deflate": 15}
        coding = answer.coding
        self._squeeze = zlib.compressobj(wbits=bits[coding]) if coding else None

    def head(self) -> bytes:
        answer = self._answer
        if answer.framing == "raw":
            return b""
        version = "HTTP/1.0" if answer.framing == "close" else "HTTP/1.1"
        reason = "" if answer.reason is None else f" {answer.reason}"
        lines = [f"{version} {answer.status}{reason}"]
        if answer.type is not None:
            lines.append(f"Content-Type: {answer.type}")
        if answer.coding is not None:
            lines.append(f"Content-Encoding: {answer.coding}")
        if answer.framing == "chunked":
            lines.append("Transfer-Encoding: chunked")
        if answer.framing == "length":
            lines.append(f"Content-Length: {self.length()}")
        lines += [f"{name}: {value}" for name, value in answer.headers.items()]
        return "\r\n".join([*lines, "", ""]).encode("latin-1")

    def piece(self, piece: bytes) -> bytes:
        if self._squeeze is not None:
            piece = self._squeeze.compress(piece) + self._squeeze.flush(zlib.Z_SYNC_FLUSH)
        return self._framed(piece)

    def end(self) -> bytes:
        rest = self._framed(self._squeeze.flush()) if self._squeeze is not None else b""
        return rest + (b"0\r\n\r\n" if self._answer.framing == "chunked" else b"")

    def _framed(self, piece: bytes) -> bytes:
        if self._answer.framing == "chunked" and piece:
            return b"%x\r\n%b\r\n" % (len(piece), piece)
        return piece

    def length(self) -> int:
        """The Content-Length: the bytes of all pieces, compressed if they are."""
        if self._answer.length is not None:
            return self._answer.length
        rehearsal = Wire(Answer(*self._answer.steps, framing="close", coding=self._answer.coding))
        pieces = map(rehearsal.piece, self._answer.pieces())
        return sum(map(len, pieces)) + len(rehearsal.end())


def openai_block(delta: Mapping[str, Any] | None, **fields: Any) -> bytes:
    """One block of an OpenAI chat stream: ``delta`` of its one choice, or no choice.

    ``finish_reason`` goes into the choice, every other field beside ``choices``.
    """
    chosen = {"index": 0, "delta": delta, "finish_reason": fields.pop("finish_reason", None)}
    chunk = {
        "id": "chatcmpl-1",
        "object": "chat.completion.chunk",
        "created": 1,
        "model": "scripted",
        "choices": [] if delta is None else [chosen],
        **fields,
    }
    return b"data: " + json.dumps(chunk, ensure_ascii=False).encode() + b"\n\n"


def openai_sse(
    *texts: str,
    reason: str | None = "stop",
    usage: Mapping[str, int] | None = None,
    done: bool = True,
) -> tuple[bytes, ...]:
    """The blocks of an OpenAI chat stream with one delta for each text.

    ``reason=None`` and ``done=False`` leave out the two terminators.
    """
    blocks = [openai_block({"role": "assistant", "content": ""})]
    blocks += [openai_block({"content": text}) for text in texts]
    if reason is not None:
        blocks.append(openai_block({}, finish_reason=reason))
    if usage is not None:
        blocks.append(openai_block(None, usage=usage))
    if done:
        blocks.append(b"data: [DONE]\n\n")
    return tuple(blocks)


def ollama_ndjson(*texts: str, done: bool = True) -> tuple[bytes, ...]:
    """The lines of an Ollama chat stream; ``done=False`` leaves out the terminator."""
    lines: list[dict[str, Any]] = [
        {"model": "scripted", "message": {"role": "assistant", "content": text}, "done": False}
        for text in texts
    ]
    if done:
        said = {"role": "assistant", "content": ""}
        counts = {"prompt_eval_count": 3, "eval_count": len(texts)}
        end = {"model": "scripted", "message": said, "done": True, "done_reason": "stop"}
        lines.append({**end, **counts})
    return tuple(json.dumps(line, ensure_ascii=False).encode() + b"\n" for line in lines)


def refusal(
    status: int,
    message: str,
    *,
    reason: str | None = "Refused",
    retry_after: str | float | None = None,
) -> Answer:
    """A non-2xx answer with the usual JSON body, and ``Retry-After`` if one is given."""
    return Answer(
        json.dumps({"error": {"message": message}}).encode(),
        status=status,
        reason=reason,
        type="application/json",
        framing="length",
        headers={} if retry_after is None else {"Retry-After": str(retry_after)},
    )
