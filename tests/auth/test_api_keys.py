"""API keys: what they look like, what is kept of them, and when they hold."""

from __future__ import annotations

import hashlib
import hmac
import re
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.auth.api_keys import ApiKey, check, digest, is_key, new_key, parse
from hub.domain.errors import Unauthorized
from hub.domain.grant_rules import Rule, Rules, Who
from hub.domain.permissions import Grant, StreamPattern

READ = frozenset({"read"})


def kept(**fields: Any) -> tuple[str, ApiKey]:
    """A key, and what is kept of it."""
    key, name, held = new_key()
    return key, ApiKey(name, held, **fields)


def grant(match: str) -> Grant:
    return Grant(frozenset({"read", "generate"}), StreamPattern.parse(match))


RULES = Rules(
    [
        Rule(Who.parse("user"), grant("chat/{user}/**")),
        Rule(Who.parse("key worker"), grant("jobs/{key}")),
        Rule(Who.parse("anyone"), grant("public/*")),
    ]
)


def matches(key: ApiKey) -> list[str]:
    return [str(one.match) for one in key.principal(RULES).grants]


def test_a_key_has_a_form_that_scanners_find() -> None:
    key, name, held = new_key()
    assert re.fullmatch(r"sh_[a-z0-9]{12}_[A-Za-z0-9_-]{43}", key)
    assert is_key(key)
    assert parse(key) == name
    assert held == hashlib.sha256(key.encode()).digest() == digest(key)


def test_no_two_keys_are_the_same() -> None:
    made = [new_key() for _ in range(500)]
    assert len({key for key, _, _ in made}) == len({name for _, name, _ in made}) == 500


@pytest.mark.parametrize(
    "text",
    [
        "", "sh_", "sh_abcdefghijkl_", "sh_abcdefghijkl_" + "a" * 42, "sh_abcdefghijkl_" + "a" * 44,
        "sh_ABCDEFGHIJKL_" + "a" * 43, "sh_abcdefghijkl_" + "a" * 43 + "\n",
        "sh_abcdefghijkl_" + "é" * 43, "sh_abc'; drop --_" + "a" * 43,
        " sh_abcdefghijkl_" + "a" * 43,
    ],
)  # fmt: skip
def test_what_has_not_the_form_of_a_key_has_no_id(text: str) -> None:
    assert parse(text) is None


@given(st.text())
def test_any_text_can_be_looked_at(text: str) -> None:
    parse(text)
    is_key(text)
    with pytest.raises(Unauthorized):
        check(text, None, 0.0)


def test_a_key_holds() -> None:
    key, held = kept(expires=100.0)
    assert check(key, held, 99.9) is held


@pytest.mark.parametrize("place", range(16, 59))
def test_each_character_of_the_secret_counts(place: int) -> None:
    key, held = kept()
    other = key[:place] + ("a" if key[place] != "a" else "b") + key[place + 1 :]
    with pytest.raises(Unauthorized):
        check(other, held, 0.0)


def test_the_secret_of_another_key_does_not_do() -> None:
    one, held = kept()
    _, other = kept()
    assert check(one, held, 0.0) is held
    with pytest.raises(Unauthorized) as caught:
        check(one, other, 0.0)
    assert caught.value.code == "invalid_api_key"


def test_the_refusal_says_nothing_about_which_ids_there_are() -> None:
    key, held = kept()
    _, revoked = kept(revoked=1.0)
    messages = set()
    for tried, found in ((key, None), (key + "x", held), (key, revoked)):
        with pytest.raises(Unauthorized) as caught:
            check(tried, found, 0.0)
        assert key not in caught.value.message
        messages.add((caught.value.code, caught.value.message))
    assert len(messages) == 1


def test_a_revoked_key_holds_no_more() -> None:
    key, held = kept(revoked=10.0)
    with pytest.raises(Unauthorized, match="was revoked"):
        check(key, held, 11.0)


@pytest.mark.parametrize("now", [100.0, 1e12])
def test_an_expired_key_holds_no_more(now: float) -> None:
    key, held = kept(expires=100.0)
    with pytest.raises(Unauthorized, match="has expired") as caught:
        check(key, held, now)
    assert caught.value.code == "invalid_api_key"


def test_an_expired_key_is_told_so_only_to_who_has_it() -> None:
    key, held = kept(expires=100.0)
    with pytest.raises(Unauthorized, match="not valid"):
        check(key[:-1], held, 200.0)


def test_keys_are_compared_in_constant_time_whether_they_are_there_or_not(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    compared: list[tuple[int, int]] = []
    compare_digest = hmac.compare_digest

    def compare(one: bytes, other: bytes) -> bool:
        compared.append((len(one), len(other)))
        return compare_digest(one, other)

    monkeypatch.setattr(hmac, "compare_digest", compare)
    key, held = kept()
    for found in (held, None):
        try:
            check(key, found, 0.0)
        except Unauthorized:
            assert found is None
    assert compared == [(32, 32), (32, 32)]


# Principals


def test_a_key_without_grants_has_those_of_its_user_and_of_its_name() -> None:
    _, held = kept(user="ann", name="worker")
    assert matches(held) == ["chat/ann/**", f"jobs/{held.id}", "public/*"]
    assert held.principal(RULES).within is None


def test_a_key_without_a_user_has_those_of_its_name() -> None:
    _, held = kept(name="worker")
    assert matches(held) == [f"jobs/{held.id}", "public/*"]
    assert held.principal(RULES).subject == f"key:{held.id}"


def test_a_key_with_grants_has_exactly_those() -> None:
    _, held = kept(user="ann", name="worker", grants=(grant("files/{user}/*"), grant("{tenant}/x")))
    assert matches(held) == ["files/ann/*"]
    ann = held.principal(RULES)
    # Also with the streams of its user, for whom it was made less than that.
    assert not ann.may_own("read", "chat/ann/1")
    assert not ann.may("generate")
    assert ann.may_own("read", "files/ann/1")


def test_a_key_with_no_grants_may_do_nothing() -> None:
    _, held = kept(user="ann", grants=())
    assert not held.principal(RULES).may("read", "chat/ann/1")


def test_a_principal_names_its_key_and_never_holds_it() -> None:
    key, held = kept(user="ann", tenant="acme", expires=100.0)
    ann = held.principal(RULES)
    assert (ann.user, ann.tenant, ann.key, ann.credential) == ("ann", "acme", held.id, held.id)
    assert ann.expires == 100.0
    assert key not in repr(ann) + repr(held)
