"""Pipelines: what each step and each end does, and that leaving closes everything at once."""

from __future__ import annotations

import asyncio
import gc
from collections.abc import AsyncIterator, Callable
from contextlib import suppress
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.domain.errors import HubError, StreamClosed, TooLarge, UpstreamError
from hub.domain.events import Cancelled, Delta, Event, Failed, Finished, Interrupted, Started
from hub.framing import NDJSON, Chunk
from hub.pipeline.pipeline import Pipeline
from tests.support.clock import Clock
from tests.support.patience import PATIENCE
from tests.support.recording_sources import (
    Recorded,
    cancelled_at_every_wait,
    generated,
    nothing_left,
)

Chain = Callable[[Pipeline[Any]], Pipeline[Any]]


async def numbers(end: int) -> AsyncIterator[int]:
    for number in range(end):
        yield number


async def doubled(number: int) -> int:
    await asyncio.sleep(0)
    return 2 * number


async def listed(source: Pipeline[Any]) -> list[Any]:
    return [item async for item in source]


async def read_into(came: list[Any], source: Pipeline[Any]) -> None:
    async for item in source:
        came.append(item)  # noqa: PERF401 - the items before an error are wanted too


# Every step, each as part of a chain that passes numbers on, some of them for ever.
STEPS: dict[str, Chain] = {
    "none": lambda p: p,
    "map": lambda p: p.map(lambda n: n),
    "map-async": lambda p: p.map(doubled),
    "filter": lambda p: p.filter(lambda n: n >= 0),
    "flat_map": lambda p: p.flat_map(lambda n: (n, n)),
    "tap": lambda p: p.tap(lambda n: None),
    "take": lambda p: p.take(1000),
    "batch": lambda p: p.batch(2),
    "batch-within": lambda p: p.batch(3, within=0.001),
    "throttle": lambda p: p.throttle(20_000),
    "timeout": lambda p: p.timeout(5),
    "beat": lambda p: p.beat(0.0005, -1),
    "merge": lambda p: p.merge(Recorded(range(3))),
    "frames": lambda p: p.map(lambda n: b"%d\n" % n).frames(NDJSON()),
    "many": lambda p: p.map(doubled).timeout(5).batch(2, within=0.001).merge(numbers(2)).timeout(5),
}
each_step = pytest.mark.parametrize("chain", STEPS.values(), ids=STEPS.keys())


# -- the steps ---------------------------------------------------------------------------


async def test_an_iterable_and_a_function_that_gives_one_are_both_sources() -> None:
    assert await listed(Pipeline(numbers(3))) == [0, 1, 2]
    assert await listed(Pipeline(lambda: numbers(3))) == [0, 1, 2]


async def test_a_pipeline_is_an_iterator_that_goes_on_where_it_was() -> None:
    source = Pipeline(numbers(4))
    assert await anext(source) == 0
    assert await anext(source) == 1
    assert await listed(source) == [2, 3]
    assert await listed(source) == []


async def test_map_takes_plain_and_asynchronous_functions() -> None:
    assert await listed(Pipeline(numbers(3)).map(str)) == ["0", "1", "2"]
    assert await listed(Pipeline(numbers(3)).map(doubled)) == [0, 2, 4]


async def test_map_refuses_a_plain_function_that_gives_coroutines() -> None:
    with pytest.raises(TypeError, match="async def"):
        await listed(Pipeline(numbers(3)).map(lambda n: doubled(n + 1)))


async def test_filter_flat_map_tap_and_take() -> None:
    seen: list[int] = []
    chain = Pipeline(numbers(100)).filter(lambda n: n % 2).tap(seen.append)
    assert await listed(chain.flat_map(lambda n: [n] * 2).take(5)) == [1, 1, 3, 3, 5]
    assert seen == [1, 3, 5]


@given(
    st.lists(st.lists(st.integers(), max_size=4), max_size=6),
    st.integers(0, 12),
    st.integers(1, 5),
)
async def test_steps_on_lots_of_any_size_do_what_they_do_on_a_list(
    lots: list[list[int]], most: int, size: int
) -> None:
    """How many items one read brought shows nowhere in what comes out."""

    async def reads() -> AsyncIterator[list[int]]:
        for lot in lots:
            yield lot

    items = [n for lot in lots for n in lot]
    flat = [n + 1 for n in items if n % 3]
    chain = Pipeline(reads).flat_map(iter).filter(lambda n: n % 3).map(lambda n: n + 1)
    assert await chain.collect() == flat
    chain = Pipeline(reads).flat_map(iter).filter(lambda n: n % 3).map(lambda n: n + 1)
    assert await chain.take(most).collect() == flat[:most]
    batches = await Pipeline(reads).flat_map(iter).batch(size).collect()
    assert batches == [items[n : n + size] for n in range(0, len(items), size)]
    assert await Pipeline(reads).flat_map(iter).timeout(5).collect() == items


