"""A memory is bounded, and nobody fills it for others."""

from __future__ import annotations

from hub.domain.owned_cache import OwnedCache


def held(cache: OwnedCache[int, str], keys: range) -> list[int]:
    return [key for key in keys if cache.get(key) is not None]


def test_an_owner_with_too_many_loses_its_own() -> None:
    cache: OwnedCache[int, str] = OwnedCache(5, 3)
    cache.put("ann", 0, "hers")
    for key in range(1, 20):
        cache.put("bob", key, "his")
    assert held(cache, range(20)) == [0, 17, 18, 19]
    assert cache.get(17) == "his"
    cache.put("bob", 20, "his")
    assert held(cache, range(21)) == [0, 17, 19, 20], "17 was used since 18"


def test_of_all_the_one_used_least_recently_goes() -> None:
    cache: OwnedCache[int, str] = OwnedCache(3, 2)
    for key, owner in enumerate(("ann", "bob", "cid")):
        cache.put(owner, key, owner)
    cache.get(0)
    cache.put("dan", 3, "dan")
    assert held(cache, range(4)) == [0, 2, 3]


def test_a_key_has_one_value_and_one_owner() -> None:
    cache: OwnedCache[int, str] = OwnedCache(3, 1)
    cache.put("ann", 1, "old")
    cache.put("bob", 1, "new")
    cache.put("ann", 2, "hers")
    assert (cache.get(1), cache.get(2), len(cache)) == ("new", "hers", 2)
    cache.pop(1)
    cache.pop(1)
    cache.put("bob", 3, "his")
    assert held(cache, range(4)) == [2, 3]
