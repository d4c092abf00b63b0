"""``streamhub streams``: what is kept is seen, taken out, put back and deleted, whole or not."""

from __future__ import annotations

import asyncio
import os
import pty
import signal
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import apsw
import orjson
import pytest

from hub.domain.producers import Stamp
from hub.domain.records import Position, Record
from hub.domain.stream_settings import Fork, StreamSettings
from hub.frames.coalesce import SPAN
from hub.stores import (
    Accepted,
    Appended,
    Began,
    Closed,
    Created,
    Raised,
    Sequenced,
    Touched,
    Trimmed,
)
from hub.stores.memory import MemoryStore
from hub.stores.sqlite import SQLiteStore
from hub.streams.history import History
from tests.cli.stored_streams import DATABASE, keep, load, stream
from tests.support.patience import PATIENCE
from tests.support.processes import COMMAND, Command, environ

TEXT = StreamSettings("text/plain; charset=utf-8")


class Lived(MemoryStore):
    """It was in every life that somebody names."""

    def lived(self, epoch: int) -> bool:
        return epoch >= 0


def chat(count: int = 3) -> list[bytes]:
    return [b'{"type":"message","role":"user","text":"%d"}' % at for at in range(count)]


def names(out: str) -> list[str]:
    return [orjson.loads(line)["stream"] for line in out.splitlines()]


# Looking


def test_list_tells_of_each_stream_in_a_line(command: Command, here: Path) -> None:
    keep(
        *stream("b", b"one", b" two", settings=TEXT),
        Closed("b"),
        *stream("a", *chat()),
        Touched("a", 2_000_000_000.0),
        *stream("c", b"1", b"2", b"3"),
        Trimmed("c", 1),
    )
    said = command("streams", "list")
    assert (said.code, said.err) == (0, "")
    assert [line.split() for line in said.out.splitlines()] == [
        ["RECORDS", "BYTES", "STATE", "EXPIRES", "TYPE", "NAME"],
        ["3", "129", "open", "2033-05-18T03:33:20Z", "application/json", "a"],
        ["2", "7", "closed", "-", "text/plain;", "charset=utf-8", "b"],
        ["2", "2", "open", "-", "application/json", "c"],
    ]
    first = orjson.loads(command("streams", "list", "--json").out.splitlines()[1])
    assert first == {
        "stream": "b",
        "content_type": "text/plain; charset=utf-8",
        "records": 2,
        "bytes": 7,
        "state": "closed",
        "closed": True,
        "expires": None,
    }


def test_list_comes_in_pages_that_miss_and_repeat_nothing(command: Command, here: Path) -> None:
    held = sorted([f"a/{at}" for at in range(1201)] + ["a", "b", "~"])
    keep(*(change for name in held for change in stream(name)))
    said = command("streams", "list", "--json")
    assert names(said.out) == held[:100]
    assert said.err == f"there are more streams: add --after {held[99]}\n"
    rest = command("streams", "list", "--json", "--after", held[99], "--limit", "5000")
    assert names(rest.out) == held[100:]
    assert rest.err == ""


def test_list_takes_the_beginning_of_names(command: Command, here: Path) -> None:
    keep(*(change for name in ("a", "ab", "ab/c", "b", "~~") for change in stream(name)))
    for prefix, expected in {"ab": ["ab", "ab/c"], "~": ["~~"], "%": [], "B": []}.items():
        assert names(command("streams", "list", prefix, "--json").out) == expected
    assert names(command("streams", "list", "a", "--after", "ab", "--json").out) == ["ab/c"]


