"""`convstore thread`: everything that was said from the root to an exchange."""

import click
from rich.console import Console
from rich.text import Text

from convstore.cli import door, exchange, given, terminal
from convstore.cli.door import Place
from convstore.cli.exchange import Node


@click.command()
@click.argument("name", metavar="ID", callback=given.name)
@click.option("--headers", is_flag=True, help="Only figures and first lines.")
@given.at_a_door
def thread(place: Place, name: str, headers: bool, as_json: bool) -> None:
    """Show what was said from the root to an exchange.

    ID: of the exchange, or a branch that points at it.
    """
    with door.opened(place) as there:
        found = door.exchanges(there, name, items=not headers)
        if as_json:
            terminal.print_json({"object": "list", "data": list(found)})
            return
        console = terminal.console()
        for node in found:
            show(console, node)


def show(console: Console, node: Node) -> None:
    """One exchange; with its items, if they are there. Their words stand behind a bar, so none looks like ours."""
    if "input" not in node:
        console.print(exchange.line(node, full_id=True), no_wrap=True, overflow="ellipsis")
        return
    head = exchange.line({**node, "question": None, "answer": None}, full_id=True)
    console.print(Text().append("● ", "green").append_text(head), soft_wrap=True)
    for side, style in (("input", "cyan"), ("output", "")):
        for item in node[side]:
            who, words = exchange.said(item)
            label = terminal.line(who).plain
            for line in terminal.lines(words):
                console.print(Text().append(f"  {label:>10} │ ", "dim").append(line, style), soft_wrap=True)
                label = ""
    console.print()
