"""The seeds of tests that do something at random: others for each round of ``make soak``."""

from __future__ import annotations

import os

__all__ = ["seeds"]


def seeds(count: int) -> range:
    """So many seeds; ``STREAMHUB_TEST_ROUND=3`` gives those of the fourth round."""
    first = int(os.environ.get("STREAMHUB_TEST_ROUND", "0")) * count
    return range(first, first + count)
