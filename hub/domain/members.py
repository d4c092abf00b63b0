"""Who of a provider's users may come in: all, or those with one of some claims."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from string import ascii_lowercase, ascii_uppercase
from typing import Any, Final

from hub.domain.grant_rules import Identity, Who

__all__ = ["Member", "has_verified_email"]

_SMALL: Final = str.maketrans(ascii_uppercase, ascii_lowercase)


@dataclass(frozen=True, slots=True)
class Member:
    """``claim NAME=VALUE``, as in grants, or ``email ADDRESS``, where ``*@`` stands for any of a
    domain. An address counts only if the provider says that it is verified.
    """

    who: Who | None = None
    email: str = ""

    @classmethod
    def parse(cls, text: str) -> Member:
        """Read one of the configuration's ``allowed``.

        Raises:
            ValueError: it has neither form.
        """
        kind, _, rest = text.strip().partition(" ")
        name, at, domain = rest.strip().rpartition("@")
        if (
            kind == "email"
            and at
            and name
            and "@" not in name
            and domain
            and (name == "*" or "*" not in name)
            and "*" not in domain
        ):
            return cls(email=_folded(f"{name}@{domain}"))
        if kind == "claim":
            return cls(Who.parse(text))
        raise ValueError('should be "claim NAME=VALUE", "email NAME@DOMAIN" or "email *@DOMAIN"')

    @property
    def claims(self) -> Iterable[str]:
        """The claims that it asks for."""
        return ("email", "email_verified") if self.who is None else (self.who.name,)

    def means(self, claims: Mapping[str, Any]) -> bool:
        """Whether somebody with these claims is meant."""
        if self.who is not None:
            return self.who.means(Identity(claims=claims))
        email = claims.get("email")
        if not isinstance(email, str) or not has_verified_email(claims):
            return False
        plain = _folded(email)
        name, _, domain = plain.partition("@")
        return bool(name) and "@" not in domain and self.email in (plain, f"*@{domain}")


def _folded(email: str) -> str:
    """An address in small letters, but for others than ASCII's: some of those become ASCII's."""
    return email.translate(_SMALL)


def has_verified_email(claims: Mapping[str, Any]) -> bool:
    """Whether the provider has verified the address in ``email``.

    Without its word it has not: at some providers everybody can enter any address. Some say it as
    text.
    """
    said = claims.get("email_verified")
    return said is True or said == "true"
