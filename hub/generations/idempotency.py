"""Idempotency keys: a prompt that is sent again begins no second generation.

See draft-ietf-httpapi-idempotency-key-header. A key is stored with the generation that it began, in
one group with that generation's first records. So a client that lost a response and asks again
after a restart gets the same generation. Requests that come while the first is still being answered
wait for it. A key whose stream was deleted is refused: the repeated request may be one that got
lost on the way before the deletion.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final

from hub.domain.errors import Conflict, Gone, HubError, KeyReused, RequestError, StreamNotFound
from hub.domain.events import Queued, Started
from hub.domain.generation import Generation
from hub.generations.recovery import events_of
from hub.stores import Keyed, Keys, Store
from hub.streams.opened import StreamRegistry
from hub.streams.registry import Streams

__all__ = [
    "IdempotencyKeys",
    "check_kept",
    "check_key",
    "check_same",
    "deleted",
    "generation_of_key",
]

KEY_LENGTH: Final = 255
"""Characters."""


class IdempotencyKeys:
    """The keys that were used last; at most ``most`` are kept in memory."""

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
        *,
        kept_as: str | None = None,
    ) -> Generation:
        """The generation that ``begin`` gives the first time, and the same one ever after.

        ``recall`` finds one that was begun before the hub was last started. The key is checked as
        the client sent it, and kept as ``kept_as``, if that is given.

        Raises:
            RequestError: the key is empty, too long or not text.
            KeyReused: it was used with another fingerprint.
        """
        check_key(key)
        key = key if kept_as is None else kept_as
        known = self._known.get(key)
        if known is not None:
            check_same(known[0], fingerprint)
            return await asyncio.shield(known[1])
        begun: asyncio.Future[Generation] = asyncio.get_running_loop().create_future()
        self._known[key] = (fingerprint, begun)
        try:
            kept = await self._store.keyed(key)
            if kept is not None:
                check_same(kept.fingerprint, fingerprint)
            generation = await (begin() if kept is None else recall(kept))
        except BaseException as error:
            # Nothing was begun, so the key may be used again; waiting requests fail, too.
            self._known.pop(key, None)
            begun.set_exception(error if isinstance(error, HubError) else Conflict("try again"))
            begun.exception()
            raise
        begun.set_result(generation)
        while len(self._known) > self._most:
            self._known.popitem(last=False)
        return generation


async def generation_of_key(kept: Keyed, streams: Streams, store: Store) -> Generation:
    """The generation that a key began before the hub was last started, from its events.

    Raises:
        Gone: ``generation_deleted``, or ``trimmed``.
    """
    try:
        stream = await streams.open(kept.stream)
    except (StreamNotFound, Gone):
        raise deleted() from None
    # The start of the hub may have written its end, which is shown once it is committed.
    await store.synced(stream.name)
    start = kept.position.offset
    own = [event async for event in events_of(stream, kept.generation, start)]
    generation = Generation.told(kept.generation, stream.name, kept.position, own)
    if not generation.ended:
        raise Gone("the generation that this key began is no longer kept", code="trimmed")
    return generation


async def check_kept(generation: Generation, streams: StreamRegistry) -> None:
    """Check that the stream of a generation that has ended still holds it.

    Raises:
        Gone: ``generation_deleted``.
    """
    try:
        stream = await streams.open(generation.stream)
    except (StreamNotFound, Gone):
        raise deleted() from None
    position = generation.position
    if position is None or position.offset < stream.head:
        return  # its records are not kept, so it cannot be checked
    if not streams.is_same(stream, position.epoch):
        raise deleted()  # and not after all of another stream was read
    async for event in stream.events(position.offset):
        if isinstance(event, Started | Queued) and event.generation == generation.id:
            return
        if isinstance(event, Started):
            break
    raise deleted()  # another stream has the name now


def check_key(key: str) -> None:
    """Check an idempotency key.

    Raises:
        RequestError: ``bad_key``: it is empty, too long or not text.
    """
    if not 0 < len(key) <= KEY_LENGTH:
        said = f"an idempotency key has 1 to {KEY_LENGTH} characters"
        raise RequestError(said, code="bad_key")
    try:
        key.encode()
    except UnicodeEncodeError:
        raise RequestError("an idempotency key must be text", code="bad_key") from None


def deleted() -> Gone:
    """The error for a key whose generation was deleted with its stream."""
    said = "the generation of this idempotency key was deleted: use a new key to start another"
    return Gone(said, code="generation_deleted")


def check_same(before: bytes, now: bytes) -> None:
    """Check that a key is used again for the same request.

    Raises:
        KeyReused: it is another one.
    """
    if before != now:
        raise KeyReused("this idempotency key was used for another request: use a new key")
