"""Builds what the configuration's ``[auth]`` describes."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Final

from hub.access import shares
from hub.auth.api_keys import is_id
from hub.auth.authenticator import Authenticator
from hub.auth.cookies import SessionCookie
from hub.auth.fetched import Client
from hub.auth.issuers import Issuer, Issuers, KeySource, Secrets, public_key
from hub.auth.key_sets import KeySet
from hub.auth.login_links import LoginLinks
from hub.auth.login_methods import LoginMethod
from hub.auth.oidc.provider import Provider, Settings
from hub.auth.sessions import Sessions
from hub.auth.sign_in import SignIn
from hub.auth.stored_keys import StoredKeys, configured_key
from hub.auth.tickets import Tickets
from hub.auth.trusted_header import TrustedHeader
from hub.auth.webhook import Webhook, secret_of
from hub.config.auth import Auth, GrantTable, IssuerTable, OIDCTable
from hub.domain.errors import ConfigError
from hub.domain.grant_rules import Rule, Rules, Who
from hub.domain.members import Member
from hub.domain.permissions import Grant, StreamPattern
from hub.domain.principal import Principal
from hub.stores import Credentials

__all__ = ["Authentication", "authentication_of", "webhook_of"]


HEADER: Final = LoginMethod("header", "Open this page through the proxy that signs you in")
LINK: Final = LoginMethod("link", "Use a sign-in link that you were sent")


@dataclass(frozen=True, slots=True)
class Authentication:
    """What finds principals and lets people sign in; ``close`` it when it is needed no more.

    ``was_revoked`` says whether a credential was (`Principal.credential`).
    """

    authenticator: Authenticator
    was_revoked: Callable[[str], Awaitable[bool]]
    header: TrustedHeader | None
    sign_in: SignIn
    close: Callable[[], Awaitable[None]]


def authentication_of(
    auth: Auth,
    credentials: Credentials,
    environ: Mapping[str, str],
    revoked: Callable[[str], Awaitable[None] | None],
    is_revoked: Callable[[Principal], bool],
    *,
    webhook: Webhook | None = None,
    prefix: str = "",
) -> Authentication:
    """What ``auth`` describes, with the keys and sessions in ``credentials``.

    ``revoked`` is called with the id of each session that ends early, and ``is_revoked`` knows of
    these and of keys; the ``webhook`` is asked for
    tokens that are neither keys nor of an issuer; ``prefix`` is where the hub is in its
    application.

    Raises:
        ConfigError: the secret or the public key of an issuer cannot be read, or is none.
    """
    client = Client()
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

    provider = _provider(auth, client, environ)

    async def close() -> None:
        for one in sets:
            await one.close()
        if provider is not None:
            await provider.close()
        await client.close()
        if webhook is not None:
            await webhook.close()

    rules = _rules(auth.grants)
    seconds = auth.session.hours * 3600
    sessions = Sessions(credentials, rules, seconds=seconds, revoked=revoked)
    ask = webhook.principal if webhook is not None and webhook.asks_for_tokens else None
    authenticator = Authenticator(
        rules,
        issuers,
        keys.find,
        find_session=sessions.find,
        find_session_by_id=sessions.find_by_id,
        find_link=partial(credentials.find, shares.KIND),
        tickets=Tickets(credentials),
        ask=ask,
        is_revoked=is_revoked,
    )
    links = LoginLinks(credentials, sessions)
    header = None if auth.header is None else TrustedHeader(auth.header, rules, seconds=seconds)
    ways = (*_methods(auth.oidc), LINK)
    sign_in = SignIn(
        sessions,
        SessionCookie(prefix),
        links,
        ways if header is None else (HEADER, *ways),
        provider,
        auth.oidc.sign_out_at_provider,
    )

    async def was_revoked(credential: str) -> bool:
        if not is_id(credential):
            return False  # a token of an issuer, or a proxy's word: nothing keeps these
        key = await keys.find(credential)
        if key is not None:
            return key.revoked is not None
        return await sessions.was_ended(credential)

    return Authentication(authenticator, was_revoked, header, sign_in, close)


def webhook_of(auth: Auth, environ: Mapping[str, str]) -> Webhook | None:
    """The application that the configuration says is asked, if it says so.

    Raises:
        ConfigError: its secret is not there, or is none.
    """
    table = auth.webhook
    if table is None:
        return None
    secret = secret_of(environ.get(table.secret_env, "").strip(), table.secret_env)
    return Webhook(
        table.url, secret, _rules(auth.grants), on=table.on, seconds=table.timeout_seconds
    )


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


def _provider(auth: Auth, client: Client, environ: Mapping[str, str]) -> Provider | None:
    table = auth.oidc
    if table.issuer is None or table.client_id is None:
        return None
    asked = (Who.parse(grant.who) for grant in auth.grants)
    settings = Settings(
        table.issuer,
        table.client_id,
        table.secret(environ),
        tuple(table.scopes),
        user_claim=table.user_claim,
        tenant=table.tenant,
        tenant_claim=table.tenant_claim,
        allowed=tuple(Member.parse(one) for one in table.allowed),
        asked=frozenset(who.name for who in asked if who.kind == "claim"),
    )
    return Provider(settings, client)


def _methods(table: OIDCTable) -> Iterable[LoginMethod]:
    if table.enabled:
        yield LoginMethod("oidc", f"Sign in with {table.title}", "login/oidc")


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
