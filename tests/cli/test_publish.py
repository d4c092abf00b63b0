"""``streamhub publish``: every line once, in order, and what became of them if not."""

from __future__ import annotations

import asyncio
import signal

import orjson

from tests.support.patience import PATIENCE
from tests.support.processes import Command, read, started


def test_lines_become_messages_json_events_and_chunks_text(url: str, command: Command) -> None:
    lines = "eins\r\n\nzwei \u2028 zwo\nd\udcffrei".encode("utf-8", "surrogateescape")
    for flags, given in (
        ([], lines),
        (["--json"], b'{"type":"note","a":[1]}\n{"type":"message","role":"user","text":"x"}\n'),
        (["--chunks"], "añb 🌊".encode()),
        (["--json"], b'{"type":"finished","reason":"stop"}'),
    ):
        said = command("publish", "published", *flags, "--url", url, given=given)
        assert said == (0, "", "")
    held = read(url, "published")
    texts = ["eins", "zwei \u2028 zwo", "d\ufffdrei"]
    assert held[:3] == [{"type": "message", "role": "user", "text": text} for text in texts]
    assert held[3:5] == [{"type": "note", "a": [1]}, {**held[0], "text": "x"}]
    assert "".join(event.get("text", "") for event in held[5:]) == "añb 🌊"


def test_a_bad_line_names_itself_and_what_was_published_before(url: str, command: Command) -> None:
    lines = b'{"type":"note"}\n{"type":"note"}\n{"type":\n{"type":"note"}\n'
    said = command("publish", "bad", "--json", "--url", url, given=lines)
    assert said.code == 1
    assert said.err.startswith("error: event 3: ")
    assert said.err.endswith("published until then: 2 (bad_event)\n")


def test_what_the_hub_refuses_names_what_was_published_before(url: str, command: Command) -> None:
    lines = b"one\n" + b"x" * 300_000
    said = command("publish", "large", "--url", url, given=lines)
    assert said.code == 1
    assert "published until then: 1" in said.err
    assert said.err.endswith("(too_large)\n")


def test_many_lines_arrive_in_order(url: str, command: Command) -> None:
    lines = [f'{{"type":"note","n":{number}}}\n' for number in range(2000)]
    given = "".join(lines) + '{"type":"finished","reason":"stop"}'
    assert command("publish", "many", "--json", "--url", url, given=given.encode()).code == 0
    assert [event.get("n") for event in read(url, "many")][:-1] == list(range(2000))


async def test_publish_passes_each_line_on_at_once(url: str) -> None:
    publishing = await started("publish", "talk", url=url)
    publishing.stdin.write(b"first\n")
    tailing = None
    while tailing is None or tailing.returncode == 1:  # until the stream has begun
        tailing = await started("tail", "talk", "--json", url=url)
        line = await asyncio.wait_for(tailing.stdout.readline(), PATIENCE)
        if not line:
            await tailing.communicate()
    assert orjson.loads(line)["text"] == "first"
    publishing.stdin.write(b"second\n")
    line = await asyncio.wait_for(tailing.stdout.readline(), PATIENCE)
    assert orjson.loads(line)["text"] == "second"
    for process in (publishing, tailing):
        process.send_signal(signal.SIGINT)
        assert (await asyncio.wait_for(process.communicate(), PATIENCE))[1] == b""
        assert process.returncode == 130
