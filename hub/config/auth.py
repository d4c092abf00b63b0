"""``[auth]``: who may come in, and what they may do.

There is authentication as soon as the table says who may come in: by a key, an issuer, a grant or
an OpenID provider, or that a credential is ``required``.
No secret stands here: a table names the variable or the file that holds it, and of an API key there
is only the hash.
"""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterable, Mapping
from datetime import datetime
from pathlib import Path
from typing import Annotated, Final, Literal, Self, get_args
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, PrivateAttr, model_validator
from pydantic_core import PydanticCustomError

from hub.config.fields import URL, Count, Header, Line, Seconds, Variable
from hub.config.table import Table, refuse
from hub.domain import defaults
from hub.domain.addresses import is_local
from hub.domain.errors import ConfigError
from hub.domain.grant_rules import Who
from hub.domain.members import Member
from hub.domain.permissions import Permission, StreamPattern

__all__ = [
    "Auth",
    "AuthLimits",
    "GrantTable",
    "IssuerTable",
    "KeyTable",
    "OIDCTable",
    "SessionTable",
    "WebhookTable",
    "seconds",
]

logger = logging.getLogger(__name__)

Shared = Literal["HS256", "HS384", "HS512"]
Public = Literal[
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512", "ES256", "ES384", "ES512", "EdDSA"
]
Algorithm = Shared | Public
WebhookEvent = Literal["connect", "subscribe", "generate", "refresh"]

_BYTES: Final[Mapping[str, int]] = {"HS256": 32, "HS384": 48, "HS512": 64}
"""The least bytes of a secret (RFC 7518 section 3.2): a shorter one can be found by trying."""


def _parsed_by(parse: Callable[[str], object]) -> AfterValidator:
    def check(value: str) -> str:
        try:
            parse(value)
        except ValueError as error:
            raise PydanticCustomError("hub", "{said}", {"said": str(error)}) from None
        return value

    return AfterValidator(check)


def _hash(value: str) -> str:
    if len(value) != 64 or set(value) - set("0123456789abcdef"):
        wanted = "must be the SHA-256 of a key, in 64 digits 0-9 a-f"
        raise PydanticCustomError("hub", wanted)
    return value


def _time(value: str) -> str:
    try:
        seconds(value)
    except (ValueError, OverflowError):
        wanted = 'must be a time such as "2027-01-31T00:00:00Z"'
        raise PydanticCustomError("hub", wanted) from None
    return value


def seconds(time: str) -> float:
    """A time of the configuration in seconds since 1970.

    Raises:
        ValueError: it is not a time with an offset from UTC.
    """
    found = datetime.fromisoformat(time)
    if found.tzinfo is None:
        raise ValueError("a time without an offset is another one on another machine")
    return found.timestamp()


Pattern = Annotated[str, _parsed_by(StreamPattern.parse)]
Hash = Annotated[str, AfterValidator(_hash)]
Leeway = Annotated[float, Field(ge=0, le=300)]
Scope = Annotated[str, Field(pattern=r"^[!#-\[\]-~]+$")]
Time = Annotated[str, AfterValidator(_time)]

WHOEVER_ANSWERS: Final = "must be an https:// URL: whoever answers decides who is who"


def _secret_file(name: str, what: str) -> bytes:
    """A file that holds a secret: ``what``, for messages.

    Raises:
        ConfigError: it cannot be read.
    """
    held, mode = _file(name, what)
    if mode & 0o004:
        logger.warning("everybody on this machine can read the secret in %s: chmod 600", name)
    return held


def _file(name: str, what: str) -> tuple[bytes, int]:
    """What a file holds, and its mode."""
    path = Path(name).expanduser()
    try:
        return path.read_bytes(), path.stat().st_mode
    except OSError as error:
        why = error.strerror or "it cannot be read"
        raise ConfigError(f"cannot read {what} from {path}: {why}") from None


class GrantTable(Table):
    """Permissions on the streams that a pattern matches, ``[[auth.grants]]``."""

    who: Annotated[str, _parsed_by(Who.parse)]
    match: Pattern = "**"
    can: Annotated[list[Permission], Field(min_length=1)]
    upstreams: list[str] | None = None
    models: list[str] | None = None
    max_tokens: Count | None = None


class KeyTable(Table):
    """An API key of which the hub knows the hash, ``[auth.keys.NAME]``."""

    sha256: Hash
    id: Annotated[str, Field(pattern=r"^[a-z0-9]{12}$")]
    user: Line | None = None
    tenant: Line | None = None
    can: list[Permission] | None = None
    match: Pattern = "**"
    expires: Time | None = None

    @property
    def expires_at(self) -> float | None:
        """When the key expires, in seconds since 1970."""
        return None if self.expires is None else seconds(self.expires)


