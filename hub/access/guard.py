"""Checks permissions on streams that may belong to whoever asks.

Grants are checked first: they decide by the name, so nothing has to be read. Only if they refuse
is the stream opened, because its owner may do more. What is then done must be done with that very
stream and no other that gets its name in the meantime: its epoch says which one it is.
"""

from __future__ import annotations

from collections.abc import Iterable

from hub.access.permissions import Permissions
from hub.domain.errors import Forbidden, Gone, StreamNotFound, Unauthorized
from hub.domain.permissions import Permission
from hub.domain.principal import Principal
from hub.streams.registry import Streams
from hub.streams.stream import Stream

__all__ = ["Guard", "epoch_of"]


class Guard:
    """Checks the permissions of principals on the streams of a hub."""

    def __init__(self, streams: Streams, permissions: Permissions) -> None:
        self._streams = streams
        self._permissions = permissions

    async def check(self, by: Principal, needs: Iterable[Permission], name: str) -> Stream | None:
        """Check that a principal has all permissions on a stream.

        Returns ``None`` if grants allow it for whatever has that name, else the one stream for
        which it is allowed, valid until the next ``await``.

        Raises:
            InvalidName: no stream can have this name.
            Unauthorized, StreamNotFound, Forbidden: as `hub.access.permissions.Permissions.check`.
                A stream that was deleted is like one that never was.
        """
        needs = tuple(needs)
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
            for permission in needs:
                self._permissions.check(by, permission, name, stream.settings.owner)
            return stream
        return None


def epoch_of(stream: Stream | None) -> int | None:
    """The epoch of what `Guard.check` returns; ``None`` if any will do."""
    return None if stream is None else stream.epoch
