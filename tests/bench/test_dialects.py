"""The benchmark of the dialects reads what it says it reads, and notices if it does not."""

from __future__ import annotations

import re
import sys
from itertools import pairwise

import pytest

from bench import dialects
from hub.dialects import find


@pytest.mark.parametrize("name", dialects.REPLIES)
def test_each_reply_is_of_blocks_of_the_size_and_is_read_whole(
    name: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(dialects, "CHUNKS", 20)
    body = dialects.REPLIES[name]()
    assert body.count(b" word") == 20
    places = [found.start() for found in re.finditer(b" word", body)]
    assert {after - before for before, after in pairwise(places)} == {280}
    reads = list(dialects._reads(body))
    assert dialects._seconds(find(name)({}), reads) >= 0
    with pytest.raises(AssertionError, match="deltas came out"):
        dialects._seconds(find(name)({}), reads[:-1])


def test_it_prints_a_line_for_each(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(dialects, "CHUNKS", 20)
    monkeypatch.setattr(sys, "argv", ["bench.dialects", "--runs", "1"])
    assert dialects.main() in (0, 1)
    printed = capsys.readouterr().out
    assert all(name in printed for name in dialects.REPLIES)
    assert "against the bar" in printed
