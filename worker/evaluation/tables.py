"""The table that everybody looks at first, for the terminal and for the page."""

from collections.abc import Callable
from html import escape
from typing import Any, TypeAlias

from rich.table import Table

CELLS = (
    ("A", "mixed", 4), ("A", "mixed", 8), ("A", "mixed", 16), ("B", "mixed", 8), ("B", "mixed", 32),
    ("C", "jumped", 8), ("C", "jumped", 16),
)  # fmt: skip

_Row: TypeAlias = dict[str, Any]
_Lines: TypeAlias = tuple[list[str], list[list[str]]]


def misses_table(rows: list[_Row]) -> _Lines:
    """Header and lines: misses relative to norm^8 at FAR 1e-3 and 1e-4, mean of folds and seeds, by system."""

    def told(row: _Row | None) -> str:
        relative = row["miss_relative_to"]["norm8"] if row else {}
        return " / ".join(number(relative.get(far)) for far in ("1e-3", "1e-4"))

    return by_system(rows, told)


def intervals_table(rows: list[_Row]) -> _Lines:
    """Header and lines: the 95 % interval of the miss relative to norm^8 at FAR 1e-3, by system."""

    def told(row: _Row | None) -> str:
        bounds = row["ci95"]["miss_relative_to"]["norm8"]["1e-3"] if row else [None, None]
        return "–".join(number(bound) for bound in bounds) if bounds[0] is not None else "–"

    return by_system(rows, told)


def open_set_table(rows: list[_Row]) -> _Lines:
    """Header and lines: FNIR at FPIR 1 %, folds pooled, mean of seeds, by system."""
    return by_system(rows, lambda row: number(row["fnir_at_fpir"]["1e-2"], 3) if row else "–")


def terminal_table(title: str, table: _Lines) -> Table:
    """For rich."""
    drawn = Table(title=title, title_justify="left")
    for number_of, name in enumerate(table[0]):
        drawn.add_column(name, justify="right" if number_of else "left", no_wrap=True)
    for line in table[1]:
        drawn.add_row(*line)
    return drawn


def ece_table(told: dict[str, Any]) -> _Lines:
    """The probability's expected calibration error by set and frames, of ``probability`` as in metrics.json."""
    keys = [name.split("-") for name in told["ece_by_set"]]
    sets, lengths = dict.fromkeys(kind for kind, _ in keys), dict.fromkeys(length for _, length in keys)
    errors = told["ece_by_set"]
    lines = [[kind, *(number(errors.get(f"{kind}-{length}"), 4) for length in lengths)] for kind in sets]
    return ["set", *(f"T={length}" for length in lengths)], lines


def html_table(table: _Lines) -> str:
    """Header and lines as HTML."""
    head = "".join(f"<th>{escape(name)}</th>" for name in table[0])
    body = "".join("<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in line) + "</tr>" for line in table[1])
    return f'<div class="scroll"><table><thead><tr>{head}</tr></thead><tbody>{body}</tbody></table></div>'


def markdown_table(table: _Lines, aligned: str = "---") -> str:
    """Header and lines as Markdown; ``aligned`` is the rule under every column but the first."""
    head, lines = table
    rows = [head, ["---", *[aligned] * (len(head) - 1)], *lines]
    return "\n".join("| " + " | ".join(cells) + " |" for cells in rows)


def number(value: float | None, digits: int = 2) -> str:
    """Or a dash where there is none."""
    return "–" if value is None else f"{value:.{digits}f}"


def by_system(rows: list[_Row], told: Callable[[_Row | None], str]) -> _Lines:
    """Header, and a line for each system, of what is told of its row in each of the cells; None where it has none."""
    whole = _whole(rows)
    head = ["", *(f"{kind}, T={length}" for kind, _, length in CELLS)]
    systems = dict.fromkeys(row["aggregator"] for row in rows)
    return head, [[system, *(told(whole.get((system, *cell))) for cell in CELLS)] for system in systems]


def _whole(rows: list[_Row]) -> dict[tuple[str, str, str, int], _Row]:
    return {
        (row["aggregator"], row["set"], row["condition"], row["T"]): row
        for row in rows
        if row["fold"] == "all" and row["photos"] == 1
    }
