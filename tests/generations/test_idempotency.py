"""An idempotency key begins one generation, however often and whenever it is used."""

from __future__ import annotations

import asyncio

import pytest

from hub.domain.errors import KeyReused, RequestError, StreamBusy
from hub.domain.generation import Generation
from hub.domain.records import Position
from hub.generations.idempotency import IdempotencyKeys
from hub.stores import Keyed
from hub.stores.memory import MemoryStore


class Kept(MemoryStore):
    """A store that knows one key, and takes a moment to say so."""

    async def keyed(self, key: str) -> Keyed | None:
        await asyncio.sleep(0)
        return Keyed("s", "old", b"print", "gen_old", Position(0, 0)) if key == "old" else None


class Begun:
    """What was begun, and what was found again."""

    def __init__(self) -> None:
        self.generations: list[Generation] = []
        self.fails = False

    async def begin(self) -> Generation:
        await asyncio.sleep(0)
        if self.fails:
            raise StreamBusy("one runs already")
        self.generations.append(Generation("s", "demo", None))
        return self.generations[-1]

    async def recall(self, kept: Keyed) -> Generation:
        return Generation.told(kept.generation, kept.stream, kept.position, [])


@pytest.fixture
def begun() -> Begun:
    return Begun()


async def use(
    keys: IdempotencyKeys, begun: Begun, key: str = "k", fingerprint: bytes = b"print"
) -> Generation:
    return await keys.once(key, fingerprint, begun.begin, begun.recall)


async def test_all_who_use_a_key_are_given_one_generation(begun: Begun) -> None:
    keys = IdempotencyKeys(Kept(), 10)
    given = await asyncio.gather(*(use(keys, begun) for _ in range(10)))
    given.append(await use(keys, begun))
    assert {id(one) for one in given} == {id(begun.generations[0])}
    assert len(begun.generations) == 1
    assert await use(keys, begun, "other") is not given[0]


async def test_a_key_from_before_a_restart_is_recalled(begun: Begun) -> None:
    keys = IdempotencyKeys(Kept(), 10)
    assert (await use(keys, begun, "old")).id == "gen_old"
    assert begun.generations == []


@pytest.mark.parametrize("key", ["k", "old"])
async def test_a_key_is_of_one_request(begun: Begun, key: str) -> None:
    keys = IdempotencyKeys(Kept(), 10)
    await use(keys, begun, key)
    for known in (keys, IdempotencyKeys(Kept(), 10)) if key == "old" else (keys,):
        with pytest.raises(KeyReused):
            await use(known, begun, key, b"another")
    await use(keys, begun, key)


async def test_what_did_not_begin_may_be_tried_again(begun: Begun) -> None:
    keys = IdempotencyKeys(Kept(), 10)
    begun.fails = True
    refused = await asyncio.gather(*(use(keys, begun) for _ in range(3)), return_exceptions=True)
    assert [type(error) for error in refused] == [StreamBusy] * 3
    begun.fails = False
    await use(keys, begun)
    assert len(begun.generations) == 1


async def test_who_goes_away_takes_nothing_from_the_others(begun: Begun) -> None:
    keys = IdempotencyKeys(Kept(), 10)
    first, second, third = (asyncio.create_task(use(keys, begun)) for _ in range(3))
    await asyncio.sleep(0)
    second.cancel()
    assert await first is await third
    assert second.cancelled()


async def test_only_so_many_are_remembered_here(begun: Begun) -> None:
    keys = IdempotencyKeys(Kept(), 2)
    for number in range(3):
        await use(keys, begun, f"k{number}")
    await use(keys, begun, "k2")
    assert len(begun.generations) == 3
    await use(keys, begun, "k0")
    assert len(begun.generations) == 4


@pytest.mark.parametrize("key", ["", "x" * 256])
async def test_a_key_has_a_length(begun: Begun, key: str) -> None:
    with pytest.raises(RequestError) as refused:
        await use(IdempotencyKeys(Kept(), 2), begun, key)
    assert refused.value.code == "bad_key"
