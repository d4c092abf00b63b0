"""What a hub promises when things go wrong, with the wrong thing really done to it.

A hub in a process of its own is killed, its disk filled up, its file damaged. The long form
of the storm is ``make soak``.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import re
import shutil
import signal
import subprocess
from collections.abc import AsyncIterator, Iterator
from pathlib import Path
from typing import Any, Literal, Self

import aiohttp
import pytest

from tests.faults.storm import Plan, Storm
from tests.support.forked import Forked
from tests.support.patience import PATIENCE
from tests.support.ports import Port
from tests.support.processes import COMMAND, environ

LOST = (aiohttp.ClientError, OSError, asyncio.TimeoutError)


class Server:
    """``streamhub serve`` on a file, and a client that outlives it."""

    def __init__(self, folder: Path, *, before: tuple[str, ...] = (), **more: str) -> None:
        self._before = before
        self._config = folder / "config.toml"
        self.database = folder / "data" / "hub.db"
        self._held = Port()
        self._port = self._held.number
        self._environ = environ(
            STREAMHUB_STORE__URL=f"sqlite:{self.database}",
            STREAMHUB_SERVER__PORT=str(self._port),
            STREAMHUB_SERVER__DRAIN_SECONDS="0",
            **more,
        )
        self._config.write_text('[upstreams.demo]\ndialect = "demo"\noptions = { pace = 30 }\n')
        self._said = folder / "said"
        self.process: Forked | subprocess.Popen[bytes] | None = None
        self.client: aiohttp.ClientSession

    async def __aenter__(self) -> Self:
        self.client = aiohttp.ClientSession(f"http://127.0.0.1:{self._port}")
        await self.start()
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.client.close()
        self.kill()
        self._held.release()

    async def start(self) -> None:
        with self._said.open("wb") as said:
            self.process = self._run(said.fileno())
        await self.until_ready()

    def _run(self, said: int) -> Forked | subprocess.Popen[bytes]:
        command = ["serve", "--config", str(self._config)]
        if self._before:
            return subprocess.Popen(
                [*self._before, *COMMAND, *command],
                env=self._environ,
                stdout=subprocess.PIPE,
                stderr=subprocess.STDOUT,
            )
        return Forked("hub.cli:main", *command, output=said, errors=said, env=self._environ)

    async def until_ready(self) -> None:
        assert self.process is not None
        async with asyncio.timeout(PATIENCE):
            while await self.ready() != 200:
                assert self.process.poll() is None, self._said.read_text()
                await asyncio.sleep(0.02)

    def kill(self, how: signal.Signals = signal.SIGKILL) -> str:
        """End it; what it said."""
        if self.process is None:
            return ""
        self.process.send_signal(how)
        ended, self.process = self.process, None
        if isinstance(ended, Forked):
            ended.wait()
            return self._said.read_text()
        said, _ = ended.communicate(timeout=PATIENCE)
        return said.decode()

    def refused(self) -> str:
        """Another one on the same file is started and must not run; what it says."""
        other = {
            **self._environ,
            "STREAMHUB_SERVER__PORT": "0",
            "STREAMHUB_STORE__LOCK_SECONDS": "0",
        }
        command = [*COMMAND, "serve", "--config", str(self._config)]
        done = subprocess.run(command, env=other, capture_output=True, timeout=PATIENCE)
        assert done.returncode == 1
        assert not done.stdout
        return done.stderr.decode()

    async def ready(self) -> int:
        try:
            async with self.client.get("/readyz") as reply:
                return reply.status
        except LOST:
            return 0

    async def append(self, stream: str, text: str) -> dict[str, Any]:
        async with self.client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket_:
            event = {"type": "message", "role": "user", "text": text}
            await socket_.send_json({"type": "append", "id": 1, "stream": stream, "event": event})
            return dict(await socket_.receive_json(timeout=PATIENCE))

    async def events(self, stream: str) -> list[Any]:
        async with self.client.get(f"/v1/stream/{stream}", params={"offset": "-1"}) as reply:
            assert reply.status in (200, 404)
            return list(await reply.json()) if reply.status == 200 else []

    async def texts(self, stream: str) -> list[str]:
        return [event["text"] for event in await self.events(stream) if "text" in event]

    async def lost(self, path: str, body: bytes, headers: dict[str, str], stream: str) -> None:
        """A request that has its effect, and whose reply nobody reads."""
        _, writer = await asyncio.open_connection("127.0.0.1", self._port)
        head = [f"POST {path} HTTP/1.1", "Host: localhost", f"Content-Length: {len(body)}"]
        head += [f"{name}: {value}" for name, value in headers.items()]
        try:
            writer.write("\r\n".join([*head, "", ""]).encode() + body)
            await writer.drain()
            async with asyncio.timeout(PATIENCE):
                while not await self.events(stream):  # noqa: ASYNC110 - nobody tells
                    await asyncio.sleep(0.005)
        finally:
            writer.transport.abort()


@pytest.fixture
async def server(tmp_path: Path) -> AsyncIterator[Server]:
    async with Server(tmp_path) as running:
        yield running


# kill -9


@pytest.mark.parametrize(("seed", "deliver"), [(20, "at_once"), (21, "committed")])
async def test_a_hub_that_is_killed_again_and_again_keeps_its_word(
    tmp_path: Path, seed: int, deliver: Literal["at_once", "committed"]
) -> None:
    """P1, P3, P4, P5, P8; see `tests.faults.storm`. Other seeds are for ``make soak``."""
    storm = Storm(Plan(seed, 10, deliver, longest=0.5), tmp_path)
    await storm.run()
    assert storm.generations, "nothing was generated"
    assert len(storm.told.acked) == 5, "nothing was acknowledged"


async def test_a_chat_that_was_killed_goes_on_where_its_reader_was(server: Server) -> None:
    """Its history is there and the reply is interrupted, for one who was connected throughout."""
    said = {"prompt": "long", "stream": "chat"}
    async with server.client.post("/v1/generations", json=said) as reply:
        assert reply.status == 201
        generation = (await reply.json())["id"]
    events: list[Any] = []
    place, kills = "start", 0
    async with asyncio.timeout(PATIENCE):
        while not events or events[-1]["type"] != "interrupted":
            with contextlib.suppress(*LOST):
                async with server.client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket_:
                    await socket_.send_json({"type": "subscribe", "stream": "chat", "from": place})
                    async for message in socket_:
                        frame = message.json()
                        if frame["type"] == "reset":
                            events, place = [], "start"
                            break
                        if frame["type"] == "events":
                            events += frame["events"]
                            place = frame["position"]
                        if events and events[-1]["type"] == "interrupted":
                            break
                        if not kills and len(events) > 10:
                            kills += 1
                            server.kill()
                            await server.start()
            await asyncio.sleep(0.01)
    assert events[0]["text"] == "long"
    assert {event["generation"] for event in events[1:]} == {generation}
    kinds = [event["type"] for event in events]
    assert kinds[1] == "started"
    assert set(kinds[2:-1]) == {"delta"}
    assert kinds.count("interrupted") == 1
    there = await server.events("chat")
    assert [e["type"] for e in there].count("interrupted") == 1
    assert _spoken(there) == _spoken(events)


def _spoken(events: list[Any]) -> str:
    return "".join(event.get("text", "") for event in events)


async def test_a_prompt_retried_after_a_kill_has_one_effect(server: Server) -> None:
    asked = {"prompt": "stall", "stream": "chat"}
    headers = {"Idempotency-Key": "the key"}
    ids = []
    for _ in range(3):
        async with server.client.post("/v1/generations", json=asked, headers=headers) as reply:
            assert reply.status == 201
            ids.append((await reply.json())["id"])
        server.kill()
        await server.start()
    assert len(set(ids)) == 1
    async with server.client.post("/v1/generations", json=asked, headers=headers) as reply:
        told = await reply.json()
    assert (told["id"], told["state"], told["stream"]) == (ids[0], "interrupted", "chat")
    other = {"prompt": "Other", "stream": "chat"}
    async with server.client.post("/v1/generations", json=other, headers=headers) as reply:
        assert (await reply.json())["error"]["code"] == "key_reused"
    events = await server.events("chat")
    assert [e["type"] for e in events].count("message") == 1


async def test_a_request_whose_reply_was_lost_is_retried_with_one_effect(server: Server) -> None:
    """P8, over an append with a producer's number and over a prompt with a key."""
    json_type = {"Content-Type": "application/json"}
    async with server.client.put("/v1/stream/s", headers=json_type) as reply:
        assert reply.status == 201
    append = b'[{"type":"message","role":"user","text":"once"}]'
    numbered = {**json_type, "Producer-Id": "p", "Producer-Epoch": "0", "Producer-Seq": "0"}
    prompt = b'{"prompt":"Once","stream":"chat"}'
    keyed = {**json_type, "Idempotency-Key": "k"}
    for path, body, headers, stream in [
        ("/v1/stream/s", append, numbered, "s"),
        ("/v1/generations", prompt, keyed, "chat"),
    ]:
        await server.lost(path, body, headers, stream)
        statuses = []
        for _ in range(2):
            async with server.client.post(path, data=body, headers=headers) as reply:
                statuses.append((reply.status, (await reply.text())[:60]))
        assert statuses[0] == statuses[1]
        assert statuses[0][0] == (204 if stream == "s" else 201)
    assert await server.texts("s") == ["once"]
    assert (await server.texts("chat")).count("Once") == 1


