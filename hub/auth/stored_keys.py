"""API keys where they are kept: in the store, and in the configuration.

A key's grants are stored as JSON, in the form of a token's ``streams`` claim::

    [{"match": "chat/**", "can": ["read", "append"]}]

(with ``upstreams``, ``models`` and ``max_tokens`` as in the configuration). A row whose grants this
program does not understand lets nobody in: what is not understood may be meant to narrow it.
"""

from __future__ import annotations

import logging
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, Protocol

import orjson

from hub.auth.api_keys import ApiKey
from hub.domain.permissions import PERMISSIONS, Grant, Permission, StreamPattern
from hub.stores import Credential, Credentials

__all__ = [
    "KIND",
    "LATEST",
    "KeyFields",
    "StoredKeys",
    "configured_key",
    "grants_json",
    "key_of",
    "read_grants",
    "row_of",
]

log = logging.getLogger("hub.auth")

KIND: Final = "key"
"""The kind of credential that an API key is."""

LATEST: Final = 253_402_300_799.0
"""The last second of the year 9999: later times cannot be written down."""

_FIELDS: Final = frozenset({"match", "can", "upstreams", "models", "max_tokens"})


class KeyFields(Protocol):
    """A key in the configuration; ``expires_at`` is in seconds since 1970."""

    @property
    def id(self) -> str: ...
    @property
    def sha256(self) -> str: ...
    @property
    def user(self) -> str | None: ...
    @property
    def tenant(self) -> str | None: ...
    @property
    def can(self) -> Sequence[Permission] | None: ...
    @property
    def match(self) -> str: ...
    @property
    def expires_at(self) -> float | None: ...


class StoredKeys:
    """Finds API keys; those in the configuration come first."""

    def __init__(self, credentials: Credentials, configured: Iterable[ApiKey] = ()) -> None:
        self._credentials = credentials
        self._configured = {key.id: key for key in configured}

    async def find(self, id_: str) -> ApiKey | None:
        """The key with this id, also one that has expired or was revoked.

        Raises:
            StoreError: the store cannot be read.
        """
        if (key := self._configured.get(id_)) is not None:
            return key
        row = await self._credentials.find(KIND, id_)
        try:
            return None if row is None else key_of(row)
        except ValueError as error:
            log.warning("the key %s is refused: %s", id_, error)
            return None


def configured_key(name: str, table: KeyFields) -> ApiKey:
    """The key in the table ``[auth.keys.NAME]``."""
    exactly = None
    if table.can is not None:
        exactly = (Grant(frozenset(table.can), StreamPattern.parse(table.match)),)
    return ApiKey(
        id=table.id,
        hash=bytes.fromhex(table.sha256),
        name=name,
        user=table.user,
        tenant=table.tenant,
        grants=exactly,
        expires=table.expires_at,
    )


def row_of(key: ApiKey) -> Credential:
    """The key as the store keeps it."""
    return Credential(
        kind=KIND,
        id=key.id,
        hash=key.hash,
        name=key.name,
        user=key.user,
        tenant=key.tenant,
        grants=None if key.grants is None else orjson.dumps(grants_json(key.grants)).decode(),
        created=key.created,
        expires=key.expires,
        revoked=key.revoked,
    )


def key_of(row: Credential) -> ApiKey:
    """The key in a row of the store.

    Raises:
        ValueError: its grants have another form; the message says why.
    """
    return ApiKey(
        id=row.id,
        hash=row.hash,
        name=row.name,
        user=row.user,
        tenant=row.tenant,
        grants=None if row.grants is None else read_grants(orjson.loads(row.grants)),
        created=row.created,
        expires=row.expires,
        revoked=row.revoked,
    )


def grants_json(grants: Iterable[Grant]) -> list[dict[str, Any]]:
    """Grants as JSON values."""
    return [
        {
            "match": str(grant.match),
            "can": sorted(grant.can),
            **({} if grant.upstreams is None else {"upstreams": sorted(grant.upstreams)}),
            **({} if grant.models is None else {"models": sorted(grant.models)}),
            **({} if grant.max_tokens is None else {"max_tokens": grant.max_tokens}),
        }
        for grant in grants
    ]


def read_grants(held: object) -> tuple[Grant, ...]:
    """Grants from their JSON values.

    Raises:
        ValueError: they have another form; the message says why.
    """
    if not isinstance(held, list):
        raise ValueError("its grants are not a list")
    return tuple(_read_grant(one) for one in held)


def _read_grant(held: object) -> Grant:
    if not isinstance(held, dict) or not held.keys() <= _FIELDS:
        raise ValueError("a grant has fields that this program does not know")
    match, most = held.get("match"), held.get("max_tokens")
    can = _texts(held, "can")
    if not isinstance(match, str) or can is None or not can <= PERMISSIONS:
        raise ValueError("a grant has permissions that this program does not know")
    if most is not None and (type(most) is not int or most < 1):
        raise ValueError("the max_tokens of a grant is not a number")
    return Grant(
        frozenset(one for one in PERMISSIONS if one in can),
        StreamPattern.parse(match),
        _texts(held, "upstreams"),
        _texts(held, "models"),
        most,
    )


def _texts(held: Mapping[str, Any], key: str) -> frozenset[str] | None:
    texts = held.get(key)
    if texts is None:
        return None
    if not isinstance(texts, list) or not all(isinstance(one, str) for one in texts):
        raise ValueError(f'the "{key}" of a grant is not a list of text')
    return frozenset(texts)
