"""The three ways of speaking to a provider: the same to every client, each its own to the provider."""

import json
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any
from urllib.parse import quote

import openai
import pytest
from openai import OpenAI
from openai.types.responses import Response
from sqlalchemy import MetaData, create_engine, make_url, select

from convstore.storage.types import inflate
from tests.acceptance.conftest import CHAT_KEY, STATEFUL_KEY, Providers, Stage
from tests.acceptance.service import Answer
from tests.conftest import PROVIDER_KEY
from tests.local_upstream import (
    Asked,
    Behaviour,
    LocalUpstream,
    answer,
    broken_off,
    chat_answer,
    chat_call,
    error,
    function_call,
    message,
    reasoning,
    response,
    stream,
    stream_of,
    whole,
)

ADD = {
    "type": "function",
    "name": "add",
    "parameters": {"type": "object", "properties": {"x": {"type": "integer"}}},
}
NAMES = ("responses", "responses-stateful", "chat")


@dataclass(frozen=True)
class Spoken:
    """A dialect, with a provider that speaks it."""

    name: str
    model: str
    path: str
    upstream: LocalUpstream

    def will_say(self, *texts: str) -> None:
        """What it answers, in order; each answer under an id of its own."""
        for number, text in enumerate(texts):
            chatty = self.name == "chat"
            self.upstream.will(chat_answer(text) if chatty else answer(text, id=f"resp_theirs_{number}"))

    def will_call(self, *call_ids: str) -> None:
        """It asks for these calls of `add`."""
        if self.name == "chat":
            self.upstream.will(chat_answer(None, *(chat_call(call_id) for call_id in call_ids)))
        else:
            self.upstream.will(answer(*(function_call(call_id) for call_id in call_ids), id="resp_theirs_call"))

    def new(self, everything: list[str]) -> list[str]:
        """What of a thread its provider has to be told: only one that remembers needs no history."""
        return everything[-1:] if self.name == "responses-stateful" else everything


@pytest.fixture(params=NAMES)
def spoken(
    request: pytest.FixtureRequest, provider: LocalUpstream, stateful: LocalUpstream, chat: LocalUpstream
) -> Spoken:
    return {
        "responses": Spoken("responses", "gpt-5.4", "/v1/responses", provider),
        "responses-stateful": Spoken("responses-stateful", "stateful-1", "/v1/responses", stateful),
        "chat": Spoken("chat", "chat-1", "/v1/chat/completions", chat),
    }[request.param]


def told(asked: Asked) -> list[str]:
    """What a provider was told, in any dialect: texts as they are, calls and outputs by their ids."""
    if "messages" in asked.body:
        return list(_messages(asked.body["messages"]))
    return list(_items(asked.body["input"]))


def _messages(messages: list[dict[str, Any]]) -> Iterator[str]:
    for said in messages:
        if said["role"] == "tool":
            yield f"output of {said['tool_call_id']}"
        elif said["content"]:
            yield said["content"]
        for call in said.get("tool_calls", []):
            yield f"call {call['id']}"


def _items(items: list[dict[str, Any]]) -> Iterator[str]:
    for item in items:
        match item["type"]:
            case "message":
                content = item["content"]
                yield content if isinstance(content, str) else content[0]["text"]
            case "function_call":
                yield f"call {item['call_id']}"
            case "function_call_output":
                yield f"output of {item['call_id']}"
            case kind:
                yield kind


def ask(client: OpenAI, model: str, input: Any, **members: Any) -> Response:
    return client.responses.create(model=model, input=input, **members)


