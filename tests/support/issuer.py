"""A hub that takes the tokens of an application, and the application, which issues them."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from typing import Any, Final

import jwt
import pytest

from hub.auth.api_keys import ApiKey, new_key
from hub.auth.stored_keys import row_of
from tests.support.loopback_hub import Loopback, hub_on_loopback
from tests.support.people import auth

__all__ = ["SECRET", "Issued", "hub_with_issuer", "issue", "stored_key"]

SECRET: Final = "0123456789abcdef0123456789abcdef"


def issue(seconds: float = 300, **claims: Any) -> str:
    """A token of Ann's that lasts so long."""
    held = {"iss": "app", "aud": "hub", "sub": "ann", "exp": time.time() + seconds, **claims}
    return jwt.encode(held, SECRET, "HS256")


@asynccontextmanager
async def hub_with_issuer(
    monkeypatch: pytest.MonkeyPatch, *grants: dict[str, Any], **tables: Any
) -> AsyncIterator[Loopback]:
    """A hub where Ann may use ``chat/ann/**`` with her key or a token."""
    monkeypatch.setenv("APP_SECRET", SECRET)
    issuers = {"app": {"audience": "hub", "secret_env": "APP_SECRET", "leeway_seconds": 0.0}}
    more = {"issuers": issuers, **tables.pop("auth", {})}
    async with hub_on_loopback(auth=auth(*grants, **more), **tables) as running:
        yield running


async def stored_key(running: Loopback, user: str = "ann") -> tuple[str, Callable[[], Any]]:
    """A new API key in the hub's store, and what revokes it."""
    key, name, digest = new_key()
    credentials = running.hub.credentials
    await credentials.add(row_of(ApiKey(name, digest, user=user)))

    async def revoke() -> None:
        await credentials.revoke("key", name, time.time())
        running.hub.revoke(name)

    return key, revoke


class Issued:
    """A function that issues a token each time it is called, and counts."""

    def __init__(self, seconds: float, **claims: Any) -> None:
        self.seconds = seconds
        self.tokens: list[str] = []
        self._claims = claims

    async def __call__(self) -> str:
        await asyncio.sleep(0)
        # Two tokens that are issued at the same moment are two.
        token = issue(self.seconds, jti=str(len(self.tokens)), **self._claims)
        self.tokens.append(token)
        return token
