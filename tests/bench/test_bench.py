"""The benchmark tells the truth: servers deliver, losses are counted, figures are computed right.

No test here looks at speed.
"""

import asyncio
import os
from dataclasses import replace
from io import StringIO

import pytest
from rich.console import Console

from bench import client
from bench.__main__ import _present
from bench.client import Subscribers
from bench.measure import Running
from bench.peers import PEERS, Peer
from bench.plan import BURST, EACH, LATENCY, SATURATION, Load
from bench.process import Process
from bench.report import show
from bench.results import Figure, Results, Seen, Window
from bench.servers import driver, floor
from bench.wire import WIRES, Wire

# One tick at once, the next due after the end: exactly one, however slow the machine is.
ONE_TICK = Load("one tick", rate=1, burst=20, seconds=0.9, ahead=1)


@pytest.mark.parametrize("peer", PEERS, ids=lambda peer: peer.name)
def test_every_installed_server_delivers_every_message_once(peer: Peer) -> None:
    if (missing := peer.missing()) is not None:
        pytest.skip(f"{peer.title}: {missing}")
    with Running(peer) as running:
        running.connect(baseline=1, count=5)
        seen = running.load(ONE_TICK)
        again = running.load(replace(ONE_TICK, burst=1))
    assert (seen.ticks, seen.messages, seen.deliveries) == (1, 20, 100)
    assert (again.messages, again.deliveries) == (1, 5)
    assert (seen.lost, seen.doubled, again.lost, again.doubled) == (0, 0, 0, 0)
    assert seen.server_cpu > 0
    assert 0 < seen.p50 <= seen.p99 <= seen.elapsed


def test_floor_naive_and_hub_need_nothing_that_is_optional() -> None:
    by_name = {peer.name: peer for peer in PEERS}
    assert [by_name[name].missing() for name in ("floor", "naive", "hub", "hub_sse")] == [None] * 4


