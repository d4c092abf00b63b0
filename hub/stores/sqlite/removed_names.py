"""The removed names that the file remembers (see `hub.domain.removed_names`).

Errors of the file are raised as `apsw.Error`.
"""

from __future__ import annotations

from typing import Any

import apsw

from hub.domain.removed_names import NEVER, REMEMBERED, RemovedNames

__all__ = ["remember_removal", "removals"]


def remember_removal(database: apsw.Connection, name: str) -> None:
    """Record that the stream ``name`` is removed; the next one begins in a later epoch."""
    database.execute("UPDATE hub SET value = value + 1 WHERE key = 'life'")
    database.execute(
        "INSERT OR REPLACE INTO removed (name, epoch) SELECT ?, value FROM hub WHERE key = 'life'",
        (name,),
    )
    forgotten: list[Any] = database.execute(
        "DELETE FROM removed WHERE number <= ? RETURNING epoch",
        (database.last_insert_rowid() - REMEMBERED,),
    ).fetchall()
    for (epoch,) in forgotten:
        database.execute("UPDATE hub SET value = max(value, ?) WHERE key = 'forgotten'", (epoch,))


def removals(database: apsw.Connection) -> RemovedNames:
    rows: list[Any] = database.execute("SELECT name, epoch FROM removed ORDER BY number").fetchall()
    forgotten = database.execute("SELECT value FROM hub WHERE key = 'forgotten'").get
    return RemovedNames(rows, NEVER if forgotten is None else int(forgotten))
