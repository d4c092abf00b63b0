"""Races for a name: what may be done to one stream is done at the same time.

After each race the name is looked at: a stream that was deleted, or has expired, is gone, and
only what was written under the name since may be there.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import deque
from collections.abc import Awaitable, Callable, Coroutine
from dataclasses import dataclass, field
from datetime import UTC, datetime, timedelta
from random import Random
from typing import Any, Final

import aiohttp

from tests.faults.mortal import LOST
from tests.faults.soak.told import Told
from tests.faults.soak.wire import Reply, Requests

__all__ = ["Races"]

COLD: Final = 0.5
"""How often a stream is left alone before its race, until it has left memory."""

REMEMBERED: Final = 100


@dataclass
class Races:
    """The races of one round, over ``names``; each has one race at a time."""

    names: list[str]
    told: Told
    requests: Requests
    chance: Random
    pause: float
    over: bool = False
    dead: deque[str] = field(default_factory=lambda: deque(maxlen=REMEMBERED))
    """Names of streams that were deleted, and that nobody begins again."""
    _numbers: int = 0

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        return [self._race(name) for name in self.names] + [self._look_back()]

    async def _race(self, name: str) -> None:
        while not self.over:
            race = self.chance.choice(
                [self._deletions, self._deletions, self._expiry, self._expiry_at, self._throw_away]
            )
            await race(name)
            self.told.figures["races"] += 1
            await asyncio.sleep(self.chance.uniform(0.0, 1.0) * self.pause)

    # Deletion, and everything else at the same time

    async def _deletions(self, name: str) -> None:
        old = await self._made(name)
        if old is None:
            return
        others: list[Callable[[str, str], Awaitable[Reply | None]]] = [
            self._delete, self._post, self._put, self._get, self._append, self._fork, self._prompt
        ]  # fmt: skip
        chosen = [self._delete, *(self.chance.choice(others) for _ in range(self._few()))]
        new = [self._marker(name) for _ in chosen]
        replies = await asyncio.gather(
            *(deed(name, mark) for deed, mark in zip(chosen, new, strict=True))
        )
        pairs = list(zip(chosen, replies, strict=True))
        deleted = any(deed == self._delete and _is(reply, 204) for deed, reply in pairs)
        self.told.figures["deletions"] += deleted
        there = await self._texts(name)
        if there is None:
            return
        what = f"{name}: {[(deed.__name__, reply and reply.status) for deed, reply in pairs]}"
        if deleted and old in there:
            self.told.violated("P3 deleted and there", f"{what}, then {there}")
        strange = [text for text in there if text != old and text not in new]
        if deleted and strange:
            self.told.violated("P4 strange content", f"{what}, then {strange}")

    async def _throw_away(self, name: str) -> None:
        """A name that is deleted once, and never used again."""
        once = f"{name}-{self._next()}"
        if await self._made(once) is None:
            return
        replies = await asyncio.gather(
            self._delete(once, ""), self._delete(once, ""), self._get(once, "")
        )
        if any(_is(reply, 204) for reply in replies[:2]):
            self.told.figures["deletions"] += 1
            self.dead.append(once)
            await self._is_dead(once)

    async def _look_back(self) -> None:
        """What was deleted stays so, also after a restart."""
        while not self.over:
            await asyncio.sleep(self.pause * 2)
            if self.dead:
                await self._is_dead(self.chance.choice(list(self.dead)))

    async def _is_dead(self, name: str) -> None:
        reply = await self._get(name, "")
        if _is(reply, 200):
            self.told.violated("P3 deleted and there", f"{name} was deleted for good, and is 200")

    # Expiry

    async def _expiry(self, name: str) -> None:
        """A second after it was used last it is gone, for all who ask at the same time."""
        once = f"{name}-{self._next()}"
        reply = await self._put(once, once, **{"Stream-TTL": "1"})
        if not _is(reply, 201):
            return
        deaths = self.requests.deaths
        if self.chance.random() < 0.3:
            await self._post(once, once)
        if self.chance.random() < 0.2:
            await self._prompt(once, once)
            await self._until_ended(once)
        used = time.monotonic()
        await asyncio.sleep(1.2)
        deaths = self.requests.deaths - deaths
        unused = time.monotonic() - used
        await self._expired(once, f"unused for {unused:.2f} s after {deaths} deaths")

    async def _expiry_at(self, name: str) -> None:
        """It is gone at its time, whoever writes to it."""
        once = f"{name}-{self._next()}"
        at = datetime.now(UTC) + timedelta(seconds=self.chance.uniform(1.0, 2.5))
        text = at.isoformat(timespec="milliseconds").replace("+00:00", "Z")
        reply = await self._put(once, once, **{"Stream-Expires-At": text})
        asked = None
        if _is(reply, 201) and self.chance.random() < 0.4:
            asked = await self._prompt(once, once)
        await asyncio.sleep(max(0.0, (at - datetime.now(UTC)).total_seconds()) + 0.05)
        if _is(reply, 201):
            await self._expired(once, f"which expires at {text}")
        if asked is not None and asked.status == 201:
            await self._has_ended(json.loads(asked.body)["id"])

    async def _expired(self, name: str, what: str) -> None:
        replies = await asyncio.gather(*(self._get(name, "") for _ in range(4)))
        self.told.figures["expiries"] += 1
        # A prompt that came late has begun another stream of that name.
        there = [reply.body for reply in replies if reply is not None and reply.status == 200]
        if any(_message(name) in json.loads(body) for body in there):
            self.told.violated("expired and there", f"{name}, {what}: {there[0][:300]!r}")
        elif not there and self.chance.random() < 0.3:
            new = self._marker(name)
            if _is(await self._put(name, new), 201):
                texts = await self._texts(name)
                if texts is not None and set(texts) - {new}:
                    self.told.violated("P4 strange content", f"{name} after expiry: {texts}")
                await self._delete(name, "")

    async def _until_ended(self, name: str) -> None:
        """While something is generated in it a stream does not expire."""
        for _ in range(100):
            reply = await self._get(name, "")
            if reply is None or reply.status != 200:
                return
            if any(e["type"] == "finished" for e in json.loads(reply.body)):
                return
            await asyncio.sleep(0.1)

    async def _has_ended(self, generation: str) -> None:
        """Also where its stream is gone; or it is forgotten, with the hub that ran it."""
        for _ in range(100):
            reply = await self.requests.ask("GET", f"/v1/generations/{generation}")
            if reply is None or reply.status != 200:
                return
            if json.loads(reply.body)["state"] not in ("asked", "waiting", "streaming"):
                return
            await asyncio.sleep(0.1)
        self.told.violated("P5 no end", f"{generation}, whose stream has expired")

    # Deeds

    async def _made(self, name: str) -> str | None:
        """Begin it, and leave it alone until it may have left memory."""
        old = self._marker(name)
        reply = await self._put(name, old)
        if reply is None or reply.status not in (200, 201):
            return None
        if reply.status == 200 and not _is(await self._post(name, old), 204):
            return None
        if self.chance.random() < COLD:
            await asyncio.sleep(self.chance.uniform(0.3, 2.0) * self.pause)
        return old

    async def _delete(self, name: str, mark: str) -> Reply | None:
        del mark
        reply = await self.requests.ask("DELETE", f"/v1/stream/{name}", measure="delete")
        return self._expect(reply, (204, 404, 410), "DELETE", name)

    async def _post(self, name: str, mark: str) -> Reply | None:
        reply = await self.requests.json("POST", f"/v1/stream/{name}", [_message(mark)])
        # 409: it was closed by its end just now.
        return self._expect(reply, (204, 404, 409, 410), "POST", name)

    async def _put(self, name: str, mark: str, **headers: str) -> Reply | None:
        reply = await self.requests.json(
            "PUT", f"/v1/stream/{name}", [_message(mark)], headers=headers
        )
        return self._expect(reply, (200, 201, 404, 409, 410), "PUT", name)

    async def _get(self, name: str, mark: str) -> Reply | None:
        del mark
        reply = await self.requests.ask("GET", f"/v1/stream/{name}?offset=-1")
        return self._expect(reply, (200, 404, 410), "GET", name)

    async def _fork(self, name: str, mark: str) -> Reply | None:
        """A fork that is thrown away at once, so that the name becomes free again."""
        fork = f"{name}-fork-{self._next()}"
        headers = {"Stream-Forked-From": f"/v1/stream/{name}"}
        reply = await self.requests.json(
            "PUT", f"/v1/stream/{fork}", [_message(mark)], headers=headers
        )
        self._expect(reply, (200, 201, 404, 409, 410), "PUT of a fork", name)
        while True:
            gone = await self._delete(fork, "")
            if gone is not None and gone.status < 429:
                return reply
            await asyncio.sleep(0.05)

    async def _prompt(self, name: str, mark: str) -> Reply | None:
        asked = {"stream": name, "prompt": f"steady 30 {mark}", "upstream": "mock"}
        reply = await self.requests.json("POST", "/v1/generations", asked)
        return self._expect(reply, (201, 404, 409, 410), "prompt", name)

    async def _append(self, name: str, mark: str) -> Reply | None:
        """Over a WebSocket, which begins a stream that is not there."""
        try:
            async with self.requests.client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket_:
                said = {"type": "append", "stream": name, "event": _message(mark)}
                await socket_.send_json(said)
                reply = await socket_.receive(60)
        except LOST:
            return None
        if reply.type is not aiohttp.WSMsgType.TEXT:
            return None
        told = reply.json()
        if told["type"] == "error" and told["code"] not in (
            "stream_closed", "stream_deleted", "stream_not_found"
        ):  # fmt: skip
            self.told.refused(0, told["code"], f"append to {name}")
        return Reply(200 if told["type"] == "ok" else 409, {}, b"")

    # Looking

    async def _texts(self, name: str) -> list[str] | None:
        """What is said there, by whom it may concern; nothing where there is no stream."""
        reply = await self._get(name, "")
        if reply is None or reply.status >= 429:
            return None
        if reply.status != 200:
            return []
        events: list[Any] = json.loads(reply.body)
        texts = [event["text"] for event in events if event["type"] == "message"]
        return [text.removeprefix("steady 30 ") for text in texts]

    def _expect(
        self, reply: Reply | None, statuses: tuple[int, ...], what: str, name: str
    ) -> Reply | None:
        if reply is not None and reply.status < 500 and reply.status not in (*statuses, 429):
            self.told.violated("status", f"{what} {name}: {reply.status} {reply.code}")
        return reply

    def _marker(self, name: str) -> str:
        return f"{name} race {self._next()}"

    def _next(self) -> int:
        self._numbers += 1
        return self._numbers

    def _few(self) -> int:
        return self.chance.choice((1, 1, 2, 3))


def _message(text: str) -> dict[str, str]:
    return {"type": "message", "role": "user", "text": text}


def _is(reply: Reply | None, status: int) -> bool:
    return reply is not None and reply.status == status
