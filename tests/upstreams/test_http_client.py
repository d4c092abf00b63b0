"""What can come back from an upstream, or not come back, each with real sockets."""

from __future__ import annotations

import asyncio
import gc
import logging
import socket
import sys
import weakref
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager, suppress
from dataclasses import replace

import pytest

from hub.domain.errors import UpstreamError
from hub.upstreams.http_client import Dialer
from tests.support.http_requests import BREAKS, KEY, LOOPS, failure, nobody, on, read, request
from tests.support.scripted_upstream import (
    Answer,
    Coding,
    Ending,
    Framing,
    Gate,
    Scripted,
    refusal,
)


@pytest.fixture
async def upstream() -> AsyncIterator[Scripted]:
    async with Scripted() as server:
        yield server


@pytest.fixture
async def dialer() -> AsyncIterator[Dialer]:
    made = Dialer()
    yield made
    await made.close()


# A whole reply


@pytest.mark.parametrize("framing", ["chunked", "length", "close"])
@pytest.mark.parametrize("coding", [None, "gzip", "deflate"])
async def test_bytes_come_as_they_were_sent(
    upstream: Scripted, dialer: Dialer, framing: Framing, coding: Coding | None
) -> None:
    pieces, gates = [b"Hel", b"lo \xe2\x82", b"\xac"], [Gate(), Gate(), Gate()]
    steps = [step for both in zip(pieces, gates, strict=True) for step in both]
    upstream.answers(Answer(*steps, framing=framing, coding=coding))
    async with dialer.open(request(upstream.url)) as body:
        for piece, gate in zip(pieces, gates, strict=True):
            assert await anext(body) == piece
            gate.open()
        assert [piece async for piece in body] == []
        assert body.delimited is (framing != "close")
        with pytest.raises(StopAsyncIteration):
            await anext(body)


async def test_the_request_is_as_asked_and_wants_no_compression(
    upstream: Scripted, dialer: Dialer
) -> None:
    upstream.answers(Answer())
    await read(dialer, request(upstream.url + "/v1/chat"))
    asked = upstream.requests[0]
    assert (asked.method, asked.target, asked.json) == ("POST", "/v1/chat", {"a": 1})
    assert asked.headers["authorization"] == f"Bearer {KEY}"
    assert asked.headers["accept-encoding"] == "identity"


async def test_a_reply_read_to_its_end_leaves_the_connection_for_the_next(
    upstream: Scripted, dialer: Dialer
) -> None:
    upstream.answers(Answer(b"one"), Answer(b"two"), Answer(b"three"))
    for expected in (b"one", b"two", b"three"):
        assert await read(dialer, request(upstream.url)) == [expected]
    assert upstream.connections == 1


async def test_no_cookie_goes_from_one_reply_to_the_next(
    upstream: Scripted, dialer: Dialer
) -> None:
    upstream.answers(Answer(headers={"Set-Cookie": "a=b"}), Answer())
    url = upstream.url.replace("127.0.0.1", "localhost")  # an address gets no cookies anyway
    await read(dialer, request(url))
    await read(dialer, request(url))
    assert "cookie" not in upstream.requests[1].headers


async def test_a_kept_connection_does_not_keep_its_replies(
    upstream: Scripted, dialer: Dialer
) -> None:
    upstream.answers(Answer(b"one"), Answer(b"two"))
    async with dialer.open(request(upstream.url)) as body:
        assert [piece async for piece in body] == [b"one"]
    held = weakref.ref(body)
    del body
    gc.collect()
    assert held() is None
    await read(dialer, request(upstream.url))
    assert upstream.connections == 1


async def test_a_reader_that_waits_makes_the_upstream_wait(
    upstream: Scripted, dialer: Dialer
) -> None:
    piece = b"x" * 100_000
    upstream.answers(Answer(*[piece] * 300))
    async with dialer.open(request(upstream.url)) as body:
        await anext(body)
        for _ in range(100):  # until nothing moves any more
            before = upstream.requests[0].sent
            await asyncio.sleep(0.05)
            if upstream.requests[0].sent == before:
                break
        assert upstream.requests[0].sent < 25_000_000  # of 30 MB; the kernels hold several
        assert sum([len(rest) async for rest in body]) > 0


