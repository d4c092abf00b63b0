"""The ways to misuse a hub, each as one step that says what the one who did it was told.

A `World` is a running hub with an upstream that can be made to lie. A misuse is a small
object with `done_in(world)`, which does the wrong thing once and gives every error that
came back for it, and every byte, so that a test can see that there is one error and what
it holds. `Bystander` is somebody else on the same hub, whom none of it may disturb.
"""

from __future__ import annotations

import asyncio
import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple, Protocol

from aiohttp import ClientWebSocketResponse, WSMsgType

from hub import Config, make_app
from hub.domain.errors import ConfigError
from hub.http.sockets import listen
from tests.conftest import Running
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, Gate, openai_sse

__all__ = [
    "KEY",
    "Asked",
    "Bystander",
    "Cut",
    "Frame",
    "Http",
    "Misuse",
    "Startup",
    "TakenPort",
    "Told",
    "World",
    "tables",
]

KEY: Final = "sk-sentinel-7d1f0c9a8b"
"""An API key that must never be seen again."""


class Told(NamedTuple):
    """One error as a client gets it; ``status`` is HTTP's, or the close code of a WebSocket."""

    code: str
    message: str
    status: int = 0


@dataclass
class World:
    """What a misuse happens in; ``seen`` is all that was answered."""

    running: Running
    upstream: Scripted
    folder: Path
    seen: list[str] = field(default_factory=list)


class Misuse(Protocol):
    """Something that nobody should do."""

    async def done_in(self, world: World) -> list[Told]:
        """Do it once; give every error that came of it."""


def tables(upstream: Scripted, nobody: str) -> dict[str, Any]:
    """The configuration of a hub with narrow limits, whose upstreams do as they are told."""
    faulty = {
        "dialect": "openai-chat",
        "url": f"{upstream.url}/faulty",
        "api_key_env": "EDGE_KEY",
        "retries": 0,
        "chunk_bytes": 4096,
    }
    return {
        "limits": {
            "body_bytes": 4096,
            "event_bytes": 1024,
            "frame_bytes": 4096,
            "prompt_bytes": 2048,
            "subscriptions": 2,
        },
        "upstreams": {
            "faulty": faulty,
            "ollama": {**faulty, "dialect": "ollama"},
            "refused": {**faulty, "url": f"{nobody}/v1"},
            "nowhere": {**faulty, "url": "http://nowhere.invalid/v1"},
            "demo": {"dialect": "demo", "model": "demo-1", "options": {"pace": 100_000}},
            "steady": {**faulty, "url": f"{upstream.url}/steady"},
        },
    }


@dataclass(frozen=True)
class Startup:
    """Start a hub with this ``config.toml``; ``None`` for a file that cannot be read."""

    text: str | bytes | None

    async def done_in(self, world: World) -> list[Told]:
        path = world.folder / "config.toml"
        if self.text is None:
            path.mkdir()
        else:
            path.write_bytes(self.text if isinstance(self.text, bytes) else self.text.encode())
        try:
            make_app(Config.load(path, {}), environ={})
        except ConfigError as error:
            # The folder is the user's own; the rest of the path would be the hub's.
            return [Told(error.code, error.message.replace(str(world.folder), ""))]
        return []


@dataclass(frozen=True)
class TakenPort:
    """Listen where the hub listens already."""

    async def done_in(self, world: World) -> list[Told]:
        port = world.running.client.port
        assert port is not None
        try:
            listen("127.0.0.1", port, notsent_lowat=16384)
        except ConfigError as error:
            return [Told(error.code, error.message.replace(str(port), "PORT"))]
        return []


@dataclass(frozen=True)
class Http:
    """Send one request after those in ``before``, which are POSTs of good JSON."""

    method: str
    path: str
    body: Any = None
    headers: Mapping[str, str] = field(default_factory=dict)
    before: tuple[tuple[str, Any, Mapping[str, str]], ...] = ()

    async def done_in(self, world: World) -> list[Told]:
        client = world.running.client
        for path, body, headers in self.before:
            async with client.post(path, json=body, headers=headers) as response:
                assert response.status < 300, await response.text()
        sent = self.body if isinstance(self.body, bytes) else _json(self.body)
        headers = {"Content-Type": "application/json", **self.headers}
        if sent is None:
            del headers["Content-Type"]
        async with client.request(
            self.method, self.path, data=sent, headers=headers, allow_redirects=False
        ) as response:
            text = await response.text()
            world.seen.append(f"{response.headers} {text}")
            if response.status < 400:
                return []
            assert response.content_type == "application/json"
            assert response.headers["X-Content-Type-Options"] == "nosniff"
            if self.method == "HEAD":
                return [Told("", "", response.status)]
            error = json.loads(text)["error"]
            return [Told(error["code"], error["message"], response.status)]


def _json(value: Any) -> bytes | None:
    return None if value is None else json.dumps(value).encode()


