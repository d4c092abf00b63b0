"""The requests to an OpenID provider (OpenID Connect Core 1.0 section 3.1).

The provider is asked for its addresses when somebody logs in, never before: the hub starts without
it. Its answers are bounded in size and time, redirects are not followed, and what it says is
believed only where a signature or TLS shows that it is the provider which says so.
"""

from __future__ import annotations

import base64
import logging
import time
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from functools import partial
from typing import Any, Final
from urllib.parse import quote_plus, urlencode

import aiohttp
import orjson

from hub.auth.fetched import FETCH_SECONDS, Fetched, MakeClient, read_body, shown
from hub.auth.issuers import ALGORITHMS, Issuer, text_claim
from hub.auth.key_sets import KeySet
from hub.auth.oidc.metadata import Metadata, url_of
from hub.auth.oidc.pending_login import PendingLogin
from hub.domain.errors import Forbidden, HubError, LimitExceeded, Unauthorized, Unavailable
from hub.domain.fair_share import share
from hub.domain.members import Member, has_verified_email

__all__ = ["Provider", "Settings", "User"]

log = logging.getLogger("hub.auth")

ANSWER_BYTES: Final = 262_144
AT_ONCE: Final = 50
"""Logins that ask the provider at a time."""
SAID_LENGTH: Final = 300
"""How much of a provider's own words is shown."""


@dataclass(frozen=True, slots=True)
class Settings:
    """What the hub knows of its provider, and is registered as there.

    Without ``secret`` it is a public client. ``allowed`` are the users that may log in, if not all
    may. ``asked`` are the claims that grants ask for.
    """

    issuer: str
    client_id: str
    secret: str | None = field(default=None, repr=False)
    scopes: tuple[str, ...] = ("openid", "profile", "email")
    user_claim: str = "sub"
    tenant: str | None = None
    tenant_claim: str | None = None
    allowed: tuple[Member, ...] = ()
    asked: frozenset[str] = frozenset()

    @property
    def needed(self) -> frozenset[str]:
        """The claims without which it cannot be said who somebody is, or what they may do."""
        own = {self.user_claim} | ({self.tenant_claim} if self.tenant_claim else set())
        if self.user_claim == "email":
            own.add("email_verified")
        return frozenset(own).union(self.asked, *(one.claims for one in self.allowed))


@dataclass(frozen=True, slots=True)
class User:
    """Somebody who has logged in; ``claims`` is all that the provider says of them."""

    user: str
    tenant: str | None
    claims: Mapping[str, Any]


