"""Costs through the door: an answer's, a conversation's, reports as JSON and as CSV; and what is refused."""

import csv
import io
from typing import Any

import pytest

from tests.api.conftest import Stage
from tests.api.test_trees import got, home, refused
from tests.conftest import ENGINES, Client
from tests.local_upstream import error

pytestmark = pytest.mark.parametrize("stage", ENGINES, indirect=True)

RATES = {"input": "10", "cached_input": "1", "output": "100"}


@pytest.fixture
def priced(stage: Stage) -> Client:
    """Alice of Acme, whose model has a price."""
    named = {"model": "gpt-5.4*", "currency": "CNY", **RATES, "replace": True}
    assert stage.alice.post("/v1/prices", json=named).status_code == 200
    return stage.alice


def lines(client: Client, query: str) -> list[dict[str, str]]:
    answered = client.get(f"/v1/costs?format=csv&{query}")
    assert answered.status_code == 200, answered.text
    assert answered.headers["Content-Type"] == "text/csv; charset=utf-8"
    assert answered.headers["Content-Disposition"] == 'attachment; filename="costs.csv"'
    return list(csv.DictReader(io.StringIO(answered.text, newline="")))


class TestOne:
    def test_an_answer_and_the_path_to_it(self, priced: Client) -> None:
        root = priced.ask()["id"]
        tip = priced.ask(after=root)["id"]
        found = got(priced, f"/v1/responses/{tip}/cost")
        assert (found["cost"]["amount"], found["cost"]["currency"]) == ("0.000594", "CNY")
        assert found["path"]["costs"] == [{"currency": "CNY", "amount": "0.001188", "estimated": "0"}]
        assert priced.post("/v1/branches", json={"name": f"b-{tip[-8:]}", "tip": tip}).status_code == 200
        assert got(priced, f"/v1/responses/b-{tip[-8:]}/cost") == found

    def test_a_conversation_in_parts(self, stage: Stage, priced: Client) -> None:
        root = priced.ask()["id"]
        priced.ask("Another way.", after=root)
        stage.upstream.will(error(400))
        priced.create("No.", after=root)
        priced.ask("On.", after=root)
        found = got(priced, f"/v1/conversations/{home(priced, root)}/cost")
        counts = {name: part["exchanges"] for name, part in found["parts"].items()}
        assert counts == {"main_thread": 2, "abandoned_branches": 1, "replays": 0, "failed_attempts": 1}
        assert found["parts"]["failed_attempts"]["not_billed"] == 1
        assert found["total"]["costs"][0]["amount"] == "0.001782"

    def test_nobody_elses(self, stage: Stage, priced: Client) -> None:
        root = priced.ask()["id"]
        refused(stage.carol.get(f"/v1/responses/{root}/cost"), 404)
        refused(stage.carol.get(f"/v1/conversations/{home(priced, root)}/cost"), 404)


class TestReports:
    def test_keys_have_names_and_conversations_titles(self, stage: Stage, priced: Client) -> None:
        made = priced.ask("=Called so", user="somebody")["id"]
        found = got(priced, "/v1/costs?group_by=key,conversation&user=somebody")
        group = found["data"][-1]["group"]
        assert group["key"]["name"] == "alice"
        assert group["conversation"] == {"id": home(priced, made), "title": "=Called so"}
        assert found["totals"]["exchanges"] == len(found["data"])

    def test_others_see_their_own(self, stage: Stage, priced: Client) -> None:
        priced.ask(user="of alice's")
        found = got(stage.carol, "/v1/costs?group_by=user")
        assert "of alice's" not in {row["group"]["user"] for row in found["data"]}

    def test_a_spreadsheet_takes_no_text_for_a_formula(self, priced: Client) -> None:
        for text in ("=1+1", "+1", "-1", "@x", "\tx", "\rx", 'plain, quoted "\n'):
            priced.ask(user=text)
        for row in lines(priced, "group_by=user"):
            assert not row["user"].startswith(("=", "+", "-", "@", "\t", "\r"))
        assert {"'=1+1", "'@x", 'plain, quoted "\n'} <= {row["user"] for row in lines(priced, "group_by=user")}

    def test_columns_can_be_added_up(self, priced: Client) -> None:
        priced.ask()
        cheap = {"model": "cheap", "currency": "EUR", **RATES}
        priced.post("/v1/prices", json=cheap)
        totals = got(priced, "/v1/costs")["totals"]
        for query in ("group_by=model", "group_by=day,user&what_if=cheap", ""):
            rows = lines(priced, query)
            assert sum(int(row["exchanges"] or 0) for row in rows) == totals["exchanges"]
            assert sum(int(row["total_tokens"] or 0) for row in rows) == totals["total_tokens"]
        assert {row["currency"] for row in rows} >= {"CNY"}

    def test_pages_go_on_where_the_one_before_ended(self, priced: Client) -> None:
        for text in ("one", "two", "three"):
            priced.ask(user=text)
        whole = got(priced, "/v1/costs?group_by=user&limit=1000")["data"]
        seen: list[Any] = []
        after = ""
        while True:
            page = got(priced, f"/v1/costs?group_by=user&limit=2{after}")
            seen += page["data"]
            after = f"&after={page['last_id']}"
            if not page["has_more"]:
                break
        assert seen == whole

    @pytest.mark.parametrize(
        ("query", "param"),
        [
            ("group_by=colour", "group_by"),
            ("group_by=metadata.", "group_by"),
            ("group_by=model,model", "group_by"),
            ("group_by=model,key,user,day", "group_by"),
            ("from=yesterday", "from"),
            ("to=2026-13-01", "to"),
            ("from=2026-11-02&to=2026-11-01", "to"),
            ("timezone=Mars/Phobos", "timezone"),
            ("timezone=../etc/passwd", "timezone"),
            ("timezone=Europe", "timezone"),
            ("limit=0", "limit"),
            ("after=nonsense&group_by=model", "after"),
            ("format=xml", "format"),
            ("sort=colour", "sort"),
            ("what_if=", "what_if"),
            ("what_if=nobody-knows-it", "what_if"),
            ("what_if=gpt-5.4&group_by=branch", "group_by"),
            ("price_set=none", "price_set"),
            ("what_if=gpt-5.4&price_set=x", "price_set"),
            ("user=%00", "user"),
        ],
    )
    def test_nonsense_is_named(self, priced: Client, query: str, param: str) -> None:
        refused(priced.get(f"/v1/costs?{query}"), 400, param=param)
