"""Who makes a request.

Every operation of the hub is carried out for a principal. It is found once, when a request is
admitted (`hub.http.admission`), kept on the request and on the connection that comes of it,
and passed to each operation, which asks in one place whether it may (`hub.access.permissions`).

There is no authentication yet, so there is one principal: `LOCAL`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

__all__ = ["LOCAL", "Principal"]


@dataclass(frozen=True, slots=True)
class Principal:
    """Somebody who may be allowed something.

    ``user`` is the person, or the program, that acts; ``tenant`` the organisation it belongs to;
    ``key`` the id of the API key it presented, never the key itself. Each is ``None`` where it
    is not known.
    """

    user: str | None = None
    tenant: str | None = None
    key: str | None = None


LOCAL: Final = Principal()
"""Whoever can reach a hub without authentication; also the application that the hub is part of."""
