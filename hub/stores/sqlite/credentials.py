"""The credentials in the file (see `hub.stores.Credentials`).

All methods of the table raise ``apsw.Error`` if the file cannot be read or written.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterator
from typing import Any, Final, Protocol, TypeVar

import apsw

from hub.domain.errors import Conflict, LimitExceeded
from hub.stores import CREDENTIALS, KEEP_ENDED_SECONDS, Credential, Label
from hub.stores.sqlite.schema import MAKER, STREAM

__all__ = ["CredentialTable", "KeptCredentials"]

_COLUMNS: Final = "kind, id, hash, name, user, tenant, grants, created, expires, revoked"
_ENDED: Final = "min(ifnull(expires, 9e999), ifnull(revoked, 9e999))"
_OF: Final = {"user": "user", "stream": STREAM, "maker": MAKER}


T = TypeVar("T")


class CredentialTable:
    """The credentials in a database, in whichever thread has the connection."""

    def __init__(self, database: apsw.Connection) -> None:
        self._database = database

    def add(self, one: Credential) -> None:
        """Insert a credential; within a transaction, which fails as a whole.

        Raises:
            Conflict, LimitExceeded: see `hub.stores.Credentials.add`.
        """
        if self.find(one.kind, one.id) is not None:
            raise Conflict(f'there is already a credential "{one.id}"', code="credential_exists")
        self._make_room(one.kind, one.created)
        values = (
            *(one.kind, one.id, one.hash, one.name, one.user, one.tenant, one.grants),
            *(one.created, one.expires, one.revoked),
        )
        places = ", ".join("?" * len(values))
        self._database.execute(
            f"INSERT INTO credentials ({_COLUMNS}) VALUES ({places})",  # noqa: S608 - constants
            values,
        )

    def _make_room(self, kind: str, now: float) -> None:
        self._database.execute(
            f"DELETE FROM credentials WHERE kind = ? AND {_ENDED} <= ?",  # noqa: S608 - a constant
            (kind, now - KEEP_ENDED_SECONDS),
        )
        count: Any = self._database.execute(
            "SELECT count(*) FROM credentials WHERE kind = ?", (kind,)
        ).get
        if count < CREDENTIALS:
            return
        self._database.execute(
            "DELETE FROM credentials WHERE (kind, id) IN (SELECT kind, id FROM credentials"  # noqa: S608 - constants
            f" WHERE kind = ? AND {_ENDED} <= ? ORDER BY {_ENDED} LIMIT ?)",
            (kind, now, count - CREDENTIALS + 1),
        )
        if self._database.changes() <= count - CREDENTIALS:
            raise LimitExceeded(
                f"there are {CREDENTIALS} already: revoke some", code="too_many_credentials"
            )

    def find(self, kind: str, id_: str) -> Credential | None:
        """The credential with this id."""
        return next(self._rows("kind = ? AND id = ?", kind, id_), None)

    def listed(self, kind: str, after: str, limit: int) -> list[Credential]:
        """Credentials of a kind, by id."""
        return list(self._rows("kind = ? AND id > ? ORDER BY id LIMIT ?", kind, after, limit))

    def held(self, kind: str, label: Label, after: str, limit: int, now: float) -> list[Credential]:
        """Credentials of a kind with a label that hold, by id."""
        found: Any = self._database.execute(
            f"SELECT {_COLUMNS} {_holding(label)} AND id > ? ORDER BY id LIMIT ?",
            (kind, label.value, now, after, limit),
        ).fetchall()
        return [Credential(*row) for row in found]

    def count(self, kind: str, label: Label, now: float) -> int:
        """How many `held` finds."""
        found: Any = self._database.execute(
            f"SELECT count(*) {_holding(label)}",
            (kind, label.value, now),
        ).get
        return int(found)

    def all(self) -> list[Credential]:
        """All credentials."""
        return list(self._rows("true"))

    def revoke(self, kind: str, id_: str, now: float) -> Credential | None:
        """Mark a credential as revoked, unless it is already; returns it, if there is one."""
        self._database.execute(
            "UPDATE credentials SET revoked = ? WHERE kind = ? AND id = ? AND revoked IS NULL",
            (now, kind, id_),
        )
        return self.find(kind, id_)

    def _rows(self, condition: str, *values: object) -> Iterator[Credential]:
        rows: Any = self._database.execute(
            f"SELECT {_COLUMNS} FROM credentials WHERE {condition}",  # noqa: S608 - constants
            values,
        ).fetchall()
        return (Credential(*row) for row in rows)


class InThread(Protocol):
    """Calls something with the table, in a thread that has a connection, and returns the result."""

    def __call__(self, ask: Callable[[CredentialTable], T], /) -> Awaitable[T]: ...


class KeptCredentials:
    """The credentials of a store: read in one thread of it, written in another."""

    def __init__(self, read: InThread, write: InThread) -> None:
        self._read = read
        self._write = write

    async def add(self, credential: Credential) -> None:
        await self._write(lambda table: table.add(credential))

    async def find(self, kind: str, id_: str) -> Credential | None:
        return await self._read(lambda table: table.find(kind, id_))

    async def listed(self, kind: str, after: str, limit: int) -> list[Credential]:
        return await self._read(lambda table: table.listed(kind, after, limit))

    async def held(
        self, kind: str, label: Label, after: str, limit: int, now: float
    ) -> list[Credential]:
        return await self._read(lambda table: table.held(kind, label, after, limit, now))

    async def count(self, kind: str, label: Label, now: float) -> int:
        return await self._read(lambda table: table.count(kind, label, now))

    async def revoke(self, kind: str, id_: str, now: float) -> Credential | None:
        return await self._write(lambda table: table.revoke(kind, id_, now))


def _holding(label: Label) -> str:
    """Where those are that hold, by their kind, the value of the label, and the time.

    The index is named, because SQLite would rather walk over all of the kind in order.
    """
    return (
        f"FROM credentials INDEXED BY credentials_of_{label.of} "
        f"WHERE kind = ? AND {_OF[label.of]} = ? AND revoked IS NULL "
        "AND ifnull(expires, 9e999) > ?"
    )