# A full disk


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A disk of 2 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(folder)], capture_output=True
    )
    if mounted.returncode:
        pytest.skip("no small disk can be mounted here: that needs root")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_full_disk_loses_nothing_and_work_goes_on_when_there_is_room(
    small_disk: Path,
) -> None:
    """P11."""
    (small_disk / "data").mkdir()
    ballast = small_disk / "ballast"
    ballast.write_bytes(bytes(1_000_000))
    async with Server(small_disk) as server:
        acked: list[str] = []
        refusal: dict[str, Any] = {}
        async with asyncio.timeout(PATIENCE * 2):
            while not refusal:
                text = f"{len(acked)} {'x' * 50_000}"
                told = await server.append("s", text)
                if told["type"] == "ok":
                    acked.append(text)
                else:
                    refusal = told
        assert acked
        assert refusal["code"] == "store_full"
        assert "full" in refusal["message"]
        async with server.client.get("/readyz") as reply:
            assert reply.status == 503
            assert "full: free some space" in await reply.text()
        told = await server.append("other", "text")
        assert told["code"] == "store_full"
        assert (await server.texts("s"))[: len(acked)] == acked, "reading goes on"
        ballast.unlink()
        await server.until_ready()
        told = await server.append("s", "again")
        assert told["type"] == "ok"
        before = await server.texts("s")
        server.kill()
        await server.start()
        after = await server.texts("s")
    assert after == before, "also what was refused as not known to be kept, once it is seen"
    assert after[: len(acked)] == acked
    assert after[-1] == "again"
    assert len(after) <= len(acked) + 2


