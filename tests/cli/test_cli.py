"""The command as a whole: its exit codes, and how it says what is wrong."""

from __future__ import annotations

import socket
import subprocess

import pytest

from tests.support.patience import PATIENCE
from tests.support.processes import COMMAND, Command, environ


def test_without_a_command_it_says_what_there_is(command: Command) -> None:
    said = command()
    assert said.code == 0
    assert all(name in said.out for name in ("serve", "ask", "tail", "publish", "config"))


def test_it_says_its_version(command: Command) -> None:
    said = command("--version")
    assert said.code == 0
    assert said.out.startswith("streamhub 0.")


@pytest.mark.parametrize(
    ("arguments", "named"),
    [
        (["serve", "--prot", "1"], "--prot"),
        (["serve", "--port", "65536"], "65535"),
        (["serve", "--port", "http"], "--port"),
        (["ask"], "prompt"),
        (["tail"], "stream"),
        (["blow"], "blow"),
        (["config", "blow"], "blow"),
        (["publish", "x", "--json", "--chunks"], "--chunks"),
    ],
)
def test_a_wrong_command_line_is_one_line_and_exit_2(
    arguments: list[str], named: str, command: Command
) -> None:
    said = command(*arguments)
    assert said.code == 2
    assert said.out == ""
    assert said.err.count("\n") == 1
    assert said.err.startswith("error: ")
    assert said.err.endswith("(usage)\n")
    assert named in said.err.lower()


@pytest.mark.parametrize(
    "arguments", [["ask", "hi"], ["tail", "x"], ["publish", "x"], ["ask", "hi", "--json"]]
)
def test_a_hub_that_is_not_there_is_one_line_and_exit_1(
    arguments: list[str], command: Command
) -> None:
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        said = command(*arguments, "--url", f"http://127.0.0.1:{closed.getsockname()[1]}")
    assert (said.code, said.out) == (1, "")
    assert said.err.count("\n") == 1
    assert said.err.endswith("(hub_unreachable)\n")


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["ask", "hi", "--upstream", "nowhere"], "upstream_not_found"),
        (["tail", "nothing"], "stream_not_found"),
        (["tail", "nothing", "--from", "7"], "bad_position"),
    ],
)
def test_a_refusal_of_the_hub_is_one_line(
    arguments: list[str], code: str, url: str, command: Command
) -> None:
    said = command(*arguments, "--url", url)
    assert (said.code, said.out) == (1, "")
    assert said.err.startswith("error: ")
    assert said.err.endswith(f"({code})\n")
    assert said.err.count("\n") == 1


def test_a_reader_who_leaves_ends_a_command_quietly(url: str, command: Command) -> None:
    command("publish", "left", "--chunks", "--url", url, given=b"one\ntwo\nthree\n")
    tail = " ".join([*COMMAND, "tail", "left", "--url", url])
    script = f"set -o pipefail; {tail} | head -n 1"
    said = subprocess.run(
        ["bash", "-c", script], capture_output=True, env=environ(), timeout=PATIENCE
    )
    assert (said.stdout, said.stderr, said.returncode) == (b"one\n", b"", 141)
