"""One exchange on a line, and what was said in it."""

from collections.abc import Iterator, Mapping
from typing import Any

from rich.text import Text

from convstore.cli import terminal

Node = Mapping[str, Any]
# The end of an id is what tells exchanges of one second apart.
SHORT = 8


def line(node: Node, *, full_id: bool = False, is_tip: bool = False) -> Text:
    """Its id, names and figures, then the first lines of question and answer: if a line is cut, it is these."""
    # An unstyled beginning: the style of the whole would be that of what is appended, too.
    text = Text().append_text(terminal.line(node["id"] if full_id else str(node["id"])[-SHORT:], "bold"))
    for branch in node["branches"]:
        text.append_text(terminal.line(f" ({branch})", "magenta"))
    if is_tip:
        text.append(" tip", "yellow")
    if node["deleted"]:
        text.append(" deleted", "red")
    if node["status"] != "completed":
        text.append_text(terminal.line(f" {' '.join(_status(node))}", "red"))
    figures = ", ".join(_figures(node))
    if figures:
        text.append_text(terminal.line(f" {figures}", "dim"))
    said = " → ".join(str(each) for each in (node["question"], node["answer"]) if each)
    return text.append_text(terminal.line(f"  {said}")) if said else text


def _status(node: Node) -> Iterator[str]:
    yield str(node["status"])
    why = node["incomplete_reason"] or node["error"]
    if why:
        yield f"({why})"


def _figures(node: Node) -> Iterator[str]:
    if node["model"]:
        yield str(node["model"])
    elif node["origin"] != "request":
        yield str(node["origin"])
    usage = node["usage"]
    if usage:
        yield f"{usage['input_tokens']}+{usage['output_tokens']} tokens"
    if node["latency_ms"] is not None and node["model"]:
        yield f"{node['latency_ms'] / 1000:.2f} s"
    if node["cost"] is not None and node["currency"]:
        yield f"{node['cost']} {node['currency']}"


def said(item: Mapping[str, Any]) -> tuple[str, str]:
    """(who or what, its words) of an item."""
    kind = str(item.get("type") or "message")
    if kind == "message":
        return str(item.get("role") or kind), _words(item.get("content"))
    if kind.endswith("_output"):
        return kind, _words(item.get("output"))
    if kind == "reasoning":
        return kind, "\n".join(each for each in (_words(item.get("summary")), _words(item.get("content"))) if each)
    given = item.get("arguments", item.get("input"))
    if isinstance(given, str):
        return kind, f"{item.get('name')} {given}"
    return kind, ""


def _words(content: object) -> str:
    if isinstance(content, str):
        return content
    parts = content if isinstance(content, list) else []
    return "\n".join(_part(part) for part in parts)


def _part(part: object) -> str:
    given = part.get("text", part.get("refusal")) if isinstance(part, dict) else None
    if isinstance(given, str):
        return given
    return f"[{part.get('type')}]" if isinstance(part, dict) else ""


def answer(response: Mapping[str, Any]) -> str:
    """What a response says: the words of its messages, or what it calls when it has none."""
    items = response.get("output") or []
    texts = [said(item)[1] for item in items if item.get("type") == "message"]
    return "\n".join(texts or [" ".join(said(item)) for item in items if item.get("type") != "reasoning"])
