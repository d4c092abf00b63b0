"""Which server is the primary, where sentinels decide that.

All sentinels are asked, again and again, for as long as an engine is used: a promotion has to be
known by all hubs at about the same time, because each of them may have records that the new primary
lacks, and can put them back only while it settles (`hub.stores.redis.incarnations`). And a hub that
is connected to a primary which was cut off from the sentinels hears nothing wrong from it.

Sentinels do not learn of a promotion at the same moment, and one that was cut off may tell of an
old one for long. Each promotion has a number that all of them agree on, the configuration's epoch;
so the answer with the highest one counts.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final, NamedTuple

from redis.exceptions import ResponseError

from hub.domain.errors import StoreError
from hub.stores.redis.client import Commands, unavailable

__all__ = ["PrimaryWatch", "Sentinels"]

log = logging.getLogger("hub.store")

ASK_SECONDS: Final = 0.2
"""Between two questions to a sentinel; shorter than an engine settles."""

ANSWER_SECONDS: Final = 2.0
"""After which a sentinel counts as gone that does not answer."""

WAIT_SECONDS: Final = 1.0
"""How long the first answer waits for those of the other sentinels."""


@dataclass(frozen=True, slots=True)
class Sentinels:
    """The sentinels of a primary, and how it is reached once they have named it."""

    urls: Sequence[str] = field(repr=False)  # with a password, perhaps
    primary: str
    """What they call it."""
    url_of: Callable[[str, int], str]
    """The URL of the server at a host and port."""


class _Named(NamedTuple):
    """Where a sentinel says that the primary is."""

    epoch: int
    url: str


class PrimaryWatch:
    """Asks sentinels until it is closed; `open` it first."""

    def __init__(self, sentinels: Sentinels) -> None:
        self._sentinels = sentinels
        self._urls = tuple(dict.fromkeys(sentinels.urls))  # one may be named twice
        self._named: dict[str, _Named] = {}
        """What each sentinel has said last."""
        self._silent: dict[str, StoreError] = {}
        """Why those do not answer that do not."""
        self._news = asyncio.Event()
        self._tasks: list[asyncio.Task[None]] = []

    def open(self) -> None:
        self._tasks = [asyncio.create_task(self._run(url)) for url in self._urls]

    async def close(self) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)

    async def primary(self) -> str:
        """The URL of the primary.

        Raises:
            StoreError: ``store_unavailable``: no sentinel knows it now; otherwise the message says
                what to change.
        """
        try:
            async with asyncio.timeout(WAIT_SECONDS):
                while len(self._named | self._silent) < len(self._urls):
                    await self._heard()
        except TimeoutError:
            pass  # those that have answered are enough
        while not self._named:
            if len(self._silent) == len(self._urls):
                raise self._nobody
            await self._heard()
        return self._newest

    async def moved(self, url: str) -> None:
        """Return once another server than that of ``url`` is the primary."""
        while self._newest == url:
            await self._heard()

    @property
    def answering(self) -> tuple[int, int]:
        """How many sentinels have an answer, of how many."""
        return len(self._named.keys() - self._silent.keys()), len(self._urls)

    @property
    def _nobody(self) -> StoreError:
        """Why no sentinel says where the primary is."""
        first, *_ = errors = list(self._silent.values())
        return StoreError(
            "; ".join(dict.fromkeys(error.message for error in errors)), code=first.code
        )

    @property
    def _newest(self) -> str:
        return max(self._named.values(), key=lambda named: named.epoch).url

    async def _heard(self) -> None:
        self._news.clear()
        await self._news.wait()

    async def _run(self, sentinel: str) -> None:
        """Ask one sentinel, for ever."""
        try:
            while True:
                await self._ask(sentinel)
                await asyncio.sleep(ASK_SECONDS)
        except Exception:
            # Else it would look like one whose answer is still to come.
            log.exception("a sentinel is asked no more")
            self._fail(sentinel, unavailable("the hub failed: see its log"))

    async def _ask(self, sentinel: str) -> None:
        """Ask one sentinel over one connection, until it gives no answer."""
        commands = Commands(sentinel)
        try:
            await commands.open()
            while True:
                async with asyncio.timeout(ANSWER_SECONDS):
                    self._take(sentinel, await self._answer(commands))
                await asyncio.sleep(ASK_SECONDS)
        except StoreError as error:
            self._fail(sentinel, error)
        except TimeoutError:
            self._fail(sentinel, unavailable("a sentinel does not answer"))
        except ResponseError as error:
            self._fail(sentinel, unavailable(f"a sentinel says: {error}"))
        except (LookupError, TypeError, ValueError):
            self._fail(sentinel, unavailable("something answers that is no sentinel"))
        finally:
            await commands.close()

    async def _answer(self, commands: Commands) -> _Named:
        name = self._sentinels.primary
        # In this order an address may be newer than its epoch, and never older.
        asked = (("MASTER", name), ("GET-MASTER-ADDR-BY-NAME", name))
        fields, (host, port) = await asyncio.gather(
            *(commands.ask("SENTINEL", *words) for words in asked)
        )
        epoch = int(dict(zip(fields[::2], fields[1::2], strict=True))[b"config-epoch"])
        return _Named(epoch, self._sentinels.url_of(host.decode(), int(port)))

    def _take(self, sentinel: str, named: _Named) -> None:
        self._silent.pop(sentinel, None)
        if self._named.get(sentinel) != named:
            self._named[sentinel] = named
            self._news.set()

    def _fail(self, sentinel: str, why: StoreError) -> None:
        # What it has said before stays true until another says something newer.
        self._silent[sentinel] = why
        self._news.set()
