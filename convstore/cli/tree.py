"""`convstore tree`: a conversation, as a tree on the terminal.

As `git log --graph` does: what has one parent and one child stands below its parent, only forks go to the right. So a
thread of thousands of turns is as wide as one of two.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any

import click
from rich.text import Text
from rich.tree import Tree

from convstore import ids
from convstore.cli import door, exchange, given, tables, terminal
from convstore.cli.door import Json, Place
from convstore.cli.exchange import Node

# What a fork adds to the left of a line.
INDENT = 4


@click.command()
@click.argument("name", metavar="ID", callback=given.name)
@click.option("--from-here", is_flag=True, help="Only what hangs below this exchange or branch, itself included.")
@click.option("--depth", type=click.IntRange(0, 2**31 - 1), metavar="N", help="Only N levels below the top.")
@click.option("--full-ids", is_flag=True, help="Ids that other commands take, not their last digits.")
@given.at_a_door
def tree(place: Place, name: str, from_here: bool, depth: int | None, full_ids: bool, as_json: bool) -> None:
    """Show the tree of a conversation.

    ID: of the conversation, or of an exchange in it, or a branch.
    """
    is_whole = ids.pack(ids.CONVERSATION, name) is not None
    if from_here and is_whole:
        raise click.UsageError("--from-here needs an exchange or a branch: a conversation begins at its first.")
    with door.opened(place) as there:
        conversation_id = name if is_whole else door.conversation_of(there, name)
        found = door.whole_tree(there, conversation_id, root=name if from_here else None, depth=depth)
    if as_json:
        terminal.print_json(found)
        return
    drawn, nesting = build(found, full_ids=full_ids)
    console = terminal.console(width=tables.UNFOLDED + INDENT * nesting)
    console.print(drawn)
    console.print(Text(totals(found["total"]), style="dim"), soft_wrap=True)


def build(found: Json, *, full_ids: bool = False) -> tuple[Tree, int]:
    """The tree of the API's JSON, and how many forks stand behind one another in it at most."""
    title = Text().append_text(terminal.line(found["title"] or "(no title)", "bold"))
    title.append_text(terminal.line(f"  {found['conversation_id']}", "dim"))
    children = _children(found["data"])
    drawn = Tree(_label([title]), guide_style="dim")
    # A stack, not recursion: every turn may be a fork.
    waiting = [(drawn, [title], children.get(None, ()), 0)]
    deepest = 0
    while waiting:
        at, lines, next_ones, nesting = waiting.pop()
        deepest = max(deepest, nesting)
        while len(next_ones) == 1:
            (node,) = next_ones
            next_ones = children.get(node["id"], ())
            lines.append(_line(node, full_ids=full_ids))
            if not next_ones and not node["is_tip"]:
                lines.append(Text(f"… {node['subtree']['nodes'] - 1} more below", style="dim"))
        at.label = _label(lines)
        for node in next_ones:
            # It stands at the head of its own run, which goes on below it.
            waiting.append((at.add(Text()), [], [node], nesting + 1))
    return drawn, deepest


def _children(nodes: Sequence[Node]) -> Mapping[str | None, Sequence[Node]]:
    """The nodes by their parents, in order; None: those whose parent is not among them."""
    there = {node["id"] for node in nodes}
    found: dict[str | None, list[Node]] = {}
    for node in nodes:
        found.setdefault(node["parent_id"] if node["parent_id"] in there else None, []).append(node)
    return found


def _line(node: Node, *, full_ids: bool) -> Text:
    below = node["subtree"]
    # Of a tip it would be its own again.
    spent = ", ".join(f"{each['amount']} {each['currency']}" for each in below["costs"]) if below["nodes"] > 1 else ""
    shown = {**node, "currency": f"{node['currency']} of {spent} below"} if spent and node["cost"] else node
    return (
        Text()
        .append("● ", "dim" if node["deleted"] else "green")
        .append_text(exchange.line(shown, full_id=full_ids, is_tip=node["is_tip"]))
    )


def _label(lines: Sequence[Text]) -> Text:
    return Text("\n", no_wrap=True, overflow="ellipsis").join(lines)


def totals(total: Mapping[str, Any]) -> str:
    """The figures of all of it in one line."""
    return ", ".join(_totals(total))


def _totals(total: Mapping[str, Any]) -> Iterator[str]:
    yield _counted(total["nodes"], "exchange")
    yield _counted(total["tips"], "tip")
    yield f"{total['input_tokens']} input tokens ({total['cached_tokens']} cached)"
    yield f"{total['output_tokens']} output tokens ({total['reasoning_tokens']} reasoning)"
    if total["without_usage"]:
        yield f"{total['without_usage']} without usage"
    yield from _costs(total)


def _costs(sums: Mapping[str, Any]) -> Iterator[str]:
    for each in sums["costs"]:
        yield f"{each['amount']} {each['currency']}"
    if sums["unpriced"]["exchanges"]:
        yield f"{sums['unpriced']['exchanges']} of unknown cost"


def _counted(number: int, what: str) -> str:
    return f"{number} {what}" if number == 1 else f"{number} {what}s"
