"""``streamhub doctor``: what may go wrong is found before it does, and nothing is changed."""

from __future__ import annotations

import asyncio
import re
from pathlib import Path
from typing import Any

import apsw
import orjson
import pytest

from hub.cli import doctor
from hub.stores.sqlite.health import sqlite_version, wal_is_safe
from tests.cli.stored_streams import DATABASE, keep, stream
from tests.support.processes import Command
from tests.support.redis_server import RedisServer


def findings(command: Command, *, code: int) -> dict[str, list[dict[str, Any]]]:
    """What it found, by check."""
    said = command("doctor", "--json")
    assert (said.code, said.err) == (code, "")
    told = orjson.loads(said.out)
    assert told["ok"] is (code == 0)
    found: dict[str, list[dict[str, Any]]] = {}
    for finding in told["findings"]:
        found.setdefault(finding["check"], []).append(finding)
    return found


def test_a_hub_as_it_comes_is_well_and_nothing_is_made(command: Command, here: Path) -> None:
    said = command("doctor")
    assert said.code == 0
    assert all(line[:5] in ("ok   ", "warn ") for line in said.out.splitlines())
    assert "ok   sqlite       " in said.out
    assert "does not exist yet: the first hub creates it" in said.out
    assert not (here / "data").exists()


def test_a_store_as_a_hub_leaves_it_is_well(command: Command, here: Path) -> None:
    keep(*stream("a", b"1"))
    found = findings(command, code=0)
    for check in ("sqlite", "config", "folder", "store", "hub", "size", "integrity"):
        assert {finding["state"] for finding in found[check]} == {"ok"}, check


@pytest.mark.parametrize(
    ("mode", "state", "code"),
    [(0o600, "ok", 0), (0o640, "warn", 0), (0o644, "warn", 0), (0o666, "fail", 1)],
)
def test_a_file_that_others_can_read_or_write_is_told(
    mode: int, state: str, code: int, command: Command, here: Path
) -> None:
    keep(*stream("a", b"1"))
    DATABASE.chmod(mode)
    finding = findings(command, code=code)["store"][0]
    assert finding["state"] == state
    assert finding["advice"] == ("" if state == "ok" else f"chmod 600 {DATABASE}")


def test_a_folder_in_which_everybody_can_write_is_told(command: Command, here: Path) -> None:
    keep(*stream("a", b"1"))
    DATABASE.parent.chmod(0o777)
    (finding,) = findings(command, code=1)["folder"]
    assert (finding["state"], finding["advice"]) == ("fail", "chmod o-w data")


