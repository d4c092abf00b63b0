"""``streamhub share``: links are made, listed and revoked, with a hub and without."""

from __future__ import annotations

import re
import time
from pathlib import Path
from typing import Any
from urllib.error import HTTPError
from urllib.request import Request, urlopen

import orjson
import pytest

from hub.access.shares import link_id
from hub.auth.api_keys import parse
from tests.cli.stored_streams import DATABASE, keep, stream
from tests.cli.test_token import serving, url_in
from tests.support.patience import PATIENCE
from tests.support.processes import Command

LINK = re.compile(r"/s/([A-Za-z0-9_-]{43})\n")
AUTH = "[auth]\nrequired = true\n"


def body(text: str) -> bytes:
    return orjson.dumps({"type": "message", "role": "user", "text": text})


@pytest.fixture
def talk(here: Path) -> str:
    """A stream in the store of a hub with authentication."""
    (here / "config.toml").write_text(AUTH)
    keep(*stream("talk", body("one"), body("two")))
    return "talk"


def created(command: Command, *options: str) -> str:
    """The secret of a new link to the stream."""
    said = command("share", "create", "talk", *options)
    found = LINK.fullmatch(said.out)
    assert found is not None, said.err
    assert found[1] not in said.err
    return found[1]


def listed(command: Command, *options: str) -> list[dict[str, Any]]:
    said = command("share", "list", *options, "--json")
    assert said.code == 0, said.err
    return [orjson.loads(line) for line in said.out.splitlines()]


def read(url: str, secret: str) -> list[str] | int:
    """The texts that a link shows, or the status of a refusal."""
    head = {"Authorization": f"Bearer sl_{secret}"}
    request = Request(f"{url}/v1/stream/talk", headers=head)  # noqa: S310 - the hub's own URL
    try:
        with urlopen(request) as response:  # noqa: S310 - the hub's own URL
            return [one["text"] for one in orjson.loads(response.read())]
    except HTTPError as error:
        return error.code


def test_a_link_is_shown_once_and_its_secret_is_not_kept(command: Command, talk: str) -> None:
    secret = created(command, "--title", "For you", "--expires", "7d")
    (told,) = listed(command, talk)
    assert told["id"] == link_id(f"sl_{secret}")
    assert (told["title"], told["until"], told["state"]) == ("For you", "live", "works")
    assert told["created"] < told["expires"]
    assert listed(command, "other") == []
    assert secret not in command("share", "list").out
    for file in DATABASE.parent.iterdir():
        assert secret.encode() not in file.read_bytes()


def test_a_hub_shows_what_was_shared_while_none_ran(
    command: Command, talk: str, here: Path
) -> None:
    live, frozen = created(command), created(command, "--frozen")
    with serving(here):
        url = url_in(here)
        assert read(url, live) == read(url, frozen) == ["one", "two"]
    assert [one["state"] for one in listed(command)] == ["works", "works"]


def test_a_running_hub_takes_a_link_and_gives_it_up(
    command: Command, talk: str, here: Path
) -> None:
    with serving(here):
        url = url_in(here)
        secret = created(command)
        assert read(url, secret) == ["one", "two"]
        id_ = link_id(f"sl_{secret}")
        assert id_ is not None
        said = command("share", "revoke", id_)
        assert (said.code, said.err) == (0, f"the link {id_} was revoked\n")
        end = time.monotonic() + PATIENCE
        while read(url, secret) != 401:
            assert time.monotonic() < end
    assert [one["state"] for one in listed(command)] == ["revoked"]
    assert secret not in (here / "log").read_text()


