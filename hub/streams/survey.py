"""Asks all hubs that report together for their numbers, over topics of the engine."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

import orjson

from hub.domain.errors import StoreError
from hub.owned_tasks import OwnedTasks
from hub.stores.shared import SharedEngine
from hub.streams.mirrors import Mirrors

__all__ = ["Survey"]

log = logging.getLogger("hub.streams")

ASKED: Final = "numbers"

ANSWER_SECONDS: Final = 1.0
"""How long all may take to answer."""

AT_ONCE: Final = 16
"""How many answers may be on their way at a time; whoever asks more counts this hub as missing."""


class Survey:
    """One of ``hubs`` hubs; ``node`` is its name. `open` it once there is an engine.

    ``numbers`` gives this hub's numbers, by their names.
    """

    def __init__(self, mirrors: Mirrors, node: str, hubs: int) -> None:
        self._mirrors = mirrors
        self._node = node
        self.hubs = hubs
        self.numbers: Callable[[], Mapping[str, float]] = dict
        self._last = 0
        self._asked: dict[int, tuple[list[Mapping[str, float]], asyncio.Event]] = {}
        self._answering = OwnedTasks("an answer to another hub", log)

    async def open(self) -> None:
        await self._mirrors.each_engine(self._join)

    async def _join(self, engine: SharedEngine) -> None:
        await engine.hear(ASKED, self._hear)
        await engine.hear(f"{ASKED}:{self._node}", self._take)

    async def ask(self) -> list[Mapping[str, float]]:
        """The numbers of each other hub that answers within a second."""
        self._last = id_ = self._last + 1
        answers: list[Mapping[str, float]] = []
        complete = asyncio.Event()
        self._asked[id_] = answers, complete
        asked = orjson.dumps({"id": id_, "for": self._node})
        try:
            # Those that are missing are counted as missing.
            with suppress(TimeoutError, StoreError):
                async with asyncio.timeout(ANSWER_SECONDS):
                    await self._mirrors.engine.say(ASKED, asked)
                    await complete.wait()
        finally:
            del self._asked[id_]
        return answers

    def _hear(self, message: bytes) -> None:
        asked = orjson.loads(message)
        if asked["for"] != self._node and len(self._answering) < AT_ONCE:
            self._answering.start(self._answer(asked["id"], asked["for"]))

    async def _answer(self, id_: int, node: str) -> None:
        answer = orjson.dumps({"id": id_, "numbers": dict(self.numbers())})
        with suppress(StoreError):  # nobody waits for long
            await self._mirrors.engine.say(f"{ASKED}:{node}", answer)

    def _take(self, message: bytes) -> None:
        said = orjson.loads(message)
        answers, complete = self._asked.get(said["id"], ([], None))
        # While a worker is replaced, there is one more.
        if complete is not None and len(answers) < self.hubs - 1:
            answers.append(said["numbers"])
            if len(answers) == self.hubs - 1:
                complete.set()

    async def stop(self) -> None:
        """Answer nothing more."""
        await self._answering.stop()