# Files


async def test_a_second_process_is_refused(server: Server) -> None:
    said = server.refused()
    assert server.process is not None
    assert said.splitlines()[-1].startswith("error: ")
    assert len([line for line in said.splitlines() if line.startswith("error: ")]) == 1
    assert "Traceback" not in said
    assert f"process {server.process.pid}" in said
    assert said.rstrip().endswith("(store_locked)")
    assert (await server.append("s", "still here"))["type"] == "ok"
    server.kill()
    await server.start()  # the lock goes with the process, however that ends


@pytest.mark.parametrize("where", ["header", "middle"])
async def test_a_damaged_file_is_refused_with_the_way_out(server: Server, where: str) -> None:
    for number in range(3):
        await server.append("s", f"{number} {'x' * 30_000}")
    server.kill(signal.SIGTERM)
    whole = bytearray(server.database.read_bytes())
    at = 0 if where == "header" else len(whole) // 2 // 4096 * 4096
    whole[at : at + 4096] = b"\xa5" * 4096
    server.database.write_bytes(whole)
    said = server.refused()
    assert "move the file away" in said
    assert said.rstrip().endswith("(store_corrupt)")
    assert "Traceback" not in said
    server.database.rename(f"{server.database}.damaged")
    await server.start()
    assert (await server.append("s", "anew"))["type"] == "ok"


async def test_a_clean_stop_keeps_positions(server: Server) -> None:
    """A restart that loses nothing sends nobody back, though each begins an epoch of its own."""
    told: dict[str, list[str]] = {}
    for text in ("one", "two", "three"):
        for read in told.values():
            read.append(text)
        position = (await server.append("s", text))["position"]
        assert all(position > earlier for earlier in told)
        told[position] = []
        server.kill(signal.SIGTERM)
        await server.start()
        async with server.client.head("/v1/stream/s") as reply:
            told[reply.headers["Stream-Next-Offset"]] = []
        for offset, read in told.items():
            async with server.client.get("/v1/stream/s", params={"offset": offset}) as reply:
                assert [event["text"] for event in await reply.json()] == read
            async with server.client.ws_connect("/v1/ws", protocols=["hub.v1"]) as socket_:
                await socket_.send_json({"type": "subscribe", "stream": "s", "from": offset})
                assert (await socket_.receive_json())["type"] == "ok"
                for one in read:
                    frame = await socket_.receive_json()
                    assert [event["text"] for event in frame["events"]] == [one]


# The sync before the acknowledgement


def _can_trace() -> bool:
    """There is an strace, and it may trace: a container may forbid it."""
    if shutil.which("strace") is None:
        return False
    return not subprocess.run(["strace", "-o", os.devnull, "true"], capture_output=True).returncode


@pytest.mark.skipif(not _can_trace(), reason="there is no strace here, or it may not trace")
async def test_what_is_acknowledged_was_synced_before(tmp_path: Path) -> None:
    """The WAL is synced after the request was read and before its answer is written."""
    trace = tmp_path / "trace"
    calls = "trace=fsync,fdatasync,write,sendto,sendmsg,pwrite64"
    # With -D the hub is the process that was started, and strace its grandchild.
    strace = ("strace", "-D", "-f", "-y", "-s", "400", "-e", calls, "-o", str(trace))
    async with Server(tmp_path, before=strace) as server:
        for number in range(5):
            told = await server.append("s", f"marked {number}")
            assert told["type"] == "ok"
        position = told["position"]
        server.kill(signal.SIGTERM)
    lines = trace.read_text(errors="replace").splitlines()
    answers = [at for at, line in enumerate(lines) if r"\"type\":\"ok\"" in line]
    assert len(answers) == 5, "the trace does not show the answers"
    assert position in lines[answers[-1]]
    for number, answer in enumerate(answers):
        before = lines[answers[number - 1] + 1 if number else 0 : answer]
        written = _last(before, r"pwrite64\(.*hub\.db-wal")
        synced = _last(before, r"f(data)?sync\(.*hub\.db-wal")
        assert written < synced, f"answer {number} came before its sync"


def _last(lines: list[str], pattern: str) -> int:
    found = [at for at, line in enumerate(lines) if re.search(pattern, line)]
    assert found, f"no {pattern}"
    return found[-1]
