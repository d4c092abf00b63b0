"""Requests to a hub that may be dying, draining or without space, and what it answers."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Mapping
from typing import Any, Final, NamedTuple, Self

import aiohttp

from tests.faults.mortal import LOST, Mortal
from tests.faults.soak.told import Told

__all__ = ["JSON", "Reply", "Requests"]

JSON: Final = {"Content-Type": "application/json"}

ANSWERED: Final = 60.0
"""Seconds after which a request that has no answer is a violation."""


class Reply(NamedTuple):
    status: int
    headers: Mapping[str, str]
    body: bytes

    @property
    def code(self) -> str:
        """The code of an error."""
        try:
            return str(json.loads(self.body)["error"]["code"])
        except (ValueError, KeyError, TypeError):
            return ""


class Requests:
    """Whoever asks something of the hub."""

    def __init__(self, hub: Mortal, told: Told) -> None:
        self._hub = hub
        self._told = told
        self.client: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self.client = aiohttp.ClientSession(
            self._hub.url,
            connector=aiohttp.TCPConnector(limit=0),
            timeout=aiohttp.ClientTimeout(total=ANSWERED),
            auto_decompress=False,
        )
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()

    @property
    def deaths(self) -> int:
        """How often the hub has died."""
        return self._hub.deaths

    async def ask(
        self,
        method: str,
        path: str,
        body: bytes = b"",
        headers: Mapping[str, str] | None = None,
        *,
        measure: str = "",
    ) -> Reply | None:
        """The answer, if the hub lives to give it. One that is no use to anybody is noted."""
        began = time.monotonic()
        try:
            async with self.client.request(
                method, path, data=body or None, headers={**JSON, **(headers or {})}
            ) as response:
                reply = Reply(response.status, response.headers, await response.read())
        except LOST:
            if time.monotonic() - began >= ANSWERED:
                self._told.violated("no answer", f"{method} {path} in {ANSWERED:g} s")
            return None
        if reply.status >= 500 or reply.status == 429:
            self._told.refused(reply.status, reply.code, f"{method} {path}")
        elif measure:
            self._told.durations[measure].add(time.monotonic() - began)
        return reply

    async def json(self, method: str, path: str, body: Any, **more: Any) -> Reply | None:
        """As `ask`, with a body in JSON."""
        return await self.ask(method, path, json.dumps(body).encode(), **more)

    async def records(self, stream: str) -> list[bytes] | None:
        """All bodies of a stream, those of an answer as one if it is not JSON; none if it is gone.

        Asked until there is an answer.
        """
        found: list[bytes] = []
        offset = "-1"
        while True:
            reply = await self.ask("GET", f"/v1/stream/{stream}?offset={offset}")
            if reply is None or reply.status in (429, 503, 507):
                await asyncio.sleep(0.05)
                continue
            if reply.status != 200:
                return None
            found.append(reply.body)
            offset = reply.headers["Stream-Next-Offset"]
            if reply.headers.get("Stream-Up-To-Date") == "true":
                return found

    async def events(self, stream: str) -> list[Any] | None:
        """All events of a stream; none if there is none."""
        found = await self.records(stream)
        return None if found is None else [event for body in found for event in json.loads(body)]
