"""``streamhub streams backup`` and ``restore``: the whole store, sound and whole, or not at all."""

from __future__ import annotations

import asyncio
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import apsw
import orjson
import pytest

from hub.stores.sqlite import SQLiteStore
from hub.stores.sqlite.epochs import new_epoch
from hub.stores.sqlite.schema import VERSION
from tests.cli.stored_streams import DATABASE, keep, stream
from tests.cli.test_streams import beside, chat, hub, names
from tests.support.processes import Command

__all__ = ["beside"]

COPY = Path("copy.db")
ENDINGS = ("-wal", "-shm", "-journal")


def listed(command: Command) -> list[str]:
    return names(command("streams", "list", "--json").out)


def in_copy(command: Command, monkeypatch: pytest.MonkeyPatch, copy: Path = COPY) -> list[str]:
    """The streams of a copy, looked at as a store."""
    with monkeypatch.context() as patched:
        patched.setenv("STREAMHUB_STORE__URL", f"sqlite:{copy}")
        return listed(command)


def files(folder: Path) -> set[str]:
    return {file.name for file in folder.iterdir()} - {f"{DATABASE.name}.lock", "given"}


def life(path: Path) -> int:
    """The one that a hub begins on it now."""

    async def begun() -> int:
        store = SQLiteStore(path)
        await store.start()
        await store.stop()
        return store.life

    return asyncio.run(begun())


def kept_before(folder: Path = DATABASE.parent) -> Path:
    (kept,) = folder.glob(f"{DATABASE.name}.before-restore-*Z")
    return kept


# Backup


