"""A little that unpacks to very much is refused while it is unpacked, from either side."""

from __future__ import annotations

import asyncio
import gzip
import tracemalloc
import zlib
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any, Final

import pytest
from aiohttp.compression_utils import ZLibDecompressor

from tests.conftest import StartHub
from tests.support.loop_rounds import Rounds
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, openai_sse

UNPACKED: Final = 50_000_000
BOUND: Final = 16_000_000
"""Bytes that may be taken while a bomb goes off: some buffers, and never all of it."""


@pytest.fixture(scope="module")
def bomb() -> bytes:
    """What gzip makes of very many letters: a thousandth."""
    packer = zlib.compressobj(9, zlib.DEFLATED, 31)
    letters = b"x" * 1_000_000
    packed = [packer.compress(b'{"prompt":"')]
    packed += [packer.compress(letters) for _ in range(UNPACKED // len(letters))]
    return b"".join(packed) + packer.flush()


@contextmanager
def bounded() -> Iterator[None]:
    tracemalloc.start()
    try:
        yield
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < BOUND


@pytest.mark.parametrize("path", ["/v1/generations", "/v1/stream/a", "/v1/chat/completions"])
async def test_the_body_of_a_request(path: str, bomb: bytes, start_hub: StartHub) -> None:
    client = (await start_hub(limits={"body_bytes": 2**20})).client
    await client.put("/v1/stream/a", headers={"Content-Type": "application/json"})
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    with bounded():
        async with client.post(path, data=bomb, headers=headers) as response:
            assert response.status == 413
    assert len(bomb) < 100_000


@pytest.fixture
async def unpacked(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[Rounds]:
    """How many bytes are unpacked in each round of the loop."""
    unpack = ZLibDecompressor.decompress_sync
    with Rounds() as rounds:

        def noting(packer: ZLibDecompressor, data: bytes, max_length: int = 0) -> bytes:
            found = unpack(packer, data, max_length=max_length)
            rounds.note(len(found))
            return found

        monkeypatch.setattr(ZLibDecompressor, "decompress_sync", noting)
        yield rounds


@pytest.mark.parametrize(
    ("path", "status"), [("/v1/generations", 413), ("/nothing", 404), ("/readyz", 405)]
)
async def test_what_nobody_reads_is_not_unpacked(
    path: str, status: int, bomb: bytes, start_hub: StartHub, unpacked: Rounds
) -> None:
    """Neither beyond the limit, nor where no body is wanted."""
    client = (await start_hub(limits={"body_bytes": 2**20})).client
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with client.post(path, data=bomb, headers=headers) as response:
        assert response.status == status
        assert response.headers["Connection"] == "close"
        await response.read()
    await asyncio.sleep(0.05)
    assert sum(unpacked.noted.values()) < UNPACKED / 5


async def test_a_large_body_is_unpacked_in_turns(
    bomb: bytes, start_hub: StartHub, unpacked: Rounds
) -> None:
    client = (await start_hub(limits={"body_bytes": 2 * UNPACKED})).client
    headers = {"Content-Type": "application/json", "Content-Encoding": "gzip"}
    async with client.post("/v1/generations", data=bomb, headers=headers) as response:
        assert response.status == 400
    assert sum(unpacked.noted.values()) >= UNPACKED
    assert unpacked.most < UNPACKED / 5


ASKED: Final[dict[str, Any]] = {"model": "b", "messages": [{"role": "user", "content": "hello"}]}


@pytest.mark.parametrize("dialect", ["openai-chat", "json", "gemini", "anthropic"])
@pytest.mark.parametrize("status", [200, 500])
async def test_the_answer_of_an_upstream(
    dialect: str, status: int, bomb: bytes, start_hub: StartHub
) -> None:
    async with Scripted() as upstream:
        kind = "application/json" if dialect == "json" else "text/event-stream"
        headers = {"Content-Encoding": "gzip"}
        upstream.answers(Answer(bomb, status=status, type=kind, headers=headers))
        table = {"dialect": dialect, "url": upstream.url, "model": "m", "retries": 0}
        table |= {"chunk_bytes": 100_000}
        client = (await start_hub(upstreams={"b": table}, default_upstream="b")).client
        with bounded():
            async with client.post("/v1/chat/completions", json=ASKED) as response:
                assert response.status == 502
                code = (await response.json())["error"]["code"]
        assert code == ("chunk_too_large" if status == 200 else "upstream_error")


async def test_what_is_merely_packed_is_read(start_hub: StartHub) -> None:
    async with Scripted() as upstream:
        packed = gzip.compress(b"".join(openai_sse("Hel", "lo")))
        upstream.answers(Answer(packed, headers={"Content-Encoding": "gzip"}))
        table = {"dialect": "openai-chat", "url": upstream.url, "model": "m"}
        client = (await start_hub(upstreams={"b": table}, default_upstream="b")).client
        async with client.post("/v1/chat/completions", json=ASKED) as response:
            assert (await response.json())["choices"][0]["message"]["content"] == "Hello"
