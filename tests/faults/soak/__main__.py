"""``python -m tests.faults.soak --minutes 60 --seed 7``."""

from __future__ import annotations

import argparse
import asyncio
import random
import signal
import sys
import tempfile
from pathlib import Path

from tests.faults.soak.soak import Plan, Soak


def main() -> int:
    options = argparse.ArgumentParser(description="Do everything to a hub at once, for long.")
    options.add_argument("--minutes", type=float, default=60.0)
    options.add_argument("--readers", type=int, default=200)
    options.add_argument("--seed", type=int, default=random.randrange(10**6))  # noqa: S311
    asked = options.parse_args()
    plan = Plan(asked.seed, seconds=asked.minutes * 60, readers=asked.readers)
    print(f"seed {plan.seed}, {asked.minutes:g} minutes …", flush=True)  # noqa: T201
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    with tempfile.TemporaryDirectory() as folder:
        soak = Soak(plan, Path(folder))
        try:
            asyncio.run(soak.run())
        finally:
            print(soak.report(), flush=True)  # noqa: T201
    return not soak.clean


if __name__ == "__main__":
    sys.exit(main())
