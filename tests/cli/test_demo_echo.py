"""The echo upstream: Chat Completions over a real socket, by the official client and by hand."""

import http.client
import json
import threading
from collections.abc import Iterator
from typing import Any

import openai
import pytest

from convstore.cli.demo import echo

MESSAGES: Any = [
    {"role": "system", "content": "Be brief."},
    {"role": "user", "content": "One two three?"},
    {"role": "assistant", "content": "Four."},
    {"role": "user", "content": [{"type": "text", "text": "And then?"}]},
]
ANSWER = "[echo, no model] Your message 2 was: And then?"


@pytest.fixture
def port() -> Iterator[int]:
    with echo.server(0) as server:
        threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield server.server_port
        server.shutdown()


@pytest.fixture
def client(port: int) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{port}/v1",
        api_key="any",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as made:
        yield made


class TestCompletion:
    def test_the_answer_says_that_it_is_an_echo(self, client: openai.OpenAI) -> None:
        done = client.chat.completions.create(model="anything", messages=MESSAGES)

        assert done.choices[0].message.content == ANSWER
        assert done.choices[0].finish_reason == "stop"
        assert done.model == "echo"

    def test_words_are_counted_as_tokens(self, client: openai.OpenAI) -> None:
        usage = client.chat.completions.create(model="echo", messages=MESSAGES).usage

        assert usage is not None
        assert (usage.prompt_tokens, usage.completion_tokens, usage.total_tokens) == (8, 9, 17)

    def test_the_temperature_changes_nothing(self, client: openai.OpenAI) -> None:
        cold, hot = (
            client.chat.completions.create(model="echo", messages=MESSAGES, temperature=temperature)
            for temperature in (0.0, 2.0)
        )

        assert cold.id == hot.id
        assert cold.choices == hot.choices

    @pytest.mark.parametrize("name", ["max_tokens", "max_completion_tokens"])
    def test_a_limit_cuts_the_answer(self, client: openai.OpenAI, name: str) -> None:
        limit: Any = {name: 5}
        done = client.chat.completions.create(model="echo", messages=MESSAGES, **limit)

        assert done.choices[0].message.content == "[echo, no model] Your message"
        assert done.choices[0].finish_reason == "length"

    def test_no_limit_cuts_the_label(self, client: openai.OpenAI) -> None:
        done = client.chat.completions.create(model="echo", messages=MESSAGES, max_tokens=1)

        assert done.choices[0].message.content == "[echo, no model]"


class TestStream:
    def test_the_pieces_are_the_whole_answer(self, client: openai.OpenAI) -> None:
        pieces = list(client.chat.completions.create(model="echo", messages=MESSAGES, stream=True))

        assert "".join(piece.choices[0].delta.content or "" for piece in pieces) == ANSWER
        assert len(pieces) == len(ANSWER.split()) + 1
        assert [piece.choices[0].finish_reason for piece in pieces[-2:]] == [None, "stop"]

    def test_usage_comes_last_and_only_when_asked_for(self, client: openai.OpenAI) -> None:
        *_, last = client.chat.completions.create(
            model="echo", messages=MESSAGES, stream=True, stream_options={"include_usage": True}
        )

        assert last.choices == []
        assert last.usage is not None
        assert last.usage.total_tokens == 17

    def test_the_connection_stays_usable(self, port: int) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        for _ in range(2):
            connection.request("POST", "/v1/chat/completions", json.dumps({"messages": [], "stream": True}))
            assert connection.getresponse().read().endswith(b"data: [DONE]\n\n")
        connection.close()


class TestDoors:
    def test_the_only_model_is_echo(self, client: openai.OpenAI) -> None:
        assert [model.id for model in client.models.list()] == ["echo"]

    @pytest.mark.parametrize("body", [b"{", b"[]", b"{}", b'{"messages": ["hello"]}'])
    def test_what_is_not_a_conversation_is_refused(self, port: int, body: bytes) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("POST", "/v1/chat/completions", body)
        reply = connection.getresponse()

        assert reply.status == 400
        assert json.loads(reply.read())["error"]["type"] == "invalid_request_error"
        connection.close()

    @pytest.mark.parametrize("method", ["GET", "POST"])
    def test_other_doors_are_not_there(self, port: int, method: str) -> None:
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request(method, "/v1/responses")

        assert connection.getresponse().status == 404
        connection.close()
