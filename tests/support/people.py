"""Two users, a guest and an operator, each with a key, and a configuration that knows them."""

from __future__ import annotations

from typing import Any, Final

from hub.auth.api_keys import new_key
from hub.domain.permissions import PERMISSIONS

__all__ = ["KEYS", "OWN", "UNLIMITED", "auth", "bearer"]

OWN: Final = sorted(PERMISSIONS - {"admin", "share", "speak"})

UNLIMITED: Final = dict.fromkeys(("requests_per_minute", "connections", "generations", "shares"), 0)
"""Limits of ``[auth]`` for who may do all at any speed."""

_MADE: Final = {name: new_key() for name in ("ann", "bob", "guest", "admin")}
KEYS: Final = {name: key for name, (key, _, _) in _MADE.items()}
"""The keys themselves."""


def bearer(name: str) -> dict[str, str]:
    """The headers of somebody's requests."""
    return {"Authorization": f"Bearer {KEYS[name]}"}


def auth(*grants: dict[str, Any], **more: Any) -> dict[str, Any]:
    """The table ``[auth]``: users have their folder, ``chat/{user}/**``, and what ``grants`` say.

    The guest has a key and no grant.
    """
    keys: dict[str, Any] = {
        name: {"sha256": digest.hex(), "id": made, "user": name}
        for name, (_, made, digest) in _MADE.items()
        if name not in ("guest", "admin")
    }
    for name in ("guest", "admin"):
        _, made, digest = _MADE[name]
        keys[name] = {"sha256": digest.hex(), "id": made}
    own = {"who": "user", "match": "chat/{user}/**", "can": OWN}
    operator = {"who": "key admin", "can": sorted(PERMISSIONS)}
    return {"keys": keys, "grants": [own, operator, *grants], **more}
