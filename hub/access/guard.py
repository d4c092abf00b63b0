"""Checks permissions on streams that may belong to whoever asks.

Grants are checked first: they decide by the name, so nothing has to be read. Only if they refuse
is the stream opened, because its owner may do more; or if they are personal, because it may belong
to another tenant. What is then done must be done with that very stream, or with its absence, and
with no other stream that gets the name in the meantime: its epoch says which one it is.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable
from dataclasses import dataclass
from typing import Final, TypeVar

from hub.access.hooks import Hooks
from hub.access.permissions import Permissions
from hub.access.revocations import Revocations
from hub.domain.errors import Forbidden, Gone, StreamNotFound, Unauthorized
from hub.domain.permissions import Permission
from hub.domain.principal import Principal, SharedStream
from hub.domain.stream_names import is_name
from hub.streams.opened import ABSENT, OpenedStream, StreamRegistry, check_epoch

__all__ = ["Allowed", "Guard"]

T = TypeVar("T")

TRIES: Final = 5
"""How often something is checked and tried whose name is another stream's by then."""


@dataclass(frozen=True, slots=True)
class Allowed:
    """For what something is allowed: for whatever has the name, or for one stream."""

    stream: OpenedStream | None = None
    """The one stream, if it was opened; valid until the next ``await``."""
    epoch: int | None = None
    """The epoch that it must be in; `ABSENT`: there was none; ``None``: any will do."""
    owner: str | None = None
    """Whose it is, if that is why it is allowed."""


ANY: Final = Allowed()


class Guard:
    """Checks the permissions of principals on the streams of a hub."""

    def __init__(
        self,
        streams: StreamRegistry,
        permissions: Permissions,
        revocations: Revocations,
        hooks: Hooks | None = None,
    ) -> None:
        self._streams = streams
        self._permissions = permissions
        self._revocations = revocations
        self._hooks = hooks

    async def check(self, by: Principal, needs: Iterable[Permission], name: str) -> Allowed:
        """Check that a principal has all permissions on a stream; returns on which.

        Raises:
            InvalidName: no stream can have this name.
            Unauthorized, StreamNotFound, Forbidden: as `hub.access.permissions.Permissions.check`.
                A stream that was deleted is like one that never was.
            Unauthorized: the principal's credential was revoked meanwhile.
            HubError: as `hub.access.hooks.Hooks.subscribe`.
        """
        needs = tuple(needs)
        self._revocations.check(by)
        if by.shared is not None:
            # Whoever made the link has decided; the application knows nobody by it.
            return await self._check_shared(by, by.shared, needs, name)
        allowed = await self._granted(by, needs, name)
        if "read" in needs and await self.ask(by, name):
            allowed = await self.recheck(by, needs, name)
        return allowed

    async def recheck(self, by: Principal, needs: Iterable[Permission], name: str) -> Allowed:
        """What `check` returns, once more after a wait, without asking the application.

        The stream may belong to somebody else by now, or be another one.

        Raises:
            InvalidName, Unauthorized, StreamNotFound, Forbidden: as `check`.
        """
        self._revocations.check(by)
        return await self._granted(by, tuple(needs), name)

    async def perform(
        self,
        by: Principal,
        needs: Iterable[Permission],
        name: str,
        deed: Callable[[Allowed], Awaitable[T]],
    ) -> T:
        """Check that a principal has all permissions on a stream, and do something with it.

        If the name is another stream's by then, or has none any more, this is checked again, and
        tried again if it is allowed: the stream may be one that the same principal has begun.

        Raises:
            HubError: as `check` and ``deed``, which raises `StreamNotFound` where it was to be
                done with another epoch, and has done nothing then.
        """
        needs = tuple(needs)
        allowed = await self.check(by, needs, name)
        for _ in range(TRIES):
            try:
                return await deed(allowed)
            except StreamNotFound:
                before, allowed = allowed, await self.recheck(by, needs, name)
                if allowed.epoch == before.epoch:
                    raise
        raise StreamNotFound.named(name)

    async def opened(self, allowed: Allowed, name: str) -> OpenedStream:
        """The stream for which something is allowed.

        Raises:
            StreamNotFound, Gone: as `StreamRegistry.open`; the name is another stream's by now.
        """
        if allowed.stream is not None:
            return allowed.stream
        stream = await self._streams.open(name)
        check_epoch(name, stream, allowed.epoch)
        return stream

    async def ask(self, by: Principal, name: str) -> bool:
        """Ask the application whether a principal may follow a stream; false if none is asked.

        Raises:
            HubError: as `hub.access.hooks.Hooks.subscribe`.
        """
        if self._hooks is None or by.scope is None or not is_name(name):
            return False
        await self._hooks.subscribe(by, name)
        return True

    async def _granted(self, by: Principal, needs: tuple[Permission, ...], name: str) -> Allowed:
        try:
            for permission in needs:
                self._permissions.check(by, permission, name)
        except (Unauthorized, StreamNotFound, Forbidden) as refusal:
            if by.subject is None:
                raise
            try:
                stream = await self._streams.open(name)
            except (StreamNotFound, Gone):
                raise refusal from None
            self._revocations.check(by)
            for permission in needs:
                self._permissions.check(by, permission, name, stream.settings.owner)
            return Allowed(stream, stream.epoch, stream.settings.owner)
        if self._permissions.are_for_all(by, needs, name):
            return ANY
        return await self._check_tenant(by, needs, name)

    async def _check_tenant(
        self, by: Principal, needs: tuple[Permission, ...], name: str
    ) -> Allowed:
        """Check what a principal may do for its name alone, which is nothing in other tenants."""
        try:
            stream = await self._streams.open(name)
        except (StreamNotFound, Gone):
            return Allowed(epoch=ABSENT)
        self._revocations.check(by)
        for permission in needs:
            self._permissions.check(by, permission, name, stream.settings.owner)
        return Allowed(stream, stream.epoch)

    async def _check_shared(
        self, by: Principal, shared: SharedStream, needs: Iterable[Permission], name: str
    ) -> Allowed:
        for permission in needs:
            self._permissions.check(by, permission, name)
        try:
            stream = await self._streams.open(name)
        except Gone:
            raise StreamNotFound.named(name) from None
        if not self._streams.is_same(stream, shared.epoch):
            raise StreamNotFound.named(name)
        self._revocations.check(by)
        return Allowed(stream, stream.epoch)
