"""What lets somebody in is not logged."""

from __future__ import annotations

import secrets

import pytest

from hub.http.logged_paths import logged_path

SECRET = "aB3_" * 10 + "-xyz"
SPELLINGS = [
    "/s/{}", "/s/{}/more", "/hub/s/{}", "http://hub.example/s/{}", "/%73/{}", "/s%2F{}", "/s%2f{}",
    "/%73%2F{}", "/s/%61{}", "/s//{}", "/S/{}", "/s/./{}", "/s/../s/{}", "/s%5C{}", "\\s\\{}",
    "/v1/live/chat/sl_{}", "/v1/live/chat%3Fticket%3Dst_{}", "/v1/live/chat%3Fticket=st_{}",
]  # fmt: skip


@pytest.mark.parametrize("spelled", SPELLINGS)
def test_the_secret_of_a_share_link_is_replaced(spelled: str) -> None:
    shown = logged_path(f"{spelled.format(SECRET)}?ticket={SECRET}")
    assert SECRET not in shown
    assert "***" in shown
    assert "?" not in shown


def test_a_secret_whose_letters_are_encoded_is_replaced() -> None:
    secret = secrets.token_urlsafe(32)
    encoded = "".join(f"%{ord(letter):02x}" for letter in secret)
    assert logged_path(f"/%73/{encoded}") == "/s/***"


@pytest.mark.parametrize("spelled", ["/login/%73i_{}", "/%6cogin/si_{}", "/login/x%2Fsi_{}"])
def test_of_a_sign_in_link_only_the_id_is_shown(spelled: str) -> None:
    secret = secrets.token_urlsafe(32)
    shown = logged_path(spelled.format(f"abcdefghijkl_{secret}"))
    assert secret not in shown
    assert shown.endswith("si_abcdefghijkl_***")


@pytest.mark.parametrize("path", ["/", "/v1/stream/chat/ann%20b/1", "/s/short", "/%0aGET/x"])
def test_other_paths_stay_as_they_are(path: str) -> None:
    assert logged_path(path) == path
