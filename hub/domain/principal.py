"""Who makes a request, and what they may do.

Every operation of the hub is carried out for a principal. It is found once, when a request is
admitted (`hub.http.admission`), kept on the request and on the connection that comes of it,
and passed to each operation, which asks in one place whether it may (`hub.access.permissions`).

Without authentication there is one principal: `LOCAL`, who may do everything. So may the
application that the hub is part of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final
from urllib.parse import quote

from hub.domain.permissions import ALL, Grant, Permission

__all__ = ["LOCAL", "NOBODY", "OF_THE_HUB", "Principal"]

OF_THE_HUB: Final[frozenset[Permission]] = frozenset({"list", "admin"})
"""Permissions that concern the hub, not one stream."""


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may be allowed something.

    ``user`` is the person, or the program, that acts; ``tenant`` the organisation it belongs to;
    ``key`` the id of the API key it presented, never the key itself. Each is ``None`` where it
    is not known.

    ``grants`` are what it may do, with all variables filled in. ``within`` narrows them, for a
    credential that allows less than its user may: what is done must be in both. Owning a stream
    stands in for ``grants`` and never for ``within``. ``expires`` is when the credential does, in
    seconds since 1970; ``credential`` names it for a revocation.
    """

    user: str | None = None
    tenant: str | None = None
    key: str | None = None
    grants: tuple[Grant, ...] = field(default=ALL, repr=False)
    within: tuple[Grant, ...] | None = field(default=None, repr=False)
    expires: float | None = None
    credential: str | None = None
    address: str | None = field(default=None, compare=False, repr=False)
    """The network that the request came from; what somebody without a subject is counted by."""

    @property
    def subject(self) -> str | None:
        """Whose streams are this principal's own: the same text for each of its credentials.

        ``user`` or ``tenant/user``, else ``key:ID``, each part quoted so that no two can be the
        same text; ``None`` for somebody without a name, who owns nothing.
        """
        if self.user is None:
            return None if self.key is None else f"key:{_quoted(self.key)}"
        own = _quoted(self.user)
        return own if self.tenant is None else f"{_quoted(self.tenant)}/{own}"

    @property
    def scope(self) -> str | None:
        """Within what its idempotency keys and producer ids are unique; ``None`` for `LOCAL`."""
        if self is LOCAL or (self.address is None and self == LOCAL):
            return None
        return self.subject or ""

    @property
    def counted_as(self) -> str | None:
        """The name under which its requests are counted; ``None`` if they are not."""
        if (subject := self.subject) is not None:
            return subject
        return None if self.address is None else f"address {self.address}"  # no subject has a space

    def may(self, permission: Permission, stream: str | None = None) -> bool:
        """Whether it is allowed this on a stream.

        ``None`` stands for no stream where the hub as a whole is meant (``list``, ``admin``), and
        else for a new stream that will be the principal's own, under a name that the hub gives it.
        """
        return _allowed(self.grants, permission, stream) and self._within(permission, stream)

    def may_new(self, permission: Permission) -> bool:
        """Whether it is allowed this on any new stream that the hub names, also if not its own."""
        return any(grant.allows_new(permission) for grant in self.grants) and self._within(
            permission, None
        )

    def may_own(self, permission: Permission, stream: str | None = None) -> bool:
        """Whether it is allowed this on a stream of its own: if it is on any stream at all."""
        return (
            permission not in ("speak", "admin")
            and _allowed(self.grants, permission, None)
            and self._within(permission, stream)
        )

    def _within(self, permission: Permission, stream: str | None) -> bool:
        if self.within is None:
            return True
        if stream is None and permission not in OF_THE_HUB:
            # A credential for one stream must not begin others.
            return any(grant.allows_new(permission) for grant in self.within)
        return _allowed(self.within, permission, stream)


def _allowed(grants: Iterable[Grant], permission: Permission, stream: str | None) -> bool:
    return any(grant.allows(permission, stream) for grant in grants)


def _quoted(name: str) -> str:
    return quote(name, safe="@+~.", errors="surrogatepass")


LOCAL: Final = Principal()
"""Whoever can reach a hub without authentication; also the application that the hub is part of."""

NOBODY: Final = Principal(grants=())
"""Somebody without a credential, where there is authentication."""
