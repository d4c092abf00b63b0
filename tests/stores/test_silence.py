"""Others are given up for their silence, and not for a pause of one's own."""

from __future__ import annotations

import asyncio
import time

import pytest

from hub.domain.errors import StoreError
from hub.stores.silence import sign_of_life
from tests.support.patience import PATIENCE


async def test_a_pause_of_this_process_is_no_silence() -> None:
    loop = asyncio.get_running_loop()
    heard = asyncio.Event()

    async def answered() -> None:
        await asyncio.sleep(0)
        time.sleep(0.2)  # noqa: ASYNC251 - nothing else runs
        loop.call_soon(loop.call_soon, heard.set)  # what it takes to ask and to be answered
        await heard.wait()

    await sign_of_life(answered(), within=0.15)


async def test_silence() -> None:
    never = asyncio.Event().wait()
    with pytest.raises(TimeoutError):
        await sign_of_life(never, within=0.01)


async def test_whoever_waits_is_told_what_went_wrong() -> None:
    async def broken() -> None:
        raise StoreError("it is lost")

    with pytest.raises(StoreError, match="it is lost"):
        await sign_of_life(broken(), within=PATIENCE)


async def test_a_wait_that_is_cancelled_leaves_nothing() -> None:
    waiting = asyncio.create_task(sign_of_life(asyncio.Event().wait(), within=PATIENCE))
    await asyncio.sleep(0)
    waiting.cancel()
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert asyncio.all_tasks() == {asyncio.current_task()}