class Provider:
    """An OpenID provider, whose users can log in.

    ``seconds`` is how long each request to it may take; ``clock`` never goes back.
    """

    def __init__(
        self,
        settings: Settings,
        client: MakeClient,
        *,
        clock: Callable[[], float] = time.monotonic,
        seconds: float = FETCH_SECONDS,
    ) -> None:
        self._settings = settings
        self._client = client
        self._clock = clock
        self._seconds = seconds
        self._metadata = Fetched(
            "OpenID provider",
            url_of(settings.issuer),
            partial(Metadata.parse, issuer=settings.issuer),
            client,
            clock=clock,
            seconds=seconds,
        )
        self._keys: KeySet | None = None
        self._running: Counter[str] = Counter()
        """The logins that ask the provider now, by their addresses."""

    async def close(self) -> None:
        """End the requests that are still on their way and belong to no login."""
        await self._metadata.close()
        if self._keys is not None:
            await self._keys.close()

    async def authorization_url(self, login: PendingLogin, redirect_uri: str) -> str:
        """Where a browser goes to log in; it comes back to ``redirect_uri``.

        Raises:
            Unavailable: ``oidc_unavailable``: the provider cannot be reached.
        """
        metadata = await self._found()
        return _with_query(
            metadata.authorization,
            {
                "response_type": "code",
                "client_id": self._settings.client_id,
                "redirect_uri": redirect_uri,
                "scope": " ".join(self._settings.scopes),
                "state": login.state,
                "nonce": login.nonce,
                "code_challenge": login.challenge,
                "code_challenge_method": "S256",
            },
        )

    async def end_session_url(self, then: str) -> str | None:
        """Where a browser goes to log out at the provider, too, and from there to ``then``.

        ``None`` if the provider has no such place, or does not answer. Without a token that says
        who logs out, which would have to be kept, the provider asks its user (OpenID Connect
        RP-Initiated Logout 1.0 section 2).
        """
        try:
            metadata = await self._found()
        except Unavailable:
            return None
        if metadata.end_session is None:
            return None
        return _with_query(
            metadata.end_session,
            {"client_id": self._settings.client_id, "post_logout_redirect_uri": then},
        )

    async def user(
        self, login: PendingLogin, answer: Mapping[str, str], redirect_uri: str, address: str
    ) -> User:
        """Who has logged in, if the browser came back from an ``address`` with this ``answer``: its
        query. Of one address only its share ask the provider at a time (`hub.domain.fair_share`).

        That its ``state`` is the login's must be checked before.

        Raises:
            Unauthorized: ``login_cancelled``: the user did not want to; ``login_refused``: the
                provider did not want to, or what it says does not hold.
            Forbidden: ``login_not_allowed``: this user may not come in.
            LimitExceeded: too many log in at once, or too many of this address.
            Unavailable: ``oidc_unavailable``: the provider does not answer;
                ``oidc_client_refused``: it does not know the hub.
        """
        metadata = await self._found()
        issuer = answer.get("iss")
        if issuer != self._settings.issuer and (issuer is not None or metadata.names_itself):
            raise _refused("the answer is of another identity provider than was asked")
        if "error" in answer:
            raise _provider_refuses(answer)
        if not answer.get("code"):
            raise _refused("the answer has no code")
        with self._asking(address):
            claims = await self._claims(metadata, login, answer["code"], redirect_uri)
        return self._believed(claims)

    @contextmanager
    def _asking(self, address: str) -> Iterator[None]:
        """Count a login that asks the provider; raises `LimitExceeded`."""
        running = self._running
        own = running[address]
        if own >= share(AT_ONCE, running.total() - own):
            raise LimitExceeded("too many people sign in just now: try again in a moment")
        running[address] += 1
        try:
            yield
        finally:
            running[address] -= 1
            if not running[address]:
                del running[address]

    async def _found(self) -> Metadata:
        if not self._metadata.fresh:
            await self._metadata.fetch(None if self._metadata.held is None else 2.0)
        if self._metadata.held is None:
            raise self._unavailable()
        return self._metadata.held

    async def _claims(
        self, metadata: Metadata, login: PendingLogin, code: str, redirect_uri: str
    ) -> Mapping[str, Any]:
        """All that the provider says of whoever the code is for."""
        tokens = await self._redeem(metadata, code, login.verifier, redirect_uri)
        id_token, access = tokens.get("id_token"), tokens.get("access_token")
        if not isinstance(id_token, str):
            raise _refused('its answer has no "id_token": is "openid" in auth.oidc.scopes?')
        claims = await self._checked(metadata, id_token, login.nonce)
        if self._settings.needed <= claims.keys() or metadata.userinfo is None:
            return claims
        if not isinstance(access, str) or not (access.isascii() and access.isprintable()):
            return claims
        more = await self._user_info(metadata.userinfo, access)
        if more.get("sub") != claims["sub"]:
            # OpenID Connect Core 1.0 section 5.3.2: it may be about somebody else.
            raise _refused("its answers are about two users")
        return {**more, **claims}

    async def _redeem(
        self, metadata: Metadata, code: str, verifier: str, redirect_uri: str
    ) -> Mapping[str, Any]:
        """What the provider gives for a code (RFC 6749 section 4.1.3)."""
        settings = self._settings
        form = {
            "grant_type": "authorization_code",
            "code": code,
            "redirect_uri": redirect_uri,
            "code_verifier": verifier,
        }
        headers = {}
        if settings.secret is None:
            form["client_id"] = settings.client_id
        elif metadata.authentication == "client_secret_post":
            form |= {"client_id": settings.client_id, "client_secret": settings.secret}
        else:
            headers["Authorization"] = _basic(settings.client_id, settings.secret)
        status, held = await self._asked("POST", metadata.token, headers=headers, form=form)
        if status == 200:
            return held
        said = self._own_words(held)
        if held.get("error") in ("invalid_client", "unauthorized_client") or status == 401:
            log.warning("the OpenID provider refuses auth.oidc.client_id or its secret: %s", said)
            raise Unavailable(
                "the identity provider does not accept this hub: whoever runs it finds more in "
                "its log",
                code="oidc_client_refused",
            )
        log.warning("the OpenID provider refuses a code with the status %d: %s", status, said)
        if 400 <= status < 500:
            raise _refused("it does not accept this sign-in, which may be over already")
        raise self._unavailable()

    async def _user_info(self, url: str, access: str) -> Mapping[str, Any]:
        """What the provider says besides (OpenID Connect Core 1.0 section 5.3)."""
        status, held = await self._asked("GET", url, headers={"Authorization": f"Bearer {access}"})
        if status != 200:
            log.warning(
                "the OpenID provider refuses to tell of a user with the status %d: %s",
                status,
                self._own_words(held),
            )
            raise self._unavailable()
        return held

    async def _asked(
        self,
        method: str,
        url: str,
        *,
        headers: Mapping[str, str],
        form: Mapping[str, str] | None = None,
    ) -> tuple[int, Mapping[str, Any]]:
        """The status of an answer and its JSON object, empty for a refusal that has none."""
        try:
            async with self._client().request(
                method,
                url,
                data=form,
                headers={"Accept": "application/json", **headers},
                timeout=aiohttp.ClientTimeout(total=self._seconds),
                allow_redirects=False,
            ) as response:
                body = await read_body(response, ANSWER_BYTES)
                status = response.status
            held = orjson.loads(body)
        except orjson.JSONDecodeError:
            held = None
        except (aiohttp.ClientError, OSError, TimeoutError, ValueError, RuntimeError) as error:
            log.warning("the OpenID provider does not answer at %s: %s", url, shown(error))
            raise self._unavailable() from None
        if isinstance(held, dict):
            return status, held
        if status == 200:
            log.warning("the OpenID provider answers at %s with what is no JSON object", url)
            raise self._unavailable()
        return status, {}

    async def _checked(self, metadata: Metadata, id_token: str, nonce: str) -> Mapping[str, Any]:
        """The claims of an ID token (OpenID Connect Core 1.0 section 3.1.3.7)."""
        settings = self._settings
        issuer = Issuer(
            "oidc", settings.issuer, settings.client_id, ALGORITHMS, await self._key_set(metadata)
        )
        try:
            claims = await issuer.claims(id_token)
        except Unauthorized as error:
            log.warning("a token of the OpenID provider is refused: %s", error)
            raise _refused(error.message) from None
        if claims.get("nonce") != nonce:
            raise _refused("its token is for another sign-in")
        audience, party = claims["aud"], claims.get("azp")
        if party != settings.client_id and (
            party is not None or (isinstance(audience, list) and len(audience) > 1)
        ):
            raise _refused("its token is for another client")
        if "iat" not in claims:
            raise _refused("its token does not say when it was made")
        return claims

    async def _key_set(self, metadata: Metadata) -> KeySet:
        if self._keys is None or self._keys.url != metadata.keys:
            old, self._keys = (
                self._keys,
                KeySet(metadata.keys, self._client, clock=self._clock, seconds=self._seconds),
            )
            if old is not None:
                await old.close()
        return self._keys

    def _believed(self, claims: Mapping[str, Any]) -> User:
        """Who the claims describe, if they may come in."""
        settings = self._settings
        try:
            user, tenant = text_claim(claims, settings.user_claim), settings.tenant
            if settings.tenant_claim is not None and (
                tenant is None or settings.tenant_claim in claims
            ):
                # Without its tenant, a user could be taken for one of the same name elsewhere.
                tenant = text_claim(claims, settings.tenant_claim)
        except Unauthorized as error:
            raise _refused(error.message) from None
        if settings.user_claim == "email" and not has_verified_email(claims):
            raise Forbidden(
                "the identity provider has not verified your e-mail address: verify it there, and "
                "sign in again",
                code="email_not_verified",
            )
        if settings.allowed and not any(one.means(claims) for one in settings.allowed):
            raise Forbidden(
                f"{user} may not come in here: ask whoever runs this hub", code="login_not_allowed"
            )
        return User(user, tenant, claims)

    def _own_words(self, held: Mapping[str, Any]) -> str:
        """What a provider says of its refusal, for the log."""
        said = f"{held.get('error')!a}, {held.get('error_description')!a}"
        secret = self._settings.secret
        return (said if secret is None else said.replace(secret, "***"))[:SAID_LENGTH]

    def _unavailable(self) -> HubError:
        return Unavailable(
            "the identity provider does not answer just now: try again in a moment",
            code="oidc_unavailable",
        )


