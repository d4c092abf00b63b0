"""The table of credentials (see `hub.stores.Credentials`), in whichever thread has the connection.

All methods raise ``apsw.Error`` if the file cannot be read or written.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

import apsw

from hub.domain.errors import Conflict, LimitExceeded
from hub.stores import CREDENTIALS, KEEP_ENDED_SECONDS, Credential

__all__ = ["CredentialTable"]

_COLUMNS: Final = "kind, id, hash, name, user, tenant, grants, created, expires, revoked, last_used"
_ENDED: Final = "min(ifnull(expires, 9e999), ifnull(revoked, 9e999))"


class CredentialTable:
    """The credentials in a database."""

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
            *(one.created, one.expires, one.revoked, one.last_used),
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
