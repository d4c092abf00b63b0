"""Credentials that were revoked while the hub runs.

A request, or a connection, may have been let in before; it must do nothing more.
"""

from __future__ import annotations

from typing import Final

from hub.domain.errors import Unauthorized
from hub.domain.principal import Principal

__all__ = ["Revocations"]

MOST: Final = 10_000
"""How many are remembered, the last ones. A request that was let in earlier may take a while."""


class Revocations:
    """The credentials that were revoked last, by `Principal.credential`."""

    def __init__(self) -> None:
        self._revoked: dict[str, None] = {}

    def add(self, credential: str) -> None:
        """Note that a credential was revoked."""
        self._revoked[credential] = None
        if len(self._revoked) > MOST:
            del self._revoked[next(iter(self._revoked))]

    def has(self, by: Principal) -> bool:
        """Whether a principal's credential was revoked."""
        return by.credential in self._revoked

    def names(self, credential: str) -> bool:
        """Whether this credential was revoked."""
        return credential in self._revoked

    def check(self, by: Principal) -> None:
        """Return if a principal's credential was not revoked.

        Raises:
            Unauthorized: ``invalid_api_key``, ``invalid_credential``: it was.
        """
        if self.has(by):
            code = "invalid_credential" if by.key is None else "invalid_api_key"
            raise Unauthorized("this credential was revoked", code=code)