def test_what_somebody_made_is_told_of_and_revoked_at_once(
    command: Command, talk: str, here: Path
) -> None:
    can = ("--can", "read,share", "--match", "talk")
    keys = {
        user: command("token", "create", "--user", user, *can).out.strip()
        for user in ("ann", "b b")
    }
    with serving(here):
        url = url_in(here)
        for key in (*keys.values(), keys["ann"]):
            head = {"Authorization": f"Bearer {key}", "Content-Type": "application/json"}
            asked = Request(f"{url}/v1/shares", b'{"stream": "talk"}', head)  # noqa: S310
            urlopen(asked).close()  # noqa: S310
        said = command("token", "revoke", parse(keys["ann"]) or "")
        assert "links of ann that still work: 2; `streamhub share list --by ann`\n" in said.err
        assert len(listed(command, "--by", "ann")) == 2
        said = command("share", "revoke", "--by", "ann")
        assert (said.code, said.err) == (0, "revoked 2 links of ann\n")
        assert command("share", "revoke", "--by", "ann").err == "revoked 0 links of ann\n"
    assert [one["state"] for one in listed(command, "--by", "ann")] == ["revoked"] * 2
    assert [one["state"] for one in listed(command, "--by", "b%20b")] == ["works"]
    assert "links of b%20b that still work: 1; " in command("token", "logout", "b b").err


@pytest.mark.parametrize("arguments", [[], ["1c9f", "--by", "ann"]], ids=str)
def test_one_link_or_those_of_a_maker_are_revoked(
    command: Command, talk: str, arguments: list[str]
) -> None:
    said = command("share", "revoke", *arguments)
    assert said.code == 2
    assert "name a link, or whoever made some with --by" in said.err


def test_a_link_to_a_deleted_stream_is_listed_as_one(command: Command, talk: str) -> None:
    created(command)
    assert command("streams", "delete", talk, "--yes").code == 0
    assert [one["state"] for one in listed(command)] == ["deleted"]


def test_the_log_has_neither_links_nor_tickets(command: Command, talk: str, here: Path) -> None:
    (here / "config.toml").write_text(f"{AUTH}[server]\naccess_log = true\n")
    with serving(here):
        url = url_in(here)
        secret = created(command)
        assert read(url, secret) == ["one", "two"]
        ticket = _ticket(url, secret)
        for path in (
            f"/v1/stream/talk?ticket={ticket}",
            f"/v1/stream/other?ticket={ticket}",
            f"/v1/stream/talk?ticket={ticket}x",
            f"/s/{secret}",
            f"/s/{secret}/more",
            f"/hub/s/{secret}?format=text",
        ):
            referer = {"Referer": f"{url}/s/{secret}?ticket={ticket}"}
            try:
                urlopen(Request(url + path, headers=referer)).close()  # noqa: S310
            except HTTPError as error:
                error.close()
    log = (here / "log").read_text()
    assert log.count("/v1/stream/talk ") >= 2, "there is an access log"
    assert log.count("/s/*** ") >= 1
    for secret_text in (secret, ticket, ticket[3:50], "ticket="):
        assert secret_text not in log


def _ticket(url: str, secret: str) -> str:
    head = {"Authorization": f"Bearer sl_{secret}", "Content-Type": "application/json"}
    asked = Request(f"{url}/v1/tickets", b'{"stream": "talk"}', head)  # noqa: S310
    with urlopen(asked) as response:  # noqa: S310
        ticket: str = orjson.loads(response.read())["ticket"]
        return ticket


@pytest.mark.parametrize(
    ("arguments", "code"),
    [
        (["create", "none"], "stream_not_found"),
        (["create", "talk", "--title", "a\nb"], "bad_title"),
        (["revoke", "none"], "share_not_found"),
    ],
    ids=str,
)
def test_a_mistake_is_one_line(
    command: Command, talk: str, arguments: list[str], code: str
) -> None:
    said = command("share", *arguments)
    assert said.code == 1
    assert said.err.startswith("error: ")
    assert said.err.endswith(f"({code})\n")
    assert said.err.count("\n") == 1
    assert listed(command) == []


def test_without_authentication_a_link_is_warned_of(command: Command, here: Path) -> None:
    keep(*stream("talk", body("one")))
    said = command("share", "create", "talk")
    assert "the configuration has no [auth]" in said.err


def test_a_hub_in_memory_is_shared_over_its_own_route(command: Command, here: Path) -> None:
    (here / "config.toml").write_text('[store]\nurl = "memory:"')
    said = command("share", "list")
    assert said.err.endswith("(store_memory)\n")
