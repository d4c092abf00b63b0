"""``streamhub token``: keys are made once, kept as hashes, and revoked, with a hub and without."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import socket
import stat
import subprocess
import threading
import time
import tomllib
from collections.abc import Iterator
from contextlib import contextmanager
from datetime import UTC, datetime
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import orjson
import pytest
from aiohttp import ClientSession, ClientTimeout, WSMsgType

from hub.auth.api_keys import check, parse
from hub.auth.stored_keys import configured_key, key_of
from hub.cli import running_hub
from hub.config.schema import Config
from hub.server.admin import from_json
from hub.stores import Credential
from hub.stores.sqlite.inspect import Inspector
from hub.stores.sqlite.lock import FileLock
from hub.stores.sqlite.maintenance import Maintenance
from tests.cli.stored_streams import DATABASE
from tests.support import forked
from tests.support.forked import Forked
from tests.support.patience import PATIENCE, patient
from tests.support.processes import COMMAND, Command, environ

SECRET = re.compile(r"sh_[a-z0-9]{12}_[A-Za-z0-9_-]{43}")
ADMIN = Path(f"{DATABASE}.admin")


def stored(path: Path = DATABASE) -> list[Credential]:
    with Inspector(path) as inspector:
        return inspector.list_credentials("key")


def created(command: Command, *options: str) -> str:
    """The id of a new key."""
    said = command("token", "create", *options, "--json")
    assert said.code == 0, said.err
    id_: str = orjson.loads(said.out)["id"]
    return id_


def listed(command: Command) -> list[dict[str, Any]]:
    said = command("token", "list", "--json")
    assert said.code == 0, said.err
    return [orjson.loads(line) for line in said.out.splitlines()]


# Without a hub


def test_create_writes_the_key_alone_and_once(command: Command, here: Path) -> None:
    (here / "config.toml").write_text("[auth]\nrequired = true")
    said = command("token", "create", "--name", "ci", "--user", "alice", "--can", "read")
    assert said.code == 0
    secret = said.out.removesuffix("\n")
    assert SECRET.fullmatch(secret)
    id_ = parse(secret)
    assert said.err == f"created the key {id_} (ci) of alice; it is shown only this once:\n"
    (row,) = stored()
    key = check(secret, key_of(row), time.time())
    assert (key.id, key.name, key.user, key.tenant) == (id_, "ci", "alice", None)
    for again in (("list",), ("list", "--json"), ("show", "ci"), ("show", "ci", "--json")):
        shown = command("token", *again)
        assert secret[-43:] not in shown.out + shown.err
        assert row.hash.hex() not in shown.out + shown.err


def test_a_key_is_called_whatever_is_one_line(command: Command, here: Path) -> None:
    """As over the admin socket, where a newer command line may ask."""
    name = "家族\u3000旅行 👨\u200d👩"
    assert command("token", "create", "--name", name, "--user", "ann").code == 0
    assert [key["name"] for key in listed(command)] == [name]


def test_everything_that_is_said_of_a_key_is_kept(command: Command, here: Path) -> None:
    said = command(
        *("token", "create", "--json", "--name", "ci", "--user", "a b/c", "--tenant", "acme"),
        *("--can", "read, append", "--match", "chat/{user}/**", "--match", "builds/*"),
        *("--expires", "2100-01-01T00:00:00+02:00"),
    )
    told = orjson.loads(said.out)
    secret = told.pop("key")
    grants = [
        {"match": "chat/{user}/**", "can": ["append", "read"]},
        {"match": "builds/*", "can": ["append", "read"]},
    ]
    assert told == {
        "id": parse(secret),
        "name": "ci",
        "user": "a b/c",
        "tenant": "acme",
        "grants": grants,
        "state": "valid",
        "created": told["created"],
        "expires": "2099-12-31T22:00:00Z",
        "revoked": None,
        "source": "store",
    }
    assert abs(datetime.fromisoformat(told["created"]).timestamp() - time.time()) < PATIENCE
    assert listed(command) == [told]
    assert orjson.loads(command("token", "show", "ci", "--json").out) == told
    assert command("token", "show", "ci").out.splitlines() == [
        f"id        {told['id']}",
        "name      ci",
        "user      a b/c",
        "tenant    acme",
        "state     valid",
        f"created   {told['created']}",
        "expires   2099-12-31T22:00:00Z",
        "kept in   the store",
        "can       append,read on chat/{user}/**",
        "can       append,read on builds/*",
    ]
    lines = command("token", "list").out.splitlines()
    assert [line.split()[:5] for line in lines] == [
        ["ID", "STATE", "EXPIRES", "USER", "NAME"],
        [told["id"], "valid", "2099-12-31T22:00:00Z", "acme/a", "b/c"],
    ]


@pytest.mark.parametrize(
    ("span", "seconds"), [("5m", 300), ("12h", 43_200), ("30d", 2_592_000), ("2w", 1_209_600)]
)
def test_a_key_can_expire_after_a_span(
    span: str, seconds: int, command: Command, here: Path
) -> None:
    created(command, "--expires", span)
    (row,) = stored()
    assert row.expires == row.created + seconds


def test_a_key_without_grants_has_those_of_the_configuration(command: Command, here: Path) -> None:
    id_ = created(command)
    assert listed(command)[0]["grants"] is None
    assert command("token", "list").out.splitlines()[1].endswith("as configured")
    assert "what the configuration grants" in command("token", "show", id_).out


def test_a_revoked_key_stays_revoked_and_listed(command: Command, here: Path) -> None:
    first, second = created(command, "--name", "one"), created(command, "--name", "two")
    said = command("token", "revoke", first)
    assert (said.code, said.out) == (0, "")
    assert said.err == f"the key {first} (one) was revoked\n"
    assert {one["id"]: one["state"] for one in listed(command)} == {
        first: "revoked",
        second: "valid",
    }
    before = listed(command)
    said = command("token", "revoke", "one")
    assert (said.code, said.err) == (0, f"the key {first} (one) was revoked before\n")
    assert listed(command) == before


def test_an_expired_key_is_shown_as_one(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    id_ = created(command, "--expires", "5m")
    clock = time.time
    monkeypatch.setattr(time, "time", lambda: clock() + 301)
    assert [(one["id"], one["state"]) for one in listed(command)] == [(id_, "expired")]


def test_a_key_is_found_by_its_id_and_by_its_name(command: Command, here: Path) -> None:
    old, new = created(command, "--name", "ci"), created(command, "--name", "ci")
    for which in (old, f"sh_{old}"):
        assert orjson.loads(command("token", "show", which, "--json").out)["id"] == old
    said = command("token", "revoke", "ci")
    assert said.code == 1
    assert said.err.endswith("(key_ambiguous)\n")
    assert old in said.err
    assert new in said.err
    assert command("token", "revoke", old).code == 0
    # While one key replaces another, the name means the one that is valid.
    assert orjson.loads(command("token", "show", "ci", "--json").out)["id"] == new


def test_a_key_that_the_hub_does_not_understand_is_shown_and_can_be_revoked(
    command: Command, here: Path
) -> None:
    created(command, "--can", "read")
    row = Credential("key", "abcdefghijkl", b"h" * 32, created=1.0, grants='[{"can":["fly"]}]')
    running_hub.add(DATABASE, row)
    said = command("token", "list")
    assert said.code == 0
    assert "warning: the hub refuses the key abcdefghijkl" in said.err
    assert "abcdefghijkl" in said.out
    assert command("token", "revoke", "abcdefghijkl").code == 0


@pytest.mark.parametrize("made", [False, True])
def test_a_key_that_is_not_there_is_one_line(made: bool, command: Command, here: Path) -> None:
    if made:
        created(command)
    for action in ("show", "revoke"):
        said = command("token", action, "nobody")
        assert (said.code, said.out) == (1, "")
        assert said.err == (
            'error: there is no key "nobody": `streamhub token list` shows all (key_not_found)\n'
        )
    assert DATABASE.exists() is made, "looking makes no file"


def test_a_whole_key_is_not_taken_from_the_command_line(command: Command, here: Path) -> None:
    secret = command("token", "create").out.strip()
    for action in ("show", "revoke"):
        said = command("token", action, secret)
        assert said.code == 1
        assert said.err.endswith("(key_given)\n")
        assert secret not in said.err
        assert str(parse(secret)) in said.err
    assert stored()[0].revoked is None


MISUSES = [
    (["create", "--can", "fly"], '"fly" is not a permission: use some of admin,append'),
    (["create", "--can", ""], '"" is not a permission'),
    (["create", "--can", "read", "--match", "a/**/b"], '"**" can only be the last segment'),
    (["create", "--can", "read", "--match", ""], "cannot be a segment of a pattern"),
    (["create", "--match", "a/**"], "needs --can"),
    (["create", "--can", "read", "--match", "chat/{user}"], "matches nothing without --user"),
    (["create", "--can", "read", "--match", "{tenant}/x"], "matches nothing without --tenant"),
    (["create", "--expires", "soon"], "should be a span such as 30d"),
    (["create", "--expires", "0d"], "should be a span such as 30d"),
    (["create", "--expires", "9999999d"], "should be a span such as 30d"),
    (["create", "--expires", "2027-01-31T00:00:00"], "should be a span such as 30d"),
    (["create", "--expires", "2020-01-31T00:00:00Z"], "is over"),
    (["create", "--expires", "999999w"], "is too far away"),
    (["create", "--expires", "9999-12-31T23:59:59-12:00"], "is too far away"),
    (["create", "--user", ""], "1 to 256 printable characters"),
    (["create", "--user", "x" * 257], "1 to 256 printable characters"),
    (["create", "--user", "ann\u200d"], "1 to 256 printable characters"),
    (["create", "--name", "a\nb"], "one line of 1 to 256 characters"),
    (["create", "--name", "x" * 257], "one line of 1 to 256 characters"),
    (["create", "--name", "caf\udce9"], "one line of 1 to 256 characters"),
    (["show"], "key"),
    (["create", "--for-config", "--can", "read", "--match", "a", "--match", "b"], "one pattern"),
]


@pytest.mark.parametrize(("arguments", "named"), MISUSES)
def test_a_misuse_is_one_line_and_keeps_nothing(
    arguments: list[str], named: str, command: Command, here: Path
) -> None:
    said = command("token", *arguments)
    assert (said.code, said.out) == (2, "")
    assert said.err.startswith("error: ")
    assert said.err.endswith("(usage)\n")
    assert said.err.count("\n") == 1
    assert named.lower() in said.err.lower()
    assert not DATABASE.exists()


# The configuration


def test_a_table_for_the_configuration_is_that_key(command: Command, here: Path) -> None:
    said = command(
        *("token", "create", "--for-config", "--name", "c i", "--user", 'a"b', "--tenant", "t"),
        *("--can", "read,append", "--match", "chat/{user}/**", "--expires", "30d"),
    )
    assert said.code == 0
    assert not DATABASE.exists()
    found = SECRET.search(said.err)
    assert found is not None
    assert said.err == f"the key, which is shown only this once: {found[0]}\n"
    assert found[0][-43:] not in said.out
    (here / "config.toml").write_text(said.out)
    ((name, table),) = Config.load(here / "config.toml", {}).auth.keys.items()
    key = check(found[0], configured_key(name, table), time.time())
    assert (key.name, key.user, key.tenant) == ("c i", 'a"b', "t")
    assert [str(grant.match) for grant in key.grants or ()] == ["chat/{user}/**"]
    assert key.expires is not None
    assert abs(key.expires - time.time() - 2_592_000) < PATIENCE
    # It is listed like the others, and the command does not change the file.
    (told,) = listed(command)
    assert (told["name"], told["source"], told["state"]) == ("c i", "configuration", "valid")
    refused = command("token", "revoke", "c i")
    assert refused.code == 1
    assert refused.err.endswith("(key_configured)\n")
    assert '[auth.keys."c i"]' in refused.err
    again = command("token", "create", "--for-config", "--name", "c i")
    assert again.err.endswith("(key_exists)\n")


def test_a_table_as_json(command: Command, here: Path) -> None:
    told = orjson.loads(command("token", "create", "--for-config", "--json").out)
    table = tomllib.loads(told["table"])["auth"]["keys"][told["id"]]
    assert parse(told["key"]) == told["id"] == table["id"]


def test_a_hub_in_memory_has_only_keys_of_its_configuration(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMHUB_STORE__URL", "memory:")
    said = command("token", "create", "--can", "read")
    assert (said.code, said.out) == (1, "")
    assert "streamhub token create --for-config" in said.err
    assert said.err.endswith("(store_memory)\n")
    assert command("token", "create", "--for-config", "--can", "read").code == 0
    said = command("token", "list")
    assert said.code == 0
    assert "only the keys of its configuration" in said.err


def test_a_key_that_opens_nothing_is_warned_of(command: Command, here: Path) -> None:
    said = command("token", "create", "--user", "alice")
    assert "warning: the configuration has no [auth]" in said.err
    file = here / "config.toml"
    file.write_text("[auth]\nrequired = true")
    assert "grants nothing to this key" in command("token", "create", "--user", "alice").err
    assert "warning" not in command("token", "create", "--can", "read").err
    file.write_text('[[auth.grants]]\nwho = "user"\ncan = ["read"]')
    assert "warning" not in command("token", "create", "--user", "alice").err
    assert "grants nothing to this key" in command("token", "create", "--name", "ci").err
    file.write_text('[[auth.grants]]\nwho = "key ci"\ncan = ["read"]')
    assert "warning" not in command("token", "create", "--name", "ci").err


# With a hub


@contextmanager
def serving(folder: Path, *, command: bool = False) -> Iterator[Forked | subprocess.Popen[bytes]]:
    """A hub that runs in a folder; its log is ``log`` there. It may be started as a command."""
    words = ["serve", "--port", "0"]
    hub: Forked | subprocess.Popen[bytes]
    with (folder / "log").open("wb") as log:
        if command:
            hub = subprocess.Popen([*COMMAND, *words], cwd=folder, stderr=log, env=environ())
        else:
            hub = Forked("hub.cli:main", *words, errors=log.fileno(), folder=folder)
    try:
        end = time.monotonic() + PATIENCE
        while "Streamhub runs at" not in (folder / "log").read_text():
            assert hub.poll() is None, (folder / "log").read_text()
            assert time.monotonic() < end
            time.sleep(0.02)
        yield hub
    finally:
        hub.send_signal(signal.SIGTERM)
        code = hub.wait()
    assert code in (0, -signal.SIGKILL)


def url_in(folder: Path) -> str:
    """Where the hub of a folder says that it listens."""
    found = re.search(r"http://\S+:\d+", (folder / "log").read_text())
    assert found is not None
    return found[0]


def token(folder: Path, *arguments: str) -> forked.Command:
    """A command in a process of its own."""
    return forked.Command("token", *arguments, folder=folder)


def ended(running: forked.Command) -> str:
    """What a command wrote, which must succeed."""
    code, out, err = running.ended()
    assert code == 0, err
    assert "Traceback" not in err
    return out


def test_a_running_hub_keeps_what_is_created_also_if_it_is_killed(here: Path) -> None:
    with serving(here) as hub:
        before = stat.filemode(ADMIN.lstat().st_mode), stat.filemode(ADMIN.parent.stat().st_mode)
        assert before == ("srw-------", "drwxr-xr-x")
        first = ended(token(here, "create", "--name", "one")).strip()
        second = ended(token(here, "create", "--name", "two")).strip()
        ended(token(here, "revoke", "two"))
        hub.kill()
        hub.wait()
        assert ADMIN.exists(), "nobody could remove it"
    told = [orjson.loads(line) for line in ended(token(here, "list", "--json")).splitlines()]
    assert [(one["id"], one["state"]) for one in told] == [
        (parse(first), "valid"),
        (parse(second), "revoked"),
    ]
    # Without a hub the socket of the dead one does not matter, and the next hub replaces it.
    third = ended(token(here, "create")).strip()
    with serving(here):
        fourth = ended(token(here, "create")).strip()
    assert not ADMIN.exists()
    assert {parse(key) for key in (first, second, third, fourth)} == {row.id for row in stored()}


def test_the_key_itself_is_nowhere(here: Path) -> None:
    with serving(here, command=True) as hub:
        secret = ended(token(here, "create", "--name", "ci")).strip()
        seen = b"".join(
            Path(f"/proc/{hub.pid}/{name}").read_bytes() for name in ("cmdline", "environ")
        )
        seen += b"".join(file.read_bytes() for file in here.rglob("*") if file.is_file())
        ended(token(here, "revoke", "ci"))
    seen += b"".join(file.read_bytes() for file in here.rglob("*") if file.is_file())
    (row,) = stored()
    assert row.hash in seen
    assert row.id.encode() in seen
    assert secret.removeprefix(f"sh_{row.id}_").encode() not in seen
    log = (here / "log").read_text()
    assert f"added the key {row.id}" in log
    assert f"revoked the key {row.id}" in log


@pytest.mark.parametrize("with_hub", [False, True])
def test_of_keys_that_are_created_at_once_none_is_lost(with_hub: bool, here: Path) -> None:
    def create_many() -> set[str | None]:
        running = [token(here, "create") for _ in range(6)]
        return {parse(ended(one).strip()) for one in running}

    if with_hub:
        with serving(here):
            made = create_many()
    else:
        made = create_many()
    assert len(made) == 6
    assert {row.id for row in stored()} == made


def test_a_hub_that_stops_or_starts_meanwhile_does_not_matter(here: Path) -> None:
    made = []
    for _ in range(2):
        with serving(here) as hub:
            hub.send_signal(signal.SIGTERM)
            made.append(parse(ended(token(here, "create")).strip()))
    starting = subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], cwd=here, stderr=subprocess.DEVNULL, env=environ()
    )
    with starting:
        made += [parse(ended(token(here, "create")).strip()) for _ in range(3)]
        starting.send_signal(signal.SIGTERM)
    assert {row.id for row in stored()} == set(made)


def status(url: str, path: str, secret: str | None) -> int:
    asked = Request(f"{url}{path}")  # noqa: S310 - a URL of ours
    if secret is not None:
        asked.add_header("Authorization", f"Bearer {secret}")
    try:
        with urlopen(asked, timeout=PATIENCE) as reply:  # noqa: S310 - a URL of ours
            return int(reply.status)
    except HTTPError as error:
        error.close()
        return error.code


def test_a_running_hub_lets_a_key_in_until_it_is_revoked(here: Path) -> None:
    (here / "config.toml").write_text("[auth]\nrequired = true")
    early = ended(token(here, "create", "--can", "read,list")).strip()
    with serving(here):
        url = url_in(here)
        late = ended(token(here, "create", "--can", "append,read", "--match", "a/**")).strip()
        other = f"sh_{parse(late)}_{early[-43:]}"
        for secret, path, expected in (
            (None, "/v1/stream/a/b", 401),
            (early, "/v1/stream/a/b", 404),
            (late, "/v1/stream/a/b", 404),
            (other, "/v1/stream/a/b", 401),
            (late[:-1], "/v1/stream/a/b", 401),
            (f"{late}x", "/v1/stream/a/b", 401),
        ):
            assert status(url, path, secret) == expected, path
        for secret in (early, late):
            ended(token(here, "revoke", str(parse(secret))))
            time.sleep(1.0)
            assert status(url, "/v1/stream/a/b", secret) == 401
    # So it is after a restart.
    with serving(here):
        assert status(url_in(here), "/v1/stream/a/b", late) == 401


def test_open_connections_of_a_revoked_key_end_and_others_go_on(here: Path) -> None:
    (here / "config.toml").write_text("[auth]\nrequired = true")

    async def run(url: str) -> None:
        keys = [ended(token(here, "create", "--can", "append,read")).strip() for _ in range(2)]
        revoked, other = ({"Authorization": f"Bearer {key}"} for key in keys)
        async with ClientSession(url, timeout=ClientTimeout(PATIENCE)) as client:
            async with client.put("/v1/stream/a", headers=other, json=[{"n": 1}]) as made:
                assert made.status == 201, await made.text()
            sockets = [await client.ws_connect("/v1/ws", headers=each) for each in (revoked, other)]
            for each in sockets:
                await each.send_json({"type": "subscribe", "stream": "a"})
                reply = await each.receive_json()
                assert reply["type"] == "ok", reply
            responses = [
                await client.get("/v1/live/a", params={"format": "sse"}, headers=each)
                for each in (revoked, other)
            ]
            await asyncio.to_thread(ended, token(here, "revoke", str(parse(keys[0]))))
            since = time.monotonic()
            while (message := await sockets[0].receive()).type is WSMsgType.TEXT:
                pass
            assert (message.type, message.data) == (WSMsgType.CLOSE, 4502)
            await responses[0].read()
            assert time.monotonic() - since < patient(5.0)
            async with client.post("/v1/stream/a", headers=other, json=[1]) as written:
                assert written.ok, await written.text()
            await sockets[1].send_json({"type": "ping", "id": "p"})
            while (await sockets[1].receive_json()).get("id") != "p":
                pass
            assert not responses[1].content.at_eof()
            for socket_ in sockets:
                await socket_.close()
            for response in responses:
                response.close()

    with serving(here):
        asyncio.run(run(url_in(here)))


# What can go wrong on the way to a hub


@pytest.fixture
def locked(here: Path) -> Iterator[FileLock]:
    lock = FileLock(DATABASE)
    lock.take()
    yield lock
    lock.release()


def test_a_process_that_has_the_file_and_does_not_listen_is_named(
    command: Command, locked: FileLock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_hub, "PATIENCE_SECONDS", 0.2)
    said = command("token", "create")
    assert (said.code, said.out) == (1, "")
    assert f"process {os.getpid()}" in said.err
    assert str(ADMIN) in said.err
    assert said.err.endswith("(store_locked)\n")


def test_a_process_that_releases_the_file_is_waited_for(command: Command, locked: FileLock) -> None:
    releasing = threading.Timer(0.3, locked.release)
    releasing.start()
    assert command("token", "create").code == 0
    releasing.join()
    assert len(stored()) == 1


@contextmanager
def listening(answer: bytes | None) -> Iterator[None]:
    """Something that answers every request with this; ``None``: it never answers."""
    stop = threading.Event()
    ADMIN.parent.mkdir(exist_ok=True)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(str(ADMIN))
        server.listen()
        server.settimeout(0.05)

        def serve() -> None:
            held = []
            while not stop.is_set():
                try:
                    connected, _ = server.accept()
                except TimeoutError:
                    continue
                held.append(connected)
                connected.recv(65536)
                if answer is not None:
                    connected.sendall(answer)
                    connected.close()
            for connected in held:
                connected.close()

        thread = threading.Thread(target=serve)
        thread.start()
        try:
            yield
        finally:
            stop.set()
            thread.join()


@pytest.mark.parametrize("answer", [b"", b'{"cred', b"nonsense\n"])
def test_a_hub_that_is_killed_before_it_answers_is_not_the_last_word(
    answer: bytes, command: Command, here: Path
) -> None:
    """The file is not locked, so the command changes it."""
    with listening(answer):
        assert command("token", "create").code == 0
    assert len(stored()) == 1


def test_what_a_killed_hub_had_kept_is_kept_once(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    asked = running_hub._ask
    calls = 0

    def killed_after_it(path: Path, request: Any) -> Any:
        nonlocal calls
        calls += 1
        if calls > 1:
            return asked(path, request)
        with Maintenance(DATABASE) as store:
            store.add_credential(from_json(request["credential"]))
        raise running_hub._Gone

    monkeypatch.setattr(running_hub, "_ask", killed_after_it)
    secret = command("token", "create").out.strip()
    assert [row.id for row in stored()] == [parse(secret)]


def test_an_error_of_the_hub_is_one_line(command: Command, here: Path) -> None:
    error = b'{"error":{"code":"store_full","message":"the disk is full"}}\n'
    with listening(error):
        said = command("token", "create")
    assert (said.code, said.out) == (1, "")
    assert said.err == "error: the disk is full (store_full)\n"


def test_an_answer_of_another_program_is_one_line(command: Command, here: Path) -> None:
    with listening(b'{"credential":[]}\n'):
        assert command("token", "create").err.endswith("(bad_command)\n")
    ADMIN.unlink()
    with listening(b"{}\n"):
        assert command("token", "create").err.endswith("(admin_unknown)\n")


def test_a_hub_that_does_not_answer_is_one_line(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_hub, "REPLY_SECONDS", 0.1)
    with listening(None):
        said = command("token", "create")
    assert (said.code, said.out) == (1, "")
    assert said.err.endswith("(admin_timeout)\n")
    assert "streamhub token list" in said.err


def test_another_users_hub_is_one_line(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*_: object) -> None:
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(socket.socket, "connect", refuse)
    said = command("token", "create")
    assert said.err.endswith("(admin_not_allowed)\n")
    assert "run the command as the hub's user" in said.err


def test_a_store_far_down_has_a_socket_too(here: Path) -> None:
    folder = here / ("far" * 30) / ("down" * 20)
    folder.mkdir(parents=True)
    url = f"sqlite:{folder / 'hub.db'}"
    (here / "config.toml").write_text(f'[store]\nurl = "{url}"')
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], cwd=here, stderr=subprocess.PIPE, env=environ()
    ) as hub:
        assert hub.stderr is not None
        assert b"Streamhub runs at" in hub.stderr.readline()
        secret = ended(token(here, "create")).strip()
        assert (folder / "hub.db.admin").is_socket()
        hub.send_signal(signal.SIGTERM)
    assert [row.id for row in stored(folder / "hub.db")] == [parse(secret)]


def test_times_are_read_as_they_are_written(command: Command, here: Path) -> None:
    at = datetime(2100, 1, 1, tzinfo=UTC)
    created(command, "--expires", "2100-01-01T00:00:00Z")
    assert stored()[0].expires == at.timestamp()
