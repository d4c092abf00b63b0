"""What they are told who follow a stream of events at each of several hubs, whatever happens."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from functools import partial
from typing import Any, Final

import aiohttp
import orjson

from tests.support.hub_processes import ENDS, TEXT, HubProcess
from tests.support.patience import PATIENCE, patient
from tests.support.processes import run

__all__ = [
    "LOST",
    "PATIENT",
    "Follower",
    "World",
    "append",
    "diagnosed",
    "ended",
    "following",
    "more_is_told",
    "spoken",
]

LOST: Final = (aiohttp.ClientError, OSError, TimeoutError)

PATIENT: Final = {
    "STREAMHUB_NODE__LEASE_SECONDS": str(patient(6.0)),
    "STREAMHUB_NODE__SETTLE_SECONDS": str(patient(2.0)),
}
"""A busy machine may leave a hub too little time to renew its lease, or to put back records."""


class Follower:
    """Follows a stream of events at one hub, and comes back with its position."""

    def __init__(self, hub: HubProcess, stream: str, seen: dict[tuple[int, int], Any]) -> None:
        self.hub = hub
        self._path = f"/v1/stream/{stream}"
        self._seen = seen
        self._position = "-1"
        self.held: list[dict[str, Any]] = []
        self.resets = 0

    async def run(self) -> None:
        while True:
            try:
                await self._read()
            except LOST:
                await asyncio.sleep(0.05)

    async def _read(self) -> None:
        live = {} if self._position == "-1" else {"live": "long-poll"}
        params = {"offset": self._position, **live}
        async with self.hub.client.get(self._path, params=params) as response:
            body = await response.read()
        if response.status == 410:
            self.held, self._position = [], "-1"
            self.resets += 1
            return
        if response.status not in (200, 204):
            assert response.status in (404, 500, 503), body
            await asyncio.sleep(0.05)
            return
        self._position = response.headers["Stream-Next-Offset"]
        epoch, end = map(int, self._position.split("_"))
        events = orjson.loads(body) if body else []
        for offset, event in enumerate(events, end - len(events)):
            assert offset == len(self.held), "without a hole"
            assert self._seen.setdefault((epoch, offset), event) == event, "never two contents"
            self.held.append(event)

    def kinds(self) -> list[str]:
        return [event["type"] for event in self.held]


class World:
    """Two hubs, and what is followed at both."""

    def __init__(self, hubs: list[HubProcess]) -> None:
        self.hubs = hubs
        self._seen: dict[tuple[int, int], Any] = {}
        self.followers = [Follower(hub, "chat", self._seen) for hub in hubs]
        self._tasks = [asyncio.create_task(follower.run()) for follower in self.followers]

    async def until(self, holds: Callable[[Follower], bool]) -> None:
        """Wait until something holds of all followers."""
        async with asyncio.timeout(PATIENCE):
            while not all(map(holds, self.followers)):
                for task in self._tasks:
                    if task.done():
                        task.result()
                await asyncio.sleep(0.02)

    async def same(self) -> list[dict[str, Any]]:
        """What all followers have, and each hub tells whoever comes now."""
        held = self.followers[0].held
        await self.until(lambda follower: len(follower.held) >= len(held))
        for follower in self.followers:
            assert follower.held == held
            assert await follower.hub.events("chat") == held
        return held

    async def stop(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)


@asynccontextmanager
async def following(hubs: list[HubProcess]) -> AsyncIterator[World]:
    made = World(hubs)
    try:
        yield made
    finally:
        await made.stop()


async def append(hubs: list[HubProcess], stream: str, count: int) -> None:
    """Numbers, each to the next hub, until it is acknowledged by one."""
    for number in range(count):
        stamp = {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": str(number)}
        for attempt in range(10_000):
            hub = hubs[(number + attempt) % len(hubs)]
            with suppress(*LOST):
                async with hub.client.post(
                    f"/v1/stream/{stream}", headers={**TEXT, **stamp}, data=f"{number};"
                ) as response:
                    if response.status in (200, 204):
                        break
                    assert response.status in (500, 503, 507), await response.read()
            await asyncio.sleep(0.05)
        await asyncio.sleep(0.01)


def more_is_told(world: World) -> Callable[[Follower], bool]:
    """Whether a follower was told more than any was before this call, or the reply has ended."""
    before = max(len(follower.held) for follower in world.followers)

    def holds(follower: Follower) -> bool:
        return len(follower.held) > before + 3 or follower.kinds()[-1:] == ["finished"]

    return holds


async def ended(hub: HubProcess, stream: str) -> list[dict[str, Any]]:
    """All events of a stream, once its reply has ended."""
    async with asyncio.timeout(PATIENCE):
        while (events := await hub.events(stream))[-1]["type"] not in ENDS:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
    return events


def spoken(events: list[dict[str, Any]]) -> str:
    return "".join(event.get("text", "") for event in events if event["type"] == "delta")


async def diagnosed(hub: HubProcess, check: str, **environ: str) -> list[dict[str, Any]]:
    """What the doctor finds with the configuration of a hub."""
    asked = partial(run, "doctor", "--json", "--config", str(hub.config), given=b"", **environ)
    said = await asyncio.to_thread(asked)
    found = orjson.loads(said.stdout)["findings"]
    return [finding for finding in found if finding["check"] == check]