# A reply that breaks off


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("case", BREAKS)
def test_a_break_is_told_after_every_byte_before_it(loop: str, case: str) -> None:
    answer, code = BREAKS[case]

    async def scenario(upstream: Scripted, dialer: Dialer) -> None:
        upstream.answers(answer)
        pieces: list[bytes] = []
        error = await failure(dialer, request(upstream.url), pieces)
        assert b"".join(pieces) == b"Hello"
        assert (error.code, error.retryable) == (code, True)

    on(loop, scenario)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET])
def test_a_slow_reader_still_gets_what_came_before_the_break(loop: str, ending: Ending) -> None:
    """aiohttp by itself lets the error overtake what is not read yet."""

    async def scenario(upstream: Scripted, dialer: Dialer) -> None:
        upstream.answers(Answer(b"a", b"b", b"data: [DONE]\n\n", ending))
        came = b""
        async with dialer.open(request(upstream.url)) as body:
            with suppress(UpstreamError):
                async for piece in body:
                    came += piece
                    await asyncio.sleep(0.05)
            with pytest.raises(UpstreamError):  # for good
                await anext(body)
        assert came == b"abdata: [DONE]\n\n"

    on(loop, scenario)


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET])
def test_the_end_of_a_body_without_length_proves_nothing(loop: str, ending: Ending) -> None:
    async def scenario(upstream: Scripted, dialer: Dialer) -> None:
        upstream.answers(Answer(b"half of", ending, framing="close"))
        async with dialer.open(request(upstream.url)) as body:
            assert [piece async for piece in body] == [b"half of"]
            assert not body.delimited

    on(loop, scenario)


async def test_every_place_a_reply_can_break_gives_the_bytes_before_it(
    upstream: Scripted, dialer: Dialer
) -> None:
    whole = Answer(b"Hello ", b"world").raw()
    head = whole.body.index(b"\r\n\r\n") + 4
    for place in range(head, len(whole.body)):
        upstream.answers(whole.stop(place, Ending.CLOSE))
        pieces: list[bytes] = []
        error = await failure(dialer, request(upstream.url), pieces)
        assert error.code == "upstream_truncated"
        assert b"Hello world".startswith(b"".join(pieces))
    assert b"".join(pieces) == b"Hello world"  # only the end of the last chunk was missing


async def test_a_head_that_breaks_off_is_no_answer(upstream: Scripted, dialer: Dialer) -> None:
    head = Answer(b"Hello").raw().body.split(b"\r\n\r\n")[0]
    for place in range(0, len(head), 7):
        upstream.answers(Answer(head, framing="raw").stop(place, Ending.CLOSE))
        error = await failure(dialer, request(upstream.url))
        assert (error.code, error.retryable) == ("upstream_reset", True)


async def test_a_compressed_body_that_is_not_is_malformed(
    upstream: Scripted, dialer: Dialer
) -> None:
    upstream.answers(Answer(b"plain text", headers={"Content-Encoding": "gzip"}))
    error = await failure(dialer, request(upstream.url))
    assert error.code == "upstream_malformed"


# No answer


@contextmanager
def full_backlog() -> Iterator[int]:
    """A port where connections are neither taken nor refused."""
    with socket.socket() as listening:
        listening.bind(("127.0.0.1", 0))
        listening.listen(0)
        waiting = [socket.socket() for _ in range(8)]
        for one in waiting:
            one.setblocking(False)
            with suppress(BlockingIOError):
                one.connect(listening.getsockname())
        yield listening.getsockname()[1]
        for one in waiting:
            one.close()


async def test_refused_says_to_check_the_server_and_the_url(dialer: Dialer) -> None:
    with nobody() as url:
        error = await failure(dialer, request(url))
    assert (error.code, error.retryable) == ("upstream_refused", True)
    assert "check that its server runs, and `url` in [upstreams.local]" in error.message


