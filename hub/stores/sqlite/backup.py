"""Copies of the whole file: taken while a hub runs on it, and put in its place while none does.

A copy is taken page by page within one read transaction, so that it is of one commit however
much is written meanwhile: WAL lets the writer go on, only its log grows until the copy is done.
What is copied goes to disk bit by bit, or else the hub's next commit would wait until all of
it has. A copy is one file that needs nothing beside it, whole or not there.

Nothing in a copy says that it is one. Whatever file a hub is started on, it begins a life of
its own (see `hub.stores.sqlite.epochs`): readers who saw what is not in the copy are told.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from hub.domain.errors import StoreError
from hub.stores.sqlite.errors import explained, explaining
from hub.stores.sqlite.health import damage
from hub.stores.sqlite.lock import FileLock
from hub.stores.sqlite.schema import version_of

__all__ = ["Copied", "back_up", "restore"]

STEP_BYTES: Final = 4 * 1024 * 1024
"""What is copied before it is made to reach the disk."""

BUSY_MS: Final = 5000

BESIDE: Final = ("-wal", "-shm", "-journal")
"""Endings of the files in which SQLite has what is not yet in its file, or is to be undone."""

Watch = Callable[[int, int], None]
"""Is told how many bytes have been copied, and of how many."""


class Copied(NamedTuple):
    """A copy that is in its place: its bytes, its streams, and where what was there is now."""

    size: int
    streams: int
    kept: Path | None = None


def back_up(path: Path, target: Path, watch: Watch, *, replace: bool = False) -> Copied:
    """Copy the database at ``path`` to ``target``; a hub may run on it.

    Raises:
        StoreError: there is none (``store_missing``), it is damaged or another program's, or
            ``target`` is there already (``backup_exists``) and not to be replaced, or cannot
            be written.
    """
    if not path.exists():
        raise StoreError(f"{path} is not there: there is nothing to copy", code="store_missing")
    if target.resolve() in _files(path.resolve()):
        raise StoreError(f"{target} is the store itself: name another file", code="backup_exists")
    if not replace:
        _expect_nothing(target)
    with _writing(target), _part(target) as part:
        with explaining(path):
            source = apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READONLY)
        with closing(source):
            source.set_busy_timeout(BUSY_MS)
            streams = _copy(source, path, part, watch)
        size = part.stat().st_size
        if replace:
            _replace(part, target)
        else:
            _appear(part, target)
    return Copied(size, streams)


def restore(path: Path, backup: Path, watch: Watch) -> Copied:
    """Put a copy in the place of the database at ``path``, which is kept under another name.

    The copy stays as it is. It may be any that SQLite can read: also one made by ``cp`` while
    no hub ran, with the files beside it.

    Raises:
        StoreError: a hub runs on ``path`` (``store_locked``); there is no copy
            (``backup_missing``); it is damaged (``backup_damaged``), or not this program's or
            an earlier one's; or the folder cannot be written. ``path`` is then as it was.
    """
    if not backup.exists():
        raise StoreError(f"{backup} is not there", code="backup_missing")
    if path.exists() and path.samefile(backup):
        raise StoreError(f"{backup} is the store itself: name a copy", code="backup_missing")
    lock = FileLock(path)
    lock.take()
    try:
        with _writing(path), _part(path) as part:
            with closing(_opened(backup)) as source:
                streams = _copy(source, backup, part, watch)
            _rise(part, _settled(path))
            size = part.stat().st_size
            kept = _keep(path)
            _replace(part, path)
    finally:
        lock.let_go()
    return Copied(size, streams, kept)


# Copying


def _copy(source: apsw.Connection, path: Path, part: Path, watch: Watch) -> int:
    """Copy a streamhub's database into an empty file, soundly; how many streams it has."""
    try:
        _expect_ours(source, path)
        with closing(apsw.Connection(str(part))) as copy:
            # It counts for nothing until it is whole.
            copy.pragma("journal_mode", "off")
            copy.pragma("synchronous", "off")
            _copy_pages(source, copy, part, watch)
            # A reader of a file in WAL mode leaves files beside it.
            copy.pragma("journal_mode", "delete")
            streams = int(copy.execute("SELECT count(*) FROM streams WHERE NOT hidden").get)
    except (apsw.CorruptError, apsw.NotADBError) as error:
        raise _damaged(path, str(error)) from None
    except apsw.Error as error:
        raise explained(error, part) from None
    if (wrong := damage(part)) is not None:
        raise _damaged(path, wrong)
    _sync(part)
    return streams


