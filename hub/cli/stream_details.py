"""Descriptions of a stream for people and for programs."""

from __future__ import annotations

from collections.abc import Iterator
from datetime import UTC, datetime
from typing import Any

from hub.stores.sqlite.inspect import Entry

__all__ = ["details", "format_size", "format_time", "lines", "row", "row_of", "summary"]


def summary(entry: Entry) -> dict[str, Any]:
    """A stream in a list, for programs."""
    return {
        "stream": entry.name,
        "content_type": entry.settings.content_type,
        "records": entry.tail - entry.head,
        "bytes": entry.size,
        "state": _state(entry),
        "closed": entry.closed,
        "expires": None if entry.expires is None else format_time(entry.expires),
    }


def details(entry: Entry) -> dict[str, Any]:
    """What `summary` leaves out."""
    fork = entry.settings.fork
    return {
        "head": str(entry.position(entry.head)),
        "tail": str(entry.position(entry.tail)),
        "epochs": [{"epoch": epoch, "offset": first} for epoch, first in entry.epochs],
        "ttl": entry.settings.ttl,
        "expires_at": entry.settings.expires_at,
        "owner": entry.settings.owner,
        "creator": entry.settings.creator,
        "producers": len(entry.producers),
        "running": list(entry.running),
        "sequence": entry.sequence,
        "forked_from": fork and {"stream": fork.source, "offset": fork.offset},
        "forks": entry.forks,
    }


def lines(entry: Entry) -> Iterator[tuple[str, str]]:
    """Everything about a stream, as keys and values for people."""
    records, settings = entry.tail - entry.head, entry.settings
    yield "stream", entry.name
    yield "type", settings.content_type
    if settings.owner is not None:
        yield "owner", settings.owner
    if settings.creator not in (None, settings.owner):
        yield "begun by", str(settings.creator)
    yield "state", _state(entry)
    yield "records", f"{records}, offsets {entry.head} to {entry.tail - 1}" if records else "0"
    yield "bytes", f"{entry.size}" + (", without those of its source" if settings.fork else "")
    yield "head", str(entry.position(entry.head))
    yield "tail", str(entry.position(entry.tail))
    yield "epochs", ", ".join(f"{epoch} from offset {first}" for epoch, first in entry.epochs)
    yield "producers", str(len(entry.producers))
    if entry.sequence is not None:
        yield "sequence", entry.sequence
    if entry.expires is not None:
        sliding = "" if settings.ttl is None else f", {settings.ttl} s after its last use"
        yield "expires", format_time(entry.expires) + sliding
    if settings.fork is not None:
        yield "forked from", f"{settings.fork.source} at offset {settings.fork.offset}"
    yield "forks", str(entry.forks)
    if entry.running:
        yield "generating", ", ".join(entry.running)


def row_of(entry: Entry) -> str:
    """A stream in a list, for people."""
    expires = "-" if entry.expires is None else format_time(entry.expires)
    records, size = str(entry.tail - entry.head), str(entry.size)
    return row(records, size, _state(entry), expires, entry.settings.content_type, entry.name)


def row(records: str, size: str, state: str, expires: str, content_type: str, name: str) -> str:
    """The columns of a list; the name comes last because it may be long."""
    return f"{records:>8} {size:>11} {state:<7} {expires:<20} {content_type:<24} {name}\n"


def _state(entry: Entry) -> str:
    return "deleted" if entry.hidden else "closed" if entry.closed else "open"


def format_time(seconds: float) -> str:
    """A time in seconds since 1970, as RFC 3339 has it."""
    return datetime.fromtimestamp(seconds, UTC).strftime("%Y-%m-%dT%H:%M:%SZ")


def format_size(size: float) -> str:
    """A number of bytes with a unit."""
    for unit in ("bytes", "KiB", "MiB"):
        if size < 1024:
            return f"{size:.4g} {unit}"
        size /= 1024
    return f"{size:.4g} GiB"
