"""A deadline for each of many waits in a row, for the price of one timer.

It does what `asyncio.timeout` does, by the same rules. But creating and discarding a timer for
every read of an upstream costs as much as all other handling of that read. So here one timer stays,
and is set again when it fires too early.
"""

from __future__ import annotations

import asyncio
from math import inf
from typing import Final

__all__ = ["ReadDeadline"]

NEVER: Final = inf


class ReadDeadline:
    """Cancels the waiting task when its time is up; for one wait at a time.

    ::

        deadline.set(seconds)
        try:
            await what_may_take_too_long()
        except asyncio.CancelledError:
            if deadline.stop():
                raise TimeoutError from None
            raise
        finally:
            deadline.stop()

    Setting it again without a stop begins the next wait.
    """

    __slots__ = ("_cancels", "_due", "_fired", "_fires_at", "_loop", "_task", "_timer")

    def __init__(self) -> None:
        self._loop = asyncio.get_running_loop()
        self._timer: asyncio.TimerHandle | None = None
        self._fires_at = NEVER
        self._task: asyncio.Task[object] | None = None
        self._due = NEVER
        self._cancels = 0
        self._fired = False

    def set(self, seconds: float) -> None:
        """Let the current task wait for so many seconds from now on."""
        if self._task is None:
            task = self._task = asyncio.current_task()
            if task is None:
                raise RuntimeError("a deadline is set by a task")
            self._cancels = task.cancelling()
        due = self._due = self._loop.time() + seconds
        if due < self._fires_at:
            self._start_timer(due)

    def stop(self) -> bool:
        """End the wait; true if only this deadline has cancelled it."""
        task, self._task = self._task, None
        if task is None or not self._fired:
            return False
        self._fired = False
        return task.uncancel() <= self._cancels

    def close(self) -> None:
        """Stop, and cancel the timer."""
        self.stop()
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None
            self._fires_at = NEVER

    def _start_timer(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._fires_at = due
        self._timer = self._loop.call_at(due, self._fire)

    def _fire(self) -> None:
        self._timer = None
        self._fires_at = NEVER
        if self._task is None:
            return  # nobody waits: the next wait starts a new timer
        if self._loop.time() < self._due:
            self._start_timer(self._due)
        else:
            self._fired = True
            self._task.cancel()