class TestEveryDialect:
    def test_answers(self, client: OpenAI, spoken: Spoken) -> None:
        spoken.will_say("Four.")
        given = ask(client, spoken.model, "Two and two?", instructions="Be brief.", max_output_tokens=64)
        assert given.output_text == "Four."
        assert given.status == "completed"
        assert given.model.endswith("2026-03-05")
        assert given.usage is not None
        assert (given.usage.input_tokens, given.usage.output_tokens, given.usage.total_tokens) == (13, 5, 18)
        assert given.usage.input_tokens_details.cached_tokens == 4
        assert given.usage.output_tokens_details.reasoning_tokens == 2
        assert client.responses.retrieve(given.id) == given
        [asked] = spoken.upstream.questions
        assert asked.path == spoken.path
        assert asked.body["model"] == spoken.model

    def test_streams(self, client: OpenAI, spoken: Spoken) -> None:
        spoken.will_say("Four, I think.")
        heard = list(ask(client, spoken.model, "Two and two?", stream=True))
        assert [event.sequence_number for event in heard] == list(range(len(heard)))
        assert heard[0].type == "response.created"
        assert "".join(e.delta for e in heard if e.type == "response.output_text.delta") == "Four, I think."
        assert heard[-1].type == "response.completed"
        assert heard[-1].response.usage.total_tokens == 18
        assert client.responses.retrieve(heard[-1].response.id) == heard[-1].response

    def test_suits_the_sdks_helper(self, client: OpenAI, spoken: Spoken) -> None:
        spoken.will_say("Four, I think.")
        with client.responses.stream(model=spoken.model, input="Two and two?") as events:
            final = events.get_final_response()
        assert final.output_text == "Four, I think."
        assert client.responses.retrieve(final.id).output[0].id == final.output[0].id

    @pytest.mark.parametrize("streamed", [False, True])
    def test_calls_tools(self, client: OpenAI, spoken: Spoken, streamed: bool) -> None:
        spoken.will_call("call_a", "call_b")
        spoken.will_say("Seven.")
        first = _whole(ask(client, spoken.model, "Add.", tools=[ADD], stream=streamed))
        assert [item.type for item in first.output] == ["function_call", "function_call"]
        assert [item.arguments for item in first.output] == ['{"x":3}', '{"x":3}']
        outputs = [{"type": "function_call_output", "call_id": item.call_id, "output": "7"} for item in first.output]
        second = _whole(ask(client, spoken.model, outputs, previous_response_id=first.id, tools=[ADD], stream=streamed))
        assert second.output_text == "Seven."
        thread = ["Add.", "call call_a", "call call_b", "output of call_a", "output of call_b"]
        stateful = spoken.name == "responses-stateful"
        assert told(spoken.upstream.questions[-1]) == (thread[-2:] if stateful else thread)

    def test_remembers_the_thread(self, client: OpenAI, spoken: Spoken) -> None:
        spoken.will_say("One.", "Two.", "Three.")
        first = ask(client, spoken.model, "1?")
        second = ask(client, spoken.model, "2?", previous_response_id=first.id)
        third = ask(client, spoken.model, "3?", previous_response_id=second.id)
        assert told(spoken.upstream.questions[-1]) == spoken.new(["1?", "One.", "2?", "Two.", "3?"])
        said = [item.content[0].text for item in client.responses.input_items.list(third.id, order="asc")]
        assert said == ["1?", "One.", "2?", "Two.", "3?"]

    def test_branches(self, client: OpenAI, spoken: Spoken) -> None:
        spoken.will_say("Root.", "Left.", "Right.", "End.")
        root = ask(client, spoken.model, "root?")
        ask(client, spoken.model, "left?", previous_response_id=root.id)
        right = ask(client, spoken.model, "right?", previous_response_id=root.id)
        ask(client, spoken.model, "end?", previous_response_id=right.id)
        assert told(spoken.upstream.questions[-1]) == spoken.new(["root?", "Root.", "right?", "Right.", "end?"])

    def test_says_when_it_failed(self, client: OpenAI, spoken: Spoken) -> None:
        spoken.upstream.will(error(400, "Too hot.", param="temperature"), error(500), error(429))
        with pytest.raises(openai.BadRequestError, match="Too hot") as refused:
            ask(client, spoken.model, "x")
        assert refused.value.param == "temperature"
        with pytest.raises(openai.InternalServerError):
            ask(client, spoken.model, "x", stream=True)
        with pytest.raises(openai.RateLimitError):
            ask(client, spoken.model, "x")

    @pytest.mark.parametrize("politely", [False, True])
    def test_a_stream_without_an_end_is_not_complete(self, client: OpenAI, spoken: Spoken, politely: bool) -> None:
        behaviour = chat_answer("Once upon a time") if spoken.name == "chat" else answer("Once upon a time")
        spoken.upstream.will(broken_off(behaviour, 5 if spoken.name == "responses" else 3, politely=politely))
        first, *_, last = ask(client, spoken.model, "x", stream=True)
        assert last.type == "error"
        stored = client.responses.retrieve(first.response.id)
        assert stored.status == "incomplete"
        assert stored.error is not None


def _whole(given: Any) -> Response:
    """The response of an answer, streamed or not."""
    if isinstance(given, Response):
        return given
    *_, last = given
    return last.response


