"""Which web pages may use the hub, decided by Origin and Host alone."""

from __future__ import annotations

from typing import Final

import pytest

from tests.conftest import StartHub
from tests.support.raw_socket import UPGRADE, client_frame, exchange, frames

CHAT: Final = "https://chat.example.org"

# Origin, Host, whether it may; the first column is the header as sent, None for no header.
SAME: Final[list[tuple[bytes | None, bytes, bool]]] = [
    (None, b"hub.example:7000", True),
    (b"http://hub.example:7000", b"hub.example:7000", True),
    (b"https://hub.example:7000", b"hub.example:7000", True),  # a proxy that speaks TLS
    (b"http://HUB.example:7000", b"hub.EXAMPLE:7000", True),
    (b"http://[::1]:7000", b"[::1]:7000", True),
    (b"http://hub.example", b"hub.example:7000", False),
    (b"http://hub.example:7001", b"hub.example:7000", False),
    (b"http://evil.example", b"hub.example:7000", False),
    (b"http://hub.example:7000.evil.example", b"hub.example:7000", False),
    (b"http://hub.example:7000@evil.example", b"hub.example:7000", False),
    (b"http://evil.example/hub.example:7000", b"hub.example:7000", False),
    (b"hub.example:7000", b"hub.example:7000", False),
    (b"null", b"hub.example:7000", False),
    (b"null", b"null", False),
    (b"null", b"", False),
    (b"", b"", False),
    (b"file://", b"", False),
    (b"http://[", b"hub.example:7000", False),
    (b"\xff\xfe", b"hub.example:7000", False),
    (b"http://\xff", b"hub.example:7000", False),
]


def request(origin: bytes | None, host: bytes) -> bytes:
    """A request with these two headers; an empty Host is left out, as HTTP/1.0 may."""
    version = b"1.1" if host else b"1.0"
    lines = [b"DELETE /v1/generations/x HTTP/" + version]
    if host:
        lines.append(b"Host: " + host)
    if origin is not None:
        lines.append(b"Origin: " + origin)
    return b"\r\n".join([*lines, b"Connection: close", b"", b""])


@pytest.mark.parametrize(("origin", "host", "may"), SAME)
async def test_the_pages_own_origin_may_and_no_other(
    origin: bytes | None, host: bytes, may: bool, start_hub: StartHub
) -> None:
    port = (await start_hub(server={"hosts": ["*"]})).client.port
    given = await exchange(port, request(origin, host))
    # A generation that there is not is what whoever may ask is told.
    assert given[9:12] == (b"404" if may else b"403")
    assert (b"origin_not_allowed" in given) is not may


@pytest.mark.parametrize(
    ("allowed", "origin", "may"),
    [
        ([CHAT], CHAT, True),
        ([CHAT], CHAT.upper(), True),
        ([CHAT], "http://chat.example.org", False),
        ([CHAT], f"{CHAT}:8443", False),
        ([CHAT], f"{CHAT}.evil.example", False),
        ([CHAT], "https://example.org", False),
        (["*"], "https://anybody.example", True),
        (["*"], "null", True),
    ],
)
async def test_an_origin_that_is_configured_may_and_no_other(
    allowed: list[str], origin: str, may: bool, start_hub: StartHub
) -> None:
    client = (await start_hub(server={"origins": allowed})).client
    headers = {"Origin": origin}
    async with client.delete("/v1/generations/x", headers=headers) as response:
        assert response.status == (404 if may else 403)
    async with client.get("/v1/models", headers=headers) as response:
        # Reading is nobody's business but the browser's, which CORS tells what it may show.
        assert response.status == 200


@pytest.mark.parametrize(("origin", "may"), [(None, True), (CHAT, True), ("http://evil", False)])
async def test_a_websocket_is_refused_before_it_is_one(
    origin: str | None, may: bool, start_hub: StartHub
) -> None:
    running = await start_hub(server={"origins": [CHAT], "hosts": ["hub"]})
    header = b"" if origin is None else b"Origin: " + origin.encode() + b"\r\n"
    given = await exchange(
        running.client.port, UPGRADE + header + b"Connection: close\r\n\r\n", CLOSE
    )
    assert given.startswith(b"HTTP/1.1 101 " if may else b"HTTP/1.1 403 ")
    if may:
        assert [frame.opcode for frame in frames(given)] == [8]


@pytest.mark.parametrize(
    ("headers", "may"),
    [
        ({}, True),  # curl
        ({"Sec-Fetch-Site": "none"}, True),  # typed
        ({"Sec-Fetch-Site": "same-origin"}, True),
        ({"Sec-Fetch-Site": "cross-site"}, False),
        ({"Sec-Fetch-Site": "same-site"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": CHAT}, True),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "https://evil.example"}, False),
        ({"Sec-Fetch-Site": "cross-site", "Origin": "null"}, False),
    ],
)
@pytest.mark.parametrize(
    "route", ["/stream_data_to_frontend_test", "/stream_faq_data_to_frontend_test?query=hi"]
)
async def test_no_other_page_has_an_upstream_asked_by_an_image(
    route: str, headers: dict[str, str], may: bool, start_hub: StartHub
) -> None:
    client = (await start_hub(server={"origins": [CHAT]})).client
    async with client.get(route, headers=headers) as response:
        assert response.status == (200 if may else 403)
        assert ("origin_not_allowed" in await response.text()) is not may


async def test_where_any_page_may_an_image_may_too(start_hub: StartHub) -> None:
    client = (await start_hub(server={"origins": ["*"]})).client
    headers = {"Sec-Fetch-Site": "cross-site"}
    async with client.get("/stream_data_to_frontend_test", headers=headers) as response:
        assert response.status == 200


CLOSE: Final = client_frame(b"\x03\xe8", 8)
