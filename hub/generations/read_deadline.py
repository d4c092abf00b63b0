"""An alarm: an end to each of many waits in a row, at the price of one timer.

It does what `asyncio.timeout` does, by the same rules. But a timer made and thrown away
for every read of an upstream costs as much as all the rest of handling that read; so here
the one timer stays, and when it goes off too early it is set again.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final

__all__ = ["ReadDeadline"]

NEVER: Final = inf


class ReadDeadline:
    """Cancels the task that waits when its time is up; for one wait at a time.

    ::

        alarm.set(seconds)
        try:
            await what_may_take_too_long()
        except asyncio.CancelledError:
            if alarm.stop():
                raise TimeoutError from None
            raise
        finally:
            alarm.stop()

    Set again without a stop it is put off: what was waited for has come, and more is to come.
    """

    __slots__ = ("_at", "_cancels", "_due", "_loop", "_rang", "_task", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._at = NEVER
        """When the timer goes off."""
        self._task: asyncio.Task[object] | None = None
        self._due = NEVER
        self._cancels = 0
        self._rang = False

    def set(self, seconds: float) -> None:
        """The current task begins to wait, for so long at most; or goes on to, from now on."""
        if self._task is None:
            task = self._task = asyncio.current_task()
            if task is None:
                raise RuntimeError("an alarm is set by a task")
            self._cancels = task.cancelling()
        due = self._due = self._loop.time() + seconds
        if due < self._at:
            self._go_off_at(due)

    def stop(self) -> bool:
        """The wait is over; true if nothing but this alarm has cancelled it."""
        task, self._task = self._task, None
        if task is None or not self._rang:
            return False
        self._rang = False
        return task.uncancel() <= self._cancels

    def close(self) -> None:
        """Stop, and give the timer back."""
        self.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._at = NEVER

    def _go_off_at(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._at = due
        self._timer = self._loop.call_at(due, self._look)

    def _look(self) -> None:
        self._timer = None
        self._at = NEVER
        if self._task is None:
            return  # nobody waits: the next to do so sets a new timer
        if self._loop.time() < self._due:
            self._go_off_at(self._due)
        else:
            self._rang = True
            self._task.cancel()
