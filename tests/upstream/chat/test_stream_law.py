"""The law of stream.py: however a completion is cut into chunks, its events fold to what the whole says."""

import re
from itertools import zip_longest
from typing import Any

import orjson
from hypothesis import given, settings
from hypothesis import strategies as st

from convstore.upstream.chat import response_of
from convstore.upstream.chat.names import Names, Tool

from .helpers import DONE, Json, fold, play

TOOLS = Names([Tool("apply_patch", is_custom=True), Tool("find", "docs"), Tool("patch", "docs", is_custom=True)])
# A busy machine is no failure.
unhurried = settings(deadline=None)
GENERATED = re.compile(r"call_[0-9a-f]{24}")

words = st.text(max_size=12)
arguments = st.dictionaries(words, st.integers(-9, 9) | words, max_size=3).map(lambda told: orjson.dumps(told).decode())
inputs = words.map(lambda text: orjson.dumps({"input": text}).decode())
citations = st.builds(
    lambda url, start: {
        "type": "url_citation",
        "url_citation": {"url": url, "title": "T", "start_index": start},
    },
    words,
    st.integers(0, 9),
)


@st.composite
def tool_calls(draw: Any) -> Json:
    """A call as a server may send it: ids missing, empty or used twice, arguments empty or cut short."""
    name = draw(st.sampled_from(["get_weather", "add", "apply_patch", "docs__find", "docs__patch"]))
    told = draw(inputs if name.endswith("patch") else arguments)
    # Cut short, it is no whole object; nothing but a whole object can be.
    told = draw(st.sampled_from([told, told, told[:-1], ""]))
    call_id = draw(st.sampled_from(["call_a", "call_b", "", None]))
    return {"id": call_id, "type": "function", "function": {"name": name, "arguments": told}}


@st.composite
def completions(draw: Any) -> Json:
    content = draw(st.none() | words)
    reasoning = draw(st.sampled_from(["reasoning_content", "reasoning"]))
    message = {
        "role": "assistant",
        "content": content,
        reasoning: draw(st.none() | words),
        "refusal": draw(st.none() | words),
        "annotations": draw(st.lists(citations, max_size=2)) if content else [],
        "tool_calls": draw(st.none() | st.lists(tool_calls(), max_size=3)),
    }
    tokens = [{"token": letter, "logprob": -0.5, "bytes": None, "top_logprobs": []} for letter in content or ""]
    logprobs = {"content": tokens} if draw(st.booleans()) else None
    finish = draw(st.sampled_from(["stop", "tool_calls", "length", "content_filter", "error"]))
    usage = draw(st.sampled_from([None, {"prompt_tokens": 1, "completion_tokens": 2}]))
    choice = {"index": 0, "message": message, "logprobs": logprobs, "finish_reason": finish}
    return {"id": "c", "model": "m", "choices": [choice], "usage": usage}


def pieces_of(draw: Any, text: str | None) -> list[str]:
    """The text in pieces, some of them empty."""
    text = text or ""
    cuts = sorted(draw(st.lists(st.integers(0, len(text)), max_size=4)))
    return [text[start:end] for start, end in zip([0, *cuts], [*cuts, len(text)], strict=True)]


def text_fragments(draw: Any, choice: Json) -> list[Json]:
    """Choices that say the content, each with the logprobs of its own letters."""
    fragments, tokens, start = [], (choice["logprobs"] or {}).get("content"), 0
    for piece in pieces_of(draw, choice["message"]["content"]):
        told = {"content": tokens[start : start + len(piece)]} if tokens else None
        start += len(piece)
        fragments.append({"delta": {"content": piece}, "logprobs": told})
    return fragments


def call_lanes(draw: Any, message: Json) -> list[list[Json]]:
    """For each call the choices that say it, its id and name in the first of them."""
    lanes = []
    for index, call in enumerate(message["tool_calls"] or []):
        first, *more = pieces_of(draw, call["function"]["arguments"])
        opening = call | {"index": index, "function": call["function"] | {"arguments": first}}
        rest = [{"index": index, "function": {"arguments": piece}} for piece in more]
        lanes.append([{"delta": {"tool_calls": [piece]}} for piece in [opening, *rest]])
    return lanes


def interleaved(draw: Any, lanes: list[list[Json]], *, in_order: bool) -> list[Json]:
    """The lanes mixed, each in its own order; *in_order*, a lane begins only after the one before it."""
    lanes, mixed, begun = [list(lane) for lane in lanes], [], 0
    while any(lanes):
        open_lanes = [place for place, lane in enumerate(lanes) if lane and (place <= begun or not in_order)]
        place = draw(st.sampled_from(open_lanes))
        begun = max(begun, place + 1)
        mixed.append(lanes[place].pop(0))
    return mixed