async def test_steps_can_be_added_under_an_if_and_change_no_other_pipeline() -> None:
    plain = Pipeline(numbers(3))
    plain.map(str).take(1)
    assert await listed(plain) == [0, 1, 2]


async def test_a_source_is_read_by_one_pipeline_only() -> None:
    source = Pipeline(numbers(3))
    assert await anext(source) == 0
    with pytest.raises(RuntimeError, match="read once"):
        await source.map(str).collect()
    assert await listed(source) == [1, 2]


async def test_a_pipeline_that_was_left_is_not_read_again() -> None:
    source = Recorded(range(3))
    async with Pipeline(source) as p:
        pass
    with pytest.raises(RuntimeError, match="read once"):
        await p.collect()
    assert source.read == 0


@pytest.mark.parametrize(
    "wrong", [lambda p: p.batch(0), lambda p: p.merge(ahead=0), lambda p: p.throttle(0)]
)
def test_a_step_that_could_never_go_on_is_refused(wrong: Chain) -> None:
    with pytest.raises(ValueError, match="takes a number"):
        wrong(Pipeline(lambda: numbers(1)))


# -- laziness and back-pressure ----------------------------------------------------------


async def test_nothing_is_opened_before_an_item_is_asked_for() -> None:
    opened = []

    def source() -> AsyncIterator[int]:
        opened.append(True)
        return numbers(3)

    p = Pipeline(source).map(str).batch(2, within=1).timeout(1).merge(numbers(1))
    await asyncio.sleep(0)
    assert not opened
    await p.collect()
    assert opened == [True]


async def test_an_item_is_made_when_it_is_asked_for() -> None:
    """Also where one read brought many: functions are not called ahead of the reader."""
    made: list[int] = []

    def note(n: int) -> int:
        made.append(n)
        return n

    async with Pipeline(numbers(1)).flat_map(lambda _: range(100)).map(note).timeout(5) as p:
        assert await anext(p) == 0
        assert made == [0]
        assert await anext(p) == 1
        assert made == [0, 1]


async def test_take_reads_nothing_after_its_last_item() -> None:
    source = Recorded(range(100))
    assert await Pipeline(source).take(3).collect() == [0, 1, 2]
    assert (source.read, source.closed) == (3, 1)


async def test_take_of_nothing_reads_nothing() -> None:
    source = Recorded(range(100))
    assert await Pipeline(source).take(0).collect() == []
    assert (source.read, source.closed) == (0, 1)


@pytest.mark.parametrize(
    ("chain", "ahead"),
    [
        (lambda p: p.map(doubled).timeout(5).throttle(100_000), 0),
        (lambda p: p.batch(4), 4 + 1),
        (lambda p: p.batch(4, within=0.001), 4 + 1),
        (lambda p: p.beat(1, -1), 15 + 16 + 1),
        (lambda p: p.merge(ahead=3), 2 + 3 + 1),
    ],
    ids=["waiting", "batch", "within", "beat", "merge"],
)
async def test_reading_ahead_is_bounded(chain: Chain, ahead: int) -> None:
    """Ahead are the rest of a lot, what waits to be taken, and the one that found no place."""
    source = Recorded(range(1000))
    async with chain(Pipeline(source)) as p:
        first = await anext(p)
        await asyncio.sleep(0.02)
        assert source.read - (len(first) if isinstance(first, list) else 1) <= ahead


# -- time --------------------------------------------------------------------------------


async def test_batch_gives_what_it_has_when_the_time_is_up() -> None:
    source = Recorded([1, 2], hangs=True)
    async with Pipeline(source).batch(10, within=2.0) as p:
        async with asyncio.timeout(PATIENCE):
            assert await anext(p) == [1, 2]


async def test_batch_without_a_time_waits_until_it_is_full() -> None:
    source = Recorded([1, 2, 3], wait=0.01)
    assert await Pipeline(source).batch(2).collect() == [[1, 2], [3]]


