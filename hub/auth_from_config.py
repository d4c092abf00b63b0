"""Builds what the configuration's ``[auth]`` describes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping

from hub.auth.authenticator import Authenticator
from hub.auth.issuers import Issuer, Issuers, KeySource, Secrets, public_key
from hub.auth.key_sets import KeySet, KeySetClient
from hub.auth.stored_keys import StoredKeys, configured_key
from hub.config.auth import Auth, GrantTable, IssuerTable
from hub.domain.errors import ConfigError
from hub.domain.grant_rules import Rule, Rules, Who
from hub.domain.permissions import Grant, StreamPattern
from hub.stores import Credentials

__all__ = ["authenticator_of"]


def authenticator_of(
    auth: Auth, credentials: Credentials, environ: Mapping[str, str]
) -> tuple[Authenticator, Callable[[], Awaitable[None]]]:
    """The authenticator, and what to call when it is needed no more.

    API keys are those of the configuration and those in ``credentials``.

    Raises:
        ConfigError: the secret or the public key of an issuer cannot be read, or is none.
    """
    client = KeySetClient()
    sets: list[KeySet] = []

    def source(name: str, table: IssuerTable) -> KeySource:
        if table.jwks is None:
            return _secrets(name, table, environ)
        sets.append(KeySet(table.jwks, client))
        return sets[-1]

    issuers = Issuers(
        [_issuer(name, table, source(name, table)) for name, table in auth.issuers.items()]
    )
    keys = StoredKeys(
        credentials, [configured_key(name, table) for name, table in auth.keys.items()]
    )

    async def close() -> None:
        for one in sets:
            await one.close()
        await client.close()

    return Authenticator(_rules(auth.grants), issuers, keys.find), close


def _secrets(name: str, table: IssuerTable, environ: Mapping[str, str]) -> Secrets:
    pem = table.public_key()
    if pem is not None:
        return Secrets(public_key(pem, table.accepted, f"the file {table.public_key_file}"))
    secret = table.secret(environ)
    if secret is None:
        raise ConfigError(f'the issuer "{name}" has neither keys nor a secret')
    previous = table.previous_secret(environ)
    return Secrets(secret) if previous is None else Secrets(secret, *previous)


def _issuer(name: str, table: IssuerTable, source: KeySource) -> Issuer:
    return Issuer(
        name,
        table.issuer or name,
        table.audience,
        table.accepted,
        source,
        leeway=table.leeway_seconds,
        max_seconds=table.max_seconds,
        user_claim=table.user_claim,
        tenant=table.tenant,
        tenant_claim=table.tenant_claim,
        may_grant=table.may_grant,
    )


def _rules(tables: Iterable[GrantTable]) -> Rules:
    return Rules(
        Rule(
            Who.parse(table.who),
            Grant(
                frozenset(table.can),
                StreamPattern.parse(table.match),
                None if table.upstreams is None else frozenset(table.upstreams),
                None if table.models is None else frozenset(table.models),
                table.max_tokens,
            ),
        )
        for table in tables
    )
