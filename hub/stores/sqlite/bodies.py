"""Where the body of a record is: in its row if it is small, or else in a row of ``bodies``.

SQLite compares the keys of a table WITHOUT ROWID by the whole of a row. A row that does not fit
into its page is read to its end for each comparison, so some large records would make each search
for any record slow. ``records.body`` is therefore either the body or, as an integer, the id of the
row of ``bodies`` that has it. That one is a table with rowids, where a search reads only these.
"""

from __future__ import annotations

from typing import Any, Final, cast

import apsw

__all__ = ["INLINE_BYTES", "SIZE", "get", "length", "put"]

INLINE_BYTES: Final = 960
"""The largest body in a row of ``records``: with its key, at most 1002 bytes of a row are in a page
of 4096 bytes."""

SIZE: Final = (
    "CASE typeof(body) WHEN 'integer'"
    " THEN (SELECT length(b.body) FROM bodies b WHERE b.id = records.body) ELSE length(body) END"
)
"""The length of the body of a row of ``records``, for which it is not read."""


def put(database: apsw.Connection, body: bytes) -> int:
    """Keep a body of more than `INLINE_BYTES`; returns its id, for a row of ``records`` which is
    inserted in the same transaction.
    """
    database.execute("INSERT INTO bodies (body) VALUES (?)", (body,))
    return database.last_insert_rowid()


def get(database: apsw.Connection, id_: int) -> bytes:
    """The body with an id, in the transaction in which its row of ``records`` was read.

    Raises:
        apsw.CorruptError: there is none.
    """
    body: Any = database.execute("SELECT body FROM bodies WHERE id = ?", (id_,)).get
    if body is None:
        raise apsw.CorruptError(f"the body {id_} of a record is missing")
    return cast("bytes", body)


def length(database: apsw.Connection, id_: int) -> int:
    """The length of the body with an id, which is not read for it; 0 if there is none."""
    found: Any = database.execute("SELECT length(body) FROM bodies WHERE id = ?", (id_,)).get
    return int(found or 0)
