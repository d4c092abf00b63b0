"""``streamhub`` on a disk that takes ``SLOW_DISK_SECONDS`` for every ``fsync``.

The store commits with ``synchronous = FULL``: a ``COMMIT`` is the writing and its ``fsync``, and
takes that long here. Killed meanwhile, the hub has lost what readers were sent since the last.
"""

from __future__ import annotations

import os
import time
from typing import Any

import hub.stores.sqlite.store
from hub.cli import main
from hub.stores.sqlite.writer import Writer

SECONDS = float(os.environ["SLOW_DISK_SECONDS"])


class SlowWriter(Writer):
    def _run(self, statement: str, *values: Any) -> None:
        if statement == "COMMIT":
            time.sleep(SECONDS)
        super()._run(statement, *values)


hub.stores.sqlite.store.Writer = SlowWriter  # type: ignore[attr-defined]  # the disk of a test

main()
