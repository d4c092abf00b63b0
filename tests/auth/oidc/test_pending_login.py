"""Logins that are under way: one secret in the browser, and what is derived from it."""

from __future__ import annotations

import base64
import hashlib
from urllib.parse import quote

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.auth.oidc.pending_login import SECONDS, PendingLogin, tag

NOW = 1_800_000_000.0


def found(cookie: str, state: str, now: float = NOW) -> PendingLogin | None:
    return PendingLogin.find(cookie, state, now)


def test_a_login_is_found_by_its_state() -> None:
    login = PendingLogin.begin("/?stream=a%20b", NOW)
    assert found(login.cookie, login.state) == login


@given(st.text(st.characters(codec="utf-8"), max_size=100))
def test_any_path_comes_back(then: str) -> None:
    login = PendingLogin.begin(f"/{then}", NOW)
    assert found(login.cookie, login.state) == login
    assert set(login.cookie).isdisjoint(' ",;\\\r\n')  # RFC 6265 section 4.1.1


def test_all_that_is_derived_differs_and_has_its_form() -> None:
    one, two = PendingLogin.begin("/", NOW), PendingLogin.begin("/", NOW)
    derived = [text for login in (one, two) for text in (login.state, login.nonce, login.verifier)]
    assert len({*derived, one.secret, two.secret}) == 8
    assert {len(text) for text in derived} == {43}  # RFC 7636 section 4.1 wants 43 or more
    digest = hashlib.sha256(one.verifier.encode()).digest()
    assert one.challenge == base64.urlsafe_b64encode(digest).decode().rstrip("=")


def test_another_browser_does_not_have_the_login() -> None:
    mine, other = PendingLogin.begin("/", NOW), PendingLogin.begin("/", NOW)
    assert found(other.cookie, mine.state) is None
    assert found("", mine.state) is None


@pytest.mark.parametrize("then", ["//evil.example", "/other"])
def test_a_changed_place_changes_the_state(then: str) -> None:
    login = PendingLogin.begin("/", NOW)
    changed = login.cookie.removesuffix("%2F") + quote(then, safe="")
    assert changed != login.cookie
    assert found(changed, login.state) is None


def test_a_login_ends_with_its_time_and_cannot_be_renewed() -> None:
    login = PendingLogin.begin("/", NOW)
    assert found(login.cookie, login.state, NOW + SECONDS) == login
    late = NOW + SECONDS + 1
    assert found(login.cookie, login.state, late) is None
    renewed = login.cookie.replace(str(int(NOW)), str(int(late)))
    assert renewed != login.cookie
    assert found(renewed, login.state, late) is None
    assert found(login.cookie, login.state, NOW - 61) is None


@pytest.mark.parametrize(
    "cookie",
    [
        "",
        ".",
        "a.1./",
        "x" * 43,
        f"{'x' * 43}.1",
        f"{'x' * 43}.1e3./",
        f"{'x' * 43}.٣./",
        f"{'x' * 43}.1./{'y' * 2048}",
        f"{'x' * 43}.{'9' * 13}./",
        "�",
    ],
)
def test_what_is_no_cookie_of_a_login_is_none(cookie: str) -> None:
    assert found(cookie, "s" * 43) is None


def test_a_tag_is_only_made_of_what_can_be_a_state() -> None:
    login = PendingLogin.begin("/", NOW)
    assert tag(login.state) == login.state[:8]
    for state in ("", "a", login.state + "x", ";" * 43, "é" * 43):
        assert tag(state) is None
