"""Who somebody is, and what they may do."""

from __future__ import annotations

from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.permissions import PERMISSIONS, Grant, Permission, StreamPattern
from hub.domain.principal import LOCAL, NOBODY, OF_THE_HUB, Principal


def grants(**patterns: str) -> tuple[Grant, ...]:
    """Grants from permissions, joined by ``_``, to patterns."""
    return tuple(
        Grant(
            frozenset(one for one in PERMISSIONS if one in can.split("_")),
            StreamPattern.parse(match),
        )
        for can, match in patterns.items()
    )


@pytest.mark.parametrize(
    ("principal", "subject"),
    [
        (Principal("ann"), "ann"),
        (Principal("ann", "acme"), "acme/ann"),
        (Principal("ann", key="k1"), "ann"),
        (Principal("ann", "acme", "k1"), "acme/ann"),
        (Principal(key="k1"), "key:k1"),
        (Principal(tenant="acme", key="k1"), "key:k1"),
        (Principal("acme/ann"), "acme%2Fann"),
        (Principal("key:k1"), "key%3Ak1"),
        (Principal("ann@example.org"), "ann@example.org"),
        (Principal("é\n"), "%C3%A9%0A"),
        (Principal("\ud800"), "%ED%A0%80"),
        (LOCAL, None),
        (NOBODY, None),
        (Principal(tenant="acme"), None),
    ],
)
def test_the_subject_names_whose_streams_are_its_own(
    principal: Principal, subject: str | None
) -> None:
    assert principal.subject == subject


NAMES = st.none() | st.text("ab/:%k ey", min_size=1, max_size=5)


@given(st.tuples(NAMES, NAMES, NAMES), st.tuples(NAMES, NAMES, NAMES))
def test_two_who_are_not_the_same_never_have_one_subject(
    one: tuple[str | None, str | None, str | None], other: tuple[str | None, str | None, str | None]
) -> None:
    def known(user: str | None, tenant: str | None, key: str | None) -> tuple[str | None, ...]:
        return (None, None, key) if user is None else (user, tenant, None)

    if (subject := Principal(*one).subject) is not None:
        assert (subject == Principal(*other).subject) is (known(*one) == known(*other))
        assert subject.isascii()
        assert subject.isprintable()


def test_local_may_do_everything_and_nobody_nothing() -> None:
    for permission in get_args(Permission):
        assert LOCAL.may(permission)
        assert LOCAL.may(permission, "any")
        assert not NOBODY.may(permission)
        assert not NOBODY.may(permission, "any")
        assert not NOBODY.may_own(permission)


def test_grants_add_up_and_within_narrows_them() -> None:
    ann = Principal(
        "ann",
        grants=grants(read="chat/**", append="chat/1"),
        within=grants(read_append_delete="chat/1"),
    )
    assert ann.may("read", "chat/1")
    assert ann.may("append", "chat/1")
    assert not ann.may("read", "chat/2")
    assert not ann.may("delete", "chat/1")


def test_within_nothing_is_nothing() -> None:
    ann = Principal("ann", within=())
    assert not any(ann.may(one) or ann.may(one, "a") or ann.may_own(one) for one in PERMISSIONS)


def test_what_somebody_may_do_anywhere_they_may_do_to_their_own() -> None:
    ann = Principal("ann", grants=grants(read_append="chat/ann/**"))
    assert ann.may_own("read", "gen_1")
    assert ann.may_own("append")
    assert not ann.may_own("delete", "gen_1")


@pytest.mark.parametrize("permission", ["speak", "admin"])
def test_owning_a_stream_gives_no_other_voice_and_no_power_over_the_hub(
    permission: Permission,
) -> None:
    assert LOCAL.may(permission, "a")
    assert not LOCAL.may_own(permission, "a")


def test_a_narrowed_credential_reaches_no_other_stream_of_its_owner() -> None:
    ann = Principal("ann", within=grants(read_generate_list_admin="chat/7"))
    assert ann.may_own("read", "chat/7")
    assert not ann.may_own("read", "chat/8")
    # Nor may it begin one, whose name would be another.
    assert not ann.may_own("generate")
    assert not ann.may("generate")
    # What concerns the hub is not of any stream.
    assert all(ann.may(permission) for permission in OF_THE_HUB)


@pytest.mark.parametrize("match", ["*", "**"])
def test_a_credential_that_is_narrowed_to_all_streams_may_begin_its_own(match: str) -> None:
    ann = Principal("ann", within=grants(read_generate=match))
    assert ann.may("generate")
    assert ann.may_own("read", "gen_1")
    assert not ann.may("append")


def test_what_a_principal_may_do_is_not_shown() -> None:
    assert "read" not in repr(Principal("ann", within=grants(read="chat/7")))
