"""Content parts of Responses items, as Chat Completions writes them.

A part is one of docs/api.md, items. Annotations, logprobs and cache breakpoints are dropped by design: Chat
Completions has no place for them in a request.
"""

from collections.abc import Mapping, Sequence
from typing import Any

from convstore.domain import jsontext
from convstore.errors import InvalidRequest, UnsupportedParameter

Json = dict[str, Any]

_TEXTS = frozenset({"input_text", "output_text", "text", "summary_text", "reasoning_text"})


def content_of(content: object) -> str | list[Json]:
    """What a user says: a plain string when all of it is text, otherwise a list of chat parts.

    A string, because llama.cpp and older vLLM templates read nothing else (docs/api.md, dialects).
    """
    parts = parts_of(content)
    texts = [text for part in parts if (text := _text(part)) is not None]
    if len(texts) == len(parts):
        return "\n".join(texts)
    return [_chat_part(part) for part in parts]


def text_of(content: object, role: str) -> str:
    """What a *role* says that can say text only. Raises UnsupportedParameter for anything else."""
    texts = []
    for part in parts_of(content):
        if (text := _text(part)) is None:
            _known(part)
            raise UnsupportedParameter(
                f"A {role} message can hold only text for this model's upstream, not '{part.get('type')}'.",
                param="input",
            )
        texts.append(text)
    return "\n".join(texts)


def output_of(output: object) -> str:
    """What a tool answered, as text. Images and files leave a placeholder: a tool message holds none."""
    if output is None or isinstance(output, str):
        return output or ""
    if not isinstance(output, list):
        return jsontext.dumps(output).decode()
    return "\n".join(_text(part) or _placeholder(part) for part in parts_of(output))


def parts_of(content: object) -> Sequence[Mapping[str, Any]]:
    """The content as parts: a string is one part of text, no content none."""
    if content is None or isinstance(content, str):
        return [{"type": "input_text", "text": content}] if content else []
    if isinstance(content, list) and all(isinstance(part, Mapping) for part in content):
        return content
    raise InvalidRequest(
        "Invalid type for 'content': expected a string or an array of objects.",
        param="input",
        code="invalid_type",
    )


def _text(part: Mapping[str, Any]) -> str | None:
    """The part's text, or None when it is no text at all."""
    kind = kind_of(part)
    if kind not in _TEXTS and kind != "refusal":
        return None
    text = part.get("refusal" if kind == "refusal" else "text") or ""
    if not isinstance(text, str):
        message = "Invalid type for 'text': expected a string."
        raise InvalidRequest(message, param="input", code="invalid_type")
    return text


def kind_of(part: Mapping[str, Any]) -> str | None:
    """The type of a part or an item; None of what somebody sent, or a model said, whose type is no word."""
    kind = part.get("type")
    return kind if isinstance(kind, str) else None


def _chat_part(part: Mapping[str, Any]) -> Json:
    match part.get("type"):
        case "input_image" | "computer_screenshot":
            return {"type": "image_url", "image_url": _image(part)}
        case "input_file":
            return {"type": "file", "file": _file(part)}
        case "input_audio":
            return {"type": "input_audio", "input_audio": part.get("input_audio")}
        case _:
            return {"type": "text", "text": _text(_known(part))}


def _image(part: Mapping[str, Any]) -> Json:
    url, detail = part.get("image_url"), part.get("detail")
    if not url:
        raise UnsupportedParameter(
            "An image given by 'file_id' cannot be shown to this model's upstream. Send it as 'image_url'.",
            param="input",
        )
    if detail is None:
        return {"url": url}
    # Chat Completions stops at high.
    return {"url": url, "detail": "high" if detail == "original" else detail}


def _file(part: Mapping[str, Any]) -> Json:
    file = {name: part[name] for name in ("file_data", "file_id", "filename") if part.get(name) is not None}
    if "file_data" in file or "file_id" in file:
        return file
    raise UnsupportedParameter(
        "A file given by 'file_url' cannot be shown to this model's upstream. Send it as 'file_data'.",
        param="input",
    )


def _placeholder(part: Mapping[str, Any]) -> str:
    if kind_of(part) in _TEXTS:
        return ""
    kind = str(_known(part)["type"]).removeprefix("input_")
    return f"[{kind}: {part['filename']}]" if part.get("filename") else f"[{kind}]"


_KNOWN = _TEXTS | {"refusal", "input_image", "computer_screenshot", "input_file", "input_audio"}


def _known(part: Mapping[str, Any]) -> Mapping[str, Any]:
    if kind_of(part) in _KNOWN:
        return part
    raise InvalidRequest(
        f"Invalid value: '{part.get('type')}'. No content part of this type is known.",
        param="input",
        code="invalid_value",
    )
