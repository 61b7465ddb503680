"""The conversations of the demo: what is asked, in which order, and what is kept of it.

The client is the official one and the wire is real; the service behind it is a small fake that knows just
enough of the Responses API. test_demo_command.py holds the same conversations with the real one.
"""

import json
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

import openai
import pytest

from convstore.cli.demo import talk

Json = dict[str, Any]


class FakeService(ThreadingHTTPServer):
    """Keeps what it is asked in `requests`; answers "Yes, N." with N counted from 1."""

    def __init__(self) -> None:
        super().__init__(("127.0.0.1", 0), FakeDoors)
        self.requests: list[Json] = []
        self.status = "completed"
        self.cut_streams = False

    def response(self, number: int) -> Json:
        asked = self.requests[number - 1]
        part = {"type": "output_text", "text": f"Yes, {number}.", "annotations": []}
        message: Json = {"id": f"msg_{number}", "type": "message", "role": "assistant", "content": [part]}
        return {
            "id": f"resp_{number}",
            "object": "response",
            "created_at": 1_700_000_000,
            "status": self.status,
            "error": {"code": "server_error", "message": "out of tea"} if self.status == "failed" else None,
            "model": asked["model"],
            "previous_response_id": asked.get("previous_response_id"),
            "temperature": asked["temperature"],
            "output": [{**message, "status": "completed"}],
        }

    def items(self, number: int) -> list[Json]:
        """Newest first: the request's own question, then the thread's."""
        asked = self.requests[number - 1]
        part = {"type": "input_text", "text": asked["input"]}
        own = {"id": f"msg_{number}i", "type": "message", "role": "user", "content": [part]}
        parent = asked.get("previous_response_id")
        return [own, *(self.items(int(parent.removeprefix("resp_"))) if parent else [])]


class FakeDoors(BaseHTTPRequestHandler):
    server: FakeService

    def do_POST(self) -> None:
        asked = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
        self.server.requests.append(asked)
        response = self.server.response(len(self.server.requests))
        if not asked.get("stream"):
            return self.send("application/json", json.dumps(response))
        delta: Json = {
            "type": "response.output_text.delta",
            "delta": "Yes",
            "item_id": "m",
            "output_index": 0,
        }
        last: Json = {"type": f"response.{response['status']}", "response": response}
        events = [delta] if self.server.cut_streams else [delta, last]
        data = "".join(f"event: {event['type']}\ndata: {json.dumps(event)}\n\n" for event in events)
        return self.send("text/event-stream", data)

    def do_GET(self) -> None:
        name, _, rest = self.path.removeprefix("/v1/responses/").partition("/")
        number = int(name.removeprefix("resp_"))
        items = {"object": "list", "data": self.server.items(number)[:1], "has_more": number > 1}
        self.send("application/json", json.dumps(items if rest else self.server.response(number)))

    def send(self, content_type: str, body: str) -> None:
        self.send_response(200)
        self.send_header("Content-Type", content_type)
        self.end_headers()
        self.wfile.write(body.encode())

    def log_message(self, *_: object) -> None:
        pass


@pytest.fixture
def service() -> Iterator[FakeService]:
    with FakeService() as fake:
        threading.Thread(target=fake.serve_forever, kwargs={"poll_interval": 0.01}, daemon=True).start()
        yield fake
        fake.shutdown()


@pytest.fixture
def client(service: FakeService) -> Iterator[openai.OpenAI]:
    with openai.OpenAI(
        base_url=f"http://127.0.0.1:{service.server_port}/v1",
        api_key="sk-test",
        max_retries=0,
        http_client=openai.DefaultHttpxClient(trust_env=False),
    ) as made:
        yield made


STREAMED, PLAIN, FORKED = talk.conversations()


class TestConversations:
    def test_they_are_mt_bench_questions_with_a_follow_up(self) -> None:
        assert [each.question_id for each in talk.conversations()] == [100, 103, 152]
        assert PLAIN.turns == (
            "Thomas is very healthy, but he has to go to the hospital every day. What could be the reasons?",
            "Can you explain why the above question is interesting?",
        )

    def test_one_is_streamed_and_one_forks(self) -> None:
        assert [each.streamed for each in talk.conversations()] == [True, False, False]
        assert [len(each.temperatures) for each in talk.conversations()] == [1, 1, 2]

    def test_a_title_says_what_is_to_be_seen(self) -> None:
        assert STREAMED.title == "MT-Bench question 100, roleplay, streamed"
        assert PLAIN.title == "MT-Bench question 103, reasoning, in one piece"
        assert FORKED.title == "MT-Bench question 152, humanities, forked"


class TestHold:
    def test_the_follow_up_continues_the_first_answer(self, client: openai.OpenAI, service: FakeService) -> None:
        held = list(talk.hold(client, "echo", PLAIN))

        assert [response_id for response_id, _ in held] == ["resp_1", "resp_2"]
        assert [asked["input"] for asked in service.requests] == list(PLAIN.turns)
        assert [asked.get("previous_response_id") for asked in service.requests] == [None, "resp_1"]

    def test_a_fork_asks_twice_from_the_same_parent(self, client: openai.OpenAI, service: FakeService) -> None:
        list(talk.hold(client, "echo", FORKED))

        assert [asked.get("previous_response_id") for asked in service.requests] == [None, "resp_1", "resp_1"]
        assert [asked["temperature"] for asked in service.requests] == [0.2, 0.2, 1.2]
        assert service.requests[1]["input"] == service.requests[2]["input"] == FORKED.turns[1]

    def test_an_answer_in_one_piece_has_no_first_token(self, client: openai.OpenAI) -> None:
        assert [timing.first_token_s for _, timing in talk.hold(client, "echo", PLAIN)] == [None, None]

    def test_a_stream_is_timed_to_its_first_token(self, client: openai.OpenAI, service: FakeService) -> None:
        for _, timing in talk.hold(client, "echo", STREAMED):
            assert timing.first_token_s is not None
            assert 0 < timing.first_token_s <= timing.total_s
        assert all(asked["stream"] for asked in service.requests)

    def test_an_answer_cut_at_its_limit_is_an_answer(self, client: openai.OpenAI, service: FakeService) -> None:
        service.status = "incomplete"

        assert len(list(talk.hold(client, "echo", STREAMED))) == 2

    @pytest.mark.parametrize("conversation", [STREAMED, PLAIN])
    def test_a_failed_answer_ends_the_conversation(
        self, client: openai.OpenAI, service: FakeService, conversation: talk.Conversation
    ) -> None:
        service.status = "failed"

        with pytest.raises(talk.AnswerFailed, match="resp_1 is failed: out of tea"):
            list(talk.hold(client, "echo", conversation))

    def test_a_stream_without_an_end_is_not_an_answer(self, client: openai.OpenAI, service: FakeService) -> None:
        service.cut_streams = True

        with pytest.raises(talk.AnswerFailed, match="without a terminal event"):
            list(talk.hold(client, "echo", STREAMED))


class TestReadBack:
    def test_the_words_are_the_stores(self, client: openai.OpenAI) -> None:
        first, second = talk.hold(client, "echo", PLAIN)

        turn = talk.read_back(client, *second)

        assert turn.question == PLAIN.turns[1]
        assert turn.response.output_text == "Yes, 2."
        assert turn.response.previous_response_id == first[0]
        assert turn.timing is second[1]
