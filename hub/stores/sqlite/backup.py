"""Backups of the whole file: taken while a hub runs, restored while none does.

The file is copied page by page within one read transaction, so a copy is from one commit however
much is written meanwhile. WAL lets the writer go on; only its log grows until the copy is done.
The copy is synced to disk in steps, or else the hub's next commit would have to wait for all of
it. A copy is a single file, complete or absent.

Nothing in a copy marks it as one. A hub begins a new epoch on whatever file it is started (see
`hub.stores.sqlite.epochs`), so readers who have seen what the copy lacks are reset.
A credential that was revoked since the copy was made stays revoked.
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable, Iterator, Mapping
from contextlib import closing, contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Final, NamedTuple

import apsw

from hub.domain.errors import StoreError
from hub.stores import Credential
from hub.stores.sqlite.credentials import CredentialTable
from hub.stores.sqlite.database import BUSY_MS, open_read_only
from hub.stores.sqlite.errors import explained, explaining
from hub.stores.sqlite.health import damage
from hub.stores.sqlite.lock import FileLock
from hub.stores.sqlite.schema import version_of

__all__ = ["Copied", "back_up", "restore"]

STEP_BYTES: Final = 4 * 1024 * 1024
"""Bytes copied between two syncs to disk."""

BESIDE: Final = ("-wal", "-shm", "-journal")
"""Suffixes of SQLite's files beside the database: its logs and their index."""

Watch = Callable[[int, int], None]
"""Called with the bytes copied so far and the total."""


class Copied(NamedTuple):
    """A finished copy: its bytes, the number of its streams, and where the replaced file is now.

    ``revoked`` is how many credentials of a restored copy are revoked, because they were in the
    replaced file. ``revived`` are those that hold, and that the replaced file did not have or could
    not tell of.
    """

    size: int
    streams: int
    kept: Path | None = None
    revoked: int = 0
    revived: tuple[Credential, ...] = ()


def back_up(path: Path, target: Path, watch: Watch, *, replace: bool = False) -> Copied:
    """Copy the database at ``path`` to ``target``; a hub may run on it.

    Raises:
        StoreError: there is no database (``store_missing``), it is damaged or another program's,
            ``target`` exists (``backup_exists``) and ``replace`` is not set, or it cannot be
            written.
    """
    if not path.exists():
        raise StoreError(f"{path} does not exist: there is nothing to copy", code="store_missing")
    if target.resolve() in _with(path.resolve(), "", *BESIDE, ".lock"):
        raise StoreError(f"{target} is the store itself: name another file", code="backup_exists")
    if not replace:
        _expect_nothing(target)
    with _writing(target), _part(target) as part:
        with explaining(path):
            source = open_read_only(path)
        with closing(source):
            streams = _copy(source, path, part, watch)
        size = part.stat().st_size
        if replace:
            _replace(part, target)
        else:
            _publish(part, target)
    return Copied(size, streams)


def restore(path: Path, backup: Path, watch: Watch) -> Copied:
    """Replace the database at ``path`` with a copy; the replaced file is kept under another name.

    The copy is not changed. It may be any file that SQLite can read, also one made by ``cp`` while
    no hub ran, with the files beside it.

    Raises:
        StoreError: a hub runs on ``path`` (``store_locked``); there is no copy
            (``backup_missing``); it is damaged (``backup_damaged``), another program's or from a
            newer streamhub; or the folder cannot be written. ``path`` is then unchanged.
    """
    if not backup.exists():
        raise StoreError(f"{backup} does not exist", code="backup_missing")
    if path.exists() and path.samefile(backup):
        raise StoreError(f"{backup} is the store itself: name a backup", code="backup_missing")
    lock = FileLock(path)
    lock.take()
    try:
        with _writing(path), _part(path) as part:
            with closing(_opened(backup)) as source:
                streams = _copy(source, backup, part, watch)
            replaced = _checkpoint(path)
            with closing(apsw.Connection(str(part))) as copy:
                copy.pragma("synchronous", "full")
                with copy:
                    _raise_epoch(copy, replaced.epoch)
                    revoked, revived = _carry_over(copy, replaced.credentials)
            size = part.stat().st_size
            kept = _keep(path)
            _replace(part, path)
    finally:
        lock.release()
    return Copied(size, streams, kept, revoked, revived)


# Copying


