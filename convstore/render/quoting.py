r"""What others said, as a part of a Markdown document of ours that it cannot get out of.

A text becomes a block quote and is left Markdown: emphasis, lists, tables, code and quotes are read as they were meant.
Nothing in it is a heading, a link, an image, HTML or a reference: what would make one is escaped, so that it is read
as the characters it is. Blocks of code are fenced anew, at the margin, by more than any run of backticks in them; one
that was not closed ends with the text. Acting characters are shown as what they are, line ends but "\n" among them.

It rests on this: a line is told apart without looking at others (but for fences, which are ours). A code span must end
on its line, since a backtick that finds no partner there is escaped; brackets and `<` are escaped everywhere else.
Source: CommonMark 0.31, and the tables of GitHub's dialect.
"""

import re
from collections.abc import Iterator

from convstore.render.characters import on_a_line, visible

_RUNS = re.compile("`+")
# A fence may stand in a list, or begin one. What is behind backticks holds none, or it is no fence.
_FENCE = re.compile(r"([ \t]*)((?:[-*+]|\d{1,9}[.)])[ \t]+)?(`{3,}(?=[^`]*\Z)|~{3,})(.*)\Z")
_INFO = re.compile(r"[\w+#.-]{1,30}")
# Whatever may stand in front of a heading: spaces, quotes, items of lists; more than CommonMark takes does no harm.
_HEADING = re.compile(r"([ \t>*+\-\d.)]*)#")
_BEFORE_UNDERLINE = " \t>*+-0123456789.)="
_ACTING = re.compile(r"\\[!-/:-@\[-`{-~]|(`+)|~{3,}|[<\[\]]")
_MARKS = re.compile(r"[\\`*_~\[\]<>&!#|]")


def quoted(said: str) -> str:
    """The text as a block quote, without a newline at its end."""
    return "\n".join(f"> {line}" if line else ">" for line in _lines(visible(said).split("\n")))


def fenced(said: str, info: str = "") -> str:
    """The text to the letter, as a block of code."""
    said = visible(said)
    fence = "`" * max(3, _longest(said) + 1)
    return f"{fence}{info}\n{said}\n{fence}"


def code(said: str) -> str:
    """The text to the letter, on a line; a dash for none."""
    said = on_a_line(said)
    if not said:
        return "–"
    ticks = "`" * (_longest(said) + 1)
    room = " " if said.startswith("`") or said.endswith("`") else ""
    return f"{ticks}{room}{said}{room}{ticks}"


def plain(said: str) -> str:
    """The text on a line, such as in a heading: every mark in it is a character."""
    return _MARKS.sub(r"\\\g<0>", on_a_line(said))


def _lines(given: list[str]) -> Iterator[str]:
    at = 0
    while at < len(given):
        opened = _FENCE.match(given[at])
        if opened is None:
            yield _escaped(given[at])
            at += 1
            continue
        if opened[2]:
            yield _escaped(opened[1] + opened[2].strip())
        inside, at = _inside(given, at + 1, opened)
        info = _INFO.match(opened[4].strip())
        yield from fenced("\n".join(inside), info[0] if info else "").split("\n")


def _inside(given: list[str], at: int, opened: re.Match[str]) -> tuple[list[str], int]:
    """The lines of a block of code, as far to the left as it began; and where it goes on behind it."""
    mark, width = opened[3], len(opened[1]) + len(opened[2] or "")
    found: list[str] = []
    while at < len(given):
        line = given[at]
        at += 1
        closing = line.strip()
        if len(closing) >= len(mark) and closing == mark[0] * len(closing):
            break
        margin = len(line) - len(line.lstrip(" \t"))
        found.append(line[min(margin, width) :])
    return found, at


def _escaped(line: str) -> str:
    """A line of text that makes nothing of itself."""
    line = _HEADING.sub(r"\1\\#", line, count=1) if _HEADING.match(line) else line
    if not line.strip(_BEFORE_UNDERLINE) and line.rstrip(" \t").endswith(("-", "=")):
        head = line.rstrip(" \t").rstrip("-=")
        line = f"{head}\\{line[len(head) :]}"
    parts: list[str] = []
    at = 0
    while found := _ACTING.search(line, at):
        parts.append(line[at : found.start()])
        span = _span(line, found) if found[1] else None
        at = span or found.end()
        parts.append(line[found.start() : at] if span else _mark(found[0]))
    return "".join([*parts, line[at:]])


def _span(line: str, found: re.Match[str]) -> int | None:
    """Where the code span ends that begins there; None when there is none, or the cells of a table would cut it."""
    length = len(found[1])
    end = next((run.end() for run in _RUNS.finditer(line, found.end()) if len(run[0]) == length), None)
    return None if end is None or "|" in line[found.end() : end] else end


def _mark(found: str) -> str:
    return found if found.startswith("\\") else "".join(f"\\{character}" for character in found)


def _longest(said: str) -> int:
    return max((len(run) for run in _RUNS.findall(said)), default=0)
