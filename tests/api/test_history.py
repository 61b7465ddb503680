"""`GET /v1/responses`: what was asked and answered, filtered and searched."""

from typing import Any

import pytest

from convstore.schemas.history import MEMBERS
from tests.conftest import Client
from tests.local_upstream import LocalUpstream, answer, function_call, message


def listed(client: Client, **query: Any) -> dict[str, Any]:
    """A page that is there."""
    answered = client.get("/v1/responses", query_string=query)
    assert answered.status_code == 200, answered.text
    page = dict(answered.json)
    assert set(page) == {"object", "data", "first_id", "last_id", "has_more"}
    return page


def ids_of(client: Client, **query: Any) -> list[str]:
    return [each["id"] for each in listed(client, **query)["data"]]


@pytest.fixture
def weather(alice: Client, upstream: LocalUpstream, noise: list[str]) -> list[str]:
    """Two turns about the weather: in English, and in Chinese."""
    upstream.will(answer(message("It is sunny in Berlin.")))
    first = alice.ask("What is the weather like in Berlin?", user="u1", metadata={"team": "red"})["id"]
    upstream.will(answer(message("北京的天气预报说明天会下雨。")))
    return [first, alice.ask("北京明天天气怎么样?", after=first, instructions="Answer like a pirate.")["id"]]


class TestIndex:
    def test_all_of_a_project_the_newest_first(self, alice: Client, weather: list[str], noise: list[str]) -> None:
        assert ids_of(alice) == [*weather[::-1], *noise[1::-1]]
        assert ids_of(alice, order="asc", limit=3) == [*noise[:2], weather[0]]

    def test_a_search_finds_words_of_question_and_answer(self, alice: Client, weather: list[str]) -> None:
        assert ids_of(alice, q="weather sunny") == [weather[0]]
        assert ids_of(alice, q="天气") == [weather[1]]
        assert ids_of(alice, q="天气预报") == [weather[1]]
        assert ids_of(alice, q="天气报") == []
        assert ids_of(alice, q="雨") == [weather[1]]
        assert ids_of(alice, q="pirate") == [weather[1]]
        assert ids_of(alice, q="weather rain") == []

    def test_sorted_by_relevance(self, alice: Client, weather: list[str]) -> None:
        page = listed(alice, q="noise", sort="relevance", limit=1)
        assert page["has_more"]
        later = listed(alice, q="noise", sort="relevance", limit=1, after=page["last_id"])
        assert page["data"][0]["question"] == "Noise, second turn"
        assert later["data"][0]["question"] == "Noise, first turn"
        assert not later["has_more"]
        back = listed(alice, q="noise", sort="relevance", limit=1, before=later["first_id"])
        assert back["data"] == page["data"]

    def test_a_listed_response(self, alice: Client, weather: list[str]) -> None:
        second, first = listed(alice, limit=2)["data"]
        assert set(first) == set(MEMBERS) - {"snippets", "input", "output"}
        told = {name: first[name] for name in ("object", "status", "origin", "depth", "children", "question", "answer")}
        assert told == {
            "object": "response",
            "status": "completed",
            "origin": "create",
            "depth": 0,
            "children": 1,
            "question": "What is the weather like in Berlin?",
            "answer": "It is sunny in Berlin.",
        }
        assert (first["user"], first["metadata"], first["usage"]["input_tokens"]) == ("u1", {"team": "red"}, 13)
        assert (second["previous_response_id"], second["conversation_id"]) == (first["id"], first["conversation_id"])
        assert isinstance(first["created_at"], int)

    def test_snippets_of_what_was_found(self, alice: Client, weather: list[str]) -> None:
        (found,) = listed(alice, q="天气预报 pirate")["data"]
        shown = {each["field"]: each for each in found["snippets"]}
        assert set(shown) == {"answer", "instructions"}
        (start, end), *_ = shown["answer"]["highlights"]
        assert shown["answer"]["text"][start:end] == "天气预报"
        assert shown["answer"]["item_id"].startswith("msg_")
        assert "snippets" not in listed(alice, q="pirate", fields="id")["data"][0]

    def test_the_members_that_are_asked_for(self, alice: Client, weather: list[str]) -> None:
        (only,) = listed(alice, q="sunny", fields="answer,output,input")["data"]
        assert set(only) == {"id", "object", "answer", "output", "input"}
        assert only["output"][0]["content"][0]["text"] == "It is sunny in Berlin."
        assert only["input"][0]["role"] == "user"
        assert listed(alice, fields="id", limit=1)["data"] == [{"id": weather[1], "object": "response"}]

    def test_filters_at_the_door(
        self, alice: Client, carol: Client, weather: list[str], upstream: LocalUpstream
    ) -> None:
        upstream.will(answer(function_call()))
        called = alice.ask("Call a tool", after=weather[1])["id"]
        name = function_call()["name"]
        assert ids_of(alice, tool=name) == [called]
        assert ids_of(alice, **{"metadata.team": "red"}) == [weather[0]]
        assert ids_of(alice, **{"metadata.team": "blue"}) == []
        assert ids_of(alice, ancestor=weather[1]) == [called, weather[1]]
        assert ids_of(alice, descendant=weather[1], has_children="true") == weather[::-1]
        assert ids_of(alice, user="u1", status="completed", since=1_700_000_000) == [weather[0]]
        assert ids_of(alice, until=1_700_000_000) == []
        assert ids_of(carol, tool=name) == ids_of(carol, q="weather") == []

    def test_by_what_it_cost(self, alice: Client, carol: Client, weather: list[str]) -> None:
        free = ids_of(alice, max_cost="0")
        price = {"model": "*", "currency": "CNY", "input": "1000", "output": "1000"}
        assert alice.post("/v1/prices", json=price).status_code == 200
        dear = alice.ask("What is the dearest city?", after=weather[1])["id"]
        (cost,) = (each["cost"] for each in listed(alice, limit=1)["data"])
        assert ids_of(alice, min_cost="0.01") == [dear] == ids_of(alice, min_cost=cost, max_cost=cost, currency="CNY")
        assert ids_of(alice, min_cost=f"{cost}1") == ids_of(alice, min_cost="0.01", currency="USD") == []
        assert ids_of(alice, q="city", max_cost="1000000000") == [dear]
        assert ids_of(alice, max_cost="0") == free
        assert dear not in ids_of(alice, max_cost=f"{cost[:-1]}0")
        assert ids_of(carol, min_cost="0.01") == []

    def test_it_describes_itself(self, alice: Client) -> None:
        described = alice.get("/openapi.json").json["paths"]["/v1/responses"]["get"]
        names = {each["name"] for each in described["parameters"]}
        assert {"q", "fields", "since", "tool", "metadata"} - names == {"metadata"}

    def test_deleted_and_not_to_be_stored(self, alice: Client, weather: list[str]) -> None:
        hidden = alice.ask("weather in secret", store=False)["id"]
        alice.delete(f"/v1/responses/{weather[0]}")
        assert ids_of(alice, q="weather") == []
        assert {hidden, weather[0]}.isdisjoint(ids_of(alice))