async def test_the_log_has_the_address_but_not_the_key(
    dialer: Dialer, caplog: pytest.LogCaptureFixture
) -> None:
    with caplog.at_level(logging.DEBUG, "hub.upstreams.http_client"), nobody() as url:
        asked = request(f"{url}/v1")
        await failure(dialer, asked)
    assert url.rpartition(":")[2] in caplog.text
    assert KEY not in caplog.text
    assert KEY not in repr(asked)


@pytest.mark.skipif(sys.platform != "linux", reason="other kernels refuse at a full backlog")
async def test_a_connection_nobody_takes_is_a_timeout(dialer: Dialer) -> None:
    with full_backlog() as port:
        error = await failure(dialer, request(f"http://127.0.0.1:{port}", connect=0.2))
    assert (error.code, error.retryable) == ("upstream_timeout", True)


async def test_an_unknown_host_is_a_dns_failure(
    dialer: Dialer, monkeypatch: pytest.MonkeyPatch
) -> None:
    def unknown(*_: object, **__: object) -> None:
        raise socket.gaierror(socket.EAI_NONAME, "Name or service not known")

    monkeypatch.setattr(socket, "getaddrinfo", unknown)
    error = await failure(dialer, request("http://nowhere.invalid/v1"))
    assert (error.code, error.retryable) == ("upstream_dns", True)
    assert "nowhere" not in error.message


async def test_a_name_that_no_host_can_have_is_a_dns_failure(dialer: Dialer) -> None:
    error = await failure(dialer, request("http://a..b/v1"))
    assert error.code == "upstream_dns"


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("ending", [Ending.CLOSE, Ending.RESET])
def test_a_connection_without_an_answer_is_a_reset(loop: str, ending: Ending) -> None:
    async def scenario(upstream: Scripted, dialer: Dialer) -> None:
        upstream.answers(Answer(ending, framing="raw"))
        error = await failure(dialer, request(upstream.url))
        assert (error.code, error.retryable) == ("upstream_reset", True)

    on(loop, scenario)


async def test_silence_before_the_head_is_a_stall(upstream: Scripted, dialer: Dialer) -> None:
    upstream.answers(Answer(Ending.HANG, framing="raw"))
    error = await failure(dialer, request(upstream.url, stall=0.2))
    assert (error.code, error.retryable) == ("upstream_stalled", False)
    await (await upstream.request()).left()


async def test_a_prompt_that_nobody_reads_is_a_stall(dialer: Dialer) -> None:
    """And what is still to be sent does not hold the socket open."""
    accepted: list[asyncio.StreamWriter] = []
    async with await asyncio.start_server(
        lambda _, writer: accepted.append(writer), "127.0.0.1", 0, limit=1024
    ) as server:
        asked = request(f"http://127.0.0.1:{server.sockets[0].getsockname()[1]}", stall=0.05)
        error = await failure(dialer, replace(asked, content=b"x" * 30_000_000))
        accepted[0].transport.abort()
    assert error.code == "upstream_stalled"


async def test_silence_after_the_head_is_the_callers_to_judge(
    upstream: Scripted, dialer: Dialer
) -> None:
    """The clocks for the connection and for the head have long stopped."""
    upstream.answers(Answer(b"a", 1.2, b"b"))
    assert await read(dialer, request(upstream.url, connect=1.0, stall=1.0)) == [b"a", b"b"]


async def test_what_is_not_http_is_malformed(upstream: Scripted, dialer: Dialer) -> None:
    upstream.answers(Answer(b"SSH-2.0-OpenSSH_9.6\r\n", framing="raw"))
    error = await failure(dialer, request(upstream.url))
    assert error.code == "upstream_malformed"


# An answer that is no reply


@pytest.mark.parametrize(
    ("status", "reason", "code", "retryable"),
    [
        (400, "Bad Request", "upstream_rejected", False),
        (401, "Unauthorized", "upstream_unauthorized", False),
        (404, "Not Found", "upstream_model_not_found", False),
        (429, "Too Many Requests", "upstream_rate_limited", True),
        (500, "Internal Server Error", "upstream_error", True),
        (503, "Service Unavailable", "upstream_overloaded", True),
        (529, "", "upstream_overloaded", True),
        (529, None, "upstream_overloaded", True),
    ],
)
async def test_a_refusal_gives_its_status_and_its_words(
    upstream: Scripted, dialer: Dialer, status: int, reason: str | None, code: str, retryable: bool
) -> None:
    upstream.answers(refusal(status, "no more of this", reason=reason))
    error = await failure(dialer, request(upstream.url))
    assert (error.code, error.retryable) == (code, retryable)
    assert str(status) in error.message
    assert "no more of this" in error.message


