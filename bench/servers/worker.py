"""A worker or node for `bench.spread`: it owns and writes all generations, or follows all streams.

It is told in lines of JSON what to do, and answers each one. Records hold the time at which they
were appended, by a clock that all processes of a machine share.
"""

from __future__ import annotations

import asyncio
import json
import sys
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import uvloop

from hub.domain.events import Delta, Started
from hub.domain.stream_settings import StreamSettings
from hub.stores.coordinator.client import CoordinatorEngine
from hub.stores.redis.engine import RedisEngine
from hub.stores.shared import Notice, SharedEngine
from hub.streams.mirrors import Mirrors
from hub.streams.shared_appender import SharedAppender, Ticker

STEP_SECONDS = 0.001
SAMPLED = 8
"""Of so many changes one is timed."""

BODY = 100
MARK = "@"


class Timed(Mirrors):
    """Mirrors that count what they hear, and how long it took."""

    heard = 0
    changes = 0

    def __init__(self, url: str) -> None:
        """``url`` is that of a Redis, or the path of a coordinator's socket."""

        def connect(known: Mapping[int, int]) -> SharedEngine:
            if "://" in url:
                return RedisEngine(url, known=known)
            return CoordinatorEngine(Path(url), known=known)

        super().__init__(connect)
        self.took: list[float] = []

    def _hear(self, held: Any, engine: SharedEngine, notice: Notice | None) -> None:
        super()._hear(held, engine, notice)
        if notice is None or notice.number is None or notice.running is not None:
            return
        self.heard += len(notice.bodies)
        self.changes += 1
        if self.changes % SAMPLED == 0:
            at = int(notice.bodies[-1].split(MARK.encode(), 2)[1])
            self.took.append((time.monotonic_ns() - at) / 1e6)

    def reset(self) -> None:
        self.heard = self.changes = 0
        self.took.clear()

    def seen(self) -> dict[str, Any]:
        return {"heard": self.heard, "took": self.took}


async def main() -> None:
    node: Timed | None = None
    appenders: list[SharedAppender] = []
    loop = asyncio.get_running_loop()
    while line := await loop.run_in_executor(None, sys.stdin.readline):
        said = json.loads(line)
        answer: dict[str, Any] = {}
        if "url" in said:
            node = Timed(said["url"])
            await node.start()
        assert node is not None
        if "own" in said:
            ticker = Ticker(node, "owner")
            for name in said["own"]:
                await node.engine.create(name, StreamSettings())
            appenders = await asyncio.gather(*(begun(ticker, name) for name in said["own"]))
        if "follow" in said:
            for name in said["follow"]:
                await node.open(name)
        if "rate" in said:
            node.reset()
            await write(appenders, said["rate"], said["seconds"])
        if "reset" in said:
            node.reset()
        if "seen" in said:
            answer = node.seen()
        sys.stdout.write(json.dumps(answer) + "\n")
        sys.stdout.flush()


async def begun(ticker: Ticker, name: str) -> SharedAppender:
    found = await ticker.begin(name, name, 0, [Started(name)])
    assert found is not None
    return found


async def write(appenders: list[SharedAppender], rate: float, seconds: float) -> None:
    """Append evenly over all streams, as upstreams would."""
    loop = asyncio.get_running_loop()
    begin = loop.time()
    done = 0
    while (passed := loop.time() - begin) < seconds:
        for number in range(done, round(passed * rate)):
            text = f"{MARK}{time.monotonic_ns()}{MARK}".ljust(BODY, "x")
            appender = appenders[number % len(appenders)]
            appender.append(Delta(appender.generation, text))
        done = round(passed * rate)
        await asyncio.sleep(STEP_SECONDS)
    while any(one.next_tick() is not None for one in appenders):  # noqa: ASYNC110 - it says nothing
        await asyncio.sleep(STEP_SECONDS)


if __name__ == "__main__":
    uvloop.run(main())
