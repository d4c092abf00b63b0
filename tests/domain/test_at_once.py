"""How much of something each caller has at a time."""

from __future__ import annotations

import pytest

from hub.domain.at_once import AtOnce, Elsewhere
from hub.domain.errors import RateLimited
from hub.domain.untold import Untold


def at_once(most: int) -> AtOnce:
    return AtOnce(most, lambda: RateLimited(f"{most} at a time", wait=3.0))


def test_each_caller_has_so_many() -> None:
    held = at_once(2)
    for _ in range(2):
        held.take("ann")
    with pytest.raises(RateLimited, match="2 at a time") as refused:
        held.take("ann")
    assert refused.value.wait == 3.0
    held.take("bob")
    held.give("ann")
    held.take("ann")
    assert (held.of("ann"), held.of("bob"), held.of("carl")) == (2, 1, 0)


def test_a_check_counts_nothing() -> None:
    held = at_once(1)
    held.check("ann")
    assert held.of("ann") == 0
    held.take("ann")
    with pytest.raises(RateLimited):
        held.check("ann")


def test_what_is_nobodys_is_not_counted_nor_is_anything_without_a_limit() -> None:
    for held, caller in ((at_once(1), None), (at_once(0), "ann")):
        for _ in range(3):
            held.take(caller)
        held.give(caller)


def test_what_a_caller_has_elsewhere_counts() -> None:
    held = at_once(3)
    held.take("ann")
    held.elsewhere.hear("other", {"ann": 2, "bob": 2}, 10.0)
    with pytest.raises(RateLimited):
        held.take("ann")
    held.take("bob")
    assert (held.of("ann"), held.of("bob")) == (1, 1)


def test_what_was_taken_is_given_up_if_others_have_taken_it_before() -> None:
    held = at_once(2)
    held.take("ann")
    held.confirm("ann")
    held.elsewhere.hear("other", {"ann": 1}, 10.0)
    held.confirm("ann")
    held.elsewhere.hear("other", {"ann": 2}, 10.0)
    with pytest.raises(RateLimited):
        held.confirm("ann")
    held.confirm(None)
    at_once(0).confirm("ann")


def test_numbers_of_others_are_what_they_said_last_and_end_if_they_are_not_said_again() -> None:
    elsewhere = Elsewhere()
    elsewhere.hear("one", {"ann": 5, "bob": 1}, 10.0)
    elsewhere.hear("two", {"ann": 2}, 10.0)
    elsewhere.hear("one", {"ann": 3}, 12.0)
    assert (elsewhere.of("ann"), elsewhere.of("bob")) == (5, 1)
    elsewhere.forget(11.0)
    assert (elsewhere.of("ann"), elsewhere.of("bob")) == (3, 0)
    elsewhere.hear("one", {"ann": 0}, 12.0)
    assert elsewhere.of("ann") == 0
    assert not elsewhere._said
    assert not elsewhere._sums


def test_others_are_told_of_each_change_once() -> None:
    held, noted = at_once(5), list[None]()
    held.take("eve")  # before anybody wants to know
    held.untold = untold = Untold(lambda: noted.append(None))
    held.take("ann")
    held.take("ann")
    held.take("bob")
    held.give("bob")
    assert len(noted) == 1
    assert untold.take() == {"ann": 2, "bob": 0}
    assert untold.take() == {}
    held.tell_all()
    assert untold.take() == {"eve": 1, "ann": 2}
    assert len(noted) == 2