def test_a_server_that_cannot_run_is_named_with_what_it_lacks(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    lacking = Peer("lacking", "Lacking", modules=("no_such_module",))
    monkeypatch.setattr("bench.__main__.PEERS", (*PEERS, lacking))
    present, absent = _present(["floor", "lacking"])
    assert [peer.name for peer in present] == ["floor"]
    assert absent == ["Lacking not measured: no no_such_module: pip install -e '.[bench]'"]


def test_a_server_that_does_not_start_says_why() -> None:
    absent = Process.module("bench.servers.nothing", 0)
    with absent, pytest.raises(RuntimeError, match="No module named"):
        absent.hear()


async def test_what_is_lost_or_comes_twice_is_counted(monkeypatch: pytest.MonkeyPatch) -> None:
    """The second message of a tick is lost, the first and the last come twice."""
    monkeypatch.setattr(client, "PATIENCE", 2.0)

    async def send(texts: list[str]) -> None:
        await floor.send([texts[0], texts[0], *texts[2:], texts[-1]])

    loop = asyncio.get_running_loop()
    server = await loop.create_server(floor.Subscriber, "127.0.0.1", 0)
    control = await driver.drive(send)
    ports = driver.port_of(server), driver.port_of(control)

    def subscribe() -> Seen:
        with Subscribers(WIRES["websocket"], *ports, os.getpid()) as subscribers:
            subscribers.connect(3)
            return subscribers.load(rate=1, burst=5, seconds=0.9, ahead=1)

    async with server, control:
        seen = await asyncio.to_thread(subscribe)
    assert (seen.messages, seen.deliveries, seen.lost, seen.doubled) == (5, 12, 3, 6)


async def test_pings_are_answered_while_nothing_is_measured() -> None:
    """Else a server takes an idle subscriber for dead, and what it is not sent counts as lost."""
    answered = asyncio.get_running_loop().create_future()

    class Pinging(floor.Subscriber):
        def data_received(self, data: bytes) -> None:
            if self._transport in floor.subscribers:
                answered.set_result(data)
            else:
                super().data_received(data)
                self._transport.write(b"\x89\x02hi")

    async def send(_: list[str]) -> None:
        raise AssertionError("no load is asked for")

    server = await asyncio.get_running_loop().create_server(Pinging, "127.0.0.1", 0)
    control = await driver.drive(send)
    ports = driver.port_of(server), driver.port_of(control)
    reading, writing = os.pipe()

    def subscribe() -> None:
        with Subscribers(WIRES["websocket"], *ports, os.getpid()) as subscribers:
            subscribers.connect(1)
            subscribers.rest(until=reading)

    async with server, control:
        resting = asyncio.create_task(asyncio.to_thread(subscribe))
        try:
            pong = await asyncio.wait_for(answered, 120)
        finally:
            # A thread that is not told to end would hold the whole run up.
            os.write(writing, b"!")
            await resting
    os.close(reading)
    os.close(writing)
    assert pong == b"\x8a\x82\x00\x00\x00\x00hi"


@pytest.mark.parametrize(
    ("wire", "received", "bodies"),
    [
        (
            WIRES["websocket"],
            b"\x81\x05hello\x81\x7e\x00\x80" + b"x" * 128 + b"\x81\x02ok",
            [b"hello", b"x" * 128, b"ok"],
        ),
        (WIRES["sse"], b"5\r\nhello\r\n80\r\n" + b"x" * 128 + b"\r\n", [b"hello", b"x" * 128]),
    ],
    ids=["frames", "chunks"],
)
def test_a_read_cut_anywhere_gives_the_same_bodies(
    wire: Wire, received: bytes, bodies: list[bytes]
) -> None:
    for at in range(len(received) + 1):
        first, rest, _ = wire.cut(received[:at])
        second, left, _ = wire.cut(rest + received[at:])
        assert (first + second, left) == (bodies, b"")


def test_pings_are_answered_and_are_no_messages() -> None:
    bodies, rest, answer = WIRES["websocket"].cut(b"\x89\x02hi\x81\x02ok")
    assert (bodies, rest) == ([b"ok"], b"")
    assert answer == b"\x8a\x82\x00\x00\x00\x00hi"


def _seen(**figures: int) -> Seen:
    nothing = dict.fromkeys(Seen.__dataclass_fields__, 0)
    return Seen(**{**nothing, "ticks": 10, "deliveries": 1000, "elapsed": 10**9, **figures})


def _measured() -> Results:
    """Three runs in which the machine's speed doubles and the hub stays at 1.2 of the floor."""
    results = Results(memory={"floor": 1024.0, "hub": 15 * 1024.0, "hub_sse": 13 * 1024.0})
    for run, micros in enumerate((10, 20, 40)):
        cpu = micros * 1000 * 1000
        for server, times in (("floor", 1.0), ("hub", 1.2)):
            each = _seen(server_cpu=int(cpu * times), client_cpu=10**8)
            burst = _seen(server_cpu=int(cpu * times / 16))
            full = _seen(
                elapsed=int(10**7 * micros * times), client_cpu=int(9.6e6 * micros * times)
            )
            late = _seen(p50=micros * 10**6, p99=int(4 * micros * 10**6 * times))
            for load, seen in ((EACH, each), (BURST, burst), (SATURATION, full), (LATENCY, late)):
                results.windows.append(Window(server, load, run, 5000, 20.0, seen))
    return results


def test_figures_are_medians_and_ratios_are_taken_within_a_run() -> None:
    row = _measured().row("hub")
    assert row.cpu_us == pytest.approx(Figure(24.0, 1.2))
    assert row.burst_cpu_us == pytest.approx(Figure(1.5, 1.2))
    assert row.per_second == pytest.approx(Figure(1000 / 0.24, 1 / 1.2))
    assert row.p50_ms == pytest.approx(Figure(20.0, 1.0))
    assert row.p99_ms == pytest.approx(Figure(96.0, 1.2))
    assert row.kept.value == 0.5
    assert row.memory_kib == pytest.approx(Figure(15.0, 15.0))


def test_bars_pass_and_fail_by_their_limits() -> None:
    results = _measured()
    assert [bar.passed for bar in results.bars()] == [True, True, True, True, True, False]
    results.windows.append(Window("hub_sse", EACH, 0, 1000, 10.0, _seen(lost=1)))
    assert [bar.passed for bar in results.bars()][3] is False


def test_latency_among_fewer_subscribers_proves_nothing() -> None:
    results = _measured()
    results.windows = [replace(window, connections=2000) for window in results.windows]
    assert [bar.passed for bar in results.bars()][2] is None


def test_what_was_not_measured_is_neither_passed_nor_failed() -> None:
    assert [bar.passed for bar in Results().bars()] == [None] * 6


def test_the_table_shows_value_and_ratio_of_each_server() -> None:
    written = StringIO()
    show(
        _measured(),
        {"floor": "Floor", "hub": "Hub", "hub_sse": "SSE"},
        Console(file=written, width=200),
    )
    lines = [line.split("|") for line in written.getvalue().splitlines() if "|" in line]
    shown = {cells[1].strip(): [cell.strip() for cell in cells[2:-1]] for cells in lines}
    assert shown["Hub"] == [
        "24.0  ×1.20",
        "1.50  ×1.20",
        "4,167  ×0.83*",
        "20  ×1.00",
        "96  ×1.20",
        "50%",
        "15.0  ×15.00",
        "0",
    ]
    assert shown["SSE"] == ["–", "–", "–", "–", "–", "–", "13.0  ×13.00", "0"]
    assert "FAIL" in shown["idle SSE response"]