class TestStateful:
    def test_the_history_is_left_to_who_has_it(self, client: OpenAI, stateful: LocalUpstream) -> None:
        stateful.will(answer("One.", id="resp_theirs_1"), answer("Two.", id="resp_theirs_2"))
        first = ask(client, "stateful-1", "1?", instructions="Be brief.")
        second = ask(client, "stateful-1", "2?", previous_response_id=first.id)
        asked = stateful.questions[-1].body
        assert asked["previous_response_id"] == "resp_theirs_1"
        assert told(stateful.questions[-1]) == ["2?"]
        assert asked["store"] is True
        assert "instructions" not in asked
        assert second.previous_response_id == first.id

    def test_two_branches_start_at_the_same_point(self, client: OpenAI, stateful: LocalUpstream) -> None:
        stateful.will(answer("Root.", id="resp_theirs_root"))
        root = ask(client, "stateful-1", "root?")
        for name in ("left?", "right?"):
            ask(client, "stateful-1", name, previous_response_id=root.id)
        assert [asked.body.get("previous_response_id") for asked in stateful.questions] == [
            None, "resp_theirs_root", "resp_theirs_root"
        ]  # fmt: skip

    @pytest.mark.parametrize(
        ("status", "said"),
        [
            (400, {"code": "previous_response_not_found", "param": "previous_response_id"}),
            (404, {"message": "Previous response with id 'resp_theirs_1' not found."}),
        ],
    )
    @pytest.mark.parametrize("streamed", [False, True])
    def test_who_has_forgotten_is_told_everything(
        self, client: OpenAI, stateful: LocalUpstream, status: int, said: dict[str, Any], streamed: bool
    ) -> None:
        stateful.will(answer("One.", id="resp_theirs_1"), error(status, **said), answer("Two."))
        first = ask(client, "stateful-1", "1?")
        second = _whole(ask(client, "stateful-1", "2?", previous_response_id=first.id, stream=streamed))
        assert second.output_text == "Two."
        assert told(stateful.questions[-2]) == ["2?"]
        assert told(stateful.questions[-1]) == ["1?", "One.", "2?"]
        assert "previous_response_id" not in stateful.questions[-1].body
        assert stateful.questions[-1].body["store"] is True

    def test_another_providers_answer_is_told_in_full(
        self, client: OpenAI, provider: LocalUpstream, stateful: LocalUpstream
    ) -> None:
        provider.will(answer(reasoning(), "One.", id="resp_theirs_1"))
        first = ask(client, "gpt-5.4", "1?")
        second = ask(client, "stateful-1", "2?", previous_response_id=first.id)
        # In full, but for what only the other one can read.
        assert told(stateful.questions[-1]) == ["1?", "One.", "2?"]
        assert "previous_response_id" not in stateful.questions[-1].body
        ask(client, "stateful-1", "3?", previous_response_id=second.id)
        assert told(stateful.questions[-1]) == ["3?"]

    def test_what_is_not_to_be_stored_is_not_stored_there_either(self, client: OpenAI, stateful: LocalUpstream) -> None:
        first = ask(client, "stateful-1", "1?")
        ask(client, "stateful-1", "2?", previous_response_id=first.id, store=False)
        ask(client, "stateful-1", "3?", store=False)
        assert [asked.body["store"] for asked in stateful.questions] == [True, False, False]


