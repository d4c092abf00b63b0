"""The registry of streams that several hubs write: what is opened here is a mirror of it.

Whatever was acknowledged over one hub is seen by whoever asks another one afterwards: a stream is
opened once this hub has heard all that was accepted before.
"""

from __future__ import annotations

from collections.abc import Iterable
from contextlib import suppress

from hub.domain.errors import Gone, StreamNotFound
from hub.domain.stream_settings import StreamSettings
from hub.stores import Listed
from hub.streams.followed import FollowedStream
from hub.streams.frozen import FrozenStream
from hub.streams.mirror import Mirror
from hub.streams.mirrors import Mirrors
from hub.streams.shared_writer import SharedWriter
from hub.streams.waiters import StreamWaiters

__all__ = ["SharedStreams"]


class SharedStreams:
    """The streams of an engine; see `hub.streams.opened.StreamRegistry`."""

    def __init__(self, mirrors: Mirrors, writer: SharedWriter) -> None:
        self._mirrors = mirrors
        self._writer = writer

    @property
    def awaited(self) -> StreamWaiters:
        return self._mirrors.awaited

    def __len__(self) -> int:
        return len(self._mirrors)

    @property
    def size(self) -> int:
        return self._mirrors.size

    def loaded(self, name: str) -> Mirror | None:
        return self._mirrors.loaded(name)

    async def open(self, name: str) -> Mirror:
        return await self._mirrors.fresh(name)

    async def create(
        self, name: str, settings: StreamSettings | None = None, *, epoch: int | None = None
    ) -> tuple[Mirror, bool]:
        with suppress(StreamNotFound, Gone):
            await self._mirrors.fresh(name)
        settings = StreamSettings() if settings is None else settings
        return await self._writer.open_or_create(name, settings, epoch=epoch)

    def expect(self, name: str) -> None:
        self._mirrors.expect(name)

    def is_same(self, stream: FollowedStream, epoch: int) -> bool:
        origin = stream.of if isinstance(stream, FrozenStream) else stream
        # A later stream of the name began in a higher epoch than this one ever had.
        return isinstance(origin, Mirror) and origin.born <= epoch

    async def exists(self, name: str, epoch: int) -> bool:
        try:
            stream = await self.open(name)
        except (StreamNotFound, Gone):
            return False
        return self.is_same(stream, epoch)

    async def listed(self, prefix: str, after: str, limit: int) -> tuple[list[Listed], bool]:
        return await self._page(prefix, after, limit)

    async def owned(
        self, owner: str, prefix: str, after: str, limit: int
    ) -> tuple[list[Listed], bool]:
        return await self._page(prefix, after, limit, owner)

    async def _page(
        self, prefix: str, after: str, limit: int, owner: str | None = None
    ) -> tuple[list[Listed], bool]:
        found = await self._mirrors.engine.listed(prefix, after, limit + 1, owner)
        return found[:limit], len(found) > limit

    async def set_owner(self, names: Iterable[str], owner: str | None) -> None:
        for name in names:
            with suppress(StreamNotFound, Gone):
                written = await self._mirrors.engine.set_owner(name, owner)
                mirror = self._mirrors.loaded(name)
                if mirror is not None:
                    await self._mirrors.confirmed(mirror, written)

    def written(self, name: str) -> None:
        """The engine postpones the expiry of what it writes."""

    def admit(self) -> None:
        _ = self._mirrors.engine

    async def committed(self, stream: str | None = None) -> None:
        """A write returns once the engine has accepted it, and it can be put back from here."""