class IssuerTable(Table):
    """Somebody whose JSON Web Tokens are believed, ``[auth.issuers.NAME]``."""

    issuer: Line | None = None
    audience: Line
    jwks: URL | None = None
    secret_env: Variable | None = None
    secret_file: Line | None = None
    previous_secret_env: Variable | None = None
    previous_until: Time | None = None
    public_key_file: Line | None = None
    algorithms: Annotated[list[Algorithm], Field(min_length=1)] | None = None
    leeway_seconds: Leeway = 30.0
    max_seconds: Seconds = 86_400.0
    user_claim: Line = "sub"
    tenant: Line | None = None
    tenant_claim: Line | None = None
    may_grant: bool = False

    _name: str = PrivateAttr("")

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        refuse(self._wrong())
        return self

    def _wrong(self) -> Iterable[tuple[tuple[str, ...], str]]:
        keys = ("jwks", "secret_env", "secret_file", "public_key_file")
        given = [key for key in keys if getattr(self, key) is not None]
        if len(given) != 1:
            yield ((given or keys)[0],), f"give one of {', '.join(keys)}"
            return
        shared = given[0].startswith("secret")
        if any((one in _BYTES) != shared for one in self.algorithms or ()):
            # A public key taken for a secret would let everybody sign.
            own, other = _said(Shared), _said(Public)
            yield (
                ("algorithms",),
                f"must be of {own} for a shared secret"
                if shared
                else f"must be of {other} for public keys",
            )
        if self.jwks is not None and not _is_private(self.jwks):
            yield ("jwks",), WHOEVER_ANSWERS
        if (self.previous_secret_env is None) != (self.previous_until is None):
            yield ("previous_until",), "belongs together with previous_secret_env: give both"
        if self.previous_secret_env is not None and not shared:
            yield ("previous_secret_env",), "is only for issuers with a shared secret"

    @property
    def accepted(self) -> tuple[str, ...]:
        """The algorithms that its tokens may be signed with."""
        if self.algorithms is not None:
            return tuple(self.algorithms)
        shared = self.secret_env is not None or self.secret_file is not None
        return get_args(Shared) if shared else get_args(Public)

    def secret(self, environ: Mapping[str, str]) -> bytes | None:
        """The secret shared with this issuer, read anew; ``None`` if it has public keys.

        Raises:
            ConfigError: it cannot be read, is too short, or is a public key.
        """
        if self.secret_env is not None:
            return self._variable(self.secret_env, environ)
        if self.secret_file is not None:
            held = _secret_file(self.secret_file, self._whose_key).strip()
            return self._checked(held, f"the file {self.secret_file}")
        return None

    def previous_secret(self, environ: Mapping[str, str]) -> tuple[bytes, float] | None:
        """The secret before, and until when it holds in seconds since 1970, if there is one.

        Raises:
            ConfigError: as `secret`.
        """
        if self.previous_secret_env is None or self.previous_until is None:
            return None
        return self._variable(self.previous_secret_env, environ), seconds(self.previous_until)

    def public_key(self) -> bytes | None:
        """What the file with the public key holds; ``None`` if there is no such file.

        Raises:
            ConfigError: it cannot be read.
        """
        if self.public_key_file is None:
            return None
        return _file(self.public_key_file, self._whose_key)[0]

    @property
    def _whose_key(self) -> str:
        return f'the key of the issuer "{self._name}"'

    def _variable(self, name: str, environ: Mapping[str, str]) -> bytes:
        held = environ.get(name, "").strip().encode("utf-8", "surrogateescape")
        return self._checked(held, f"the environment variable {name}")

    def _checked(self, secret: bytes, where: str) -> bytes:
        whose = f'the secret shared with the issuer "{self._name}"'
        if not secret:
            raise ConfigError(f"set {where} to {whose}: it is empty or not set")
        if secret.startswith((b"-----BEGIN", b"{", b"ssh-")):
            # Everybody knows a public key, and could sign with it.
            raise ConfigError(f"{where} holds a key in a file format: use public_key_file or jwks")
        if self.algorithms is None:
            least, said = min(_BYTES.values()), "a secret"
        else:
            strongest = max(self.algorithms, key=lambda one: _BYTES.get(one, 0))
            least, said = _BYTES.get(strongest, 0), f"a secret for {strongest}"
        if len(secret) < least:
            raise ConfigError(
                f"{where} holds {len(secret)} bytes, but {said} needs at least {least}: "
                f"make one with `openssl rand -base64 {least}`, here and at the issuer"
            )
        return secret


class WebhookTable(Table):
    """An application that is asked who somebody is and what they may do, ``[auth.webhook]``."""

    url: URL
    secret_env: Variable
    on: Annotated[list[WebhookEvent], Field(min_length=1)] = Field(
        default=["connect", "subscribe", "generate", "refresh"]
    )
    timeout_seconds: Annotated[float, Field(gt=0, le=60)] = 5.0

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        refuse(self._wrong())
        return self

    def _wrong(self) -> Iterable[tuple[tuple[str, ...], str]]:
        if not _is_private(self.url):
            yield ("url",), "must be an https:// URL: it is sent tokens, and decides who is who"
        if "refresh" in self.on and "connect" not in self.on:
            yield ("on",), 'has "refresh", which is only asked for whom "connect" has let in'


