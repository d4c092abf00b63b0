"""Everything that lets people sign in to one hub."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from hub.auth.cookies import SessionCookie
from hub.auth.login_links import LoginLinks
from hub.auth.login_methods import LoginMethod
from hub.auth.sessions import Sessions

if TYPE_CHECKING:  # it loads cryptography, which most hubs have no use for
    from hub.auth.oidc.provider import Provider

__all__ = ["SignIn"]


@dataclass(frozen=True, slots=True)
class SignIn:
    """The sessions of a hub, the cookie they are kept in, and the ways to begin one.

    ``sign_out_at_provider``: who signed in with ``provider`` and signs out is led there.
    """

    sessions: Sessions
    cookie: SessionCookie
    links: LoginLinks
    methods: tuple[LoginMethod, ...]
    provider: Provider | None = None
    sign_out_at_provider: bool = False
