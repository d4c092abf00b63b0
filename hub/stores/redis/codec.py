"""The form of records and notices in Redis.

An entry holds the records of one append. Its id is ``first-n``: the offset of its first record and
how many there are. So whether entries join can be told from their ids, and nothing that a server
has lost is ever skipped without being noticed. The bodies are one string (`hub.stores.packed`).

A notice is published by the script that wrote, in the same step. It consists of a byte with the
version of its form, the length of its header (4 bytes, big-endian), the header as JSON, and the
bodies. A notice of a newer form is not understood; the stream is then loaded instead.
"""

from __future__ import annotations

import struct
from collections.abc import Sequence
from typing import Any, Final

import orjson

from hub.domain.producers import Stamp
from hub.stores.packed import Damaged, unpack
from hub.stores.shared import Entry, Notice

__all__ = [
    "VERSION",
    "parse_entry",
    "parse_notice",
    "parse_stamp",
]

VERSION: Final = 1
"""The form of entries, of the hash of a stream, and of notices.

Hubs of two releases run side by side while one replaces the other. So a release reads the forms
before its own, and a field that is new needs no other form if hubs which do not know it may ignore
it. Otherwise there are two releases: one that reads the new form, and a later one that writes it.
"""


def parse_entry(found: tuple[bytes, Sequence[bytes]]) -> Entry:
    """Read an entry as Redis returns it: its id, and its names and values in turn.

    Raises:
        Damaged: it is not one of the hub's.
    """
    id_, (name, blob, *_) = found
    bodies = unpack(blob) if name == b"b" else []
    first, count = map(int, id_.split(b"-"))
    if len(bodies) != count:
        raise Damaged(f"entry {id_.decode()} has {len(bodies)} records")
    return Entry(first, bodies)


def parse_notice(message: bytes) -> Notice | None:
    """Read a message of a stream's channel; ``None`` if its form is newer than this hub.

    Raises:
        Damaged: it is not one of the hub's.
    """
    try:
        version, length = struct.unpack_from(">BI", message)
        if version > VERSION:
            return None
        at = struct.calcsize(">BI") + length
        header: dict[str, Any] = orjson.loads(message[at - length : at])
        closed_by, stamp = header.get("closed_by"), header.get("stamp")
        return Notice(
            change=int(header["change"]),
            epoch=int(header["epoch"]),
            first=int(header["first"]),
            bodies=unpack(message[at:]),
            reload="reload" in header,
            closed="closed" in header,
            closed_by=parse_stamp(closed_by) if closed_by else None,
            stamp=parse_stamp(stamp) if stamp else None,
            sequence=header.get("sequence"),
            running=header.get("running"),
            node=header.get("node"),
            began=header.get("began"),
            number=_number(header.get("number")),
            queue=header.get("queue"),
            prompts=header.get("prompts"),
            owner=header.get("owner"),
            head=_number(header.get("head")),
            expires=_number(header.get("expires")),
            removed="removed" in header,
            hidden="hidden" in header,
        )
    except (struct.error, AttributeError, KeyError, TypeError, ValueError) as error:
        raise Damaged(f"a notice cannot be read: {error}") from None


def parse_stamp(text: str) -> Stamp:
    """Read ``epoch:number:producer``."""
    epoch, number, producer = text.split(":", 2)
    return Stamp(producer, int(epoch), int(number))


def _number(text: str | None) -> int | None:
    return None if text is None else int(text)
