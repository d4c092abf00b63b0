"""Tokens of a bucket: so many at once, and so many a second."""

from __future__ import annotations

from hub.domain.token_bucket import TokenBucket


def test_it_begins_full_and_fills_again() -> None:
    bucket = TokenBucket(10, 2, now=100.0)
    assert [bucket.take(5, 100.0) for _ in range(2)] == [0, 0]
    assert bucket.take(4, 100.0) == 2.0
    assert bucket.take(0, 101.0) == 1.0
    assert bucket.take(0, 102.0) == 0.0
    assert bucket.take(2, 103.0) == 0.0


def test_a_debt_grows_and_no_more_than_a_burst_is_saved() -> None:
    bucket = TokenBucket(10, 2, now=0.0)
    assert bucket.take(20, 0.0) == 5.0
    assert bucket.take(10, 0.0) == 10.0
    assert bucket.take(10, 10_000.0) == 0.0
    assert bucket.take(1, 10_000.0) == 0.5
