"""What a ChatGPT message holds, as parts of an item.

    text, multimodal_text            the texts; pictures, sounds and films by the name that the archive has for them
    code, execution_output, …        the members that a person would read, a line each (READ)
    anything else                    its text, if it has one, or all of its JSON as text: nothing is dropped

Where an answer shows a picture, a text names it: messages of assistants hold nothing but text.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, TypeGuard

from convstore.archives.pieces import told
from convstore.domain import jsontext

Part = dict[str, Any]

# What is read of each content_type.
READ = {
    "code": ("text",),
    "execution_output": ("text",),
    "system_error": ("name", "text"),
    "tether_quote": ("title", "url", "text"),
    "tether_browsing_display": ("result", "summary"),
    "sonic_webpage": ("title", "url", "text"),
    "citable_code_output": ("output_str",),
    "user_editable_context": ("user_profile", "user_instructions"),
    "model_editable_context": ("model_set_context",),
    "reasoning_recap": ("content",),
}
# The instructions that people give once, for all of their conversations.
CONTEXTS = ("user_editable_context", "model_editable_context")
THOUGHTS = ("thoughts", "reasoning_recap")
_ALL_OF_IT = ("text", "result", "summary", "content")
_POINTERS = ("audio_asset_pointer", "video_container_asset_pointer")


def parts_of(content: Any, *, output: bool) -> list[Part]:
    """The parts of a message's content; none when nothing is said in it. output: whether it is a model's."""
    if not isinstance(content, Mapping):
        return [told(content, output=output)] if isinstance(content, str) and content.strip() else []
    kind, parts = str(content.get("content_type")), content.get("parts")
    if kind not in READ and isinstance(parts, list):
        return [part for each in parts for part in _part(each, output=output)]
    if kind == "computer_output" and isinstance(content.get("screenshot"), Mapping):
        return [*_part(content["screenshot"], output=output), *_told(_as_json(content.get("state")), output=output)]
    text = _lines(content, READ.get(kind, _ALL_OF_IT))
    if not text and kind not in READ and any(value for name, value in content.items() if name != "content_type"):
        text = _as_json(content)
    return list(_told(text, output=output))


def text_of(content: Any) -> str:
    """All of it as one text."""
    return "\n".join(part["text"] for part in parts_of(content, output=True))


def thoughts_of(content: Mapping[str, Any]) -> list[str]:
    """What a model thought, a text for each step."""
    if isinstance(content.get("thoughts"), list):
        found = [_step(each) for each in _objects(content["thoughts"])]
    else:
        found = [text_of(content)]
    return [each for each in found if each]


def attached(metadata: Mapping[str, Any], parts: Sequence[Part]) -> list[Part]:
    """The files that came with a message and are not among its *parts*."""
    shown = [str(part.get("file_id")) for part in parts]
    found = []
    for each in _objects(metadata.get("attachments")):
        file_id, name = each.get("id"), each.get("name")
        if _is_text(file_id) and not any(pointer.endswith(file_id) for pointer in shown):
            found.append(_file(file_id) | ({"filename": name} if _is_text(name) else {}))
    return found


def annotated(parts: Sequence[Part], metadata: Mapping[str, Any]) -> Sequence[Part]:
    """An answer with the pages that it cites, where its one text says which words do."""
    found = []
    for each in _objects(metadata.get("citations")):
        about = each.get("metadata")
        page = about if isinstance(about, Mapping) else {}
        start, end = each.get("start_ix"), each.get("end_ix")
        if _is_text(page.get("url")) and type(start) is int and type(end) is int:
            place = {"start_index": start, "end_index": end}
            title = page.get("title")
            found.append(
                {"type": "url_citation", "url": page["url"], "title": title if _is_text(title) else "", **place}
            )
    return [parts[0] | {"annotations": found}] if found and len(parts) == 1 else parts


def _step(step: Mapping[str, Any]) -> str:
    """As OpenAI writes its own summaries: a title, and what goes with it."""
    title, text = step.get("summary"), step.get("content")
    said = [f"**{title}**"] if _is_text(title) else []
    return "\n\n".join([*said, text] if _is_text(text) else said)


def _part(each: Any, *, output: bool) -> Iterator[Part]:
    if isinstance(each, str):
        yield from _told(each, output=output)
    elif isinstance(each, Mapping):
        kind, pointer = each.get("content_type"), each.get("asset_pointer")
        inner = [each[name] for name in _POINTERS if isinstance(each.get(name), Mapping)]
        if _is_text(pointer):
            yield _shown(pointer, "image" if kind == "image_asset_pointer" else "file", output=output)
        elif inner:
            for found in inner:
                yield from _part(found, output=output)
        else:
            yield from _told(_lines(each, _ALL_OF_IT) or _as_json(each), output=output)
    elif each is not None:
        yield from _told(_as_json(each), output=output)


def _shown(pointer: str, kind: str, *, output: bool) -> Part:
    if output:
        return told(f"[{kind}: {pointer}]", output=True)
    return {"type": "input_image", "file_id": pointer, "detail": "auto"} if kind == "image" else _file(pointer)


def _file(file_id: str) -> Part:
    return {"type": "input_file", "file_id": file_id}


def _told(text: str, *, output: bool) -> Iterator[Part]:
    if text.strip():
        yield told(text, output=output)


def _lines(content: Mapping[str, Any], names: Sequence[str]) -> str:
    return "\n".join(content[name] for name in names if _is_text(content.get(name)))


def _as_json(value: Any) -> str:
    return jsontext.dumps(value).decode() if value else ""


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value.strip())


def _objects(value: Any) -> list[Mapping[str, Any]]:
    return [each for each in value if isinstance(each, Mapping)] if isinstance(value, list) else []
