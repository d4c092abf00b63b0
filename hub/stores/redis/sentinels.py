"""Which server is the primary, where sentinels decide that.

Sentinels do not learn of a promotion at the same moment, and one that was cut off may tell of an
old one for long. Each promotion has a number that all of them agree on, the configuration's epoch;
so the answer with the highest one counts.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

from hub.stores.redis.client import Commands
from hub.stores.redis.watch import Watch

__all__ = ["PrimaryWatch", "Sentinels"]


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


class PrimaryWatch(Watch[_Named]):
    """Asks sentinels until it is closed; `open` it first."""

    noun = "a sentinel"

    def __init__(self, sentinels: Sentinels) -> None:
        super().__init__(sentinels.urls)
        self._sentinels = sentinels

    async def primary(self) -> str:
        """The URL of the primary.

        Raises:
            StoreError: ``store_unavailable``: no sentinel knows it now; otherwise the message says
                what to change.
        """
        await self._answered()
        return self._newest

    async def moved(self, url: str) -> None:
        """Return once another server than that of ``url`` is the primary."""
        while self._newest == url:
            await self._heard()

    @property
    def _newest(self) -> str:
        return max(self._answers.values(), key=lambda named: named.epoch).url

    async def _answer(self, url: str, commands: Commands) -> _Named:
        name = self._sentinels.primary
        # In this order an address may be newer than its epoch, and never older.
        asked = (("MASTER", name), ("GET-MASTER-ADDR-BY-NAME", name))
        fields, (host, port) = await asyncio.gather(
            *(commands.ask("SENTINEL", *words) for words in asked)
        )
        epoch = int(dict(zip(fields[::2], fields[1::2], strict=True))[b"config-epoch"])
        return _Named(epoch, self._sentinels.url_of(host.decode(), int(port)))
