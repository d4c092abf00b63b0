"""Every key of a TOML text is found on the line it stands on."""

from __future__ import annotations

import re
import tomllib
from collections.abc import Iterator
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from hub.config.toml_lines import Key, key_lines

CASES: dict[str, tuple[str, dict[Key, int]]] = {
    "nothing": ("", {}),
    "only a comment without a line end": ("# a = 1", {}),
    "plain keys": ("a = 1\nb = 2", {("a",): 1, ("b",): 2}),
    "blank lines and comments": ("\n# x = 1\n  a = 1 # b = 2\n\n\tc=3\n", {("a",): 3, ("c",): 5}),
    "Windows line ends": ("a = 1\r\n\r\nb = 2\r\n", {("a",): 1, ("b",): 3}),
    "a table": ("[t]\na = 1", {("t",): 1, ("t", "a"): 2}),
    "dotted keys": (
        "a.b = 1\na . c.d = 2",
        {("a",): 1, ("a", "b"): 1, ("a", "c"): 2, ("a", "c", "d"): 2},
    ),
    "a dotted header": (
        "\n[ a . b ]\nc = 1",
        {("a",): 2, ("a", "b"): 2, ("a", "b", "c"): 3},
    ),
    "a header after the table was implied": (
        "[a.b]\n[a]\nc = 1",
        {("a", "b"): 1, ("a",): 2, ("a", "c"): 3},
    ),
    "quoted keys": (
        '"a.b" = 1\n\'c"d\' = 2\n"\\u0065\\"" = 3\n"" = 4',
        {("a.b",): 1, ('c"d',): 2, ('e"',): 3, ("",): 4},
    ),
    "a quoted header": ('["a]b"."c"]\nd = 1', {("a]b",): 1, ("a]b", "c"): 1, ("a]b", "c", "d"): 2}),
    "numbers as keys": ("1.2 = 3", {("1",): 1, ("1", "2"): 1}),
    "arrays of tables": (
        "[[t]]\na = 1\n[[t]]\na = 2\n[t.u]\nb = 3\n[[t.v]]\n[[t.v]]\nc = 4",
        {
            ("t",): 1,
            ("t", 0): 1,
            ("t", 0, "a"): 2,
            ("t", 1): 3,
            ("t", 1, "a"): 4,
            ("t", 1, "u"): 5,
            ("t", 1, "u", "b"): 6,
            ("t", 1, "v"): 7,
            ("t", 1, "v", 0): 7,
            ("t", 1, "v", 1): 8,
            ("t", 1, "v", 1, "c"): 9,
        },
    ),
    "an inline table": (
        'a = { b = 1, "c.d" = { e = 2 }, f.g = "}" }\nh = {}',
        {
            ("a",): 1,
            ("a", "b"): 1,
            ("a", "c.d"): 1,
            ("a", "c.d", "e"): 1,
            ("a", "f"): 1,
            ("a", "f", "g"): 1,
            ("h",): 2,
        },
    ),
    "an array over many lines": (
        'a = [ # one\n  1,\n  "]", # ]\n\n  [[], [2]],\n  {\tb = 3 },\n]\nc = []',
        {
            ("a",): 1,
            ("a", 0): 2,
            ("a", 1): 3,
            ("a", 2): 5,
            ("a", 2, 0): 5,
            ("a", 2, 1): 5,
            ("a", 2, 1, 0): 5,
            ("a", 3): 6,
            ("a", 3, "b"): 6,
            ("c",): 8,
        },
    ),
    "strings that look like TOML": (
        'a = "[x] # \\" b = 1"\nc = \'# \\\'\nd = 1',
        {("a",): 1, ("c",): 2, ("d",): 3},
    ),
    "long strings": (
        'a = """\nx = 1 "" \\"""\n[y]"""""\nb = \'\'\'\n\'\'z = \\\n\'\'\'\'\'\nc = """"""\nd = 1',
        {("a",): 1, ("b",): 4, ("c",): 7, ("d",): 8},
    ),
    "times and numbers": (
        "a = 1979-05-27 07:32:00Z\nb = [1e3, -inf, 0xff, 07:32:00]",
        {("a",): 1, ("b",): 2, ("b", 0): 2, ("b", 1): 2, ("b", 2): 2, ("b", 3): 2},
    ),
}


@pytest.mark.parametrize("name", CASES)
def test_each_kind_of_key_has_its_line(name: str) -> None:
    text, lines = CASES[name]
    tomllib.loads(text)  # the case itself must be TOML
    assert key_lines(text) == lines


VALUES = st.sampled_from(
    [
        "1",
        "true",
        "1979-05-27 07:32:00",
        '"a = \\"1\\" # ]"',
        "'\\'",
        '"""\n[no]\nno = 1 \\""" ""\n"""""',
        "'''\n# ''no'' = \\\n'''''",
        "[]",
        "[\n 1, # ]\n [ [2], '''\n]''' ],\n]",
        "{ x = [ { y = 1 }, { y.z = 2 } ] }",
        "{}",
    ]
)
# Each name holds its own number, so that the line it stands on can be searched for.
NAMES = st.sampled_from(["key{}", "'key{}.x'", '"[key{}] = \\"#"', "key{} . sub", '"key{}"."\\t"'])
HEADERS = st.sampled_from(["[key{}]", "[[key{}]]", "[[many]] # key{}", "[ 'key{}' . deep ] # x"])
GAPS = st.sampled_from(["", "\n", "# [no]\n", "\n \t\n# no = '''\n"])
TAILS = st.sampled_from(["", " # = [", "\r"])


@st.composite
def texts(draw: st.DrawFn) -> str:
    lines = []
    number = 0
    for _ in range(draw(st.integers(0, 4))):
        lines.append(draw(GAPS) + draw(HEADERS).format(number))
        for name in draw(st.lists(NAMES, max_size=4)):
            number += 1
            lines.append(f"{draw(GAPS)} {name.format(number)} = {draw(VALUES)}{draw(TAILS)}")
        number += 1
    return "\n".join(lines) + "\n"


@given(texts())
def test_each_key_that_tomllib_reads_is_found_and_on_its_line(text: str) -> None:
    found = key_lines(text)
    assert set(found) == set(_keys(tomllib.loads(text)))
    lines = text.split("\n")
    for key, line in found.items():
        named = re.search(r"key[0-9]+", str(key[-1]))
        if named:
            assert re.search(rf"{named[0]}(?![0-9])", lines[line - 1])


def _keys(held: Any, key: Key = ()) -> Iterator[Key]:
    if isinstance(held, list):
        held = dict(enumerate(held))
    for name, value in held.items() if isinstance(held, dict) else ():
        yield (*key, name)
        yield from _keys(value, (*key, name))
