"""Plain text: everything is the answer, and only the transport knows its end."""

from __future__ import annotations

import pytest

from hub.dialects.text import Text
from hub.domain.errors import UpstreamError
from hub.domain.prompt import Prompt
from hub.framing import Chunk
from tests.support.transcripts import read, replay, text_of

ASKED = Prompt(({"role": "system", "content": "Be brief"}, {"role": "user", "content": "Hi"}))


def test_sends_the_last_text() -> None:
    call = Text().call(ASKED)
    assert (call.path, call.body) == ("", {"prompt": "Hi"})


def test_sends_it_where_it_is_wanted() -> None:
    assert Text({"input": "query"}).call(ASKED).body == {"query": "Hi"}
    assert Text({"input": "messages"}).call(ASKED).body == {"messages": list(ASKED.messages)}


def test_sends_model_and_options_if_there_are_any() -> None:
    prompt = Prompt(ASKED.messages, "m", {"temperature": 0})
    assert Text().call(prompt).body == {"prompt": "Hi", "model": "m", "temperature": 0}


def test_is_finished_only_if_the_transport_marked_the_end() -> None:
    pieces = ["字a".encode()[:2], "字a".encode()[2:]]
    assert text_of(replay(Text(), pieces)) == "字a"
    assert replay(Text(), pieces)[-1] == {"type": "finished", "reason": "stop"}
    assert [event["type"] for event in replay(Text(), pieces, clean=False)] == ["delta"]


def test_broken_utf_8_becomes_replacement_characters() -> None:
    assert text_of(replay(Text(), [b"a\xff", b"b\xe5\xad"])) == "a\ufffdb\ufffd"


def test_a_chunk_that_is_not_utf_8_is_one_clear_error() -> None:
    with pytest.raises(UpstreamError, match="not UTF-8"):
        read(Text(), Chunk(b"\xff"))


def test_there_is_nothing_to_sniff_in_text() -> None:
    assert text_of(replay(Text(), [b"<html>"])) == "<html>"
    assert text_of(replay(Text(), [b"data: x\n\n"])) == "data: x\n\n"


@pytest.mark.parametrize("clean", [True, False])
def test_thinking_is_split_off_if_asked_for(clean: bool) -> None:
    body = "<think>Hm, 字.</think>字"
    assert text_of(replay(Text(), [body.encode()])) == body
    pieces = [bytes([byte]) for byte in body.encode()]
    found = replay(Text({"think": True}), pieces, clean=clean)
    assert (text_of(found, "reasoning"), text_of(found)) == ("Hm, 字.", "字")


def test_the_beginning_of_a_tag_is_text_if_nothing_follows_it() -> None:
    assert text_of(replay(Text({"think": True}), [b"<thi"], clean=False)) == "<thi"