class TestChat:
    def test_a_request_becomes_messages(self, client: OpenAI, chat: LocalUpstream) -> None:
        ask(
            client,
            "chat-1",
            [{"role": "user", "content": [{"type": "input_text", "text": "Look:"}, _picture()]}],
            instructions="Be brief.",
            max_output_tokens=64,
            tools=[ADD],
            tool_choice={"type": "function", "name": "add"},
            text={"format": {"type": "json_schema", "name": "n", "schema": {"type": "object"}, "strict": True}},
            extra_body={"top_k": 7},
        )
        asked = chat.questions[-1].body
        assert asked["messages"] == [
            {"role": "system", "content": "Be brief."},
            {
                "role": "user",
                "content": [
                    {"type": "text", "text": "Look:"},
                    {"type": "image_url", "image_url": {"url": _picture()["image_url"], "detail": "low"}},
                ],
            },
        ]
        assert asked["max_tokens"] == 64
        assert asked["tools"][0]["function"]["name"] == "add"
        assert asked["tool_choice"] == {"type": "function", "function": {"name": "add"}}
        assert asked["response_format"]["json_schema"]["name"] == "n"
        assert asked["top_k"] == 7
        assert not {"input", "instructions", "store", "previous_response_id"} & set(asked)

    def test_thoughts_become_reasoning(self, client: OpenAI, chat: LocalUpstream) -> None:
        chat.will(chat_answer("Four.", reasoning_content="Two plus two…"))
        kinds = [event.type for event in ask(client, "chat-1", "2+2?", stream=True)]
        assert kinds.index("response.reasoning_text.delta") < kinds.index("response.output_text.delta")

    def test_a_refusal_stays_one(self, client: OpenAI, chat: LocalUpstream) -> None:
        chat.will(chat_answer(None, refusal="I won't."), chat_answer(None, refusal="I won't."))
        assert ask(client, "chat-1", "x").output[0].content[0].refusal == "I won't."
        last = _whole(ask(client, "chat-1", "x", stream=True))
        assert last.output[0].content[0].refusal == "I won't."

    def test_a_custom_tool_comes_back_as_one(self, client: OpenAI, chat: LocalUpstream) -> None:
        call = chat_call("call_c", "shell", '{"input":"ls -l"}')
        chat.will(chat_answer(None, call), chat_answer(None, call))
        tool = {"type": "custom", "name": "shell"}
        for streamed in (False, True):
            given = _whole(ask(client, "chat-1", "List.", tools=[tool], stream=streamed))
            assert given.output[0].type == "custom_tool_call"
            assert given.output[0].input == "ls -l"

    def test_a_namespaces_tool_comes_back_as_one(self, client: OpenAI, chat: LocalUpstream) -> None:
        call = chat_call("call_n", "math__add")
        chat.will(chat_answer(None, call), chat_answer(None, call), chat_answer("3"))
        tools = [ADD, {"type": "namespace", "name": "math", "description": "Sums.", "tools": [ADD]}]
        for streamed in (False, True):
            given = _whole(ask(client, "chat-1", "Add.", tools=tools, stream=streamed))
            (item,) = given.output
            assert (item.type, item.name, item.namespace) == ("function_call", "add", "math")
        output = {"type": "function_call_output", "call_id": "call_n", "output": "3"}
        ask(client, "chat-1", [output], tools=tools, previous_response_id=given.id)
        asked = chat.questions[-1].body
        assert [tool["function"]["name"] for tool in asked["tools"]] == ["add", "math__add"]
        assert asked["messages"][1]["tool_calls"][0]["function"]["name"] == "math__add"

    def test_what_chat_cannot_say_is_refused_before_it_costs(self, client: OpenAI, chat: LocalUpstream) -> None:
        with pytest.raises(openai.BadRequestError) as refused:
            ask(client, "chat-1", "x", tools=[{"type": "web_search"}])
        assert refused.value.code == "unsupported_parameter"
        assert refused.value.param == "tools[0].type"
        assert chat.questions == []

    def test_a_thread_may_move_there_and_back(
        self, client: OpenAI, provider: LocalUpstream, chat: LocalUpstream
    ) -> None:
        provider.will(answer(reasoning("Hm.", "gAAAA-sealed"), "One."))
        chat.will(chat_answer("Two."))
        first = ask(client, "gpt-5.4", "1?")
        second = ask(client, "chat-1", "2?", previous_response_id=first.id)
        ask(client, "gpt-5.4", "3?", previous_response_id=second.id)
        assert told(chat.questions[-1]) == ["1?", "One.", "2?"]
        assert b"gAAAA-sealed" not in chat.questions[-1].raw
        # What it sealed itself it gets back.
        assert told(provider.questions[-1]) == ["1?", "reasoning", "One.", "2?", "Two.", "3?"]


def _picture() -> dict[str, Any]:
    return {"type": "input_image", "image_url": "data:image/png;base64,iVBORw0KGgo=", "detail": "low"}


