"""The table, the bars and the machine, for people."""

from __future__ import annotations

from collections.abc import Mapping

from rich import box
from rich.console import Console
from rich.table import Table

from bench.results import Bar, Figure, Results, Row

__all__ = ["show"]

BUSY = 0.95  # of its CPU: from here on the load generator was the bottleneck

COLUMNS = (
    "server (× floor)",
    "CPU µs/delivery",
    "in bursts of 20",
    "deliveries/s",
    "p50 ms",
    "p99 ms",
    "rate kept",
    "KiB/idle conn.",
    "lost+doubled",
)


def show(results: Results, titles: Mapping[str, str], console: Console) -> None:
    """Print the table, the bars and who gave up, as Markdown."""
    table = Table(*COLUMNS, box=box.MARKDOWN)
    table.columns[0].no_wrap = True
    for column in table.columns[1:]:
        column.justify = "right"
    for server in results.servers():
        table.add_row(*cells(results.row(server), titles))
    console.print(table)
    console.print(bars(results.bars()))
    for name, why in results.failures.items():
        console.print(f"{titles[name]} gave up: {why}", style="red", markup=False)


def cells(row: Row, titles: Mapping[str, str]) -> tuple[str, ...]:
    """A row as it is shown; ``–`` where nothing was measured."""
    limited = "*" if (row.client or 0) > BUSY else ""
    return (
        titles.get(row.server, row.server),
        _shown(row.cpu_us, ".1f"),
        _shown(row.burst_cpu_us, ".2f"),
        _shown(row.per_second, ",.0f") + limited,
        _shown(row.p50_ms, ",.0f"),
        _shown(row.p99_ms, ",.0f"),
        "–" if row.kept.value is None else f"{row.kept.value:.0%}",
        _shown(row.memory_kib, ".1f"),
        str(row.lost + row.doubled),
    )


def bars(promised: list[Bar]) -> Table:
    """What the hub has to reach, and whether it did."""
    table = Table("bar for the hub", "measured", "limit", "", box=box.MARKDOWN)
    for bar in promised:
        sign = "≥" if bar.least else "≤"
        measured = "–" if bar.measured is None else f"{bar.measured:.4g} {bar.unit}"
        if bar.floor is not None:
            measured += f" (floor {bar.floor:.4g})"
        verdict = {None: "not measured", True: "[green]pass", False: "[red]FAIL"}[bar.passed]
        table.add_row(bar.promise, measured, f"{sign} {bar.limit:g} {bar.unit}", verdict)
    return table


def _shown(figure: Figure, form: str) -> str:
    if figure.value is None:
        return "–"
    ratio = "" if figure.ratio is None else f"  ×{figure.ratio:.2f}"
    return f"{figure.value:{form}}{ratio}"
