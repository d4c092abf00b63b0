"""When a worker is started again or ends by itself, and what is said of one that ended."""

from __future__ import annotations

import asyncio
import socket
from unittest.mock import Mock

import pytest

from hub.server.serve import Signals
from hub.server.worker import LEAVE, READY, obey
from hub.server.workers import Backoff, Worker, ended_by
from tests.support.patience import PATIENCE


def test_a_worker_that_keeps_dying_is_started_ever_later_up_to_a_bound() -> None:
    backoff = Backoff()
    waits = [backoff.wait(0.0) for _ in range(10)]
    assert waits[:4] == [0.1, 0.2, 0.4, 0.8]
    assert waits[-1] == Backoff.LONGEST
    assert waits == sorted(waits)


def test_one_that_served_well_is_started_again_at_once() -> None:
    backoff = Backoff()
    for _ in range(10):
        backoff.wait(0.0)
    assert backoff.wait(Backoff.WELL) == 0.0
    assert backoff.wait(0.0) == Backoff.FIRST


@pytest.mark.parametrize(
    ("code", "said"),
    [
        (0, "exited with code 0"),
        (3, "exited with code 3"),
        (-9, "was killed by SIGKILL"),
        (-200, "was killed by signal 200"),
    ],
)
def test_how_a_process_ended(code: int, said: str) -> None:
    assert ended_by(code) == said


@pytest.mark.parametrize("unread", [b"", READY])
async def test_a_worker_whose_parent_dies_ends_whatever_that_has_read(unread: bytes) -> None:
    parents, its = socket.socketpair()
    signals = Mock(Signals)
    with its:
        its.setblocking(False)
        its.sendall(unread)
        parents.close()
        await asyncio.wait_for(obey(its, signals), PATIENCE)
    signals.abandon.assert_called_once_with()


async def test_a_worker_that_drains_already_is_not_told_again_which_would_end_it() -> None:
    process, control = Mock(asyncio.subprocess.Process), Mock(asyncio.StreamWriter)
    worker = Worker("worker-1", process, (Mock(asyncio.StreamReader), control))
    worker.leave(heirs=True)
    worker.leave(heirs=False)
    control.write.assert_called_once_with(LEAVE)
    process.send_signal.assert_not_called()
