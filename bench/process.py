"""A process of its own, with which one talks in lines of JSON; its CPU time and memory. Linux."""

from __future__ import annotations

import json
import os
import re
import resource
import select
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from types import TracebackType
from typing import Any, Self

__all__ = [
    "PROJECT",
    "Process",
    "ahead",
    "cpu_ns",
    "memory_bytes",
    "open_files",
    "pin",
    "waited_ns",
]

ANSWER_SECONDS = 120.0
STOP_SECONDS = 5.0
PROJECT = Path(__file__).parents[1]


class Process:
    """A child on one CPU, in a folder of the project's files; leaving the context ends it.

    Raises:
        RuntimeError: it ended, or said nothing for `ANSWER_SECONDS`; with what it wrote to
            standard error.
    """

    def __init__(self, command: Sequence[str], cpu: int, folder: Path = PROJECT) -> None:
        self._command = command
        self._complaints = tempfile.TemporaryFile()  # noqa: SIM115  closed in stop()
        self._child = subprocess.Popen(
            command,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._complaints,
            cwd=folder,
            env={**os.environ, "PYTHONPATH": str(folder)},
        )
        self.pid = self._child.pid
        pin(cpu, self.pid)

    @classmethod
    def module(cls, name: str, cpu: int) -> Self:
        """A Python module of this project, on this interpreter."""
        return cls([sys.executable, "-m", name], cpu)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self.stop()

    def tell(self, **said: Any) -> None:
        """Write one line; `hear` will tell if nobody is there to read it."""
        assert self._child.stdin is not None
        with suppress(BrokenPipeError):
            self._child.stdin.write(json.dumps(said).encode() + b"\n")
            self._child.stdin.flush()

    def hear(self) -> dict[str, Any]:
        """Read one line."""
        assert self._child.stdout is not None
        answered = select.poll()
        answered.register(self._child.stdout, select.POLLIN)
        line = self._child.stdout.readline() if answered.poll(ANSWER_SECONDS * 1000) else b""
        if not line:
            self._complaints.seek(0)
            complaints = self._complaints.read().decode(errors="replace").strip()
            raise RuntimeError(f"{' '.join(self._command)} gave no answer: {complaints}")
        heard: dict[str, Any] = json.loads(line)
        return heard

    def stop(self) -> None:
        """Ask it to end, make it end; safe to call again."""
        self._child.terminate()
        try:
            self._child.wait(STOP_SECONDS)
        except subprocess.TimeoutExpired:
            self._child.kill()
            self._child.wait()
        for opened in (self._child.stdin, self._child.stdout, self._complaints):
            if opened is not None:
                opened.close()


def pin(cpu: int, pid: int) -> None:
    """Keep a process on one of the CPUs that this one may use, counted round."""
    allowed = sorted(os.sched_getaffinity(0))
    os.sched_setaffinity(pid, {allowed[cpu % len(allowed)]})


@contextmanager
def ahead(pids: Sequence[int]) -> Iterator[None]:
    """Meanwhile these processes run before all others, where this one may say so."""
    threads = [int(task.name) for pid in pids for task in Path(f"/proc/{pid}/task").iterdir()]
    with suppress(PermissionError):
        for thread in threads:
            os.sched_setscheduler(thread, os.SCHED_FIFO, os.sched_param(1))
    try:
        yield
    finally:
        for thread in threads:
            with suppress(ProcessLookupError, PermissionError):
                os.sched_setscheduler(thread, os.SCHED_OTHER, os.sched_param(0))


def cpu_ns(pid: int) -> int:
    """CPU time of all threads of a process, user and system, in nanoseconds.

    It is utime + stime of proc_pid_stat(5) without its rounding to 10 ms: the clock that
    clock_getcpuclockid(3) gives.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def waited_ns(pid: int) -> int:
    """How long a process was ready to run while others had its CPU, in nanoseconds.

    The second figure of /proc/PID/schedstat (kernel, Documentation/scheduler/sched-stats),
    of all threads.
    """
    threads = Path(f"/proc/{pid}/task").glob("*/schedstat")
    return sum(int(thread.read_text().split()[1]) for thread in threads)


def memory_bytes(pid: int) -> int:
    """The proportional set size: its own memory, and its part of what it shares."""
    table = Path(f"/proc/{pid}/smaps_rollup").read_text()
    found = re.search(r"^Pss:\s+(\d+) kB", table, re.MULTILINE)
    assert found is not None
    return int(found[1]) * 1024


def open_files() -> int:
    """Raise the limit of open files, here and for children, as far as allowed; how far."""
    _, most = resource.getrlimit(resource.RLIMIT_NOFILE)
    resource.setrlimit(resource.RLIMIT_NOFILE, (most, most))
    return most
