"""The connection to a server, in the incarnations that it was in when it was opened.

It is used until it is `lost`: until one of its connections fails, or a script tells that the server
is in another incarnation. Then another is opened, after this one was closed, so that nothing is
heard from an old timeline once something is from the new.

In a cluster it is one to all primaries. They are given up together: once one of them is lost, or a
partition, or what hubs tell each other, has another primary. What did not move is then found in the
incarnation in which it was.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Iterable, Mapping, Sequence
from contextlib import suppress
from typing import Any, Final
from uuid import uuid4

from redis.exceptions import ClusterDownError, NoScriptError, ReadOnlyError, ResponseError

from hub.domain import defaults
from hub.domain.errors import StoreError
from hub.stores.redis.acknowledgements import Acknowledge
from hub.stores.redis.client import Reply, unavailable
from hub.stores.redis.cluster import Cluster, ClusterWatch, Layout
from hub.stores.redis.codec import VERSION
from hub.stores.redis.incarnations import Incarnation, present
from hub.stores.redis.keys import (
    PARTITIONS,
    Keys,
    PartitionKeys,
    own_tag,
    partition_of,
    slot_of,
    unmoved,
)
from hub.stores.redis.primary import Primary
from hub.stores.redis.scripts import scripts
from hub.stores.redis.sentinels import PrimaryWatch, Sentinels
from hub.stores.redis.server import MOVING, Topology, explained, parse_info, topology_of

__all__ = ["RedisConnection"]

REPLY_SECONDS: Final = 10.0
"""After which a server that does not answer is given up."""


MOVING_SECONDS: Final = 0.05
"""After which something is asked again that was refused because its slot is being moved."""


class RedisConnection:
    """One server at a time, or a cluster: the part of a `hub.stores.shared.SharedEngine` that
    connects to it.
    """

    def __init__(
        self,
        server: str | Sentinels | Cluster,
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
        self._layout: Layout | None = None
        """Which of them has what, in a cluster."""
        self._by_url: dict[str, Primary] = {}
        self._known = dict(known or {})
        self._settle = round(settle_seconds * 1000)
        self._hashes: dict[str, str] = {}
        """What the server calls the scripts."""
        self._incarnations: dict[int, Incarnation] = {}
        self._partitions: dict[int, PartitionKeys] = {
            number: self.keys.partition(number) for number in range(PARTITIONS)
        }
        self._watch: PrimaryWatch | ClusterWatch | None = None
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
        return self._watch.answering if isinstance(self._watch, PrimaryWatch) else None

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
            raise self._said(unavailable("it does not answer")) from None
        except ResponseError as error:
            await self.close()
            raise self._said(explained(error)) from None
        except StoreError as error:
            await self.close()
            raise self._said(error) from None
        except BaseException:
            await self.close()
            raise

    def _said(self, error: StoreError) -> StoreError:
        """An error with the state of the cluster that it is of."""
        if not isinstance(self._watch, ClusterWatch):
            return error
        return StoreError(f"{error.message} ({self._watch.state})", code=error.code)

    async def _find_primaries(self) -> list[Primary]:
        """The servers; from now on they are given up once others are the primaries."""
        if isinstance(self._server, str):
            return [self._primary(self._server)]
        if isinstance(self._server, Sentinels):
            watch = self._watch = PrimaryWatch(self._server)
            watch.open()
            url = await watch.primary()
            self._tasks.append(asyncio.create_task(self._leave_once_moved(watch, url)))
            return [self._primary(url)]
        whole = self._watch = ClusterWatch(self._server)
        whole.open()
        self._layout = layout = await whole.layout()
        self._tasks.append(asyncio.create_task(self._follow(whole, layout)))
        self._by_url = {url: self._clustered(url, layout) for url in layout.primaries}
        return list(self._by_url.values())

    def _primary(self, url: str) -> Primary:
        return Primary(
            url,
            beat=self.keys.beat(uuid4().hex),
            acknowledge=self._acknowledge,
            acknowledged=self.keys.acknowledged(),
        )

    def _clustered(self, url: str, layout: Layout) -> Primary:
        tag = own_tag(lambda slot: layout.has(url, slot))
        return Primary(
            url,
            beat=self.keys.beat(uuid4().hex, tag),
            acknowledge=self._acknowledge,
            acknowledged=self.keys.acknowledged(tag),
            clustered=True,
        )

    async def _leave_once_moved(self, watch: PrimaryWatch, url: str) -> None:
        await watch.moved(url)
        self._lose(unavailable("another server was promoted"))

    async def _follow(self, watch: ClusterWatch, layout: Layout) -> None:
        """Go on with the cluster until what is listened to has another primary."""
        heard = {slot_of(of.incarnation) for of in self._partitions.values()}
        heard.add(slot_of(self.keys.nodes))
        while True:
            newer = watch.newest
            if newer.primaries != layout.primaries or not newer.agrees(layout, heard):
                self._lose(unavailable("slots of its cluster have moved"))
                return
            self._layout = newer
            await watch.changed()

    async def _open(self) -> None:
        for primary in self._primaries:
            primary.lost.add_done_callback(lambda lost: self._lose(lost.result()))
            await primary.open()
        async with asyncio.timeout(REPLY_SECONDS):
            for primary in self._primaries:
                await primary.introduce()
            await self._check_version()
            for primary in self._primaries:
                self._hashes = await self._load_scripts(primary)
            await self._find_incarnations()

    async def topology(self) -> Topology:
        """What there is of servers; raises what `ask` does."""
        primary = self._primaries[0]
        info = parse_info(await primary.commands.ask("INFO"))
        if isinstance(self._watch, ClusterWatch):
            return topology_of(info, primary.url, cluster=self._watch.state)
        return topology_of(info, primary.url, sentinels=self.sentinels)

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

    async def _load_scripts(self, primary: Primary) -> dict[str, str]:
        """Load the scripts; what the server calls each, which is the same everywhere."""
        texts = scripts(primary.publish)
        ask = primary.commands.ask
        hashes = await asyncio.gather(*(ask("SCRIPT", "LOAD", text) for text in texts.values()))
        return {name: hash_.decode() for name, hash_ in zip(texts, hashes, strict=True)}

    async def _find_incarnations(self) -> None:
        # Forks go on in the epochs of their sources, which may be on other servers.
        least = max(primary.now for primary in self._primaries)
        missing = set(range(PARTITIONS))
        while missing:
            replies = await asyncio.gather(*map(self._stored, missing))
            found = {
                one: (reply or b"").decode() for one, reply in zip(missing, replies, strict=True)
            }
            for one, text in found.items():
                stored = Incarnation.parse(text) if text else None
                primary = self._at(self._partitions[one].incarnation)
                known = self._known.get(one, 0)
                self._incarnations[one] = present(
                    stored, primary.timeline, known, primary.now, least
                )
            new = {one: str(self._incarnations[one]) for one in missing}
            made = [one for one in missing if new[one] != found[one]]
            adopted = await asyncio.gather(
                *(self._adopt(one, found[one], new[one]) for one in made)
            )
            # Whoever was faster has made the others.
            missing = {one for one, done in zip(made, adopted, strict=True) if not done}

    def _stored(self, partition: int) -> asyncio.Future[Reply]:
        key = self._partitions[partition].incarnation
        return self._at(key).commands.ask("GET", key)

    async def _check_version(self) -> None:
        """Use nothing in a form that this hub does not know.

        Raises:
            StoreError: ``store_newer``.
        """
        key = self.keys.version
        ask = self._at(key).commands.ask
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
        return self._at(of.incarnation).commands.ask(*adopt, stored, new, before)

    def _at(self, key: str) -> Primary:
        """The server that has a key or a channel."""
        if self._layout is None:
            return self._primaries[0]
        return self._by_url[self._layout.url_at(slot_of(key))]

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
        if self._layout is not None:
            keys = (*keys, unmoved(keys[0]))
        return await self._ask(keys[0], ("EVALSHA", self._hashes[script], len(keys), *keys, *words))

    async def ask(self, command: str, key: str, *words: str | bytes | int) -> Reply:
        """Send a command for one key or channel, and wait for its reply.

        Raises:
            StoreError: as `SharedEngine`.
        """
        return await self._ask(key, (command, key, *words))

    async def publish(self, channel: str, message: bytes) -> None:
        """Tell all hubs that listen to a channel; raises what `ask` does."""
        await self.ask(self._at(channel).publish, channel, message)

    async def _ask(self, key: str, words: Sequence[str | bytes | int]) -> Reply:
        moving_since: float | None = None
        while True:
            if self.lost.done():
                raise self.lost.result()
            reply = self._at(key).commands.ask(*words)
            try:
                async with asyncio.timeout(REPLY_SECONDS):
                    return await reply
            except TimeoutError:
                self._lose(unavailable("it does not answer"))
                raise StoreError("Redis has not confirmed the write", code="store_slow") from None
            except (NoScriptError, ReadOnlyError):
                raise self._lose(unavailable("it was restarted or demoted")) from None
            except ClusterDownError as error:
                raise self._lose(explained(error)) from None
            except MOVING as error:
                now = asyncio.get_running_loop().time()
                moving_since = moving_since or now
                if now - moving_since > REPLY_SECONDS:
                    raise explained(error) from None
            except ResponseError as error:
                raise explained(error) from None
            await asyncio.sleep(MOVING_SECONDS)
