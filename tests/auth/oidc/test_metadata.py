"""What providers say of themselves."""

from __future__ import annotations

import json
from typing import Any

import pytest

from hub.auth.oidc.metadata import Metadata, url_of

ISSUER = "https://id.example.org"
DOCUMENT: dict[str, Any] = {
    "issuer": ISSUER,
    "authorization_endpoint": f"{ISSUER}/auth?tenant=a",
    "token_endpoint": f"{ISSUER}/token",
    "jwks_uri": "https://keys.example.net/jwks",
}


def read(issuer: str = ISSUER, **changed: Any) -> Metadata:
    held = {name: value for name, value in {**DOCUMENT, **changed}.items() if value is not ...}
    return Metadata.parse(json.dumps(held).encode(), issuer)


def test_the_least_that_there_can_be() -> None:
    found = read()
    assert found.authorization == f"{ISSUER}/auth?tenant=a"
    assert (found.userinfo, found.end_session, found.names_itself) == (None, None, False)
    assert found.authentication == "client_secret_basic"


@pytest.mark.parametrize(
    ("methods", "used"),
    [
        (["client_secret_post", "client_secret_basic"], "client_secret_basic"),
        (["client_secret_post", "private_key_jwt"], "client_secret_post"),
        (["private_key_jwt"], "client_secret_basic"),
        ("client_secret_post", "client_secret_basic"),
    ],
)
def test_how_the_secret_is_shown(methods: Any, used: str) -> None:
    assert read(token_endpoint_auth_methods_supported=methods).authentication == used


@pytest.mark.parametrize(
    ("issuer", "url"),
    [
        ("https://a.example", "https://a.example/.well-known/openid-configuration"),
        ("https://a.example/", "https://a.example/.well-known/openid-configuration"),
        (
            "https://a.example/realms/b",
            "https://a.example/realms/b/.well-known/openid-configuration",
        ),
    ],
)
def test_where_it_is(issuer: str, url: str) -> None:
    assert url_of(issuer) == url


@pytest.mark.parametrize("asked", [f"{ISSUER}/", "https://evil.example", "https://ID.example.org"])
def test_a_document_of_another_issuer_is_refused(asked: str) -> None:
    with pytest.raises(ValueError, match="not of"):
        read(asked)


@pytest.mark.parametrize("named", [None, "", 1, [ISSUER], {}])
def test_a_document_that_names_no_issuer_is_refused(named: Any) -> None:
    with pytest.raises(ValueError, match="not of"):
        Metadata.parse(json.dumps({**DOCUMENT, "issuer": named}).encode(), ISSUER)


@pytest.mark.parametrize("name", ["authorization_endpoint", "token_endpoint", "jwks_uri"])
@pytest.mark.parametrize(
    "value",
    [
        ...,
        "",
        1,
        "http://id.example.org/x",
        "javascript:alert(1)",
        "https://",
        "/auth",
        "https://[x",
        "https://id.example.org/\nX: y",
        "https://id.example.org/#a",
        "https://id.example.org/a b",
        'https://id.example.org/"',
        "https://id.example.org/é",
        "https://a/" + "x" * 2048,
        "http://127.0.0.1.evil.example/",
    ],
)
def test_an_address_that_is_not_safe_is_refused(name: str, value: Any) -> None:
    with pytest.raises(ValueError, match=name):
        read(**{name: value})


@pytest.mark.parametrize("name", ["userinfo_endpoint", "end_session_endpoint"])
def test_the_others_too_if_they_are_there(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        read(**{name: "http://id.example.org/x"})


def test_loopback_needs_no_tls() -> None:
    assert read(token_endpoint="http://127.0.0.1:8000/token").token == "http://127.0.0.1:8000/token"
    assert read(jwks_uri="http://localhost/keys").keys == "http://localhost/keys"


@pytest.mark.parametrize("body", [b"", b"[]", b"<html>", b"null", b"\xff"])
def test_what_is_no_document_is_refused(body: bytes) -> None:
    with pytest.raises(ValueError):  # noqa: PT011  # orjson has its own words
        Metadata.parse(body, ISSUER)
