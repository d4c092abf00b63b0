"""Idempotency keys: a prompt that is sent again begins nothing again.

(draft-ietf-httpapi-idempotency-key-header.) A key is noted with the generation that it
began, in one group with that generation's first records: whoever had a reply lost, and asks
again after a restart, gets the same generation. Requests that come while the first is still
being answered wait for it.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from hub.errors import Conflict, HubError, KeyReused, RequestError
from hub.generation import Generation
from hub.stores import Keyed, Store

__all__ = ["Keys"]

KEY_LENGTH: Final = 255
"""Characters."""


class Keys:
    """The keys that were used last, at most ``most`` of them in memory."""

    def __init__(self, store: Store, most: int) -> None:
        self._store = store
        self._most = most
        self._known: OrderedDict[str, tuple[bytes, asyncio.Future[Generation]]] = OrderedDict()

    async def once(
        self,
        key: str,
        fingerprint: bytes,
        begin: Callable[[], Awaitable[Generation]],
        recall: Callable[[Keyed], Awaitable[Generation]],
    ) -> Generation:
        """What ``begin`` gives the first time, and the same ever after.

        ``recall`` finds what was begun before the hub was last started.

        Raises:
            RequestError: the key is empty or too long.
            KeyReused: it was used with another fingerprint.
        """
        if not 0 < len(key) <= KEY_LENGTH:
            raise RequestError(
                f"an idempotency key has 1 to {KEY_LENGTH} characters", code="bad_key"
            )
        known = self._known.get(key)
        if known is not None:
            _same(known[0], fingerprint)
            return await asyncio.shield(known[1])
        begun: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        self._known[key] = (fingerprint, begun)
        try:
            kept = await self._store.keyed(key)
            if kept is not None:
                _same(kept.fingerprint, fingerprint)
            generation = await (begin() if kept is None else recall(kept))
        except BaseException as error:
            # Nothing was begun, so the key may be tried again; whoever waits learns the same.
            self._known.pop(key, None)
            begun.set_exception(error if isinstance(error, HubError) else Conflict("try again"))
            begun.exception()
            raise
        begun.set_result(generation)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return generation


def _same(before: bytes, now: bytes) -> None:
    if before != now:
        raise KeyReused("this idempotency key was used for another request: take a new one")
