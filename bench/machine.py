"""The machine that the figures are true for."""

from __future__ import annotations

import os
import platform
import re
from pathlib import Path

__all__ = ["describe", "stolen"]


def describe() -> str:
    """The CPU's name and number, the kernel and the Python, in a line."""
    found = re.search(r"^model name\s*: (.+)$", Path("/proc/cpuinfo").read_text(), re.MULTILINE)
    model = found[1] if found else platform.machine()
    python = f"{platform.python_implementation()} {platform.python_version()}"
    return f"{model}, {os.cpu_count()} CPUs · {platform.system()} {platform.release()} · {python}"


def stolen() -> tuple[int, int]:
    """Ticks of all CPUs so far: what the hypervisor gave to others, and all that was wanted."""
    first = Path("/proc/stat").read_text().split("\n", 1)[0]
    user, nice, system, _idle, _wait, irq, softirq, steal, *_ = map(int, first.split()[1:])
    return steal, user + nice + system + irq + softirq + steal
