"""The credential of the commands that connect to a hub, and what its refusals say."""

from __future__ import annotations

import os
import signal
import subprocess
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.support.people import KEYS, auth
from tests.support.processes import COMMAND, Command, Said, environ, run


def config() -> str:
    """Ann and Bob have a folder each, where they may do what a chat needs."""
    keys = "".join(
        f'[auth.keys.{name}]\nid = "{key["id"]}"\nsha256 = "{key["sha256"]}"\nuser = "{name}"\n'
        for name, key in auth()["keys"].items()
        if "user" in key
    )
    return f"""
[store]
url = "memory:"
[upstreams.demo]
dialect = "demo"
options = {{ pace = 100_000 }}
[auth]
required = true
{keys}
[[auth.grants]]
who = "user"
match = "chat/{{user}}/**"
can = ["read", "append", "generate", "cancel"]
[[auth.grants]]
who = "user"
match = "news/**"
can = ["read"]
"""


@pytest.fixture(scope="module")
def url(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """Where a hub with authentication runs."""
    folder = tmp_path_factory.mktemp("guarded")
    (folder / "config.toml").write_text(config())
    with subprocess.Popen(
        [*COMMAND, "serve", "--port", "0"], cwd=folder, stderr=subprocess.PIPE, env=environ()
    ) as serving:
        assert serving.stderr is not None
        line = serving.stderr.readline().decode()
        yield next(word for word in line.split() if word.startswith("http://"))
        serving.send_signal(signal.SIGTERM)
        said = serving.stderr.read().decode()
    assert KEYS["ann"] not in said


@pytest.fixture
def ann(here: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Ann's key is in the environment."""
    monkeypatch.setenv("STREAMHUB_TOKEN", KEYS["ann"])


def ends(said: Said, code: str) -> str:
    """The one line of a command that fails, without the marks around it."""
    assert said.code == 1, said
    assert said.err.count("\n") == 1, said.err
    assert not [key for key in KEYS.values() if key in said.err]
    message, _, named = said.err.removeprefix("error: ").rstrip("\n").rpartition(" (")
    assert named == f"{code})"
    return message


def called(command: Command, url: str, name: str, stream: str) -> Said:
    options = {
        "ask": ("ask", "echo hi", "--stream", stream),
        "tail": ("tail", stream),
        "publish": ("publish", stream),
    }
    return command(*options[name], "--url", url, given=b"Hello\n")


def test_the_token_in_the_environment(url: str, command: Command, ann: None) -> None:
    asked = command("ask", "echo hi", "--stream", "chat/ann/1", "--url", url)
    assert (asked.code, asked.err) == (0, "")
    assert command("publish", "chat/ann/2", "--url", url, given=b"Hello\n").code == 0


def test_the_token_in_a_file_instead(url: str, command: Command, here: Path, ann: None) -> None:
    file = here / "key"
    file.write_text(f"{KEYS['bob']}\n")
    for name in ("ask", "publish"):
        said = called(command, url, name, "chat/bob/1")
        ends(said, "stream_not_found")
    asked = command("ask", "echo hi", "--stream", "chat/bob/1", "--url", url, "--token-file", "key")
    assert (asked.code, asked.err) == (0, "")
    published = command(
        "publish", "chat/bob/1", "--url", url, "--token-file", "key", given=b"Hello\n"
    )
    assert published.code == 0


def test_a_token_that_is_piped_in(url: str) -> None:
    read_end, write_end = os.pipe()
    os.write(write_end, KEYS["ann"].encode())
    os.close(write_end)
    try:
        asked = subprocess.run(
            [*COMMAND, "tail", "chat/ann/3", "--url", url, "--token-file", f"/dev/fd/{read_end}"],
            pass_fds=[read_end],
            capture_output=True,
            env=environ(),
            check=False,
        )
    finally:
        os.close(read_end)
    assert asked.returncode == 1
    assert b"no stream is called" in asked.stderr, "its token was taken"


@pytest.mark.parametrize("name", ["ask", "tail", "publish"])
def test_without_a_token_it_says_how_to_give_one(url: str, command: Command, name: str) -> None:
    message = ends(called(command, url, name, "chat/ann/1"), "unauthorized")
    assert "the hub wants a token: set STREAMHUB_TOKEN, or give --token-file FILE" in message


@pytest.mark.parametrize("name", ["ask", "tail", "publish"])
def test_a_refused_token(
    url: str, command: Command, name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMHUB_TOKEN", f"{KEYS['ann'][:-1]}-")
    said = called(command, url, name, "chat/ann/1")
    code = "unauthorized" if name == "publish" else "invalid_api_key"
    assert "the hub refuses the token in STREAMHUB_TOKEN: " in ends(said, code)


@pytest.mark.parametrize("name", ["ask", "publish"])
def test_what_the_token_may_not_do(url: str, command: Command, name: str, ann: None) -> None:
    message = ends(called(command, url, name, "news/1"), "not_permitted")
    assert "it was asked with the token in STREAMHUB_TOKEN" in message


@pytest.mark.parametrize("name", ["ask", "tail", "publish"])
def test_what_the_token_may_not_read(url: str, command: Command, name: str, ann: None) -> None:
    message = ends(called(command, url, name, "chat/bob/9"), "stream_not_found")
    assert "or the token in STREAMHUB_TOKEN may not read it" in message


@pytest.mark.parametrize(
    ("held", "said"),
    [
        (None, "cannot read the token in key: No such file or directory"),
        (b"", "there is no token in key"),
        (b"\xff", "there is no token in key"),
        (b"se cret", "a character that no token has"),
    ],
    ids=["missing", "empty", "not text", "two words"],
)
def test_a_file_without_a_token(
    url: str, command: Command, here: Path, held: bytes | None, said: str
) -> None:
    if held is not None:
        (here / "key").write_bytes(held)
    given = command("tail", "chat/ann/1", "--url", url, "--token-file", "key")
    assert said in ends(given, "bad_token")


def test_the_token_is_no_option() -> None:
    """Other users of the machine can see a command line."""
    said = run("tail", "chat/ann/1", "--token", KEYS["ann"])
    assert said.returncode == 2
    assert KEYS["ann"].encode() not in said.stderr


def test_the_variable_is_no_key_of_the_configuration(command: Command, ann: None) -> None:
    said = command("config", "check")
    assert said.code == 0, said.err