def test_show_tells_positions_epochs_producers_and_forks(command: Command, here: Path) -> None:
    keep(
        *stream("a", *chat(4), settings=StreamSettings(ttl=60)),
        Raised("a", 7, 2),
        Accepted("a", Stamp("p", 0, 3)),
        Sequenced("a", "0005"),
        Trimmed("a", 1),
        Created("f", StreamSettings(fork=Fork("a", 3)), ((0, 0), (7, 2), (8, 3)), head=1),
        Appended("f", Record(3, b"{}", None)),
    )
    told = orjson.loads(command("streams", "show", "a", "--json").out)
    assert told["head"] == str(Position(0, 1))
    assert told["tail"] == str(Position(7, 4))
    assert told["epochs"] == [{"epoch": 0, "offset": 0}, {"epoch": 7, "offset": 2}]
    assert (told["producers"], told["sequence"], told["ttl"]) == (1, "0005", 60)
    assert (told["records"], told["forks"], told["forked_from"]) == (3, 1, None)
    told = orjson.loads(command("streams", "show", "f", "--json").out)
    assert told["forked_from"] == {"stream": "a", "offset": 3}
    assert (told["records"], told["bytes"]) == (3, 2)
    lines = command("streams", "show", "f").out.splitlines()
    assert "forked from   a at offset 3" in lines
    assert "epochs        0 from offset 0, 7 from offset 2, 8 from offset 3" in lines


@pytest.mark.parametrize("what", ["show", "export", "delete"])
def test_a_stream_there_is_not_is_one_line(what: str, command: Command, here: Path) -> None:
    keep()
    said = command("streams", what, "none")
    assert (said.code, said.out) == (1, "")
    assert said.err == f'error: there is no stream "none" in {DATABASE} (stream_not_found)\n'


@pytest.mark.parametrize("what", [["list"], ["show", "a"], ["delete", "a", "--yes"], ["compact"]])
def test_where_nothing_is_kept_nothing_is_made(
    what: list[str], command: Command, here: Path
) -> None:
    said = command("streams", *what)
    assert said.code == 1
    assert said.err.endswith("(store_missing)\n")
    assert not (here / "data").exists()


