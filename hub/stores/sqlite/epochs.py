"""The epochs of the file: each start of a store on it begins one that no other start ever has.

The epoch must be new at every start, also after a proper stop. A file that is opened now may be
a copy taken after such a stop and put back by ``cp``, from a backup or by rolling back the disk,
and readers may have seen what another hub wrote after that stop. Nothing in the file or beside
it can tell, because rolling back a disk rolls back everything on it. A new epoch costs readers
who have seen nothing else nothing: it begins at the tail, and they are there or before it (see
`hub.streams.history`).

An epoch is not counted. It is the clock in microseconds plus a random number, because two hubs
may start on copies of one file at the same moment, or on machines whose clocks stand still. It
is above all epochs that this file has had, whatever the clock says.

The file remembers its epochs, as rows of ``epochs`` for stream 0, which no stream is. A position
whose epoch is neither its stream's nor one of these comes from another copy of the file; where
the two parted is unknown.

Errors of the file are raised as `apsw.Error`.
"""

from __future__ import annotations

import secrets
import time
from typing import Any, Final

import apsw

__all__ = ["LEAP", "REMEMBERED", "begin_life", "new_epoch"]

CHANCE: Final = 1024 * 1024
"""The range of the random number: about a second of the clock."""

LEAP: Final = 1024 * 1024
"""More epochs than a store can have assigned without committing them before a crash."""

REMEMBERED: Final = 10_000
"""Epochs that are remembered; a reader from an older one reads from the head again."""


def begin_life(database: apsw.Connection, *, above: int = 0) -> tuple[int, frozenset[int]]:
    """Begin a new epoch of the file above ``above``; returns it, and all that the file remembers.

    Streams that begin after this need an epoch above it. Otherwise a name that is used again
    could have an epoch that the file remembers.
    """
    with database:
        life = new_epoch(database, above=above)
        database.execute("INSERT INTO epochs (stream, epoch, first) VALUES (0, ?, 0)", (life,))
        database.execute(
            "DELETE FROM epochs WHERE stream = 0 AND epoch <= (SELECT epoch FROM epochs"
            " WHERE stream = 0 ORDER BY epoch DESC LIMIT 1 OFFSET ?)",
            (REMEMBERED,),
        )
        rows: list[Any] = database.execute("SELECT epoch FROM epochs WHERE stream = 0").fetchall()
    return life, frozenset(epoch for (epoch,) in rows)


def new_epoch(database: apsw.Connection, *, above: int = 0) -> int:
    """An epoch above ``above`` that neither this file nor a copy of it has had."""
    clock = time.time_ns() // 1000
    rows = database.execute(
        "UPDATE hub SET value = max(value + ?, ?, ?) + ? WHERE key = 'life' RETURNING value",
        (LEAP, above, clock, 1 + secrets.randbelow(CHANCE)),
    )
    return int(rows.get)