@pytest.mark.parametrize("where", ["first page", "somewhere", "all"])
def test_damage_is_found_and_the_way_out_is_told(where: str, command: Command, here: Path) -> None:
    keep(*stream("a", *(b'"%d"' % at * 50 for at in range(2000))))
    with DATABASE.open("r+b") as file:
        size = DATABASE.stat().st_size
        file.seek(0 if where == "first page" else size // 2)
        file.write(b"damage " * 1000)
        if where == "all":
            file.seek(0)
            file.write(b"\x00" * size)
    lines = command("doctor").out.splitlines()
    (told,) = [line for line in lines if line.startswith("fail ")]
    assert "damaged" in told
    assert "restore a backup" in told
    assert command("doctor", "--json").code == 1


def test_a_store_of_a_newer_program_is_told(command: Command, here: Path) -> None:
    keep(*stream("a", b"1"))
    with apsw.Connection(str(DATABASE)) as database:
        database.pragma("user_version", 99)
    database.close()
    finding = findings(command, code=1)["store"][-1]
    assert "newer streamhub" in finding["said"]


def test_a_hub_that_runs_is_told_and_not_disturbed(
    command: Command, here: Path, folder: Path, url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMHUB_STORE__URL", f"sqlite:{folder / DATABASE}")
    command("publish", "doctored", "--url", url, given=b"one\n")
    found = findings(command, code=0)
    number = (folder / f"{DATABASE}.lock").read_text().strip()
    assert found["hub"][0]["said"] == f"process {number} uses the store"
    assert found["integrity"][0]["state"] == "ok"
    assert command("publish", "doctored", "--url", url, given=b"two\n").code == 0


def test_mistakes_in_the_configuration_are_told(command: Command, here: Path) -> None:
    (here / "config.toml").write_text("[server]\nprot = 1\n[limits]\nstreams = 0")
    said = [finding["said"] for finding in findings(command, code=1)["config"]]
    assert said == [
        'config.toml:2: server.prot: unknown key; did you mean "port"?',
        "config.toml:4: limits.streams: must be at least 1",
    ]


@pytest.mark.parametrize(
    ("mode", "state", "code"), [(0o600, "ok", 0), (0o644, "warn", 0), (0o602, "fail", 1)]
)
def test_a_key_that_others_can_read_is_told_and_not_shown(
    mode: int, state: str, code: int, command: Command, here: Path
) -> None:
    key = here / "key"
    key.write_text("sk-verysecret")
    key.chmod(mode)
    (here / "config.toml").write_text(f'[upstreams.demo]\ndialect = "demo"\napi_key_file = "{key}"')
    (finding,) = findings(command, code=code)["key file"]
    assert finding["state"] == state
    assert "sk-verysecret" not in command("doctor").out


def test_a_key_that_is_missing_is_told(command: Command, here: Path) -> None:
    (here / "config.toml").write_text(
        '[upstreams.demo]\ndialect = "demo"\napi_key_env = "NO_SUCH_KEY"'
    )
    (finding,) = findings(command, code=1)["config"]
    assert "NO_SUCH_KEY" in finding["said"]


def test_more_connections_than_files_may_be_open_is_told(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMHUB_LIMITS__SOCKETS", str(2**39))
    (finding,) = findings(command, code=0)["open files"]
    assert finding["state"] == "warn"
    assert str(2**39) in finding["said"]
    monkeypatch.setenv("STREAMHUB_LIMITS__SOCKETS", "1")
    (finding,) = findings(command, code=0)["open files"]
    assert finding["state"] == "ok"


def test_streams_in_memory_need_no_file(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMHUB_STORE__URL", "memory:")
    assert set(findings(command, code=0)) == {"sqlite", "config", "access", "open files", "store"}


@pytest.mark.parametrize(
    ("version", "safe"),
    [
        ("3.7.0", False),
        ("3.44.5", False),
        ("3.44.6", True),
        ("3.44.10", True),
        ("3.45.0", False),
        ("3.50.6", False),
        ("3.50.7", True),
        ("3.51.0", False),
        ("3.51.2", False),
        ("3.51.3", True),
        ("3.53.0", True),
        ("4.0.0", True),
    ],
)
def test_the_versions_with_the_corruption_bug_are_known(version: str, safe: bool) -> None:
    """SQLite's own account of the WAL-reset bug: https://sqlite.org/wal.html#walresetbug."""
    assert wal_is_safe(version) is safe


def test_a_sqlite_with_the_bug_fails(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    assert wal_is_safe(sqlite_version()), "the tests run with a SQLite that has the bug"
    monkeypatch.setattr(doctor, "sqlite_version", lambda: "3.51.2")
    (finding,) = findings(command, code=1)["sqlite"]
    assert "3.51.3" in finding["advice"]


async def test_the_server_that_hubs_share_is_tried(
    command: Command, here: Path, redis_server: RedisServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMHUB_STORE__URL", f"redis://127.0.0.1:{redis_server.port}")
    told = await asyncio.to_thread(findings, command, code=0)
    (found,) = told["store"]
    assert (found["state"], found["said"][:18]) == ("ok", "the server answers")
    (found,) = told["permissions"]
    assert (found["state"], found["said"]) == (
        "ok",
        'the user "default" may do all that a hub does',
    )
    (found,) = told["topology"]
    assert found["state"] == "ok"
    assert re.match(r"one server: (Redis|Valkey) \d", found["said"])
    assert f"at 127.0.0.1:{redis_server.port}, with no replica" in found["said"]
    await redis_server.ask("CONFIG", "SET", "maxmemory-policy", "allkeys-lru")
    (found,) = (await asyncio.to_thread(findings, command, code=1))["store"]
    assert "set it to noeviction" in found["said"]
    await redis_server.kill()
    (found,) = (await asyncio.to_thread(findings, command, code=1))["store"]
    assert "cannot be used at the moment" in found["said"]


@pytest.mark.parametrize(
    ("rules", "lacking"),
    [
        (("+@all", "-xadd", "-subscribe", "~sh:*", "&sh:*"), "+xadd +subscribe"),
        (("+@all", "~cache:*", "&*"), "~sh:*"),
        (("+@all", "-info", "~*", "&*"), "+info"),
    ],
)
async def test_what_the_user_of_the_server_may_not_do_is_named(
    rules: tuple[str, ...],
    lacking: str,
    command: Command,
    here: Path,
    redis_server: RedisServer,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    await redis_server.ask("ACL", "SETUSER", "hub", "on", ">s3cret", *rules)
    store = {"URL": redis_server.url, "USER_ENV": "HUB_USER", "PASSWORD_ENV": "HUB_PASSWORD"}
    for name, value in store.items():
        monkeypatch.setenv(f"STREAMHUB_STORE__{name}", value)
    monkeypatch.setenv("HUB_USER", "hub")
    monkeypatch.setenv("HUB_PASSWORD", "s3cret")
    (found,) = (await asyncio.to_thread(findings, command, code=1))["permissions"]
    assert found["state"] == "fail"
    assert found["said"] == f'the user "hub" lacks {lacking.replace(" ", ", ")}'
    assert found["advice"] == f"ACL SETUSER hub {lacking}, and look again"