def test_streams_in_memory_are_in_no_file(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMHUB_STORE__URL", "memory:")
    said = command("streams", "list")
    assert said.code == 1
    assert said.err.endswith("(store_memory)\n")


def test_a_file_of_something_else_is_refused_and_left_alone(command: Command, here: Path) -> None:
    DATABASE.parent.mkdir()
    DATABASE.write_bytes(b"not a database, but a letter to somebody " * 200)
    before = DATABASE.read_bytes()
    for what in (["list"], ["compact"], ["delete", "a", "--yes"]):
        said = command("streams", *what)
        assert said.code == 1
        assert said.err.endswith("(store_corrupt)\n")
    DATABASE.unlink()
    with apsw.Connection(str(DATABASE)) as other:
        other.execute("CREATE TABLE theirs (a)")
    other.close()
    assert command("streams", "list").err.endswith("(store_older)\n")
    assert command("streams", "compact").err.endswith("(store_foreign)\n")
    assert before != DATABASE.read_bytes()


async def next_epoch() -> int:
    store = SQLiteStore(DATABASE)
    await store.start()
    await store.stop()
    return store.epoch()


# Out and in again


def test_an_import_is_the_stream_that_was_exported(command: Command, here: Path) -> None:
    keep(
        *stream("a/b", *chat(2000), settings=StreamSettings(ttl=60)),
        Raised("a/b", 3, 5),
        Accepted("a/b", Stamp("p", 0, 3)),
        Sequenced("a/b", "x"),
        Trimmed("a/b", 2),
        Closed("a/b", Stamp("p", 0, 4)),
    )
    exported = command("streams", "export", "a/b").out
    before = load("a/b")
    assert before is not None
    DATABASE.unlink()
    said = command("streams", "import", "-", given=exported.encode())
    assert (said.code, said.out, said.err) == (0, "", "imported a/b: 1998 records\n")
    after = load("a/b")
    assert after is not None
    for kept in ("settings", "head", "tail", "closed", "closed_by", "producers", "sequence"):
        assert getattr(after, kept) == getattr(before, kept), kept
    assert after.expires is not None
    header, *records = command("streams", "export", "a/b").out.splitlines()
    assert records == exported.splitlines()[1:]
    *before_it, (epoch, first) = orjson.loads(header)["epochs"]
    assert (before_it, first) == ([[0, 0], [3, 5]], 2000)
    assert epoch > 3


def test_positions_hold_in_an_import_and_later_ones_are_told_to_go_back(
    command: Command, here: Path
) -> None:
    tail = SPAN + 5
    keep(*stream("a", *chat(tail)), Raised("a", 2, 3))
    exported = command("streams", "export", "a").out.encode()
    DATABASE.unlink()
    command("streams", "import", "-", given=exported)
    saved = load("a")
    assert saved is not None
    history = History("a", saved, MemoryStore())
    for position in (Position(0, 0), Position(0, 3), Position(2, 4), Position(2, tail)):
        assert history.place(position).reset is None
        assert history.place(position).offset == position.offset
    # The stream that was exported went on, and somebody read that.
    beyond = history.place(Position(2, tail + 1)).reset
    assert beyond is not None
    assert (beyond.position, beyond.reason) == (Position(2, SPAN), "unwritten")


def test_whoever_read_a_stream_that_was_replaced_is_told(command: Command, here: Path) -> None:
    keep(*stream("a", *chat(5)))
    exported = command("streams", "export", "a").out.encode()
    said = command("streams", "import", "-", given=exported)
    assert (said.code, said.out) == (1, "")
    assert said.err.endswith("(stream_exists)\n")
    assert command("streams", "import", "-", "--replace", given=exported).code == 0
    saved = load("a")
    assert saved is not None
    assert History("a", saved, MemoryStore()).place(Position(0, 2)).reset is not None
    assert command("streams", "export", "a", "--raw").out.encode() == b"\n".join(chat(5)) + b"\n"


def test_whoever_stood_at_the_head_of_what_replaces_a_stream_is_told_too(
    command: Command, here: Path
) -> None:
    """What they have before it is not the past of what they would go on with."""
    keep(*stream("a", *chat(8)), Trimmed("a", 5), *stream("b", *chat(9)))
    exported = command("streams", "export", "a").out.encode()
    replacing = ("streams", "import", "-", "--as", "b", "--replace")
    assert command(*replacing, given=exported).code == 0
    saved = load("b")
    assert saved is not None
    history = History("b", saved, Lived())
    for offset in range(1, 10):
        place = history.place(Position(0, offset))
        assert place.reset is not None, offset
        assert place.offset == 0
    # From there the gap is told.
    again = history.place(Position(0, 0))
    assert again.reset is not None
    assert (again.reset.reason, again.offset) == ("trimmed", 5)


def test_whoever_read_what_was_deleted_is_told_in_an_import_of_its_name(
    command: Command, here: Path
) -> None:
    keep(*stream("a", *chat(5)), *stream("b", *chat(5)))
    exported = command("streams", "export", "a").out.encode()
    command("streams", "delete", "b", "--yes")
    assert command("streams", "import", "-", "--as", "b", given=exported).code == 0
    saved = load("b")
    assert saved is not None
    history = History("b", saved, MemoryStore())
    assert all(history.place(Position(0, offset)).reset for offset in range(1, 6))


def test_a_reply_that_was_running_ends_as_interrupted_in_the_copy(
    command: Command, here: Path
) -> None:
    delta = b'{"type":"delta","generation":"%s","text":"a"}'
    keep(
        *stream(
            "a", b'{"type":"started","generation":"g"}', delta % b"g", delta % b"f", delta % b"g"
        ),
        Began("a", "g", Position(0, 0), 0),
        *stream("own", delta % b"own"),
        Began("own", "own", Position(0, 0), 0),
    )
    for name, closed in (("a", False), ("own", True)):
        exported = command("streams", "export", name).out.encode()
        assert (
            command("streams", "import", "-", "--as", "copy", "--replace", given=exported).code == 0
        )
        told = orjson.loads(command("streams", "show", "copy", "--json").out)
        assert (told["closed"], told["running"]) == (closed, [])
        *same, last = command("streams", "export", "copy", "--raw").out.splitlines()
        assert same == command("streams", "export", name, "--raw").out.splitlines()
        end = orjson.loads(last)
        assert end["type"] == "interrupted"
        assert end["usage"] == {"completion_tokens": 1 + (name == "a"), "estimated": True}
    assert orjson.loads(command("streams", "show", "a", "--json").out)["running"] == ["g"]


def test_an_export_has_what_a_fork_shares(command: Command, here: Path) -> None:
    keep(
        *stream("a", b"0", b"1", b"2", b"3"),
        Created("f", StreamSettings(fork=Fork("a", 3)), ((0, 0), (1, 3))),
        Appended("f", Record(3, b"30", None)),
        Created("g", StreamSettings(fork=Fork("f", 4)), ((0, 0), (1, 3), (2, 4))),
        Appended("g", Record(4, b"40", None)),
        Created("h", StreamSettings(fork=Fork("g", 2)), ((0, 0), (3, 2))),
    )
    assert command("streams", "export", "g", "--raw").out.split() == ["0", "1", "2", "30", "40"]
    assert command("streams", "export", "h", "--raw").out.split() == ["0", "1"]
    exported = command("streams", "export", "g").out.encode()
    assert command("streams", "import", "-", "--as", "own", given=exported).code == 0
    assert orjson.loads(command("streams", "show", "own", "--json").out)["forked_from"] is None
    assert command("streams", "export", "own", "--raw").out.split() == ["0", "1", "2", "30", "40"]
    refused = command("streams", "import", "-", "--as", "a", "--replace", given=exported)
    assert refused.err.endswith("(stream_forked)\n")


def test_raw_is_the_bytes_and_nothing_else(here: Path) -> None:
    bodies = b"\x00\xff\r\n", b"", "你".encode()[:2], b"!"
    keep(*stream("a", *bodies, settings=StreamSettings("application/octet-stream")))
    said = subprocess.run(
        [*COMMAND, "streams", "export", "a", "--raw"],
        capture_output=True,
        env=environ(),
        timeout=PATIENCE,
    )
    assert (said.returncode, said.stdout, said.stderr) == (0, b"".join(bodies), b"")


def test_an_exported_file_is_whole_and_its_owners_alone(command: Command, here: Path) -> None:
    keep(*stream("a", *chat()))
    said = command("streams", "export", "a", "-o", "a.ndjson")
    assert (said.code, said.out, said.err) == (0, "", "")
    assert (here / "a.ndjson").stat().st_mode & 0o777 == 0o600
    assert (here / "a.ndjson").read_text() == command("streams", "export", "a").out
    with apsw.Connection(str(DATABASE)) as database:
        database.execute("DELETE FROM records WHERE offset = 1")
    database.close()
    said = command("streams", "export", "a", "-o", "b.ndjson")
    assert said.code == 1
    assert said.err.endswith("(stream_changed)\n")
    assert not [*here.glob("b.ndjson*")]


BROKEN = {
    "cut short": (slice(0, 3), b"", "export_truncated"),
    "a record twice": (slice(0, 3), b'{"offset":1,"body":1}', "export_malformed"),
    "one too many": (slice(0, 4), b'{"offset":3,"body":1}', "export_malformed"),
    "not JSON": (slice(0, 3), b"{", "export_malformed"),
}


@pytest.mark.parametrize("how", BROKEN)
def test_a_broken_export_changes_nothing(how: str, command: Command, here: Path) -> None:
    keep(*stream("a", *chat()))
    exported = command("streams", "export", "a").out.encode()
    part, more, code = BROKEN[how]
    given = b"\n".join([*exported.splitlines()[part], more])
    for name in ("a", "b"):
        said = command("streams", "import", "-", "--as", name, "--replace", given=given)
        assert said.code == 1
        assert said.err.endswith(f"({code})\n")
    assert names(command("streams", "list", "--json").out) == ["a"]
    assert command("streams", "export", "a").out.encode() == exported


@pytest.mark.parametrize("name", ["", "a//b", "../a", "__ds/a", "a b", "x" * 201])
def test_an_import_takes_no_name_that_no_request_can_have(
    name: str, command: Command, here: Path
) -> None:
    keep(*stream("a", *chat()))
    exported = command("streams", "export", "a").out.encode()
    assert command("streams", "import", "-", "--as", name, given=exported).err.endswith(
        "(bad_name)\n"
    )


def test_what_has_expired_is_not_imported(command: Command, here: Path) -> None:
    keep(*stream("a", settings=StreamSettings(expires_at="2020-01-01T00:00:00Z")))
    exported = command("streams", "export", "a").out.encode()
    said = command("streams", "import", "-", "--as", "b", given=exported)
    assert said.err.endswith("(stream_expired)\n")


# Deleting


def test_delete_asks_somebody_or_nobody(command: Command, here: Path) -> None:
    keep(*stream("a", *chat()), *stream("b"))
    said = command("streams", "delete", "a")
    assert (said.code, said.err) == (
        1,
        "error: nobody can confirm it here: add --yes (not_confirmed)\n",
    )
    assert command("streams", "delete", "a", "--yes").code == 0
    assert names(command("streams", "list", "--json").out) == ["b"]
    assert load("a") is None


@pytest.mark.parametrize(("answer", "left"), [("y", []), ("", ["a"])])
def test_delete_asks_on_a_terminal(
    answer: str, left: list[str], command: Command, here: Path
) -> None:
    keep(*stream("a", *chat()))
    leader, follower = pty.openpty()
    os.write(leader, f"{answer}\n".encode())
    with subprocess.Popen(
        [*COMMAND, "streams", "delete", "a"],
        stdin=follower,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        env=environ(),
    ) as running:
        out, err = running.communicate(timeout=PATIENCE)
    os.close(follower)
    os.close(leader)
    assert running.returncode == len(left)
    assert (out, err.startswith(b"Delete a, 3 records, permanently?")) == (b"", True)
    assert names(command("streams", "list", "--json").out) == left


def test_a_source_goes_with_the_last_of_its_forks(command: Command, here: Path) -> None:
    keep(
        *stream("a", *chat()),
        Created("f", StreamSettings(fork=Fork("a", 2)), ((0, 0), (1, 2))),
        Created("g", StreamSettings(fork=Fork("f", 2)), ((0, 0), (2, 2))),
    )
    for name in ("a", "f"):
        said = command("streams", "delete", name, "--yes")
        assert said.err == f"deleted {name}; its forks keep its records\n"
    assert command("streams", "delete", "a", "--yes").err.endswith("(stream_deleted)\n")
    assert command("streams", "export", "g", "--raw").out.count("\n") == 2
    assert command("streams", "delete", "g", "--yes").code == 0
    assert command("streams", "list", "--json").out == ""


def test_a_name_that_was_deleted_begins_in_a_later_epoch(command: Command, here: Path) -> None:
    """Or else who read the old stream would go on in the new one."""
    keep(Created("a", StreamSettings(), ((epoch := asyncio.run(next_epoch()), 0),)))
    command("streams", "delete", "a", "--yes")
    assert asyncio.run(next_epoch()) > epoch


def test_compact_gives_the_space_back(command: Command, here: Path) -> None:
    keep(*stream("a", *(b'"%s"' % (b"x" * 4000) for _ in range(1000))), *stream("b", b"1"))
    assert DATABASE.stat().st_size > 4_000_000
    assert command("streams", "delete", "a", "--yes").code == 0
    said = command("streams", "compact")
    assert (said.code, said.out) == (0, "")
    assert "MiB freed: " in said.err
    assert DATABASE.stat().st_size < 200_000
    assert command("streams", "export", "b", "--raw").out == "1\n"


# Beside a hub


@pytest.fixture
def beside(folder: Path, url: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """Where the hub of all tests runs; the commands are configured for its store."""
    monkeypatch.setenv("STREAMHUB_STORE__URL", f"sqlite:{folder / DATABASE}")
    return url


def test_what_a_running_hub_has_kept_can_be_seen(command: Command, here: Path, beside: str) -> None:
    command("publish", "beside/a", "--url", beside, given=b"one\ntwo\n")
    assert names(command("streams", "list", "beside/", "--json").out) == ["beside/a"]
    assert orjson.loads(command("streams", "show", "beside/a", "--json").out)["records"] == 2
    assert '"text":"two"' in command("streams", "export", "beside/a").out


def test_what_a_running_hub_has_is_not_changed_behind_its_back(
    command: Command, here: Path, beside: str
) -> None:
    command("publish", "beside/b", "--url", beside, given=b"one\n")
    exported = command("streams", "export", "beside/b").out.encode()
    said = command("streams", "delete", "beside/b", "--yes")
    assert (said.code, said.out) == (1, "")
    assert "is in use by another streamhub (process " in said.err
    assert "curl -X DELETE http://127.0.0.1:7000/v1/stream/beside/b (store_locked)\n" in said.err
    for what in (["import", "-", "--replace"], ["compact"]):
        said = command("streams", *what, given=exported)
        assert said.code == 1
        assert said.err.endswith("(store_locked)\n")
    assert command("streams", "export", "beside/b").out.encode() == exported


@contextmanager
def hub() -> Iterator[subprocess.Popen[bytes]]:
    serve = [*COMMAND, "serve", "--port", "0"]
    with subprocess.Popen(serve, stderr=subprocess.PIPE, env=environ()) as serving:
        assert serving.stderr is not None
        yield serving
        serving.kill()


def test_what_a_killed_hub_had_kept_can_be_seen_and_changed(command: Command, here: Path) -> None:
    keep(*stream("old"))
    with hub() as serving:
        assert serving.stderr is not None
        line = serving.stderr.readline().decode()
        url = next(word for word in line.split() if word.startswith("http://"))
        command("publish", "new", "--url", url, given=b"one\ntwo\n")
        serving.send_signal(signal.SIGKILL)
        serving.wait()
        assert Path(f"{DATABASE}-wal").stat().st_size > 0
        assert command("streams", "export", "new").out.count("\n") == 3
        assert command("streams", "delete", "old", "--yes").code == 0
        assert names(command("streams", "list", "--json").out) == ["new"]


def test_a_terminal_is_not_obeyed(here: Path) -> None:
    """What a stranger wrote has no say over the terminal of whoever looks at it."""
    keep(*stream("a", b"\x1b[2Jgone\x9b2J", settings=TEXT))
    leader, follower = pty.openpty()
    with subprocess.Popen(
        [*COMMAND, "streams", "export", "a", "--raw"], stdout=follower, env=environ()
    ) as running:
        running.wait(PATIENCE)
    os.close(follower)
    shown = os.read(leader, 4096)
    os.close(leader)
    assert b"gone" in shown
    assert b"\x1b" not in shown


def test_an_import_that_does_not_fit_on_the_disk_changes_nothing(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    keep(*stream("a", *(b'"%s"' % (b"x" * 4000) for _ in range(1000))))
    exported = command("streams", "export", "a").out.encode()
    small = here / "small"
    small.mkdir()
    mounting = ["mount", "-t", "tmpfs", "-o", "size=2m", "tmpfs", str(small)]
    if subprocess.run(mounting, capture_output=True).returncode:
        pytest.skip("only root may mount a small disk")
    try:
        keep(*stream("b", b"1"), path=small / "a.db")
        monkeypatch.setenv("STREAMHUB_STORE__URL", f"sqlite:{small / 'a.db'}")
        for arguments in (["--as", "b", "--replace"], []):
            said = command("streams", "import", "-", *arguments, given=exported)
            assert said.code == 1
            assert said.err.endswith("is full: free some space (store_full)\n")
        assert names(command("streams", "list", "--json").out) == ["b"]
        assert command("streams", "export", "b", "--raw").out == "1\n"
        assert "fail disk" in command("doctor").out
    finally:
        subprocess.run(["umount", str(small)], check=True)
