"""Writers: what is done to the hub during one round, each stream with its own way.

=====  =====================================================================================
``w``  messages over a WebSocket, never sent twice
``p``  pairs of messages with a producer's number, sent again until there is an answer
``t``  the same in plain text, whole lines with characters of several bytes
``c``  conversations: prompts with a key, asked again and again; some are cancelled
``f``  forks of conversations and of forks, some while they are being answered; some go on
``q``  a chain of forks, whose beginning is deleted
``n``  streams that are used once in a while, more of them than may be in memory
=====  =====================================================================================
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import time
from collections import Counter, defaultdict
from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import aiohttp

from hub.domain.records import Position
from tests.faults.mortal import LOST
from tests.faults.soak.mock import MODES, Mock, words
from tests.faults.soak.told import Told
from tests.faults.soak.wire import ANSWERED, Reply, Requests

__all__ = ["Counts", "Load"]

DEMO: Final = ("echo", "poem", "code", "table", "tools", "fail", "cut", "long", "stall")
LATE: Final = 5.0
"""Seconds after which a cancel has not reached the upstream, however busy the machine is: 0.1 are
promised."""


@dataclass(frozen=True)
class Counts:
    """How many streams of each kind there are, and the pause between two deeds of each."""

    w: int = 4
    p: int = 4
    t: int = 2
    c: int = 6
    forks: int = 20
    chain: int = 30
    cold: int = 100
    pause: float = 0.15


@dataclass
class Asked:
    """A generation that was begun."""

    stream: str
    key: str
    wanted: str | None
    """What it says if it ends well, as far as that is known."""


@dataclass
class Load:
    """The writers of one round; ``over`` ends them once they have what they wait for."""

    prefix: str
    counts: Counts
    told: Told
    requests: Requests
    mock: Mock
    chance: Random
    over: bool = False
    sent: Counter[str] = field(default_factory=Counter)
    acked: dict[str, dict[int, Position]] = field(default_factory=lambda: defaultdict(dict))
    asked: dict[str, str] = field(default_factory=dict)
    """The stream that each key was used in."""
    begun: dict[str, str] = field(default_factory=dict)
    """The generation that each key began."""
    generations: dict[str, Asked] = field(default_factory=dict)
    forks: dict[str, tuple[str, Position | None]] = field(default_factory=dict)
    """The source of each, and where it forked if that was said."""
    hidden: set[str] = field(default_factory=set)
    """Those that were deleted, for good."""
    cold: dict[str, list[str]] = field(default_factory=dict)
    """What was acknowledged in each of these."""

    def names(self, kind: str) -> list[str]:
        return [f"{self.prefix}{kind}{n}" for n in range(getattr(self.counts, kind))]

    @property
    def written(self) -> list[str]:
        """The streams with a writer of their own."""
        return [name for kind in "wptc" for name in self.names(kind)]

    def tasks(self) -> list[Coroutine[Any, Any, None]]:
        found = [
            *map(self._append, self.names("w")),
            *map(self._produce, self.names("p")),
            *map(self._type, self.names("t")),
            *map(self._ask, self.names("c")),
        ]
        if self.counts.forks:
            found += [self._fork()]
        if self.counts.chain:
            found += [self._chain()]
        if self.counts.cold:
            found += [self._rarely()]
        return found

    async def _pause(self) -> None:
        await asyncio.sleep(self.chance.uniform(0.2, 1.8) * self.counts.pause)

    # Appends

    async def _append(self, stream: str) -> None:
        number = 0
        while not self.over:
            with contextlib.suppress(*LOST):
                async with self.requests.client.ws_connect(
                    "/v1/ws", protocols=["hub.v1"]
                ) as socket_:
                    while not self.over:
                        number += 1
                        if not await self._appended(socket_, stream, number):
                            break
                        await self._pause()
            await self._pause()

    async def _appended(
        self, socket_: aiohttp.ClientWebSocketResponse, stream: str, number: int
    ) -> bool:
        self.sent[stream] = number
        event = {"type": "message", "role": "user", "text": f"{stream} {number}"}
        began = self.told.written[event["text"]] = time.monotonic()
        await socket_.send_json({"type": "append", "id": number, "stream": stream, "event": event})
        while True:
            try:
                reply = await socket_.receive(ANSWERED)
            except TimeoutError:
                self.told.violated("no answer", f"append to {stream} in {ANSWERED:g} s")
                return False
            if reply.type is not aiohttp.WSMsgType.TEXT:
                return False
            said = reply.json()
            if said["type"] == "ok":
                self.told.durations["append"].add(time.monotonic() - began)
                self.told.figures["appends acknowledged"] += 1
                self.acked[stream][number] = Position.parse(said["position"])
                return True
            if said["type"] == "error":
                self.told.refused(0, said["code"], f"append to {stream}")
                return True

    async def _produce(self, stream: str) -> None:
        def body(number: int) -> bytes:
            pair = [
                {"type": "message", "role": "user", "text": f"{stream} {number} {half}"}
                for half in "ab"
            ]
            return json.dumps(pair).encode()

        await self._numbered(stream, "application/json", body)

    async def _type(self, stream: str) -> None:
        of = "text/plain" if stream.endswith("0") else "application/octet-stream"
        await self._numbered(stream, of, lambda number: _line(stream, number))

    async def _numbered(self, stream: str, content_type: str, body: Any) -> None:
        number = 0
        kind = {"Content-Type": content_type}
        path = f"/v1/stream/{stream}"
        while not self.over:
            self.sent[stream] = number + 1
            stamp = {"Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": str(number)}
            reply = await self.requests.ask(
                "POST", path, body(number), {**kind, **stamp}, measure="append"
            )
            if reply is None:
                pass
            elif reply.status == 404:
                if self.acked[stream]:
                    self.told.violated("P3 lost", f"{stream} is 404, it had {number} appends")
                await self.requests.ask("PUT", path, headers=kind)
            elif reply.status in (200, 204):
                self.told.figures["appends acknowledged"] += 1
                self.acked[stream][number] = Position.parse(reply.headers["Stream-Next-Offset"])
                # Sometimes as if the answer had been lost: then it comes once more.
                number += self.chance.random() < 0.9
            elif reply.status < 500:
                self.told.violated("P8 producer", f"{stream} {number}: {reply.status} {reply.code}")
            await self._pause()

    # Conversations

    async def _ask(self, stream: str) -> None:
        number = 0
        while not self.over:
            prompt, upstream, wanted = self._prompt(f"{stream}-{number}")
            self.asked[prompt] = stream
            begun = await self.begin(stream, prompt, upstream, wanted)
            if begun is None:
                await self._pause()
                continue
            number += 1
            if self.chance.random() < 0.2:  # as if the answer had been lost
                await self.begin(stream, prompt, upstream, wanted)
            slow = prompt.split()[0] in ("long", "stall")
            if slow or self.chance.random() < 0.15:
                await asyncio.sleep(self.chance.uniform(0.0, 2.0 if slow else 0.5))
                await self._cancel(begun, prompt)
            else:
                await asyncio.sleep(self.chance.uniform(0.0, 1.5))

    def _prompt(self, key: str) -> tuple[str, str, str | None]:
        if self.chance.random() < 0.5:
            mode, count = self.chance.choice(MODES), self.chance.randrange(2, 60)
            return f"{mode} {count} {key}", "mock", words(count)
        word = self.chance.choice(DEMO)
        return f"{word} {key} ünd 流", "demo", f"{key} ünd 流" if word == "echo" else None

    async def begin(
        self, stream: str, prompt: str, upstream: str, wanted: str | None
    ) -> str | None:
        """Ask once; the generation's id, if it was begun now or before."""
        asked = {"stream": stream, "prompt": prompt, "upstream": upstream}
        reply = await self.requests.json(
            "POST", "/v1/generations", asked, headers={"Idempotency-Key": prompt}, measure="prompt"
        )
        if reply is None or reply.status >= 500:
            return None
        if reply.status != 201:
            expected = (409, 410) if stream in self.hidden else (409,)
            if reply.status not in expected:
                self.told.violated("P8 prompt", f"{prompt}: {reply.status} {reply.body!r}")
            return None
        generation = str(json.loads(reply.body)["id"])
        before = self.begun.setdefault(prompt, generation)
        if before != generation:
            said = f"{prompt}: begun twice, as {before} and {generation}"
            self.told.violated("P8 begun twice", said)
        if generation not in self.generations:
            self.told.figures["generations begun"] += 1
            self.generations[generation] = Asked(stream, prompt, wanted)
        return generation

    async def _cancel(self, generation: str, prompt: str) -> None:
        began, deaths = time.monotonic(), self.requests.deaths
        reading = prompt in self.mock.answering
        reply = await self.requests.ask("DELETE", f"/v1/generations/{generation}")
        if reply is None or reply.status != 200:
            if reply is not None and reply.status not in (404, 503, 507):
                self.told.violated("cancel", f"{generation}: {reply.status} {reply.code}")
            return
        state = json.loads(reply.body)["state"]
        if state not in ("cancelled", "finished", "failed", "interrupted"):
            self.told.violated("P9 cancel", f"{generation} is {state} after its cancel")
        while prompt in self.mock.answering and time.monotonic() - began < ANSWERED / 2:  # noqa: ASYNC110 - nobody tells
            await asyncio.sleep(0.01)
        took = time.monotonic() - began
        if reading and self.requests.deaths == deaths:
            self.told.durations["cancel until the upstream is left"].add(took)
            if took > LATE:
                said = f"the upstream of {generation} is read for {took:.1f} s after its cancel"
                self.told.violated("P9 cancel", said)

    # Forks

    async def _fork(self) -> None:
        number = 0
        while not self.over and number < self.counts.forks:
            await asyncio.sleep(self.chance.uniform(1.0, 5.0) * self.counts.pause)
            source = self.chance.choice([*self.names("c"), *self.forks])
            headers = {"Stream-Forked-From": f"/v1/stream/{source}"}
            at = await self._somewhere(source)
            if at is not None:
                headers["Stream-Fork-Offset"] = str(at)
            name = f"{self.prefix}f{number}"
            reply = await self.requests.ask("PUT", f"/v1/stream/{name}", headers=headers)
            if reply is None or reply.status not in (200, 201):
                # The source is not there yet, or was deleted, or a crash took the position.
                self._expect(reply, (400, 404, 409), f"fork of {source}")
                continue
            number += 1
            self.told.figures["forks"] += 1
            self.forks[name] = (source, at)
            if self.chance.random() < 0.4:
                key = f"steady 20 {name}"
                self.asked[key] = name
                await self.begin(name, key, "mock", words(20))
            if source in self.forks and self.chance.random() < 0.3:
                await self.delete(source)

    async def _somewhere(self, source: str) -> Position | None:
        """A position of a stream, or none for its tail."""
        if self.chance.random() < 0.5:
            return None
        reply = await self.requests.ask("HEAD", f"/v1/stream/{source}")
        if reply is None or reply.status != 200:
            return None
        return Position.parse(reply.headers["Stream-Next-Offset"])

    async def delete(self, stream: str) -> None:
        """Remove a stream for good, whatever it takes."""
        while True:
            reply = await self.requests.ask("DELETE", f"/v1/stream/{stream}", measure="delete")
            self._expect(reply, (204, 404, 410), f"DELETE of {stream}")
            if reply is not None and reply.status in (204, 404, 410):
                self.hidden.add(stream)
                self.told.figures["deletions"] += 1
                return
            await self._pause()

    async def _chain(self) -> None:
        """Forks of forks, ever deeper; then what they all began with is deleted."""
        names = [f"{self.prefix}q{n}" for n in range(self.counts.chain)]
        message = [{"type": "message", "role": "user", "text": names[0]}]
        made = 0
        while made < len(names):
            headers = {"Stream-Forked-From": f"/v1/stream/{names[made - 1]}"} if made else {}
            reply = await self.requests.json(
                "PUT", f"/v1/stream/{names[made]}", message, headers=headers
            )
            self._expect(reply, (200, 201), f"PUT of {names[made]}")
            if reply is not None and reply.status in (200, 201):
                self.told.figures["forks"] += made > 0
                made += 1
            if self.over:
                await asyncio.sleep(0)
            else:
                await self._pause()
        for name in names[:-1]:
            await self.delete(name)
        # All are held by the last one, which has a message of each.
        events = await self.requests.events(names[-1])
        if events is None or len(events) != len(names):
            self.told.violated("forks", f"{names[-1]} holds {events}")
        await self.delete(names[-1])

    # Streams that are used rarely

    async def _rarely(self) -> None:
        while not self.over:
            name = f"{self.prefix}n{self.chance.randrange(self.counts.cold)}"
            said = self.cold.setdefault(name, [])
            text = f"{name} {len(said)} {self.chance.random()}"
            message = {"type": "message", "role": "user", "text": text}
            reply = await self.requests.json("POST", f"/v1/stream/{name}", [message])
            if reply is not None and reply.status == 404:
                if said:
                    self.told.violated("P3 lost", f"{name} is 404, it had {len(said)} appends")
                reply = await self.requests.json("PUT", f"/v1/stream/{name}", [message])
            if reply is not None and reply.status in (200, 201, 204):
                self.told.figures["appends acknowledged"] += 1
                said.append(text)
            await asyncio.sleep(self.chance.uniform(0.0, 0.5) * self.counts.pause)

    def _expect(self, reply: Reply | None, statuses: tuple[int, ...], what: str) -> None:
        if reply is not None and reply.status < 500 and reply.status not in (*statuses, 429):
            self.told.violated("status", f"{what}: {reply.status} {reply.code}")


def _line(stream: str, number: int) -> bytes:
    return f"{stream} {number} – 流 🌊\n".encode()
