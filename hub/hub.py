"""The hub: its streams, generations, upstreams and connections."""

from __future__ import annotations

import asyncio
import logging
import sys
import time
import warnings
from collections import Counter
from collections.abc import AsyncIterable, Awaitable, Callable, Iterable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Final, TypeVar, cast

from hub.access.generations import GenerationAccess
from hub.access.hooks import Hooks
from hub.access.permissions import Permissions
from hub.access.revocations import Revocations
from hub.access.shares import ShareAccess
from hub.access.streams import StreamAccess
from hub.backends import HubLimits, SharedStore, backend_of
from hub.background import Background
from hub.connections.connection import Connection
from hub.connections.open_requests import OpenRequests
from hub.connections.participants import Participants
from hub.domain.counters import Counters
from hub.domain.errors import HubError, LimitExceeded, StoreError, Unauthorized
from hub.domain.memory_budget import MemoryBudget
from hub.domain.permissions import StreamPattern
from hub.domain.principal import Principal
from hub.domain.records import Position
from hub.http.errors import CloseCode
from hub.pipeline.pipeline import Pipeline
from hub.stores import Credentials, Store
from hub.streams.history import From
from hub.streams.news import News
from hub.streams.shared_limits import SharedLimits
from hub.streams.stream import Stream
from hub.streams.survey import Survey
from hub.streams.write_permissions import WritePermissions
from hub.upstreams.registry import Upstreams
from hub.upstreams.upstream import Upstream

__all__ = ["Hub", "HubLimits", "parse_from"]

log = logging.getLogger("hub")

T = TypeVar("T")

REFRESHES: Final = 50
"""Credentials that are refreshed at a time."""
REFRESHES_OF_ONE: Final = 20
"""Of these, in one look: credentials of one user, or address; the others are next."""


def parse_from(text: str) -> From:
    """Parse ``start``, ``now`` or a position, from which a client wants to read.

    Raises:
        PositionError: it is none of these.
    """
    if text == "start":
        return "start"
    if text == "now":
        return "now"
    return Position.parse(text)