@given(st.lists(st.integers(0, 3), max_size=8), st.integers(1, 4))
async def test_batch_loses_no_item_that_is_on_its_way_when_the_time_is_up(
    waits: list[int], most: int
) -> None:
    async def source() -> AsyncIterator[int]:
        for n, wait in enumerate(waits):
            await asyncio.sleep(wait * 0.0005)
            yield n

    batches = await Pipeline(source).batch(most, within=0.0005).collect()
    assert [n for batch in batches for n in batch] == list(range(len(waits)))
    assert all(1 <= len(batch) <= most for batch in batches)


async def test_batch_gives_what_came_before_an_error() -> None:
    batches: list[list[int]] = []
    with pytest.raises(KeyError):
        await read_into(batches, Pipeline(Recorded(range(5), fails=KeyError())).batch(3))
    assert batches == [[0, 1, 2], [3, 4]]


async def test_throttle_spaces_items_evenly_and_lets_the_first_go_at_once() -> None:
    now = asyncio.get_running_loop().time
    begin = now()
    times = [now() - begin async for _ in Pipeline(numbers(5)).throttle(100)]
    assert all(at >= 0.01 * n - 0.002 for n, at in enumerate(times))


async def test_throttle_makes_up_for_no_pause_with_a_burst() -> None:
    now = asyncio.get_running_loop().time
    async with Pipeline(numbers(4)).throttle(50) as p:
        await anext(p)
        await asyncio.sleep(0.1)
        begin = now()
        for _ in range(3):
            await anext(p)
        assert now() - begin >= 0.038


async def test_timeout_ends_a_silence_and_closes_the_source() -> None:
    source = Recorded([1], hangs=True)
    p = Pipeline(source).timeout(0.5)
    assert await anext(p) == 1
    with pytest.raises(UpstreamError) as error:
        await anext(p)
    assert error.value.code == "upstream_stalled"
    assert source.closed == 1


async def test_timeout_is_not_put_off_by_what_becomes_no_item() -> None:
    """Keep-alive comments of an upstream are read, yet bring no chunk."""

    async def comments() -> AsyncIterator[bytes]:
        while True:
            await asyncio.sleep(0.002)
            yield b"\n"

    with pytest.raises(UpstreamError, match="nothing came") as error:
        await Pipeline(comments).frames(NDJSON()).timeout(0.03).collect()
    assert error.value.code == "upstream_stalled"


