"""Patterns of stream names, and what a grant allows."""

from __future__ import annotations

import hashlib

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from hub.domain.permissions import (
    ALL,
    PERMISSIONS,
    SEGMENT_LENGTH,
    Grant,
    StreamPattern,
    segment,
)
from hub.domain.stream_names import is_name

SEGMENT = st.text("abc._~:@+-*{}/ \n\u00e9", min_size=1, max_size=6)

MATCHES = [
    ("chat/7", "chat/7", True),
    ("chat/7", "chat/77", False),
    ("chat/7", "chat", False),
    ("chat/7", "chat/7/a", False),
    ("chat/7", "Chat/7", False),
    ("chat/*", "chat/7", True),
    ("chat/*", "chat", False),
    ("chat/*", "chat/7/a", False),
    ("*", "chat", True),
    ("*", "chat/7", False),
    ("*/7", "chat/7", True),
    ("*/7", "chat/8", False),
    ("chat/**", "chat/7", True),
    ("chat/**", "chat/7/a/b", True),
    ("chat/**", "chat", False),
    ("chat/**", "chats/7", False),
    ("chat/*/**", "chat/7", False),
    ("chat/*/**", "chat/7/a", True),
    ("**", "chat", True),
    ("**", "chat/7", True),
]


@pytest.mark.parametrize(("pattern", "name", "matched"), MATCHES)
def test_a_pattern_is_compared_by_whole_segments(pattern: str, name: str, matched: bool) -> None:
    assert StreamPattern.parse(pattern).matches(name) is matched


@pytest.mark.parametrize(
    "pattern",
    [
        "", "/chat", "chat/", "chat//7", "chat/../7", ".hidden", "chat*", "chat/a*b", "chat/***",
        "chat/{user}s", "chat/{users}", "chat/{}", "chat/a b", "chat/a\n", "chat/é",
    ],
)  # fmt: skip
def test_a_segment_is_a_name_or_a_sign_as_a_whole(pattern: str) -> None:
    with pytest.raises(ValueError, match="cannot be a segment of a pattern: use letters"):
        StreamPattern.parse(pattern)


@pytest.mark.parametrize("pattern", ["**/chat", "chat/**/7", "**/**"])
def test_the_rest_of_a_name_is_at_the_end(pattern: str) -> None:
    with pytest.raises(ValueError, match="can only be the last segment"):
        StreamPattern.parse(pattern)


def test_a_pattern_is_shown_as_it_was_written() -> None:
    for text in ("chat/{user}/**", "*", "**", "a/*/b"):
        assert str(StreamPattern.parse(text)) == text


def test_variables_are_filled_with_one_segment_each() -> None:
    pattern = StreamPattern.parse("{tenant}/{user}/{key}/**")
    filled = pattern.fill({"user": "ann@example.org", "tenant": "acme", "key": "k1"})
    assert str(filled) == "acme/ann@example.org/k1/**"


@pytest.mark.parametrize("missing", ["user", "tenant", "key"])
def test_a_pattern_with_a_variable_that_has_no_value_matches_nothing(missing: str) -> None:
    values: dict[str, str | None] = {"user": "a", "tenant": "b", "key": "c"}
    pattern = StreamPattern.parse(f"chat/{{{missing}}}")
    assert pattern.fill({**values, missing: None}) is None
    del values[missing]
    assert pattern.fill(values) is None


@pytest.mark.parametrize(
    "user",
    [
        "", "a/b", "*", "**", "{user}", "{tenant}", "..", ".a", "a b", "a\n", "é", "\ud800", "a\0",
        "~x", "__ds", "x" * (SEGMENT_LENGTH + 1), "auth0|5f7",
    ],
)  # fmt: skip
def test_a_name_that_cannot_be_a_segment_is_hashed(user: str) -> None:
    told = segment(user)
    assert told == "~" + hashlib.sha256(user.encode("utf-8", "surrogatepass")).hexdigest()[:32]
    filled = StreamPattern.parse("chat/{user}/**").fill({"user": user})
    assert filled is not None
    assert not filled.matches("chat/bob/1")
    assert filled.matches(f"chat/{told}/1")


def test_nobody_can_be_called_what_another_name_is_hashed_to() -> None:
    hashed = segment("a/b")
    assert segment(hashed) != hashed


@given(st.text(), st.text())
@example("a/b", segment("a/b"))
@example("*", "a")
def test_two_users_never_share_a_segment(one: str, other: str) -> None:
    assert (segment(one) == segment(other)) is (one == other)
    for told in (segment(one), segment(other)):
        assert is_name(told)
        assert "/" not in told
        assert len(told) <= SEGMENT_LENGTH


@given(st.lists(SEGMENT, min_size=1, max_size=4), st.lists(SEGMENT, min_size=1, max_size=4))
def test_a_pattern_without_stars_matches_itself_alone(one: list[str], other: list[str]) -> None:
    text = "/".join(one)
    try:
        pattern = StreamPattern.parse(text)
    except ValueError:
        return
    if {"*", "**"} & set(text.split("/")):
        return
    assert pattern.matches(text)
    assert pattern.matches("/".join(other)) is (text == "/".join(other))


def test_a_new_stream_has_one_segment_that_nobody_chose() -> None:
    new = {text for text in ("**", "*", "a", "a/**", "*/*", "*/**", "{user}")
           if StreamPattern.parse(text).matches_new}  # fmt: skip
    assert new == {"**", "*"}


def test_a_grant_allows_its_permissions_on_its_streams() -> None:
    grant = Grant(frozenset({"read", "append"}), StreamPattern.parse("chat/7"))
    assert grant.allows("read", "chat/7")
    assert grant.allows("append", None)
    assert not grant.allows("read", "chat/8")
    assert not grant.allows("delete", "chat/7")
    assert not grant.allows("delete", None)
    assert not grant.allows_new("read")
    assert Grant(frozenset({"read"})).allows_new("read")
    assert not Grant(frozenset({"read"})).allows_new("append")


@pytest.mark.parametrize(
    ("upstreams", "models", "upstream", "model", "allowed"),
    [
        (None, None, "mini", "gpt", True),
        (None, None, "mini", None, True),
        ({"mini"}, None, "mini", "gpt", True),
        ({"mini"}, None, "large", "gpt", False),
        (None, {"gpt"}, "mini", "gpt", True),
        (None, {"gpt"}, "mini", "gpt-large", False),
        (None, {"gpt"}, "mini", None, False),
        ({"mini"}, {"gpt"}, "large", "gpt", False),
        (set(), None, "mini", "gpt", False),
    ],
)
def test_a_grant_may_be_for_some_upstreams_and_models(
    upstreams: set[str] | None,
    models: set[str] | None,
    upstream: str,
    model: str | None,
    allowed: bool,
) -> None:
    grant = Grant(
        frozenset({"generate"}),
        upstreams=None if upstreams is None else frozenset(upstreams),
        models=None if models is None else frozenset(models),
    )
    assert grant.allows_model(upstream, model) is allowed


def test_all_is_everything_everywhere() -> None:
    (grant,) = ALL
    assert all(grant.allows(one, "any/stream") and grant.allows_new(one) for one in PERMISSIONS)
    assert grant.allows_model("any", None)
    assert grant.max_tokens is None
