"""The credentials in Redis; see `hub.stores.Credentials`.

Each is JSON in a hash, by its id. Beside it are sorted sets: the ids, to list them in pages; when
each one ends, to make room; and the same for each label, whose names are in the JSON.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from typing import NamedTuple

import orjson

from hub.domain.errors import Conflict, LimitExceeded
from hub.stores import CREDENTIALS, KEEP_ENDED_SECONDS, Credential, Label
from hub.stores.credential_json import as_json, from_json
from hub.stores.redis.engine import RedisEngine
from hub.stores.redis.keys import CredentialKeys

__all__ = ["RedisCredentials"]


class RedisCredentials:
    """Keeps credentials in whichever engine ``engine`` gives."""

    def __init__(self, engine: Callable[[], RedisEngine]) -> None:
        self._engine = engine

    async def add(self, credential: Credential) -> None:
        found = await self._run(
            "credential_add",
            credential.kind,
            credential.id,
            _encoded(credential),
            repr(credential.ended),
            repr(credential.created),
            repr(credential.created - KEEP_ENDED_SECONDS),
            CREDENTIALS,
        )
        if found == b"exists":
            raise Conflict(
                f'there is already a credential "{credential.id}"', code="credential_exists"
            )
        if found == b"full":
            raise LimitExceeded(
                f"there are {CREDENTIALS} already: revoke some", code="too_many_credentials"
            )

    async def find(self, kind: str, id_: str) -> Credential | None:
        found = await self._read(kind, id_)
        return None if found is None else found.credential

    async def listed(self, kind: str, after: str, limit: int) -> list[Credential]:
        ids = await self._engine().ask(
            "ZRANGEBYLEX", self._keys(kind).ids, f"({after}", "+", "LIMIT", 0, limit
        )
        return await self._values(kind, ids)

    async def held(
        self, kind: str, label: Label, after: str, limit: int, now: float
    ) -> list[Credential]:
        ids = await self._engine().ask(
            "ZRANGEBYSCORE", self._labelled(kind, label), f"({now!r}", "+inf"
        )
        found = sorted(id_ for id_ in ids if id_ > after.encode())
        return await self._values(kind, found[:limit])

    async def count(self, kind: str, label: Label, now: float) -> int:
        key = self._labelled(kind, label)
        return int(await self._engine().ask("ZCOUNT", key, f"({now!r}", "+inf"))

    async def revoke(self, kind: str, id_: str, now: float) -> Credential | None:
        while True:
            found = await self._read(kind, id_)
            if found is None or found.credential.revoked is not None:
                return None if found is None else found.credential
            revoked = replace(found.credential, revoked=now)
            words = (id_, found.text, _encoded(revoked), repr(revoked.ended))
            if await self._run("credential_replace", kind, *words):
                return revoked

    async def _read(self, kind: str, id_: str) -> _Read | None:
        text = await self._engine().ask("HGET", self._keys(kind).values, id_)
        return None if text is None else _Read(_decoded(text), text)

    async def _values(self, kind: str, ids: Sequence[bytes]) -> list[Credential]:
        if not ids:
            return []
        found = await self._engine().ask("HMGET", self._keys(kind).values, *ids)
        return [_decoded(text) for text in found if text is not None]

    def _labelled(self, kind: str, label: Label) -> str:
        return self._keys(kind).labels + _named(label)

    async def _run(self, script: str, kind: str, *words: str | bytes | int) -> object:
        return await self._engine().run_alone(script, self._keys(kind), words)

    def _keys(self, kind: str) -> CredentialKeys:
        return self._engine().keys.credentials(kind)


class _Read(NamedTuple):
    """A credential, and its text, which tells whether it has changed."""

    credential: Credential
    text: bytes


def _encoded(credential: Credential) -> bytes:
    labels = [_named(label) for label in credential.labels if credential.revoked is None]
    return orjson.dumps({**as_json(credential), "labels": labels})


def _decoded(text: bytes) -> Credential:
    fields = orjson.loads(text)
    del fields["labels"]
    return from_json(fields)


def _named(label: Label) -> str:
    return f"{label.of}:{label.value}"
