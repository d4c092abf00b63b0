"""The admin socket: for its owner alone, beside the store, whatever lay there before."""

from __future__ import annotations

import asyncio
import logging
import os
import socket
import stat
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import orjson
import pytest

from hub.http.private_sockets import address
from hub.server import admin
from hub.server.admin import AdminSocket, admin_path, from_json
from hub.stores import Credential
from hub.stores.credential_json import as_json
from hub.stores.memory import MemoryCredentials
from tests.support.patience import PATIENCE

KEY = Credential("key", "abcdefghijkl", b"\x01" * 32, "ci", "alice", created=5.0)


@pytest.fixture
def credentials() -> MemoryCredentials:
    return MemoryCredentials()


@pytest.fixture
def path(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir(0o750)
    return folder / "hub.db.admin"


@pytest.fixture
def revoked() -> list[str]:
    """The ids that the hub was told of."""
    return []


async def test_the_socket_of_a_successor_is_left_alone(path: Path) -> None:
    first, second = (AdminSocket(path, MemoryCredentials(), print) for _ in range(2))
    await first.open()
    await second.open()
    await first.close()
    assert await ask(path, b"{}\n")
    await second.close()
    with pytest.raises(FileNotFoundError):
        mode(path)


@pytest.fixture
async def opened(
    path: Path, credentials: MemoryCredentials, revoked: list[str]
) -> AsyncIterator[AdminSocket]:
    opened = AdminSocket(path, credentials, revoked.append)
    await opened.open()
    yield opened
    await opened.close()


async def ask(path: Path, asked: bytes) -> dict[str, Any]:
    with address(path) as where:
        reader, writer = await asyncio.open_unix_connection(where)
    writer.write(asked)
    if not asked.endswith(b"\n"):
        writer.write_eof()
    async with asyncio.timeout(PATIENCE):
        reply = await reader.read()
    writer.close()
    found: dict[str, Any] = orjson.loads(reply)
    return found


def mode(path: Path) -> str:
    """Its type and its permissions, as ``ls`` shows them."""
    return stat.filemode(path.lstat().st_mode)


def line(**fields: object) -> bytes:
    return orjson.dumps(fields) + b"\n"


async def test_it_is_for_its_owner_alone(opened: AdminSocket, path: Path) -> None:
    assert mode(path) == "srw-------"
    assert mode(path.parent) == "drwxr-x---", "the folder stays as it is"
    assert os.listdir(path.parent) == [path.name]
    await opened.close()
    assert os.listdir(path.parent) == []


async def test_the_mask_of_the_process_is_its_own_again(path: Path) -> None:
    mask = os.umask(0o022)
    try:
        opened = AdminSocket(path, MemoryCredentials(), list[str]().append)
        await opened.open()
        assert os.umask(0o022) == 0o022
        assert mode(path) == "srw-------"
        await opened.close()
    finally:
        os.umask(mask)


async def test_what_is_added_is_kept_and_what_is_revoked_too(
    opened: AdminSocket, path: Path, credentials: MemoryCredentials, revoked: list[str]
) -> None:
    added = await ask(path, line(do="add", credential=as_json(KEY)))
    assert from_json(added["credential"]) == KEY
    assert await credentials.find("key", KEY.id) == KEY
    again = await ask(path, line(do="add", credential=as_json(KEY)))
    assert again["error"]["code"] == "credential_exists"
    ended = await ask(path, line(do="revoke", kind="key", id=KEY.id, now=7.5))
    assert ended["credential"]["revoked"] == 7.5
    none = await ask(path, line(do="revoke", kind="key", id="other", now=7.5))
    assert none == {"credential": None}
    assert revoked == [KEY.id]


MISTAKES = {
    "nothing": b"",
    "no JSON": b"add\n",
    "no object": b"[]\n",
    "no request": b"{}\n",
    "unknown": line(do="dance"),
    "a time as text": line(do="revoke", kind="key", id="a", now="7"),
    "no credential": line(do="add"),
    "a field of a newer command": line(do="add", credential={**as_json(KEY), "network": "x"}),
    "another kind": line(do="add", credential={**as_json(KEY), "kind": "door"}),
    "no hash": line(do="add", credential={**as_json(KEY), "hash": None}),
    "a hash that is none": line(do="add", credential={**as_json(KEY), "hash": "xyz"}),
    "a number for a name": line(do="add", credential={**as_json(KEY), "name": 5}),
    "true for a time": line(do="add", credential={**as_json(KEY), "expires": True}),
    "a short hash": line(do="add", credential={**as_json(KEY), "hash": "ab"}),
    "an id that is none": line(do="add", credential={**as_json(KEY), "id": "two\nlines...."}),
    "a name of two lines": line(do="add", credential={**as_json(KEY), "name": "a\nb"}),
    "a time that nobody can write": line(do="add", credential={**as_json(KEY), "expires": 1e15}),
    "a link of nobody": line(
        do="add", credential={**as_json(KEY), "kind": "login", "user": None, "expires": 9.0}
    ),
    "a link without an end": line(do="add", credential={**as_json(KEY), "kind": "login"}),
    "a session": line(do="add", credential={**as_json(KEY), "kind": "session"}),
    "a secret of the hub": line(do="revoke", kind="secret", id="tickets", now=1.0),
    "strange grants": line(do="add", credential={**as_json(KEY), "grants": "[{}]"}),
}


@pytest.mark.parametrize("name", MISTAKES)
async def test_a_mistake_is_told_and_changes_nothing(
    name: str, opened: AdminSocket, path: Path, credentials: MemoryCredentials
) -> None:
    reply = await ask(path, MISTAKES[name])
    assert reply["error"]["code"] == "bad_command"
    assert await credentials.listed("key", "", 10) == []


async def test_a_line_without_an_end_is_cut_off(opened: AdminSocket, path: Path) -> None:
    reader, writer = await asyncio.open_unix_connection(str(path))
    writer.write(b"x" * (admin.LINE_BYTES * 3))
    with suppress(ConnectionError):
        assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()


async def test_who_sends_nothing_is_cut_off(
    path: Path, credentials: MemoryCredentials, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(admin, "REQUEST_SECONDS", 0.05)
    opened = AdminSocket(path, credentials, list[str]().append)
    await opened.open()
    reader, writer = await asyncio.open_unix_connection(str(path))
    assert await asyncio.wait_for(reader.read(), PATIENCE) == b""
    writer.close()
    await opened.close()


async def test_many_at_once(opened: AdminSocket, path: Path) -> None:
    keys = [Credential("key", f"key{number:09}", b"h" * 32, created=1.0) for number in range(50)]
    replies = await asyncio.gather(
        *(ask(path, line(do="add", credential=as_json(key))) for key in keys)
    )
    assert [from_json(reply["credential"]) for reply in replies] == keys


async def test_the_socket_of_a_dead_hub_is_replaced(
    path: Path, credentials: MemoryCredentials
) -> None:
    with socket.socket(socket.AF_UNIX) as dead:
        dead.bind(str(path))
        dead.listen()
    opened = AdminSocket(path, credentials, list[str]().append)
    await opened.open()
    assert (await ask(path, line(do="revoke", kind="key", id="a", now=1.0))) == {"credential": None}
    await opened.close()


@pytest.fixture
def taken(path: Path, request: pytest.FixtureRequest) -> Path:
    """A file of somebody else's, with its name or behind a link of its name."""
    target = path.with_name("target")
    if request.param == "link":
        path.symlink_to(target)
    else:
        target = path
    target.write_text("mine")
    return target


@pytest.mark.parametrize("taken", ["file", "link"], indirect=True)
async def test_a_file_with_its_name_is_left_alone(
    taken: Path, path: Path, credentials: MemoryCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    before = mode(path)
    opened = AdminSocket(path, credentials, list[str]().append)
    with caplog.at_level(logging.WARNING):
        await opened.open()
    assert "the command line cannot reach this hub" in caplog.text
    assert "something else with this name" in caplog.text
    await opened.close()
    assert mode(path) == before
    with open(taken) as file:  # noqa: ASYNC230 - a few bytes
        assert file.read() == "mine"


async def test_a_path_that_is_too_long_for_a_socket_works(
    tmp_path: Path, credentials: MemoryCredentials
) -> None:
    folder = tmp_path / ("long" * 20) / ("long" * 20)
    folder.mkdir(parents=True)
    path = folder / "hub.db.admin"
    opened = AdminSocket(path, credentials, list[str]().append)
    await opened.open()
    assert mode(path) == "srw-------"
    reply = await ask(path, line(do="add", credential=as_json(KEY)))
    assert from_json(reply["credential"]) == KEY
    await opened.close()
    assert not path.exists()


async def test_a_name_that_is_too_long_is_logged(
    tmp_path: Path, credentials: MemoryCredentials, caplog: pytest.LogCaptureFixture
) -> None:
    opened = AdminSocket(tmp_path / ("n" * 120), credentials, list[str]().append)
    with caplog.at_level(logging.WARNING):
        await opened.open()
    assert "too long" in caplog.text
    await opened.close()


def test_a_store_in_memory_has_none() -> None:
    assert admin_path("memory:") is None
    assert admin_path("sqlite:data/hub.db") == Path("data/hub.db.admin")
