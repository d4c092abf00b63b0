"""Who makes a request, and what they may do.

Every operation of the hub is carried out for a principal. It is found once, when a request is
admitted (`hub.http.admission`), kept on the request and on the connection that comes of it,
and passed to each operation, which asks in one place whether it may (`hub.access.permissions`).

Without authentication there is one principal: `LOCAL`, who may do everything. So may the
application that the hub is part of.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Final
from urllib.parse import quote

from hub.domain.permissions import ALL, Grant, Permission, StreamPattern
from hub.domain.records import Position

__all__ = ["ANYBODY", "LOCAL", "NOBODY", "OF_THE_HUB", "Principal", "SharedStream"]

OF_THE_HUB: Final[frozenset[Permission]] = frozenset({"list", "admin"})
"""Permissions that concern the hub, not one stream."""


ANYBODY: Final = "?/?"
"""Stands for an owner of any tenant, and is nobody's subject."""


@dataclass(frozen=True, slots=True)
class SharedStream:
    """What a share link shows: a stream up to ``until``, or live.

    It is the stream that had the name in ``epoch``, and none that gets the name later.
    """

    stream: str
    epoch: int
    until: Position | None = None


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may be allowed something.

    ``user`` is the person, or the program, that acts; ``tenant`` the organisation it belongs to;
    ``key`` the id of the API key it presented, never the key itself. Each is ``None`` where it
    is not known.

    ``grants`` are what it may do, with all variables filled in. ``within`` narrows them, for a
    credential that allows less than its user may: what is done must be in both. Owning a stream
    stands in for ``grants`` and never for ``within``. ``expires`` is when the credential does, in
    seconds since 1970; ``credential`` names it for a revocation. ``shared`` is what it shows if it
    is a share link.
    """

    user: str | None = None
    tenant: str | None = None
    key: str | None = None
    grants: tuple[Grant, ...] = field(default=ALL, repr=False)
    within: tuple[Grant, ...] | None = field(default=None, repr=False)
    expires: float | None = None
    credential: str | None = None
    shared: SharedStream | None = None
    ticket: bool = False
    """Whether it presented a ticket, which is to read one stream and for nothing else."""
    refresh: float | None = field(default=None, compare=False, repr=False)
    """When an open connection has to be allowed to go on, in seconds since 1970; see
    `hub.access.hooks.Hooks.refresh`."""
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
    def is_nobody(self) -> bool:
        """Whether it has shown no credential, and may do nothing without one."""
        return self.credential is None and self.subject is None and not self.grants

    @property
    def scope(self) -> str | None:
        """Within what its idempotency keys and producer ids are unique; ``None`` for `LOCAL`."""
        if self is LOCAL or (self.address is None and self == LOCAL):
            return None
        return self.subject or ""  # not by address: a retry may come from another network

    @property
    def counted_as(self) -> str | None:
        """The name under which its requests are counted; ``None`` if they are not."""
        if (subject := self.subject) is not None:
            return subject
        return None if self.address is None else f"address {self.address}"  # no subject has a space

    def may(
        self, permission: Permission, stream: str | None = None, owner: str | None = None
    ) -> bool:
        """Whether it is allowed this on a stream of an ``owner``, if that is known.

        ``None`` stands for no stream where the hub as a whole is meant (``list``, ``admin``), and
        else for a new stream that will be the principal's own, under a name that the hub gives it.
        """
        if self.grants is ALL and self.within is None:
            return True  # `LOCAL` is asked about several times for each request
        granted = _allowed(self.grants_for(owner), permission, stream)
        return granted and self.credential_allows(permission, stream)

    def grants_for(self, owner: str | None) -> Iterable[Grant]:
        """Its grants, on a stream of a user of another tenant without those that are personal."""
        if owner is None or _tenant_of(owner) == _tenant_of(self.subject or ""):
            return self.grants
        return [grant for grant in self.grants if not grant.personal]

    def may_new(self, permission: Permission) -> bool:
        """Whether it is allowed this on any new stream that the hub names, also if not its own."""
        granted = any(grant.allows_new(permission) for grant in self.grants)
        return granted and self.credential_allows(permission, None)

    def may_own(self, permission: Permission, stream: str | None = None) -> bool:
        """Whether it is allowed this on a stream of its own: if it is on any stream at all."""
        return (
            permission not in ("speak", "admin")
            and _allowed(self.grants, permission, None)
            and self.credential_allows(permission, stream)
        )

    def only_reading(self, stream: str) -> Principal:
        """The same principal with a ticket, which only allows it to read one stream."""
        here = Grant(frozenset({"read"}), StreamPattern.literal(stream))
        within = (here,) if self.credential_allows("read", stream) else ()
        return replace(self, within=within, ticket=True)

    def credential_allows(self, permission: Permission, stream: str | None) -> bool:
        """Whether its credential is for this, whatever its user may do or owns."""
        if self.within is None:
            return True
        if stream is None and permission not in OF_THE_HUB:
            # A credential for one stream must not begin others.
            return any(grant.allows_new(permission) for grant in self.within)
        return _allowed(self.within, permission, stream)


def _allowed(grants: Iterable[Grant], permission: Permission, stream: str | None) -> bool:
    return any(grant.allows(permission, stream) for grant in grants)


def _tenant_of(subject: str) -> str:
    """The tenant of a `Principal.subject`, quoted; an empty text where it has none."""
    tenant, slash, _ = subject.partition("/")
    return tenant if slash else ""


def _quoted(name: str) -> str:
    return quote(name, safe="@+~.", errors="surrogatepass")


LOCAL: Final = Principal()
"""Whoever can reach a hub without authentication; also the application that the hub is part of."""

NOBODY: Final = Principal(grants=())
"""Somebody without a credential, where there is authentication."""
