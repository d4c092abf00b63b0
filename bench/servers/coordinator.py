"""A coordinator for `bench.workers`: its folder is the argument."""

from __future__ import annotations

import asyncio
import json
import sys
from pathlib import Path

import uvloop

from hub.stores.coordinator.server import Coordinator
from hub.stores.sqlite.sequenced import SequencedSQLiteStore

__all__ = ["FILE", "SOCKET"]

FILE = "hub.db"
SOCKET = "hub.db.coordinator"


async def main(folder: Path) -> None:
    store = SequencedSQLiteStore(folder / FILE)
    coordinator = Coordinator(store, folder / SOCKET)
    await coordinator.start()
    sys.stdout.write(json.dumps({"ready": True}) + "\n")
    sys.stdout.flush()
    await asyncio.Event().wait()


if __name__ == "__main__":
    uvloop.run(main(Path(sys.argv[1])))
