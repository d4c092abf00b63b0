"""``python -m tests.faults.rolling --readers 500``: restart nodes in turn, under readers.

Three hubs on one Redis, and a chat that goes on all the time. Two of the hubs are restarted. Every
prompt has one answer, whole, and every reader has been told all of it once and in order.
"""

from __future__ import annotations

import argparse
import asyncio
import sys
import tempfile
from collections.abc import Sequence
from contextlib import suppress
from functools import partial
from itertools import count
from pathlib import Path
from typing import NamedTuple

from tests.support.crowd import Crowd
from tests.support.followed_hubs import LOST, PATIENT
from tests.support.hub_processes import ENDS, JSON, HubProcess, Hubs
from tests.support.patience import PATIENCE
from tests.support.reader import Reader
from tests.support.redis_server import RedisServer

__all__ = ["Rolled", "ask", "roll"]

AFTER = 3
"""Prompts that are asked once the last hub is back."""


class Rolled(NamedTuple):
    """What came of it; nothing was lost or doubled, otherwise there was an `AssertionError`."""

    readers: int
    prompts: int
    events: int
    """That were told to readers, some of them merged."""
    away: Sequence[float]
    """Seconds from the end of each connection to the next one, in order."""

    @property
    def returns(self) -> int:
        return len(self.away)

    def __str__(self) -> str:
        p50, p99 = (self.away[int(part * (self.returns - 1))] for part in (0.5, 0.99))
        return (
            f"{self.readers} readers, {self.prompts} prompts, {self.events:,} events told; "
            f"{self.returns} returns after {p50 * 1e3:.0f} ms (p50), {p99 * 1e3:.0f} ms (p99), "
            f"{self.away[-1] * 1e3:.0f} ms (longest)"
        )


async def ask(hubs: Sequence[HubProcess], prompt: str, key: str) -> str:
    """Ask in the chat, over the first of some hubs that takes the prompt; the generation."""
    asked = {"stream": "chat", "prompt": prompt}
    headers = {"Idempotency-Key": key}
    async with asyncio.timeout(PATIENCE):
        while True:
            for hub in hubs:
                with suppress(*LOST):
                    async with hub.client.post(
                        "/v1/generations", json=asked, headers=headers
                    ) as response:
                        if response.status == 201:
                            return str((await response.json())["id"])
                        assert response.status in (500, 503), await response.read()
            await asyncio.sleep(0.05)


async def roll(folder: Path, redis: RedisServer, *, readers: int) -> Rolled:
    """Restart two of three hubs while the chat is followed at all of them."""
    async with Hubs(folder, redis) as started:
        patient = {**PATIENT, "STREAMHUB_SERVER__DRAIN_SECONDS": str(PATIENCE)}
        hubs = await started.start("one", "two", "three", **patient)
        await hubs[0].ask("PUT", "/v1/stream/chat", headers=JSON, status=201)
        async with Crowd(hubs, "chat", readers) as crowd:
            await crowd.until(lambda reader: reader.status)
            restarting = asyncio.create_task(_restart(hubs[:2]))
            try:
                prompts = await _talk(hubs, crowd, restarting)
            finally:
                restarting.cancel()
                await asyncio.gather(restarting, return_exceptions=True)
            events = await hubs[0].events("chat")
            for hub in hubs[1:]:
                assert await hub.events("chat") == events
            last = events[-1]
            await crowd.until(lambda reader: reader.events and reader.events[-1] == last)
            crowd.check(events)
            said = [event["text"] for event in events if event["type"] == "message"]
            assert said == [f"echo {number}" for number in range(prompts)]
            ends = [event["type"] for event in events if event["type"] in ENDS]
            assert ends == ["finished"] * prompts
            return Rolled(
                readers,
                prompts,
                sum(len(member.reader.events) for member in crowd.members),
                sorted(away for member in crowd.members for away in member.returns[1:]),
            )


async def _restart(hubs: Sequence[HubProcess]) -> None:
    for hub in hubs:
        await hub.restart()


async def _talk(hubs: Sequence[HubProcess], crowd: Crowd, restarting: asyncio.Task[None]) -> int:
    """Ask prompts one by one, each over the next hub, until some time after the restarts."""
    after = 0
    # Of the hub that stays, so that it is told while others are away.
    reader = crowd.members[len(hubs) - 1].reader
    for number in count():
        turn = number % len(hubs)
        asked = await ask([*hubs[turn:], *hubs[:turn]], f"echo {number}", str(number))
        await reader.until(partial(_has_ended, reader, asked))
        after += restarting.done()
        if after > AFTER:
            restarting.result()
            return number + 1
    raise AssertionError("it goes on for ever")


def _has_ended(reader: Reader, generation: str) -> bool:
    last = reader.events[-1] if reader.events else {}
    return last.get("generation") == generation and last["type"] in ENDS


async def _rolled(readers: int) -> Rolled:
    with tempfile.TemporaryDirectory() as folder:
        redis = RedisServer(Path(folder) / "redis")
        await redis.start()
        try:
            return await roll(Path(folder), redis, readers=readers)
        finally:
            await redis.stop()


def main() -> int:
    options = argparse.ArgumentParser(description="Restart nodes under readers.")
    options.add_argument("--readers", type=int, default=500)
    print(asyncio.run(_rolled(options.parse_args().readers)))  # noqa: T201
    return 0


if __name__ == "__main__":
    sys.exit(main())
