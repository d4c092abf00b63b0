"""The cases, and a server that answers with one of them byte by byte."""

from __future__ import annotations

import asyncio
import json
import random
from collections.abc import AsyncIterator, Iterator, Mapping
from contextlib import asynccontextmanager, suppress
from pathlib import Path
from typing import Any, Literal, NamedTuple

__all__ = ["CASES", "Case", "Cut", "serving", "tables"]

Cut = Literal["whole", "bytes", "random"]

STAND_IN = (
    b'data: {"choices":[{"index":0,"delta":{"content":"from the stand-in"},"finish_reason":null}]}'
    b'\n\ndata: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}'
    b'\n\ndata: {"choices":[],"usage":{"prompt_tokens":7,"completion_tokens":3}}\n\n'
    b"data: [DONE]\n\n"
)


class Case(NamedTuple):
    """One reply of an upstream; see README.md beside this file."""

    name: str
    kind: str
    dialect: str
    head: bytes
    body: bytes
    chunked: bool
    end: str
    fallback: bool
    expected: list[dict[str, Any]]
    options: Mapping[str, Any]

    def __str__(self) -> str:
        return self.name

    @classmethod
    def of(cls, held: Mapping[str, Any]) -> Case:
        return cls(
            name=held["name"],
            kind=held["kind"],
            dialect=held["dialect"],
            head=held["head"].encode("latin-1"),
            body=held["body"].encode("latin-1"),
            chunked=held["chunked"],
            end=held["end"],
            fallback=bool(held.get("fallback")),
            expected=held["expected"],
            options=held.get("options") or {},
        )

    def pieces(self, cut: Cut) -> list[bytes]:
        """The body as it is sent: in one write, byte by byte, or cut at random."""
        if cut == "whole":
            return [self.body] if self.body else []
        size = 1
        pieces, at = [], 0
        chance = random.Random(self.name)  # noqa: S311  # the same cuts in every run
        while at < len(self.body):
            if cut == "random":
                size = chance.randint(1, 40)
            pieces.append(self.body[at : at + size])
            at += size
        return pieces

    def wire(self, cut: Cut) -> Iterator[bytes]:
        """The whole answer, write by write."""
        yield self.head
        for piece in self.pieces(cut):
            yield b"%x\r\n%b\r\n" % (len(piece), piece) if self.chunked else piece
        if self.chunked and self.end == "clean":
            yield b"0\r\n\r\n"


CASES = [
    Case.of(held) for held in json.loads((Path(__file__).parent / "upstream.json").read_bytes())
]


@asynccontextmanager
async def serving(case: Case, cut: Cut) -> AsyncIterator[str]:
    """A server that answers every request with the case; its stand-in answers below ``/other``."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        # A connection that can be used again may be, as the stand-in is on the same server.
        with suppress(ConnectionError, asyncio.IncompleteReadError):
            await one(reader, writer)
            while case.chunked and case.end == "clean":
                await one(reader, writer)
        writer.close()

    async def one(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = (await reader.readuntil(b"\r\n\r\n")).lower()
        length = int(head.partition(b"content-length:")[2].split(b"\r\n")[0] or 0)
        await reader.readexactly(length)
        if b" /other" in head.split(b"\r\n")[0]:
            writer.write(
                b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\n"
                b"Content-Length: %d\r\n\r\n%b" % (len(STAND_IN), STAND_IN)
            )
        else:
            for piece in case.wire(cut):
                writer.write(piece)
                await writer.drain()
                if cut != "whole":
                    await asyncio.sleep(0)  # a read of its own for most of them
        await writer.drain()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    async with server:
        yield f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}"


def tables(case: Case, url: str) -> dict[str, Any]:
    """The hub's configuration: the upstream of a case, and its stand-in."""
    patience = {"retries": 0, "stall_timeout": 5.0}
    asked: dict[str, Any] = {
        "dialect": case.dialect,
        "url": f"{url}/v1",
        "model": "m",
        "options": dict(case.options),
        **patience,
    }
    if case.fallback:
        asked["fallback"] = ["other"]
    other = {"dialect": "openai-chat", "url": f"{url}/other", "model": "m", **patience}
    return {"upstreams": {"asked": asked, "other": other}, "default_upstream": "asked"}
