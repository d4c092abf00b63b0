"""The store in one SQLite file, written by one thread, in groups.

Changes are gathered on the event loop and handed to the writer thread as a group: at once if
somebody waits for them, otherwise 20 ms or 256 KB after the first. The next group gathers while
one is being committed, so groups grow with the load: fifty producers share one ``fsync``. A
group is one transaction with ``synchronous=FULL``, so what was acknowledged after it survives
the loss of the process and of power.

A crash loses what was noted and not committed, and readers may have seen it. So each start of
the store begins a new epoch, and a stream that is opened gets it as its own (see
`hub.streams.history`). Every start does, because the file may be an older copy that was put back
(see `hub.stores.sqlite.epochs`). Epochs also rise with each removal, for the next stream of that
name. As a crash may lose some removals, a start leaves a gap larger than can have been under
way.

When a commit fails, because the disk is full for example, the group is kept and tried again
until it succeeds. Nothing is lost, `trouble` says what is wrong, and work resumes by itself
when there is space. Later groups wait, up to a limit.

A change that can never be written, such as a record at an offset that is taken (a bug in the
hub), would hold up all others forever. Its stream is *rejected* instead (see `hub.stores`):
none of its changes in the group is written, later ones are dropped, code that waits for them
gets an error, and the rest goes on. As readers may have seen what is lost, the epoch rises.

A lock beside the file keeps out other processes. Reads use a connection and a thread of their
own; WAL lets them see everything committed without delaying the writer.
"""

from __future__ import annotations

import asyncio
import logging
import queue
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import suppress
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Final, Literal, TypeVar

import apsw

from hub.domain.errors import StoreError
from hub.domain.events import NOTHING
from hub.domain.records import Record
from hub.domain.removed_names import RemovedNames
from hub.stores import (
    Appended,
    Change,
    Created,
    Credentials,
    GenerationLocation,
    Keyed,
    Listed,
    QueueSet,
    Removed,
    Saved,
    Unended,
)
from hub.stores.sqlite.credentials import CredentialTable, KeptCredentials
from hub.stores.sqlite.database import open_read_write
from hub.stores.sqlite.epochs import begin_life
from hub.stores.sqlite.errors import explained
from hub.stores.sqlite.groups import Group, Waiter, notify
from hub.stores.sqlite.lock import FileLock
from hub.stores.sqlite.reader import Reader
from hub.stores.sqlite.removed_names import removals
from hub.stores.sqlite.schema import migrate
from hub.stores.sqlite.writer import Writer

__all__ = ["SQLiteStore"]

GATHER_SECONDS: Final = 0.02
GATHER_BYTES: Final = 256 * 1024
HELD_BYTES: Final = 64 * 1024 * 1024
"""How many bytes of changes may wait for a commit."""

CHANGE_BYTES: Final = 128
"""Estimated memory of a change without its record."""

RETRY_SECONDS: Final = 0.5
PATIENCE_SECONDS: Final = 10.0
"""How long `SQLiteStore.synced` waits while nothing can be committed."""

SWEEP_SECONDS: Final = 0.01
"""Pause between two steps of deleting records while nothing else is written."""

CHECKED_BYTES: Final = 64 * 1024 * 1024
"""Files up to this size are checked completely at each start."""

log = logging.getLogger("hub.store")

T = TypeVar("T")


class _Task:
    """Something else for the writer's connection to do, in a transaction of its own."""

    __slots__ = ("_function", "done")

    def __init__(self, function: Callable[[apsw.Connection], Any]) -> None:
        self._function = function
        self.done: Future[Any] = Future()

    def run(self, writer: Writer, database: apsw.Connection) -> None:
        """Do it, unless nobody waits for it any more."""
        if not self.done.set_running_or_notify_cancel():
            return
        try:
            with writer.transaction():
                result = self._function(database)
        except Exception as error:
            self.done.set_exception(error)
        else:
            self.done.set_result(result)


@dataclass(slots=True)
class _Loads:
    """The loads of one stream that are in progress."""

    readers: int = 0
    changed: int = 0
    """The number of changes noted meanwhile."""