class Hub:
    """One hub. Start it before use and close it afterwards; use it from one event loop.

    Its operations are in `streams`, `generations` and `upstreams`. The hub itself starts and stops
    them, and manages the connections.
    """

    def __init__(
        self,
        store: Store | SharedStore,
        upstreams: Mapping[str, Upstream],
        default_upstream: str,
        limits: HubLimits | None = None,
        *,
        hooks: Hooks | None = None,
    ) -> None:
        limits = limits or HubLimits()
        self.counts = Counters()
        self.connections: set[Connection] = set()
        self.callers = OpenRequests(of_one=limits.connections_of_one)
        self.allowance = MemoryBudget(limits.bodies_bytes)
        """Memory for request bodies that are being processed."""
        self.unsent = MemoryBudget(sys.maxsize, share=self.allowance.share)
        """Memory for whole responses while they are sent. Only each user's own is bounded: many
        users who come back at once are no attack."""
        self.draining = False
        """Whether no new generations are started; all else goes on."""
        self.upstreams = Upstreams(upstreams, default_upstream)
        self.limits = limits
        self._backend = backend_of(
            store,
            self.upstreams,
            limits,
            allowance=self.allowance,
            counts=self.counts,
            holds=self._holds,
        )
        streams, runs = self._backend.streams, self._backend.runs
        self.participants = Participants(members=limits.presence, state_bytes=limits.presence_bytes)
        self.permissions = Permissions()
        """Checked by all operations of `streams`, `generations` and `shares`."""
        self._revocations = Revocations()
        self.was_revoked: Callable[[str], Awaitable[bool]] | None = None
        """Asked whether a credential was revoked, also before this hub started, by whoever knows
        the credentials."""
        self.streams = StreamAccess(
            streams,
            self._backend.writer,
            runs,
            self.participants,
            self.permissions,
            self._revocations,
            WritePermissions(foreign_generations=limits.foreign_generations),
            event_bytes=limits.event_bytes,
            hooks=hooks,
        )
        self.generations = GenerationAccess(
            streams,
            runs,
            self.upstreams,
            self.permissions,
            self._revocations,
            name_length=limits.streams.name_length,
            prompt_messages=limits.runs.prompt_messages,
            hooks=hooks,
        )
        self.shares = ShareAccess(
            streams,
            self._backend.credentials,
            self.permissions,
            self._revocations,
            self.revoke,
            of_one=limits.shares_of_one,
            hooks=hooks,
        )
        self._background = [
            Background("the sweep of connections", self._sweep_connections, self.counts),
            Background("the sweep of streams", self._sweep_streams, self.counts),
        ]
        self._background += [
            Background(what, work, self.counts) for what, work in self._backend.work.items()
        ]
        if (together := self._backend.shared_limits) is not None:
            together.share("connections", self.callers.open)
        presence = self._backend.presence(self.participants)
        if presence is not None:
            self._background.append(Background("the presence of others", presence, self.counts))
        if (news := self._backend.news) is not None:
            news.on_new_owner(self._recheck_stream)
            hear = partial(self._hear, news)
            self._background.append(Background("the news of other hubs", hear, self.counts))
        if hooks is not None:
            refresh = partial(self._refresh_principals, hooks)
            self._background.append(Background("the refresh of principals", refresh, self.counts))

    async def start(self) -> None:
        """Open the store and start the background tasks."""
        await self._backend.start()
        for task in self._background:
            task.start()

    async def drain(self, grace: float) -> None:
        """Start no more generations, wait ``grace`` seconds for those that run, interrupt the
        others, and flush what they wrote.
        """
        self.draining = True
        await self._backend.drain(grace)

    async def close(self) -> None:
        """Drain, stop the background tasks, and close the store."""
        await self.drain(0.0)
        for task in self._background:
            await task.stop()
        await self._backend.stop()

    @property
    def credentials(self) -> Credentials:
        """The credentials in the store."""
        return self._backend.credentials

    @property
    def survey(self) -> Survey | None:
        """What asks the hubs that report with this one; ``None`` if there are none."""
        return self._backend.survey

    @property
    def shared_limits(self) -> SharedLimits | None:
        """What counts together with other hubs that share the store; ``None`` if there are none."""
        return self._backend.shared_limits

    @property
    def sentinels(self) -> tuple[int, int] | None:
        """How many sentinels of the store answer, of how many; ``None`` if there are none."""
        return self._backend.sentinels

    @property
    def trouble(self) -> str | None:
        """Why this hub is not ready, in a sentence; ``None`` if it is."""
        found = (self._backend.trouble, *(task.trouble for task in self._background))
        return next((why for why in found if why is not None), None)

    def pipeline(self, source: AsyncIterable[T] | Callable[[], AsyncIterable[T]]) -> Pipeline[T]:
        """A pipeline from any source; see `hub.pipeline`."""
        return Pipeline(source)

    # Older names of operations of `streams`

    async def create(self, name: str) -> Stream:
        """The JSON stream of a name. Deprecated: use ``hub.streams.create``."""
        _deprecated("create")
        stream, _ = await self.streams.create(name)
        return stream

    async def fork(
        self, name: str, source: str, position: Position | None = None
    ) -> tuple[Stream, bool]:
        """A fork of a stream. Deprecated: use ``hub.streams.fork``."""
        _deprecated("fork")
        outcome = await self.streams.fork(name, source, position)
        return await self.streams.open(name), not outcome.duplicate

    # Connections

    def admit(self) -> None:
        """Check that another connection may be opened.

        Raises:
            Draining: the hub is shutting down.
            LimitExceeded: there are as many connections as there may be.
        """
        self.callers.admit()
        if len(self.connections) >= self.limits.connections:
            self.counts.refusals += 1
            raise LimitExceeded("the hub has reached its limit of connections: try again later")

    def connect(self, connection: Connection) -> None:
        """Manage a connection until `disconnect`.

        Raises:
            Draining: the hub is shutting down; perhaps it was not yet at `admit`.
        """
        self.callers.stay()
        self.connections.add(connection)

    async def disconnect(self, connection: Connection) -> None:
        """Close a connection; called when its handler ends."""
        self.connections.discard(connection)
        await connection.close()

    def revoke(self, credential: str) -> Awaitable[None] | None:
        """End the connections of a credential (`Principal.credential`) within `look_seconds`.

        Also those that are opened later by requests that were admitted before, and those at other
        hubs that share the store. If there are any, what is returned is to be waited for before
        somebody is told that it is done: the others would not hear it from a hub that is killed.
        """
        self._revocations.add(credential)
        news = self._backend.news
        return None if news is None else news.tell_revoked(credential)

    def is_revoked(self, by: Principal) -> bool:
        """Whether a principal's credential was revoked since this hub started."""
        return self._revocations.has(by)

    async def _holds(self, credential: str) -> bool:
        """Whether a credential was not revoked; what this process knows is looked at last."""
        revoked = self.was_revoked is not None and await self.was_revoked(credential)
        return not (revoked or self._revocations.names(credential))

    def check_current(self, by: Principal) -> None:
        """Refuse a principal whose credential was revoked or has expired since it was presented.

        Raises:
            Unauthorized: ``token_expired``, or as `Revocations.check`.
        """
        self._revocations.check(by)
        if by.expires is not None and by.expires <= time.time():
            raise Unauthorized("this token has expired: get a new one", code="token_expired")

    async def answer(self, awaited: Awaitable[T], by: Principal) -> T:
        """Wait for what a request is answered with, unless its credential is revoked meanwhile.

        That it expires ends nothing: the request came in time, and may have cost money.

        Raises:
            Unauthorized: it was revoked.
        """
        found = await self.callers.answer(awaited, by)
        self._revocations.check(by)
        return cast("T", found)

    def _is_over(self, by: Principal) -> bool:
        try:
            self.check_current(by)
        except Unauthorized:
            return True
        return False

    async def _sweep_connections(self) -> None:
        loop = asyncio.get_running_loop()
        while True:
            await asyncio.sleep(self.limits.look_seconds)
            self.callers.end_polls(self._is_over)
            self.callers.end_answers(self._revocations.has)
            for count, connection in enumerate(list(self.connections), start=1):
                try:
                    if self._revocations.has(connection.by) and not connection.ended:
                        connection.revoke()
                    connection.tick(loop.time())
                except Exception:
                    log.exception("a connection failed in the sweep and is cut off")
                    self.counts.failures += 1
                    connection.abort()
                if count % self.limits.slice_size == 0:
                    await asyncio.sleep(0)

    async def _refresh_principals(self, hooks: Hooks) -> None:
        while True:
            await asyncio.sleep(self.limits.look_seconds)
            due = list(_due(self.connections, time.time()))
            groups = iter(due)
            workers = [self._refresh(hooks, groups) for _ in range(min(REFRESHES, len(due)))]
            await asyncio.gather(*workers)

    async def _refresh(self, hooks: Hooks, groups: Iterator[list[Connection]]) -> None:
        """Ask whether connections may go on, those of one credential together."""
        for connections in groups:
            by = connections[0].by
            try:
                renewed = await hooks.refresh(by)
                ending = CloseCode.REVOKED if renewed.subject != by.subject else None
            except Unauthorized:
                ending = CloseCode.REVOKED
            except HubError as error:
                log.warning("the connections of a credential end: %s", error.message)
                ending = CloseCode.TOKEN_EXPIRED
            except Exception:
                log.exception("a refresh failed, and the connections of its credential end")
                self.counts.failures += 1
                ending = CloseCode.TOKEN_EXPIRED
            for connection in connections:
                if _shown_by(connection.by) != _shown_by(by) or connection.ended:
                    continue  # it has presented another credential meanwhile
                if ending is not None:
                    connection.revoke(ending)
                else:
                    # Whoever has no name goes on to be counted by its address.
                    connection.by = replace(renewed, address=connection.by.address)
                    self.recheck(connection)

    async def change_owner(
        self, which: str | StreamPattern, owner: str | None, after: str = ""
    ) -> tuple[list[str], str | None]:
        """Give streams to somebody else, and end what others may no longer do with them.

        See `hub.access.streams.StreamAccess.change_owner`.
        """
        changed, following = await self.streams.change_owner(which, owner, after)
        await self._recheck_all(set(changed))
        if self._backend.news is not None:
            self._backend.news.tell_owners(changed)
        return changed, following

    async def _hear(self, news: News) -> None:
        """Do here what other hubs have done, too."""
        while True:
            heard = await news.next()
            for credential in heard.revoked:
                self._revocations.add(credential)
            if heard.revoked:
                # At once: after an outage all that was written meanwhile is about to be sent.
                await self._end_revoked()
            if heard.owned or heard.missed:
                await self._recheck_all(None if heard.missed else set(heard.owned))

    async def _end_revoked(self) -> None:
        for count, connection in enumerate(list(self.connections), start=1):
            if self._revocations.has(connection.by) and not connection.ended:
                connection.revoke()
            if count % self.limits.slice_size == 0:
                await asyncio.sleep(0)

    def _recheck_stream(self, name: str) -> None:
        """End what connections may no longer do with a stream, in this step."""
        for connection in list(self.connections):
            if name in connection.subscriptions and not connection.ended:
                self.recheck(connection)

    async def _recheck_all(self, names: set[str] | None) -> None:
        """End what connections may no longer do with these streams, or any (``None``)."""
        for count, connection in enumerate(list(self.connections), start=1):
            concerned = names is None or not names.isdisjoint(connection.subscriptions)
            if concerned and not connection.ended:
                self.recheck(connection)
            if count % self.limits.slice_size == 0:
                await asyncio.sleep(0)

    def recheck(self, connection: Connection) -> None:
        """End what the principal of a connection may no longer do."""
        if refused := self.streams.check_subscriptions(connection):
            connection.lose(refused)

    async def _sweep_streams(self) -> None:
        while True:
            await asyncio.sleep(self.limits.look_seconds)
            try:
                await self._backend.sweep(asyncio.get_running_loop().time())
            except StoreError as error:
                log.error("streams were not swept: %s", error)


def _due(connections: Iterable[Connection], now: float) -> Iterator[list[Connection]]:
    """The connections whose principals are to be refreshed, those of one credential together.

    Of each user those that have been due for longest: while many are asked about one, the others
    are not waited for.
    """
    due: dict[object, list[Connection]] = {}
    for connection in connections:
        refresh = connection.by.refresh
        if refresh is not None and refresh <= now and not connection.ended:
            due.setdefault(_shown_by(connection.by), []).append(connection)
    users: Counter[str | None] = Counter()
    for group in sorted(due.values(), key=lambda group: group[0].by.refresh or 0.0):
        user = group[0].by.counted_as
        users[user] += 1
        if users[user] <= REFRESHES_OF_ONE:
            yield group


def _shown_by(by: Principal) -> tuple[str | None, str | None]:
    """What connections of one credential have in common."""
    return by.credential, by.subject


def _deprecated(name: str) -> None:
    warnings.warn(
        f"Hub.{name} is deprecated: use hub.streams.{name}", DeprecationWarning, stacklevel=3
    )
