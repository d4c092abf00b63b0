"""``streamhub ask``: the answer as it comes, and Ctrl-C that cancels it."""

from __future__ import annotations

import asyncio
import signal
import subprocess

import orjson

from tests.support.patience import PATIENCE
from tests.support.processes import (
    COMMAND,
    Command,
    environ,
    on_a_terminal,
    read,
    read_to_end,
    run,
    started,
)


def test_what_is_asked_can_be_followed_as_text_and_as_events(url: str) -> None:
    asked = run("ask", "poem", "--stream", "poems", "--url", url)
    assert (asked.returncode, asked.stderr) == (0, b"")
    assert "🌊" in asked.stdout.decode()
    assert "\x1b" not in asked.stdout.decode()

    again = run("ask", "-", "--stream", "poems", "--url", url, "--json", given=b"poem")
    events = [orjson.loads(line) for line in again.stdout.splitlines()]
    assert events[0]["type"] == "started"
    assert events[-1]["type"] == "finished"
    text = "".join(event.get("text", "") for event in events)
    assert asked.stdout.decode() == f"{text}\n"

    with subprocess.Popen(
        [*COMMAND, "tail", "poems", "--url", url], stdout=subprocess.PIPE, env=environ()
    ) as tailing:
        assert tailing.stdout is not None
        assert tailing.stdout.read(2 * len(asked.stdout)).decode() == 2 * f"{text}\n"
        tailing.send_signal(signal.SIGINT)
    assert tailing.returncode == 130

    held = read(url, "poems", ends=2)
    assert [event["text"] for event in held if event["type"] == "message"] == ["poem", "poem"]


def test_an_answer_that_fails_is_shown_as_far_as_it_came_and_exits_1(
    url: str, command: Command
) -> None:
    said = command("ask", "fail", "--url", url)
    assert said.code == 1
    assert len(said.out) > 1
    assert said.out.endswith("\n")
    assert said.err.startswith("error: ")
    assert said.err.count("\n") == 1


async def test_ctrl_c_cancels_the_generation_on_the_hub(url: str) -> None:
    asking = await started("ask", "long", "--upstream", "slow", "--stream", "cancelled", url=url)
    assert await asking.stdout.read(1)
    asking.send_signal(signal.SIGINT)
    _, err = await asyncio.wait_for(asking.communicate(), PATIENCE)
    assert (asking.returncode, err) == (130, b"")
    held = await asyncio.wait_for(read_to_end(url, "cancelled"), PATIENCE)
    assert held[-1]["type"] == "cancelled"


def test_thoughts_are_dim_and_only_on_a_terminal(url: str) -> None:
    shown = on_a_terminal("ask", "hello", "--url", url)
    assert "\x1b[2m" in shown


def test_an_answer_cannot_steer_the_terminal(url: str) -> None:
    shown = on_a_terminal("ask", "echo a\x1b]0;title\x07b\x9bc", "--url", url)
    assert "a]0;titlebc" in shown
