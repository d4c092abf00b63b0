"""Fault A14: bodies that are not wanted, or are not what their head says.

A client that waits with its body (``Expect: 100-continue``) was told to send any; an invalid gzip
body was logged with a stack trace; what was encoded in a way that the hub does not know was kept
as it was.
"""

from __future__ import annotations

import asyncio
import gzip
import logging
import zlib
from collections.abc import AsyncIterator
from typing import Final

import pytest
from aiohttp import web

from hub import Config, make_app
from hub.http.acceptor import Acceptor
from hub.http.sockets import listen
from tests.support.patience import PATIENCE
from tests.support.raw_socket import exchange

BODY: Final = b'{"a":1}'
MOST: Final = 4096


@pytest.fixture
async def port() -> AsyncIterator[int]:
    """A hub as it is served, its door included."""
    tables = {
        "server": {"hosts": ["hub"], "drain_seconds": 0.0},
        "store": {"url": "memory:"},
        "limits": {"body_bytes": MOST, "bodies_bytes": 4 * MOST},
    }
    runner = web.AppRunner(make_app(Config.model_validate(tables)), handle_signals=False)
    await runner.setup()
    sockets = listen("127.0.0.1", 0, notsent_lowat=16384)
    door = Acceptor(runner, sockets=100, idle_seconds=PATIENCE, access_log=False)
    await door.open(sockets)
    yield sockets[0].getsockname()[1]
    await door.close()
    await runner.cleanup()


def head(method: str, path: str, **more: str) -> bytes:
    fields = {"Host": "hub", "Content-Type": "application/json", "Connection": "close"}
    fields |= {name.replace("_", "-"): value for name, value in more.items()}
    lines = [f"{method} {path} HTTP/1.1", *(f"{name}: {value}" for name, value in fields.items())]
    return "\r\n".join([*lines, "", ""]).encode()


def status(answer: bytes) -> int:
    return int(answer.split(b" ", 2)[1])


# -- Expect ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("method", "path"),
    [
        ("PUT", "/v1/stream/s"),
        ("POST", "/v1/stream/s"),
        ("DELETE", "/v1/stream/s"),
        ("POST", "/v1/generations"),
        ("POST", "/v1/chat/completions"),
        ("POST", "/v1/responses"),
        ("POST", "/api/chat"),
        ("POST", "/api/chat/s"),
        ("POST", "/ret_json_data"),
    ],
)
async def test_a_body_that_is_too_large_is_not_asked_for(method: str, path: str, port: int) -> None:
    for size in (MOST + 1, 10**12):
        sent = head(method, path, Expect="100-continue", Content_Length=str(size))
        answer = await exchange(port, sent)
        assert status(answer) == 413
        assert b" 100 " not in answer
        assert b"larger than the limit" in answer


async def test_it_is_refused_without_an_expectation_too_and_nothing_is_waited_for(
    port: int,
) -> None:
    sent = head("PUT", "/v1/stream/s", Content_Length=str(10**12))
    assert status(await exchange(port, sent, b"{")) == 413


@pytest.mark.parametrize(
    ("fields", "code"),
    [
        ({"Host": "evil"}, 403),
        ({"Origin": "http://evil"}, 403),
        ({"Content_Encoding": "br"}, 415),
        ({"Content_Encoding": "foo"}, 415),
        ({"Expect": "200-ok"}, 417),
        ({"Expect": "100-continue, 100-continue"}, 417),
    ],
)
async def test_whoever_is_not_let_in_is_told_so_before_the_body(
    fields: dict[str, str], code: int, port: int
) -> None:
    given = {"Expect": "100-continue", "Content_Length": "7", **fields}
    answer = await exchange(port, head("PUT", "/v1/stream/s", **given))
    assert status(answer) == code
    assert b'{"error":{"code":"' in answer


async def test_a_body_that_is_wanted_is_asked_for(port: int) -> None:
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    async with asyncio.timeout(PATIENCE):
        for expected in ("100-continue", "100-Continue"):
            writer.write(
                head("PUT", "/v1/stream/s", Expect=expected, Content_Length="7", Connection="x")
            )
            assert await reader.readuntil(b"\r\n\r\n") == b"HTTP/1.1 100 Continue\r\n\r\n"
            writer.write(BODY)
            answer = await reader.readuntil(b"\r\n\r\n")
            assert status(answer) in (200, 201)
        writer.write(head("GET", "/v1/stream/s?offset=-1"))
        assert (await reader.read()).endswith(b"[" + BODY + b"]")
    writer.close()


