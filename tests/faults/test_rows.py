"""What a soak says of the rows of the failure table is what pytest has reported."""

from __future__ import annotations

from tests.docs.test_nodes import FAULTS, named_in
from tests.faults.rows import read, table

FIRST, *_ = named_in(FAULTS[0])

REPORT = """<testsuites><testsuite>
<testcase classname="{module}" name="{test}[redis]" />
<testcase classname="{module}" name="{test}[valkey]"><failure message="no">no</failure></testcase>
<testcase classname="{module}" name="{test}"><error message="no">no</error></testcase>
<testcase classname="{module}" name="{test}"><skipped /></testcase>
</testsuite></testsuites>"""


def test_each_row_has_the_sums_of_its_tests() -> None:
    file, _, test = FIRST.partition("::")
    module = file.removesuffix(".py").replace("/", ".")
    one = read(REPORT.format(module=module, test=test).encode())
    assert (one.held[FIRST], one.failed[FIRST]) == (1, 2)
    lines = table([one, one])
    assert len(lines) == len(FAULTS)
    assert lines[0].split(maxsplit=2) == ["2", "4", FAULTS[0][0]]
