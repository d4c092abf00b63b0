"""The names of keys and channels.

Streams are spread over partitions. Everything of a stream is in its partition, so that a script may
use all of it also in a cluster, where the part of a key in braces decides which server has it.
"""

from __future__ import annotations

from binascii import crc_hqx
from collections.abc import Callable
from functools import lru_cache
from itertools import count
from typing import Final, NamedTuple

__all__ = [
    "PARTITIONS",
    "SLOTS",
    "CredentialKeys",
    "Keys",
    "PartitionKeys",
    "StreamKeys",
    "own_tag",
    "partition_of",
    "slot_of",
    "unmoved",
]

PARTITIONS: Final = 64
"""Never changes: what is stored elsewhere would not be found."""


SLOTS: Final = 16384
"""Into how many slots a cluster divides all keys."""


def partition_of(stream: str) -> int:
    """The partition of a stream: CRC-16/XMODEM of its name, as Redis Cluster computes slots."""
    return crc_hqx(stream.encode(), 0) % PARTITIONS


def slot_of(key: str) -> int:
    """The slot of a key in a cluster: that of what is in its first braces, if anything is."""
    _, _, rest = key.partition("{")
    tag, brace, _ = rest.partition("}")
    return crc_hqx((tag if tag and brace else key).encode(), 0) % SLOTS


def own_tag(has: Callable[[int], bool]) -> str:
    """What stands in the braces of keys in a slot that a server has, and that no stream is in."""
    return next(tag for tag in map(str, count(PARTITIONS)) if has(slot_of(f"{{{tag}}}")))


def unmoved(key: str) -> str:
    """A key that is never there, in the slot of another one.

    While a slot is moved to another server of a cluster, a script is refused if one of the keys
    that it is given is not there, before it has begun. Otherwise it would run, and fail halfway at
    the first key that it makes or removes.
    """
    return f"{key[: key.index('}') + 1]}unmoved"


class PartitionKeys(NamedTuple):
    """What the streams of one partition share."""

    incarnation: str
    """String: the incarnation of the server (`hub.stores.redis.incarnations`)."""
    names: str
    """Sorted set, all scores 0: the names of its streams."""
    removed: str
    """Sorted set: the streams that were removed last, each with its last epoch."""
    epoch: str
    """String: the highest epoch of a stream that was removed."""
    owners: str
    """Sorted set, all scores 0: ``owner NUL name`` of each stream that has an owner."""
    used: str
    """Sorted set: the names of streams that were removed or may have expired, each with the last
    epoch that it had."""
    forgotten: str
    """String: the highest epoch of the names that were dropped from ``used``."""
    holds: str
    """Sorted set: ``source NUL fork NUL token`` of each fork of which it is to be looked whether it
    is there, with the time of that (ms since 1970)."""
    meta: str
    """What the keys of hashes begin with (`StreamKeys.meta`)."""


class StreamKeys(NamedTuple):
    """What is kept of one stream, and the channel on which its changes are published."""

    meta: str
    """Hash: its settings and state."""
    epochs: str
    """List: ``epoch:first offset``, oldest first."""
    records: str
    """Stream: an entry for each append (`hub.stores.redis.codec`)."""
    producers: str
    """Hash: ``epoch:number`` of each idempotent producer."""
    forks: str
    """Set: the tokens of its forks; of those that older hubs made the names."""
    generations: str
    """Hash: ``epoch:first:started:ended`` of each generation that began here."""
    channel: str


class CredentialKeys(NamedTuple):
    """Where the credentials of one kind are."""

    values: str
    """Hash: each credential by its id, as JSON."""
    ids: str
    """Sorted set, all scores 0: the ids."""
    ends: str
    """Sorted set: the ids, each with the time at which it ends (s since 1970)."""
    labels: str
    """What the key of each label begins with: a sorted set like ``ends``, of those that were not
    revoked."""


class Keys:
    """All keys, which begin with ``prefix``."""

    def __init__(self, prefix: str = "sh:") -> None:
        self._prefix = prefix
        self.of = lru_cache(maxsize=4096)(self._of)
        """The keys of a stream; computed once for those that are used."""

    @property
    def pattern(self) -> str:
        """What all keys and channels match, as a pattern of an ACL."""
        return f"{self._prefix}*"

    def _of(self, stream: str) -> StreamKeys:
        tag = f"{self._prefix}{{{partition_of(stream)}}}"
        return StreamKeys(
            meta=f"{tag}m:{stream}",
            epochs=f"{tag}e:{stream}",
            records=f"{tag}r:{stream}",
            producers=f"{tag}p:{stream}",
            forks=f"{tag}f:{stream}",
            generations=f"{tag}g:{stream}",
            channel=f"{tag}l:{stream}",
        )

    @property
    def version(self) -> str:
        """String: the newest form in which anything is kept (`hub.stores.redis.codec.VERSION`)."""
        return f"{self._prefix}{{n}}version"

    @property
    def nodes(self) -> str:
        """Sorted set: the hubs, each with the end of its lease (ms since 1970)."""
        return f"{self._prefix}{{n}}nodes"

    @property
    def seen(self) -> str:
        """String: when a lease was last renewed (ms since 1970)."""
        return f"{self._prefix}{{n}}seen"

    def acknowledged(self, tag: str = "n") -> str:
        """String: what a connection writes to learn how far a replica, or the disk, is.

        ``tag`` is one of the slots of the server that is asked; see `own_tag`.
        """
        return f"{self._prefix}{{{tag}}}acknowledged"

    def runs(self, node: str) -> str:
        """Set: the generations of a hub, each as ``generation:stream``."""
        return f"{self._prefix}{{n}}run:{node}"

    def generation(self, generation: str) -> str:
        """String: the stream in which a generation is."""
        return f"{self._prefix}gen:{generation}"

    def beat(self, connection: str, tag: str = "n") -> str:
        """Channel: what a connection tells itself, to hear whether it hears; as `acknowledged`."""
        return f"{self._prefix}{{{tag}}}beat:{connection}"

    def topic(self, topic: str) -> str:
        """Channel: what hubs tell each other that is of no stream."""
        return f"{self._prefix}{{n}}topic:{topic}"

    def said(self, topic: str) -> str:
        """List: the messages of a topic that are kept, the newest first."""
        return f"{self._prefix}{{n}}said:{topic}"

    def claim(self, key: str) -> str:
        """String: what an idempotency key was used for."""
        return f"{self._prefix}key:{key}"

    def credentials(self, kind: str) -> CredentialKeys:
        """The keys of the credentials of a kind."""
        tag = f"{self._prefix}{{auth}}"
        return CredentialKeys(
            f"{tag}values:{kind}", f"{tag}ids:{kind}", f"{tag}ends:{kind}", f"{tag}labels:{kind}:"
        )

    def partition(self, number: int) -> PartitionKeys:
        """The keys of a partition."""
        tag = f"{self._prefix}{{{number}}}"
        return PartitionKeys(
            incarnation=f"{tag}incarnation",
            names=f"{tag}names",
            removed=f"{tag}removed",
            epoch=f"{tag}epoch",
            owners=f"{tag}owners",
            used=f"{tag}used",
            forgotten=f"{tag}forgotten",
            holds=f"{tag}holds",
            meta=f"{tag}m:",
        )
