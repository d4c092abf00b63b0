"""The configuration is read whole, checked once, and every mistake is told where it stands."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from pydantic import BaseModel, ValidationError

from hub.cli.config import _toml
from hub.config.auth import GrantTable, IssuerTable, KeyTable, WebhookTable
from hub.config.schema import MASK, Config, UpstreamTable
from hub.domain.errors import ConfigError
from tests.support.config_mistakes import SECRET, told

SHIPPED = Path(__file__).parents[2] / "config.toml"


@pytest.fixture
def file(tmp_path: Path) -> Path:
    return tmp_path / "config.toml"


def test_the_shipped_file_holds_exactly_the_defaults() -> None:
    assert Config.load(SHIPPED, {}) == Config()


def test_the_shipped_file_shows_every_key_with_its_default_and_a_comment_above() -> None:
    text = SHIPPED.read_text("utf-8")
    held = tomllib.loads(text)
    for table, key, default in _defaults(Config()):
        values = held
        for step in table:
            values = values[step]
        section = text.partition(f"\n[{'.'.join(table)}]\n")[2] if table else text
        section = re.split(r"\n\[", section)[0]
        if default is None:
            assert key not in values
            assert re.search(rf"^# \S.*\n# {key} = ", section, re.MULTILINE), (table, key)
        else:
            assert values[key] == default
            assert re.search(rf"^# \S.*\n{key} = ", section, re.MULTILINE), (table, key)


def _defaults(held: BaseModel, table: tuple[str, ...] = ()) -> Iterator[tuple[Any, str, Any]]:
    for key in type(held).model_fields:
        value = getattr(held, key)
        if key == "upstreams":
            yield from _defaults(value["demo"], ("upstreams", "demo"))
        elif isinstance(value, BaseModel):
            yield from _defaults(value, (*table, key))
        elif (*table, key) not in TABLES:
            yield table, key, value


TABLES: dict[tuple[str, ...], tuple[str, type[BaseModel]]] = {
    ("auth", "grants"): ("[auth.grants]", GrantTable),
    ("auth", "keys"): ("auth.keys.ci", KeyTable),
    ("auth", "issuers"): ("auth.issuers.app", IssuerTable),
    ("auth", "webhook"): ("auth.webhook", WebhookTable),
}
"""Tables of which there is none by default, and where the shipped file has an example."""


@pytest.mark.parametrize(("header", "kind"), TABLES.values())
def test_the_shipped_file_shows_every_key_of_tables_that_it_lacks(
    header: str, kind: type[BaseModel]
) -> None:
    text = SHIPPED.read_text("utf-8").partition(f"\n# [{header}]\n")[2]
    example = text.partition("\n\n")[0]
    for key, field in kind.model_fields.items():
        found = re.search(rf"^# \S.*\n# {key} = (.*)$", example, re.MULTILINE)
        assert found, key
        if key != "match" and isinstance(field.default, str | float):
            assert tomllib.loads(f"is = {found[1]}")["is"] == field.default
    assert len(re.findall(r"^# \w+ = ", example, re.MULTILINE)) == len(kind.model_fields)


def test_the_examples_of_authentication_are_usable(file: Path) -> None:
    text = SHIPPED.read_text("utf-8").partition("\n# [[auth.grants]]\n")[2].partition("\n\n\n")[0]
    lines = [line[2:] for line in text.split("\n") if re.match(r"# (\[|\w+ = )", line)]
    others = (
        "secret_env",
        "secret_file",
        "public_key_file",
        "previous_secret_env",
        "previous_until",
    )
    before, _, webhook = "\n".join(lines).partition("[auth.webhook]\n")
    kept = [line for line in before.split("\n") if not line.startswith(others)]
    written = "\n".join(["[[auth.grants]]", *kept, "[auth.webhook]", webhook])
    file.write_text(written, "utf-8")
    auth = Config.load(file, {}).auth
    assert auth.webhook == WebhookTable(
        url="https://app.example.org/streamhub", secret_env="WEBHOOK_SECRET"
    )
    assert (len(auth.grants), set(auth.keys), set(auth.issuers)) == (1, {"ci"}, {"app"})


def test_authentication_comes_from_the_environment_too() -> None:
    environ = {
        "STREAMHUB_AUTH__REQUIRED": "true",
        "STREAMHUB_AUTH__LIMITS__GENERATIONS": "3",
        "STREAMHUB_AUTH__GRANTS": '[{"who": "user", "can": ["read"]}]',
        "STREAMHUB_AUTH__ISSUERS__APP__AUDIENCE": "hub",
        "STREAMHUB_AUTH__ISSUERS__APP__SECRET_ENV": "STREAMHUB_APP_SECRET",
        "STREAMHUB_APP_SECRET": SECRET,
    }
    auth = Config.load(None, environ).auth
    assert auth.required
    assert auth.limits.generations == 3
    assert auth.grants[0].can == ["read"]
    assert auth.issuers["app"].secret_env == "STREAMHUB_APP_SECRET"


def test_authentication_is_shown_as_a_configuration(file: Path) -> None:
    """What names a secret is shown, and what is shown can be read again."""
    tables = {
        "required": True,
        "keys": {"ci": {"sha256": "a" * 64, "id": "abcdefghijkl"}},
        "issuers": {"app": {"audience": "hub", "secret_env": "APP_SECRET"}},
        "grants": [{"who": "user", "can": ["read"], "match": "chat/{user}/**"}],
    }
    config = Config.model_validate({"auth": tables})
    file.write_text("\n".join(_toml(config.shown())), "utf-8")
    assert Config.load(file, {"APP_SECRET": SECRET}) == config
    assert SECRET not in file.read_text("utf-8")


def test_the_examples_in_the_shipped_file_are_usable(file: Path) -> None:
    examples = SHIPPED.read_text("utf-8").partition("chat completions.\n")[2].partition("\n[tut")[0]
    lines = [line[2:] for line in examples.split("\n") if re.match(r"# (\[|\w+ = )", line)]
    file.write_text('default_upstream = "openai"\n' + "\n".join(lines), "utf-8")
    config = Config.load(file, {})
    assert set(config.upstreams) == {
        "openai", "responses", "anthropic", "gemini", "azure", "cohere", "local", "ollama", "faq",
    }  # fmt: skip


def test_nothing_at_all_is_the_defaults() -> None:
    assert Config.load(None, {"PATH": "/bin", "STREAM": "x"}) == Config()


def test_a_configuration_cannot_be_changed() -> None:
    with pytest.raises(ValidationError):
        Config().server.port = 1  # type: ignore[misc]  # this is the point


SERVERS = (
    '2: store.url: must be like "redis://127.0.0.1:6379", "rediss://redis.example.org:6380/1", '
    '"unix:///run/redis/redis.sock", "redis+sentinel://a,b:26379,c/main" or '
    '"redis+cluster://a:6379,b:6379"'
)

PLAIN = (
    "2: store.url: would send everything over the network as plain text: use rediss://, "
    "or set insecure = true if nobody else can read that network"
)

MISTAKES: dict[str, tuple[str, list[str]]] = {
    "unknown key": ("[server]\n\nprot = 1", ['3: server.prot: unknown key; did you mean "port"?']),
    "unknown table": ("[limts]\na = 1", ['1: limts: unknown key; did you mean "limits"?']),
    "known key at the wrong place": (
        "port = 1",
        ['1: port: unknown key; did you mean "server.port"?'],
    ),
    "unknown key that is like none": (
        "[tutorial]\nzzz = 1",
        ["2: tutorial.zzz: unknown key; the keys of this table are llm, faq, file, pace"],
    ),
    "a fallback that is not there": (
        "default_upstream = 'a'\n[upstreams.a]\ndialect = 'demo'\nfallback = ['b']",
        ['4: upstreams.a.fallback: no upstream is named "b"; there are: a'],
    ),
    "a fallback on itself": (
        "default_upstream = 'a'\n[upstreams.a]\ndialect = 'demo'\nfallback = ['a']",
        ["4: upstreams.a.fallback: an upstream cannot be its own fallback"],
    ),
    "a fallback twice": (
        "default_upstream = 'a'\n[upstreams.a]\ndialect = 'demo'\nfallback = ['b', 'b']\n"
        "[upstreams.b]\ndialect = 'demo'\nfallback = ['a']",
        ['4: upstreams.a.fallback: "b" is listed twice'],
    ),
    "an api_key_header that cannot be": (
        "[upstreams.demo]\ndialect = 'demo'\napi_key_header = 'a b'",
        ["3: upstreams.demo.api_key_header: has a name that is not a valid HTTP header name"],
    ),
    "unknown key of an upstream": (
        f'[upstreams.demo]\ndialect = "demo"\napi_key = "{SECRET}"',
        ['3: upstreams.demo.api_key: unknown key; did you mean "api_key_env"?'],
    ),
    "wrong types": (
        "[server]\nhost = 1\nport = '1'\norigins = ''\naccess_log = 1\nbeat_seconds = '1'",
        [
            "2: server.host: must be text in quotes",
            "3: server.port: must be a whole number",
            "4: server.origins: must be a list",
            "5: server.access_log: must be true or false",
            "6: server.beat_seconds: must be a number",
        ],
    ),
    "a truth for a number": ("[server]\nport = true", ["2: server.port: must be a whole number"]),
    "a table of the wrong kind": ("server = 1", ["1: server: must be a table"]),
    "an array of tables": ("[[server]]\nport = 1", ["1: server: must be a table"]),
    "upstreams that are none": ("upstreams = 1", ["1: upstreams: must be a table"]),
    "ranges": (
        "[server]\nport = 65536\ndrain_seconds = -1\nbeat_seconds = 0\n"
        "[limits]\nstreams = 0\ngeneration_seconds = inf\nbody_bytes = 9_999_999_999_999_999",
        [
            "2: server.port: must be at most 65535",
            "3: server.drain_seconds: must be at least 0",
            "4: server.beat_seconds: must be more than 0",
            "6: limits.streams: must be at least 1",
            "7: limits.generation_seconds: must be a finite number",
            "8: limits.body_bytes: must be at most 1099511627776",
        ],
    ),
    "a choice": (
        "[fanout]\ndeliver = 'later'",
        ["2: fanout.deliver: must be 'at_once' or 'committed'"],
    ),
    "origins": (
        "[server]\norigins = [\n 'https://a.example',\n 'ftp://a',\n 'https://a.example/', '*'\n]",
        [
            f'{line}: server.origins[{at}]: must be an origin, such as "https://chat.example.org"'
            for line, at in ((4, 1), (5, 2))
        ],
    ),
    "frame ancestors": (
        "[server]\nframe_ancestors = ['self', 'https://*.example', '*', 'https://a; script-src *']",
        [
            f'2: server.frame_ancestors[{at}]: must be "self" or an origin, '
            'such as "https://www.example.org"'
            for at in (2, 3)
        ],
    ),
    "a host over two lines": (
        '[server]\nhost = "a\\nb"',
        ["2: server.host: must be one line of text and not empty"],
    ),
    "a store there is not": (
        "[store]\nurl = 'mongodb://u:sk-verysecret@h'",
        ['2: store.url: must be "sqlite:" with the path of a file, "memory:", or a redis:// URL'],
    ),
    "a password in the URL of a store": (
        "[store]\nurl = 'rediss://u:sk-verysecret@h'",
        [
            "2: store.url: must not contain a user or password: use user_env and password_env",
        ],
    ),
    "options in the URL of a store": (
        "[store]\nurl = 'rediss://h?ssl_cert_reqs=none'",
        ["2: store.url: must not contain ?"],
    ),
    "a store on no server": ("[store]\nurl = 'redis://'", [SERVERS]),
    "a store in no socket": ("[store]\nurl = 'unix:'", [SERVERS]),
    "a store in a socket of no folder": ("[store]\nurl = 'unix:redis.sock'", [SERVERS]),
    "a store whose primary has no name": ("[store]\nurl = 'redis+sentinel://localhost'", [SERVERS]),
    "a store of a cluster with databases": (
        "[store]\nurl = 'redis+cluster://localhost/1'",
        [SERVERS],
    ),
    "a store of a cluster over plain text": (
        "[store]\nurl = 'redis+cluster://localhost,redis.example.org'",
        [PLAIN],
    ),
    "a store of no sentinel": ("[store]\nurl = 'redis+sentinel://localhost,/main'", [SERVERS]),
    "a store of sentinels over plain text": (
        "[store]\nurl = 'redis+sentinel://localhost,redis.example.org/main'",
        [PLAIN],
    ),
    "a password in the URL of sentinels": (
        "[store]\nurl = 'rediss+sentinel://a,u:sk-verysecret@h/main'",
        ["2: store.url: must not contain a user or password: use user_env and password_env"],
    ),
    "a user without a password for sentinels": (
        "[store]\nurl = 'redis+sentinel://localhost/main'\nsentinel_user_env = 'A'",
        ["3: store.sentinel_user_env: needs sentinel_password_env"],
    ),
    "a password for sentinels that are not asked": (
        "[store]\nurl = 'redis://localhost'\nsentinel_password_env = 'A'",
        ["3: store.sentinel_password_env: is only for a redis+sentinel:// url"],
    ),
    "a store that is no database": ("[store]\nurl = 'redis://localhost/one'", [SERVERS]),
    "a store over plain text": (
        "[store]\nurl = 'redis://redis.example.org'",
        [PLAIN],
    ),
    "what a file does not need": (
        "[store]\nuser_env = 'A'\npassword_env = 'B'\nca_file = 'c'",
        [
            "2: store.user_env: is only for a redis:// url",
            "3: store.password_env: is only for a redis:// url",
            "4: store.ca_file: is only for a rediss:// url",
        ],
    ),
    "a user without a password": (
        "[store]\nurl = 'redis://localhost'\nuser_env = 'A'",
        ["3: store.user_env: needs password_env"],
    ),
    "acknowledgements of Redis without Redis": (
        "[store]\nacknowledge = 'replica'",
        ["2: store.acknowledge: is only for a redis:// url"],
    ),
    "a prefix with braces": (
        "[store]\nprefix = '{a}'",
        ["2: store.prefix: must be 1 to 64 letters, digits and : . _ -"],
    ),
    "what several hubs cannot do": (
        "[store]\nurl = 'redis://localhost'\n[fanout]\ndeliver = 'at_once'\n"
        "[streams]\nkeep_closed_seconds = 1.0\nkeep_idle_seconds = 1.0",
        [
            '4: fanout.deliver: is always "committed" with a redis:// store, because what one hub '
            "shows, all have: set it to that, or leave it out",
            "6: streams.keep_closed_seconds: cannot be used with a redis:// store yet: give "
            "streams a Stream-TTL",
            "7: streams.keep_idle_seconds: cannot be used with a redis:// store yet: give streams "
            "a Stream-TTL",
        ],
    ),
    "what several workers cannot do": (
        "[server]\nworkers = 2\n[fanout]\ndeliver = 'at_once'\n"
        "[streams]\nkeep_closed_seconds = 1.0",
        [
            '4: fanout.deliver: is always "committed" with several workers, because what one '
            "shows, all have: set it to that, or leave it out",
            "6: streams.keep_closed_seconds: cannot be used with several workers yet: give "
            "streams a Stream-TTL",
        ],
    ),
    "workers without a file": (
        "[server]\nworkers = 2\n[store]\nurl = 'redis://localhost'",
        [
            '2: server.workers: are for a store in a file ("sqlite:"); with a redis:// store, '
            "start more hubs",
        ],
    ),
    "no worker": (
        "[server]\nworkers = 0",
        ["2: server.workers: must be at least 1"],
    ),
    "a store in no file": (
        "[store]\nurl = 'sqlite:'\nsync = 'off'",
        [
            '2: store.url: must be "sqlite:" with the path of a file, "memory:", or a redis:// URL',
            "3: store.sync: must be 'full' or 'normal'",
        ],
    ),
    "a store that is a URL": (
        "[store]\nurl = 'sqlite:///data/a.db'",
        ['2: store.url: must be a plain path after "sqlite:", as in "sqlite:data/streamhub.db"'],
    ),
    "an upstream without a dialect": (
        "[upstreams.demo]\nretries = 1",
        ["1: upstreams.demo.dialect: must be given"],
    ),
    "both places for a key": (
        "[upstreams.demo]\ndialect = 'demo'\napi_key_env = 'A'\napi_key_file = 'b'",
        ["4: upstreams.demo.api_key_file: set either this or api_key_env, not both"],
    ),
    "the key itself": (
        f"[upstreams.demo]\ndialect = 'demo'\napi_key_env = '{SECRET}'",
        [
            "3: upstreams.demo.api_key_env: must be the name of an environment variable in "
            "capitals, not the key itself"
        ],
    ),
    "headers": (
        "[upstreams.demo]\ndialect = 'demo'\nheaders = {'a b' = ''}\n"
        "[upstreams.b]\ndialect = 'demo'\n[upstreams.b.headers]\nx = \"a\\r\\nb\"",
        [
            "3: upstreams.demo.headers: has a name that is not a valid HTTP header name",
            "6: upstreams.b.headers: has a value with a line break or control character",
        ],
    ),
    "a default that is not there": (
        "default_upstream = 'a'",
        ['1: default_upstream: no upstream is named "a"; there are: demo'],
    ),
    "a default that went away": (
        "[upstreams.'my own']\ndialect = 'demo'",
        ['default_upstream: no upstream is named "demo"; there are: my own'],
    ),
    "tutorial upstreams": (
        "[tutorial]\nllm = 'a'\nfaq = 'b'",
        [
            '2: tutorial.llm: no upstream is named "a"; there are: demo',
            '3: tutorial.faq: no upstream is named "b"; there are: demo',
        ],
    ),
    "not TOML": ("[server]\nport 7000", ["2: is not TOML: Expected '=' after a key"]),
    "not TOML at the end": ("[server]\nport = \n\n", ["2: is not TOML: Invalid value"]),
    "a key twice": ("[server]\nport = 1\nport = 2", ["3: is not TOML: Cannot overwrite a value"]),
}


@pytest.mark.parametrize("name", MISTAKES)
def test_a_mistake_is_told_with_its_line_and_key(name: str, file: Path) -> None:
    text, expected = MISTAKES[name]
    file.write_text(text, "utf-8")
    lines = told(file)
    if name.startswith("not TOML") or name == "a key twice":
        assert [line.partition(" in a key")[0] for line in lines] == [f"config.toml:{expected[0]}"]
        return
    assert [re.sub(r"^config\.toml:( (?=[a-z_]+:))?", "", line) for line in lines] == expected
    assert SECRET not in "".join(lines)


def test_streams_are_kept_in_a_file_and_for_ever_unless_said_otherwise(file: Path) -> None:
    config = Config()
    assert (config.store.url, config.store.sync) == ("sqlite:data/streamhub.db", "full")
    assert (config.streams.keep_closed_seconds, config.streams.keep_idle_seconds) == (0, 0)
    file.write_text("[store]\nurl = 'memory:'\nsync = 'normal'", "utf-8")
    assert Config.load(file, {}).store.url == "memory:"
    environ = {"STREAMHUB_STORE__URL": "sqlite:/tmp/with: a colon.db"}
    assert Config.load(file, environ).store.url == "sqlite:/tmp/with: a colon.db"


def test_a_store_of_several_hubs_is_used_at_once_only_if_nothing_else_is_said(file: Path) -> None:
    for url in (
        *("redis://localhost", "redis://[::1]:7/3", "rediss://a.b:1/2", "unix:///run/r.sock"),
        *("redis+sentinel://[::1],127.0.0.1:7/main", "rediss+sentinel://a.b,c:7/my-hub.1/2"),
        *("redis+cluster://[::1],127.0.0.1:7", "rediss+cluster://a.b,c:7/0"),
    ):
        file.write_text(f"[store]\nurl = '{url}'\n[fanout]\nslice = 7", "utf-8")
        assert Config.load(file, {}).store.shared
    file.write_text("[store]\nurl = 'redis://a.b'\ninsecure = true", "utf-8")
    assert Config.load(file, {}).store.shared
    assert not Config().store.shared


def test_the_secrets_of_a_store_are_in_the_environment(file: Path) -> None:
    text = "[store]\nurl = 'rediss://h'\nuser_env = 'U'\npassword_env = 'P'"
    file.write_text(text, "utf-8")
    store = Config.load(file, {}).store
    assert store.credentials({"U": "me", "P": SECRET}) == ("me", SECRET)
    with pytest.raises(ConfigError, match="set the environment variable P"):
        store.credentials({"U": "me", "P": ""})
    assert Config().store.credentials({}) == (None, None)


URLS = {
    "": "must be an http:// or https:// URL",
    "127.0.0.1:80": "must be an http:// or https:// URL",
    "ftp://a": "must be an http:// or https:// URL",
    "http://": "must be an http:// or https:// URL",
    "http://a:99999": "must be an http:// or https:// URL",
    "http://[::1": "must be an http:// or https:// URL",
    "http://a/b c": "must be an http:// or https:// URL",
    f"http://user:{SECRET}@a/": "must not contain a user or password: use api_key_env",
    f"http://a/?key={SECRET}": "must not contain ? or #: use query or api_key_env",
    f"http://a/#{SECRET}": "must not contain ? or #: use query or api_key_env",
}


@pytest.mark.parametrize("url", URLS)
def test_an_url_that_cannot_be_used_is_refused_without_showing_it(url: str, file: Path) -> None:
    file.write_text(f"[upstreams.demo]\ndialect = 'demo'\nurl = '{url}'", "utf-8")
    assert told(file) == [f"config.toml:3: upstreams.demo.url: {URLS[url]}"]


@pytest.mark.parametrize("url", ["http://a", "https://a.example:1/v1/", "http://[::1]:80/x"])
def test_an_url_that_can_be_used_stays_as_it_is(url: str) -> None:
    assert UpstreamTable(dialect="x", url=url).url == url


def test_what_a_dialect_finds_is_told_with_the_rest(file: Path) -> None:
    file.write_text(
        "[upstreams.demo]\ndialect = 'demo'\n[upstreams.a]\ndialect = 'ab'\n[server]\nport = -1"
    )
    with pytest.raises(ConfigError) as caught:
        Config.load(file, {}, check=lambda table: [("dialect", f'has "{table.dialect}"')])
    assert caught.value.message.split("\n") == [
        f'{file}:2: upstreams.demo.dialect: has "demo"',
        f'{file}:4: upstreams.a.dialect: has "ab"',
        f"{file}:6: server.port: must be at least 0",
    ]


def test_braces_in_what_a_dialect_says_are_only_text(file: Path) -> None:
    file.write_text("[upstreams.demo]\ndialect = 'demo'")
    with pytest.raises(ConfigError, match=re.escape('write {"a": {said}}')):
        Config.load(file, {}, check=lambda _: [("options", 'write {"a": {said}}')])


def test_a_file_that_is_not_there_or_no_file_is_one_clear_line(tmp_path: Path) -> None:
    assert told(tmp_path / "none.toml") == ["cannot read none.toml: No such file or directory"]
    with pytest.raises(ConfigError, match="Is a directory"):
        Config.load(tmp_path, {})


def test_bytes_that_are_not_utf8_are_found_on_their_line(file: Path) -> None:
    file.write_bytes(b"[server]\n# \xff\n")
    assert told(file) == ["config.toml:2: must be UTF-8 text"]


def test_a_byte_order_mark_and_windows_line_ends_are_taken(file: Path) -> None:
    file.write_bytes(b"\xef\xbb\xbf[server]\r\nport = 1\r\n")
    assert Config.load(file, {}).server.port == 1


def test_a_file_nested_beyond_reason_is_refused(file: Path) -> None:
    file.write_text("a = " + "[" * 100_000, "utf-8")
    assert told(file) == ["config.toml: is nested too deeply"]


def upstream(**keys: str) -> UpstreamTable:
    return Config.model_validate({"upstreams": {"demo": {"dialect": "demo", **keys}}}).upstreams[
        "demo"
    ]


def test_an_api_key_is_read_from_its_variable() -> None:
    assert upstream().api_key({}) is None
    assert upstream(api_key_env="MY_KEY").api_key({"MY_KEY": f" {SECRET}\n"}) == SECRET


@pytest.mark.parametrize("environ", [{}, {"MY_KEY": ""}, {"MY_KEY": " \n"}])
def test_a_missing_api_key_names_its_variable_and_upstream(environ: dict[str, str]) -> None:
    with pytest.raises(ConfigError, match=r"MY_KEY .* upstream \"demo\"") as caught:
        upstream(api_key_env="MY_KEY").api_key(environ)
    assert caught.value.code == "api_key_missing"


@pytest.mark.parametrize("key", [f"{SECRET}\n{SECRET}", f"{SECRET}\u2028x", f"{SECRET} π"])
def test_an_api_key_that_no_header_can_hold_is_refused_unseen(key: str) -> None:
    with pytest.raises(ConfigError, match=r'MY_KEY .* "demo"') as caught:
        upstream(api_key_env="MY_KEY").api_key({"MY_KEY": key})
    assert SECRET not in str(caught.value)


def test_an_api_key_is_read_from_its_file(file: Path, caplog: pytest.LogCaptureFixture) -> None:
    file.write_text(f"{SECRET}\n")
    file.chmod(0o600)
    assert upstream(api_key_file=str(file)).api_key({}) == SECRET
    assert not caplog.records
    file.chmod(0o644)
    assert upstream(api_key_file=str(file)).api_key({}) == SECRET
    assert f"every user of this machine can read the API key in {file}" in caplog.text
    assert SECRET not in caplog.text


@pytest.mark.parametrize("content", [None, b"", b"\xff\xfe"])
def test_an_api_key_file_that_gives_none_is_named(file: Path, content: bytes | None) -> None:
    if content is not None:
        file.write_bytes(content)
        file.chmod(0o600)
    with pytest.raises(ConfigError, match='upstream "demo"') as caught:
        upstream(api_key_file=str(file)).api_key({})
    assert str(file) in str(caught.value)


def test_secrets_show_neither_in_repr_nor_in_what_is_shown() -> None:
    table = {
        "dialect": "demo",
        "headers": {"Authorization": f"Bearer {SECRET}", "X-Anything": SECRET},
        "query": {"api-version": "2024-10-21", "key": SECRET},
        "options": {"token": SECRET, "deep": [{"Api-Key": SECRET}], "pace": 1, "key_count": 2},
    }
    config = Config.model_validate({"upstreams": {"demo": table}})
    assert SECRET not in repr(config)
    shown = config.shown()["upstreams"]["demo"]
    assert shown["headers"] == {"Authorization": MASK, "X-Anything": MASK}
    assert shown["query"] == {"api-version": "2024-10-21", "key": MASK}
    assert shown["options"] == {
        "token": MASK,
        "deep": [{"Api-Key": MASK}],
        "pace": 1,
        "key_count": 2,
    }
    assert config.upstreams["demo"].headers["X-Anything"] == SECRET


def test_a_mistake_in_code_shows_no_values_either() -> None:
    with pytest.raises(ValidationError) as caught:
        Config.model_validate({"upstreams": {"demo": {"dialect": 1, "api_key": SECRET}}})
    assert SECRET not in str(caught.value)


def test_what_the_documents_say_is_a_configuration(tmp_path: Path) -> None:
    root = Path(__file__).parents[2]
    pages = [root / "README.md", *(root / "docs").glob("*.md")]
    text = "\n".join(page.read_text("utf-8") for page in pages)
    blocks = re.findall(r"^```toml\n(.*?)^```$", text, re.MULTILINE | re.DOTALL)
    assert len(blocks) > 1
    for block in blocks:
        file = tmp_path / "config.toml"
        file.write_text(block, "utf-8")
        Config.load(file, {"LOCAL_KEY": "k"})


def test_workers_of_the_command_line_must_agree_with_the_file(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text("[fanout]\ndeliver = 'at_once'", "utf-8")
    loaded = Config.load(file, {})
    assert loaded.with_server({"workers": 1, "port": 5}).server.port == 5
    with pytest.raises(ConfigError, match='deliver: is always "committed" with several workers'):
        loaded.with_server({"workers": 2})
