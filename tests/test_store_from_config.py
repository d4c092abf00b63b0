"""The store that several hubs share is reached as the configuration says."""

from __future__ import annotations

import sys

import pytest

from hub import Config, make_app
from hub.domain.errors import ConfigError, StoreError
from hub.store_from_config import server_of, shared_store_of
from hub.stores.redis.cluster import Cluster
from hub.stores.redis.sentinels import Sentinels

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
    assert server_of(config, {"U": "me:", "P": "p@/"}) == wanted
    assert "p@/" not in str(config.shown())


def test_sentinels_have_secrets_of_their_own_and_name_the_server() -> None:
    url = "rediss+sentinel://a,[::1],b:7/main/2"
    given = {"user_env": "U", "password_env": "P", "sentinel_password_env": "S", "ca_file": "/ca"}
    config = Config.model_validate({"store": {"url": url, **given}})
    found = server_of(config, {"U": "me", "P": "p@/", "S": "s@/"})
    assert isinstance(found, Sentinels)
    assert found.primary == "main"
    assert found.urls == [
        f"rediss://:s%40%2F@{host}?ssl_ca_certs=%2Fca" for host in ("a:26379", "[::1]:26379", "b:7")
    ]
    assert found.url_of("::2", 6379) == "rediss://me:p%40%2F@[::2]:6379/2?ssl_ca_certs=%2Fca"
    assert "s%40" not in repr(found)
    with pytest.raises(ConfigError, match="set the environment variable S"):
        server_of(config, {"U": "me", "P": "p"})


def test_all_servers_of_a_cluster_have_one_user_and_password() -> None:
    given = {"user_env": "U", "password_env": "P", "ca_file": "/ca"}
    store = {"url": "rediss+cluster://a,[::1],b:7", **given}
    found = server_of(Config.model_validate({"store": store}), {"U": "me", "P": "p@/"})
    assert isinstance(found, Cluster)
    assert found.urls == [
        f"rediss://me:p%40%2F@{host}?ssl_ca_certs=%2Fca" for host in ("a:6379", "[::1]:6379", "b:7")
    ]
    assert found.url_of("::2", 6380) == "rediss://me:p%40%2F@[::2]:6380?ssl_ca_certs=%2Fca"
    assert "p%40" not in repr(found)


@pytest.mark.parametrize(
    ("url", "said"),
    [
        ("redis+sentinel://localhost/main", r"the sentinels name 10\.0\.0\.1.*rediss\+sentinel://"),
        ("redis+cluster://localhost", r"the cluster names 10\.0\.0\.1.*rediss\+cluster://"),
    ],
)
def test_no_server_beyond_this_machine_is_asked_as_plain_text_because_others_name_it(
    url: str, said: str
) -> None:
    def url_of(host: str, **more: bool) -> str:
        found = server_of(Config.model_validate({"store": {"url": url, **more}}), {})
        assert isinstance(found, Sentinels | Cluster)
        return found.url_of(host, 1)

    assert url_of("127.0.0.1") == "redis://127.0.0.1:1"
    assert url_of("10.0.0.1", insecure=True) == "redis://10.0.0.1:1"
    with pytest.raises(StoreError, match=said):
        url_of("10.0.0.1")


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
