"""What an OpenID provider says of itself (OpenID Connect Discovery 1.0 section 3, RFC 8414)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Any, Final, Literal
from urllib.parse import urlsplit

import orjson

from hub.domain.addresses import is_local

__all__ = ["Authentication", "Metadata", "is_safe", "url_of"]

Authentication = Literal["client_secret_basic", "client_secret_post"]
"""How a client with a secret shows it (OpenID Connect Core 1.0 section 9)."""

URL_LENGTH: Final = 2048

_URL: Final = re.compile(r"[A-Za-z0-9._~:/?@!$&'()*+,;=%\[\]-]+", re.ASCII)
"""What a URL without a fragment consists of (RFC 3986 section 2)."""


@dataclass(frozen=True, slots=True)
class Metadata:
    """The addresses of a provider, and what it can do.

    ``authentication`` is for clients that have a secret. ``names_itself``: its answers say whose
    they are (RFC 9207).
    """

    authorization: str
    token: str
    keys: str
    userinfo: str | None = None
    end_session: str | None = None
    authentication: Authentication = "client_secret_basic"
    names_itself: bool = False

    @classmethod
    def parse(cls, body: bytes, issuer: str) -> Metadata:
        """Read the document of ``issuer``.

        Raises:
            ValueError: it is not one, or of another issuer; the message says what is wrong.
        """
        held = orjson.loads(body)
        if not isinstance(held, dict):
            raise ValueError("the answer is not a JSON object")
        named = held.get("issuer")
        if named != issuer:
            # Whoever could name another issuer could also let its users in as that issuer's.
            raise ValueError(
                f"it is the document of {str(named)[:URL_LENGTH]!r}, not of {issuer!r}"
            )
        return cls(
            _required(held, "authorization_endpoint"),
            _required(held, "token_endpoint"),
            _required(held, "jwks_uri"),
            _optional(held, "userinfo_endpoint"),
            _optional(held, "end_session_endpoint"),
            _authentication(held.get("token_endpoint_auth_methods_supported")),
            held.get("authorization_response_iss_parameter_supported") is True,
        )


def url_of(issuer: str) -> str:
    """Where the document of an issuer is (OpenID Connect Discovery 1.0 section 4)."""
    return issuer.rstrip("/") + "/.well-known/openid-configuration"


def is_safe(url: str) -> bool:
    """Whether nobody in between can read or change what is sent to this address."""
    try:
        parts = urlsplit(url)
        host = parts.hostname or ""
        return bool(host) and (
            parts.scheme == "https" or (parts.scheme == "http" and is_local(host))
        )
    except ValueError:
        return False


def _required(held: dict[str, Any], name: str) -> str:
    if (found := _optional(held, name)) is None:
        raise ValueError(f'"{name}" is missing')
    return found


def _optional(held: dict[str, Any], name: str) -> str | None:
    value = held.get(name)
    if value is None:
        return None
    if (
        not isinstance(value, str)
        or len(value) > URL_LENGTH
        or not _URL.fullmatch(value)
        or not is_safe(value)
    ):
        raise ValueError(f'"{name}" is not an https:// URL')
    return value


def _authentication(methods: Any) -> Authentication:
    """The way of showing the secret that the provider takes; without any word: the default."""
    if not isinstance(methods, list) or "client_secret_basic" in methods:
        return "client_secret_basic"
    if "client_secret_post" in methods:
        return "client_secret_post"
    return "client_secret_basic"  # it takes other ways for other clients: let it refuse this one
