"""What a message of Claude's export holds, in the order in which it stands there.

    text, and blocks that have one    a message; texts side by side are one of several parts
    thinking                          reasoning
    tool_use, tool_result             a call, and its output
    anything else                     its JSON as text; bookkeeping that says nothing is left out (SILENT)

Old exports have one text instead of blocks. Files are named, not held; of those that were read into the question as
text, the text is there.
"""

from collections.abc import Iterator, Mapping
from typing import Any, TypeGuard

from convstore.archives import pieces
from convstore.archives.pieces import Call, Piece, Result, told
from convstore.domain import jsontext

Part = dict[str, Any]

SILENT = ("token_budget", "flag")
_PICTURES = (".png", ".jpg", ".jpeg", ".gif", ".webp")
_CITED = ("url", "title")


def pieces_of(given: Mapping[str, Any], *, output: bool) -> list[Piece]:
    """The pieces of a message; none when nothing is said in it. output: whether it is the model's."""
    found: list[Piece] = []
    texts = _attached(given) if not output else []
    role = "assistant" if output else "user"
    for each in _blocks(given, output=output):
        if isinstance(each, dict):
            texts.append(each)
        else:
            if texts:
                found.append(pieces.message(role, texts))
            texts = []
            found.append(each)
    return [*found, pieces.message(role, texts)] if texts else found


def _blocks(given: Mapping[str, Any], *, output: bool) -> Iterator[Part | Piece]:
    """Parts of messages, and what stands between messages."""
    blocks, said = given.get("content"), False
    for place, block in enumerate(blocks if isinstance(blocks, list) else ()):
        for each in _block(block, f"{given.get('uuid')}/{place}", output=output):
            said = True
            yield each
    text = given.get("text")
    if not said and _is_text(text):
        yield told(text, output=output)


def _block(block: Any, key: str, *, output: bool) -> Iterator[Part | Piece]:
    if not isinstance(block, Mapping):
        if _is_text(block):
            yield told(block, output=output)
        return
    kind, text, call = block.get("type"), block.get("text"), block.get("id")
    if kind == "thinking":
        thought = block.get("thinking")
        if _is_text(thought):
            yield pieces.thought([thought])
    elif kind == "tool_use":
        name = block.get("name")
        arguments = pieces.arguments(block.get("input") or {})
        yield Call(call if _is_text(call) else pieces.call_id(key), name if _is_text(name) else "tool", arguments)
    elif kind == "tool_result":
        called, name = block.get("tool_use_id"), block.get("name")
        given = called if _is_text(called) else None
        yield Result(_output(block.get("content")), key, given, name if _is_text(name) else None)
    elif _is_text(text):
        yield _cited(told(text, output=output), block)
    elif kind not in SILENT and kind != "text":
        yield told(jsontext.dumps(block).decode(), output=output)


def _output(content: Any) -> str:
    """What a tool gave back: its texts, or else its JSON."""
    if isinstance(content, str):
        return content
    if content is None:
        return ""
    texts = [each.get("text") if isinstance(each, Mapping) else each for each in _list(content)]
    if texts and all(isinstance(text, str) for text in texts):
        return "\n".join(map(str, texts))
    return jsontext.dumps(content).decode()


def _cited(part: Part, block: Mapping[str, Any]) -> Part:
    if part["type"] != "output_text":
        return part
    found = []
    for each in _list(block.get("citations")):
        about = each.get("details") if isinstance(each, Mapping) else None
        page = {**each, **about} if isinstance(about, Mapping) else each
        start, end = (page.get("start_index"), page.get("end_index")) if isinstance(page, Mapping) else (None, None)
        if type(start) is int and type(end) is int and _is_text(page.get("url")):
            named = {name: value if _is_text(value := page.get(name)) else "" for name in _CITED}
            found.append({"type": "url_citation", **named, "start_index": start, "end_index": end})
    return part | {"annotations": found}


def _attached(given: Mapping[str, Any]) -> list[Part]:
    found = []
    for each in _list(given.get("attachments")):
        text = each.get("extracted_content") if isinstance(each, Mapping) else None
        if _is_text(text):
            name = each.get("file_name")
            found.append(told(f"{name}\n\n{text}" if _is_text(name) else text, output=False))
    seen = set()
    for each in (*_list(given.get("files")), *_list(given.get("files_v2"))):
        file_id = each.get("file_uuid") if isinstance(each, Mapping) else None
        if isinstance(each, Mapping) and file_id is None:
            file_id = each.get("file_name")
        if _is_text(file_id) and file_id not in seen:
            seen.add(file_id)
            found.append(_file(file_id, each))
    return found


def _file(file_id: str, each: Mapping[str, Any]) -> Part:
    name = each.get("file_name")
    if each.get("file_kind") == "image" or (_is_text(name) and name.lower().endswith(_PICTURES)):
        return {"type": "input_image", "file_id": file_id, "detail": "auto"}
    return {"type": "input_file", "file_id": file_id} | ({"filename": name} if _is_text(name) else {})


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())
