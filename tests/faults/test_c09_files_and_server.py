"""`/stream-file` is a download with a name and a type, and no response tells versions."""

from __future__ import annotations

from pathlib import Path

import pytest
from aiohttp import web
from aiohttp.test_utils import TestClient, TestServer

from hub import Config, setup
from hub.http.streaming import attachment
from tests.conftest import StartHub


async def test_the_sample_is_a_download(start_hub: StartHub) -> None:
    client = (await start_hub()).client
    for headers in ({}, {"Range": "bytes=0-9"}):
        async with client.get("/stream-file", headers=headers) as answer:
            assert answer.headers["Content-Disposition"] == 'attachment; filename="large.txt"'
            assert answer.headers["Content-Type"] == "application/octet-stream"


@pytest.mark.parametrize(
    ("name", "said", "kind"),
    [
        ("film.mp4", 'attachment; filename="film.mp4"', "video/mp4"),
        (
            '大 "x"%.json',
            "attachment; filename=\"_ _x__.json\"; filename*=UTF-8''%E5%A4%A7%20%22x%22%25.json",
            "application/json",
        ),
        ("none", 'attachment; filename="none"', "application/octet-stream"),
    ],
)
async def test_a_file_of_ones_own_has_its_name_and_type(
    name: str, said: str, kind: str, tmp_path: Path, start_hub: StartHub
) -> None:
    file = tmp_path / name
    file.write_bytes(b"0123456789")
    client = (await start_hub(tutorial={"file": str(file)})).client
    async with client.get("/stream-file") as answer:
        assert answer.headers["Content-Disposition"] == said
        assert answer.content_type == kind


def test_no_name_ends_the_header() -> None:
    assert "\r" not in attachment("a\r\nSet-Cookie: b")
    assert "\n" not in attachment("a\r\nSet-Cookie: b")


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("GET", "/livez"),
        ("GET", "/nowhere"),
        ("DELETE", "/livez"),
        ("GET", "/v1/live/none"),
        ("GET", "/v1/live/none?wait=true"),
        ("GET", "/stream-file"),
        ("GET", "/sse"),
    ],
)
async def test_the_server_tells_no_versions(method: str, path: str, start_hub: StartHub) -> None:
    client = (await start_hub()).client
    async with client.request(method, path) as answer:
        assert answer.headers["Server"] == "streamhub"


async def test_nor_does_a_web_socket(start_hub: StartHub) -> None:
    client = (await start_hub()).client
    async with client.ws_connect("/v1/ws") as socket:
        assert socket._response.headers["Server"] == "streamhub"


async def test_an_application_around_it_speaks_for_itself() -> None:
    app = web.Application()

    async def other(_: web.Request) -> web.Response:
        return web.Response()

    app.router.add_get("/other", other)
    setup(app, prefix="/hub", config=Config.model_validate({"store": {"url": "memory:"}}))
    async with TestClient(TestServer(app)) as client:
        assert (await client.get("/hub/livez")).headers["Server"] == "streamhub"
        assert "aiohttp" in (await client.get("/other")).headers["Server"]
