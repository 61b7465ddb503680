"""What a chat message or one delta of it says, wherever the server put it.

The same readers serve whole messages and deltas, so that reply.py and stream.py cannot disagree. Each raises
UpstreamGarbled when a field has a type that no server gives it. Source: docs/api.md, dialects.
"""

from collections.abc import Mapping
from typing import Any, NamedTuple

import orjson

from convstore.domain import jsontext
from convstore.domain.jsontext import NotJson
from convstore.errors import UpstreamGarbled
from convstore.upstream.chat.parts import Json


class CallPiece(NamedTuple):
    """A tool call or a piece of one. `slot` is its index; None and "" stand for what was left out."""

    slot: int | None
    call_id: str
    name: str
    arguments: str


def loaded(data: bytes) -> Json:
    """The JSON object in *data*. Raises UpstreamGarbled."""
    try:
        chunk = _parsed(data)
    except NotJson as broken:
        raise UpstreamGarbled(f"The upstream sent a chunk that is not JSON: {broken}.") from broken
    if not isinstance(chunk, dict):
        raise UpstreamGarbled("The upstream sent a chunk that is not a JSON object.")
    return chunk


def _parsed(data: bytes) -> Any:
    """The fast parser first; the standard library's for the half of a character that some servers send."""
    try:
        return orjson.loads(data)
    except orjson.JSONDecodeError:
        return jsontext.loads(data)


def reasoning_of(said: Mapping[str, Any]) -> str:
    """The model's thoughts, "" if none."""
    # DeepSeek, llama.cpp and older vLLM; Ollama, OpenRouter and newer vLLM; some gateways. Where a server
    # sends two of them, they say the same.
    told = said.get("reasoning_content") or said.get("reasoning") or said.get("thinking")
    if told and isinstance(told, str):
        return told
    blocks = said.get("thinking_blocks") or said.get("content")
    return "".join(map(_thought, blocks)) if isinstance(blocks, list) else ""


def text_of(said: Mapping[str, Any]) -> str:
    """The answer's text, "" if none. Mistral's list of parts counts as the texts in it."""
    content = said.get("content")
    if content is None or isinstance(content, str):
        return content or ""
    if isinstance(content, list):
        return "".join(part.get("text") or "" for part in content if isinstance(part, dict))
    raise _wrong("content", "a string")


def refusal_of(said: Mapping[str, Any]) -> str:
    """The refusal's text, "" if none."""
    refusal = said.get("refusal") or ""
    if not isinstance(refusal, str):
        raise _wrong("refusal", "a string")
    return refusal


def annotations_of(said: Mapping[str, Any]) -> list[Json]:
    """The citations, flat as the Responses API has them. All but url_citation are dropped: it lacks them."""
    found = said.get("annotations") or []
    if not isinstance(found, list):
        raise _wrong("annotations", "a list")
    cited = [one.get("url_citation") for one in found if isinstance(one, dict)]
    return [_citation(one) for one in cited if isinstance(one, dict)]


def logprobs_of(choice: Mapping[str, Any]) -> list[Json]:
    """The tokens' probabilities; chat and Responses write them alike."""
    found = choice.get("logprobs") or {}
    tokens = found.get("content") or [] if isinstance(found, dict) else found
    if not isinstance(tokens, list):
        raise _wrong("logprobs.content", "a list")
    return tokens


def calls_of(said: Mapping[str, Any]) -> list[CallPiece]:
    """The tool calls, or the pieces of them."""
    calls = said.get("tool_calls") or []
    if not isinstance(calls, list) or not all(isinstance(call, dict) for call in calls):
        raise _wrong("tool_calls", "a list of objects")
    # A piece that says nothing is no call.
    return [piece for call in calls if any((piece := _piece(call))[1:])]


def _piece(call: Json) -> CallPiece:
    function, index = call.get("function") or {}, call.get("index")
    if not isinstance(function, dict):
        raise _wrong("tool_calls.function", "an object")
    arguments = function.get("arguments") or ""
    return CallPiece(
        index if isinstance(index, int) else None,
        str(call.get("id") or ""),
        str(function.get("name") or ""),
        # A few servers send the arguments as the object itself.
        arguments if isinstance(arguments, str) else jsontext.dumps(arguments).decode(),
    )


def _citation(cited: Json) -> Json:
    # The first two are required by the SDKs' types, the indexes too.
    return {
        "type": "url_citation",
        "url": cited.get("url") or "",
        "title": cited.get("title") or "",
        "start_index": cited.get("start_index") or 0,
        "end_index": cited.get("end_index") or 0,
    }


def _thought(block: object) -> str:
    """The thought in one of LiteLLM's thinking_blocks, or in one part of Mistral's content."""
    thought = block.get("thinking") or "" if isinstance(block, dict) else ""
    if isinstance(thought, list):
        return "".join(part.get("text") or "" for part in thought if isinstance(part, dict))
    return str(thought)


def _wrong(field: str, expected: str) -> UpstreamGarbled:
    return UpstreamGarbled(f"The upstream's answer has a '{field}' that is not {expected}.")