class TestRouting:
    @pytest.mark.parametrize(
        ("model", "name", "called"),
        [
            ("gpt-5.4", "local", "gpt-5.4"),
            ("nobody-lists-this", "local", "nobody-lists-this"),
            ("fast", "local", "gpt-5.4-mini"),
            ("stateful-1", "stateful", "stateful-1"),
            ("stateful-new", "stateful", "stateful-new"),
            ("chat-1", "chat", "chat-1"),
            ("org/chat-1", "chat", "org/chat-1"),
            ("org/chat-2", "local", "org/chat-2"),
        ],
    )
    def test_a_models_name_says_who_is_asked(
        self,
        client: OpenAI,
        provider: LocalUpstream,
        stateful: LocalUpstream,
        chat: LocalUpstream,
        model: str,
        name: str,
        called: str,
    ) -> None:
        ask(client, model, "x")
        asked = {"local": provider.questions, "stateful": stateful.questions, "chat": chat.questions}
        assert {name: [each.body["model"] for each in found] for name, found in asked.items() if found} == {
            name: [called]
        }

    def test_each_provider_gets_its_own_key_and_nobody_elses(
        self,
        stage: Stage,
        client: OpenAI,
        provider: LocalUpstream,
        stateful: LocalUpstream,
        chat: LocalUpstream,
    ) -> None:
        for upstream, model, key in (
            (provider, "gpt-5.4", PROVIDER_KEY),
            (stateful, "stateful-1", STATEFUL_KEY),
            (chat, "chat-1", CHAT_KEY),
        ):
            first = ask(client, model, "x")
            ask(client, model, "y", previous_response_id=first.id)
            for asked in upstream.asked:
                assert asked.header("authorization") == f"Bearer {key}"
                rest = [*asked.path, *(v for k, v in asked.headers.items() if k.lower() != "authorization")]
                assert not any(secret in str(rest).encode() + asked.raw for secret in _secrets(stage))


def _secrets(stage: Stage) -> list[bytes]:
    """The providers' keys, and the clients'."""
    keys = (PROVIDER_KEY, STATEFUL_KEY, CHAT_KEY, stage.alice, stage.reader, stage.carol)
    return [key.encode() for key in keys]


def _indiscreet(words: str, code: str, begun: Sequence[bytes]) -> list[Behaviour]:
    """Failures of every kind, in these words and with this code. begun: how a stream begins."""
    failed = response(status="failed", error={"code": code, "message": words})
    ended = json.dumps({"type": "response.failed", "response": failed})
    event = json.dumps({"type": "error", "code": code, "message": words, "param": code})
    nested = json.dumps({"error": {"message": words, "type": code, "code": code}})
    return [
        error(400, words, code=code, param=code, type=code),
        error(401, words),
        error(403, words),
        error(404, words),
        error(429, words, code=code, type=code),
        error(500, words, code=code, type=code),
        whole(words.encode(), 400),
        whole(f"<html>{words}</html>".encode(), 502, {"Content-Type": "text/html", "Retry-After": "99"}),
        whole(b"", 307, {"Location": f"http://127.0.0.1:9/?said={quote(words)}"}),
        whole(words.encode()),
        whole({"error": {"message": words, "code": code}}),
        whole(failed),
        stream([f"event: error\ndata: {event}\n\n".encode()]),
        stream([f"data: {nested}\n\n".encode()]),
        stream([f"data: {words}\n\n".encode()]),
        stream([*begun, f"data: {event}\n\n".encode()]),
        stream([*begun, f"data: {nested}\n\n".encode()]),
        stream([*begun, f"data: {words}\n\n".encode()]),
        stream([*begun, f"data: {ended}\n\n".encode()]),
        stream([f"data: {ended}\n\n".encode()]),
        lambda exchange: exchange.say(f"HTTP/1.1 999 {words}\r\n\r\n".encode()),
        lambda exchange: exchange.say(words.encode()),
        lambda exchange: exchange.cut(),
    ]


def _chunks(*pieces: str) -> list[dict[str, Any]]:
    """Chunks of a chat completion that is not finished."""
    choices = [{"index": 0, "delta": {"content": piece}, "finish_reason": None} for piece in pieces]
    return [{"id": "chatcmpl-1", "object": "chat.completion.chunk", "choices": [choice]} for choice in choices]