class TestWrong:
    @pytest.mark.parametrize(
        ("query", "param"),
        [
            ({"q": "x" * 10_000}, "q"),
            ({"q": ""}, "q"),
            ({"limit": "0"}, "limit"),
            ({"min_total_tokens": "-1"}, "min_total_tokens"),
            ({"min_depth": "two"}, "min_depth"),
            ({"min_latency_ms": "5", "max_latency_ms": "4"}, "max_latency_ms"),
            ({"min_cost": "-0.01"}, "min_cost"),
            ({"max_cost": "NaN"}, "max_cost"),
            ({"min_cost": "0.2", "max_cost": "0.1"}, "max_cost"),
            ({"currency": "bucks"}, "currency"),
            ({"since": "-5"}, "since"),
            ({"since": "20", "until": "10"}, "until"),
            ({"until": "99999999999999"}, "until"),
            ({"status": "done"}, "status"),
            ({"sort": "relevance"}, "sort"),
            ({"fields": "id,secret"}, "fields[1]"),
            ({"conversation": "conv_1"}, "conversation"),
            ({"ancestor": "resp_" + "0" * 32}, "ancestor"),
            ({"descendant": "nobody"}, "descendant"),
            ({"has_children": "maybe"}, "has_children"),
            ({"user": "a\0"}, "user"),
            ({"ancestor": "\0"}, "ancestor"),
            ({"after": "resp_1"}, "after"),
            ({"before": "nonsense"}, "before"),
            ({"q": "a", "sort": "relevance", "after": "nonsense"}, "after"),
            ({"q": "a", "sort": "relevance", "after": "é!"}, "after"),
        ],
    )
    def test_it_is_named(self, alice: Client, query: dict[str, str], param: str) -> None:
        answered = alice.get("/v1/responses", query_string=query)
        assert answered.status_code == 400
        assert answered.json["error"]["param"] == param

    def test_a_cursor_of_another_query_or_project(self, alice: Client, carol: Client, weather: list[str]) -> None:
        page = listed(alice, q="noise", sort="relevance", limit=1)
        for client, other in (
            (alice, {"q": "weather"}),
            (alice, {"q": "noise", "user": "u1"}),
            (carol, {"q": "noise"}),
        ):
            query = {**other, "sort": "relevance", "after": page["last_id"]}
            answered = client.get("/v1/responses", query_string=query)
            assert (answered.status_code, answered.json["error"]["param"]) == (400, "after")
        answered = carol.get("/v1/responses", query_string={"after": weather[0]})
        assert (answered.status_code, answered.json["error"]["param"]) == (400, "after")

    @pytest.mark.parametrize("text", ['"', "a OR", "NEAR(a b)", "'; DROP TABLE", "%", "\\", "a:*", "天*", "!?"])
    def test_signs_are_no_syntax(self, alice: Client, text: str) -> None:
        assert ids_of(alice, **{"metadata.n": text}) == []
        listed(alice, q=text)
        listed(alice, q=text, sort="relevance")
