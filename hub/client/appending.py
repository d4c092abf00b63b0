"""Appends that have one effect, however often a lost reply makes them be sent again.

Each stream that is written to has an idempotent producer of its own (Durable Streams
Protocol, section 5.2.1): the hub knows by its number whether it has seen an append. Appends
to one stream go one after another, which is also what keeps their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from typing import Final
from urllib.parse import quote
from uuid import uuid4

from hub.client.backoff import wait_before
from hub.client.errors import malformed, refusal
from hub.client.following import PASSING
from hub.client.transport import Transport
from hub.domain.errors import HubError

__all__ = ["Appending"]

TRIES: Final = 5
JSON: Final = {"Content-Type": "application/json"}


class Appending:
    """Appends to one stream."""

    def __init__(self, wire: Transport, stream: str) -> None:
        self._wire = wire
        self._path = f"/v1/stream/{quote(stream)}"
        self._producer = f"client-{uuid4().hex}"
        self._number = 0
        self._turn = asyncio.Lock()

    async def append(self, body: bytes) -> str:
        """Append one JSON value; the stream begins with its first. Gives the position after it.

        Raises:
            HubError: the hub refuses it, or cannot be reached in a few tries; in that case, and
                where this is cancelled, it may have been appended nevertheless.
        """
        async with self._turn:
            try:
                position = await self._until_told(body)
            except BaseException:
                # Whether the hub has it is not known: the next one must not seem to be it.
                self._producer, self._number = f"client-{uuid4().hex}", 0
                raise
            self._number += 1
            return position

    async def _until_told(self, body: bytes) -> str:
        for attempt in range(1, TRIES):
            try:
                return await self._once(body)
            except HubError as error:
                if error.code not in PASSING:
                    raise
            await asyncio.sleep(wait_before(attempt))
        return await self._once(body)

    async def _once(self, body: bytes) -> str:
        status, headers, held = await self._post(body)
        if status == 404:
            # PUT is idempotent, too: it does not matter who of several begins the stream.
            status, headers, held = await self._wire.send("PUT", self._path, b"", JSON)
            if status < 400:
                status, headers, held = await self._post(body)
        if status >= 300:
            raise refusal(status, held)
        position = headers.get("Stream-Next-Offset")
        if position is None:
            raise malformed("it says no position")
        return position

    async def _post(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        stamp = {
            "Producer-Id": self._producer,
            "Producer-Epoch": "0",
            "Producer-Seq": str(self._number),
        }
        # In an array, because an array that is itself the value would be taken apart.
        return await self._wire.send("POST", self._path, b"[%s]" % body, {**JSON, **stamp})