def test_a_backup_is_one_file_with_everything_and_its_owners_alone(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(*stream("a", *chat(2000)), *stream("b"))
    said = command("streams", "backup", str(COPY))
    assert (said.code, said.out) == (0, "")
    assert said.err.startswith("copied 2 streams, ")
    assert said.err.endswith("iB, to copy.db\n")
    assert COPY.stat().st_mode & 0o777 == 0o600
    assert files(here) == {"data", "copy.db"}
    assert in_copy(command, monkeypatch) == ["a", "b"]
    exported = command("streams", "export", "a").out
    shutil.copyfile(COPY, DATABASE)
    assert command("streams", "export", "a").out == exported


def test_a_backup_replaces_nothing_unless_it_is_told_to(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(*stream("a"))
    for ending in ("", *ENDINGS):
        there = here / f"{COPY}{ending}"
        there.write_bytes(b"something")
        said = command("streams", "backup", str(COPY))
        assert said.code == 1
        assert said.err == f"error: {there.name} exists already: add --force (backup_exists)\n"
        assert there.read_bytes() == b"something"
        assert files(here) == {"data", there.name}
        there.unlink()
    for ending in ("", *ENDINGS):
        (here / f"{COPY}{ending}").write_bytes(b"something")
    assert command("streams", "backup", str(COPY), "--force").code == 0
    # SQLite would take what lies beside it for a part of it.
    assert files(here) == {"data", "copy.db"}
    assert in_copy(command, monkeypatch) == ["a"]


def test_a_backup_is_never_made_over_the_store(command: Command, here: Path) -> None:
    keep(*stream("a"))
    (here / "link").symlink_to(DATABASE.parent, target_is_directory=True)
    for ending in ("", *ENDINGS, ".lock"):
        for target in (f"{DATABASE}{ending}", f"link/{DATABASE.name}{ending}"):
            said = command("streams", "backup", target, "--force")
            assert said.err.endswith("is the store itself: name another file (backup_exists)\n")
    assert listed(command) == ["a"]


def test_what_cannot_be_copied_is_one_line_and_leaves_nothing(command: Command, here: Path) -> None:
    said = command("streams", "backup", str(COPY))
    assert (said.code, files(here)) == (1, set())
    assert said.err.endswith("(store_missing)\n")
    keep(*stream("a", *chat()))
    assert command("streams", "backup", "none/copy.db").err == (
        "error: cannot write none/copy.db: No such file or directory (store_failed)\n"
    )
    (here / "folder").mkdir()
    said = command("streams", "backup", "folder", "--force")
    assert said.err == "error: cannot write folder: Is a directory (store_failed)\n"
    spoil(DATABASE)
    said = command("streams", "backup", str(COPY))
    assert said.err.endswith("(backup_damaged)\n")
    assert files(here) == {"data", "folder"}


def spoil(path: Path) -> None:
    """Damage every page but the first."""
    with path.open("r+b") as file:
        size = file.seek(0, 2)
        for page in range(4096, size, 4096):
            file.seek(page)
            file.write(b"\xff" * 100)


def test_a_running_hub_is_backed_up_and_not_restored(
    command: Command, here: Path, beside: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    command("publish", "backup/a", "--url", beside, given=b"one\ntwo\n")
    assert command("streams", "backup", str(COPY)).code == 0
    assert "backup/a" in in_copy(command, monkeypatch)
    said = command("streams", "restore", str(COPY))
    assert (said.code, said.out) == (1, "")
    assert said.err.endswith("(store_locked)\n")
    assert "backup/a" in listed(command)


def test_what_a_killed_hub_had_not_moved_into_its_file_is_copied(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    with hub() as serving:
        assert serving.stderr is not None
        line = serving.stderr.readline().decode()
        url = next(word for word in line.split() if word.startswith("http://"))
        command("publish", "new", "--url", url, given=b"one\ntwo\n")
        serving.send_signal(signal.SIGKILL)
        serving.wait()
    assert Path(f"{DATABASE}-wal").stat().st_size > 0
    assert command("streams", "backup", str(COPY)).code == 0
    assert in_copy(command, monkeypatch) == ["new"]
    # As with cp: what lies beside the file belongs to it.
    for ending in ("", "-wal"):
        shutil.copyfile(f"{DATABASE}{ending}", f"cp.db{ending}")
    keep(*stream("later"))
    assert command("streams", "restore", "cp.db").code == 0
    assert listed(command) == ["new"]


# Restore


def test_a_restore_puts_the_copy_in_place_and_keeps_what_was_there(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(*stream("old", *chat()))
    command("streams", "backup", str(COPY))
    copied = COPY.read_bytes()
    keep(*stream("new"))
    said = command("streams", "restore", str(COPY))
    kept = kept_before()
    assert (said.code, said.out) == (0, "")
    first, second = said.err.splitlines()
    assert first == f"the replaced store is now {kept}"
    assert second.startswith("restored 1 stream, ")
    assert second.endswith("iB, from copy.db")
    assert listed(command) == ["old"]
    assert in_copy(command, monkeypatch, kept) == ["new", "old"]
    assert DATABASE.stat().st_mode & 0o777 == 0o600
    assert COPY.read_bytes() == copied
    assert files(here) == {"data", "copy.db"}
    assert command("streams", "restore", str(kept)).code == 0
    assert listed(command) == ["new", "old"]


def test_what_is_restored_begins_above_all_that_either_file_has_had(
    command: Command, here: Path
) -> None:
    keep(*stream("a"))
    command("streams", "backup", str(COPY))
    far = 5 * 10**15
    with apsw.Connection(str(DATABASE)) as database:
        assert new_epoch(database, above=far) > far
    database.close()
    assert command("streams", "restore", str(COPY)).code == 0
    assert life(DATABASE) > far
    assert life(kept_before()) > far


def test_a_restore_where_nothing_is_makes_the_store(command: Command, here: Path) -> None:
    keep(*stream("a"))
    command("streams", "backup", str(COPY))
    shutil.rmtree(DATABASE.parent)
    said = command("streams", "restore", str(COPY))
    assert (said.code, said.err.startswith("restored 1 stream, ")) == (0, True)
    assert listed(command) == ["a"]
    assert not [*DATABASE.parent.glob("*.before-restore-*")]


@pytest.mark.parametrize("how", ["damaged", "no database", "empty"])
def test_a_store_that_cannot_be_read_is_kept_as_it_is(
    how: str, command: Command, here: Path
) -> None:
    keep(*stream("a", *chat()))
    command("streams", "backup", str(COPY))
    if how == "damaged":
        spoil(DATABASE)
    else:
        DATABASE.write_bytes(b"" if how == "empty" else b"a letter " * 1000)
    Path(f"{DATABASE}-wal").write_bytes(b"what was being written")
    before = DATABASE.read_bytes()
    assert command("streams", "restore", str(COPY)).code == 0
    assert listed(command) == ["a"]
    assert kept_before().read_bytes() == before


def garbage(copy: Path) -> None:
    copy.write_bytes(b"not a database, but a letter to somebody " * 200)


def another(copy: Path) -> None:
    copy.unlink()
    with apsw.Connection(str(copy)) as other:
        other.execute("CREATE TABLE theirs (a); PRAGMA user_version = 1")
    other.close()


def newer(copy: Path) -> None:
    with apsw.Connection(str(copy)) as database:
        database.pragma("user_version", VERSION + 1)
    database.close()


@pytest.mark.parametrize(
    ("change", "code"),
    [
        (Path.unlink, "backup_missing"),
        (garbage, "backup_damaged"),
        (spoil, "backup_damaged"),
        (another, "store_foreign"),
        (lambda copy: copy.write_bytes(b""), "store_foreign"),
        (newer, "store_newer"),
        (lambda copy: copy.unlink() or copy.mkdir(), "store_failed"),
        (lambda copy: copy.unlink() or copy.hardlink_to(DATABASE), "backup_missing"),
    ],
)
def test_what_is_no_sound_backup_of_ours_changes_nothing(
    change: Callable[[Path], object], code: str, command: Command, here: Path
) -> None:
    keep(*stream("a", *chat()))
    command("streams", "backup", str(COPY))
    change(COPY)
    before, there = DATABASE.read_bytes(), files(DATABASE.parent)
    said = command("streams", "restore", str(COPY))
    assert (said.code, said.out) == (1, "")
    assert said.err.endswith(f"({code})\n")
    assert said.err.count("\n") == 1
    assert "copy.db" in said.err
    assert DATABASE.read_bytes() == before
    assert files(DATABASE.parent) == there


def test_an_import_cannot_use_up_all_epochs(command: Command, here: Path) -> None:
    """A position has sixteen digits for it, and the next life is above it."""
    keep(*stream("a", *chat(1)))
    header, record = command("streams", "export", "a").out.splitlines()
    told = orjson.loads(header)
    for epoch, code in ((2**53 - 1, 0), (2**53, 1)):
        given = orjson.dumps({**told, "epochs": [[epoch, 0]]}) + b"\n" + record.encode() + b"\n"
        said = command("streams", "import", "-", "--as", "far", given=given)
        assert said.code == code, said.err
    assert said.err.endswith("(export_malformed)\n")
    assert len(str(life(DATABASE))) == 16


# Keys


def created(command: Command, name: str, *more: str) -> str:
    """The id of a new key."""
    return command("token", "create", "--name", name, *more).out.split("_")[1]


def states(command: Command) -> dict[str, str]:
    lines = command("token", "list", "--json").out.splitlines()
    return {one["name"]: one["state"] for one in map(orjson.loads, lines)}


def test_a_key_that_was_revoked_since_the_backup_stays_revoked(
    command: Command, here: Path
) -> None:
    keep(*stream("a"))
    for name in ("kept", "revoked", "before"):
        created(command, name)
    command("token", "revoke", "before")
    command("streams", "backup", str(COPY))
    command("token", "revoke", "revoked")
    created(command, "later")
    said = command("streams", "restore", str(COPY))
    assert said.err.splitlines()[2:] == ["1 credential was revoked since the backup: that holds"]
    assert states(command) == {"kept": "valid", "revoked": "revoked", "before": "revoked"}
    # Nor does going back to what was replaced let it in.
    command("token", "revoke", "kept")
    said = command("streams", "restore", str(kept_before()))
    assert states(command) == {
        "kept": "revoked", "revoked": "revoked", "before": "revoked", "later": "valid",
    }  # fmt: skip
    (told,) = [line for line in said.err.splitlines() if "valid again" in line]
    assert "(later) is valid again" in told


def test_keys_that_the_replaced_store_does_not_have_are_named(command: Command, here: Path) -> None:
    keep(*stream("a"))
    ids = [created(command, f"key{number}") for number in range(22)]
    expired = created(command, "expired", "--expires", "30d")
    with apsw.Connection(str(DATABASE)) as database:
        database.execute("UPDATE credentials SET expires = 1 WHERE id = ?", (expired,))
    database.close()
    command("streams", "backup", str(COPY))
    spoil(DATABASE)
    said = command("streams", "restore", str(COPY))
    lines = [line for line in said.err.splitlines() if "valid again" in line]
    assert len(lines) == 20
    assert all(line.split()[2] in ids for line in lines)
    assert said.err.endswith("and 2 more: see streamhub token list\n")


def test_a_store_from_before_there_were_keys_is_restored(command: Command, here: Path) -> None:
    keep(*stream("a"))
    with apsw.Connection(str(DATABASE)) as database:
        database.execute("DROP TABLE credentials")
    database.close()
    command("streams", "backup", str(COPY))
    assert command("streams", "restore", str(COPY)).code == 0
