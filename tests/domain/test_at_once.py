"""How much of something each caller has at a time."""

from __future__ import annotations

import pytest

from hub.domain.at_once import AtOnce
from hub.domain.errors import RateLimited


def test_each_caller_has_so_many() -> None:
    held = AtOnce(2, "two at a time", wait=3.0)
    for _ in range(2):
        held.take("ann")
    with pytest.raises(RateLimited, match="two at a time") as refused:
        held.take("ann")
    assert refused.value.wait == 3.0
    held.take("bob")
    held.give("ann")
    held.take("ann")
    assert (held.of("ann"), held.of("bob"), held.of("carl")) == (2, 1, 0)


def test_a_check_counts_nothing() -> None:
    held = AtOnce(1, "one at a time")
    held.check("ann")
    assert held.of("ann") == 0
    held.take("ann")
    with pytest.raises(RateLimited):
        held.check("ann")


def test_what_is_nobodys_is_not_counted_nor_is_anything_without_a_limit() -> None:
    for held, caller in ((AtOnce(1, "one"), None), (AtOnce(0, "none"), "ann")):
        for _ in range(3):
            held.take(caller)
        held.give(caller)
