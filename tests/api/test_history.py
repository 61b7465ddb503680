"""`GET /v1/responses`: what was asked and answered, filtered and searched."""

from typing import Any

import pytest

from tests.conftest import Client
from tests.local_upstream import LocalUpstream, answer, message


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
