"""Fault A14: a key whose stream was deleted, addresses behind TLS, what `doctor` counts."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import ClientResponse
from aiohttp.test_utils import TestClient

from hub import Hub
from hub.domain.errors import Gone
from hub.domain.events import Message
from hub.domain.generation_request import GenerationRequest
from hub.stores.sqlite import SQLiteStore
from hub.streams.history import History
from hub.upstreams.upstream import Upstream
from tests.conftest import StartHub

Client = TestClient[Any, Any]

KEY: Final = {"Idempotency-Key": "once"}


async def asked(client: Client, **more: Any) -> tuple[int, dict[str, Any]]:
    async with client.post("/v1/generations", json={"prompt": "Hi", **more}, headers=KEY) as said:
        return said.status, await said.json()


async def ended(client: Client, generation: str) -> None:
    while True:
        async with client.get(f"/v1/generations/{generation}") as said:
            if (await said.json())["state"] not in ("asked", "waiting", "streaming"):
                return
        await asyncio.sleep(0.01)


@pytest.mark.parametrize("stream", [None, "chat"])
@pytest.mark.parametrize("waits", [True, False])
async def test_a_key_whose_stream_was_deleted_begins_nothing(
    stream: str | None, waits: bool, start_hub: StartHub
) -> None:
    running = await start_hub()
    client = running.client
    status, first = await asked(client, stream=stream)
    assert status == 201
    assert (await asked(client, stream=stream))[1]["id"] == first["id"]
    if waits:
        await ended(client, first["id"])
    async with client.delete(f"/v1/stream/{first['stream']}") as said:
        assert said.status == 204
    for _ in range(2):
        status, told = await asked(client, stream=stream)
        assert (status, told["error"]["code"]) == (410, "generation_deleted")
    assert running.hub.streams.held == 0
    assert running.hub.generations.active == 0


async def test_another_stream_of_that_name_is_not_what_the_key_began(start_hub: StartHub) -> None:
    running = await start_hub()
    client = running.client
    _, first = await asked(client, stream="chat")
    await ended(client, first["id"])
    async with client.delete("/v1/stream/chat") as said:
        assert said.status == 204
    other = {"prompt": "Hi", "stream": "chat"}
    async with client.post("/v1/generations", json=other) as said:
        assert said.status == 201
    status, told = await asked(client, stream="chat")
    assert (status, told["error"]["code"]) == (410, "generation_deleted")


async def test_such_a_stream_is_not_read_for_the_key(
    start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    running = await start_hub()
    _, first = await asked(running.client, stream="chat")
    await ended(running.client, first["id"])
    await running.hub.streams.delete("chat")
    for _ in range(5):
        await running.hub.streams.append_to("chat", Message("user", "Hi"))
    read = list[object]()
    monkeypatch.setattr(History, "stretches", lambda *walk: read.append(walk))
    status, told = await asked(running.client, stream="chat")
    assert (status, told["error"]["code"]) == (410, "generation_deleted")
    assert read == []


async def test_a_key_with_a_fork_left_behind_is_told_the_same(start_hub: StartHub) -> None:
    running = await start_hub()
    client = running.client
    _, first = await asked(client, stream="chat")
    await ended(client, first["id"])
    await running.hub.streams.fork("other", "chat")
    async with client.delete("/v1/stream/chat") as said:
        assert said.status == 204
    status, told = await asked(client, stream="chat")
    assert (status, told["error"]["code"]) == (410, "generation_deleted")


async def test_a_key_in_a_conversation_that_goes_on_is_good(start_hub: StartHub) -> None:
    client = (await start_hub()).client
    _, first = await asked(client, stream="chat")
    await ended(client, first["id"])
    for _ in range(3):
        async with client.post("/v1/generations", json={"prompt": "x", "stream": "chat"}) as said:
            await ended(client, (await said.json())["id"])
    status, again = await asked(client, stream="chat")
    assert (status, again["id"]) == (201, first["id"])


async def test_a_restart_changes_nothing(tmp_path: Path, start_hub: StartHub) -> None:
    upstream: dict[str, Upstream] = dict((await start_hub()).hub.upstreams)
    ask = GenerationRequest(prompt="Hi", stream="chat", key="once")
    for life in range(3):
        hub = Hub(SQLiteStore(tmp_path / "hub.db"), upstream, "demo")
        await hub.start()
        if life == 0:
            generation = await hub.generations.start(ask)
            await hub.generations.wait(generation.id)
        elif life == 1:
            assert (await hub.generations.start(ask)).id == generation.id
            await hub.streams.delete("chat")
        else:
            with pytest.raises(Gone) as refused:
                await hub.generations.start(ask)
            assert refused.value.code == "generation_deleted"
        await hub.close()


# -- Location ----------------------------------------------------------------------------


async def made(client: Client, name: str, **headers: str) -> ClientResponse:
    fields = {key.replace("_", "-"): value for key, value in headers.items()}
    return await client.put(f"/v1/stream/{name}?x=1", headers=fields)


@pytest.mark.parametrize(
    ("headers", "where"),
    [
        ({}, "http://{}/v1/stream/a"),
        ({"X_Forwarded_Proto": "https"}, "https://{}/v1/stream/a"),
        ({"X_Forwarded_Proto": "HTTPS", "X_Forwarded_For": "1.2.3.4"}, "https://{}/v1/stream/a"),
        (
            {"X_Forwarded_Proto": "https, http", "X_Forwarded_For": "1.2.3.4, 127.0.0.2"},
            "https://{}/v1/stream/a",
        ),
        ({"X_Forwarded_Proto": "http"}, "http://{}/v1/stream/a"),
        ({"X_Forwarded_For": "1.2.3.4"}, "/v1/stream/a"),
        ({"Via": "1.1 edge"}, "/v1/stream/a"),
        ({"X_Forwarded_Proto": "javascript"}, "/v1/stream/a"),
        ({"X_Forwarded_Proto": "https://evil/?"}, "/v1/stream/a"),
        ({"Forwarded": "for=1.2.3.4;proto=https"}, "/v1/stream/a"),
    ],
)
async def test_the_address_of_a_stream_has_the_scheme_that_its_client_used(
    headers: dict[str, str], where: str, start_hub: StartHub
) -> None:
    client = (await start_hub(server={"trusted_proxies": ["127.0.0.0/8"]})).client
    answer = await made(client, "a", **headers)
    assert answer.status == 201
    place = f"{client.host}:{client.port}"
    assert answer.headers["Location"] == where.replace("{}", place)


async def test_every_other_address_is_a_path(start_hub: StartHub) -> None:
    client = (await start_hub()).client
    said = {"id": "chat", "messages": [{"role": "user", "id": "1", "content": "Hi"}]}
    for path, body in (("/v1/generations", {"prompt": "Hi"}), ("/api/chat", said)):
        async with client.post(path, json=body) as answer:
            assert answer.status < 300, await answer.text()
            assert answer.headers["Location"].startswith("/"), path
            assert not answer.headers["Location"].startswith("//")
