"""`convstore branch`: at both doors, on both engines."""

import json
from typing import Any

import pytest

from tests.api.test_branches import words
from tests.cli.house import House
from tests.local_upstream import Exchange, answer, error, message


def asked_last(house: House) -> dict[str, Any]:
    return dict(house.upstream.questions[-1].body)


class TestBranch:
    def test_a_question_is_asked_again_with_changes(self, house: House) -> None:
        made = house.chain("One", "Two")
        house.upstream.will(answer(message("Better\nby far")))
        out = house.output(
            *("branch", made[1], "--input", "Two?", "--instructions", "Be brief.", "--model", "gpt-5.4-mini"),
            *("--set", "temperature=0.25", "--set", 'metadata={"a": "b"}', "--name", "better"),
        )
        new, *said = out.splitlines()
        assert said == ["Better", "by far"]
        asked = asked_last(house)
        assert words(asked) == ["One", "Answer to One", "Two?"]
        assert (asked["model"], asked["instructions"], asked["temperature"]) == ("gpt-5.4-mini", "Be brief.", 0.25)
        assert house.alice.get("/v1/branches/better").json["tip"] == new
        node = house.alice.get(f"/v1/responses/{new}/thread?items=false").json["data"][-1]
        assert (node["origin_id"], node["status"]) == (made[1], "completed")

    def test_it_stays_on_record_when_others_look_after_the_dead(self, house: House) -> None:
        from convstore.services import recovery

        (made,) = house.chain("One")
        closed: list[int] = []

        def look_then_answer(exchange: Exchange) -> None:
            closed.append(recovery.sweep(house.deps))
            answer(message("Alive"))(exchange)

        house.upstream.will(look_then_answer)
        new = house.output("branch", made).splitlines()[0]
        assert closed == [0]
        assert house.alice.get(f"/v1/responses/{new}").json["status"] == "completed"

    def test_the_answer_as_it_arrives(self, house: House) -> None:
        (made,) = house.chain("One")
        house.upstream.will(answer(message("Streamed [b]\x1b[31m words")))
        new, *said = house.output("branch", made, "--stream").splitlines()
        assert said == ["Streamed [b]␛[31m words"]
        assert house.alice.get(f"/v1/responses/{new}").json["status"] == "completed"
        assert asked_last(house)["stream"] is True

    @pytest.mark.parametrize("options", [(), ("--stream",)])
    def test_as_json(self, house: House, options: tuple[str, ...]) -> None:
        (made,) = house.chain("One")
        house.upstream.will(answer(message("Again")))
        found = json.loads(house.output("branch", made, "--json", *options))
        assert found["replay"] is None
        assert found["response"]["output"][0]["content"][0]["text"] == "Again"

    def test_later_questions_are_carried_along(self, house: House) -> None:
        made = house.chain("One", "Two", "Three", "Four")
        with house.worker():
            house.upstream.will(*(answer(message(f"New {number}")) for number in range(3)))
            ran = house.run("branch", made[0], "--input", "One!", "--carry", "--until", made[2], "--name", "new")
        assert ran.code == 0, ran.err
        assert ran.out.splitlines()[1] == "New 0"
        assert "2/2" in ran.out
        assert "as recorded: 2/2 completed" in ran.err
        tip = house.alice.get("/v1/branches/new").json["tip"]
        thread = house.alice.get(f"/v1/responses/{tip}/thread").json["data"]
        assert [node["question"] for node in thread] == ["One!", "Two", "Three"]
        assert [node["answer"] for node in thread] == ["New 0", "New 1", "New 2"]


class TestErrors:
    @pytest.mark.parametrize(
        ("pair", "said"),
        [
            ("temperature", "--set temperature: expected NAME=JSON"),
            ("=1", "--set =1: expected NAME=JSON"),
            ("model=gpt", "--set model: 'gpt' is not JSON"),
            ("stream=true", "--set stream: use --stream."),
            ("temperature=9", "temperature"),
            ('previous_response_id="x"', "previous_response_id"),
            ('user="a\\ud800"', ""),
        ],
    )
    def test_members_that_are_none(self, house: House, pair: str, said: str) -> None:
        (made,) = house.chain("One")
        before = len(house.upstream.questions)
        ran = house.run("branch", made, "--set", pair)
        assert (ran.code, ran.out, ran.err.count("\n")) == (1, "", 1)
        assert said in ran.err
        assert len(house.upstream.questions) == before

    def test_said_twice(self, house: House) -> None:
        (made,) = house.chain("One")
        assert "given twice" in house.run("branch", made, "--set", "top_p=1", "--set", "top_p=1").err
        assert "given twice" in house.run("branch", made, "--set", "input=1", "--input", "x").err
        assert house.run("branch", made, "--until", made).code == 2

    @pytest.mark.parametrize("options", [(), ("--stream",)])
    def test_a_provider_that_refuses(self, house: House, options: tuple[str, ...]) -> None:
        (made,) = house.chain("One")
        house.upstream.will(error(400, "No \x1b[31mway\nat all"))
        ran = house.run("branch", made, *options)
        assert (ran.code, ran.out, ran.err) == (1, "", "convstore: No ␛[31mway␊at all\n")

    def test_a_stream_that_breaks_off(self, house: House) -> None:
        from tests.local_upstream import broken_off

        (made,) = house.chain("One")
        house.upstream.will(broken_off(answer(message("Streamed words, many of them")), 4))
        ran = house.run("branch", made, "--stream")
        assert ran.code == 1
        assert ran.err.startswith("convstore: ")
        assert ran.err.count("\n") == 1

    def test_a_name_that_is_taken(self, house: House) -> None:
        made = house.chain("One", "Two")
        house.output("branch", made[1], "--name", "mine")
        ran = house.run("branch", made[1], "--name", "mine")
        assert (ran.code, ran.out) == (1, "")
        assert "'mine' exists already" in ran.err
