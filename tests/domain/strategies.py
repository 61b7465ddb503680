"""What the properties of this room are tried on: JSON and answers of every kind, streams cut anywhere."""

import json
from collections.abc import Sequence
from itertools import pairwise
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

# Two noisy cores: a slow example is no failure.
quick = settings(max_examples=60, deadline=None)
thorough = settings(max_examples=150, deadline=None)

texts = st.text(st.characters(exclude_categories=("Cs",)), max_size=30)
scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.floats(allow_nan=False, allow_infinity=False),
    texts,
)
values = st.recursive(
    scalars,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(texts, inner, max_size=4),
    max_leaves=12,
)
objects = st.dictionaries(texts, values, max_size=6)


@st.composite
def spellings(draw: st.DrawFn, of: st.SearchStrategy[Any] = objects) -> str:
    """A JSON text, with the freedoms that JSON gives: spaces, escapes."""
    value = draw(of)
    spaces = draw(st.sampled_from([None, 1, "\t", "\r\n "]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": "), (" ,\n", "\t:\r")]))
    text = json.dumps(value, indent=spaces, separators=separators, ensure_ascii=draw(st.booleans()))
    return draw(st.sampled_from(["", " ", "\n"])) + text + draw(st.sampled_from(["", "\r\n", "\t "]))


annotations = st.lists(
    st.fixed_dictionaries(
        {"type": st.just("url_citation"), "url": texts, "title": texts, "start_index": st.integers(0, 9)}
    ),
    max_size=2,
)
text_parts = st.fixed_dictionaries(
    {"type": st.just("output_text"), "annotations": annotations, "logprobs": st.just([]), "text": texts}
)
refusals = st.fixed_dictionaries({"type": st.just("refusal"), "refusal": texts})
summaries = st.lists(st.fixed_dictionaries({"type": st.just("summary_text"), "text": texts}), max_size=3)
thoughts = st.lists(st.fixed_dictionaries({"type": st.just("reasoning_text"), "text": texts}), max_size=2)
finished = st.sampled_from(["completed", "incomplete"])

messages = st.fixed_dictionaries(
    {
        "type": st.just("message"),
        "status": finished,
        "role": st.just("assistant"),
        "content": st.lists(text_parts | refusals, max_size=3),
    },
    optional={"phase": st.just("final_answer")},
)
reasonings = st.fixed_dictionaries(
    {"type": st.just("reasoning"), "summary": summaries},
    optional={"content": thoughts, "encrypted_content": st.just("gAAAA-sealed"), "status": finished},
)
calls = st.fixed_dictionaries(
    {
        "type": st.just("function_call"),
        "status": finished,
        "call_id": texts,
        "name": texts,
        "arguments": texts,
    }
)
custom_calls = st.fixed_dictionaries(
    {"type": st.just("custom_tool_call"), "status": finished, "call_id": texts, "name": texts, "input": texts}
)
searches = st.fixed_dictionaries(
    {
        "type": st.just("web_search_call"),
        "status": st.just("completed"),
        "action": st.just({"type": "search"}),
    }
)
mcp_calls = st.fixed_dictionaries(
    {"type": st.just("mcp_call"), "server_label": texts, "name": texts, "arguments": texts, "output": texts}
)
compactions = st.fixed_dictionaries({"type": st.just("compaction"), "encrypted_content": texts})
strangers = st.fixed_dictionaries({"type": st.just("invented_tomorrow"), "what": values})
kinds = (messages, reasonings, calls, custom_calls, searches, mcp_calls, compactions, strangers)


@st.composite
def outputs(draw: st.DrawFn) -> list[dict[str, Any]]:
    """The output items of an answer, of all kinds, with the upstream's ids."""
    items = draw(st.lists(st.one_of(kinds), max_size=5))
    return [{"id": f"up_{number}", **item} for number, item in enumerate(items)]


@st.composite
def responses(draw: st.DrawFn) -> dict[str, Any]:
    """A finished Response object, as an upstream says it."""
    status = draw(st.sampled_from(["completed", "incomplete", "failed"]))
    return {
        "id": "resp_upstream_1",
        "object": "response",
        "created_at": 1755000000,
        "status": status,
        "error": {"code": "server_error", "message": "No."} if status == "failed" else None,
        "incomplete_details": {"reason": "max_output_tokens"} if status == "incomplete" else None,
        "model": "gpt-5.4-2026-03-05",
        "output": draw(outputs()),
        "usage": None,
    }


@st.composite
def chunkings(draw: st.DrawFn, whole: bytes) -> list[bytes]:
    """A byte string in pieces, cut anywhere."""
    cuts = sorted(draw(st.sets(st.integers(0, len(whole)), max_size=12)))
    edges = [0, *cuts, len(whole)]
    return [whole[start:end] for start, end in pairwise(edges)]


def halves(whole: bytes) -> Sequence[tuple[bytes, bytes]]:
    """Every way to cut a byte string in two."""
    return [(whole[:at], whole[at:]) for at in range(len(whole) + 1)]