async def test_timeout_does_not_count_the_time_of_the_reader(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    clock = Clock(monkeypatch)
    async for _ in Pipeline(Recorded(range(2), wait=0.001)).timeout(60):
        clock.leap(61)
        await asyncio.sleep(0.001)


async def test_timeout_asks_a_function_before_each_wait() -> None:
    patience = iter([60.0, 60.0, 0.01])
    p = Pipeline(Recorded([1, 2], hangs=True)).timeout(lambda: next(patience))
    assert [await anext(p), await anext(p)] == [1, 2]
    with pytest.raises(UpstreamError, match=r"0\.01 s$"):
        await anext(p)


async def test_timeout_passes_on_a_timeout_of_the_source() -> None:
    with pytest.raises(TimeoutError):
        await Pipeline(Recorded([1], fails=TimeoutError())).timeout(5).collect()


async def test_timeout_takes_no_cancel_for_its_own() -> None:
    source: Recorded[int] = Recorded([], hangs=True)
    task = asyncio.ensure_future(Pipeline(source).timeout(5).collect())
    await source.waiting.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert source.closed == 1


async def test_beat_fills_every_silence_and_loses_nothing() -> None:
    enough = asyncio.Event()

    async def source() -> AsyncIterator[str]:
        yield "a"
        await enough.wait()
        yield "b"

    came: list[str] = []
    async for item in Pipeline(source).beat(0.01, ""):
        came.append(item)
        if came.count("") == 2:
            enough.set()
    assert [item for item in came if item] == ["a", "b"]
    assert came[:3] == ["a", "", ""]
    assert came[-1] == "b"


async def test_merge_gives_items_as_they_come_each_source_in_order() -> None:
    slow, fast = Recorded("abc", wait=0.2), Recorded(range(3))
    merged = await Pipeline(slow).merge(fast).collect()
    assert merged == [0, 1, 2, "a", "b", "c"]
    assert (slow.closed, fast.closed) == (1, 1)


async def test_merge_takes_pipelines() -> None:
    other = Pipeline(numbers(3)).map(str)
    assert await Pipeline(numbers(0)).merge(other, numbers(0)).collect() == ["0", "1", "2"]


async def test_an_error_of_one_merged_source_ends_all_after_what_came_before_it() -> None:
    failing = Recorded([1, 2], fails=KeyError())
    endless: Recorded[int] = Recorded([], hangs=True)
    came: list[int] = []
    with pytest.raises(KeyError):
        await read_into(came, Pipeline(failing).merge(endless))
    assert came == [1, 2]
    assert (failing.closed, endless.closed) == (1, 1)
    assert nothing_left()


# -- leaving -----------------------------------------------------------------------------


@each_step
async def test_the_end_closes_the_source(chain: Chain) -> None:
    source = Recorded(range(5))
    await chain(Pipeline(source)).collect()
    assert source.closed == 1
    assert nothing_left()


@each_step
async def test_an_error_of_the_source_closes_it_and_comes_after_the_items(chain: Chain) -> None:
    source = Recorded(range(5), fails=KeyError("gone"))
    came: list[Any] = []
    with pytest.raises(KeyError, match="gone"):
        await read_into(came, chain(Pipeline(source)))
    assert len(came) >= 2
    assert source.closed == 1
    assert nothing_left()


@each_step
async def test_an_error_in_a_later_step_closes_the_source(chain: Chain) -> None:
    source = Recorded(range(5), hangs=True)

    def fail(_: object) -> None:
        raise KeyError("later")

    with pytest.raises(KeyError, match="later"):
        await chain(Pipeline(source)).tap(fail).collect()
    assert source.closed == 1
    assert nothing_left()


@each_step
async def test_a_break_out_of_async_with_closes_the_source(chain: Chain) -> None:
    source = Recorded(range(5), hangs=True)
    async with chain(Pipeline(source)) as p:
        async for _ in p:
            break
    assert source.closed == 1
    assert nothing_left()


@each_step
async def test_a_break_out_of_async_for_inside_async_with_closes_the_source(chain: Chain) -> None:
    source = Recorded(range(5), hangs=True)
    async with Pipeline(source) as p:
        async for _ in chain(p):
            break
    assert source.closed == 1
    assert nothing_left()


@each_step
async def test_a_pipeline_that_is_dropped_is_closed_without_a_search_for_circles(
    chain: Chain,
) -> None:
    """After a ``break`` out of a bare ``async for``, the best that Python can do."""
    source = Recorded(range(5), hangs=True)
    gc.disable()
    try:
        async for _ in chain(Pipeline(source)):
            break
        for _ in range(20):
            await asyncio.sleep(0)
        assert source.closed == 1
        assert nothing_left()
    finally:
        gc.enable()


@each_step
async def test_leaving_the_first_pipeline_stops_the_one_that_reads(chain: Chain) -> None:
    source = Recorded(range(5), hangs=True)
    async with Pipeline(source) as p:
        reader = chain(p)
        await anext(reader)
    assert source.closed == 1
    assert nothing_left()
    with pytest.raises(StopAsyncIteration):
        await anext(reader)


@each_step
async def test_leaving_without_having_read_closes_the_source(chain: Chain) -> None:
    source = Recorded(range(5))
    async with chain(Pipeline(source)):
        pass
    assert (source.opened, source.closed) == (0, 1)


async def test_leaving_without_having_read_does_not_call_a_function_for_a_source() -> None:
    def source() -> AsyncIterator[int]:
        raise AssertionError("called")

    async with Pipeline(source).map(str):
        pass


@each_step
@pytest.mark.parametrize("as_generator", [False, True])
async def test_a_cancel_at_any_wait_closes_the_source_and_leaves_no_task(
    chain: Chain, as_generator: bool
) -> None:
    made: list[Recorded[int]] = []

    async def run() -> None:
        source = Recorded(range(4))
        made.append(source)
        whole = chain(Pipeline(lambda: generated(source)) if as_generator else Pipeline(source))
        async with whole as p:
            async for _ in p:
                await asyncio.sleep(0)

    def check() -> None:
        assert nothing_left()
        if made and made[-1].read:
            assert made[-1].closed == 1

    assert await cancelled_at_every_wait(run, check) > 4


async def test_a_second_cancel_while_it_closes_leaves_no_task() -> None:
    """Closing takes a few turns; whoever is in a hurry and cancels again still waits."""
    sources = [Recorded(range(9), hangs=True) for _ in range(3)]
    for turns in range(6):
        first, *others = sources = [Recorded(range(9), hangs=True) for _ in range(3)]
        task = asyncio.ensure_future(Pipeline(first).merge(*others).collect())
        await asyncio.gather(*(source.waiting.wait() for source in sources))
        task.cancel()
        for _ in range(turns):
            await asyncio.sleep(0)
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task
        assert nothing_left()


async def test_both_sides_of_a_merge_are_closed_when_neither_was_read() -> None:
    first, second = Recorded(range(3)), Recorded(range(3))
    async with Pipeline(first).merge(Pipeline(second).map(str)):
        pass
    assert (first.closed, second.closed) == (1, 1)


async def test_a_source_whose_closing_fails_says_so() -> None:
    class Broken(Recorded[int]):
        async def aclose(self) -> None:
            raise OSError("cannot close")

    for chain in (STEPS["none"], STEPS["merge"], STEPS["batch"]):
        with pytest.raises(OSError, match="cannot close"):
            async with chain(Pipeline(Broken(range(5), hangs=True))) as p:
                await anext(p)
        assert nothing_left()


# -- the ends ----------------------------------------------------------------------------


async def test_collect_is_bounded() -> None:
    assert await Pipeline(numbers(3)).collect(limit=3) == [0, 1, 2]
    source = Recorded(range(100))
    with pytest.raises(TooLarge):
        await Pipeline(source).collect(limit=3)
    assert (source.read, source.closed) == (4, 1)


async def test_text_joins_strings_and_bytes_cut_anywhere() -> None:
    assert await Pipeline(Recorded(["大模", "型"])).text() == "大模型"
    pieces = [bytes([byte]) for byte in "大模型 🙂".encode()]
    assert await Pipeline(Recorded(pieces)).text() == "大模型 🙂"


@pytest.mark.parametrize("broken", [b"\xff", b"ok \xe5\xa4"])
async def test_text_refuses_bytes_that_are_not_text(broken: bytes) -> None:
    with pytest.raises(UpstreamError, match="UTF-8"):
        await Pipeline(Recorded([b"ok", broken])).text()


async def test_text_of_events_is_that_of_the_answer() -> None:
    events: list[Event] = [
        Started(),
        Delta(reasoning="hm"),
        Delta(text="a"),
        Delta(text="b"),
        Finished(),
    ]
    assert await Pipeline(Recorded(events)).text() == "ab"


@pytest.mark.parametrize("last", [Failed(code="upstream_reset"), Cancelled(), Interrupted()])
async def test_text_of_a_reply_that_did_not_finish_is_an_error(last: Event) -> None:
    """What was cut off is never taken for a whole answer."""
    events: list[Event] = [Delta(text="half of"), last]
    with pytest.raises(UpstreamError) as error:
        await Pipeline(Recorded(events)).text()
    assert error.value.code in ("upstream_reset", "upstream_truncated")


async def test_text_is_bounded() -> None:
    assert await Pipeline(Recorded(["ab", "cd"])).text(limit=4) == "abcd"
    source = Recorded(["ab"] * 100)
    with pytest.raises(TooLarge):
        await Pipeline(source).text(limit=4)
    assert (source.read, source.closed) == (3, 1)


class Lines:
    """A stream of strings that takes ``most`` of them."""

    def __init__(self, most: int) -> None:
        self.most = most
        self.lines: list[str] = []

    def append(self, line: str) -> None:
        if len(self.lines) == self.most:
            raise StreamClosed("it is closed")
        self.lines.append(line)


async def test_append_to_appends_everything_and_counts() -> None:
    stream = Lines(5)
    assert await Pipeline(Recorded(range(3))).map(str).append_to(stream) == 3
    assert stream.lines == ["0", "1", "2"]


async def test_append_to_a_stream_that_closes_closes_the_source() -> None:
    source, stream = Recorded(range(10)), Lines(2)
    with pytest.raises(StreamClosed):
        await Pipeline(source).map(str).append_to(stream)
    assert stream.lines == ["0", "1"]
    assert (source.read, source.closed) == (3, 1)


async def test_append_to_keeps_what_came_before_an_error() -> None:
    stream = Lines(10)
    with pytest.raises(HubError):
        await Pipeline(Recorded(range(2), fails=HubError("no more"))).map(str).append_to(stream)
    assert stream.lines == ["0", "1"]


async def test_the_sentence_of_the_documentation_works() -> None:
    """The chain that the module's docstring shows."""
    stream: list[list[int]] = []
    count: list[int] = []

    def parse(chunk: Chunk) -> int:
        return int(chunk.data)

    async with Pipeline(Recorded([b"1\n2", b"\n3\n", b"4"])) as p:
        chain = p.frames(NDJSON()).map(parse).filter(lambda n: n != 2).tap(count.append)
        assert await chain.batch(2, within=PATIENCE).append_to(stream) == 2
    assert stream == [[1, 3], [4]]
    assert count == [1, 3, 4]