class TestSecrets:
    def test_a_key_that_is_quoted_goes_no_further(self, stage: Stage, quoted: Callable[..., list[Answer]]) -> None:
        answers = quoted(words="The key {} was refused.", code="refused")
        assert {answered.status for answered in answers} >= {200, 400, 404, 429, 502}
        assert_secret(stage, answers)

    @pytest.mark.parametrize("stage", ["sqlite"], indirect=True)
    def test_nor_does_one_in_the_place_of_a_code(self, stage: Stage, quoted: Callable[..., list[Answer]]) -> None:
        assert_secret(stage, quoted(words="Refused.", code="{}"))

    @pytest.fixture
    def quoted(
        self, stage: Stage, provider: LocalUpstream, stateful: LocalUpstream, chat: LocalUpstream
    ) -> Callable[..., list[Answer]]:
        """The answers to every kind of failure of every provider, its key in the words or in the code."""

        def ask_all(words: str, code: str) -> list[Answer]:
            return list(self._answers(stage, Providers(provider, stateful, chat), words, code))

        return ask_all

    @staticmethod
    def _answers(stage: Stage, providers: Providers, words: str, code: str) -> Iterator[Answer]:
        events = stream_of(response(message("Once upon a time")))[:5]
        chunks = [f"data: {json.dumps(chunk)}\n\n".encode() for chunk in _chunks("Once ", "upon ")]
        for upstream, model, key, begun in (
            (providers.local, "gpt-5.4", PROVIDER_KEY, events),
            (providers.stateful, "stateful-1", STATEFUL_KEY, events),
            (providers.chat, "chat-1", CHAT_KEY, chunks),
        ):
            for behaviour in _indiscreet(words.format(key), code.format(key), begun):
                for streamed in (False, True):
                    upstream.will(behaviour)
                    body = {"model": model, "input": "x", "stream": streamed}
                    yield stage.service.send("POST", "/v1/responses", body, key=stage.alice)

    def test_the_search_would_find_them(self, stage: Stage, client: OpenAI, provider: LocalUpstream) -> None:
        marker = "needle-" + "in a haystack " * 1000
        provider.will(answer(marker))
        given = ask(client, "gpt-5.4", f"short {marker[:20]}", metadata={"m": "needle-metadata"})
        content = b"\n".join(everything_in(stage.database_url))
        assert marker.encode() in content
        assert f"short {marker[:20]}".encode() in content
        assert b"needle-metadata" in content
        assert given.output_text == marker


def assert_secret(stage: Stage, answers: list[Answer]) -> None:
    """No key is in these answers and what can be asked about them, the log, the store or a command line."""
    stored = _responses_of(answers)
    assert stored
    for path in (
        "/v1/models",
        "/metrics",
        "/openapi.json",
        "/readyz",
        *(f"/v1/responses/{response_id}" for response_id in stored),
    ):
        answers.append(stage.service.send("GET", path, key=stage.alice))
    for where, content in (
        ("an HTTP answer", b"\n".join(_wire(answered) for answered in answers)),
        ("the log", stage.service.log.read_bytes()),
        ("the database", b"\n".join(everything_in(stage.database_url))),
        ("a command line", _command_lines(stage)),
    ):
        assert content, where
        found = [secret for secret in _secrets(stage) if secret in content]
        assert not found, f"a key is in {where}: {_around(content, found[0])}"


def _responses_of(answers: Sequence[Answer]) -> list[str]:
    """The ids of the responses that were given in streams."""
    streams = [answered.events for answered in answers if "event-stream" in answered.headers["content-type"]]
    return [events[0]["response"]["id"] for events in streams if events and "response" in events[0]]


def _wire(answered: Answer) -> bytes:
    return repr(sorted(answered.headers.items())).encode() + answered.raw


def _command_lines(stage: Stage) -> bytes:
    pids = [stage.service.pid, *stage.service.workers]
    return b"\n".join(Path(f"/proc/{pid}/cmdline").read_bytes() for pid in pids)


def _around(content: bytes, secret: bytes) -> str:
    at = content.index(secret)
    return repr(content[max(0, at - 200) : at + 100])


def everything_in(database_url: str) -> Iterator[bytes]:
    """Every value of every row of every table, bodies unpacked; and SQLite's files as they are."""
    engine = create_engine(database_url)
    schema = MetaData()
    schema.reflect(engine)
    assert len(schema.tables) > 5
    with engine.connect() as connection:
        # The index of words has no content of its own: the tables that it is made of are read as all others.
        for table in (each for each in schema.tables.values() if each.name != "search_words"):
            for row in connection.execute(select(table)):
                yield from (_unpacked(value) for value in row if value is not None)
    engine.dispose()
    path = make_url(database_url).database
    if database_url.startswith("sqlite"):
        yield from (file.read_bytes() for file in Path(str(path)).parent.glob("convstore.db*"))


def _unpacked(value: Any) -> bytes:
    if not isinstance(value, bytes | memoryview):
        return str(value).encode()
    raw = bytes(value)
    try:
        return raw + inflate(raw)
    except Exception:
        return raw
