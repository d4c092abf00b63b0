"""``streamhub streams chown``: to whom streams belong, with a hub and without one."""

from __future__ import annotations

import signal
from pathlib import Path

import pytest

from hub.cli import running_hub
from hub.domain.stream_settings import StreamSettings
from hub.stores.sqlite.inspect import Inspector
from tests.cli.stored_streams import DATABASE, keep, stream
from tests.cli.test_streams import hub
from tests.support.processes import Command

ANNS = StreamSettings(owner="ann")


def owners() -> dict[str, str | None]:
    with Inspector(DATABASE) as inspector:
        return {one.name: one.settings.owner for one in inspector.entries()}


def test_one_stream_changes_hands(command: Command, here: Path) -> None:
    keep(*stream("a"), *stream("b", settings=ANNS))
    for arguments, owner, said in (
        (("--user", "bob"), "bob", "1 stream"),
        (("--user", "bob"), "bob", "0 streams"),
        (("--user", "bob/1", "--tenant", "acme"), "acme/bob%2F1", "1 stream"),
        (("--nobody",), None, "1 stream"),
    ):
        told = command("streams", "chown", "a", *arguments)
        assert (told.code, told.err) == (0, f"changed the owner of {said}\n")
        assert owners() == {"a": owner, "b": "ann"}


def test_what_a_pattern_matches_changes_hands_in_batches(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(running_hub, "BATCH", 3)
    held = [f"chat/{number}" for number in range(10)]
    others = ["chat/1/2", "chats/1", "cha"]
    keep(*(change for name in (*held, *others) for change in stream(name)))
    told = command("streams", "chown", "--match", "chat/*", "--user", "bob")
    assert told.err == "changed the owner of 10 streams\n"
    assert owners() == {**dict.fromkeys(held, "bob"), **dict.fromkeys(others)}
    told = command("streams", "chown", "--match", "**", "--nobody")
    assert told.err == "changed the owner of 10 streams\n"


@pytest.mark.parametrize(
    ("arguments", "code", "said"),
    [
        (["none", "--user", "bob"], 1, "stream_not_found"),
        (["a"], 2, "--user"),
        (["a", "--user", "b", "--nobody"], 2, "--user"),
        (["a", "--nobody", "--tenant", "t"], 2, "--user"),
        (["--user", "b"], 2, "--match"),
        (["a", "--match", "**", "--user", "b"], 2, "--match"),
        (["--match", "a*", "--user", "b"], 2, "segment"),
        (["a", "--user", "x\ny"], 2, "one line"),
    ],
)
def test_what_cannot_be_meant_changes_nothing(
    arguments: list[str], code: int, said: str, command: Command, here: Path
) -> None:
    keep(*stream("a", settings=ANNS))
    told = command("streams", "chown", *arguments)
    assert told.code == code
    assert said in told.err
    assert "Traceback" not in told.err
    assert owners() == {"a": "ann"}


def test_a_running_hub_is_asked(command: Command, here: Path) -> None:
    keep(*stream("kept/1"), *stream("kept/2", settings=ANNS), *stream("other"))
    with hub() as serving:
        assert serving.stderr is not None
        line = serving.stderr.readline().decode()
        url = next(word for word in line.split() if word.startswith("http://"))
        command("publish", "loaded", "--url", url, given=b"one\n")
        for arguments, said in (
            (["loaded", "--user", "bob"], "1 stream"),
            (["--match", "kept/*", "--user", "bob"], "2 streams"),
        ):
            told = command("streams", "chown", *arguments)
            assert (told.code, told.err) == (0, f"changed the owner of {said}\n")
        told = command("streams", "chown", "none", "--user", "bob")
        assert (told.code, "stream_not_found" in told.err) == (1, True)
        expected = {"kept/1": "bob", "kept/2": "bob", "loaded": "bob", "other": None}
        assert owners() == expected, "it is on the disk when the command ends"
        serving.send_signal(signal.SIGTERM)
        serving.wait()
    assert owners() == expected
