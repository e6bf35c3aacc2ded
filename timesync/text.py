"""Numbers and tables as people read them on a terminal."""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["age_text", "aligned", "offset_text", "size_text"]

# Largest first: the unit is the first whose value is at least 1 when rounded to three decimals.
UNITS = ((1.0, "s"), (1e-3, "ms"), (1e-6, "us"), (1e-9, "ns"))


def size_text(value_s: float) -> str:
    """A size in the unit that suits it, three decimals: "25.003 ms", "0.420 us"."""
    size = abs(value_s)
    for scale, unit in UNITS:
        if size >= 0.9995 * scale or unit == "ns":
            return f"{value_s / scale:.3f} {unit}"
    raise AssertionError("the last unit takes everything")


def offset_text(value_s: float) -> str:
    """A difference with its sign: "+25.003 ms"."""
    return ("" if value_s < 0 else "+") + size_text(value_s)


def age_text(age_s: float) -> str:
    """How long ago, in whole units: "3 s", "12 min", "5 h", "9 d"."""
    for limit_s, unit_s, unit in ((120.0, 1.0, "s"), (7200.0, 60.0, "min"), (172800.0, 3600.0, "h")):
        if age_s < limit_s:
            return f"{int(age_s / unit_s)} {unit}"
    return f"{int(age_s / 86400.0)} d"


def aligned(heads: Sequence[str], rows: Sequence[Sequence[str]], *, right: Sequence[str] = ()) -> Iterator[str]:
    """The lines of a table with its columns aligned; the columns named in `right` to the right."""
    widths = [max(len(row[column]) for row in (heads, *rows)) for column in range(len(heads))]
    for row in (heads, *rows):
        cells = (
            cell.rjust(width) if head in right else cell.ljust(width)
            for cell, width, head in zip(row, widths, heads, strict=True)
        )
        yield "  ".join(cells).rstrip()
