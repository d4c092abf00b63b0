"""Hubs in processes of their own, which a test starts."""

from __future__ import annotations

from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from tests.support.hub_processes import Hubs
from tests.support.redis_server import RedisServer


@pytest.fixture
async def hubs(tmp_path: Path, redis_server: RedisServer) -> AsyncIterator[Hubs]:
    """Starts hubs on one Redis; all are stopped at the end."""
    async with Hubs(tmp_path, redis_server) as started:
        yield started
