"""The lives of the file: at each start it begins one, whose number nobody else ever has.

The number is the epoch of whatever is written from then on. It has to be new at every start,
also after a proper stop. A file that is opened now may be a copy that was taken after such a
stop, put back by ``cp``, from a backup or by rolling back the disk, and readers may have seen
what another hub wrote after that stop. Nothing in the file or beside it can tell: what rolls
back a disk rolls back everything on it. A new number costs those who have seen nothing else
nothing at all: it begins at the tail, and they are there or before it (see `hub.streams.history`).

To be new in spite of that, a number is not counted but taken from the clock, in microseconds,
with some chance added: two hubs may begin with copies of one file at the same moment, or on
machines whose clocks stand still. It is above all that this file has had, whatever the clock.

The file remembers its lives. A position whose epoch is neither its stream's nor one of these
is another timeline's: nothing tells where that left this one. They are the rows of ``epochs``
for stream 0, which no stream is.
"""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

import apsw

__all__ = ["LEAP", "REMEMBERED", "begin_life", "new_epoch"]

CHANCE: Final = 1024 * 1024
"""How many numbers one is chosen from: about a second of the clock."""

LEAP: Final = 1024 * 1024
"""More epochs than the store can have given without having committed it when it crashed."""

REMEMBERED: Final = 10_000
"""Lives that are remembered; whoever comes back from an older one reads from the head again."""


def begin_life(database: apsw.Connection) -> tuple[int, frozenset[int]]:
    """A new life of the file, and all the lives it has had that are remembered.

    Streams that begin in it need an epoch above it, or else a name that is used again could
    have an epoch that the file remembers.

    Raises:
        apsw.Error: the file cannot be written.
    """
    with database:
        life = new_epoch(database)
        database.execute("INSERT INTO epochs (stream, epoch, first) VALUES (0, ?, 0)", (life,))
        database.execute(
            "DELETE FROM epochs WHERE stream = 0 AND epoch <= (SELECT epoch FROM epochs"
            " WHERE stream = 0 ORDER BY epoch DESC LIMIT 1 OFFSET ?)",
            (REMEMBERED,),
        )
        rows: list[Any] = database.execute("SELECT epoch FROM epochs WHERE stream = 0").fetchall()
    return life, frozenset(epoch for (epoch,) in rows)


def new_epoch(database: apsw.Connection, *, above: int = 0) -> int:
    """An epoch that nothing has had: not this file, nor any copy of it; also above ``above``.

    Raises:
        apsw.Error: the file cannot be written.
    """
    clock = time.time_ns() // 1000
    rows = database.execute(
        "UPDATE hub SET value = max(value + ?, ?, ?) + ? WHERE key = 'life' RETURNING value",
        (LEAP, above, clock, 1 + secrets.randbelow(CHANCE)),
    )
    return int(rows.get)
