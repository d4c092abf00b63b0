"""Who of a provider's users may come in."""

from __future__ import annotations

from typing import Any

import pytest

from hub.domain.members import Member

ANN = {"email": "Ann@Example.org", "email_verified": True, "groups": ["staff", "chess"]}


@pytest.mark.parametrize(
    "text",
    [
        "claim groups=staff",
        "claim email=Ann@Example.org",
        "email ann@example.org",
        "email *@example.org",
        "email *@EXAMPLE.org",
        " email  *@example.org ",
    ],
)
def test_is_meant(text: str) -> None:
    assert Member.parse(text).means(ANN)


@pytest.mark.parametrize(
    "text",
    [
        "claim groups=admin",
        "claim group=staff",
        "email bob@example.org",
        "email *@example.com",
        "email *@sub.example.org",
        "email *@ample.org",
        "email *@org",
    ],
)
def test_is_not_meant(text: str) -> None:
    assert not Member.parse(text).means(ANN)


@pytest.mark.parametrize(
    "changed",
    [
        {"email_verified": False},
        {"email_verified": None},
        {"email_verified": 1},
        {"email_verified": "false"},
        {"email_verified": ["true"]},
        {"email": None},
        {"email": ["ann@example.org"]},
        {"email": "ann@example.org@evil.example"},
        {"email": "@"},
        {"email": "ann@example.org.evil.example"},
        {"email": "example.org"},
        {"email": "ann@evil.example@example.org"},
    ],
)
@pytest.mark.parametrize("text", ["email *@example.org", "email ann@example.org"])
def test_an_address_that_is_not_verified_or_another_does_not_count(
    text: str, changed: dict[str, Any]
) -> None:
    assert not Member.parse(text).means({**ANN, **changed})
    assert not Member.parse(text).means({})


def test_no_other_letter_stands_for_one_of_ascii() -> None:
    kelvin = {"email": "\u212aate@example.org", "email_verified": True}
    assert not Member.parse("email kate@example.org").means(kelvin)
    assert Member.parse("email \u212aATE@example.org").means(kelvin)


def test_verified_as_text() -> None:
    assert Member.parse("email *@example.org").means({**ANN, "email_verified": "true"})


@pytest.mark.parametrize(
    "text",
    [
        "",
        "user",
        "anyone",
        "claim groups",
        "groups=staff",
        "email",
        "email example.org",
        "email @example.org",
        "email ann@",
        "email a*@example.org",
        "email *@*",
        "email *@*.org",
    ],
)
def test_other_forms_are_refused(text: str) -> None:
    with pytest.raises(ValueError, match="should be"):
        Member.parse(text)
