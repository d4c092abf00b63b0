"""``[auth]``: who may come in, and what they may do.

There is authentication as soon as the table says who may come in: by a key, an issuer or a grant.
No secret stands here: a table names the variable or the file that holds it, and an API key is kept
as its hash.
"""

from __future__ import annotations

from collections.abc import Iterable
from datetime import datetime
from typing import Annotated, Literal, Self
from urllib.parse import urlsplit

from pydantic import AfterValidator, Field, model_validator
from pydantic_core import PydanticCustomError

from hub.config.fields import URL, Count, Line, Seconds, Variable, Wait
from hub.config.table import Table, refuse
from hub.domain.addresses import is_local
from hub.domain.grant_rules import Who
from hub.domain.permissions import Permission, StreamPattern

__all__ = ["Auth", "AuthLimits", "GrantTable", "IssuerTable", "KeyTable"]

Algorithm = Literal[
    "HS256", "HS384", "HS512",
    "RS256", "RS384", "RS512", "PS256", "PS384", "PS512",
    "ES256", "ES384", "ES512", "EdDSA",
]  # fmt: skip


def _who(value: str) -> str:
    try:
        Who.parse(value)
    except ValueError as error:
        raise PydanticCustomError("hub", "{said}", {"said": str(error)}) from None
    return value


def _pattern(value: str) -> str:
    try:
        StreamPattern.parse(value)
    except ValueError as error:
        raise PydanticCustomError("hub", "{said}", {"said": str(error)}) from None
    return value


def _hash(value: str) -> str:
    if len(value) != 64 or set(value) - set("0123456789abcdef"):
        wanted = "must be the SHA-256 of a key, as `streamhub token create` prints it"
        raise PydanticCustomError("hub", wanted)
    return value


def _time(value: str) -> str:
    try:
        found = datetime.fromisoformat(value)
    except ValueError:
        found = None
    if found is None or found.tzinfo is None:
        raise PydanticCustomError("hub", 'must be a time such as "2027-01-31T00:00:00Z"')
    return value


Pattern = Annotated[str, AfterValidator(_pattern)]
Hash = Annotated[str, AfterValidator(_hash)]
Time = Annotated[str, AfterValidator(_time)]


class GrantTable(Table):
    """Permissions on the streams that a pattern matches, ``[[auth.grants]]``."""

    who: Annotated[str, AfterValidator(_who)]
    match: Pattern = "**"
    can: list[Permission]
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
    algorithms: list[Algorithm] | None = None
    leeway_seconds: Wait = 30.0
    max_seconds: Seconds = 86_400.0
    user_claim: Line = "sub"
    tenant: Line | None = None
    tenant_claim: Line | None = None
    may_grant: bool = False

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
        if any(one.startswith("HS") != shared for one in self.algorithms or ()):
            # A public key taken for a secret would let everybody sign.
            yield (
                ("algorithms",),
                ("a shared secret signs with HS256, HS384 or HS512, and nothing else does"),
            )
        if self.jwks is not None and not self.jwks.startswith("https://"):
            if not is_local(urlsplit(self.jwks).hostname or ""):
                yield (
                    ("jwks",),
                    "must be an https:// URL, because whoever answers decides who is who",
                )
        if (self.previous_secret_env is None) != (self.previous_until is None):
            yield ("previous_until",), "belongs together with previous_secret_env: give both"
        if self.previous_secret_env is not None and not shared:
            yield ("previous_secret_env",), "is only for issuers with a shared secret"


class AuthLimits(Table):
    """What one principal may use at a time; 0 is no limit."""

    requests_per_minute: int = Field(default=600, ge=0, le=10**6)
    generations: int = Field(default=20, ge=0, le=10**6)


class Auth(Table):
    """Who may come in, and what they may do."""

    open: bool = False
    token_seconds: Seconds = 10.0
    issuers: dict[Line, IssuerTable] = {}
    keys: dict[Line, KeyTable] = {}
    grants: list[GrantTable] = []
    limits: AuthLimits = AuthLimits()

    @property
    def enabled(self) -> bool:
        """Whether there is authentication at all."""
        return bool(self.issuers or self.keys or self.grants)

    @model_validator(mode="after")
    def _agrees(self) -> Self:
        refuse(self._wrong())
        return self

    def _wrong(self) -> Iterable[tuple[tuple[str, ...], str]]:
        if self.open and self.enabled:
            yield ("open",), "lets everybody do everything: leave it out, or the rest of [auth]"
        said = [table.issuer or name for name, table in self.issuers.items()]
        for place, (name, table) in enumerate(self.issuers.items()):
            if (table.issuer or name) in said[:place]:
                yield ("issuers", name, "issuer"), "stands there twice"
        ids = [table.id for table in self.keys.values()]
        for place, (name, table) in enumerate(self.keys.items()):
            if table.id in ids[:place]:
                yield ("keys", name, "id"), "stands there twice"