async def test_retry_after_is_handed_on(upstream: Scripted, dialer: Dialer) -> None:
    upstream.answers(refusal(503, "later", retry_after=7))
    error = await failure(dialer, request(upstream.url))
    assert error.retry_after == 7


async def test_a_refusal_that_repeats_the_key_does_not_show_it(
    upstream: Scripted, dialer: Dialer
) -> None:
    upstream.answers(refusal(400, f"{KEY} is wrong", reason=f"Not {KEY}"))
    error = await failure(dialer, request(upstream.url))  # which looks for the key
    assert "is wrong" in error.message


async def test_a_refusal_may_be_an_event_stream(upstream: Scripted, dialer: Dialer) -> None:
    upstream.answers(
        Answer(b'data: {"error":{"message":"boom"}}\n\n', b"data: [DONE]\n\n", status=500)
    )
    error = await failure(dialer, request(upstream.url))
    assert error.code == "upstream_error"
    assert "boom" in error.message


async def test_of_a_refusal_without_end_only_the_beginning_is_read(
    upstream: Scripted, dialer: Dialer
) -> None:
    upstream.answers(Answer(b"no", *[b"x" * 65_536] * 1000, status=400))
    await failure(dialer, request(upstream.url))
    assert upstream.requests[0].sent < 60_000_000
    await upstream.requests[0].left()


async def test_a_refusal_that_breaks_off_is_still_a_refusal(
    upstream: Scripted, dialer: Dialer
) -> None:
    upstream.answers(Answer(b"bad mod", Ending.RESET, status=404, type="text/plain"))
    error = await failure(dialer, request(upstream.url))
    assert error.code == "upstream_model_not_found"
    assert "bad mod" in error.message


async def test_a_redirect_is_not_followed_and_names_the_host_only(
    upstream: Scripted, dialer: Dialer
) -> None:
    to = {"Location": f"https://user:{KEY}@other.example/path?key={KEY}"}
    upstream.answers(Answer(status=307, headers=to))
    error = await failure(dialer, request(upstream.url))
    assert error.code == "upstream_rejected"
    assert "other.example" in error.message
    assert "user" not in error.message
    assert len(upstream.requests) == 1


@pytest.mark.parametrize("place", ["", "/elsewhere", "http://[", "//"])
async def test_a_redirect_to_nowhere_is_refused_as_well(
    upstream: Scripted, dialer: Dialer, place: str
) -> None:
    upstream.answers(Answer(status=302, headers={"Location": place}))
    error = await failure(dialer, request(upstream.url))
    assert error.code == "upstream_rejected"


@pytest.mark.parametrize("coding", ["compress", "gzip, gzip", "snappy"])
async def test_a_compression_that_cannot_be_undone_is_named(
    upstream: Scripted, dialer: Dialer, coding: str
) -> None:
    upstream.answers(Answer(b"...", headers={"Content-Encoding": coding}))
    error = await failure(dialer, request(upstream.url))
    assert error.code == "upstream_unsupported"
    assert coding in error.message


async def test_zstd_without_its_package_is_named(
    upstream: Scripted, dialer: Dialer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("aiohttp.http_parser.HAS_ZSTD", False)
    upstream.answers(Answer(b"...", headers={"Content-Encoding": "zstd"}))
    error = await failure(dialer, request(upstream.url))
    assert error.code == "upstream_unsupported"
    assert "zstd" in error.message


async def test_the_binary_event_stream_is_refused_by_name(
    upstream: Scripted, dialer: Dialer
) -> None:
    upstream.answers(Answer(b"\0\0\0", type="application/vnd.amazon.eventstream; v=1"))
    error = await failure(dialer, request(upstream.url))
    assert error.code == "upstream_unsupported"
    assert "application/vnd.amazon.eventstream" in error.message
