"""``streamhub token login|logout``: links that sign people in, with a hub and without."""

from __future__ import annotations

import re
import time
from http.client import HTTPConnection
from pathlib import Path
from urllib.parse import urlsplit

import pytest

from hub.stores import Credential
from hub.stores.sqlite.inspect import Inspector
from tests.cli.stored_streams import DATABASE
from tests.cli.test_token import ended, serving, token, url_in
from tests.support.processes import Command

AUTH = """
[auth]
required = true
[[auth.grants]]
who = "user"
match = "chat/{user}/**"
can = ["read"]
"""
LINK = re.compile(r"http://127\.0\.0\.1:7000/login/si_[a-z0-9]{12}_[A-Za-z0-9_-]{43}\n")


def stored(kind: str) -> list[Credential]:
    with Inspector(DATABASE) as inspector:
        return inspector.list_credentials(kind)


def test_a_link_is_written_alone_and_kept_as_a_hash(command: Command, here: Path) -> None:
    (here / "config.toml").write_text(AUTH)
    said = command("token", "login", "alice", "--tenant", "acme")
    assert said.code == 0, said.err
    assert LINK.fullmatch(said.out)
    assert said.err.startswith("this link signs alice in, once, until ")
    assert said.err.count("\n") == 1
    (row,) = stored("login")
    assert (row.user, row.tenant) == ("alice", "acme")
    assert row.expires is not None
    assert row.expires - row.created == 600
    assert abs(row.created - time.time()) < 60
    assert said.out.strip()[-43:] not in repr(row)
    assert command("token", "list").out.count("\n") == 1, "a link is no key"


@pytest.mark.parametrize(
    ("url", "begins"),
    [
        ("https://chat.example.org", "https://chat.example.org/login/si_"),
        ("https://chat.example.org/hub/", "https://chat.example.org/hub/login/si_"),
    ],
)
def test_a_link_leads_where_people_open_the_page(
    url: str, begins: str, command: Command, here: Path
) -> None:
    (here / "config.toml").write_text(AUTH)
    assert command("token", "login", "alice", "--url", url).out.startswith(begins)


@pytest.mark.parametrize(
    ("config", "options", "says"),
    [
        ("", (), "so nobody signs in"),
        (f'store.url = "memory:"\n{AUTH}', (), "is no file"),
        (f'server.host = "0.0.0.0"\n{AUTH}', (), "say where people open the page"),
        (f'server.unix_socket = "hub.sock"\n{AUTH}', (), "say where people open the page"),
        (AUTH, ("--url", "chat.example.org"), "should be an address"),
        (AUTH, ("--url", "https://chat.example.org/?a=b"), "should be an address"),
        (AUTH, ("--expires", "soon"), "should be a span"),
        (AUTH, ("--tenant", "a\nb"), "one line"),
    ],
)
def test_a_mistake_is_one_line_and_keeps_nothing(
    config: str, options: tuple[str, ...], says: str, command: Command, here: Path
) -> None:
    (here / "config.toml").write_text(config)
    said = command("token", "login", "alice", *options)
    assert said.code != 0
    assert says in said.err
    assert said.err.count("\n") == 1
    assert said.out == ""
    assert not DATABASE.exists()


def test_a_user_who_may_do_nothing_is_warned_of(command: Command, here: Path) -> None:
    (here / "config.toml").write_text("[auth]\nrequired = true")
    assert "grants nothing to this user" in command("token", "login", "alice").err


def test_a_link_signs_in_once_at_a_running_hub_and_leaves_no_trace(here: Path) -> None:
    (here / "config.toml").write_text(f"{AUTH}\n[server]\naccess_log = true")
    with serving(here):
        place = urlsplit(url_in(here)).netloc
        link = urlsplit(ended(token(here, "login", "alice")).strip())
        cookies = []
        for expected in (303, 404):
            assert answered(place, "GET", link.path)[0] == (200 if expected == 303 else 404)
            status, cookie = answered(place, "POST", link.path, **{"Sec-Fetch-Site": "same-origin"})
            assert status == expected
            cookies.append(cookie)
        session = cookies[0].partition(";")[0]
        held = {"Cookie": session, "Sec-Fetch-Site": "same-origin"}
        assert answered(place, "GET", "/v1/models", **held)[0] == 200
        ended(token(here, "logout", "alice"))
        time.sleep(1.0)
        assert answered(place, "GET", "/v1/models", **held)[0] == 401
    written = (here / "log").read_bytes() + b"".join(
        path.read_bytes() for path in (here / "data").iterdir() if path.is_file()
    )
    for secret in (session, link.path):
        assert secret[-43:].encode() not in written


def answered(place: str, method: str, path: str, **headers: str) -> tuple[int, str]:
    """The status of a response, and the cookie that it sets."""
    connection = HTTPConnection(place)
    connection.request(method, path, headers=headers)
    response = connection.getresponse()
    response.read()
    connection.close()
    return response.status, response.headers.get("Set-Cookie", "")


def test_logout_ends_the_sessions_of_one_user(command: Command, here: Path) -> None:
    (here / "config.toml").write_text(AUTH)
    with serving(here):
        place = urlsplit(url_in(here)).netloc
        for user in ("alice", "alice", "bob"):
            link = urlsplit(ended(token(here, "login", user)).strip())
            answered(place, "POST", link.path)
    said = command("token", "logout", "alice")
    assert (said.code, said.err) == (0, "ended 2 sessions of alice\n")
    assert command("token", "logout", "alice").err == "ended 0 sessions of alice\n"
    rows = {row.id: row for row in stored("session")}
    assert sorted((row.user, row.revoked is None) for row in rows.values()) == [
        ("alice", False),
        ("alice", False),
        ("bob", True),
    ]
