"""`convstore search` and `convstore reindex`: at both doors, on both engines."""

import json

import pytest

from tests.cli.house import House


@pytest.fixture
def weather(house: House) -> list[str]:
    return [house.ask("Weather in Berlin?", "It is sunny"), house.ask("北京天气怎么样?", "明天会下雨")]


class TestSearch:
    def test_what_was_found_is_shown_line_by_line(self, house: House, weather: list[str]) -> None:
        lines = house.output("search", "天气").splitlines()
        assert weather[1] in lines[0] and "北京天气怎么样?" in lines[0]
        assert lines[1] == "    question: 北京天气怎么样?"
        assert len(lines) == 2

    def test_as_json_with_filters(self, house: House, weather: list[str]) -> None:
        found = json.loads(house.output("search", "--json", "--status", "completed", "--limit", "1"))
        assert [each["id"] for each in found["data"]] == [weather[1]]
        found = json.loads(house.output("search", "sunny", "--relevance", "--json", "--fields", "answer"))
        (only,) = found["data"]
        assert only == {"id": weather[0], "object": "response", "answer": "It is sunny"}

    def test_pages_are_put_together(self, house: House) -> None:
        made = house.chain(*(f"Number {number}" for number in range(5)))
        found = json.loads(house.output("search", "number", "--oldest-first", "--json"))
        assert [each["id"] for each in found["data"]] == made

    def test_nothing_is_said_so(self, house: House, weather: list[str]) -> None:
        ran = house.run("search", '"zanzibar" OR (')
        assert (ran.code, ran.out) == (0, "")

    @pytest.mark.parametrize(
        ("options", "named"), [(("--min-depth", "-1"), "min_depth"), (("--since", "5", "--until", "4"), "until")]
    )
    def test_what_is_wrong_is_named(self, house: House, options: tuple[str, ...], named: str) -> None:
        ran = house.run("search", *options)
        assert ran.code == 1
        assert named in ran.err


class TestReindex:
    def test_what_is_from_before_is_found_again(self, house: House, weather: list[str]) -> None:
        with house.deps.database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM searches")
            if house.deps.database.is_sqlite:
                connection.exec_driver_sql("INSERT INTO search_words (search_words) VALUES ('delete-all')")
        assert house.output("search", "sunny") == ""
        assert "were added to the index" in house.shell.output("reindex")
        assert weather[0] in house.output("search", "sunny")
        assert house.shell.output("reindex") == "0 exchanges were added to the index.\n"
