"""What a clock says, put forward instead of waited for."""

from __future__ import annotations

import asyncio
import time
from datetime import datetime, tzinfo
from typing import Any, Final

import pytest

from hub.access.shares import ShareAccess
from hub.auth.authenticator import Authenticator
from hub.auth.gate import Gate
from hub.auth.sessions import Sessions
from hub.auth.tickets import Tickets

__all__ = ["Clock"]

_TAKERS: Final[tuple[Any, ...]] = (Authenticator, Gate, Sessions, ShareAccess, Tickets)
"""Classes that are given a clock, or take `time.time`."""


class _Day(datetime):
    @classmethod
    def now(cls, tz: tzinfo | None = None) -> _Day:
        return cls.fromtimestamp(time.time(), tz)


class Clock:
    """The running loop's time and `time.time`, which pass as they do, and by leaps.

    What is due in a while can so be far enough off that no machine is too slow for what comes
    before it, and still come at once. It must be there before the hub is.
    """

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        loop = asyncio.get_running_loop()
        of_loop, of_day, self._ahead = loop.time, time.time, 0.0
        # It is never put back: the loop's timers would be late by as much.
        pytest.MonkeyPatch().setattr(loop, "time", lambda: of_loop() + self._ahead)
        monkeypatch.setattr(time, "time", lambda: of_day() + self._ahead)
        monkeypatch.setattr("jwt.api_jwt.datetime", _Day)
        for taker in _TAKERS:
            defaults = taker.__init__.__kwdefaults__
            for name in [name for name, default in defaults.items() if default is of_day]:
                monkeypatch.setitem(defaults, name, time.time)

    def leap(self, seconds: float) -> None:
        """Let so much time pass."""
        self._ahead += seconds
