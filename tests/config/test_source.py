"""The environment goes over the file, and its mistakes name the variable."""

from __future__ import annotations

from pathlib import Path

import pytest

from hub.config.schema import Config, Server
from tests.support.config_mistakes import SECRET, told


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_the_environment_goes_over_the_file(file: Path) -> None:
    file.write_text(
        "[server]\nport = 1\nhost = 'a'\n[upstreams.demo]\ndialect = 'demo'\n"
        "[upstreams.My-Own]\ndialect = 'x'",
        "utf-8",
    )
    config = Config.load(
        file,
        {
            "STREAMHUB_SERVER__PORT": "2",
            "STREAMHUB_SERVER__ORIGINS": '["https://a.example"]',
            "STREAMHUB_SERVER__ACCESS_LOG": "true",
            "STREAMHUB_SERVER__DRAIN_SECONDS": "0.5",
            "STREAMHUB_FANOUT__DELIVER": "committed",
            "STREAMHUB_UPSTREAMS__MY_OWN__MODEL": "4",
            "STREAMHUB_UPSTREAMS__MY_OWN__URL": '"http://a"',
            "STREAMHUB_UPSTREAMS__MY_OWN__HEADERS": '{"X-A": "b"}',
            "STREAMHUB_UPSTREAMS__MY_OWN__OPTIONS__DEEP__PACE": "1979-05-27",
            "STREAMHUB_UPSTREAMS__NEW": "{dialect = 'y'}",
            "STREAMHUB_DEFAULT_UPSTREAM": "My-Own",
        },
    )
    server = {"port": 2, "host": "a", "origins": ["https://a.example"], "access_log": True}
    assert config.server == Server(**server, drain_seconds=0.5)  # type: ignore[arg-type]  # mixed
    assert config.fanout.deliver == "committed"
    assert list(config.upstreams) == ["demo", "My-Own", "new"]
    mine = config.upstreams["My-Own"]
    assert (mine.model, mine.url, mine.headers) == ("4", "http://a", {"X-A": "b"})
    assert mine.options == {"deep": {"pace": "1979-05-27"}}
    assert config.default_upstream == "My-Own"


def test_without_a_file_the_environment_goes_over_the_default_upstreams() -> None:
    environ = {
        "STREAMHUB_UPSTREAMS__DEMO__OPTIONS__PACE": "0.5",
        "STREAMHUB_UPSTREAMS__LOCAL__DIALECT": "text",
    }
    config = Config.load(None, environ)
    assert config.upstreams["demo"].options == {"pace": 0.5}
    assert config.upstreams["local"].dialect == "text"


def test_mistakes_in_the_environment_name_the_variable(file: Path) -> None:
    file.write_text("[server]\nport = -1\n[fanout]\nslice = 0\n[upstreams.demo]\ndialect='demo'")
    lines = told(
        file,
        STREAMHUB_SERVER__PORT="x",
        STREAMHUB_UPSTREAMS__DEMO__URL=f"http://a?{SECRET}",
        STREAMHUB_LIMITS='{"streams": 0}',
    )
    assert lines == [
        "config.toml:4: fanout.slice: must be at least 1",
        "STREAMHUB_LIMITS: streams: must be at least 1",
        "STREAMHUB_SERVER__PORT: must be a whole number",
        "STREAMHUB_UPSTREAMS__DEMO__URL: must not contain ? or #: use query or api_key_env",
    ]


@pytest.mark.parametrize(
    ("name", "meant"),
    [
        ("STREAMHUB_SERVER_PORT", "STREAMHUB_SERVER__PORT"),
        ("STREAMHUB_SERVER__PROT", "STREAMHUB_SERVER__PORT"),
        ("STREAMHUB_SERVER__PORT__X", "STREAMHUB_SERVER__PORT"),
        ("STREAMHUB_server__port", "STREAMHUB_STORE__URL"),
        ("STREAMHUB_UPSTREAMS__DEMO__URI", "STREAMHUB_UPSTREAMS__DEMO__URL"),
        ("STREAMHUB_UPSTREAMS____RETRIES", "STREAMHUB_UPSTREAMS__DEMO__RETRIES"),
    ],
)
def test_an_unknown_variable_is_told_with_the_nearest_known_one(name: str, meant: str) -> None:
    assert told(None, **{name: "1"}) == [f"{name}: unknown variable; did you mean {meant}?"]


def test_a_variable_that_holds_an_api_key_may_have_the_prefix(file: Path) -> None:
    file.write_text("[upstreams.demo]\ndialect = 'demo'\napi_key_env = 'STREAMHUB_KEY'")
    config = Config.load(file, {"STREAMHUB_KEY": SECRET})
    assert config.upstreams["demo"].api_key({"STREAMHUB_KEY": SECRET}) == SECRET
