"""A connection moves if anything was written to it, or taken from its buffer."""

from __future__ import annotations

from hub.connections.stall import StallDetector


def test_who_takes_nothing_is_stuck_since_it_was_first_seen() -> None:
    progress = StallDetector()
    assert [progress.pause(now, 100, 50) for now in (7.0, 8.0, 12.0)] == [0.0, 1.0, 5.0]


def test_whatever_moves_begins_anew() -> None:
    progress = StallDetector()
    progress.pause(0.0, 100, 50)
    assert progress.pause(1.0, 101, 50) == 0.0, "more was written"
    assert progress.pause(2.0, 101, 49) == 0.0, "something was taken"
    assert progress.pause(3.0, 101, 49) == 1.0
    assert progress.pause(4.0, 102, 60) == 0.0, "its buffer is fuller, so it was emptied before"
