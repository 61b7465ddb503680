"""What an exchange says, block by block, as a person reads it; how a block is laid out is each form's own matter.

Acting characters are shown as what they are. Left out: ids of items, what is sealed, the removals among the inputs, and
the bytes of what is neither text nor an image. An item type that nobody here knows is shown as its JSON. Nothing of
what was deleted or erased is said: it has no blocks.
"""

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, NamedTuple

from convstore.domain import jsontext, preview
from convstore.domain.archive import Archived
from convstore.domain.items import CALLS, OUTPUTS, REMOVAL, Item
from convstore.render.characters import on_a_line, visible

_TEXTS = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})
_IMAGES = frozenset({"input_image", "image", "image_url", "computer_screenshot"})
_GIVEN = {"function_call": "arguments", "custom_tool_call": "input"}
_ROLES = {"user": "User", "assistant": "Assistant", "system": "System", "developer": "Developer"}
# Sealed or said in a block's title.
_UNSHOWN = frozenset({"id", "type", "status", "call_id", "encrypted_content"})


class Piece(NamedTuple):
    """form: "text" (as it was said, often Markdown), "code" (to the letter), "image" (its URL), "note" (ours)."""

    form: str
    text: str


class Block(NamedTuple):
    """kind: question, answer, reasoning, call, output or other. title: who speaks, or what is called; on a line."""

    kind: str
    title: str
    pieces: tuple[Piece, ...]


def of(found: Archived) -> Iterator[Block]:
    """The blocks of an exchange, in the order of its items."""
    if is_gone(found):
        return
    for kept in found.input:
        if kept.item.type != REMOVAL:
            yield from _shown(_block(kept.item, output=False))
    for kept in found.output:
        yield from _shown(_block(kept.item, output=True))


def is_gone(found: Archived) -> bool:
    """Whether it was deleted or erased: then it is said that it was, and not what it said."""
    return found.deleted_at is not None or found.erased_at is not None


def question(found: Archived) -> str | None:
    """The first line of what was asked."""
    return _line(preview.of_question, found, [kept.item for kept in found.input if kept.item.type != REMOVAL])


def answer(found: Archived) -> str | None:
    """The first line of what was answered."""
    return _line(preview.of_answer, found, [kept.item for kept in found.output])


def instructions(found: Archived) -> str | None:
    """The instructions of its request; None of what was deleted or erased."""
    if is_gone(found):
        return None
    said = member(found.settings, "instructions")
    return text(said) if isinstance(said, str) and said else None


def member(written: bytes | None, name: str) -> Any:
    """A member of an object that is JSON as it came; None where there is none."""
    return _object(written or b"{}").get(name)


def text(said: str) -> str:
    """A text as it is shown: its lines end as lines end here."""
    return visible(said.replace("\r\n", "\n"))


def _line(first: Callable[[Sequence[Item]], str | None], found: Archived, items: Sequence[Item]) -> str | None:
    try:
        return None if is_gone(found) else first(items)
    except (jsontext.NotJson, AttributeError):
        return None  # a message that is no object, or no JSON


def _shown(block: Block) -> Iterator[Block]:
    if block.pieces or block.kind == "call":
        yield block


def _block(item: Item, *, output: bool) -> Block:
    body = _object(item.body)
    name = on_a_line(item.name or "")
    if item.type == "message":
        kind = "answer" if output or item.role == "assistant" else "question"
        role = item.role or ("assistant" if output else "user")
        return Block(kind, _ROLES.get(role, on_a_line(role)), tuple(_parts(body.get("content"))))
    if item.type == "reasoning":
        said = [*_parts(body.get("summary")), *_parts(body.get("content"))]
        return Block("reasoning", "Reasoning", tuple(said))
    if item.type in CALLS:
        return Block("call", f"Call of {name or 'a tool'}", tuple(_code(body.get(_GIVEN[item.type]))))
    if item.type in OUTPUTS:
        return Block("output", f"Output of {name or 'the tool'}", tuple(_output(body.get("output"))))
    return Block("other", on_a_line(item.type), tuple(_other(item, body)))


