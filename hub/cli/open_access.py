"""What a configuration leaves open, for ``config check`` and ``doctor``.

Each of it may be intended. It is named so that nobody leaves it open by mistake.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import combinations
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from hub.config.auth import GrantTable, IssuerTable, OIDCTable
from hub.config.schema import Config
from hub.domain.addresses import is_local, parse_network
from hub.domain.permissions import StreamPattern
from hub.http.forwarded import UNIX

__all__ = ["Opening", "openings"]


FOR_EVERYBODY: Final = frozenset(
    {"accounts.google.com", "appleid.apple.com", "gitlab.com", "www.linkedin.com"}
)
"""Providers at which everybody can have an account."""


class Opening(NamedTuple):
    """A key of the configuration, whom it lets do what, and what to do against it."""

    key: str
    said: str
    advice: str

    def __str__(self) -> str:
        return f"{self.key}: {self.said}; {self.advice}"


def openings(config: Config) -> Iterator[Opening]:
    """Everything in the configuration that lets in more than named users."""
    yield from _server(config)
    if not config.auth.enabled:
        yield from _without_auth(config)
        return
    for place, grant in enumerate(config.auth.grants):
        yield from _grant(f"auth.grants[{place}]", grant)
    yield from _issuers(config)
    yield from _oidc(config)


def _server(config: Config) -> Iterator[Opening]:
    if "*" in config.server.origins:
        yield Opening(
            "server.origins",
            '"*" lets every website use the hub with the access of its visitors',
            "name the origins of your pages",
        )
    if "*" in config.server.hosts:
        yield Opening(
            "server.hosts",
            '"*" accepts every Host header, so a website whose name leads to this machine counts '
            "as the hub's own page (DNS rebinding)",
            "name the hosts",
        )
    for one in config.server.trusted_proxies:
        if one != UNIX and parse_network(one).prefixlen == 0:
            what = "its own address, scheme and host"
            if config.auth.header is not None:
                what += ", and be whatever user it likes"
            yield Opening(
                "server.trusted_proxies",
                f'"{one}" lets whoever can reach the hub write {what}',
                "name the addresses of your proxies",
            )


def _without_auth(config: Config) -> Iterator[Opening]:
    where = _public(config)
    if config.auth.open:
        who = f"whoever can reach {where or 'this machine'}"
        yield Opening("auth.open", f"{who} may do everything", "set auth.required = true instead")
    elif where is not None:
        yield Opening(
            "auth",
            f"it is not there, but others can reach {where}: `streamhub serve` refuses to start, "
            "and an application that uses hub.setup lets everybody in",
            "set auth.required = true and create keys with `streamhub token create`",
        )


def _public(config: Config) -> str | None:
    """An address or name under which others can reach the hub; ``None`` if there is none."""
    server = config.server
    if server.unix_socket is None and not is_local(server.host):
        return server.host
    if "*" in server.hosts or server.trusted_proxies:
        return "it through a proxy"
    return next((host for host in server.hosts if not is_local(host)), None)


def _grant(where: str, grant: GrantTable) -> Iterator[Opening]:
    can = ", ".join(grant.can)
    if grant.who == "anyone":
        yield Opening(
            where,
            f'everybody, also without a credential, may {can} on "{grant.match}"',
            'use who = "user", unless this is meant for everybody',
        )
    elif grant.who == "user" and _all_users(grant.match):
        yield Opening(
            where,
            f'every user may {can} on "{grant.match}", which other users\' streams match as well',
            'use a pattern with {user}, such as "chat/{user}/**"',
        )


def _all_users(match: str) -> bool:
    """Whether a pattern matches all streams."""
    return StreamPattern.parse(match).segments == ("**",)


def _issuers(config: Config) -> Iterator[Opening]:
    """Issuers that can name the same user: each could let its own into the other's streams."""
    for (name, one), (other, two) in combinations(config.auth.issuers.items(), 2):
        if _share_users(one, two):
            yield Opening(
                f"auth.issuers.{other}",
                f'a user of "{other}" and one of "{name}" with the same name count as one user',
                "give each issuer a tenant of its own, if they name users on their own",
            )


def _oidc(config: Config) -> Iterator[Opening]:
    """A provider that lets in whoever wants to, or names users as an issuer does."""
    oidc = config.auth.oidc
    if oidc.issuer is None:
        return
    if not oidc.allowed and urlsplit(oidc.issuer).hostname in FOR_EVERYBODY:
        yield Opening(
            "auth.oidc",
            f"everybody with an account at {oidc.issuer} may sign in",
            'name who may in auth.oidc.allowed, such as "email *@example.org"',
        )
    for name, one in config.auth.issuers.items():
        same = (one.issuer or name) == oidc.issuer and one.user_claim == oidc.user_claim
        if not same and _share_users(one, oidc):
            yield Opening(
                "auth.oidc",
                f'a user of the provider and one of "{name}" with the same name count as one user',
                "give them tenants of their own, if they name users on their own",
            )


def _share_users(one: IssuerTable, two: IssuerTable | OIDCTable) -> bool:
    """Whether tokens of both can have the same tenant.

    One with a ``tenant_claim`` names whatever tenant it likes; without the claim, ``tenant``.
    """
    if one.tenant_claim is not None or two.tenant_claim is not None:
        return True
    return one.tenant == two.tenant
