"""Whatever is packed comes back, and whatever is cut is noticed."""

from __future__ import annotations

from contextlib import suppress

from hypothesis import given
from hypothesis import strategies as st

from hub.stores.packed import Damaged, pack, unpack

BODIES = st.lists(st.binary(max_size=20), max_size=8)


@given(BODIES)
def test_bodies_come_back(bodies: list[bytes]) -> None:
    assert unpack(pack(bodies)) == bodies


@given(BODIES, st.data())
def test_a_string_that_was_cut_is_refused_or_whole_bodies(
    bodies: list[bytes], data: st.DataObject
) -> None:
    blob = pack(bodies)
    cut = data.draw(st.integers(0, len(blob)))
    try:
        found = unpack(blob[:cut])
    except Damaged:
        return
    assert found == bodies[: len(found)]
    assert pack(found) == blob[:cut]


@given(st.binary(max_size=64))
def test_any_bytes_are_bodies_or_damaged(blob: bytes) -> None:
    with suppress(Damaged):
        assert pack(unpack(blob)) == blob
