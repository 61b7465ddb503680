"""Conversations as Markdown, to be read as text or shown by whatever shows Markdown.

A heading of the first order for each conversation. Its first lane is the main text, every further one a section that
says what it forks off from; at the end stands where they are. Headings are ours alone, and what they say makes the
anchors that links go to (as GitHub and most others make them). What was said is quoted (quoting.py), what tools were
given and gave stands in blocks of code. Images are named, not taken in.

Of a conversation nothing is kept but its branches, however long it is.
"""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field

from convstore.domain.archive import Archived, ArchivedBranch, ArchivedConversation
from convstore.render import blocks
from convstore.render.blocks import Block, Piece
from convstore.render.captions import figures, moment
from convstore.render.quoting import code, fenced, plain, quoted


@dataclass(slots=True)
class _Place:
    """Where a conversation stands.

    sections: title and heading of each lane. named: the same of what named branches point at. branches: names by tip.
    """

    branches: dict[str, list[str]] = field(default_factory=dict)
    lane: str | None = None
    sections: list[tuple[str, str]] = field(default_factory=list)
    named: list[tuple[str, str]] = field(default_factory=list)
    instructions: str | None = None


class Markdown:
    """A text that is written lane by lane."""

    in_lanes = True

    def __init__(self) -> None:
        self._at = _Place()

    def begin(self) -> bytes:
        return b""

    def conversation(self, found: ArchivedConversation, title: str | None, branches: Sequence[ArchivedBranch]) -> bytes:
        self._at = _Place()
        for branch in branches:
            self._at.branches.setdefault(branch.tip_id, []).append(branch.name)
        is_deleted = found.deleted_at is not None
        words = [f"{code(found.id)} · {moment(found.created_at)}"]
        if is_deleted:
            words.append(f"*Deleted {moment(found.deleted_at)}.*")
        elif found.metadata and found.metadata != b"{}":
            words.append(f"Metadata: {code(found.metadata.decode('utf-8', 'replace'))}")
        heading = "Deleted conversation" if is_deleted else plain((title or "").strip()) or code(found.id)
        return _text([f"# {heading}", *words])

    def exchange(self, found: Archived) -> bytes:
        parts = list(self._opening(found))
        turn = _turn(found.depth + 1, found.id)
        parts.append(f"{'##' if len(self._at.sections) <= 1 else '###'} {turn}")
        parts.append(figures(found))
        for name in self._at.branches.get(found.id, ()):
            parts.append(f"Branch {code(name)} ends here.")
            self._at.named.append((code(name), turn))
        return _text([*parts, *_ending(found), *self._instructed(found), *_said(found)])

    def conversation_end(self) -> bytes:
        places = [*self._at.sections[1:], *self._at.named]
        if not places:
            return b""
        return _text(["## Branches", "\n".join(f"- {_link(title, place)}" for title, place in places)])

    def end(self) -> bytes:
        return b""

    def _opening(self, found: Archived) -> Iterator[str]:
        """The head of its section, where one begins."""
        if found.lane == self._at.lane:
            return
        self._at.lane, self._at.instructions = found.lane, None
        title = f"Branch {len(self._at.sections)}"
        if found.parent_id is not None:
            title += f" from turn {found.depth}"
        self._at.sections.append((title, title))
        if len(self._at.sections) > 1:
            yield f"## {title}"
            if found.parent_id is not None:
                yield f"It goes on from {_link(f'turn {found.depth}', _turn(found.depth, found.parent_id))}."

    def _instructed(self, found: Archived) -> Iterator[str]:
        """What the model was told to be, where that has changed."""
        if found.repeats_settings or blocks.is_gone(found):
            return
        told = blocks.instructions(found)
        if told is not None and told != self._at.instructions:
            yield "**Instructions**"
            yield quoted(told)
        elif told is None and self._at.instructions is not None:
            yield "*Without instructions from here on.*"
        self._at.instructions = told


def _text(parts: Sequence[str]) -> bytes:
    # Between blocks an empty line: none goes on in the next.
    return "".join(f"{part}\n\n" for part in parts).encode("utf-8", "replace")


def _turn(number: int, own: str) -> str:
    return f"Turn {number} {code(own)}"


def _link(words: str, heading: str) -> str:
    """A link to a heading: its letters, digits and hyphens, small, with hyphens for spaces."""
    kept = "".join(each for each in heading.lower() if each.isalnum() or each in "-_ ")
    return f"[{words}](#{kept.replace(' ', '-')})"


def _ending(found: Archived) -> Iterator[str]:
    if found.deleted_at is not None:
        yield f"*Deleted {moment(found.deleted_at)}.*"
    if found.erased_at is not None:
        yield f"*Erased {moment(found.erased_at)}.*"
    if found.error:
        told = [] if blocks.is_gone(found) else [found.error.get("message")]
        yield "Failed: " + " ".join(code(str(each)) for each in [found.error.get("code") or "error", *told] if each)


def _said(found: Archived) -> Iterator[str]:
    for block in blocks.of(found):
        yield f"**{plain(block.title)}**"
        yield from (_piece(block, piece) for piece in block.pieces)


def _piece(block: Block, piece: Piece) -> str:
    match piece.form:
        case "text":
            return quoted(piece.text)
        case "code":
            return fenced(piece.text, "json" if block.kind == "call" and piece.text[:1] in "{[" else "")
        case "image":
            return f"Image: {_image(piece.text)}"
        case _:
            return plain(piece.text)


def _image(url: str) -> str:
    if not url.startswith("data:"):
        return code(url)
    kind, _, data = url.removeprefix("data:").partition(";base64,")
    return f"{code(kind[:40])}, {len(data) * 3 // 4:,} bytes, not shown here"
