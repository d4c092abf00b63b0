"""An LLM endpoint for the benchmark: OpenAI chat completions, streamed from bare sockets.

The model's name says what it answers, ``CHUNKS-RATE-TOGETHER``: so many chunks of 280 bytes,
so many writes a second (0: as many as the socket takes), so many chunks in a write. A first
chunk with the role goes before them, the finish and ``[DONE]`` after.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Iterator
from typing import cast

from bench.servers.driver import port_of, run

CHUNK_BYTES = 280
HEAD = (
    b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream; charset=utf-8\r\n"
    b"Transfer-Encoding: chunked\r\n\r\n"
)


def _chunk(delta: dict[str, str], finish: str | None = None) -> bytes:
    held = {
        "id": "chatcmpl-0123456789abcdef0123456789",
        "object": "chat.completion.chunk",
        "created": 1_700_000_000,
        "model": "bench",
        "system_fingerprint": "fp_0123456789",
        "choices": [{"index": 0, "delta": delta, "logprobs": None, "finish_reason": finish}],
    }
    return b"data: %s\n\n" % json.dumps(held, separators=(",", ":")).encode()


def _text() -> bytes:
    """A chunk of text with a place for its number: LiteLLM takes one that repeats for a loop."""
    short = _chunk({"content": "~%08d"})
    return short.replace(b"%08d", b"%08d" + b"x" * (CHUNK_BYTES - len(short) - 4))


FIRST, TEXT = _chunk({"role": "assistant", "content": ""}), _text()
assert len(TEXT % 0) == CHUNK_BYTES
LAST = _chunk({}, "stop") + b"data: [DONE]\n\n"


def _framed(body: bytes) -> bytes:
    return b"%x\r\n%s\r\n" % (len(body), body)


def _writes(chunks: int, together: int) -> Iterator[bytes]:
    for sent in range(0, chunks, together):
        numbers = range(sent, min(sent + together, chunks))
        yield _framed(b"".join([TEXT % number for number in numbers]))


class Endpoint(asyncio.Protocol):
    """One connection; requests on it come one after another."""

    def __init__(self) -> None:
        self._held = b""
        self._answer: asyncio.Task[None] | None = None
        self._clear = asyncio.Event()
        self._clear.set()

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = cast("asyncio.Transport", transport)  # uvloop's is none by its type

    def connection_lost(self, exc: Exception | None) -> None:
        if self._answer is not None:
            self._answer.cancel()

    def pause_writing(self) -> None:
        self._clear.clear()

    def resume_writing(self) -> None:
        self._clear.set()

    def data_received(self, data: bytes) -> None:
        self._held += data
        head, found, body = self._held.partition(b"\r\n\r\n")
        if not found:
            return
        sizes = [
            line for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")
        ]
        size = int(sizes[0].partition(b":")[2]) if sizes else 0
        if len(body) >= size:
            self._held = body[size:]
            model = json.loads(body[:size])["model"] if size else "0-0-1"
            chunks, rate, together = map(int, model.rpartition("/")[2].split("-"))
            self._answer = asyncio.create_task(self._tell(chunks, rate, together))

    async def _tell(self, chunks: int, rate: int, together: int) -> None:
        loop = asyncio.get_running_loop()
        self._transport.write(HEAD + _framed(FIRST))
        began = loop.time()
        for number, write in enumerate(_writes(chunks, together)):
            if rate:
                await asyncio.sleep(began + number / rate - loop.time())
            await self._clear.wait()
            self._transport.write(write)
        self._transport.write(_framed(LAST) + b"0\r\n\r\n")


async def serve() -> None:
    server = await asyncio.get_running_loop().create_server(Endpoint, "127.0.0.1", 0)
    print(json.dumps({"port": port_of(server)}), flush=True)


if __name__ == "__main__":
    run(serve)
