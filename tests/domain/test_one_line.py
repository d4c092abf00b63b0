"""Which names people may give: one line of any script."""

from __future__ import annotations

import json
from typing import Final

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.access.shares import new_share
from hub.domain.errors import CommandError, RequestError
from hub.domain.one_line import is_line, is_user
from hub.protocols.websocket.commands import Presence, parse

JOIN: Final = {"type": "presence", "stream": "talk", "state": 1}
LINES: Final = [
    "a",
    " ",
    "Ann’s 流",
    "家族　旅行",
    "👨‍👩‍👧",
    "10\u00a0km",
    "می‌خواهم",
    "\ue000",
    "x" * 64,
]
OTHERS: Final = [
    "", "x" * 65, "a\nb", "a\r", "\t", "\x00", "\x7f", "\x85", "a\u2028b", "\u2029",
    "\u202eabc", "\u2066",
]  # fmt: skip


@pytest.mark.parametrize("text", LINES)
def test_a_line(text: str) -> None:
    assert is_line(text, 64)
    assert new_share("talk", 1, title=text)[0].title == text
    asked = parse(json.dumps({**JOIN, "member": text}))
    assert isinstance(asked, Presence)
    assert asked.member == text


@pytest.mark.parametrize("text", OTHERS)
def test_no_line(text: str) -> None:
    assert not is_line(text, 64)
    with pytest.raises(RequestError) as refused:
        new_share("talk", 1, title=text * 2)
    assert refused.value.code == "bad_title"
    with pytest.raises(CommandError, match='"member" of "presence": should be one line'):
        parse(json.dumps({**JOIN, "member": text}))


def test_what_is_no_text_is_no_line() -> None:
    assert not is_line("caf\udce9", 64)


@given(st.text(min_size=1, max_size=4))
def test_what_users_are_called_is_a_line(text: str) -> None:
    assert is_line(text, 4) or not is_user(text)


@pytest.mark.parametrize("text", ["", "x" * 257, "ann\u200d", "a\u3000b", "a\nb", "caf\udce9"])
def test_what_nobody_is_called(text: str) -> None:
    assert not is_user(text)


@pytest.mark.parametrize("text", [" ", "x" * 256, "Ann’s 流", "*", "../bob"])
def test_what_users_may_be_called(text: str) -> None:
    assert is_user(text)