@dataclass(frozen=True)
class Frame:
    """Send one frame after the commands in ``before``, which succeed; then one good command."""

    frame: Any
    kind: WSMsgType = WSMsgType.TEXT
    before: tuple[Mapping[str, Any], ...] = ()

    async def done_in(self, world: World) -> list[Told]:
        async with world.running.client.ws_connect("/v1/ws", protocols=("hub.v1",)) as socket:
            for number, command in enumerate(self.before):
                await socket.send_json({**command, "id": f"before {number}"})
                assert (await _reply(socket, f"before {number}"))["type"] == "ok"
            await _send(socket, self.frame, self.kind)
            await socket.send_json({"type": "ping", "id": "after"})
            told: list[Told] = []
            while True:
                reply = await socket.receive_json(timeout=PATIENCE)
                world.seen.append(json.dumps(reply))
                if reply.get("id") == "after":
                    assert reply == {"type": "ok", "id": "after"}
                    return told
                assert reply["type"] in ("error", "events"), reply
                if reply["type"] == "error":
                    told.append(Told(reply["code"], reply["message"]))


async def _reply(socket: ClientWebSocketResponse, number: str) -> dict[str, Any]:
    while True:
        reply: dict[str, Any] = await socket.receive_json(timeout=PATIENCE)
        if reply.get("id") == number:
            return reply


async def _send(socket: ClientWebSocketResponse, frame: Any, kind: WSMsgType) -> None:
    sent = frame if isinstance(frame, bytes) else json.dumps(frame).encode()
    await socket.send_frame(sent, kind)


@dataclass(frozen=True)
class Cut:
    """Send one frame after which the protocol leaves nothing but to close (RFC 6455)."""

    frame: bytes
    kind: WSMsgType = WSMsgType.TEXT

    async def done_in(self, world: World) -> list[Told]:
        async with world.running.client.ws_connect("/v1/ws", protocols=("hub.v1",)) as socket:
            await _send(socket, self.frame, self.kind)
            message = await socket.receive(timeout=PATIENCE)
            assert message.type is WSMsgType.CLOSE
            world.seen.append(repr(message))
            return [Told("", message.extra or "", message.data)]


@dataclass(frozen=True)
class Asked:
    """Have an upstream asked that answers so; the error is a ``failed`` event, the last one."""

    answer: Answer | None
    upstream: str = "faulty"
    messages: tuple[Mapping[str, Any], ...] = ({"role": "user", "content": "Say something"},)

    async def done_in(self, world: World) -> list[Told]:
        client = world.running.client
        if self.answer is not None:
            world.upstream.answers(self.answer, under="/faulty")
        wanted = {"messages": self.messages, "upstream": self.upstream}
        async with client.post("/v1/generations", json=wanted) as response:
            assert response.status == 201
            begun = await response.json()
        where = f"/v1/live/{begun['stream']}"
        async with client.get(where, params={"format": "ndjson"}) as response:
            text = await response.text()
        async with client.get(f"/v1/generations/{begun['id']}") as response:
            shown = await response.json()
        world.seen += [text, json.dumps(shown)]
        held = [json.loads(line) for line in text.splitlines()]
        events = [each for each in held if "generation" in each]
        failed = [each for each in events if each["type"] == "failed"]
        assert events[-1:] == failed
        assert shown["state"] == "failed"
        assert [(shown["code"], shown["message"])] == [(e["code"], e["message"]) for e in failed]
        return [Told(each["code"], each["message"]) for each in failed]


class Bystander:
    """Somebody who follows an answer that is still being given, and gets all of it."""

    def __init__(self, world: World) -> None:
        self._world = world
        self._gate = Gate()
        self._socket: ClientWebSocketResponse | None = None

    async def begin(self) -> None:
        """Follow an answer that stops half-way, until `see_it_whole`."""
        client, hub = self._world.running.client, self._world.running.hub
        half, rest = openai_sse("first "), openai_sse("last")[1:]
        self._world.upstream.answers(Answer(*half[:2], self._gate, *rest), under="/steady")
        await hub.streams.create("calm")
        self._socket = await client.ws_connect("/v1/ws", protocols=("hub.v1",))
        await self._socket.send_json({"type": "subscribe", "stream": "calm", "from": "start"})
        await self._socket.send_json(
            {"type": "generate", "stream": "calm", "prompt": "Go on", "upstream": "steady"}
        )
        await self._gate.reached()

    async def see_it_whole(self) -> None:
        """Let the answer go on; every event has come, once, in order, and nothing else."""
        self._gate.open()
        assert self._socket is not None
        events: list[dict[str, Any]] = []
        oks = 0
        async with asyncio.timeout(PATIENCE):
            while not events or events[-1]["type"] != "finished":
                frame = await self._socket.receive_json()
                if frame["type"] == "ok":
                    oks += 1
                    continue
                assert frame["type"] == "events"
                events += frame["events"]
                assert int(frame["position"].partition("_")[2]) == len(events)
        assert oks == 2
        kinds = [event["type"] for event in events]
        assert kinds == ["message", "started", "delta", "delta", "finished"]
        assert "".join(event.get("text", "") for event in events[2:4]) == "first last"
        await self._socket.close()
