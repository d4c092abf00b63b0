"""The state of a stream as the scripts return and take it; see `hub.stores.redis.scripts`."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

from hub.domain.errors import StoreError
from hub.domain.records import Position
from hub.domain.stream_settings import Fork, StreamSettings
from hub.stores import Listed
from hub.stores.packed import pack
from hub.stores.redis.client import Reply
from hub.stores.redis.codec import VERSION, parse_entry, parse_stamp
from hub.stores.shared import Claim, Entry, SourceHold, State, Ticked, Written

__all__ = [
    "damaged",
    "fields_of",
    "flat",
    "hash_of",
    "pairs",
    "parse_claim",
    "parse_listed",
    "parse_settings",
    "parse_state",
    "parse_ticked",
]


def flat(entries: Iterable[Entry]) -> list[int | bytes]:
    """Entries as arguments."""
    return [
        part for entry in entries for part in (entry.first, len(entry.bodies), pack(entry.bodies))
    ]


def parse_listed(found: list[Reply]) -> Listed:
    name, content_type, epoch, tail, closed, owner, running = found
    position = Position(epoch, tail)
    return Listed(
        name.decode(),
        content_type.decode(),
        position,
        bool(closed),
        owner.decode() or None,
        running.decode() or None,
    )


def parse_claim(found: bytes) -> Claim:
    fingerprint, born, stream = found.decode().split(":", 2)
    return Claim(bytes.fromhex(fingerprint), stream, int(born))


def parse_ticked(found: list[Reply]) -> Ticked:
    word, *rest = found
    if word == b"ok":
        return Ticked(Written(*rest[:3]), cancelled=bool(rest[3:] and rest[3]))
    return Ticked(number=rest[0] if word == b"number" else None, requeued=word == b"changed")


# The hash of a stream


def fields_of(settings: StreamSettings) -> list[str | int]:
    """The fields of a stream's hash that never change, names and values in turn."""
    fork = settings.fork
    found: dict[str, str | int | None] = {
        "type": settings.content_type,
        "ttl": settings.ttl,
        "expires_at": settings.expires_at,
        "owner": settings.owner,
        "creator": settings.creator,
        "source": None if fork is None else fork.source,
        "forked": None if fork is None else fork.offset,
        "hold": None if fork is None else fork.token or None,
    }
    return [part for name, value in found.items() if value is not None for part in (name, value)]


def parse_settings(fields: Mapping[str, str]) -> StreamSettings:
    source, ttl = fields.get("source"), fields.get("ttl")
    return StreamSettings(
        fields["type"],
        None if ttl is None else int(ttl),
        fields.get("expires_at"),
        None if source is None else Fork(source, int(fields["forked"]), fields.get("hold", "")),
        fields.get("owner"),
        fields.get("creator"),
    )


def parse_hold(stream: str, found: list[Reply]) -> SourceHold | None:
    """What a stream that is gone has held, from the source of a fork (or empty) and its token."""
    source, token = (part.decode() for part in found)
    return SourceHold(source, stream, token) if source else None


def damaged(stream: str, why: Exception) -> StoreError:
    return StoreError(f'"{stream}" cannot be read from Redis: {why}', code="store_damaged")


def parse_state(stream: str, found: list[Reply]) -> State:
    """A stream from the reply of ``load``.

    Raises:
        StoreError: ``store_newer``: a newer hub has written it; ``store_damaged``: no hub has.
    """
    try:
        return _parsed(found)
    except (ValueError, KeyError, IndexError) as error:
        raise damaged(stream, error) from None


def _parsed(found: list[Reply]) -> State:
    _, flat, epochs, producers, forks, entries = found
    fields = pairs(flat)
    if int(fields["v"]) > VERSION:
        raise StoreError("a newer hub has written this stream: update this one", code="store_newer")
    closed_by, expires = fields.get("closed_by"), fields.get("expires")
    return State(
        settings=parse_settings(fields),
        born=int(fields["born"]),
        epochs=tuple(_two_numbers(pair.decode()) for pair in epochs),
        life=int(fields["life"]),
        head=int(fields["head"]),
        tail=int(fields["tail"]),
        change=int(fields["change"]),
        entries=[parse_entry(entry) for entry in reversed(entries)],
        producers={name: _two_numbers(last) for name, last in pairs(producers).items()},
        closed="closed" in fields,
        closed_by=parse_stamp(closed_by) if closed_by else None,
        sequence=fields.get("sequence"),
        hidden="hidden" in fields,
        forks=forks,
        expires=None if expires is None else int(expires),
        running=fields.get("running"),
        node=fields.get("node", ""),
        number=int(fields.get("number", 0)),
        began=fields.get("began", ""),
        queue=fields.get("queue", ""),
        prompts=fields.get("prompts", ""),
    )


def hash_of(state: State) -> list[str | int]:
    """The hash of a stream, names and values in turn."""
    stamp = state.closed_by
    closed_by = "" if stamp is None else f"{stamp.epoch}:{stamp.number}:{stamp.producer}"
    found: dict[str, str | int | None] = {
        "born": state.born,
        "epoch": state.epoch,
        "life": state.life,
        "head": state.head,
        "tail": state.tail,
        "change": state.change,
        "closed": 1 if state.closed else None,
        "closed_by": closed_by or None,
        "sequence": state.sequence,
        "hidden": 1 if state.hidden else None,
        "expires": state.expires,
        "queue": state.queue or None,
        "prompts": state.prompts or None,
    }
    if state.running is not None:
        found["running"] = state.running
        found |= {"node": state.node, "number": state.number, "began": state.began}
    flat = [part for name, value in found.items() if value is not None for part in (name, value)]
    return fields_of(state.settings) + flat


def pairs(flat: Sequence[bytes]) -> dict[str, str]:
    texts = [part.decode() for part in flat]
    return dict(zip(texts[::2], texts[1::2], strict=True))


def _two_numbers(text: str) -> tuple[int, int]:
    first, second = text.split(":")
    return int(first), int(second)
