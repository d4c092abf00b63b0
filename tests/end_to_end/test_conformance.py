"""The public conformance suite of the Durable Streams Protocol, core and forks: all of it."""

from __future__ import annotations

import asyncio
import json
import os
import re
from pathlib import Path
from typing import Any

import pytest
from yarl import URL

from tests.conftest import StartHub
from tests.support import npm
from tests.support.alternating_proxy import alternating
from tests.support.patience import patient
from tests.support.redis_server import RedisServer

CORE_AND_FORKS = 332

SECOND = re.compile(r"TTL|expir", re.IGNORECASE)
"""Tests that get a second chance, alone: those that give a stream two seconds to live, which a busy
machine may need for what the test does meanwhile."""


async def started(start_hub: StartHub, store: str, **options: str) -> URL:
    """The address of a hub with this store."""
    running = await start_hub(
        # The suite asks whether a page of this origin may send If-None-Match.
        server={"origins": ["https://example.com"]},
        store={"url": store, **options},
        streams={"long_poll_seconds": 0.5},
    )
    return running.client.make_url("")


async def verdict(url: URL, report: Path, *only: str) -> dict[str, Any]:
    """What the suite, or some tests of it, says of the hub at an address."""
    suite = await asyncio.create_subprocess_exec(
        *npm.command("node_modules/vitest/vitest.mjs"),
        "run",
        # Some of its tests compare bytes one by one, for seconds on a busy machine.
        "--testTimeout=60000",
        "--reporter=json",
        f"--outputFile={report}",
        *(("-t", "|".join(map(re.escape, only))) if only else ()),
        cwd=npm.FOLDER,
        env={**os.environ, "STREAMHUB_URL": str(url).rstrip("/")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await suite.communicate()
    return _read(report, said)


def _read(report: Path, said: bytes) -> dict[str, Any]:
    assert report.is_file(), said.decode()
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return found


def failures(found: dict[str, Any]) -> dict[str, str]:
    """The tests that failed, and why."""
    return {
        test["fullName"]: "\n".join(test["failureMessages"])[:500]
        for file in found["testResults"]
        for test in file["assertionResults"]
        if test["status"] == "failed"
    }


async def check(urls: dict[str, URL], folder: Path) -> None:
    """All tests of the suite pass with each of these hubs.

    They are asked together, because the suite waits more than it works; and again one by one.
    """
    first = await asyncio.gather(
        *(verdict(url, folder / f"{name}.json") for name, url in urls.items())
    )
    for (name, url), found in zip(urls.items(), first, strict=True):
        failed = failures(found)
        assert found["numPassedTests"] == CORE_AND_FORKS - len(failed), name
        late = [test for test in failed if SECOND.search(test)]
        assert len(late) == len(failed), (name, failed)
        if late:
            again = await verdict(url, folder / f"{name}-again.json", *late)
            assert failures(again) == {}, name
            assert again["numPassedTests"] >= len(late), name


@pytest.mark.timeout(patient(900))
async def test_every_test_of_the_suite_passes_with_every_store(
    start_hub: StartHub, tmp_path: Path
) -> None:
    """332 of 332."""
    await asyncio.to_thread(npm.install)
    stores = {"memory": "memory:", "sqlite": f"sqlite:{tmp_path}/hub.db"}
    await check({name: await started(start_hub, url) for name, url in stores.items()}, tmp_path)


@pytest.mark.timeout(patient(900))
async def test_every_test_of_the_suite_passes_over_one_hub_and_over_two_in_turn(
    start_hub: StartHub, tmp_path: Path, redis_server: RedisServer
) -> None:
    """Each request of a test goes to another hub than the one before."""
    await asyncio.to_thread(npm.install)
    # The suite names its streams by the millisecond, and it runs twice at once.
    alone, *hubs = [
        await started(start_hub, f"redis://127.0.0.1:{redis_server.port}", prefix=prefix)
        for prefix in ("one:", "two:", "two:")
    ]
    async with alternating(hubs) as both:
        await check({"one": alone, "two": both}, tmp_path)
