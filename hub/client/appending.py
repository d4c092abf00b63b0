"""Appends that take effect once, even if a lost reply makes the client send them again.

Each stream has an idempotent producer of its own (Durable Streams Protocol, section 5.2.1), whose
numbers tell the hub whether it has seen an append. Appends to one stream are sent one after
another, which also keeps their order.
"""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from functools import partial
from typing import Final
from urllib.parse import quote
from uuid import uuid4

from hub.client.backoff import retried
from hub.client.errors import malformed, refusal
from hub.client.transport import Transport

__all__ = ["Appending"]

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
        """Append one JSON value, creating the stream if needed; returns the position after it.

        Raises:
            HubError: the hub refuses the value, or cannot be reached in several tries. In the
                latter case, and if this is cancelled, it may have been appended nevertheless.
        """
        async with self._turn:
            try:
                position = await retried(partial(self._append, body))
            except BaseException:
                # The hub may have this number: the next value must not look like a repetition.
                self._producer, self._number = f"client-{uuid4().hex}", 0
                raise
            self._number += 1
            return position

    async def _append(self, body: bytes) -> str:
        status, headers, answer = await self._post(body)
        if status == 404:
            # PUT is idempotent: several clients may create the stream.
            status, headers, answer = await self._wire.send("PUT", self._path, b"", JSON)
            if status < 400:
                status, headers, answer = await self._post(body)
        if status >= 300:
            raise refusal(status, answer)
        position = headers.get("Stream-Next-Offset")
        if position is None:
            raise malformed("its answer has no position")
        return position

    async def _post(self, body: bytes) -> tuple[int, Mapping[str, str], bytes]:
        stamp = {
            "Producer-Id": self._producer,
            "Producer-Epoch": "0",
            "Producer-Seq": str(self._number),
        }
        # In an array, because the hub splits a top-level array into several records.
        return await self._wire.send("POST", self._path, b"[%s]" % body, {**JSON, **stamp})
