"""Where things are must never change, and all of a stream must be in one slot of a cluster."""

from __future__ import annotations

import pytest
from redis.crc import key_slot

from hub.stores.redis.keys import PARTITIONS, Keys, partition_of


def test_streams_are_where_they_were() -> None:
    assert PARTITIONS == 64
    assert [partition_of(name) for name in ("", "a", "chat/1", "Grüße 👋")] == [0, 7, 13, 53]
    assert Keys().of("a").meta == "sh:{7}m:a"
    assert Keys("other:").partition(7).incarnation == "other:{7}incarnation"


@pytest.mark.parametrize("name", ["a", "{b}", "}{", "c{d}e"])
def test_all_of_a_stream_and_its_partition_is_in_one_slot(name: str) -> None:
    keys = Keys()
    names = [*keys.of(name), *keys.partition(partition_of(name))]
    assert len(set(names)) == len(names), "no two are the same"
    assert len({key_slot(key.encode()) for key in names}) == 1
