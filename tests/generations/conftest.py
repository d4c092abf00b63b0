"""Hubs that share a store."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest

from tests.support.fake_upstream import END, FakeUpstream, said
from tests.support.hub_node import Node, StartNode
from tests.support.shared_servers import SharedServer


@pytest.fixture
async def start(shared_server: SharedServer) -> AsyncIterator[StartNode]:
    """Start nodes; all are stopped in the end."""
    nodes: list[Node] = []

    async def started(*scripts: list[Any]) -> Node:
        upstream = FakeUpstream(*(scripts or ([said("Hel"), said("lo"), END],)))
        nodes.append(Node(shared_server, f"n{len(nodes)}", upstream))
        await nodes[-1].start()
        return nodes[-1]

    yield started
    for node in nodes:
        await node.stop()
    assert asyncio.all_tasks() == {asyncio.current_task()}, "every task is awaited"
