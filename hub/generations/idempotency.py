"""Idempotency keys: a prompt that is sent again begins nothing again.

(draft-ietf-httpapi-idempotency-key-header.) A key is noted with the generation that it
began, in one group with that generation's first records: whoever had a reply lost, and asks
again after a restart, gets the same generation. Requests that come while the first is still
being answered wait for it. A key whose stream was deleted is refused, and begins nothing: the
request that comes again may be one that was lost on the way before the deletion.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from hub.domain.errors import Conflict, Gone, HubError, KeyReused, RequestError, StreamNotFound
from hub.domain.events import Started
from hub.domain.generation import Generation
from hub.stores import Keyed, Keys, Store
from hub.streams.registry import Streams

__all__ = ["IdempotencyKeys"]

KEY_LENGTH: Final = 255
"""Characters."""


class IdempotencyKeys:
    """The keys that were used last, at most ``most`` of them in memory."""

    def __init__(self, store: Keys, most: int) -> None:
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
            RequestError: the key is empty, too long or no text.
            KeyReused: it was used with another fingerprint.
        """
        if not 0 < len(key) <= KEY_LENGTH:
            raise RequestError(
                f"an idempotency key has 1 to {KEY_LENGTH} characters", code="bad_key"
            )
        try:
            key.encode()
        except UnicodeEncodeError:
            raise RequestError("an idempotency key is text", code="bad_key") from None
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


async def told_again(kept: Keyed, streams: Streams, store: Store) -> Generation:
    """A generation that a key began before the hub was last started, from its events.

    Raises:
        Gone: ``generation_deleted``, or ``trimmed``.
    """
    try:
        stream = await streams.open(kept.stream)
    except (StreamNotFound, Gone):
        raise _deleted() from None
    # Its end may have been written at the start, and is shown once it is committed.
    await store.synced(stream.name)
    own = [
        event
        async for event in stream.events(kept.position.offset)
        if getattr(event, "generation", None) == kept.generation
    ]
    generation = Generation.told(kept.generation, stream.name, kept.position, own)
    if not generation.ended:
        raise Gone("the generation that this key began is no longer kept", code="trimmed")
    return generation


async def check_kept(generation: Generation, streams: Streams) -> None:
    """Whether the stream of a generation that has ended still holds it.

    Raises:
        Gone: ``generation_deleted``.
    """
    try:
        stream = await streams.open(generation.stream)
    except (StreamNotFound, Gone):
        raise _deleted() from None
    position = generation.position
    if position is None or position.offset < stream.head:
        return  # what was there is not kept, so nothing can be said of it
    async for event in stream.events(position.offset):
        if isinstance(event, Started):
            if event.generation == generation.id:
                return
            break
    raise _deleted()  # and another stream has its name


def _deleted() -> Gone:
    said = "what this idempotency key began was deleted: take a new one to begin anew"
    return Gone(said, code="generation_deleted")


def _same(before: bytes, now: bytes) -> None:
    if before != now:
        raise KeyReused("this idempotency key was used for another request: take a new one")
