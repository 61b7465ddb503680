"""Tables on standard output, for people and for pipes."""

import sys

from rich.console import Console
from rich.table import Table

# Wider than any row: names have 255 characters at most.
UNFOLDED = 4096


def show(table: Table) -> None:
    """Print a table: folded to the terminal's width, or whole where standard output is no terminal."""
    width = None if sys.stdout.isatty() else UNFOLDED
    # Without markup: a name in brackets is a name.
    Console(width=width, markup=False, emoji=False).print(table)
