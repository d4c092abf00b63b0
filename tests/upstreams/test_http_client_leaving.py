"""P9: leaving a reply reaches the upstream at once, and nothing stays behind."""

from __future__ import annotations

import asyncio
import gc
import os
import shutil
import ssl
import subprocess
import sys
import time
from collections.abc import AsyncIterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path

import pytest

from hub.domain.errors import Draining, UpstreamError
from hub.upstreams.http_client import Dialer
from tests.support.http_requests import BREAKS, LOOPS, failure, on, promptly, read, request
from tests.support.loopback_hub import eventually
from tests.support.patience import PATIENCE
from tests.support.scripted_upstream import Answer, Ending, Gate, Scripted


@pytest.fixture
async def upstream() -> AsyncIterator[Scripted]:
    async with Scripted() as server:
        yield server


@pytest.fixture
async def dialer() -> AsyncIterator[Dialer]:
    made = Dialer()
    yield made
    await made.close()


@pytest.mark.parametrize("loop", LOOPS)
@pytest.mark.parametrize("place", ["before the head", "in the body"])
def test_a_cancel_reaches_the_upstream_at_once(loop: str, place: str) -> None:
    """P9. Both ends run in one process and take their stamps from one clock, so nothing
    but the work itself lies between them: about 1 ms."""

    async def scenario(upstream: Scripted, dialer: Dialer) -> None:
        async def attempt() -> float:
            gate = Gate()
            before = place == "before the head"
            upstream.answers(Answer(gate, framing="raw") if before else Answer(b"a", gate))
            number = len(upstream.requests)
            reading = asyncio.create_task(read(dialer, request(upstream.url)))
            await gate.reached()
            await asyncio.sleep(0.02)
            asked = time.monotonic()
            reading.cancel()
            with pytest.raises(asyncio.CancelledError):
                await reading
            return await upstream.requests[number].left() - asked

        await promptly(attempt)

    on(loop, scenario)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_cancel_reaches_an_upstream_that_is_ahead_of_the_reader(loop: str) -> None:
    """P9 with megabytes on the way: nothing is waited for."""

    async def scenario(upstream: Scripted, dialer: Dialer) -> None:
        async def attempt() -> float:
            upstream.answers(Answer(*[b"x" * 65_536] * 1000))
            async with dialer.open(request(upstream.url)) as body:
                await anext(body)
                await asyncio.sleep(0.1)
                asked = time.monotonic()
            return await upstream.requests[-1].left() - asked

        await promptly(attempt)

    on(loop, scenario)


@pytest.mark.parametrize("loop", LOOPS)
def test_a_cancel_reaches_an_upstream_that_does_not_read(loop: str) -> None:
    """P9 with most of a long prompt still to be sent: closing would wait for that."""

    async def scenario(_: Scripted, dialer: Dialer) -> None:
        lost: asyncio.Queue[float] = asyncio.Queue()

        async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
            await reader.readuntil(b"\r\n\r\n")
            writer.write(b"HTTP/1.1 200 OK\r\n\r\n")
            while not writer.is_closing():
                writer.write(b"x")
                await asyncio.sleep(0.001)
            lost.put_nowait(time.monotonic())

        async with await asyncio.start_server(answer, "127.0.0.1", 0, limit=1024) as server:
            port = server.sockets[0].getsockname()[1]
            asked = replace(request(f"http://127.0.0.1:{port}"), content=b"x" * 30_000_000)

            async def attempt() -> float:
                async with dialer.open(asked) as body:
                    await anext(body)
                    await asyncio.sleep(0.2)  # until all that lies between them is full
                    left = time.monotonic()
                async with asyncio.timeout(PATIENCE):
                    return await lost.get() - left

            await promptly(attempt)

    on(loop, scenario)


@pytest.mark.parametrize("way", ["break", "error"])
async def test_leaving_early_closes_the_socket_at_once(
    upstream: Scripted, dialer: Dialer, way: str
) -> None:
    async def attempt() -> float:
        upstream.answers(Answer(b"a", b"b", Ending.HANG))
        asked = 0.0
        with suppress(ZeroDivisionError):
            async with dialer.open(request(upstream.url)) as body:
                async for _ in body:
                    asked = time.monotonic()
                    if way == "break":
                        break
                    raise ZeroDivisionError
        return await upstream.requests[-1].left() - asked

    await promptly(attempt)


async def test_a_connection_left_early_is_not_used_again(
    upstream: Scripted, dialer: Dialer
) -> None:
    upstream.answers(Answer(b"old", b"old", Ending.HANG), Answer(b"new"))
    async with dialer.open(request(upstream.url)) as body:
        await anext(body)
    assert await read(dialer, request(upstream.url)) == [b"new"]
    assert upstream.connections == 2