def _parts(content: Any) -> Iterator[Piece]:
    """The pieces of a message: a string, or a list of parts."""
    if isinstance(content, str):
        yield from _said("text", content)
    elif isinstance(content, list):
        for part in content:
            yield from _part(part)
    elif content is not None:
        yield Piece("code", _pretty(content))


def _part(part: Any) -> Iterator[Piece]:
    kind = part.get("type") if isinstance(part, Mapping) else None
    kind = kind if isinstance(kind, str) else None
    if kind in _TEXTS and isinstance(part.get("text"), str):
        yield from _said("text", part["text"])
        yield from _sources(part.get("annotations"))
    elif kind == "refusal" and isinstance(part.get("refusal"), str):
        yield Piece("note", "Refused")
        yield from _said("text", part["refusal"])
    elif kind in _IMAGES:
        yield _image(part)
    elif kind in ("input_file", "input_audio"):
        yield _file(part, str(kind).removeprefix("input_"))
    else:
        yield Piece("code", _pretty(part))


def _sources(annotations: Any) -> Iterator[Piece]:
    """The pages that a text names as where it has something from, each once."""
    given = [each for each in annotations if isinstance(each, Mapping)] if isinstance(annotations, list) else []
    urls = {each["url"]: each.get("title") for each in given if isinstance(each.get("url"), str)}
    for url, title in urls.items():
        yield Piece(
            "note", on_a_line(f"Source: {title}, {url}" if isinstance(title, str) and title else f"Source: {url}")
        )


def _image(part: Mapping[str, Any]) -> Piece:
    given = part.get("image_url")
    url = given.get("url") if isinstance(given, Mapping) else given
    if isinstance(url, str) and url:
        return Piece("image", on_a_line(url))
    return Piece("note", on_a_line(f"Image {part.get('file_id') or ''}".strip()))


def _file(part: Mapping[str, Any], kind: str) -> Piece:
    names = [part.get(name) for name in ("filename", "file_id", "file_url")]
    # A file's bytes can stand where its address can.
    known = [name for name in names if isinstance(name, str) and not name.startswith("data:")]
    return Piece("note", on_a_line(" ".join([kind.capitalize(), *known])))


def _output(given: Any) -> Iterator[Piece]:
    if not isinstance(given, list):
        yield from _code(given)
        return
    for piece in _parts(given):
        yield Piece("code", piece.text) if piece.form == "text" else piece


def _other(item: Item, body: Mapping[str, Any]) -> Iterator[Piece]:
    rest = {name: value for name, value in body.items() if name not in _UNSHOWN and value is not None}
    made = rest.get("result")
    if item.type == "image_generation_call" and isinstance(made, str):
        form = rest.get("output_format")
        form = form if form in ("png", "jpeg", "webp") else "png"
        yield Piece("image", on_a_line(f"data:image/{form};base64,{rest.pop('result')}"))
    if body or item.type == "image_generation_call":
        yield Piece("code", _pretty(rest))
    else:
        # No object, or no JSON at all: as it stands.
        yield Piece("code", text(item.body.decode("utf-8", "replace")))


def _code(given: Any) -> Iterator[Piece]:
    """What a tool was given or gave: JSON in a string is laid out, everything else stays as it is."""
    if isinstance(given, str):
        written = given.lstrip()
        if written[:1] in ("{", "["):
            try:
                yield Piece("code", _pretty(jsontext.loads(given)))
                return
            except jsontext.NotJson:
                pass
        yield from _said("code", given)
    elif given is not None:
        yield Piece("code", _pretty(given))


def _said(form: str, said: str) -> Iterator[Piece]:
    if said:
        yield Piece(form, text(said))


def _pretty(value: Any) -> str:
    try:
        return text(json.dumps(value, indent=2, ensure_ascii=False))
    except (RecursionError, ValueError):
        return text(jsontext.dumps(value).decode())


def _object(body: bytes) -> Mapping[str, Any]:
    try:
        found = jsontext.loads(body.decode("utf-8", "replace"))
    except jsontext.NotJson:
        return {}
    return found if isinstance(found, Mapping) else {}
