"""The public conformance suite of the Durable Streams Protocol, core and forks: all of it."""

from __future__ import annotations

import asyncio
import json
import os
from pathlib import Path
from typing import Any

import pytest

from tests.conftest import StartHub
from tests.support import npm
from tests.support.patience import patient

CORE_AND_FORKS = 332


async def verdict(start_hub: StartHub, store: str, report: Path) -> dict[str, Any]:
    running = await start_hub(
        # The suite asks whether a page of this origin may send If-None-Match.
        server={"origins": ["https://example.com"]},
        store={"url": store},
        streams={"long_poll_seconds": 0.5},
    )
    suite = await asyncio.create_subprocess_exec(
        *npm.command("node_modules/vitest/vitest.mjs"),
        "run",
        # Some of its tests compare bytes one by one, for seconds on a busy machine.
        "--testTimeout=60000",
        "--reporter=json",
        f"--outputFile={report}",
        cwd=npm.FOLDER,
        env={**os.environ, "STREAMHUB_URL": str(running.client.make_url("")).rstrip("/")},
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.STDOUT,
    )
    said, _ = await suite.communicate()
    return _read(report, said)


def _read(report: Path, said: bytes) -> dict[str, Any]:
    assert report.is_file(), said.decode()
    found: dict[str, Any] = json.loads(report.read_text("utf-8"))
    return found


@pytest.mark.timeout(patient(900))
async def test_every_test_of_the_suite_passes_with_every_store(
    start_hub: StartHub, tmp_path: Path
) -> None:
    """332 of 332; together, because the suite waits more than it works."""
    await asyncio.to_thread(npm.install)
    stores = {"memory": "memory:", "sqlite": f"sqlite:{tmp_path}/hub.db"}
    verdicts = await asyncio.gather(
        *(verdict(start_hub, url, tmp_path / f"{name}.json") for name, url in stores.items())
    )
    for name, found in zip(stores, verdicts, strict=True):
        failed = [
            test["fullName"]
            for file in found["testResults"]
            for test in file["assertionResults"]
            if test["status"] == "failed"
        ]
        assert not failed, name
        assert found["numPassedTests"] == CORE_AND_FORKS, name
