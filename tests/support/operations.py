"""How much Python a piece of work takes, counted and not timed."""

from __future__ import annotations

import sys
from collections.abc import Callable
from types import FrameType
from typing import Any

__all__ = ["calls_of", "is_linear", "operations"]


def operations(work: Callable[[], object]) -> int:
    """The bytecode instructions that ``work`` executes."""
    count = 0

    def trace(frame: FrameType, event: str, _: Any) -> Any:
        nonlocal count
        frame.f_trace_opcodes = True
        count += event == "opcode"
        return trace

    before = sys.gettrace()
    sys.settrace(trace)
    try:
        work()
    finally:
        sys.settrace(before)
    return count


def is_linear(work: Callable[[int], object], size: int = 100) -> bool:
    """Whether ``work`` on four times as much takes about four times the instructions."""
    work(size)  # what happens once
    return operations(lambda: work(4 * size)) < 6 * operations(lambda: work(size))


def calls_of(name: str, work: Callable[[], object]) -> int:
    """How often ``work`` calls built-in functions of this name."""
    count = 0

    def profile(_: FrameType, event: str, called: Any) -> None:
        nonlocal count
        count += event == "c_call" and called.__name__ == name

    before = sys.getprofile()
    sys.setprofile(profile)
    try:
        work()
    finally:
        sys.setprofile(before)
    return count
