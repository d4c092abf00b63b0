"""``streamhub config``: mistakes are told with file and line, secrets are not."""

from __future__ import annotations

import tomllib
from pathlib import Path

import orjson
import pytest

from hub.config.schema import Config
from tests.support.processes import Command

SHIPPED = Path(__file__).parents[2] / "config.toml"


def test_config_defaults_is_the_commented_file(command: Command) -> None:
    said = command("config", "defaults")
    assert (said.code, said.out) == (0, SHIPPED.read_text("utf-8"))


def test_config_show_is_toml_that_means_the_same(command: Command, here: Path) -> None:
    text = """
        default_upstream = "a b"
        [upstreams."a b"]
        dialect = "json"
        url = "http://127.0.0.1:1"
        options = { text = "a.\\"b\\u007f😀" }
        [server]
        origins = ["https://a.example"]
        port = 1
    """
    (here / "config.toml").write_text(text, "utf-8")
    said = command("config", "show")
    assert said.code == 0
    (here / "config.toml").write_text(said.out, "utf-8")
    assert Config.load(here / "config.toml", {}).server.port == 1
    assert command("config", "show").out == said.out
    assert tomllib.loads(said.out)["upstreams"]["a b"]["options"] == {"text": 'a."b\x7f😀'}


def test_config_show_as_json_masks_secrets(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("STREAMHUB_UPSTREAMS__DEMO__HEADERS", '{"Authorization": "sk-secret"}')
    said = command("config", "show", "--json")
    assert orjson.loads(said.out)["upstreams"]["demo"]["headers"] == {"Authorization": "***"}
    assert "sk-secret" not in said.out + command("config", "show").out


def test_config_check_passes_the_defaults_and_the_shipped_file(command: Command) -> None:
    assert command("config", "check").out == "the built-in configuration: ok\n"
    said = command("config", "check", "--config", str(SHIPPED))
    assert (said.code, said.out, said.err) == (0, f"{SHIPPED}: ok\n", "")
    assert orjson.loads(command("config", "check", "--json").out) == {
        "ok": True,
        "errors": [],
        "warnings": [],
    }


MISTAKES = {
    "[server]\nprot = 1": (':2: server.prot: unknown key; did you mean "port"?', "config_invalid"),
    '[upstreams.demo]\ndialect = "demmo"': (
        ':2: upstreams.demo.dialect: unknown dialect "demmo"',
        "config_invalid",
    ),
    '[upstreams.demo]\ndialect = "demo"\noptions = { pase = 1 }': (
        ":3: upstreams.demo.options: ",
        "config_invalid",
    ),
    '[upstreams.demo]\ndialect = "text"': (
        ':1: upstreams.demo.url: must be given: the dialect "text" asks a server',
        "config_invalid",
    ),
    '[upstreams.demo]\ndialect = "demo"\napi_key_env = "NO_SUCH_KEY"': (
        'NO_SUCH_KEY to the API key of the upstream "demo"',
        "api_key_missing",
    ),
}


@pytest.mark.parametrize("text", MISTAKES)
def test_config_check_names_file_and_line_of_a_mistake(
    text: str, command: Command, here: Path
) -> None:
    expected, code = MISTAKES[text]
    (here / "config.toml").write_text(text)
    said = command("config", "check")
    assert (said.code, said.out) == (1, "")
    assert expected in said.err
    assert said.err.count("\n") == 1
    assert said.err.endswith(f"({code})\n")
    as_json = orjson.loads(command("config", "check", "--json").out)
    assert not as_json["ok"]
    assert expected in as_json["errors"][0]


def test_several_mistakes_are_a_line_each(command: Command, here: Path) -> None:
    (here / "own.toml").write_text("[server]\nprot = 1\nport = -1")
    said = command("config", "check", "-c", "own.toml")
    assert said.code == 1
    assert said.err.splitlines() == [
        'error: own.toml:2: server.prot: unknown key; did you mean "port"? (config_invalid)',
        "error: own.toml:3: server.port: must be at least 0 (config_invalid)",
    ]


def test_config_check_reads_the_secrets_and_keys_of_issuers(command: Command, here: Path) -> None:
    (here / "key.pem").write_text("-----BEGIN PUBLIC KEY-----", "utf-8")
    text = """
        [auth.issuers.app]
        audience = "hub"
        secret_env = "APP_SECRET"
        [auth.issuers.other]
        audience = "hub"
        public_key_file = "key.pem"
    """
    (here / "config.toml").write_text(text, "utf-8")
    said = command("config", "check")
    assert said.code == 1
    assert "set the environment variable APP_SECRET" in said.err
    assert "the file key.pem must hold an RSA, EC or Ed25519 public key" in said.err


def test_config_check_reads_the_secrets_of_a_provider_and_a_webhook(
    command: Command, here: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    text = """
        [auth.oidc]
        issuer = "https://id.example.org"
        client_id = "hub"
        client_secret_env = "OIDC_SECRET"
        [auth.webhook]
        url = "https://app.example.org/hub"
        secret_env = "HOOK_SECRET"
    """
    (here / "config.toml").write_text(text, "utf-8")
    said = command("config", "check")
    assert said.code == 1
    assert "OIDC_SECRET must hold the client secret" in said.err
    assert "set the environment variable HOOK_SECRET" in said.err
    monkeypatch.setenv("OIDC_SECRET", "secret")
    monkeypatch.setenv("HOOK_SECRET", "whsec_MDEyMzQ1Njc4OWFiY2RlZjAxMjM0NTY3ODlhYmNkZWY=")
    assert command("config", "check").code == 0
