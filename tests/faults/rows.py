"""``python -m tests.faults.rows --rounds 20``: each row of the failure table, again and again.

The tests that docs/nodes.md names for its faults are run in rounds; what is random in them has
another seed in each. It prints how often those of each row have held, and the end of what a failure
has said. A fault that falls between two other steps on a busy machine is one more that was tried.
"""

from __future__ import annotations

import argparse
import os
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple
from xml.etree import ElementTree

from tests.docs.test_nodes import FAULTS, named_in

__all__ = ["Round", "table"]

ROOT = Path(__file__).parents[2]


class Round(NamedTuple):
    """What came of one: how often each test held, and how often it did not."""

    held: Counter[str]
    failed: Counter[str]


def run(number: int, tests: Iterable[str], workers: str) -> Round:
    """Run the tests once, with the seeds of a round."""
    with tempfile.TemporaryDirectory() as folder:
        report = Path(folder) / "report.xml"
        words = ["-n", workers, f"--junitxml={report}", "--timeout=900", *tests]
        done = subprocess.run(
            [sys.executable, "-m", "pytest", *words],
            cwd=ROOT,
            env={**os.environ, "STREAMHUB_TEST_ROUND": str(number)},
            capture_output=True,
            text=True,
        )
        if done.returncode:
            sys.stdout.write(f"{done.stdout[-20_000:]}\n")
        if not report.exists():
            raise SystemExit(f"pytest has not run the tests: {done.stderr}")
        return read(report.read_bytes())


def read(report: bytes) -> Round:
    """What a report of pytest's says."""
    held, failed = Counter[str](), Counter[str]()
    for case in ElementTree.fromstring(report).iter("testcase"):  # noqa: S314 - our own
        file = case.attrib["classname"].replace(".", "/")
        test = f"{file}.py::{case.attrib['name'].partition('[')[0]}"
        wrong = case.find("failure") is not None or case.find("error") is not None
        if case.find("skipped") is None:
            (failed if wrong else held)[test] += 1
    return Round(held, failed)


def table(rounds: Iterable[Round]) -> list[str]:
    """A line for each row: how often its tests have held, how often they have not, the fault."""
    held, failed = Counter[str](), Counter[str]()
    for one in rounds:
        held += one.held
        failed += one.failed
    lines = []
    for row in FAULTS:
        tests = named_in(row)
        sums = [sum(counts[test] for test in tests) for counts in (held, failed)]
        lines.append(f"{sums[0]:>5} {sums[1]:>4}  {row[0]}")
    return lines


def main() -> int:
    options = argparse.ArgumentParser(prog="python -m tests.faults.rows", description=__doc__)
    options.add_argument("--rounds", type=int, default=20, metavar="N")
    options.add_argument("--first", type=int, default=0, metavar="N", help="the first round")
    options.add_argument("--minutes", type=float, default=60.0, help="begin no other one after it")
    options.add_argument("--workers", default="auto", metavar="N", help="processes at a time")
    asked = options.parse_args()
    tests = sorted({test for row in FAULTS for test in named_in(row)})
    begun, rounds = time.monotonic(), list[Round]()
    for number in range(asked.first, asked.first + asked.rounds):
        if time.monotonic() - begun > asked.minutes * 60:
            break
        rounds.append(run(number, tests, asked.workers))
        failed = sum(rounds[-1].failed.values())
        said = f"round {number}: {sum(rounds[-1].held.values())} tests held, {failed} failed"
        print(f"{said}, {time.monotonic() - begun:.0f} s", flush=True)  # noqa: T201
    print("\n".join([" held fail  fault", *table(rounds)]))  # noqa: T201
    return int(any(one.failed for one in rounds))


if __name__ == "__main__":
    raise SystemExit(main())
