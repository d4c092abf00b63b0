"""The client library of the page reads what the hub writes: the encoders' frames, and a live hub.

Conversations are made up by chance and encoded as connections send them: merged or not, in any
pieces, with resets. The library (`web/src`) folds the frames, and must come to what the
folding below comes to, which knows the events and nothing of frames.
"""

from __future__ import annotations

import asyncio
import base64
import itertools
import json
import os
import random
import subprocess
from collections.abc import Awaitable, Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final

import pytest
from aiohttp import web
from aiohttp.test_utils import TestServer

from hub.domain.events import (
    Cancelled,
    Delta,
    Event,
    Failed,
    Finished,
    Interrupted,
    Message,
    Other,
    Started,
    ToolCall,
    Usage,
    encode,
    to_json,
)
from hub.domain.records import Position, Record
from hub.frames.coalesce import merge
from hub.frames.encoder import Batch
from hub.frames.follow import MESSAGE_EVENTS
from hub.frames.websocket import WEBSOCKET
from hub.protocols.websocket import endpoint
from tests.conftest import StartHub
from tests.support.issuer import hub_with_issuer, issue, stored_key
from tests.support.patience import patient
from web import node

WEB: Final = Path(__file__).parents[2] / "web"
PATIENCE: Final = patient(200.0)
PIECES: Final = ("Fire", "works ", "at ", "é", "你好", "\n\n", "🎆", '"\\', "</p>", " ")


def _story(chance: random.Random, count: int) -> list[Event]:
    """Events as a hub writes them; a message may come while something runs."""
    told: list[Event] = []
    running = ""
    while len(told) < count:
        if not running or chance.random() < 0.03:
            told.append(Message("user", chance.choice(PIECES), "ann", "2026-01-01T00:00:00Z"))
            if chance.random() < 0.1:
                told.append(Other({"type": "branch", "to": "x", "position": str(Position(0, 1))}))
        if not running:
            running = f"gen_{len(told)}"
            told.append(Started(running, "demo", "m", "2026-01-01T00:00:01Z"))
        elif chance.random() < 0.04:
            told.append(_terminal(chance, running))
            running = ""
        else:
            told.append(_delta(chance, running))
    return told


def _delta(chance: random.Random, generation: str) -> Event:
    piece = chance.choice(PIECES)
    said: list[Event] = [
        *[Delta(generation, piece)] * 8,
        *[Delta(generation, reasoning=piece)] * 3,
        Delta(generation, tool=ToolCall(0, f"call_{chance.random()}", "look")),
        Delta(generation, tool=ToolCall(0, arguments=piece)),
        Delta(generation, piece, extra={"refusal": True}),
        Other({"type": "metrics", "of": [1, None]}),
    ]
    return chance.choice(said)


def _terminal(chance: random.Random, generation: str) -> Event:
    usage = Usage(3, 7, estimated=True)
    ends: list[Event] = [
        Finished(generation, "stop", usage, at="2026-01-01T00:00:02Z"),
        Failed(generation, "upstream_stalled", "no word", usage),
        Cancelled(generation, usage),
        Interrupted(generation),
    ]
    return chance.choice(ends)


# What the frames must come to


def _folded(records: Sequence[Record], epochs: Mapping[int, int]) -> dict[str, Any]:
    """The state of a conversation; ``epochs`` are first offsets, by epoch."""

    def position(offset: int) -> str:
        return str(Position(max(e for e, first in epochs.items() if first <= offset), offset))

    turns: list[dict[str, Any]] = []
    branches: list[dict[str, Any]] = []
    replies: dict[str, dict[str, Any]] = {}
    after = ""
    for record in records:
        epoch = max(e for e, first in epochs.items() if first <= record.offset)
        after = str(Position(epoch, record.offset + 1))
        event = record.event
        if isinstance(event, Message):
            said = {k: v for k, v in to_json(event).items() if k != "type"}
            turns.append({"kind": "message", "before": position(record.offset), **said})
        elif isinstance(event, Started):
            reply = _reply(event, position(record.offset))
            replies[event.generation] = reply
            turns.append(reply)
        elif isinstance(event, Delta):
            _add(replies[event.generation], event)
        elif isinstance(event, Finished | Failed | Cancelled | Interrupted):
            _end(replies.pop(event.generation), to_json(event))
        elif isinstance(event, Other) and event.object["type"] == "branch":
            branches.append(dict(event.object))
    running = list(replies)
    told = {
        "turns": turns,
        "all": turns,
        "position": after,
        "running": running,
        "branches": branches,
    }
    return {**told, "queue": {"prompts": [], "held": False}, "closed": True}


