"""``config check`` and ``doctor`` name everything that lets in more than named users."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from hub.cli.open_access import openings
from hub.config.schema import Config
from tests.support.processes import Command

GRANTS = '[[auth.grants]]\nwho = "{who}"\nmatch = "{match}"\ncan = ["read", "append"]'
ISSUER = '[auth.issuers.{name}]\naudience = "hub"\njwks = "https://{name}.example/keys"\n'
OIDC = '[auth.oidc]\nclient_id = "hub"\nissuer = "{issuer}"\n'
CLOSED = {
    "nothing": "",
    "loopback": '[server]\nhost = "::1"',
    "a name of this machine": '[server]\nhosts = ["hub.localhost"]',
    "a socket": '[server]\nhost = "0.0.0.0"\nunix_socket = "hub.sock"',
    "credentials": '[server]\nhost = "0.0.0.0"\n[auth]\nrequired = true',
    "own streams": GRANTS.format(who="user", match="chat/{user}/**"),
    "a key": GRANTS.format(who="key ci", match="**"),
    "one issuer": ISSUER.format(name="a"),
    "issuers with tenants": ISSUER.format(name="a")
    + 'tenant = "a"\n'
    + ISSUER.format(name="b")
    + 'tenant = "b"\n',
    "a provider of one's own": OIDC.format(issuer="https://id.example.org"),
    "some users of a provider": OIDC.format(issuer="https://accounts.google.com")
    + 'allowed = ["email *@example.org"]\n',
    "a provider that also issues tokens": OIDC.format(issuer="https://a.example")
    + ISSUER.format(name="a")
    + 'issuer = "https://a.example"\n',
    "a provider with a tenant": OIDC.format(issuer="https://id.example.org")
    + 'tenant = "team"\n'
    + ISSUER.format(name="a"),
    "an issuer with a tenant": ISSUER.format(name="a") + ISSUER.format(name="b") + 'tenant = "b"\n',
}

OPEN = {
    "every origin": ('[server]\norigins = ["*"]', ["server.origins"], "every website"),
    "every host": ('[server]\nhosts = ["*"]', ["server.hosts", "auth"], "DNS rebinding"),
    "every host, with auth": (
        '[server]\nhosts = ["*"]\n[auth]\nrequired = true',
        ["server.hosts"],
        "DNS rebinding",
    ),
    "every proxy": (
        '[server]\ntrusted_proxies = ["10.0.0.1", "::/0"]\n[auth]\nrequired = true',
        ["server.trusted_proxies"],
        '"::/0" lets whoever can reach the hub write its own address',
    ),
    "a proxy": (
        '[server]\ntrusted_proxies = ["unix"]\nunix_socket = "x"',
        ["auth"],
        "can reach it through a proxy",
    ),
    "a public address": ('[server]\nhost = "0.0.0.0"', ["auth"], "can reach 0.0.0.0"),
    "a public name": ('[server]\nhosts = ["a.example"]', ["auth"], "can reach a.example"),
    "a public name of a socket": (
        '[server]\nhosts = ["a.example"]\nunix_socket = "x"',
        ["auth"],
        "can reach a.example",
    ),
    "open": ("[auth]\nopen = true", ["auth.open"], "can reach this machine may do everything"),
    "open on a public address": (
        '[server]\nhost = "192.0.2.1"\n[auth]\nopen = true',
        ["auth.open"],
        "whoever can reach 192.0.2.1 may do everything",
    ),
    "anyone": (
        GRANTS.format(who="anyone", match="news/*"),
        ["auth.grants[0]"],
        'also without a credential, may read, append on "news/*"',
    ),
    "anyone, everywhere": (
        GRANTS.format(who="anyone", match="**"),
        ["auth.grants[0]"],
        'may read, append on "**"',
    ),
    "every user, everywhere": (
        GRANTS.format(who="key ci", match="**") + "\n" + GRANTS.format(who="user", match="**"),
        ["auth.grants[1]"],
        'every user may read, append on "**"',
    ),
    "two issuers": (
        ISSUER.format(name="a") + ISSUER.format(name="b"),
        ["auth.issuers.b"],
        'a user of "b" and one of "a"',
    ),
    "two issuers with one tenant": (
        ISSUER.format(name="a") + 'tenant="x"\n' + ISSUER.format(name="b") + 'tenant="x"\n',
        ["auth.issuers.b"],
        "count as one user",
    ),
    "an issuer that names tenants": (
        ISSUER.format(name="a") + 'tenant_claim="t"\n' + ISSUER.format(name="b") + 'tenant="b"\n',
        ["auth.issuers.b"],
        "count as one user",
    ),
    "a provider for everybody": (
        OIDC.format(issuer="https://accounts.google.com"),
        ["auth.oidc"],
        "everybody with an account at https://accounts.google.com may sign in",
    ),
    "a provider beside an issuer": (
        OIDC.format(issuer="https://id.example.org") + ISSUER.format(name="a"),
        ["auth.oidc"],
        'a user of the provider and one of "a" with the same name count as one user',
    ),
    "a provider that names users in another way": (
        OIDC.format(issuer="https://a.example")
        + 'user_claim = "email"\n'
        + ISSUER.format(name="a")
        + 'issuer = "https://a.example"\n',
        ["auth.oidc"],
        "count as one user",
    ),
}


def keys(path: Path) -> list[str]:
    return [opening.key for opening in openings(Config.load(path, {}))]


@pytest.mark.parametrize("name", CLOSED)
def test_what_is_closed_is_not_named(name: str, command: Command, here: Path) -> None:
    (here / "config.toml").write_text(CLOSED[name])
    assert keys(here / "config.toml") == []
    said = command("config", "check")
    assert (said.code, said.err) == (0, "")
    assert orjson.loads(command("config", "check", "--json").out)["warnings"] == []
    (line,) = [line for line in command("doctor").out.splitlines() if line[5:].startswith("access")]
    assert line.startswith("ok ")


@pytest.mark.parametrize("name", OPEN)
def test_what_is_open_is_named(name: str, command: Command, here: Path) -> None:
    text, expected, said = OPEN[name]
    (here / "config.toml").write_text(text)
    assert keys(here / "config.toml") == expected
    checked = command("config", "check")
    assert (checked.code, checked.out) == (0, "config.toml: ok\n"), "it may be intended"
    lines = checked.err.splitlines()
    assert [line.split(": ")[:2] for line in lines] == [["warning", key] for key in expected]
    assert said in checked.err
    as_json = orjson.loads(command("config", "check", "--json").out)
    assert as_json["ok"]
    assert [f"warning: {line}" for line in as_json["warnings"]] == lines
    found = orjson.loads(command("doctor", "--json").out)["findings"]
    warned = [one for one in found if one["check"] == "access"]
    assert [one["said"].split(": ")[0] for one in warned] == expected
    assert {one["state"] for one in warned} == {"warn"}
    assert all(one["advice"] for one in warned)


def test_a_mistake_comes_first(command: Command, here: Path) -> None:
    (here / "config.toml").write_text('[server]\norigins = ["*"]\nprot = 1')
    as_json = orjson.loads(command("config", "check", "--json").out)
    assert (as_json["ok"], as_json["warnings"]) == (False, [])


def test_grants_are_shown_as_toml_that_means_the_same(command: Command, here: Path) -> None:
    file = here / "config.toml"
    file.write_text(
        GRANTS.format(who="user", match="chat/{user}/**")
        + '\n[auth.keys."a b"]\nid = "abcdefghijkl"\nsha256 = "'
        + "ab" * 32
        + '"\ncan = ["read"]\n'
        + ISSUER.format(name="a")
    )
    before = Config.load(file, {}).auth
    file.write_text(command("config", "show").out)
    assert Config.load(file, {}).auth == before
