"""Hubs on files that are copied, swapped and put back, and readers who come back to them all.

A reader does what it is told: it goes on from its position, or goes back to the one of a
`reset`. Whatever is done to the files, it then holds what the hub it asked holds, and nobody
is ever shown two contents for one position.
"""

from __future__ import annotations

import asyncio
import contextlib
import json
import shutil
import signal
from pathlib import Path
from typing import Any, Self

import aiohttp

from hub.domain.records import Position
from hub.stores.sqlite.lock import holder
from tests.support.forked import Forked
from tests.support.patience import patient
from tests.support.ports import Port

__all__ = ["Machine", "Reader", "compared", "over"]

PATIENCE = patient(30.0)
BESIDE = ("", "-wal", "-shm")


class Machine:
    """A folder with a store in it, and a hub on that store now and then."""

    def __init__(self, folder: Path) -> None:
        self.file = folder / "hub.db"
        self._port = Port()
        self.url = f"http://127.0.0.1:{self._port.number}"
        self._config = json.dumps(
            {
                "server": {"port": self._port.number, "drain_seconds": 0},
                "store": {"url": f"sqlite:{self.file}"},
            }
        )
        self._hub: Forked | None = None
        self._marks = 0

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.clear()
        self._port.release()

    def clear(self) -> None:
        """End the hub, and leave nothing of its store."""
        if self._hub is not None:
            self._hub.kill()
            self._hub.wait()
        for file in self.file.parent.glob(f"{self.file.name}*"):
            file.unlink()

    async def start(self) -> None:
        """Start a hub, and wait until it can be reached."""
        self._hub = Forked("tests.faults.mortal:serve_config", self._config, errors=2)
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession() as client:
            while True:
                with contextlib.suppress(aiohttp.ClientError, OSError):
                    async with client.get(f"{self.url}/readyz") as reply:
                        if reply.status == 200:
                            return
                await asyncio.sleep(0.01)

    async def stop(self, how: signal.Signals = signal.SIGTERM) -> None:
        """End it, and wait until it has let go of the file."""
        assert self._hub is not None
        self._hub.send_signal(how)
        await self._hub.ended()
        assert holder(self.file) is None

    async def write(self, *texts: str, stream: str = "s") -> None:
        """Append messages, and wait until they are safe."""
        async with asyncio.timeout(PATIENCE), aiohttp.ClientSession(self.url) as client:
            kind = {"Content-Type": "application/json"}
            async with client.put(f"/v1/stream/{stream}", headers=kind) as reply:
                assert reply.status in (200, 201)
            body = [{"type": "message", "role": "user", "text": text} for text in texts]
            async with client.post(f"/v1/stream/{stream}", json=body) as reply:
                assert reply.status in (200, 204), await reply.text()

    async def mark(self) -> str:
        """Append something that was never said before: whoever reads it has read everything."""
        self._marks += 1
        text = f"{self.url} {self._marks}"
        await self.write(text)
        return text


class Reader:
    """Whoever reads one stream, on whatever machine, from where it was."""

    at: dict[Position, str]
    """What anybody was shown at a position."""

    def __init__(self, at: dict[Position, str]) -> None:
        self.at = at
        self.texts: list[str] = []
        self.place: Position | None = None
        self.resets: list[Position] = []

    def copy(self) -> Reader:
        """Another one that has read the same, in another tab."""
        other = Reader(self.at)
        other.texts = list(self.texts)
        other.place = self.place
        return other

    async def read(self, machine: Machine, until: str) -> None:
        """Read on, to a message."""
        async with (
            asyncio.timeout(PATIENCE),
            aiohttp.ClientSession(machine.url) as client,
            client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket,
        ):
            start = "start" if self.place is None else str(self.place)
            await socket.send_json({"type": "subscribe", "id": 1, "stream": "s", "from": start})
            while not self.texts or self.texts[-1] != until:
                self._take(await socket.receive_json())

    def _take(self, frame: dict[str, Any]) -> None:
        kind = frame["type"]
        assert kind in ("ok", "reset", "events"), frame
        if kind == "reset":
            told = Position.parse(frame["position"])
            self.resets.append(told)
            del self.texts[told.offset :]
            self.place = told
        elif kind == "events":
            end = Position.parse(frame["position"])
            texts = [event["text"] for event in frame["events"]]
            assert end.offset - len(texts) == len(self.texts), "a hole"
            for text in texts:
                at = Position(end.epoch, len(self.texts))
                assert self.at.setdefault(at, text) == text, f"{at} has two contents"
                self.texts.append(text)
            self.place = end


async def compared(machine: Machine, *readers: Reader) -> list[int]:
    """Have all read on to the end and compare with one who reads all; the resets of each."""
    until = await machine.mark()
    fresh = Reader(readers[0].at)
    await fresh.read(machine, until)
    before = [len(reader.resets) for reader in readers]
    for reader in readers:
        await reader.read(machine, until)
        assert reader.texts == fresh.texts
    return [len(reader.resets) - had for reader, had in zip(readers, before, strict=True)]


def over(source: Path, target: Path) -> None:
    """As ``cp`` does it, the files beside it as well: those of the target are overwritten."""
    for ending in BESIDE:
        there, here = Path(f"{target}{ending}"), Path(f"{source}{ending}")
        if here.exists():
            shutil.copyfile(here, there)
        else:
            there.unlink(missing_ok=True)
