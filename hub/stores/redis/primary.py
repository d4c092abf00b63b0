"""The connections to one server that is written to, and what it is found to be.

They are used until one of them is lost; then the engine gives all of them up.
"""

from __future__ import annotations

import asyncio
from typing import Final

from redis.exceptions import ResponseError

from hub.domain.errors import StoreError
from hub.stores.redis.acknowledgements import Acknowledge, Acknowledgements
from hub.stores.redis.client import Commands, Subscriptions, unavailable
from hub.stores.redis.incarnations import Timeline
from hub.stores.redis.server import check_server, parse_info
from hub.stores.silence import sign_of_life

__all__ = ["Primary"]

BEAT_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 3.0
"""How often a connection tells itself something over the server, and how long it may take to hear
it. Without that, channels that have died quietly are like those of streams that nobody writes."""


class Primary:
    """One server; `open` it first, let it `introduce` itself, and `close` it in the end."""

    def __init__(
        self,
        url: str,
        *,
        beat: str,
        acknowledge: Acknowledge,
        acknowledged: str,
        clustered: bool = False,
    ) -> None:
        """``beat`` is a channel of this connection alone, ``acknowledged`` the key that its
        `Acknowledgements` write; ``clustered`` if it has only some of the slots.
        """
        self.url = url
        self.commands = Commands(url)
        self.channels = Subscriptions(url, sharded=clustered)
        self._clustered = clustered
        self.publish = "SPUBLISH" if clustered else "PUBLISH"
        self.numsub = "SHARDNUMSUB" if clustered else "NUMSUB"
        self._acknowledge = acknowledge
        self.acknowledgements: Acknowledgements | None = None
        self._links: list[Commands | Subscriptions | Acknowledgements]
        self._links = [self.commands, self.channels]
        if acknowledge != "memory":
            self.acknowledgements = Acknowledgements(url, acknowledge, acknowledged)
            self._links.append(self.acknowledgements)
        self._beat = beat
        self._heard = asyncio.Event()
        self._listening: asyncio.Task[None] | None = None
        self.timeline: Timeline
        self.now: int
        """Its clock when it introduced itself, in milliseconds since 1970."""
        self.lost: asyncio.Future[StoreError] = asyncio.get_running_loop().create_future()
        """Why it can no longer be used, once it cannot."""

    async def open(self) -> None:
        """Connect.

        Raises:
            StoreError: ``store_unavailable``: there is no server, or it refuses the hub.
        """
        for link in self._links:
            await link.open()
            link.lost.add_done_callback(lambda lost: self._lose(lost.result()))

    async def introduce(self) -> None:
        """Let it tell what it is, and give it up from now on once it is silent.

        Raises:
            StoreError: it cannot be used; see `hub.stores.redis.server.check_server`.
            ResponseError: it refuses what the hub asks.
        """
        info = parse_info(await self.commands.ask("INFO"))
        check_server(info, self._acknowledge, clustered=self._clustered)
        self.timeline = Timeline(info["run_id"], info["master_replid"])
        seconds, micros = map(int, await self.commands.ask("TIME"))
        self.now = seconds * 1000 + micros // 1000
        await self.channels.subscribe(self._beat, lambda _: self._heard.set())
        self._listening = asyncio.create_task(self._listen())

    async def close(self) -> None:
        """Disconnect; what is under way fails."""
        self._lose(unavailable("the connection was closed"))
        if self._listening is not None:
            self._listening.cancel()
            await asyncio.wait([self._listening])
        for link in self._links:
            await link.close()

    def _lose(self, why: StoreError) -> None:
        if not self.lost.done():
            self.lost.set_result(why)

    async def _listen(self) -> None:
        """Give the server up once it is silent."""
        while not self.lost.done():
            try:
                await sign_of_life(self._echo(), within=SILENCE_SECONDS)
            except TimeoutError:
                self._lose(unavailable("it is silent"))
            except ResponseError as error:
                self._lose(unavailable(error))
            except StoreError:
                pass  # it is lost, or has too much to do: then others wait, too
            await asyncio.sleep(BEAT_SECONDS)

    async def _echo(self) -> None:
        self._heard.clear()
        await self.commands.ask(self.publish, self._beat, "")
        await self._heard.wait()
