"""A login between leaving for the provider and coming back, kept in the browser that began it.

The browser gets one random secret in a cookie that no script and no other site can read. ``state``
(RFC 6749 section 10.12), ``nonce`` and the PKCE verifier (RFC 7636) are each derived from it, so
whoever sees the addresses that the browser visits learns neither the verifier nor the secret, and
nobody can make a cookie that fits a ``state`` or a ``nonce`` which was given to somebody else. The
time and the place to go to are derived along: a changed cookie has another ``state``.

So the hub keeps nothing: a login survives its restart, and may end at another of its nodes.
"""

from __future__ import annotations

import base64
import hashlib
import hmac
import re
import secrets
from dataclasses import dataclass
from typing import Final
from urllib.parse import quote, unquote

__all__ = ["SECONDS", "PendingLogin", "tag"]

SECONDS: Final = 600
"""How long a login may take: people look for their second factor."""
SKEW_SECONDS: Final = 60
"""How far the clocks of two nodes may be apart."""
COOKIE_LENGTH: Final = 2048

_STATE: Final = re.compile(r"[A-Za-z0-9_-]{43}")
_COOKIE: Final = re.compile(r"([A-Za-z0-9_-]{43})\.([0-9]{1,12})\.([A-Za-z0-9_.~%-]*)", re.ASCII)


@dataclass(frozen=True, slots=True)
class PendingLogin:
    """A login that has begun at the time ``began`` (seconds since 1970) and is to end at ``then``.

    ``then`` is a path of this host, or empty.
    """

    secret: str
    began: int
    then: str

    @classmethod
    def begin(cls, then: str, now: float) -> PendingLogin:
        """A new login."""
        return cls(secrets.token_urlsafe(32), int(now), then)

    @classmethod
    def find(cls, cookie: str, state: str, now: float) -> PendingLogin | None:
        """The login of a browser's ``cookie``, if it has this ``state`` and is not too old."""
        found = _COOKIE.fullmatch(cookie) if len(cookie) <= COOKIE_LENGTH else None
        if found is None:
            return None
        one = cls(found[1], int(found[2]), unquote(found[3]))
        if not hmac.compare_digest(one.state.encode(), state.encode("utf-8", "surrogatepass")):
            return None
        return one if -SKEW_SECONDS <= now - one.began <= SECONDS else None

    @property
    def cookie(self) -> str:
        """What the browser keeps."""
        return f"{self.secret}.{self.began}.{quote(self.then, safe='')}"

    @property
    def state(self) -> str:
        """What the provider gives back."""
        return self._derived("state")

    @property
    def nonce(self) -> str:
        """What the provider puts into the token."""
        return self._derived("nonce")

    @property
    def verifier(self) -> str:
        """What proves that the code is asked for by whoever began the login (RFC 7636)."""
        return self._derived("verifier")

    @property
    def challenge(self) -> str:
        """The hash of `verifier`, ``S256``."""
        return _base64url(hashlib.sha256(self.verifier.encode()).digest())

    def _derived(self, what: str) -> str:
        said = f"{what}\n{self.began}\n{self.then}".encode("utf-8", "surrogatepass")
        return _base64url(hmac.digest(self.secret.encode(), said, "sha256"))


def tag(state: str) -> str | None:
    """What tells the cookies of a browser's logins apart; ``None`` if no login has this state."""
    return state[:8] if _STATE.fullmatch(state) else None


def _base64url(data: bytes) -> str:
    return base64.urlsafe_b64encode(data).rstrip(b"=").decode()
