"""Lines of the log tell the time and the request, and of an upstream that refuses the hub's key."""

from __future__ import annotations

import asyncio
import contextlib
import json
import logging
import re
import sys
from pathlib import Path
from typing import Any, Final

import aiohttp
import pytest

from hub.http.log_format import REQUEST, LogFormatter
from tests.conftest import StartHub
from tests.support.openai_client import HELLO
from tests.support.patience import PATIENCE
from tests.support.processes import environ
from tests.support.scripted_upstream import Scripted
from tests.support.upstream_answers import Answer, openai_block, refusal

KEY: Final = "sk-this-is-the-key-of-the-hub"
LINE: Final = re.compile(
    r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z (INFO|WARNING|ERROR) [\w.]+( \[(?P<id>[^\]]+)\])?: .+"
)


def test_a_line_tells_when_and_for_whom() -> None:
    record = logging.LogRecord("hub.x", logging.WARNING, "f", 1, "said %s", ("it",), None)
    record.created = 1_767_225_600.5
    assert LogFormatter().format(record) == "2026-01-01T00:00:00.500Z WARNING hub.x: said it"
    token = REQUEST.set("req_1")
    try:
        assert (
            LogFormatter().format(record)
            == "2026-01-01T00:00:00.500Z WARNING hub.x [req_1]: said it"
        )
    finally:
        REQUEST.reset(token)


def under_200(message: str) -> Answer:
    error = {"error": {"message": message, "code": "invalid_api_key"}}
    return Answer(openai_block({"role": "assistant"}), f"data: {json.dumps(error)}\n\n".encode())


@pytest.mark.parametrize(
    "answer", [refusal(401, f"bad {KEY}"), refusal(403, f"bad {KEY}"), under_200(f"bad {KEY}")]
)
async def test_an_upstream_that_refuses_the_key_leaves_a_trace(
    answer: Answer, start_hub: StartHub, caplog: pytest.LogCaptureFixture
) -> None:
    async with Scripted() as upstream:
        upstream.answers(answer)
        table = {
            "dialect": "openai-chat",
            "url": upstream.url,
            "headers": {"Authorization": f"Bearer {KEY}"},
        }
        running = await start_hub(upstreams={"scripted": table})
        with caplog.at_level(logging.WARNING):
            asked = {"model": "scripted", "messages": HELLO}
            assert (await running.client.post("/v1/chat/completions", json=asked)).status == 502
    (told,) = [r.getMessage() for r in caplog.records if r.levelno == logging.WARNING]
    assert 'upstream "scripted"' in told
    assert "key" in told
    assert KEY not in told


async def test_the_lines_of_a_hub_name_the_request(tmp_path: Path) -> None:
    async with Scripted() as upstream:
        upstream.answers(refusal(401, "bad key"))
        config = tmp_path / "config.toml"
        config.write_text(
            f"""
            default_upstream = "scripted"
            [server]
            port = 0
            access_log = true
            [store]
            url = "memory:"
            [upstreams.scripted]
            dialect = "openai-chat"
            url = "{upstream.url}"
            """
        )
        process = await asyncio.create_subprocess_exec(
            sys.executable,
            *("-m", "hub", "serve", "--config", str(config)),
            env=environ(),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            async with asyncio.timeout(PATIENCE):
                assert process.stderr is not None
                welcome = (await process.stderr.readline()).decode()
                url = re.search(r"http://\S+", welcome)
                assert url is not None
                await _ask(url[0])
        finally:
            with contextlib.suppress(ProcessLookupError):
                process.terminate()
            _, said = await process.communicate()
    lines = [line for line in said.decode().splitlines() if re.search("INFO|WARNING|ERROR", line)]
    found = [LINE.fullmatch(line) for line in lines]
    assert all(found), lines
    named = [line for line, match in zip(lines, found, strict=True) if match and match["id"]]
    assert any("WARNING" in line and "[from-a-test]" in line for line in named), lines
    assert any("aiohttp.access" in line and "[from-a-test]" in line for line in named), lines


async def _ask(url: str) -> None:
    asked: dict[str, Any] = {"model": "m", "messages": HELLO}
    headers = {"x-request-id": "from-a-test"}
    async with (
        aiohttp.ClientSession() as client,
        client.post(f"{url}/v1/chat/completions", json=asked, headers=headers) as answer,
    ):
        assert answer.status == 502
        assert answer.headers["x-request-id"] == "from-a-test"
