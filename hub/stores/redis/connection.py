"""The connection to a server, in the incarnations that it was in when it was opened.

It is used until it is `lost`: until one of its connections fails, or a script tells that the server
is in another incarnation. Then another is opened, after this one was closed, so that nothing is
heard from an old timeline once something is from the new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from typing import Any, Final
from uuid import uuid4

from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from hub.domain import defaults
from hub.domain.errors import StoreError
from hub.stores.redis.acknowledgements import Acknowledge
from hub.stores.redis.client import Reply, unavailable
from hub.stores.redis.incarnations import Incarnation, present
from hub.stores.redis.keys import PARTITIONS, Keys, PartitionKeys, partition_of
from hub.stores.redis.primary import Primary
from hub.stores.redis.scripts import scripts
from hub.stores.redis.sentinels import PrimaryWatch, Sentinels
from hub.stores.redis.server import Topology, explained, parse_info, topology_of

__all__ = ["RedisConnection"]

REPLY_SECONDS: Final = 10.0
"""After which a server that does not answer is given up."""


class RedisConnection:
    """One server at a time: the part of a `hub.stores.shared.SharedEngine` that connects to it."""

    def __init__(
        self,
        server: str | Sentinels,
        *,
        keys: Keys | None = None,
        known: Mapping[int, int] | None = None,
        settle_seconds: float = defaults.SETTLE,
        acknowledge: Acknowledge = "memory",
    ) -> None:
        """``server`` is its URL, or who knows where it is; ``known`` is the highest incarnation
        that was seen of each partition.
        """
        self.keys = keys or Keys()
        self._server = server
        self._acknowledge = acknowledge
        self._primaries: list[Primary] = []
        self._known = dict(known or {})
        self._settle = round(settle_seconds * 1000)
        self._hashes: dict[str, str] = {}
        """What the server calls the scripts."""
        self._incarnations: dict[int, Incarnation] = {}
        self._partitions: dict[int, PartitionKeys] = {
            number: self.keys.partition(number) for number in range(PARTITIONS)
        }
        self._watch: PrimaryWatch | None = None
        self._tasks: list[asyncio.Task[None]] = []
        self.lost: asyncio.Future[StoreError] = asyncio.get_running_loop().create_future()
        """Why it can no longer be used, once it cannot."""

    @property
    def incarnations(self) -> dict[int, int]:
        return {number: found.number for number, found in self._incarnations.items()}

    def partition(self, stream: str) -> int:
        return partition_of(stream)

    def incarnation(self, stream: str) -> int:
        return self._incarnations[partition_of(stream)].number

    async def open(self) -> None:
        """Connect, and find or make the incarnations.

        Raises:
            StoreError: ``store_unavailable``: the server cannot be used now; otherwise it never can
                as it is set up, and the message says what to change.
        """
        try:
            self._primaries = await self._find_primaries()
            opening = asyncio.create_task(self._open())
            self._tasks.append(opening)
            # Nobody waits for a server that has been replaced meanwhile.
            either: list[asyncio.Future[Any]] = [opening, self.lost]
            await asyncio.wait(either, return_when=asyncio.FIRST_COMPLETED)
            if not opening.done():
                raise self.lost.result()
            await opening
        except TimeoutError:
            await self.close()
            raise unavailable("it does not answer") from None
        except ResponseError as error:
            await self.close()
            raise explained(error) from None
        except BaseException:
            await self.close()
            raise

    async def _find_primaries(self) -> list[Primary]:
        """The server; from now on it is given up once sentinels name another."""
        if isinstance(self._server, str):
            return [self._primary(self._server)]
        self._watch = PrimaryWatch(self._server)
        self._watch.open()
        url = await self._watch.primary()
        self._tasks.append(asyncio.create_task(self._leave_once_moved(self._watch, url)))
        return [self._primary(url)]

    def _primary(self, url: str) -> Primary:
        return Primary(
            url,
            beat=self.keys.beat(uuid4().hex),
            acknowledge=self._acknowledge,
            acknowledged=self.keys.acknowledged,
        )

    async def _leave_once_moved(self, watch: PrimaryWatch, url: str) -> None:
        await watch.moved(url)
        self._lose(unavailable("another server was promoted"))

    async def _open(self) -> None:
        for primary in self._primaries:
            primary.lost.add_done_callback(lambda lost: self._lose(lost.result()))
            await primary.open()
        async with asyncio.timeout(REPLY_SECONDS):
            for primary in self._primaries:
                await primary.introduce()
                self._hashes = await self._load(primary)
            await self._find_incarnations()

    async def topology(self) -> Topology:
        """What there is of servers; raises what `ask` does."""
        primary = self._primaries[0]
        info = parse_info(await self._ask(primary, ["INFO"]))
        answering = None if self._watch is None else self._watch.answering
        return topology_of(info, primary.url, answering)

    async def close(self) -> None:
        self._lose(unavailable("the connection was closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for primary in self._primaries:
            await primary.close()
        if self._watch is not None:
            await self._watch.close()

    def _lose(self, why: StoreError) -> StoreError:
        if not self.lost.done():
            self.lost.set_result(why)
        return why

    async def _load(self, primary: Primary) -> dict[str, str]:
        """Load the scripts; what the server calls each, which is the same everywhere."""
        texts = scripts()
        ask = primary.commands.ask
        hashes = await asyncio.gather(*(ask("SCRIPT", "LOAD", text) for text in texts.values()))
        return {name: hash_.decode() for name, hash_ in zip(texts, hashes, strict=True)}

    async def _find_incarnations(self) -> None:
        missing = set(range(PARTITIONS))
        while missing:
            asked = [(one, self._stored(one)) for one in missing]
            found = {one: (await reply or b"").decode() for one, reply in asked}
            for one, text in found.items():
                stored = Incarnation.parse(text) if text else None
                primary = self._at(self._partitions[one].incarnation)
                known = self._known.get(one, 0)
                self._incarnations[one] = present(stored, primary.timeline, known, primary.now)
            adopted = [
                (one, self._adopt(one, text, str(self._incarnations[one])))
                for one, text in found.items()
                if text != str(self._incarnations[one])
            ]
            # Whoever was faster has made it.
            missing = {one for one, reply in adopted if not await reply}

    def _stored(self, partition: int) -> asyncio.Future[Reply]:
        key = self._partitions[partition].incarnation
        return self._at(key).commands.ask("GET", key)

    def _adopt(self, partition: int, stored: str, new: str) -> asyncio.Future[Reply]:
        of = self._partitions[partition]
        before = self._incarnations[partition].number - 1
        adopt = ("EVALSHA", self._hashes["adopt"], 2, of.incarnation, of.forgotten)
        return self._at(of.incarnation).commands.ask(*adopt, stored, new, before)

    def _at(self, key: str) -> Primary:
        """The server that has a key or a channel."""
        del key
        return self._primaries[0]

    async def _in_time(self, asked: Awaitable[None]) -> None:
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                await asked
        except TimeoutError:
            raise self._lose(unavailable("it does not answer")) from None

    # Scripts and commands

    async def _call(
        self,
        script: str,
        partition: int,
        keys: Sequence[str],
        words: Iterable[str | bytes | int],
    ) -> list[Reply]:
        incarnation = self._incarnations[partition]
        shared = (incarnation.timeline.replication, str(incarnation), self._settle)
        found: list[Reply] = await self.run_alone(script, keys, (*shared, *words))
        if found[0] == b"incarnation":
            raise self._lose(unavailable("it was emptied or promoted"))
        return found

    async def run_alone(
        self, script: str, keys: Sequence[str], words: Iterable[str | bytes | int]
    ) -> Reply:
        """Run a script that is not on a stream.

        Raises:
            StoreError: as `SharedEngine`.
        """
        run = ("EVALSHA", self._hashes[script], len(keys), *keys, *words)
        return await self._ask(self._at(keys[0]), run)

    async def ask(self, command: str, key: str, *words: str | bytes | int) -> Reply:
        """Send a command for one key or channel, and wait for its reply.

        Raises:
            StoreError: as `SharedEngine`.
        """
        return await self._ask(self._at(key), (command, key, *words))

    async def _ask(self, primary: Primary, words: Sequence[str | bytes | int]) -> Reply:
        if self.lost.done():
            raise self.lost.result()
        reply = primary.commands.ask(*words)
        try:
            async with asyncio.timeout(REPLY_SECONDS):
                return await reply
        except TimeoutError:
            self._lose(unavailable("it does not answer"))
            raise StoreError("Redis has not confirmed the write", code="store_slow") from None
        except (NoScriptError, ReadOnlyError):
            raise self._lose(unavailable("it was restarted or demoted")) from None
        except ResponseError as error:
            raise explained(error) from None