def merged(draw: Any, fragments: list[Json]) -> list[Json]:
    """Some neighbours put into one chunk, as servers do that send by the clock."""
    merged: list[Json] = []
    for fragment in fragments:
        last = merged[-1]["delta"] if merged else {}
        free = merged and not set(last) & set(fragment["delta"])
        if free and not fragment.get("logprobs") and draw(st.booleans()):
            last.update(fragment["delta"])
        else:
            merged.append(fragment)
    return merged


NOISE = [
    {"choices": []},
    {"choices": [], "usage": None},
    {"choices": [{"index": 0, "delta": {"role": "assistant", "content": None}, "finish_reason": None}]},
    {"choices": [{"index": 0, "delta": {"content": "", "reasoning": None, "refusal": None, "tool_calls": None}}]},
    {"choices": [{"index": 0, "delta": {}, "finish_reason": None}]},
    {"choices": [{"index": 1, "delta": {"content": "noise"}, "finish_reason": None}]},
]


def chunked(draw: Any, completion: Json, fragments: list[Json]) -> list[bytes]:
    """The stream: the fragments with noise between, then the finish reason, the usage and [DONE]."""
    choice = completion["choices"][0]
    finish = {"choices": [{"index": 0, "delta": {}, "finish_reason": choice["finish_reason"]}]}
    chunks: list[Json] = []
    for fragment in fragments:
        chunks += draw(st.lists(st.sampled_from(NOISE), max_size=1))
        chunks.append({"model": "m", "choices": [{"index": 0, "finish_reason": None, **fragment}]})
    if fragments and draw(st.booleans()):
        chunks[-1]["choices"][0]["finish_reason"] = choice["finish_reason"]
    else:
        chunks.append(finish)
    chunks.append({"model": "m", "choices": [], "usage": completion["usage"]})
    return [*map(orjson.dumps, chunks), *draw(st.sampled_from([[], [DONE]]))]


@st.composite
def streams(draw: Any, *, in_order: bool) -> tuple[Json, list[bytes]]:
    """A completion and one way to stream it."""
    completion = draw(completions())
    message = completion["choices"][0]["message"]
    name = "reasoning" if "reasoning" in message else "reasoning_content"
    reasoning = [{"delta": {name: piece}} for piece in pieces_of(draw, message[name])]
    text = text_fragments(draw, completion["choices"][0])
    cited = [{"delta": {"annotations": [one]}} for one in message["annotations"]]
    refusal = [{"delta": {"refusal": piece}} for piece in pieces_of(draw, message["refusal"])]
    calls = call_lanes(draw, message)
    if in_order:
        fragments = merged(draw, [*reasoning, *text, *cited, *refusal, *interleaved(draw, calls, in_order=True)])
    else:
        fragments = interleaved(draw, [reasoning, text, refusal, *calls], in_order=False)
    return completion, chunked(draw, completion, fragments)


def comparable(output: list[Json]) -> Any:
    return orjson.loads(GENERATED.sub("call_?", orjson.dumps(output).decode()))


class TestFeed:
    @unhurried
    @given(streams(in_order=True))
    def test_a_stream_folds_to_what_the_whole_completion_says(self, story):
        completion, datas = story
        whole = response_of(completion, names=TOOLS)
        folded = fold(play(datas, TOOLS))
        assert comparable(folded.output) == comparable(whole["output"])
        assert comparable(folded.response) == comparable(whole)

    @unhurried
    @given(streams(in_order=False))
    def test_a_stream_in_any_order_loses_no_word_and_keeps_the_apis_order(self, story):
        completion, datas = story
        whole = response_of(completion, names=TOOLS)
        folded = fold(play(datas, TOOLS))
        assert said(folded.output) == said(whole["output"])
        assert folded.response["output"] == folded.output

    @unhurried
    @given(streams(in_order=False))
    def test_a_cut_stream_gives_the_beginning_of_the_whole_ones_events(self, story):
        _, datas = story
        whole = play(datas, TOOLS)
        for cut in range(len(datas)):
            events = play(datas[:cut], TOOLS, end=False)
            assert all(comparable(a) == comparable(b) for a, b in zip_longest(events, whole[: len(events)]))


def said(output: list[Json]) -> tuple[Any, ...]:
    """All that was said, by kind of part, and the calls in no order."""
    texts: dict[str, str] = {}
    calls = []
    for item in output:
        for part in item.get("content", []):
            texts[part["type"]] = texts.get(part["type"], "") + part.get("text", part.get("refusal"))
        if "call_id" in item:
            calls.append((item.get("namespace"), item["name"], item.get("arguments"), item.get("input")))
    return texts, sorted(calls, key=str)