def _copy(source: apsw.Connection, path: Path, part: Path, watch: Watch) -> int:
    """Copy a streamhub's database into an empty file and check it; returns its stream count."""
    try:
        _expect_ours(source, path)
        with closing(apsw.Connection(str(part))) as copy:
            # The copy is worth nothing until it is complete.
            copy.pragma("journal_mode", "off")
            copy.pragma("synchronous", "off")
            _copy_pages(source, copy, part, watch)
            # Readers of a file in WAL mode leave files beside it.
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
    """A copy, opened without leaving files beside it, unless there are some already."""
    with explaining(backup):
        if any(file.exists() for file in _with(backup, *BESIDE)):
            return open_read_only(backup)
        name = f"{backup.absolute().as_uri()}?immutable=1"
        return apsw.Connection(name, flags=apsw.SQLITE_OPEN_READONLY | apsw.SQLITE_OPEN_URI)


def _expect_ours(database: apsw.Connection, path: Path) -> None:
    tables = database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'hub'")
    if not version_of(database, str(path)) or tables.get is None:
        raise StoreError(f"{path} is not a streamhub store", code="store_foreign")


def _damaged(path: Path, wrong: str) -> StoreError:
    return StoreError(f"{path} is damaged and was not copied: {wrong}", code="backup_damaged")


# The file to be replaced


class _Replaced(NamedTuple):
    """What a copy must know of the file that it replaces: the highest epoch that it has assigned,
    and its credentials, by kind and id.
    """

    epoch: int
    credentials: Mapping[tuple[str, str], Credential]


def _checkpoint(path: Path) -> _Replaced:
    """Move the WAL into the present file, and look at it.

    A file that cannot be read, which may be why it is replaced, is left as it is.
    """
    if not path.exists():
        return _Replaced(0, {})
    try:
        with closing(apsw.Connection(str(path), flags=apsw.SQLITE_OPEN_READWRITE)) as database:
            database.set_busy_timeout(BUSY_MS)
            epoch = database.execute("SELECT value FROM hub WHERE key = 'life'").get
            held = {(one.kind, one.id): one for one in _credentials(database)}
            database.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    except apsw.Error:
        return _Replaced(0, {})
    return _Replaced(int(epoch or 0), held)


def _credentials(database: apsw.Connection) -> list[Credential]:
    """All credentials of a file; an older one has no table of them."""
    table = database.execute("SELECT 1 FROM sqlite_schema WHERE name = 'credentials'").get
    return [] if table is None else CredentialTable(database).all()


def _raise_epoch(copy: apsw.Connection, epoch: int) -> None:
    """Have the next epoch of a copy begin above ``epoch``; it hardly ever would not."""
    copy.execute("UPDATE hub SET value = max(value, ?) WHERE key = 'life'", (epoch,))


def _carry_over(
    copy: apsw.Connection, replaced: Mapping[tuple[str, str], Credential]
) -> tuple[int, tuple[Credential, ...]]:
    """Revoke in a copy what the replaced file has revoked since; see `Copied`."""
    revoked, revived = 0, []
    for one in _credentials(copy):
        before = replaced.get((one.kind, one.id))
        if one.ended <= time.time():
            continue
        if before is None:
            revived.append(one)
        elif before.revoked is not None:
            CredentialTable(copy).revoke(one.kind, one.id, before.revoked)
            revoked += 1
    return revoked, tuple(revived)


def _keep(path: Path) -> Path | None:
    """Give the present file, and those beside it, a second name."""
    when = datetime.fromtimestamp(time.time(), UTC)
    (kept,) = _with(path, f".before-restore-{when:%Y%m%dT%H%M%S.%fZ}")
    for file, link in zip(_with(path, "", *BESIDE), _with(kept, "", *BESIDE), strict=True):
        if file.exists():
            os.link(file, link)
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
    """An empty file beside ``target``, private to its owner and removed afterwards."""
    opened, name = tempfile.mkstemp(".part", f"{target.name}.", target.parent)
    os.close(opened)
    part = Path(name)
    try:
        yield part
    finally:
        for file in _with(part, "", *BESIDE):
            file.unlink(missing_ok=True)


def _expect_nothing(target: Path) -> None:
    for file in _with(target, "", *BESIDE):
        if file.exists():
            raise StoreError(f"{file} exists already: add --force", code="backup_exists")


def _publish(part: Path, target: Path) -> None:
    """Rename a file to a name that is free."""
    _expect_nothing(target)
    try:
        os.link(part, target)
    except FileExistsError:
        _expect_nothing(target)
    except OSError:  # some file systems have no hard links
        part.replace(target)
    _sync(target.parent)


def _replace(part: Path, target: Path) -> None:
    """Replace a file, without the files beside it, which SQLite would take for the new one's."""
    for file in _with(target, *BESIDE):
        file.unlink(missing_ok=True)
    part.replace(target)
    _sync(target.parent)


def _sync(path: Path) -> None:
    opened = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        os.fsync(opened)
    finally:
        os.close(opened)


def _with(path: Path, *suffixes: str) -> list[Path]:
    return [path.with_name(path.name + suffix) for suffix in suffixes]
