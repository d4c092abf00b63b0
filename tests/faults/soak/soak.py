"""A soak: rounds of everything at once, and after each a look at whether every promise held.

A round has writers (`load`), races (`races`), readers (`followers`), and trouble: the hub is
killed, told to stop, halted for a moment, its disk is slow or full. Then the writers end, the
hub dies once more or not, and what every reader has is compared with what is there. A few
streams last from the first round to the last.
"""

from __future__ import annotations

import asyncio
import contextlib
import os
import shutil
import signal
import tempfile
import time
from collections.abc import AsyncIterator, Iterable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from random import Random
from typing import Any, Final, Literal

from tests.faults import checks
from tests.faults.mortal import Mortal
from tests.faults.soak.disk import Disk, can_trace, slow
from tests.faults.soak.followers import Follower, Temper, follower
from tests.faults.soak.load import Counts, Load
from tests.faults.soak.mock import Mock
from tests.faults.soak.races import Races
from tests.faults.soak.told import Told
from tests.faults.soak.watch import Watch
from tests.faults.soak.wire import Requests
from tests.support.patience import PATIENCE

__all__ = ["Plan", "Soak"]

Trouble = Literal["kill", "stop", "halt", "slow", "full"]

TRANSPORTS: Final = {
    "websocket": 5,
    "sse": 3,
    "ndjson": 2,
    "json": 1,
    "text": 1,
    "client": 2,
    "durable": 1,
    "durable long-poll": 2,
    "durable sse": 3,
}
"""How many of twenty readers of a stream of events use each."""

ON_BYTES: Final = ("bytes", "bytes long-poll", "bytes sse")

TEMPERS: Final[tuple[Temper, ...]] = ("steady",) * 8 + ("fickle",) * 7 + ("slow",) * 4 + ("asleep",)

LASTING: Final = Counts(w=1, p=1, t=1, c=1, forks=0, chain=0, cold=0, pause=1.0)
"""The streams that last for all rounds; `LAST` begins their names."""

LAST: Final = "l"

RACES: Final = 5
"""Names that are raced for at one time."""


@dataclass(frozen=True)
class Plan:
    seed: int
    seconds: float = 3600.0
    round_seconds: float = 60.0
    readers: int = 200
    counts: Counts = field(default_factory=Counts)
    between: float = 6.0
    """Seconds between two troubles, about."""
    troubles: tuple[Trouble, ...] = ("kill",) * 12 + ("stop",) * 3 + ("halt",) * 3 + (
        "slow",
        "slow",
        "full",
    )  # fmt: skip
    calm: int = 5
    """In each round of this number nobody is killed, so that processes grow old."""
    rss: float = 300.0
    """MB that the hub may hold."""


@dataclass
class Round:
    """One round: its writers, races and readers."""

    load: Load
    races: Races | None
    followers: list[Follower]

    def begin(self) -> list[asyncio.Task[None]]:
        """Have everybody write."""
        work = [*self.load.tasks(), *(self.races.tasks() if self.races else ())]
        return [asyncio.ensure_future(one) for one in work]

    def end(self) -> None:
        """Have everybody come to an end."""
        self.load.over = True
        if self.races is not None:
            self.races.over = True


