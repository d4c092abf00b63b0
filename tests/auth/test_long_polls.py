"""A long poll does not outlive the credential of whoever polls."""

from __future__ import annotations

import asyncio
import time
from typing import Any, Final

import jwt
import pytest

from hub.domain.events import Message
from hub.domain.principal import Principal
from tests.conftest import Running, StartHub
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.people import KEYS, auth, bearer

SECRET: Final = "0123456789abcdef0123456789abcdef"
FOREVER: Final = 10 * PATIENCE
ANN: Final = Principal("ann")


@pytest.fixture
async def hub(start_hub: StartHub, monkeypatch: pytest.MonkeyPatch) -> Running:
    monkeypatch.setenv("APP_SECRET", SECRET)
    issuers = {"app": {"audience": "hub", "secret_env": "APP_SECRET", "leeway_seconds": 0.0}}
    slow = {"dialect": "demo", "options": {"pace": 1}}
    tables: dict[str, Any] = {
        "streams": {"long_poll_seconds": FOREVER},
        "upstreams": {"slow": slow},
    }
    return await start_hub(auth=auth(issuers=issuers), **tables)


async def code(hub: Running, path: str, headers: dict[str, str]) -> tuple[int, str]:
    async with asyncio.timeout(PATIENCE), hub.client.get(path, headers=headers) as said:
        text = await said.text()
        return said.status, (await said.json())["error"]["code"] if "error" in text else text


async def begun(hub: Running, chat: bool) -> str:
    """The path of a poll for what comes next in one of ann's streams."""
    if not chat:
        outcome = await hub.hub.streams.append_to("chat/ann/1", Message("user", "Hello"))
        return f"/v1/stream/chat/ann/1?live=long-poll&offset={outcome.position}"
    said = {"id": "chat-0123456789abcdef", "messages": [
        {"role": "user", "id": "1", "parts": [{"type": "text", "text": "stall"}]}
    ]}  # fmt: skip
    async with hub.client.post("/api/chat", json=said, headers=bearer("ann")) as reply:
        assert reply.status == 200
        path = reply.headers["Location"]
        await reply.content.readuntil(b"\n\n")
    async with hub.client.get(f"{path}?offset=-1", headers=bearer("ann")) as reply:
        assert reply.status == 200, await reply.text()
        tail = reply.headers["Stream-Next-Offset"]
    return f"{path}?live=long-poll&offset={tail}"


@pytest.mark.parametrize("chat", [False, True])
async def test_a_poll_ends_when_its_key_is_revoked(hub: Running, chat: bool) -> None:
    path = await begun(hub, chat)
    polling = asyncio.create_task(code(hub, path, bearer("ann")))
    await asyncio.sleep(0.1)
    assert not polling.done()
    hub.hub.revoke(KEYS["ann"].split("_")[1])
    # The AI SDK's error is a sentence.
    said = "this credential was revoked" if chat else "invalid_api_key"
    assert await polling == (401, said)


async def test_a_poll_ends_when_its_token_expires(hub: Running) -> None:
    path = await begun(hub, chat=False)
    held = {"iss": "app", "aud": "hub", "sub": "ann", "exp": time.time() + 1}
    token = jwt.encode(held, SECRET, "HS256")
    headers = {"Authorization": f"Bearer {token}"}
    assert await code(hub, path, headers) == (401, "token_expired")


async def test_polls_of_others_go_on(hub: Running) -> None:
    path = await begun(hub, chat=False)
    polling = asyncio.create_task(code(hub, path, bearer("ann")))
    other = asyncio.create_task(code(hub, path, bearer("admin")))
    await asyncio.sleep(0.1)
    hub.hub.revoke(KEYS["admin"].split("_")[1])
    assert await other == (401, "invalid_api_key")
    await hub.hub.streams.append_to("chat/ann/1", Message("user", "more"))
    status, text = await polling
    assert status == 200
    assert "more" in text


@pytest.mark.parametrize("chat", [False, True])
async def test_a_poll_ends_when_its_stream_belongs_to_somebody_else(
    hub: Running, chat: bool
) -> None:
    name = "chat-0123456789abcdef"
    if chat:
        path = await begun(hub, chat)
    else:
        outcome = await hub.hub.streams.append_to(name, Message("user", "Hello"), by=ANN)
        path = f"/v1/stream/{name}?live=long-poll&offset={outcome.position}"
    polling = asyncio.create_task(code(hub, path, bearer("ann")))
    await asyncio.sleep(0.1)
    assert not polling.done()
    assert await hub.hub.change_owner(name, "bob") == ([name], None)
    await hub.hub.streams.append_to(name, Message("user", "for bob alone"))
    status, said = await polling
    assert status == 404
    assert "for bob alone" not in said


@pytest.mark.parametrize("live", ["&live=long-poll", ""])
async def test_what_waits_for_its_turn_does_not_outlive_its_key(hub: Running, live: str) -> None:
    await begun(hub, chat=True)

    async def status() -> int:
        path = f"/api/chat/chat-0123456789abcdef?offset=-1{live}"
        async with hub.client.get(path, headers=bearer("ann")) as said:
            return said.status

    reads = hub.hub.callers.reads.of("ann")
    async with reads:
        reading = asyncio.create_task(status())
        await eventually(lambda: reads._waiters)
        hub.hub.revoke(KEYS["ann"].split("_")[1])
    assert await reading == 401


async def test_an_answer_is_not_given_to_a_key_that_was_revoked_meanwhile(hub: Running) -> None:
    asked = {"model": "slow", "messages": [{"role": "user", "content": "echo one two three four"}]}

    async def complete() -> tuple[int, str]:
        path = "/v1/chat/completions"
        async with hub.client.post(path, json=asked, headers=bearer("ann")) as said:
            return said.status, (await said.json())["error"]["code"]

    asking = asyncio.create_task(complete())
    async with asyncio.timeout(PATIENCE):
        await eventually(lambda: hub.hub.generations.active)
        hub.hub.revoke(KEYS["ann"].split("_")[1])
        assert await asking == (401, "invalid_api_key")


@pytest.mark.parametrize("streams", [False, True], ids=["whole", "first word"])
@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/responses"])
async def test_a_wait_for_an_answer_ends_when_its_key_is_revoked(
    start_hub: StartHub, path: str, streams: bool
) -> None:
    silent = {"silent": {"dialect": "demo", "options": {"pace": 1 / FOREVER}}}
    hub = await start_hub(auth=auth(), upstreams=silent, server={"grace_seconds": FOREVER})

    def asking(who: str) -> asyncio.Task[int]:
        model = "silent" if streams else "demo"
        asked: dict[str, Any] = {"model": model, "stream": streams, "input": "stall"}
        if path == "/v1/chat/completions":
            asked["messages"] = [{"role": "user", "content": asked.pop("input")}]

        async def status() -> int:
            async with hub.client.post(path, json=asked, headers=bearer(who)) as said:
                return said.status

        return asyncio.create_task(status())

    async with asyncio.timeout(PATIENCE):
        ann, other = asking("ann"), asking("admin")
        await eventually(lambda: hub.hub.generations.active == 2)
        await asyncio.sleep(0.1)
        assert not ann.done()
        hub.hub.revoke(KEYS["ann"].split("_")[1])
        assert await ann == 401
        assert not other.done(), "others wait on"
        assert hub.hub.generations.active == 2, "the generation goes on, as any other"
    other.cancel()
