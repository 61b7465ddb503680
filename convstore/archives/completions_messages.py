"""Messages of Chat Completions as pieces of a thread, and its tools in the form of the Responses API.

`functions`, `function_call` and the role `function` are what tools were called before they were; files for training
still have them. What only training needs (weights of messages) is left out.
"""

from collections.abc import Mapping, Sequence
from typing import Any, TypeGuard

from convstore.archives import pieces
from convstore.archives.pieces import Call, Piece, Result, told
from convstore.domain import jsontext

Part = dict[str, Any]
Given = Mapping[str, Any]

ORDERS = ("system", "developer")
_ROLES = (*ORDERS, "user")


def is_message(given: Any) -> bool:
    """Whether this is an object with a role."""
    return isinstance(given, Mapping) and _is_text(given.get("role"))


def is_answer(given: Given) -> bool:
    """Whether it is the model's: an answer, or a call."""
    return given.get("role") == "assistant"


def pieces_of(given: Given, key: str) -> list[Piece]:
    """key: what names this message among all others."""
    role = given["role"]
    if role == "assistant":
        return _answer(given, key)
    if role in ("tool", "function"):
        return [_result(given, key)]
    parts = parts_of(given.get("content"), output=False)
    return [pieces.message(role if role in _ROLES else "user", parts)] if parts else []


def text_of(given: Given) -> str:
    """What a message says, as one text."""
    return "\n".join(part["text"] for part in parts_of(given.get("content"), output=True) if "text" in part)


def parts_of(content: Any, *, output: bool) -> list[Part]:
    """The parts of a message's content, which is text or a list of parts."""
    if isinstance(content, str):
        return [told(content, output=output)] if content else []
    given = content if isinstance(content, Sequence) else () if content is None else (content,)
    return [part for each in given if (part := _part(each, output=output))]


def tools_of(given: Given) -> list[Any]:
    """The tools of a request; those that are functions without the level that Chat Completions has about them."""
    tools, functions = given.get("tools"), given.get("functions")
    found = [_tool(each) for each in tools] if isinstance(tools, list) else []
    return found + [_function(each) for each in functions] if isinstance(functions, list) else found


def _answer(given: Given, key: str) -> list[Piece]:
    found: list[Piece] = []
    thoughts = given.get("reasoning_content") or given.get("reasoning")
    if _is_text(thoughts):
        found.append(pieces.thought([thoughts]))
    parts = parts_of(given.get("content"), output=True)
    if _is_text(given.get("refusal")):
        parts.append({"type": "refusal", "refusal": given["refusal"]})
    if parts:
        found.append(pieces.message("assistant", parts))
    calls = given.get("tool_calls")
    for place, call in enumerate(calls if isinstance(calls, list) else ()):
        found.append(_call(call, pieces.call_id(key, str(place))))
    if isinstance(given.get("function_call"), Mapping):
        found.append(_call({"function": given["function_call"]}, pieces.call_id(key)))
    return found


def _call(given: Any, otherwise: str) -> Call:
    call = given if isinstance(given, Mapping) else {}
    kinds = [kind for kind in ("function", "custom") if isinstance(call.get(kind), Mapping)]
    about: Given = call[kinds[0]] if kinds else {}
    call_id, name, said = call.get("id"), about.get("name"), about.get("arguments") or about.get("input")
    arguments = pieces.arguments(said) if said else "{}"
    return Call(call_id if _is_text(call_id) else otherwise, name if _is_text(name) else "tool", arguments)


def _result(given: Given, key: str) -> Result:
    call_id, name, content = given.get("tool_call_id"), given.get("name"), given.get("content")
    parts = parts_of(content, output=False)
    output = "\n".join(part["text"] for part in parts if "text" in part)
    is_text = all(part["type"] == "input_text" for part in parts)
    return Result(
        output if is_text else parts, key, call_id if _is_text(call_id) else None, name if _is_text(name) else None
    )


def _part(each: Any, *, output: bool) -> Part | None:
    if isinstance(each, str):
        return told(each, output=output) if each else None
    kind = each.get("type") if isinstance(each, Mapping) else None
    if kind in ("text", "input_text", "output_text") and isinstance(each.get("text"), str):
        return told(each["text"], output=output)
    if kind == "refusal" and output:
        return {"type": "refusal", "refusal": str(each.get("refusal") or "")}
    if kind == "image_url" and not output:
        return _image(each.get("image_url"))
    if kind == "file" and not output and isinstance(each.get("file"), Mapping):
        return {"type": "input_file", **each["file"]}
    if kind == "input_audio" and not output:
        return dict(each)
    # What nobody knows is kept as it stands.
    return told(jsontext.dumps(each).decode(), output=output)


def _image(given: Any) -> Part:
    about = given if isinstance(given, Mapping) else {"url": given}
    return {"type": "input_image", "image_url": about.get("url"), "detail": about.get("detail") or "auto"}


def _tool(given: Any) -> Any:
    if isinstance(given, Mapping) and isinstance(given.get("function"), Mapping):
        return _function(given["function"])
    return given


def _function(given: Any) -> Any:
    return {"type": "function", **given} if isinstance(given, Mapping) else given


def _is_text(value: Any) -> TypeGuard[str]:
    return isinstance(value, str) and bool(value)
