"""A short soak: everything at once, for some seconds. The long one is ``make soak``."""

from __future__ import annotations

from pathlib import Path

from tests.faults.soak.load import Counts
from tests.faults.soak.soak import Plan, Soak

SHORT = Plan(
    seed=9,
    seconds=6.0,
    readers=40,
    counts=Counts(w=2, p=2, t=2, c=3, forks=5, chain=10, cold=150),
    between=1.5,
    troubles=("kill", "stop", "halt", "slow", "full"),
)


async def test_every_promise_holds_while_everything_goes_wrong_at_once(tmp_path: Path) -> None:
    """P1 to P5, P7 to P9, P11 and P12; another seed, and an hour, are for ``make soak``."""
    soak = Soak(SHORT, tmp_path)
    await soak.run()
    assert soak.clean, soak.report()
    told = soak.told.figures
    for figure in ("appends acknowledged", "forks", "generations begun", "expiries", "races"):
        assert told[figure], soak.report()
