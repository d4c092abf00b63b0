"""Beside fault A14: heads that no client should send, and what became of them.

An idempotency key that is no text was a 500 with a stack trace where the store is SQLite; of two
keys one was taken; a body that was also compressed for the transfer was kept compressed.
"""

from __future__ import annotations

import gzip
import logging
from pathlib import Path
from typing import Final

import pytest

from hub.domain.errors import RequestError
from hub.domain.generation_request import GenerationRequest
from tests.conftest import StartHub
from tests.support.raw_socket import exchange

SAID: Final = b'{"id":"c","model":"demo","messages":[{"role":"user","id":"1","content":"Hi"}]}'
ASKED: Final = [
    (b"/v1/generations", b'{"prompt":"Hi"}'),
    (b"/v1/chat/completions", b'{"model":"demo","messages":[{"role":"user","content":"Hi"}]}'),
    (b"/v1/responses", b'{"model":"demo","input":"Hi"}'),
    (b"/api/chat", SAID),
    (b"/api/chat/c", SAID),
]
JSON: Final = b"Content-Type: application/json\r\n"


def request(
    method: bytes, path: bytes, fields: bytes, body: bytes, version: bytes = b"1.1"
) -> bytes:
    head = b"%b %b HTTP/%b\r\nHost: hub\r\nConnection: close\r\n%b\r\n"
    return head % (method, path, version, fields) + body


def with_length(fields: bytes, body: bytes) -> bytes:
    return b"%bContent-Length: %d\r\n" % (fields, len(body))


@pytest.mark.parametrize(("path", "body"), ASKED)
@pytest.mark.parametrize(
    "key",
    [b"Idempotency-Key: \xff\xfe\r\n", b"Idempotency-Key: a\r\nIdempotency-Key: b\r\n",
     b"Idempotency-Key: \r\n", b"Idempotency-Key: %b\r\n" % (b"x" * 256)],
    ids=["no text", "two", "empty", "long"],
)  # fmt: skip
async def test_a_key_that_is_none_begins_nothing(
    path: bytes,
    body: bytes,
    key: bytes,
    start_hub: StartHub,
    tmp_path: Path,
    caplog: pytest.LogCaptureFixture,
) -> None:
    running = await start_hub(store={"url": f"sqlite:{tmp_path / 'hub.db'}"})
    sent = request(b"POST", path, with_length(JSON + key, body), body)
    answer = await exchange(running.client.port, sent)
    assert answer.startswith(b"HTTP/1.1 400 "), answer
    assert running.hub.streams.held == 0
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


async def test_a_program_is_told_too(start_hub: StartHub) -> None:
    hub = (await start_hub()).hub
    with pytest.raises(RequestError) as refused:
        await hub.generations.start(GenerationRequest(prompt="Hi", key="\udcff"))
    assert refused.value.code == "bad_key"


@pytest.mark.parametrize(
    ("coding", "version", "status"),
    [
        (b"gzip, chunked", b"1.1", b"501"),
        (b"identity, chunked", b"1.1", b"501"),
        (b"chunked", b"1.0", b"400"),
        (b"Chunked", b"1.1", b"201"),
    ],
)
async def test_a_body_is_only_transferred_in_chunks(
    coding: bytes, version: bytes, status: bytes, start_hub: StartHub
) -> None:
    running = await start_hub()
    body = gzip.compress(b"{}", mtime=0)
    chunks = b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body)
    fields = b"Content-Type: application/octet-stream\r\nTransfer-Encoding: %b\r\n" % coding
    sent = request(b"PUT", b"/v1/stream/s", fields, chunks, version)
    answer = await exchange(running.client.port, sent)
    assert answer.split(b" ")[1] == status, answer
    assert running.hub.streams.held == (status == b"201")