class Soak:
    """One run of a plan; `report` is what came of it."""

    def __init__(self, plan: Plan, folder: Path) -> None:
        self.plan = plan
        self.told = Told()
        self.kept: Path | None = None
        """Where log and database are, if anything was violated."""
        self.rounds = 0
        self._folder = folder
        self._disk = Disk(folder / "disk")
        self._log = folder / "hub.log"
        self._chance = Random(f"soak {plan.seed}")  # noqa: S311 - so that it can be repeated
        self._traces = can_trace()
        self._began = time.monotonic()
        self._readiness = 0.0
        self._watch: Watch
        self._hub: Mortal
        self._requests: Requests
        self._mock: Mock

    @property
    def clean(self) -> bool:
        return not self.told.wrongs

    async def run(self) -> None:
        """All of it; what is violated stands in `told`."""
        plan = self.plan
        self._log.touch()
        async with self._everything():
            lasting = self._lasting()
            reading = self._read(lasting)
            writing = lasting.begin()
            until = time.monotonic() + plan.seconds
            while time.monotonic() < until:
                self.rounds += 1
                self.told.where = f"round {self.rounds}"
                await self._round(min(plan.round_seconds, max(2.0, until - time.monotonic())))
                self._keep_if_wrong()
            self.told.where = "end"
            lasting.end()
            await self._all(writing)
            await self._compare(lasting)
            await _cancelled(reading)

    @contextlib.asynccontextmanager
    async def _everything(self) -> AsyncIterator[None]:
        async with contextlib.AsyncExitStack() as stack:
            stack.enter_context(self._disk.mounted())
            self._mock = await stack.enter_async_context(Mock())
            config = _config(self._disk.folder / "hub.db", self._mock.url)
            self._hub = await stack.enter_async_context(Mortal(config, log=self._log))
            self._requests = await stack.enter_async_context(Requests(self._hub, self.told))
            files = self.plan.readers * 2 + 150
            self._watch = Watch(self._hub, self.told, self._log, self.plan.rss, files)
            watching = asyncio.create_task(self._watch.run())
            try:
                yield
            finally:
                await _cancelled([watching])
                self._watch.read_log()
                self._keep_if_wrong()

    # Rounds

    async def _round(self, seconds: float) -> None:
        one = self._make()
        reading = self._read(one)
        writing = one.begin()
        try:
            await self._troubled(seconds)
            one.end()
            await self._all(writing)
            await self._compare(one)
        finally:
            await _cancelled([*reading, *writing])
        await self._tidy(one)
        self._watch.read_log()

    def _make(self) -> Round:
        plan = self.plan
        load = self._load(f"r{self.rounds}", plan.counts)
        raced = [f"r{self.rounds}x{n}" for n in range(RACES)]
        races = Races(raced, self.told, self._requests, self._chance, 4 * plan.counts.pause)
        followed = [
            *load.names("c") * 4,
            *load.names("w"),
            *load.names("p"),
            *(f"r{self.rounds}f{n}" for n in range(0, plan.counts.forks, 4)),
            *raced,
        ]
        count = plan.readers * 9 // 10
        typed = [kind for kind, share in TRANSPORTS.items() for _ in range(share)]
        made = [self._follower(typed[n % len(typed)], followed[n % len(followed)], n)
                for n in range(count)]  # fmt: skip
        on_bytes = load.names("t") if plan.counts.t else []
        made += [
            self._follower(ON_BYTES[n % 3], on_bytes[n % len(on_bytes)], n)
            for n in range((plan.readers - count) // 2)
        ]
        return Round(load, races, made)

    def _lasting(self) -> Round:
        load = self._load(LAST, LASTING)
        kinds = [*TRANSPORTS][: max(1, self.plan.readers // 20)]
        made = [
            self._follower(kind, load.names("wpc"[n % 3])[0], n) for n, kind in enumerate(kinds)
        ]
        return Round(load, None, made)

    def _load(self, prefix: str, counts: Counts) -> Load:
        chance = Random(f"{self.plan.seed} {prefix}")  # noqa: S311 - so that it can be repeated
        return Load(prefix, counts, self.told, self._requests, self._mock, chance)

    def _follower(self, kind: str, stream: str, number: int) -> Follower:
        temper = TEMPERS[number * 7 % len(TEMPERS)]
        chance = Random(f"{self.plan.seed} {stream} {number}")  # noqa: S311 - the same
        return follower(kind, self._hub, stream, self.told, temper, chance)

    def _read(self, one: Round) -> list[asyncio.Task[None]]:
        return [asyncio.create_task(self._following(each)) for each in one.followers]

    async def _following(self, one: Follower) -> None:
        try:
            await one.run()
        except Exception as error:
            self.told.violated("the soak itself", f"{one}: {error!r}")
            raise

    # Trouble

    async def _troubled(self, seconds: float) -> None:
        """Trouble, now and then, for so long."""
        until = time.monotonic() + seconds
        calm = self.rounds % self.plan.calm == 0
        while (left := until - time.monotonic()) > 0:
            pause = self._chance.uniform(0.1, 2 * self.plan.between)
            await asyncio.sleep(min(pause, left))
            if pause < left:
                await self._trouble(self._chance.choice(self.plan.troubles), calm=calm)

    async def _trouble(self, trouble: Trouble, *, calm: bool) -> None:
        if trouble == "kill" and not calm:
            await self._die(signal.SIGKILL)
        elif trouble == "stop" and not calm:
            await self._die(signal.SIGTERM)
        elif trouble == "halt":
            self.told.figures["halts"] += 1
            os.kill(self._hub.pid, signal.SIGSTOP)
            await asyncio.sleep(self._chance.uniform(0.2, 2.0))
            os.kill(self._hub.pid, signal.SIGCONT)
            await self._back()
        elif trouble == "slow" and self._traces:
            self.told.figures["slow disks"] += 1
            async with slow(self._hub.pid, self._chance.uniform(0.02, 0.4)):
                await asyncio.sleep(self._chance.uniform(1.0, 5.0))
                if not calm:
                    await self._die(signal.SIGKILL)
            await self._back()
        elif trouble == "full" and self._disk.own:
            self.told.figures["full disks"] += 1
            self.told.fill()
            self._disk.fill()
            await asyncio.sleep(self._chance.uniform(1.0, 4.0))
            self._disk.empty()
            await self._back()
            self.told.empty()

    async def _die(self, how: signal.Signals) -> None:
        """End the hub, and begin the next one."""
        self.told.figures[f"{how.name}"] += 1
        self.told.leaving = how == signal.SIGTERM
        self._watch.look()
        before = await self._place() if self.told.leaving else None
        os.kill(self._hub.pid, how)
        pid = self._hub.pid
        began = time.monotonic()
        ended = await self._hub.again()
        self._watch.died()
        self.told.leaving = False
        self.told.durations[f"restart after {how.name}"].add(time.monotonic() - began)
        if ended != (0 if how == signal.SIGTERM else -signal.SIGKILL):
            self.told.violated("exit", f"process {pid} ended with {ended} on {how.name}")
        if before is not None:
            reply = await self._requests.ask("GET", f"/v1/stream/{LAST}w0?offset={before}")
            if reply is not None and reply.status == 410:
                self.told.violated("P12 drain", f"process {pid} was drained, and lost {before}")

    async def _place(self) -> str | None:
        """The position of a reader at the tail of a stream that lasts; a drain loses none."""
        reply = await self._requests.ask("HEAD", f"/v1/stream/{LAST}w0")
        return None if reply is None else reply.headers.get("Stream-Next-Offset")

    async def _back(self) -> None:
        """Wait until it is ready again."""
        self._readiness = max(self._readiness, await self._hub.ready())

    # Comparing

    async def _compare(self, one: Round) -> None:
        """Let everything come to rest, and see whether it is as everybody was told."""
        await self._ended(one)
        how = self._chance.choice([None, signal.SIGKILL, signal.SIGTERM])
        if how is not None:
            await self._die(how)
        for each in one.followers:
            each.calm = True
        truth = await self._truth(one)
        await self._agree(one, truth)
        for what in self._wrongs(one.load, truth):
            self.told.violated(*what)

    async def _ended(self, one: Round) -> None:
        """Wait until each generation has ended, in every stream that is still there."""
        until = time.monotonic() + PATIENCE / 4
        load = one.load
        streams = {asked.stream for asked in load.generations.values()} | set(load.forks)
        raced = set() if one.races is None else set(one.races.names)
        for stream in sorted((streams | raced) - load.hidden):
            while True:
                events = await self._requests.events(stream) or []
                running = [*checks.endless(stream, events)]
                if not running:
                    break
                if time.monotonic() > until:
                    break  # it is found wrong below
                await asyncio.sleep(0.2)

    async def _truth(self, one: Round) -> dict[str, list[Any]]:
        """What is there: events, or bytes."""
        load = one.load
        raced = [] if one.races is None else one.races.names
        followed = {each.stream for each in one.followers}
        names = sorted({*load.written, *load.forks, *load.cold, *raced, *followed} - load.hidden)
        found = {}
        for name in names:
            bytes_ = name in load.names("t")
            held = await (self._requests.records(name) if bytes_ else self._requests.events(name))
            if held is not None:
                found[name] = held
        return found

    async def _agree(self, one: Round, truth: dict[str, list[Any]]) -> None:
        """Each reader of a stream that is there comes to have what it holds."""
        until = time.monotonic() + PATIENCE
        left = [each for each in one.followers if each.stream in truth]
        self.told.figures["readers compared"] += len(left)
        while left and time.monotonic() < until:
            left = [each for each in left if each.wrong(truth[each.stream])]
            await asyncio.sleep(0.1)
        for each in left:
            self.told.violated("P1 not the same", f"{each}: {each.wrong(truth[each.stream])}")

    def _wrongs(self, load: Load, truth: dict[str, list[Any]]) -> Iterator[tuple[str, str]]:
        for name in load.written:
            if name not in truth and load.acked[name]:
                yield "P3 lost", f"{name} is not there, it had {len(load.acked[name])} appends"
        for kind, what in (
            ("P3 lost or doubled", self._of_writers(load, truth)),
            ("P5 no end", self._of_generations(load, truth)),
            ("P8 one effect", self._of_prompts(load, truth)),
            ("text", self._of_texts(load, truth)),
            ("forks", self._of_forks(load, truth)),
        ):
            yield from ((kind, said) for said in what)

    def _of_prompts(self, load: Load, truth: dict[str, list[Any]]) -> Iterator[str]:
        for name in load.names("c"):
            keys = [key for key, stream in load.asked.items() if stream == name]
            yield from checks.not_once(truth.get(name, []), keys, load.begun)

    def _of_writers(self, load: Load, truth: dict[str, list[Any]]) -> Iterator[str]:
        for name in load.names("w"):
            yield from checks.lost(name, truth.get(name, []), load.acked[name])
        for name in load.names("p"):
            texts = [event["text"] for event in truth.get(name, [])]
            yield from checks.torn(name, texts, len(load.acked[name]), load.sent[name])
        for name in load.names("t"):
            lines = b"".join(truth.get(name, [])).decode().splitlines()
            numbers = [int(line.split()[1]) for line in lines]
            if numbers != [*range(len(numbers))] or len(numbers) < len(load.acked[name]):
                yield f"{name}: lost, doubled or torn: {numbers}"
        for name, texts in load.cold.items():
            there = [event["text"] for event in truth.get(name, [])]
            if [text for text in there if text in texts] != texts:
                yield f"{name}: {texts} were acknowledged, {there} are there"

    def _of_generations(self, load: Load, truth: dict[str, list[Any]]) -> Iterator[str]:
        for name, events in truth.items():
            if name not in load.names("t"):
                yield from checks.endless(name, events)
        for generation, asked in load.generations.items():
            said = checks.said(truth.get(asked.stream, []))
            if asked.stream not in load.hidden and generation not in said:
                yield f"{generation} was begun in {asked.stream} and is not there"

    def _of_texts(self, load: Load, truth: dict[str, list[Any]]) -> Iterator[str]:
        for name in load.names("c"):
            for generation, own in checks.said(truth.get(name, [])).items():
                self.told.figures[f"generations {own[-1]['type']}"] += 1
                asked = load.generations.get(generation)
                text = "".join(e.get("text", "") for e in own if e["type"] == "delta")
                if asked is None or asked.wanted is None:
                    continue
                whole = own[-1]["type"] == "finished"
                if not asked.wanted.startswith(text) or (whole and text != asked.wanted):
                    yield f"{asked.key}: {own[-1]['type']} with {text!r}, not {asked.wanted!r}"

    def _of_forks(self, load: Load, truth: dict[str, list[Any]]) -> Iterator[str]:
        for name, (source, at) in load.forks.items():
            if name in load.hidden or source in load.hidden:
                continue
            if name not in truth:
                yield f"{name} is not there"
            elif at is not None and truth[name][: at.offset] != truth.get(source, [])[: at.offset]:
                yield f"{name} is not {source} up to {at}"

    # Keeping house

    async def _tidy(self, one: Round) -> None:
        """Delete most of what there was; the rest is for the disk and the registry to bear."""
        load = one.load
        raced = [] if one.races is None else one.races.names
        for name in [*load.written, *reversed(load.forks), *raced]:
            await load.delete(name)
            reply = await self._requests.ask("GET", f"/v1/stream/{name}?offset=-1")
            if reply is not None and reply.status == 200:
                self.told.violated("P3 deleted and there", f"{name} after the round")
        self.told.forget({*load.written, *load.forks, *raced})

    async def _all(self, tasks: Iterable[asyncio.Task[None]]) -> None:
        try:
            async with asyncio.timeout(PATIENCE * 2):
                await asyncio.gather(*tasks)
        except TimeoutError:
            stuck = [repr(task.get_coro()) for task in tasks if not task.done()]
            self.told.violated("no end to the writing", f"{stuck}")

    def _keep_if_wrong(self) -> None:
        """Log and database as they are now, for whoever wants to know why."""
        if self.clean or self.kept is not None:
            return
        self.kept = Path(tempfile.mkdtemp(prefix=f"soak-{self.plan.seed}-"))
        for found in [self._log, *self._disk.folder.glob("hub.db*")]:
            shutil.copy(found, self.kept)

    def report(self) -> str:
        """The figures, and what was violated."""
        told, hub = self.told, self._hub
        minutes = (time.monotonic() - self._began) / 60
        lines = [
            f"seed {self.plan.seed}: {minutes:.1f} minutes, {self.rounds} rounds, "
            f"{self.plan.readers} readers",
            "slow disk: " + ("by strace" if self._traces else "NOT TRIED, there is no strace"),
            "full disk: " + ("a tmpfs" if self._disk.own else "NOT TRIED, that needs root"),
            f"{hub.deaths} restarts, the slowest ready after {hub.slowest:.1f} s; "
            f"after other troubles after {self._readiness:.1f} s",
            *(f"{name}: {count:,}" for name, count in sorted(told.figures.items())),
            *(f"{name}: {held}" for name, held in sorted(told.durations.items())),
            *self._watch.series(),
            *(f"{count} times in the log: {line}" for line, count in self._watch.expected.items()),
        ]
        for kind, count in told.wrongs.most_common():
            lines.append(f"VIOLATED {kind}: {count} times, such as")
            lines += [f"    {what}" for what in told.wrong[kind]]
        if self.kept is not None:
            (self.kept / "report.txt").write_text("\n".join(lines))
            lines.append(f"log and database: {self.kept}")
        return "\n".join([*lines, "clean" if self.clean else "NOT clean"])


async def _cancelled(tasks: list[asyncio.Task[None]]) -> None:
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def _config(path: Path, mock: str) -> dict[str, Any]:
    return {
        "server": {"drain_seconds": 0.5, "beat_seconds": 2.0, "ws_beat_seconds": 2.0},
        "store": {"url": f"sqlite:{path}"},
        "streams": {"warm_bytes": 20_000, "long_poll_seconds": 3.0, "sse_rotate_seconds": 5.0},
        "fanout": {
            "slow_client_timeout": 3.0,
            "write_buffer_bytes": 16_384,
            "catch_up_bytes": 16_384,
        },
        "limits": {
            "streams": 120,
            "stream_bytes_total": 64 * 1024 * 1024,
            "prompt_bytes": 64 * 1024 * 1024,
        },
        "upstreams": {
            "demo": {"dialect": "demo", "stall_timeout": 2.0, "options": {"pace": 60}},
            "mock": {
                "dialect": "json",
                "url": mock,
                "stall_timeout": 1.5,
                "retries": 2,
                "max_retry_wait": 0.2,
                "options": {"input": "query", "done": "done"},
            },
        },
    }