async def test_there_is_no_100_where_no_body_is_read_or_comes(port: int) -> None:
    expects = {"Expect": "100-continue"}
    for sent in (
        head("GET", "/livez", **expects, Content_Length="7"),
        head("GET", "/livez", **expects),
        head("PUT", "/v1/stream/s", **expects, Content_Length="0"),
        head("PUT", "/v1/stream/t", **expects, Content_Length="7") + BODY,
        head("PUT", "/v1/stream/u", **expects, Content_Length="7").replace(b"/1.1", b"/1.0") + BODY,
    ):
        answer = await exchange(port, sent)
        assert status(answer) in (200, 201), sent
        assert b" 100 " not in answer


async def test_an_unknown_expectation_is_nothing_to_http_1_0(port: int) -> None:
    sent = head("PUT", "/v1/stream/s", Expect="x", Content_Length="7").replace(b"/1.1", b"/1.0")
    assert status(await exchange(port, sent + BODY)) == 201


# -- Content-Encoding --------------------------------------------------------------------

PACKED: Final = gzip.compress(BODY, mtime=0)


@pytest.mark.parametrize(
    ("encoding", "body", "code", "said"),
    [
        ("gzip", PACKED, 201, ""),
        ("GZIP", PACKED, 201, ""),
        ("deflate", zlib.compress(BODY), 201, ""),
        ("identity", BODY, 201, ""),
        ("", BODY, 201, ""),
        ("gzip", b"not gzip", 400, "bad_body"),
        ("gzip", PACKED + b"junk", 400, "bad_body"),
        ("gzip", PACKED[:-8] + b"\0\0\0\0" + PACKED[-4:], 400, "bad_body"),
        ("gzip", PACKED[:-14], 400, "bad_json"),
        ("deflate", b"\xff\xfe junk", 400, "bad_body"),
        ("deflate", zlib.compress(BODY)[:-6], 400, "bad"),
        ("gzip", gzip.compress(b" " * 50_000_000, mtime=0), 413, "http_413"),
        ("br", b"\x0b\x02\x80", 415, "unsupported_encoding"),
        ("zstd", b"(\xb5/\xfd", 415, "unsupported_encoding"),
        ("compress", BODY, 415, "unsupported_encoding"),
        ("x-gzip", PACKED, 415, "unsupported_encoding"),
        ("gzip, gzip", gzip.compress(PACKED, mtime=0), 415, "unsupported_encoding"),
        ("utf-8", BODY, 415, "unsupported_encoding"),
    ],
    ids=range(18),
)
@pytest.mark.parametrize("chunked", [False, True])
async def test_a_body_is_what_its_head_says_or_refused(
    encoding: str,
    body: bytes,
    code: int,
    said: str,
    chunked: bool,
    port: int,
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.DEBUG)
    if chunked:
        fields, sent = (
            {"Transfer_Encoding": "chunked"},
            b"%x\r\n%b\r\n0\r\n\r\n" % (len(body), body),
        )
    else:
        fields, sent = {"Content_Length": str(len(body))}, body
    answer = await exchange(
        port, head("PUT", "/v1/stream/s", Content_Encoding=encoding, **fields) + sent
    )
    assert status(answer) == code, answer
    if said:
        assert f'{{"error":{{"code":"{said}'.encode() in answer
    if code == 415:
        assert b"\r\nAccept-Encoding: gzip, deflate\r\n" in answer or encoding in ("br", "zstd")
    kept = await exchange(port, head("GET", "/v1/stream/s?offset=-1"))
    assert kept.endswith(b"[" + BODY + b"]") if code == 201 else status(kept) == 404
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]


@pytest.mark.parametrize("path", ["/livez", "/nowhere", "/v1/stream/s"])
@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_body_that_nobody_reads_is_not_logged_either(
    path: str, method: str, port: int, caplog: pytest.LogCaptureFixture
) -> None:
    sent = head(method, path, Content_Encoding="gzip", Content_Length="4") + b"abcd"
    assert status(await exchange(port, sent)) < 500
    assert not [each for each in caplog.records if each.levelno >= logging.WARNING]