def _reply(event: Started, before: str) -> dict[str, Any]:
    begun = {"generation": event.generation, "upstream": event.upstream, "model": event.model}
    nothing = {"text": "", "reasoning": "", "tools": [], "refusal": False, "state": "waiting"}
    return {"kind": "reply", "before": before, **begun, "startedAt": event.at, **nothing}


def _add(reply: dict[str, Any], event: Delta) -> None:
    reply["state"] = "running"
    reply["text"] += event.text
    reply["reasoning"] += event.reasoning
    reply["refusal"] = reply["refusal"] or event.extra.get("refusal", False)
    piece = event.tool
    if piece is None:
        return
    if piece.id or not reply["tools"]:
        named = {"index": piece.index, "id": piece.id or "", "name": piece.name or ""}
        reply["tools"].append({**named, "arguments": piece.arguments})
    else:
        reply["tools"][-1]["arguments"] += piece.arguments


def _end(reply: dict[str, Any], told: dict[str, Any]) -> None:
    reply["state"] = told["type"]
    reply.update({name: told[name] for name in ("reason", "usage") if name in told})
    if "at" in told:
        reply["endedAt"] = told["at"]
    if told["type"] == "failed":
        reply["error"] = {"code": told["code"], "message": told["message"]}


# The frames


class _Wire:
    """What one connection of each kind is sent."""

    def __init__(self) -> None:
        self.websocket: list[str] = []
        self.follow = b""

    def records(self, records: list[Record], epoch: int, *, merged: bool) -> None:
        sent = merge(records) if merged else records
        batch = Batch("s", sent, Position(epoch, records[-1].offset + 1))
        self.websocket.append(_text(WEBSOCKET.events(batch)))
        self.follow += MESSAGE_EVENTS.events(batch)

    def reset(self, position: Position) -> None:
        self.websocket.append(_text(WEBSOCKET.reset("s", position, "unwritten") or b""))
        self.follow += MESSAGE_EVENTS.reset("s", position, "unwritten") or b""

    def closed(self, position: Position) -> None:
        self.websocket += [_text(WEBSOCKET.beat()), _text(WEBSOCKET.closed("s", position))]
        self.follow += MESSAGE_EVENTS.beat() + MESSAGE_EVENTS.closed("s", position)


def _text(frame: bytes) -> str:
    """The text of an unmasked frame (RFC 6455 section 5.2)."""
    before = {126: 4, 127: 10}.get(frame[1], 2)
    return frame[before:].decode()


