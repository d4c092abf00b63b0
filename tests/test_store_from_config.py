"""The store that several hubs share is reached as the configuration says."""

from __future__ import annotations

import sys

import pytest

from hub import Config, make_app
from hub.domain.errors import ConfigError
from hub.store_from_config import server_url, shared_store_of

CASES = {
    "redis://127.0.0.1:6379": ({}, "redis://127.0.0.1:6379"),
    "rediss://h:1/2": (
        {"password_env": "P", "ca_file": "/a b.pem"},
        "rediss://:p%40%2F@h:1/2?ssl_ca_certs=%2Fa%20b.pem",
    ),
    "rediss://h": ({"user_env": "U", "password_env": "P"}, "rediss://me%3A:p%40%2F@h"),
    "unix:///run/r.sock": ({"password_env": "P"}, "unix://:p%40%2F@/run/r.sock"),
}


@pytest.mark.parametrize("url", CASES)
def test_the_secrets_become_part_of_the_url_only_here(url: str) -> None:
    more, wanted = CASES[url]
    config = Config.model_validate({"store": {"url": url, **more}})
    assert server_url(config, {"U": "me:", "P": "p@/"}) == wanted
    assert "p@/" not in str(config.shown())


def test_a_password_that_is_not_there_is_said_before_the_hub_starts() -> None:
    config = Config.model_validate({"store": {"url": "redis://localhost", "password_env": "P"}})
    with pytest.raises(ConfigError, match="set the environment variable P"):
        make_app(config, environ={})


def test_a_hub_is_called_as_it_is_told_or_like_its_machine() -> None:
    def named(**node: str) -> str:
        given = {"store": {"url": "redis://localhost"}, "node": node}
        return shared_store_of(Config.model_validate(given), {}).node

    assert named(name="hub 1/é") == "hub-1--"
    assert len(named(name="x" * 100)) == 64
    assert named()


def test_a_package_that_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "hiredis", None)
    for name in [name for name in sys.modules if name.startswith("hub.stores.redis")]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.delitem(sys.modules, "hub.store_from_config")
    with pytest.raises(ConfigError, match=r'"hiredis": pip install "streamhub\[redis\]"'):
        make_app(Config.model_validate({"store": {"url": "redis://localhost"}}))