def _copy_pages(source: apsw.Connection, copy: apsw.Connection, part: Path, watch: Watch) -> None:
    page = int(source.pragma("page_size"))
    source.execute("BEGIN")
    source.execute("SELECT 1 FROM sqlite_schema LIMIT 1").fetchall()
    with copy.backup("main", source, "main") as pages:
        while not pages.done:
            pages.step(STEP_BYTES // page)
            _sync(part)
            watch((pages.page_count - pages.remaining) * page, pages.page_count * page)
    source.execute("COMMIT")


def _opened(backup: Path) -> apsw.Connection:
    """A copy, to be read; where nothing lies beside it, nothing is put there."""
    with explaining(backup):
        if any(_with(backup, ending).exists() for ending in BESIDE):
            found = apsw.Connection(str(backup), flags=apsw.SQLITE_OPEN_READONLY)
            found.set_busy_timeout(BUSY_MS)
            return found
        name = f"{backup.absolute().as_uri()}?immutable=1"
        return apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


def _expect_ours(database: apsw.Connection, path: Path) -> None:
    tables = database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'hub'")
    if not version_of(database, str(path)) or tables.get is None:
        raise StoreError(f"{path} is no streamhub's store", code="store_foreign")


def _damaged(path: Path, wrong: str) -> StoreError:
    return StoreError(
        f"{path} is damaged, and no copy of it is made: {wrong}", code="backup_damaged"
    )


# The file that is there


def _settled(path: Path) -> int:
    """Have all of the present file in one; the highest epoch it has given.

    One that cannot be read, which may be why it is replaced, is kept as it is.
    """
    if not path.exists():
        return 0
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as database:
            database.set_busy_timeout(BUSY_MS)
            life = database.execute("SELECT value FROM hub WHERE key = 'life'").get
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except apsw.Error:
        return 0
    return int(life or 0)


def _rise(part: Path, life: int) -> None:
    """Have the next life begin above another file's; it would hardly be below."""
    with closing(apsw.Connection(str(part))) as copy:
        copy.pragma("synchronous", "full")
        copy.execute("UPDATE hub SET value = max(value, ?) WHERE key = 'life'", (life,))


def _keep(path: Path) -> Path | None:
    """Give the present file, and what belongs to it, a second name."""
    when = datetime.fromtimestamp(time.time(), UTC)
    kept = _with(path, f".before-restore-{when:%Y%m%dT%H%M%S.%fZ}")
    for ending in ("", *BESIDE):
        if (file := _with(path, ending)).exists():
            os.link(file, _with(kept, ending))
    return kept if kept.exists() else None


# Files


@contextmanager
def _writing(target: Path) -> Iterator[None]:
    try:
        yield
    except OSError as error:
        raise StoreError(f"cannot write {target}: {error.strerror}") from None


@contextmanager
def _part(target: Path) -> Iterator[Path]:
    """An empty file beside ``target``, which is its owner's alone; gone afterwards."""
    opened, name = tempfile.mkstemp(".part", f"{target.name}.", target.parent)
    os.close(opened)
    part = Path(name)
    try:
        yield part
    finally:
        for ending in ("", *BESIDE):
            _with(part, ending).unlink(missing_ok=True)


def _expect_nothing(target: Path) -> None:
    for file in (target, *(_with(target, ending) for ending in BESIDE)):
        if file.exists():
            raise StoreError(f"{file} is there already: add --force", code="backup_exists")


def _appear(part: Path, target: Path) -> None:
    """Put a file where none is."""
    _expect_nothing(target)
    try:
        os.link(part, target)
    except FileExistsError:
        _expect_nothing(target)
    except OSError:  # some file systems have no second names
        part.replace(target)
    _sync(target.parent)


def _replace(part: Path, target: Path) -> None:
    """Put a file in the place of another; SQLite would take what lies beside that for its own."""
    for ending in BESIDE:
        _with(target, ending).unlink(missing_ok=True)
    part.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _files(path: Path) -> tuple[Path, ...]:
    return tuple(_with(path, ending) for ending in ("", *BESIDE, ".lock"))


def _with(path: Path, ending: str) -> Path:
    return path.with_name(path.name + ending)
