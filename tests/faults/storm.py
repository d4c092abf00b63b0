"""A hub that is killed again and again while many write to it and read from it.

What everybody was told is kept, and compared with what is there in the end:

- a record that was acknowledged is there once, in its place; any other once or not at all;
- what is written together is there together;
- a retry with a producer's number or an idempotency key has one effect;
- each generation has one terminal event, after all else that it said;
- a reader who does what it is told (goes on, or goes back) has read exactly what is there,
  and no position ever had two contents;
- with ``deliver = "committed"`` no reader is ever sent back.

Run as ``python -m tests.faults.storm --kills 300 --seed 7``; the same seed kills after the
same times, though the machine does what it likes in between.
"""

from __future__ import annotations

import argparse
import asyncio
import contextlib
import os
import random
import signal
import tempfile
import time
from collections import Counter, defaultdict
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Literal, NamedTuple, Self

import aiohttp

from hub.domain.records import Position
from tests.faults import checks
from tests.faults.folds import Frame, View, difference, merged
from tests.faults.mortal import LOST, Mortal
from tests.support.patience import PATIENCE


class Plan(NamedTuple):
    seed: int
    kills: int
    deliver: Literal["at_once", "committed"] = "at_once"
    writers: int = 3
    producers: int = 2
    chats: int = 3
    readers: int = 3
    longest: float = 0.6
    """Seconds that a hub lives at most once it can be reached."""


@dataclass
class Told:
    """Everything that anybody was told."""

    sent: Counter[str] = field(default_factory=Counter)
    acked: dict[str, dict[int, Position]] = field(default_factory=lambda: defaultdict(dict))
    keyed: dict[str, str] = field(default_factory=dict)
    """Which generation an idempotency key began."""
    asked: dict[str, str] = field(default_factory=dict)
    at: dict[tuple[str, Position], Any] = field(default_factory=dict)
    """What was read at a position."""
    wrong: list[str] = field(default_factory=list)