class SQLiteStore:
    """Streams in the file at ``path``; ``sync`` is SQLite's ``synchronous``.

    It waits up to ``lock_seconds`` for another process to release the file.
    """

    durable = True

    def __init__(
        self,
        path: str | Path,
        *,
        sync: Literal["full", "normal"] = "full",
        lock_seconds: float = 0.0,
    ) -> None:
        self.trouble: str | None = None
        self.life = 0
        self.path = Path(path)
        self.credentials: Credentials = KeptCredentials(
            lambda ask: self._in_reader(lambda: ask(self._readers().credentials)),
            lambda change: self._in_writer(lambda database: change(CredentialTable(database))),
        )
        self._sync = sync
        self._epochs: frozenset[int] = frozenset()
        self._epoch = 0
        self._removals = RemovedNames()
        self._lock = FileLock(self.path)
        self._lock_seconds = lock_seconds
        self._group = Group()
        self._committing: Group | None = None
        """The group that the writer thread has."""
        self._waiting_bytes = 0
        self._loading: dict[str, _Loads] = {}
        self.rejected: dict[str, str] = {}
        self._rejection = asyncio.Event()
        self._space_waiters: list[asyncio.Future[None]] = []
        self._due: asyncio.Handle | None = None
        self._soon = False
        """The group is handed over in the next iteration of the event loop."""
        self._queue: queue.SimpleQueue[Group | _Task | None] = queue.SimpleQueue()
        self._stopping = threading.Event()
        self._writer: threading.Thread | None = None
        self._read_executor = ThreadPoolExecutor(1, thread_name_prefix="store-reader")
        self._reader: Reader | None = None

    async def start(self) -> list[Unended]:
        await self._lock.wait(self._lock_seconds)
        try:
            database, running = await self._in_reader(self._open)
        except Exception:
            # Not on cancellation: the reader thread may still be using the file.
            self._lock.release()
            raise
        self._writer = threading.Thread(
            target=self._work,
            args=(asyncio.get_running_loop(), database),
            name="store-writer",
            daemon=True,
        )
        self._writer.start()
        return running

    async def load(self, stream: str) -> Saved | None:
        load = self._loading.setdefault(stream, _Loads())
        load.readers += 1
        try:
            while True:
                while (group := self._pending_in(stream)) is not None:
                    if stream in group.removed:
                        return None
                    if self.trouble is not None:
                        raise StoreError(
                            f'"{stream}" has changes that cannot be stored at the moment: '
                            f"{self.trouble}",
                            code="store_full",
                        )
                    await self.synced()
                changed = load.changed
                saved = await self._in_reader(lambda: self._readers().load(stream))
                # Changes noted meanwhile may be committed by now, but are not in what was read.
                if load.changed == changed:
                    return saved
        finally:
            load.readers -= 1
            if not load.readers:
                del self._loading[stream]

    def pending(self, stream: str) -> bool:
        return self._pending_in(stream) is not None

    def _pending_in(self, stream: str) -> Group | None:
        """The last group that changes a stream or forks it."""
        if stream in self._group.streams:
            return self._group
        committing = self._committing
        return committing if committing is not None and stream in committing.streams else None

    async def read(self, stream: str, offset: int, limit: int) -> list[Record]:
        found = await self._in_reader(lambda: self._readers().read(stream, offset, limit))
        if found is None:
            # A fork may be read before its creation is committed.
            await self.synced(stream)
            found = await self._in_reader(lambda: self._readers().read(stream, offset, limit))
        return found or []

    async def expired(self, now: float) -> list[str]:
        return await self._in_reader(lambda: self._readers().expired(now))

    async def listed(self, prefix: str, after: str, limit: int, now: float) -> list[Listed]:
        return await self._in_reader(
            lambda: self._readers().listed(prefix, after, limit, now, self.life)
        )

    async def owned(
        self, owner: str, prefix: str, after: str, limit: int, now: float
    ) -> list[Listed]:
        return await self._in_reader(
            lambda: self._readers().listed(prefix, after, limit, now, self.life, owner)
        )

    async def keyed(self, key: str) -> Keyed | None:
        return await self._in_reader(lambda: self._readers().keyed(key))

    def lived(self, epoch: int) -> bool:
        return epoch in self._epochs

    async def locate(self, generation: str) -> GenerationLocation | None:
        return await self._in_reader(lambda: self._readers().locate(generation))

    async def waiting_in(self, generation: str) -> str | None:
        return await self._in_reader(lambda: self._readers().waiting_in(generation))

    async def unheld(self) -> list[str]:
        return await self._in_reader(lambda: self._readers().unheld())

    def epoch(self) -> int:
        """One more than the epoch of this start, and one more for each removal since."""
        return self._epoch

    def last(self, stream: str) -> int:
        return self._removals.last(stream)

    def admit(self) -> None:
        if self.trouble is not None or self.full:
            why = self.trouble or "the disk is too slow for what is written"
            raise StoreError(f"nothing can be stored at the moment: {why}", code="store_full")

    @property
    def full(self) -> bool:
        return self._waiting_bytes > HELD_BYTES

    async def space(self) -> None:
        while self.full:
            self._space_waiters.append(relief := asyncio.get_running_loop().create_future())
            await relief

    def note(self, change: Change) -> None:
        size = CHANGE_BYTES
        if type(change) is Appended:
            size += change.record.size
        elif isinstance(change, QueueSet):
            size += sum(one.size for one in change.queue)
        elif isinstance(change, Removed):
            self._removals.note(change.stream, self._epoch)
            self._epoch += 1
        group = self._group
        if self.rejected and change.stream in self.rejected:
            return
        if self._loading and (load := self._loading.get(change.stream)) is not None:
            load.changed += 1
        group.take(change, size)
        self._waiting_bytes += size
        if self._committing is None and (self._due is None or group.size > GATHER_BYTES):
            self._hand_over_in(0.0 if group.size > GATHER_BYTES else GATHER_SECONDS)

    def after(self, done: Callable[[], None], stream: str | None = None) -> None:
        self._after(Waiter(done, stream))

    async def synced(self, stream: str | None = None) -> None:
        committed: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        failed = partial(_fail, committed, stream)
        self._after(Waiter(partial(_resolve, committed), stream, failed))
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                await committed
        except TimeoutError:
            raise StoreError(
                f"the write is not confirmed: {self.trouble or 'the disk is too slow'}",
                code="store_full" if self.trouble else "store_slow",
            ) from None

    def _after(self, waiter: Waiter) -> None:
        if waiter.stream in self.rejected:
            waiter.failed()
        elif self._group.changes:
            self._group.waiting.append(waiter)
            if self._committing is None:
                self._hand_over_in(0.0)
        elif self._committing is not None:
            self._committing.waiting.append(waiter)
        else:
            waiter.done()

    async def rejection(self) -> None:
        await self._rejection.wait()

    def readmit(self, stream: str) -> None:
        self.rejected.pop(stream, None)
        if not self.rejected:
            self._rejection.clear()

    async def stop(self) -> None:
        if self._writer is None:
            return
        with suppress(StoreError):
            while self._committing is not None or self._group.changes:
                await self.synced()
        # The writer closes last, so that SQLite moves the whole WAL into the file.
        await self._in_reader(self._close_reader)
        self._read_executor.shutdown()
        self._stopping.set()
        self._queue.put(None)
        await asyncio.to_thread(self._writer.join)
        self._writer = None
        self._lock.release()

    # On the loop

    def _hand_over_in(self, seconds: float) -> None:
        if self._soon:
            return
        if self._due is not None:
            self._due.cancel()
        self._soon = not seconds
        loop = asyncio.get_running_loop()
        # Not within `note`: changes noted in one iteration of the loop stay in one group.
        if seconds:
            self._due = loop.call_later(seconds, self._hand_over)
        else:
            self._due = loop.call_soon(self._hand_over)

    def _hand_over(self) -> None:
        self._due = None
        self._soon = False
        if self._committing is None and self._group.changes:
            self._committing, self._group = self._group, Group()
            self._queue.put(self._committing)

    def _committed(self, group: Group) -> None:
        if self.trouble is not None:
            log.warning("the store can write again")
        self.trouble = None
        self._committing = None
        self._waiting_bytes -= group.size
        if group.rejected:
            self._reject(group.rejected)
        # The next group goes first, so that the disk works while the waiters go on.
        if self._group.waiting or self._group.size > GATHER_BYTES:
            self._hand_over_in(0.0)
        elif self._group.changes:
            self._hand_over_in(GATHER_SECONDS)
        notify(group.waiting, group.rejected)
        waiters, self._space_waiters = self._space_waiters, []
        for relief in waiters:
            _resolve(relief)

    def _reject(self, rejected: Mapping[str, str]) -> None:
        """Drop the gathered changes of streams that could not be written, and of their forks."""
        self.rejected.update(rejected)
        gathered = Group()
        for change in self._group.changes:
            fork = change.settings.fork if isinstance(change, Created) else None
            if fork is not None and fork.source in self.rejected:
                self.rejected[change.stream] = f"its source is {fork.source!r}"
            if change.stream not in self.rejected:
                gathered.take(change, 0)
        gathered.size = self._group.size
        waiting = self._group.waiting
        left = [waiter for waiter in waiting if waiter.stream not in self.rejected]
        notify([waiter for waiter in waiting if waiter.stream in self.rejected], self.rejected)
        self._group = gathered
        if gathered.changes:
            gathered.waiting = left
        else:
            self._waiting_bytes -= gathered.size
            gathered.size = 0
            notify(left, NOTHING)
        self.life = self._epoch + 1
        self._epochs |= {self.life}
        self._epoch = self.life + 1
        self._rejection.set()

    def _set_trouble(self, why: str) -> None:
        if self.trouble != why:
            log.error("the store cannot write: %s", why)
        self.trouble = why

    async def _in_reader(self, task: Callable[[], T]) -> T:
        loop = asyncio.get_running_loop()
        try:
            return await loop.run_in_executor(self._read_executor, task)
        except apsw.Error as error:
            raise explained(error, self.path) from None

    async def _in_writer(self, function: Callable[[apsw.Connection], T]) -> T:
        """What ``function`` returns, which the writer's thread calls in a transaction of its own.

        It is not tried again if it fails.

        Raises:
            StoreError: nothing can be stored at the moment, or that is not confirmed.
        """
        if self._writer is None or self._stopping.is_set():
            raise StoreError("the store is not open")
        self.admit()
        task = _Task(function)
        self._queue.put(task)
        try:
            async with asyncio.timeout(PATIENCE_SECONDS):
                result: T = await asyncio.wrap_future(task.done)
        except apsw.Error as error:
            raise explained(error, self.path) from None
        except TimeoutError:
            raise StoreError(
                f"the write is not confirmed: {self.trouble or 'the disk is too slow'}",
                code="store_full" if self.trouble else "store_slow",
            ) from None
        return result

    def _readers(self) -> Reader:
        if self._reader is None:
            raise StoreError("the store is not open")
        return self._reader

    # In the reader's thread

    def _open(self) -> tuple[apsw.Connection, list[Unended]]:
        existed = self.path.exists()
        database = open_read_write(self.path, self._sync)
        try:
            database.pragma("journal_size_limit", HELD_BYTES)
            if existed and self.path.stat().st_size <= CHECKED_BYTES:
                found = database.execute("PRAGMA quick_check(1)").get
                if found != "ok":
                    raise apsw.CorruptError(str(found))
            migrate(database, str(self.path))
            self.life, self._epochs = begin_life(database)
            self._epoch = self.life + 1
            self._removals = removals(database)
            running: list[Any] = database.execute(
                "SELECT s.name, g.id, g.started FROM generations g"
                " JOIN streams s ON s.id = g.stream WHERE g.ended IS NULL ORDER BY s.id"
            ).fetchall()
            self._reader = Reader(self.path)
        except BaseException:
            database.close()
            raise
        return database, [Unended(*row) for row in running]

    def _close_reader(self) -> None:
        if self._reader is not None:
            self._reader.close()
            self._reader = None

    # In the writer's thread

    def _work(self, loop: asyncio.AbstractEventLoop, database: apsw.Connection) -> None:
        try:
            self._write_groups(loop, database)
        except BaseException:
            log.exception("the writer thread has failed: restart the hub")
            why = "the writer thread has failed: restart the hub, and see its log"
            with suppress(RuntimeError):  # the loop may be closed
                loop.call_soon_threadsafe(self._set_trouble, why)

    def _write_groups(self, loop: asyncio.AbstractEventLoop, database: apsw.Connection) -> None:
        writer = Writer(database)
        sweeping = True
        written = True
        while written:
            try:
                group = self._queue.get(timeout=SWEEP_SECONDS if sweeping else None)
            except queue.Empty:
                try:
                    sweeping = writer.sweep()
                except apsw.Error:
                    sweeping = False  # old records stay a little longer
                continue
            if isinstance(group, _Task):
                group.run(writer, database)
                continue
            if group is None:
                break
            written = self._commit(loop, writer, group)
            del group  # it would stay in memory until the next one comes
            sweeping = writer.littered
        self._cancel_tasks()
        self._close(database)

    def _cancel_tasks(self) -> None:
        """Tell those who wait for a task that it is not done: the store stops."""
        with suppress(queue.Empty):
            while True:
                task = self._queue.get_nowait()
                if isinstance(task, _Task) and task.done.set_running_or_notify_cancel():
                    task.done.set_exception(StoreError("the store is not open"))

    def _commit(self, loop: asyncio.AbstractEventLoop, writer: Writer, group: Group) -> bool:
        """Write a group, trying until it succeeds; false if the store stops before that."""
        while True:
            try:
                group.rejected = writer.write(group.changes)
            except apsw.Error as error:
                why = explained(error, self.path).message
                loop.call_soon_threadsafe(self._set_trouble, why)
                if self._stopping.wait(RETRY_SECONDS):
                    log.error(
                        "%d changes could not be written before the hub stopped", len(group.changes)
                    )
                    return False
            else:
                loop.call_soon_threadsafe(self._committed, group)
                return True

    def _close(self, database: apsw.Connection) -> None:
        try:
            database.close()
        except apsw.Error as error:
            log.error("the store could not be closed properly: %s", error)


def _resolve(waiter: asyncio.Future[None]) -> None:
    if not waiter.done():
        waiter.set_result(None)


def _fail(waiter: asyncio.Future[None], stream: str | None) -> None:
    if not waiter.done():
        waiter.set_exception(
            StoreError(
                f'the write to "{stream}" was lost because of an error in the hub: see its log',
                code="store_rejected",
            )
        )
