"""Asks several servers which is the primary, again and again, for as long as an engine is used.

A promotion has to be known by all hubs at about the same time, because each of them may have
records that the new primary lacks, and can put them back only while it settles
(`hub.stores.redis.incarnations`). And a hub that is connected to a primary which was cut off from
the others hears nothing wrong from it.
"""

from __future__ import annotations

import asyncio
import logging
from abc import ABC, abstractmethod
from collections.abc import Iterable
from typing import Final, Generic, TypeVar

from redis.exceptions import ResponseError

from hub.domain.errors import StoreError
from hub.stores.redis.client import Commands, unavailable

__all__ = ["Watch"]

log = logging.getLogger("hub.store")

ASK_SECONDS: Final = 0.2
"""Between two questions to one of them; shorter than an engine settles."""

ANSWER_SECONDS: Final = 2.0
"""After which one counts as gone that does not answer."""

WAIT_SECONDS: Final = 1.0
"""How long the first answer waits for those of the others."""

Answer = TypeVar("Answer")


class Watch(ABC, Generic[Answer]):
    """Asks until it is closed; `open` it first."""

    noun: str
    """What is asked, as messages call it."""

    def __init__(self, urls: Iterable[str]) -> None:
        self._urls = list(dict.fromkeys(urls))  # one may be named twice
        self._answers: dict[str, Answer] = {}
        """What each has said last."""
        self._silent: dict[str, StoreError] = {}
        """Why those do not answer that do not."""
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        for url in self._urls:
            self._tasks.append(asyncio.create_task(self._run(url)))

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    @property
    def answering(self) -> tuple[int, int]:
        """How many have an answer, of how many."""
        return len(self._answers.keys() - self._silent.keys()), len(self._urls)

    async def _answered(self) -> None:
        """Return once there are the answers that are needed, or those that can be had soon.

        Raises:
            StoreError: there is none.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while not self._enough:
                    await self._heard()
        except TimeoutError:
            pass  # those that have answered are enough
        while not self._answers:
            if len(self._silent) == len(self._urls):
                raise self._nobody
            await self._heard()

    @property
    def _enough(self) -> bool:
        """Whether nobody else has to be waited for."""
        return len(self._answers | self._silent) == len(self._urls)

    @property
    def _nobody(self) -> StoreError:
        """Why there is no answer."""
        first, *_ = errors = list(self._silent.values())
        return StoreError(
            "; ".join(dict.fromkeys(error.message for error in errors)), code=first.code
        )

    async def _heard(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _run(self, url: str) -> None:
        """Ask one, for ever."""
        try:
            while True:
                await self._ask(url)
                await asyncio.sleep(ASK_SECONDS)
        except Exception:
            # Else it would look like one whose answer is still to come.
            log.exception("%s is asked no more", self.noun)
            self._fail(url, unavailable("the hub failed: see its log"))

    async def _ask(self, url: str) -> None:
        """Ask one over one connection, until it gives no answer."""
        commands = Commands(url)
        try:
            await commands.open()
            while True:
                async with asyncio.timeout(ANSWER_SECONDS):
                    self._take(url, await self._answer(url, commands))
                await asyncio.sleep(ASK_SECONDS)
        except StoreError as error:
            self._fail(url, error)
        except TimeoutError:
            self._fail(url, unavailable(f"{self.noun} does not answer"))
        except ResponseError as error:
            self._fail(url, unavailable(f"{self.noun} says: {error}"))
        except (LookupError, TypeError, ValueError):
            self._fail(url, unavailable(f"something answers that is not {self.noun}"))
        finally:
            await commands.close()

    @abstractmethod
    async def _answer(self, url: str, commands: Commands) -> Answer:
        """What the one at a URL says now."""

    def _take(self, url: str, answer: Answer) -> None:
        self._silent.pop(url, None)
        if self._answers.get(url) != answer:
            self._answers[url] = answer
            self._news.set()

    def _fail(self, url: str, why: StoreError) -> None:
        # What it has said before stays true until another says something newer.
        self._silent[url] = why
        self._news.set()