def _is_private(url: str) -> bool:
    """Whether nobody on the way can read or change what is said to this URL."""
    parts = urlsplit(url)
    return parts.scheme == "https" or is_local(parts.hostname or "")


def _said(algorithms: object) -> str:
    return ", ".join(get_args(algorithms))


class OIDCTable(Table):
    """The OpenID provider that people sign in to the page with, ``[auth.oidc]``."""

    issuer: URL | None = None
    client_id: Line | None = None
    client_secret_env: Variable | None = None
    client_secret_file: Line | None = None
    title: Line = "single sign-on"
    scopes: list[Scope] = Field(default=["openid", "profile", "email"])
    user_claim: Line = "sub"
    tenant: Line | None = None
    tenant_claim: Line | None = None
    allowed: list[Annotated[str, _parsed_by(Member.parse)]] = Field(default=[])
    sign_out_at_provider: bool = False

    @property
    def enabled(self) -> bool:
        """Whether people can sign in like this."""
        return self.issuer is not None

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        refuse(self._wrong())
        return self

    def _wrong(self) -> Iterable[tuple[tuple[str, ...], str]]:
        if (self.issuer is None) != (self.client_id is None):
            missing = "issuer" if self.issuer is None else "client_id"
            yield (missing,), "is missing: give both issuer and client_id"
        if self.issuer is not None and not _is_private(self.issuer):
            yield ("issuer",), WHOEVER_ANSWERS
        if self.client_secret_env is not None and self.client_secret_file is not None:
            yield ("client_secret_file",), "give this or client_secret_env, not both"
        if "openid" not in self.scopes:
            yield (
                ("scopes",),
                'must contain "openid": without it the provider does not say who it is',
            )

    def secret(self, environ: Mapping[str, str]) -> str | None:
        """The hub's secret at the provider, read anew; ``None`` for a public client.

        Raises:
            ConfigError: it cannot be read.
        """
        if self.client_secret_env is not None:
            held = environ.get(self.client_secret_env, "").strip()
            where = f"the environment variable {self.client_secret_env}"
        elif self.client_secret_file is not None:
            read = _secret_file(self.client_secret_file, "the client secret of auth.oidc")
            held = read.decode("utf-8", "replace").strip()
            where = f"the file {self.client_secret_file}"
        else:
            return None
        if not held or not held.isprintable():
            raise ConfigError(f"{where} must hold the client secret of auth.oidc, in one line")
        return held


class AuthLimits(Table):
    """What one principal may use at a time; 0 is no limit."""

    requests_per_minute: int = Field(default=600, ge=0, le=10**6)
    connections: int = Field(default=defaults.CONNECTIONS_OF_ONE, ge=0, le=10**6)
    generations: int = Field(default=20, ge=0, le=10**6)
    shares: int = Field(default=defaults.SHARES, ge=0, le=10**6)


class SessionTable(Table):
    """Sessions of browsers, ``[auth.session]``."""

    hours: Annotated[float, Field(gt=0, le=8760)] = 12.0


class Auth(Table):
    """Who may come in, and what they may do."""

    required: bool = False
    open: bool = False
    token_seconds: Seconds = 10.0
    header: Header | None = None
    issuers: dict[Line, IssuerTable] = Field(default={})
    keys: dict[Line, KeyTable] = Field(default={})
    grants: list[GrantTable] = Field(default=[])
    public_url: URL | None = None
    oidc: OIDCTable = OIDCTable()
    session: SessionTable = SessionTable()
    limits: AuthLimits = AuthLimits()
    webhook: WebhookTable | None = None

    @property
    def enabled(self) -> bool:
        """Whether there is authentication at all."""
        ways = (self.header, self.issuers, self.keys, self.grants, self.oidc.enabled, self.webhook)
        return self.required or any(ways)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        for name, table in self.issuers.items():
            table._name = name  # a table cannot see the key it stands under
        refuse(self._wrong())
        return self

    def _wrong(self) -> Iterable[tuple[tuple[str, ...], str]]:
        if self.open and self.enabled:
            yield ("open",), "lets everybody do everything: leave it out, or the rest of [auth]"
        said = [table.issuer or name for name, table in self.issuers.items()]
        for place, (name, table) in enumerate(self.issuers.items()):
            if (table.issuer or name) in said[:place]:
                yield ("issuers", name, "issuer"), "stands there twice"
        for name, key in self.keys.items():
            if key.can is None and key.match != "**":
                yield ("keys", name, "match"), 'belongs together with "can": give both'
        ids = [key.id for key in self.keys.values()]
        for place, (name, key) in enumerate(self.keys.items()):
            if key.id in ids[:place]:
                yield ("keys", name, "id"), "stands there twice"