async def test_what_is_over_has_a_moment_to_end_and_leaves_its_connection_for_the_next(
    upstream: Scripted, dialer: Dialer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.upstreams.http_client.ENDING", PATIENCE)
    gate = Gate()
    upstream.answers(Answer(b"old", gate), Answer(b"new"))
    async with dialer.open(request(upstream.url)) as body:
        assert await anext(body) == b"old"
        body.over = True
    gate.open()
    await upstream.requests[0].answered()
    assert await read(dialer, request(upstream.url)) == [b"new"]
    assert upstream.connections == 1


async def test_what_is_over_and_does_not_end_is_closed(
    upstream: Scripted, dialer: Dialer, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("hub.upstreams.http_client.ENDING", 0.01)
    upstream.answers(Answer(b"old", Ending.HANG), Answer(b"new"))
    async with dialer.open(request(upstream.url)) as body:
        await anext(body)
        body.over = True
    await upstream.requests[0].left()
    assert await read(dialer, request(upstream.url)) == [b"new"]
    assert upstream.connections == 2


async def test_a_dialer_that_closes_waits_for_no_end(upstream: Scripted) -> None:
    dialer = Dialer()
    upstream.answers(Answer(b"old", Ending.HANG))
    async with dialer.open(request(upstream.url)) as body:
        await anext(body)
        body.over = True
    await dialer.close()
    await upstream.requests[0].left()


async def test_a_closed_dialer_refuses(upstream: Scripted) -> None:
    dialer = Dialer()
    upstream.answers(Answer(b"a"))
    await read(dialer, request(upstream.url))
    await dialer.close()
    with pytest.raises(Draining):
        await read(dialer, request(upstream.url))


async def test_a_dialer_that_was_never_used_closes() -> None:
    await Dialer().close()


@pytest.mark.skipif(not Path("/dev/fd").is_dir(), reason="no list of open files here")
async def test_nothing_is_left_behind(upstream: Scripted) -> None:
    """Whatever becomes of a request: no socket, no task, no warning at the end."""

    async def once(dialer: Dialer, number: int) -> None:
        answer, _ = list(BREAKS.values())[number % len(BREAKS)]
        url = upstream.answers(answer, Answer(b"ok"), Answer(Ending.HANG), under=f"/{number}")
        for _ in range(3):
            with suppress(UpstreamError, TimeoutError):
                async with asyncio.timeout(0.2):
                    await read(dialer, request(url))

    gc.collect()  # or what other tests left would be closed meanwhile
    files, tasks = len(os.listdir("/dev/fd")), len(asyncio.all_tasks())
    dialer = Dialer()
    await asyncio.gather(*(once(dialer, number) for number in range(20)))
    await dialer.close()
    await upstream.alone()
    await eventually(lambda: len(os.listdir("/dev/fd")) <= files)
    assert len(asyncio.all_tasks()) == tasks


# TLS


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A certificate and its key for 127.0.0.1, signed by nobody else."""
    made = tmp_path_factory.mktemp("tls") / "both.pem"
    if shutil.which("openssl") is None:
        pytest.skip("a certificate is made with openssl")
    command = "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes"
    command += " -days 2 -subj /CN=127.0.0.1 -addext subjectAltName=IP:127.0.0.1"
    subprocess.run(
        [*command.split(), "-keyout", made, "-out", made.with_suffix(".crt")],
        check=True,
        capture_output=True,
    )
    made.write_bytes(made.read_bytes() + made.with_suffix(".crt").read_bytes())
    return made


@pytest.fixture
async def secure(certificate: Path) -> AsyncIterator[Scripted]:
    tls = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    tls.load_cert_chain(certificate)
    async with Scripted(tls=tls) as server:
        yield server


async def test_a_certificate_nobody_vouches_for_is_refused(
    secure: Scripted, dialer: Dialer
) -> None:
    error = await failure(dialer, request(secure.url))
    assert (error.code, error.retryable) == ("upstream_tls", False)
    assert "certificate" in error.message


async def test_https_where_there_is_only_http_is_a_tls_failure(dialer: Dialer) -> None:
    async def answer(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        writer.close()

    async with await asyncio.start_server(answer, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        error = await failure(dialer, request(f"https://127.0.0.1:{port}"))
    assert error.code == "upstream_tls"


CANCELS_OVER_TLS = """
import asyncio, sys, time, uvloop
from hub.upstreams.http_client import Dialer
from hub.upstreams.http_request import Request

async def main():
    dialer = Dialer()
    while sys.stdin.readline():
        async with dialer.open(Request("local", sys.argv[1], {}, b"{}", 60.0, 60.0)) as body:
            await anext(body)
            asked = time.monotonic()
        await asyncio.sleep(0.3)
        print(asked, flush=True)
    await dialer.close()

{"asyncio": asyncio.run, "uvloop": uvloop.run}[sys.argv[2]](main())
"""


@pytest.mark.parametrize("loop", LOOPS)
async def test_a_cancel_reaches_the_upstream_at_once_over_tls(
    secure: Scripted, certificate: Path, loop: str
) -> None:
    """P9. In another process, since what is trusted is read when Python starts; the
    monotonic clock is the machine's, the same for both."""
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-c", CANCELS_OVER_TLS, secure.url, loop),
        env={**os.environ, "SSL_CERT_FILE": str(certificate.with_suffix(".crt"))},
        stdin=subprocess.PIPE,
        stdout=subprocess.PIPE,
    )
    asking, telling = process.stdin, process.stdout
    assert asking is not None
    assert telling is not None

    async def attempt() -> float:
        secure.answers(Answer(b"a", Ending.HANG))
        number = len(secure.requests)
        asking.write(b"again\n")
        left = await (await secure.request(number)).left()
        return left - float(await telling.readline())

    try:
        await promptly(attempt)
    finally:
        asking.close()
        await process.communicate()
