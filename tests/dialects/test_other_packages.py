"""A provider is added by a package of its own: nothing in this one knows of it."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path

import orjson
import pytest

from hub import dialects
from hub.config.schema import Config
from hub.domain.errors import ConfigError
from tests.conftest import StartHub
from tests.support.scripted_upstream import Answer, Scripted

DIALECT = '''
"""Lines of text, shouted; a line that is a full stop alone ends the reply."""

from hub.dialects import Call, KeyHeader
from hub.domain.events import Delta, Finished
from hub.framing import NDJSON
from hub.dialects.request.dialect_options import Options


class Shouting:
    def __init__(self, options):
        self._times = int(Options("shouting", options, ("times",)).number("times", 1))
        self.usage = None
        self.ending = False

    def call(self, prompt):
        return Call("/shout", {"say": prompt.text}, key=KeyHeader("X-Shout"))

    def framing(self, limit):
        return NDJSON(limit)

    def events(self, chunk):
        line = chunk.data.decode()
        return [Finished()] if line == "." else [Delta(text=line.upper() * self._times)]

    def close(self, *, clean):
        return ()
'''


@pytest.fixture
def installed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """The package, as pip would leave it in a folder of packages."""
    package, told = tmp_path / "shouting", tmp_path / "shouting-1.0.dist-info"
    package.mkdir()
    told.mkdir()
    (package / "__init__.py").write_text(DIALECT, "utf-8")
    (told / "METADATA").write_text("Metadata-Version: 2.1\nName: shouting\nVersion: 1.0\n", "utf-8")
    points = "[streamhub.dialects]\nshouting = shouting:Shouting\n"
    (told / "entry_points.txt").write_text(points, "utf-8")
    monkeypatch.syspath_prepend(str(tmp_path))
    dialects._registered.cache_clear()
    yield
    dialects._registered.cache_clear()


async def test_a_dialect_from_another_package_is_used_by_its_name(
    installed: None, start_hub: StartHub, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SHOUT_KEY", "k")
    async with Scripted() as server:
        server.answers(Answer(b"hel", b"lo\nyou\n.\n"))
        running = await start_hub(
            upstreams={
                "loud": {
                    "dialect": "shouting",
                    "url": server.url,
                    "api_key_env": "SHOUT_KEY",
                    "options": {"times": 2},
                }
            },
            default_upstream="loud",
        )
        async with running.client.post("/v1/generations", json={"prompt": "Hi"}) as response:
            made = await response.json()
        async with running.client.get(f"/v1/live/{made['stream']}?format=ndjson") as response:
            lines = (await response.read()).splitlines()
    events = [orjson.loads(line) for line in lines if line]
    assert [event["text"] for event in events if event["type"] == "delta"] == [
        "HELLOHELLO",
        "YOUYOU",
    ]
    assert "finished" in [event["type"] for event in events]
    (asked,) = server.requests
    assert (asked.target, asked.json, asked.headers["x-shout"]) == ("/shout", {"say": "Hi"}, "k")


def test_it_stands_beside_the_others(installed: None) -> None:
    assert {"shouting", "openai-chat"} <= set(dialects.names())
    with pytest.raises(ConfigError, match='"shouting" has no option "volume"'):
        dialects.find("shouting")({"volume": 11})


def test_without_the_package_its_name_is_unknown(tmp_path: Path) -> None:
    file = tmp_path / "config.toml"
    file.write_text('[upstreams.demo]\ndialect = "shouting"\n', "utf-8")
    assert "shouting" not in dialects.names()
    with pytest.raises(ConfigError, match='unknown dialect "shouting"'):
        dialects.find(Config.load(file, {}).upstreams["demo"].dialect)
