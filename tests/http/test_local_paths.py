"""Where a browser may be sent to because a request asks for it."""

from __future__ import annotations

import pytest

from hub.http.local_paths import local_path


@pytest.mark.parametrize(
    "path", ["/", "/a", "/hub/?stream=a%20b#/c/one", "/a//b", "/@me", "/?x=//y", "/./", "/%2F/"]
)
def test_a_path(path: str) -> None:
    assert local_path(path) == path


@pytest.mark.parametrize(
    "text",
    [
        "",
        "//evil.example",
        "///evil.example",
        "/\\evil.example",
        "\\\\evil.example",
        "https://evil.example",
        "javascript:alert(1)",
        "evil.example",
        "./a",
        "/\t/evil.example",
        "/\n/evil.example",
        "/a\r\nSet-Cookie: a=b",
        " /a",
        "/a b",
        '/"',
        "/é",
        "/\udce9",
        "/" + "a" * 500,
    ],
)
def test_what_is_no_path_or_leads_elsewhere(text: str) -> None:
    assert local_path(text) == ""
