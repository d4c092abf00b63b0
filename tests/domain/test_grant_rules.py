"""Which of the configuration's grants somebody has."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.grant_rules import Identity, Rule, Rules, Who, filled
from hub.domain.permissions import Grant, StreamPattern

NOBODY = Identity()
ANN = Identity("ann", "acme", claims={"group": "staff", "roles": ["a", "b"], "level": 3})
KEY = Identity(key="abcdefghijkl", key_name="worker")


def rule(who: str, match: str = "**") -> Rule:
    return Rule(Who.parse(who), Grant(frozenset({"read"}), StreamPattern.parse(match)))


def granted(one: Identity, *rules: Rule) -> list[str]:
    return [str(grant.match) for grant in Rules(rules).grants(one)]


@pytest.mark.parametrize(
    ("who", "means"),
    [
        ("anyone", [True, True, True]),
        ("user", [False, True, False]),
        (" user ", [False, True, False]),
        ("key worker", [False, False, True]),
        ("key abcdefghijkl", [False, False, True]),
        ("key  worker", [False, False, True]),
        ("key work", [False, False, False]),
        ("key None", [False, False, False]),
        ("claim group=staff", [False, True, False]),
        ("claim group=sta", [False, False, False]),
        ("claim roles=a", [False, True, False]),
        ("claim roles=ab", [False, False, False]),
        ("claim level=3", [False, False, False]),
        ("claim other=staff", [False, False, False]),
    ],
)
def test_whom_a_grant_is_for(who: str, means: list[bool]) -> None:
    assert [Who.parse(who).means(one) for one in (NOBODY, ANN, KEY)] == means


@pytest.mark.parametrize(
    "who",
    [
        "", "users", "anyone else", "user ann", "key", "key ", "claim", "claim group",
        "claim group=", "claim =staff", "group=staff", "*", "Anyone",
    ],
)  # fmt: skip
def test_what_names_nobody_is_refused(who: str) -> None:
    with pytest.raises(ValueError, match='should be "anyone", "user", "key NAME"'):
        Who.parse(who)


def test_a_claim_may_hold_an_equals_sign() -> None:
    assert Who.parse("claim dn=cn=ann,dc=x") == Who("claim", "dn", "cn=ann,dc=x")


def test_somebody_has_the_grants_of_all_rules_that_mean_them() -> None:
    rules = (
        rule("anyone", "public/**"),
        rule("user", "chat/{user}/**"),
        rule("user", "{tenant}/shared"),
        rule("key worker", "jobs/{key}"),
        rule("claim group=staff", "staff/*"),
    )
    assert granted(NOBODY, *rules) == ["public/**"]
    assert granted(ANN, *rules) == ["public/**", "chat/ann/**", "acme/shared", "staff/*"]
    assert granted(KEY, *rules) == ["public/**", "jobs/abcdefghijkl"]
    assert granted(Identity("bob"), *rules) == ["public/**", "chat/bob/**"]


def test_a_user_who_is_called_like_a_pattern_gets_a_literal_segment() -> None:
    (match,) = granted(Identity("*"), rule("user", "chat/{user}/**"))
    assert match.startswith("chat/~")


def test_filled_grants_keep_their_limits() -> None:
    grant = Grant(
        frozenset({"generate"}),
        StreamPattern.parse("chat/{user}"),
        frozenset({"mini"}),
        frozenset({"gpt"}),
        10,
    )
    (found,) = filled([grant], ANN)
    assert (found.can, found.upstreams, found.models, found.max_tokens) == (
        grant.can,
        grant.upstreams,
        grant.models,
        10,
    )


JSON: st.SearchStrategy[Any] = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats(allow_nan=False) | st.text(),
    lambda inner: st.lists(inner) | st.dictionaries(st.text(), inner),
)


@given(JSON)
def test_a_claim_may_be_any_json(held: Any) -> None:
    means = Who("claim", "group", "staff").means(Identity("ann", claims={"group": held}))
    assert means is (held == "staff" or (isinstance(held, list) and "staff" in held))