class Storm:
    """One run of a plan, in a folder."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.told = Told()
        self.views: list[dict[str, View]] = [defaultdict(View) for _ in range(plan.readers)]
        self.generations = 0
        self._chance = random.Random(plan.seed)  # noqa: S311 - so that it can be repeated
        self._over = False
        self._reading = True
        self._hub = Mortal(_config(plan, folder / "hub.db"))

    @property
    def streams(self) -> list[str]:
        plan = self.plan
        return [
            *(f"w{n}" for n in range(plan.writers)),
            *(f"p{n}" for n in range(plan.producers)),
            *(f"c{n}" for n in range(plan.chats)),
        ]

    async def run(self) -> None:
        """All of it; raises an `AssertionError` that says what was broken."""
        async with contextlib.AsyncExitStack() as stack:
            await stack.enter_async_context(self)
            plan = self.plan
            readers = [asyncio.create_task(self._read(view)) for view in self.views]
            writers = [
                asyncio.create_task(task)
                for task in [
                    *(self._append(f"w{n}") for n in range(plan.writers)),
                    *(self._produce(f"p{n}") for n in range(plan.producers)),
                    *(self._ask(f"c{n}") for n in range(plan.chats)),
                ]
            ]
            for _ in range(plan.kills):
                await asyncio.sleep(self._chance.uniform(0.02, plan.longest))
                os.kill(self._hub.pid, signal.SIGKILL)
                await self._hub.again()
            await asyncio.sleep(plan.longest)
            await self._everybody_answered()
            self._over = True
            await _all(writers)
            # The last ones end properly: what still runs is interrupted, nothing is lost.
            os.kill(self._hub.pid, signal.SIGTERM)
            await self._hub.again()
            truth = await self._truth()
            await self._compare(truth)
            self._reading = False
            os.kill(self._hub.pid, signal.SIGTERM)
            await _all(readers)
        assert not self.told.wrong, "\n".join(self.told.wrong)

    async def __aenter__(self) -> Self:
        await self._hub.__aenter__()
        self._client = aiohttp.ClientSession(self._hub.url, timeout=aiohttp.ClientTimeout(total=10))
        return self

    async def __aexit__(self, *_: object) -> None:
        self._over, self._reading = True, False
        await self._client.close()
        await self._hub.__aexit__()

    async def _everybody_answered(self) -> None:
        """However slow the machine is, nobody comes away with nothing."""
        async with asyncio.timeout(PATIENCE):
            while self._answered() != {*self.streams}:  # noqa: ASYNC110 - nobody tells
                await asyncio.sleep(0.01)

    def _answered(self) -> set[str]:
        """The streams in which something was acknowledged or begun."""
        return {*self.told.acked, *(self.told.asked[key] for key in self.told.keyed)}

    # Writing

    async def _append(self, stream: str) -> None:
        """Messages over a WebSocket, never sent twice."""
        number = 0
        while not self._over:
            with contextlib.suppress(*LOST):
                async with self._client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket_:
                    while not self._over:
                        number += 1
                        self.told.sent[stream] = number
                        event = {"type": "message", "role": "user", "text": f"{stream} {number}"}
                        await socket_.send_json(
                            {"type": "append", "id": number, "stream": stream, "event": event}
                        )
                        reply = await socket_.receive(10)
                        if reply.type is not aiohttp.WSMsgType.TEXT:
                            break
                        told = reply.json()
                        if told["type"] == "ok":
                            position = Position.parse(told["position"])
                            self.told.acked[stream][number] = position
            await asyncio.sleep(0.002)

    async def _produce(self, stream: str) -> None:
        """Pairs of messages with a producer's number, sent again until there is an answer."""
        number = 0
        while not self._over:
            self.told.sent[stream] = number + 1
            body = [
                {"type": "message", "role": "user", "text": f"{stream} {number} {half}"}
                for half in "ab"
            ]
            headers = {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": str(number)}
            with contextlib.suppress(*LOST):
                async with self._client.post(
                    f"/v1/stream/{stream}", json=body, headers=headers
                ) as reply:
                    if reply.status == 404:
                        kind = {"Content-Type": "application/json"}
                        await self._client.put(f"/v1/stream/{stream}", headers=kind)
                    elif reply.status in (200, 204):
                        end = Position.parse(reply.headers["Stream-Next-Offset"])
                        self.told.acked[stream][number] = end
                        number += 1
                    else:
                        self._wrong(f"{stream}: a producer was told {reply.status}")
            await asyncio.sleep(0.002)

    async def _ask(self, stream: str) -> None:
        """Prompts with a key, sent again until there is an answer, and then once more."""
        number = 0
        while not self._over:
            key = f"{stream} {number}"
            self.told.asked[key] = stream
            asked = {"stream": stream, "prompt": key}
            status = 0
            with contextlib.suppress(*LOST):
                async with self._client.post(
                    "/v1/generations", json=asked, headers={"Idempotency-Key": key}
                ) as reply:
                    status = reply.status
                    told = await reply.json()
                    if status == 201:
                        before = self.told.keyed.setdefault(key, told["id"])
                        if before != told["id"]:
                            self._wrong(f"{key}: begun twice, as {before} and {told['id']}")
                    elif status not in (409, 503):
                        self._wrong(f"{key}: refused with {status} {told}")
            if status == 201 and self._chance.random() < 0.7:
                number += 1
            await asyncio.sleep(self._chance.uniform(0.0, 0.2))

    # Reading

    async def _read(self, views: dict[str, View]) -> None:
        """Everything, for as long as the storm lasts, from where it was each time."""
        while self._reading:
            with contextlib.suppress(*LOST):
                async with self._client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket_:
                    await self._follow(socket_, views)
            await asyncio.sleep(0.005)

    async def _follow(
        self, socket_: aiohttp.ClientWebSocketResponse, views: dict[str, View]
    ) -> None:
        places: dict[str, Position] = {}
        for stream in self.streams:
            await _subscribe(socket_, stream, views[stream].place)
        async for message in socket_:
            frame = message.json()
            if frame["type"] == "error":
                # It has not begun yet, or the kill took its beginning.
                await asyncio.sleep(0.01)
                await _subscribe(socket_, frame["id"], views[frame["id"]].place)
            elif frame["type"] == "ok":
                places[frame["stream"]] = Position.parse(frame["position"])
            elif frame["type"] == "reset":
                told = Position.parse(frame["position"])
                view = views[frame["stream"]]
                place = places[frame["stream"]] = view.back(told)
                if place != told:
                    return  # the events before it were merged: come again from before them
            elif frame["type"] == "events":
                end = Position.parse(frame["position"])
                read = Frame(places[frame["stream"]], end, frame["events"])
                views[frame["stream"]].frames.append(read)
                places[frame["stream"]] = end
                self._note(frame["stream"], read)

    def _note(self, stream: str, read: Frame) -> None:
        if not read.whole:
            return
        for offset, event in enumerate(read.events, read.start.offset):
            at = (stream, Position(read.end.epoch, offset))
            if self.told.at.setdefault(at, event) != event:
                self._wrong(f"{at} is {self.told.at[at]} and {event}")

    # Comparing

    async def _truth(self) -> dict[str, list[Any]]:
        """What is there in the end, each stream closed by a last message."""
        found = {}
        for stream in self.streams:
            async with self._client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket_:
                event = {"type": "message", "role": "user", "text": "the end"}
                await socket_.send_json({"type": "append", "stream": stream, "event": event})
                assert (await socket_.receive_json(timeout=PATIENCE))["type"] == "ok"
                await _subscribe(socket_, stream, None)
                events: list[Any] = []
                while not events or events[-1].get("text") != "the end":
                    frame = await socket_.receive_json(timeout=PATIENCE)
                    events += frame.get("events", [])
                found[stream] = events
        return found

    async def _compare(self, truth: dict[str, list[Any]]) -> None:
        for stream, events in truth.items():
            self.told.wrong += self._wrongs(stream, events[:-1])
        until = time.monotonic() + PATIENCE
        for number, views in enumerate(self.views):
            for stream, events in truth.items():
                wanted = merged(events)
                while merged(views[stream].events) != wanted:
                    if time.monotonic() > until:
                        got = merged(views[stream].events)
                        self._wrong(f"reader {number} of {stream}: {difference(got, wanted)}")
                        break
                    await asyncio.sleep(0.02)
                if self.plan.deliver == "committed" and views[stream].resets:
                    self._wrong(f"reader {number} of {stream} was sent back")

    def _wrongs(self, stream: str, events: list[Any]) -> list[str]:
        """What is wrong with a stream, before its last message."""
        told = self.told
        if stream.startswith("w"):
            return [*checks.lost(stream, events, told.acked[stream])]
        if stream.startswith("p"):
            texts = [event["text"] for event in events]
            return [*checks.torn(stream, texts, len(told.acked[stream]), told.sent[stream])]
        self.generations += len(checks.said(events))
        keys = [key for key, of in told.asked.items() if of == stream]
        return [*checks.not_once(events, keys, told.keyed), *checks.endless(stream, events)]

    def _wrong(self, what: str) -> None:
        self.told.wrong.append(what)

    def summary(self) -> str:
        acked = sum(len(numbers) for numbers in self.told.acked.values())
        resets = sum(view.resets for views in self.views for view in views.values())
        return (
            f"seed {self.plan.seed}, {self.plan.deliver}: {self.plan.kills} kills, "
            f"{acked} acknowledged appends, {self.generations} generations, {resets} resets"
        )


async def _subscribe(
    socket_: aiohttp.ClientWebSocketResponse, stream: str, place: Position | None
) -> None:
    start = "start" if place is None else str(place)
    await socket_.send_json({"type": "subscribe", "id": stream, "stream": stream, "from": start})


async def _all(tasks: list[asyncio.Task[None]]) -> None:
    async with asyncio.timeout(PATIENCE):
        await asyncio.gather(*tasks)


def _config(plan: Plan, path: Path) -> dict[str, Any]:
    return {
        "server": {"drain_seconds": 0.2},
        "store": {"url": f"sqlite:{path}"},
        "fanout": {"deliver": plan.deliver},
        "upstreams": {"demo": {"dialect": "demo", "options": {"pace": 600}}},
    }


def main() -> None:
    options = argparse.ArgumentParser(description="Kill a hub again and again.")
    options.add_argument("--kills", type=int, default=200)
    options.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311
    asked = options.parse_args()
    for deliver in ("at_once", "committed"):
        print(f"seed {asked.seed}, deliver {deliver} …", flush=True)  # noqa: T201
        with tempfile.TemporaryDirectory() as folder:
            storm = Storm(Plan(asked.seed, asked.kills, deliver), Path(folder))
            asyncio.run(storm.run())
        print(storm.summary(), flush=True)  # noqa: T201


if __name__ == "__main__":
    main()
