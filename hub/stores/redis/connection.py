"""The connections to one server, in the incarnations that it was in when they were opened.

They are used until they are `lost`: until one of them fails, or a script tells that the server is
in another incarnation. Then others are opened, after these were closed, so that nothing is heard
from an old timeline once something is from the new.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

from redis.exceptions import NoScriptError, ReadOnlyError, ResponseError

from hub.domain import defaults
from hub.domain.errors import StoreError
from hub.stores.redis.acknowledgements import Acknowledge, Acknowledgements
from hub.stores.redis.client import Commands, Reply, Subscriptions, unavailable
from hub.stores.redis.codec import VERSION
from hub.stores.redis.incarnations import Incarnation, Timeline, present
from hub.stores.redis.keys import PARTITIONS, Keys, PartitionKeys, partition_of
from hub.stores.redis.scripts import scripts
from hub.stores.redis.sentinels import PrimaryWatch, Sentinels
from hub.stores.redis.server import Topology, check_server, explained, parse_info, topology_of
from hub.stores.silence import sign_of_life

__all__ = ["RedisConnection"]

REPLY_SECONDS: Final = 10.0
"""After which a server that does not answer is given up."""

BEAT_SECONDS: Final = 1.0
SILENCE_SECONDS: Final = 3.0
"""How often a connection tells itself something over the server, and how long it may take to hear
it. Without that, channels that have died quietly are like those of streams that nobody writes."""


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
        self._url = ""
        self._commands: Commands
        self._channels: Subscriptions
        self._acknowledge = acknowledge
        self._acknowledgements: Acknowledgements | None = None
        self._links: list[Commands | Subscriptions | Acknowledgements] = []
        self._known = dict(known or {})
        self._settle = round(settle_seconds * 1000)
        self._hashes: dict[str, str] = {}
        """What the server calls the scripts."""
        self._replid = ""
        self._incarnations: dict[int, Incarnation] = {}
        self._partitions: dict[int, PartitionKeys] = {
            number: self.keys.partition(number) for number in range(PARTITIONS)
        }
        self._heard = asyncio.Event()
        self._primary: PrimaryWatch | None = None
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

    @property
    def sentinels(self) -> tuple[int, int] | None:
        return None if self._primary is None else self._primary.answering

    async def open(self) -> None:
        """Connect, and find or make the incarnations.

        Raises:
            StoreError: ``store_unavailable``: the server cannot be used now; otherwise it never can
                as it is set up, and the message says what to change.
        """
        try:
            self._url = await self._find_server()
            opening = asyncio.create_task(self._open(self._url))
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

    async def _find_server(self) -> str:
        """The URL of the server; from now on it is given up once sentinels name another."""
        if isinstance(self._server, str):
            return self._server
        self._primary = PrimaryWatch(self._server)
        self._primary.open()
        url = await self._primary.primary()
        self._tasks.append(asyncio.create_task(self._leave_once_moved(self._primary, url)))
        return url

    async def _leave_once_moved(self, primary: PrimaryWatch, url: str) -> None:
        await primary.moved(url)
        self._lose(unavailable("another server was promoted"))

    async def _open(self, url: str) -> None:
        self._commands, self._channels = Commands(url), Subscriptions(url)
        self._links += [self._commands, self._channels]
        if self._acknowledge != "memory":
            acknowledged = self.keys.acknowledged
            self._acknowledgements = Acknowledgements(url, self._acknowledge, acknowledged)
            self._links.append(self._acknowledgements)
        for link in self._links:
            await link.open()
            link.lost.add_done_callback(lambda lost: self._lose(lost.result()))
        async with asyncio.timeout(REPLY_SECONDS):
            await self._shake_hands()
            beat = self.keys.beat(uuid4().hex)
            await self._channels.subscribe(beat, lambda _: self._heard.set())
        self._tasks.append(asyncio.create_task(self._listen(beat)))

    async def topology(self) -> Topology:
        """What there is of servers; raises what `ask` does."""
        info = parse_info(await self.ask("INFO"))
        return topology_of(info, self._url, self.sentinels)

    async def close(self) -> None:
        self._lose(unavailable("the connection was closed"))
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        for link in self._links:
            await link.close()
        if self._primary is not None:
            await self._primary.close()

    def _lose(self, why: StoreError) -> StoreError:
        if not self.lost.done():
            self.lost.set_result(why)
        return why

    async def _listen(self, beat: str) -> None:
        """Give the server up once it is silent."""
        while not self.lost.done():
            try:
                await sign_of_life(self._echo(beat), within=SILENCE_SECONDS)
            except TimeoutError:
                self._lose(unavailable("it is silent"))
            except ResponseError as error:
                self._lose(unavailable(error))
            except StoreError:
                pass  # it is lost, or has too much to do: then others wait, too
            await asyncio.sleep(BEAT_SECONDS)

    async def _echo(self, beat: str) -> None:
        self._heard.clear()
        await self._commands.ask("PUBLISH", beat, "")
        await self._heard.wait()

    async def _shake_hands(self) -> None:
        ask = self._commands.ask
        info = parse_info(await ask("INFO"))
        check_server(info, self._acknowledge)
        timeline = Timeline(info["run_id"], info["master_replid"])
        self._replid = timeline.replication
        await self._check_version()
        texts = scripts()
        hashes = await asyncio.gather(*(ask("SCRIPT", "LOAD", text) for text in texts.values()))
        self._hashes = {name: hash_.decode() for name, hash_ in zip(texts, hashes, strict=True)}
        seconds, micros = map(int, await ask("TIME"))
        now = seconds * 1000 + micros // 1000
        missing = set(range(PARTITIONS))
        while missing:
            asked = [(one, ask("GET", self._partitions[one].incarnation)) for one in missing]
            found = {one: (await reply or b"").decode() for one, reply in asked}
            for one, text in found.items():
                stored = Incarnation.parse(text) if text else None
                known = self._known.get(one, 0)
                self._incarnations[one] = present(stored, timeline, known, now)
            adopted = [
                (one, self._adopt(one, text, str(self._incarnations[one])))
                for one, text in found.items()
                if text != str(self._incarnations[one])
            ]
            # Whoever was faster has made it.
            missing = {one for one, reply in adopted if not await reply}

    async def _check_version(self) -> None:
        """Use nothing in a form that this hub does not know.

        Raises:
            StoreError: ``store_newer``.
        """
        ask, key = self._commands.ask, self.keys.version
        found = int(await ask("GET", key) or 0)
        if found > VERSION:
            raise StoreError(
                f"a newer hub keeps its streams in this Redis, in form {found} where this one "
                f"knows {VERSION}: update this one",
                code="store_newer",
            )
        if found < VERSION:
            with suppress(ResponseError):  # a full server is read all the same
                await ask("SET", key, VERSION, *(() if found else ("NX",)))

    def _adopt(self, partition: int, stored: str, new: str) -> asyncio.Future[Reply]:
        of = self._partitions[partition]
        before = self._incarnations[partition].number - 1
        adopt = ("EVALSHA", self._hashes["adopt"], 2, of.incarnation, of.forgotten)
        return self._commands.ask(*adopt, stored, new, before)

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
        shared = (self._replid, str(self._incarnations[partition]), self._settle)
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
        return await self.ask("EVALSHA", self._hashes[script], len(keys), *keys, *words)

    async def ask(self, *words: str | bytes | int) -> Reply:
        """Send a command that is not on a stream, and wait for its reply.

        Raises:
            StoreError: as `SharedEngine`.
        """
        if self.lost.done():
            raise self.lost.result()
        reply = self._commands.ask(*words)
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