def _told(seed: int, *, merged: bool | None, crash: bool) -> dict[str, Any]:
    """A conversation as it is sent, and what it comes to."""
    chance = random.Random(seed)  # noqa: S311 - a story, no secret
    wire, epochs = _Wire(), {0: 0}
    records = [Record(n, encode(e), e) for n, e in enumerate(_story(chance, 300))]
    _send(wire, chance, records, 0, merged)
    if crash:
        # What comes after the beginning of a turn was lost, and the story goes on otherwise:
        # a client that cannot cut what it was given merged would have to ask again.
        kept = [r.offset for r in records if isinstance(r.event, Message)]
        begins = chance.choice(kept[len(kept) // 2 :])
        epochs[1] = begins
        wire.reset(Position(1, begins))
        records = records[:begins]
        running = {r.event.generation for r in records if isinstance(r.event, Started)}
        ended = (Finished, Failed, Cancelled, Interrupted)
        running -= {r.event.generation for r in records if isinstance(r.event, ended)}
        further: list[Event] = [*(Interrupted(name) for name in running), Message("user", "again")]
        more = [Record(begins + n, encode(e), e) for n, e in enumerate(further)]
        _send(wire, chance, more, 1, merged)
        records += more
    wire.closed(Position(max(epochs), len(records)))
    return {
        "name": f"seed {seed}, merged {merged}, crash {crash}",
        "websocket": wire.websocket,
        "follow": base64.b64encode(wire.follow).decode(),
        "expected": _folded(records, epochs),
    }


def _send(
    wire: _Wire, chance: random.Random, records: list[Record], epoch: int, merged: bool | None
) -> None:
    at = 0
    while at < len(records):
        end = at + chance.choice((1, 2, 7, 60))
        joined = chance.random() < 0.5 if merged is None else merged
        wire.records(records[at:end], epoch, merged=joined)
        at = end


# Node


def _vitest(**environ: str) -> None:
    """Run the bridge's tests, in a Node that has WebSockets."""
    found = node.find_node().node
    script = WEB / "node_modules" / "vitest" / "vitest.mjs"
    kept = {name: held for name, held in os.environ.items() if not name.startswith("STREAMHUB_")}
    options = {"NODE_OPTIONS": "--experimental-websocket", "NO_COLOR": "1"}
    done = subprocess.run(
        [*found, str(script), "run", "test/client/interop.test.ts"],
        cwd=WEB,
        env={**kept, **options, **environ},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=PATIENCE,
    )
    assert done.returncode == 0, done.stdout[-8000:] + done.stderr[-2000:]
    assert " passed" in done.stdout


@pytest.fixture(scope="module", autouse=True)
def installed() -> None:
    node.install(WEB)


@pytest.mark.timeout(PATIENCE * 2)
def test_the_library_folds_what_the_encoders_produce(tmp_path: Path) -> None:
    told = [
        _told(seed, merged=merged, crash=crash)
        for seed, (merged, crash) in enumerate(
            (merged, crash) for merged in (False, True, None) for crash in (False, True)
        )
    ]
    frames = tmp_path / "frames.json"
    frames.write_text(json.dumps(told), "utf-8")
    _vitest(STREAMHUB_FRAMES=str(frames))


@pytest.mark.timeout(PATIENCE * 2)
async def test_the_library_uses_a_hub(start_hub: StartHub) -> None:
    # At a pace, or else the long answer is over before anybody can stop it.
    hub = await start_hub(upstreams={"demo": {"dialect": "demo", "options": {"pace": 500}}})
    url = str(hub.client.make_url("/"))
    await asyncio.to_thread(_vitest, STREAMHUB_URL=url)


@pytest.mark.timeout(PATIENCE * 2)
async def test_the_library_uses_a_hub_with_authentication(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(endpoint, "EXPIRED_SECONDS", 0.5)
    upstreams = {"slow": {"dialect": "demo", "options": {"pace": 20}}}
    async with hub_with_issuer(monkeypatch, upstreams=upstreams) as running:
        key, revoke = await stored_key(running)
        async with TestServer(_issuer(key, revoke)) as issuer:
            await asyncio.to_thread(
                _vitest,
                STREAMHUB_URL=f"http://127.0.0.1:{running.port}/",
                STREAMHUB_ISSUER=str(issuer.make_url("")).rstrip("/"),
            )


def _issuer(key: str, revoke: Callable[[], Awaitable[None]]) -> web.Application:
    """The application that issues Ann's tokens, each of them another one."""
    count = itertools.count()

    async def token(request: web.Request) -> web.Response:
        return web.Response(text=issue(float(request.query["seconds"]), jti=str(next(count))))

    async def show(_: web.Request) -> web.Response:
        return web.Response(text=key)

    async def end(_: web.Request) -> web.Response:
        await revoke()
        return web.Response()

    app = web.Application()
    app.add_routes([web.get("/token", token), web.get("/key", show), web.get("/revoke", end)])
    return app
