"""nginx in front gives up after 3 seconds without a byte: an upstream is silent for a minute.

Every route that streams beats meanwhile, before its first word and after it. Only the text of
`/v1/live` cannot: it has no word for nothing.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Awaitable, Callable
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from tests.clients.nginx import in_front
from tests.conftest import StartHub
from tests.support.scripted_upstream import Answer, Scripted, openai_sse

SILENCE: Final = 60.0
HELLO: Final = [{"role": "user", "content": "Hi"}]
UI: Final = [{"id": "m", "role": "user", "parts": [{"type": "text", "text": "Hi"}]}]

Session = aiohttp.ClientSession


def _name(kind: str) -> str:
    """A name that no other request of this test has."""
    return f"{kind}-{id(asyncio.current_task())}"


async def _post(session: Session, path: str, body: Any, **headers: str) -> str:
    async with session.post(path, json=body, headers=headers) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def _begun(session: Session) -> str:
    async with session.post("/v1/generations", json={"messages": HELLO}) as answer:
        return str((await answer.json())["stream"])


async def _get(session: Session, path: str) -> str:
    async with session.get(path) as answer:
        assert answer.status == 200, await answer.text()
        return await answer.text()


async def _live(session: Session, form: str) -> str:
    return await _get(session, f"/v1/live/{await _begun(session)}?format={form}")


async def _durable(session: Session) -> str:
    return await _get(session, f"/v1/stream/{await _begun(session)}?offset=-1&live=sse")


async def _polled(session: Session) -> str:
    """With long polls, as long as they tell that there is more to come."""
    where, found, offset = f"/v1/stream/{await _begun(session)}", "", "-1"
    while True:
        async with session.get(f"{where}?offset={offset}&live=long-poll") as answer:
            assert answer.status in (200, 204), await answer.text()
            found += await answer.text()
            offset = answer.headers["Stream-Next-Offset"]
            if answer.headers.get("Stream-Closed") == "true":
                return found


async def _waited(session: Session) -> str:
    """A stream that is waited for, and begins at the end of the silence."""
    name = _name("waited")

    async def begin() -> None:
        await asyncio.sleep(SILENCE)
        body = {"prompt": "echo Hello", "stream": name, "upstream": "demo"}
        async with session.post("/v1/generations", json=body) as answer:
            assert answer.status == 201

    beginning = asyncio.create_task(begin())
    found = ""
    async with session.get(f"/v1/live/{name}?wait=true") as answer:
        async for line in answer.content:
            found += line.decode()
            if "finished" in found:
                break
    await beginning
    return found


async def _chat(session: Session) -> str:
    body = {"model": "scripted", "messages": HELLO, "stream": True}
    return await _post(session, "/v1/chat/completions", body)


async def _responses(session: Session) -> str:
    body = {"model": "scripted", "input": "Hi", "stream": True}
    return await _post(session, "/v1/responses", body)


async def _use_chat(session: Session) -> str:
    return await _post(session, "/api/chat", {"id": _name("ui"), "messages": UI})


async def _agent(session: Session) -> str:
    run = {"threadId": _name("agent"), "runId": "r", "messages": HELLO}
    return await _post(session, "/api/agent", run, Accept="text/event-stream")


async def _conversation(session: Session) -> str:
    """TanStack AI's, which has no end."""
    where, found = f"/api/chat/{_name('talk')}", ""
    async with session.post(where, json={"messages": UI}) as answer:
        assert answer.status == 202, await answer.text()
    async with session.get(f"{where}?offset=-1&live=sse") as answer:
        async for piece in answer.content.iter_any():
            found += piece.decode()
            if "RUN_FINISHED" in found:
                break
    return found


async def _ui_stream(session: Session) -> str:
    """`useChat`'s answer as a Durable Stream."""
    body = {"id": _name("ui"), "messages": UI}
    headers = {"Accept": "application/json"}
    async with session.post("/api/chat", json=body, headers=headers) as answer:
        where = answer.headers["Location"]
    return await _get(session, f"{where}?offset=-1&live=sse")


async def _tutorial(session: Session) -> str:
    return await _post(session, "/stream_data_to_frontend_test", {"messages": HELLO})


async def _websocket(session: Session) -> str:
    name, found = await _begun(session), ""
    async with session.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket:
        await socket.send_json({"type": "subscribe", "stream": name, "from": "start"})
        async for message in socket:
            found += message.data
            if json.loads(message.data)["type"] == "closed":
                break
    return found


ROUTES: Final[dict[str, Callable[[Session], Awaitable[str]]]] = {
    "live sse": lambda session: _live(session, "sse"),
    "live ndjson": lambda session: _live(session, "ndjson"),
    "live json": lambda session: _live(session, "json"),
    "live waited": _waited,
    "durable sse": _durable,
    "durable long-poll": _polled,
    "chat": _chat,
    "responses": _responses,
    "useChat": _use_chat,
    "useChat, durable": _ui_stream,
    "TanStack AI": _conversation,
    "AG-UI": _agent,
    "tutorial": _tutorial,
    "WebSocket": _websocket,
}


class Words(Answer):
    """An answer whose silence is at its beginning or between its two words."""

    def __init__(self, *, before: bool) -> None:
        role, first, *rest = openai_sse("Hel", "lo")
        silent = (SILENCE, role, first) if before else (role, first, SILENCE)
        super().__init__(*silent, *rest)


@pytest.mark.timeout(200)
async def test_a_minute_of_silence_behind_nginx(start_hub: StartHub, tmp_path: Path) -> None:
    async with Scripted() as upstream:
        table = {
            "dialect": "openai-chat",
            "url": upstream.url,
            "model": "m",
            "retries": 0,
            "stall_timeout": 2 * SILENCE,
        }
        running = await start_hub(
            upstreams={"scripted": table},
            default_upstream="scripted",
            # More often than nginx gives up.
            server={"grace_seconds": 1.0, "beat_seconds": 1.0, "ws_beat_seconds": 1.0},
            streams={"long_poll_seconds": 1.0, "sse_rotate_seconds": 3 * SILENCE},
        )
        port = running.client.make_url("").port
        assert port is not None
        upstream.answers(*(Words(before=before) for _ in ROUTES for before in (True, False)))
        connector = aiohttp.TCPConnector(limit=0)
        async with in_front(port, tmp_path) as url, Session(url, connector=connector) as session:
            told = await asyncio.gather(
                *(ask(session) for ask in ROUTES.values() for _ in range(2)),
                return_exceptions=True,
            )
    for name, answer in zip([name for name in ROUTES for _ in range(2)], told, strict=True):
        assert isinstance(answer, str), (name, answer)
        assert "Hel" in answer, name
        assert "lo" in answer.partition("Hel")[2], name
