"""Limits that hold for all hubs of an engine together: each tells the others what it counts.

Nobody asks before a request is let in. What is counted here is told within `ROUND_SECONDS`, and
what others have told counts here as well. So a limit may be exceeded by what hubs let in before
they hear of each other. Who needs it exactly waits for that (`agree`): all hubs hear what is said
in one order, and whoever has said it first has it.

What a hub has at a time counts elsewhere for `HEARD_SECONDS`, and is said again before. So a hub
that was killed, or has lost the engine, holds nothing for longer than that, and messages that were
lost are made up for. Without an engine each hub counts for itself.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Iterator
from contextlib import suppress
from typing import Any, Final

import orjson

from hub.domain.at_once import AtOnce
from hub.domain.errors import LimitExceeded, StoreError
from hub.domain.rate_windows import RateWindows
from hub.domain.untold import Untold
from hub.stores.shared import SharedEngine
from hub.streams.mirrors import Mirrors

__all__ = ["SharedLimits"]

log = logging.getLogger("hub.streams")

TOPIC: Final = "limits"

ROUND_SECONDS: Final = 0.05
"""Between two messages of a hub to which something happens all the time."""

REPEAT_SECONDS: Final = 3.0
HEARD_SECONDS: Final = 10.0

AGREE_SECONDS: Final = 1.0
"""How long is waited for an engine that does not answer; then this hub counts for itself."""

NAMES: Final = 500
"""Of one message."""

REQUESTS: Final = "requests"
"""The kind of what is counted in `RateWindows`."""

Confirm = Callable[[], None]
"""Raises `LimitExceeded` if what was taken is too much."""


class _Agreeing:
    """Something that was taken, until all hubs count it."""

    def __init__(self, confirm: Confirm, give: Callable[[], None]) -> None:
        self._confirm = confirm
        self._give = give
        self.heard: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        """Done once it is known what came of it."""
        self.refusal: LimitExceeded | None = None

    def go_on(self, *, alone: bool) -> None:
        """Others have heard of it; ``alone``: nobody can."""
        if self.heard.done():
            return
        try:
            if not alone:
                self._confirm()
        except LimitExceeded as refusal:
            # In this step, so that it leaves room for the next one.
            self.refusal = refusal
            self._give()
        self.heard.set_result(None)

    def cancel(self) -> None:
        """Nobody waits for it any more."""
        if self.refusal is None:
            self._give()


class SharedLimits:
    """The limits of the hub that is called ``node``; `open` it once there is an engine.

    ``clock`` is that of the windows, and never goes back.
    """

    def __init__(
        self, mirrors: Mirrors, node: str, *, clock: Callable[[], float] = time.monotonic
    ) -> None:
        self._mirrors = mirrors
        self._node = node
        self._clock = clock
        self._at_once: dict[str, AtOnce] = {}
        self._windows: RateWindows | None = None
        self._untold: dict[str, Untold] = {}
        self._changed = asyncio.Event()
        self._urgent = asyncio.Event()
        self._last = 0
        self._agreeing: dict[int, _Agreeing] = {}

    def share(self, kind: str, counted: AtOnce) -> None:
        """Count something together with the other hubs."""
        counted.untold = self._untold[kind] = Untold(self._changed.set)
        self._at_once[kind] = counted

    def share_requests(self, windows: RateWindows) -> None:
        """Count requests together with the other hubs."""
        windows.untold = self._untold[REQUESTS] = Untold(self._changed.set)
        self._windows = windows

    async def open(self) -> None:
        await self._mirrors.each_engine(self._join)

    async def _join(self, engine: SharedEngine) -> None:
        await engine.hear(TOPIC, self._hear)
        await engine.say(TOPIC, self._message({"ask": True}))
        self._tell_all()

    async def run(self) -> None:
        """Tell what changes, until cancelled."""
        async with asyncio.TaskGroup() as both:  # of which neither may fail unnoticed
            both.create_task(self._tell_changes())
            both.create_task(self._repeat())

    async def agree(self, confirm: Confirm, give: Callable[[], None]) -> None:
        """Wait until all hubs count what was taken here, or else ``give`` it back.

        Raises what ``confirm`` does then: others have told of theirs before.
        """
        self._last = id_ = self._last + 1
        waiting = self._agreeing[id_] = _Agreeing(confirm, give)
        self._urgent.set()
        self._changed.set()
        try:
            await asyncio.wait([waiting.heard], timeout=AGREE_SECONDS)
        except asyncio.CancelledError:
            waiting.cancel()
            raise
        finally:
            del self._agreeing[id_]
        if waiting.refusal is not None:
            raise waiting.refusal

    # Telling: one message after the other, so that no number is followed by an older one

    async def _tell_changes(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            self._urgent.clear()
            try:
                await self._tell()
            except StoreError as error:
                log.debug("limits count for this hub alone: %s", error)
                self._agreed(self._last, alone=True)
            with suppress(TimeoutError):
                async with asyncio.timeout(ROUND_SECONDS):
                    await self._urgent.wait()

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(REPEAT_SECONDS)
            for counted in self._at_once.values():
                counted.elsewhere.forget(self._clock())
            self._tell_all()

    def _tell_all(self) -> None:
        for counted in self._at_once.values():
            counted.tell_all()

    async def _tell(self) -> None:
        """Tell of all changes, and then of who waits for others to have heard them.

        Without an engine they are not kept: of what is had at a time all is told again, and of
        requests only the last minutes count.
        """
        said = list(self._changes())
        if self._agreeing:
            # With the last numbers: whoever is told of them first was not told of others before.
            said = said or [{}]
            said[-1]["agreeing"] = self._last
        engine = self._mirrors.engine
        for one in said:
            await engine.say(TOPIC, self._message(one))

    def _changes(self) -> Iterator[dict[str, Any]]:
        changed = [
            (kind, name, number)
            for kind, untold in self._untold.items()
            for name, number in untold.take().items()
        ]
        for at in range(0, len(changed), NAMES):
            numbers: dict[str, dict[str, int]] = {}
            for kind, name, number in changed[at : at + NAMES]:
                numbers.setdefault(kind, {})[name] = number
            yield {"numbers": numbers}

    def _message(self, said: dict[str, Any]) -> bytes:
        return orjson.dumps({"node": self._node, **said})

    # Hearing

    def _hear(self, message: bytes) -> None:
        said: dict[str, Any] = orjson.loads(message)
        if said["node"] == self._node:
            self._agreed(said.get("agreeing", 0))
            return
        for kind, numbers in said.get("numbers", {}).items():
            self._count(said["node"], kind, numbers)
        if "ask" in said:
            self._tell_all()

    def _agreed(self, last: int, *, alone: bool = False) -> None:
        """Let those go on that wait, up to the ``last`` of them."""
        for id_, waiting in self._agreeing.items():
            if id_ <= last:
                waiting.go_on(alone=alone)

    def _count(self, node: str, kind: str, numbers: dict[str, int]) -> None:
        now = self._clock()
        if kind in self._at_once:
            self._at_once[kind].elsewhere.hear(node, numbers, now + HEARD_SECONDS)
        elif kind == REQUESTS and self._windows is not None:
            self._windows.hear(numbers, now)