def _refused(why: str) -> Unauthorized:
    return Unauthorized(
        f"the identity provider's answer does not hold: {why}", code="login_refused"
    )


def _provider_refuses(answer: Mapping[str, str]) -> Unauthorized:
    """An error that the provider sent the browser back with (RFC 6749 section 4.1.2.1)."""
    code, text = answer["error"][:64], answer.get("error_description", "")
    if code == "access_denied" and not text:
        return Unauthorized("you did not sign in: it was cancelled", code="login_cancelled")
    said = " ".join(text.split())[:SAID_LENGTH]
    if code == "access_denied":
        message = f"you did not sign in. The identity provider says: {said}"
        return Unauthorized(message, code="login_cancelled")
    return Unauthorized(
        f"the identity provider refuses the sign-in with {code!a}" + (f": {said}" if said else ""),
        code="login_refused",
    )


def _basic(name: str, secret: str) -> str:
    """Both are encoded before they are joined (RFC 6749 section 2.3.1)."""
    pair = f"{quote_plus(name)}:{quote_plus(secret)}"
    return f"Basic {base64.b64encode(pair.encode()).decode()}"


def _with_query(url: str, query: Mapping[str, str]) -> str:
    return f"{url}{'&' if '?' in url else '?'}{urlencode(query)}"
