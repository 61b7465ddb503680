"""`POST /v1/costs/reconcile`: a bill that agrees, and every way in which one does not."""

from typing import Any, ClassVar

import pytest

from tests.conftest import ENGINES, Client
from tests.local_upstream import LocalUpstream, answer, broken_off, error

pytestmark = pytest.mark.parametrize("stage", ENGINES, indirect=True)

# One answer of the local provider: 13 input tokens, 4 of them cached, 5 output tokens; 0.000594 CNY.
PRICE = {"model": "gpt-5.4*", "currency": "CNY", "input": 10, "cached_input": 1, "output": 100}
HEAD = "start_time,model,num_model_requests,input_tokens,output_tokens,input_cached_tokens\n"
TODAY = 1795305600
NAME = "gpt-5.4-2026-03-05"


def reconciled(client: Client, text: str, **query: str) -> dict[str, Any]:
    answered = client.post("/v1/costs/reconcile", data=text.encode(), query_string=query)
    assert answered.status_code == 200, answered.text
    return dict(answered.json)


@pytest.fixture(autouse=True)
def price(alice: Client, noise: None) -> None:
    assert alice.post("/v1/prices", json=PRICE).status_code == 200


class TestUsage:
    def test_a_bill_that_agrees(self, alice: Client) -> None:
        alice.ask()
        found = reconciled(alice, f"{HEAD}{TODAY},{NAME},3,39,15,12\n")
        (line,) = found["data"]
        assert line["theirs"] == line["ours"]
        assert not any(line["delta"][name] for name in ("requests", "input_tokens", "cached_tokens", "output_tokens"))
        assert line["explained_by"] == []
        assert (found["format"], found["totals"]["differences"]) == ("openai-usage", 0)

    def test_what_may_explain_a_difference_is_named(self, alice: Client, upstream: LocalUpstream) -> None:
        upstream.will(answer("Uncounted.", usage=None), broken_off(answer("Cut off in the middle of it."), 5))
        uncounted = alice.ask()["id"]
        alice.stream("Go on.")
        upstream.will(error(400))
        alice.create()
        found = reconciled(alice, f"{HEAD}{TODAY},{NAME},4,99,44,8\n")
        causes = {each["cause"]: each for line in found["data"] for each in line["explained_by"]}
        assert causes["missing_usage"]["ids"] == [uncounted]
        assert causes["cut_stream"]["exchanges"] == 1
        assert found["totals"]["differences"] > 0
        # What was refused is nobody's bill.
        assert sum(line["ours"]["requests"] for line in found["data"] if line["ours"]) == 4

    def test_days_and_models_that_only_one_side_has(self, alice: Client) -> None:
        found = reconciled(alice, f"{HEAD}{TODAY},elsewhere,1,1,1,0\n{TODAY + 86400},{NAME},1,1,1,0\n")
        sides = {(line["day"], line["model"]): (line["theirs"], line["ours"]) for line in found["data"]}
        assert sides["2026-11-22", "elsewhere"][1] is None
        assert sides["2026-11-23", NAME][1] is None
        assert sides["2026-11-22", NAME][0] is None
        assert sides["2026-11-22", NAME][1]["requests"] == 2

    def test_a_name_that_was_asked_for_counts_where_the_bill_has_it(self, alice: Client) -> None:
        (line,) = reconciled(alice, f"{HEAD}{TODAY},gpt-5.4,2,26,10,8\n")["data"]
        assert line["theirs"] == line["ours"]

    def test_the_days_are_those_of_the_zone(self, alice: Client) -> None:
        # The clock stands at noon in UTC, which is the evening of the same day in Shanghai and the 23rd in Kiritimati.
        text = f"d,m,n\n2026-11-23,{NAME},2\n"
        columns = {"column.day": "d", "column.model": "m", "column.requests": "n"}
        assert reconciled(alice, text, timezone="Pacific/Kiritimati", **columns)["totals"]["differences"] == 0
        assert reconciled(alice, text, timezone="Asia/Shanghai", **columns)["totals"]["differences"] > 0

    def test_only_what_one_upstream_was_asked(self, alice: Client) -> None:
        (line,) = reconciled(alice, f"{HEAD}{TODAY},{NAME},0,0,0,0\n", upstream="elsewhere")["data"]
        assert line["ours"] is None

    def test_nobody_sees_anothers(self, alice: Client, carol: Client) -> None:
        alice.ask()
        (line,) = reconciled(carol, f"{HEAD}{TODAY},{NAME},2,26,10,8\n")["data"]
        assert line["theirs"] == line["ours"]


class TestAmounts:
    COLUMNS: ClassVar = {"column.day": "date", "column.model": "model", "column.amount": "cost", "currency": "CNY"}

    def test_money_is_compared_in_its_currency(self, alice: Client) -> None:
        alice.ask()
        text = f"date,model,cost\n2026-11-22,{NAME},0.0006\n"
        (line,) = reconciled(alice, text, **self.COLUMNS)["data"]
        assert (line["currency"], line["ours"]["amount"], line["delta"]["amount"]) == ("CNY", "0.000594", "0.000006")
        # The noise was asked before there was a price.
        assert [(each["cause"], each["exchanges"]) for each in line["explained_by"]] == [("unknown_price", 2)]

    def test_another_currency_is_another_line(self, alice: Client) -> None:
        alice.ask()
        text = f"date,model,cost\n2026-11-22,{NAME},1\n"
        found = reconciled(alice, text, **{**self.COLUMNS, "currency": "USD"})
        assert [(line["currency"], line["theirs"] is None) for line in found["data"]] == [("CNY", True), ("USD", False)]
        sums = {each["currency"]: each["delta"]["amount"] for each in found["totals"]["by_currency"]}
        assert sums == {"CNY": "-0.000594", "USD": "1"}


@pytest.mark.parametrize(
    ("text", "query", "param"),
    [
        ("a,b\n1,2\n", {}, None),
        (f"{HEAD}{TODAY},x,much,1,1,1\n", {}, "num_model_requests"),
        (f"{HEAD}{TODAY},x,1,1,1,1\n", {"timezone": "Mars/Olympus"}, "timezone"),
        (f"{HEAD}{TODAY},x,1,1,1,1\n", {"column.colour": "x"}, "column.colour"),
        (f"{HEAD}{TODAY},x,1,1,1,1\n", {"column.day": "start_time"}, "column.model"),
        (f"{HEAD}{TODAY},x,1,1,1,1\n", {"column.day": "no", "column.model": "model"}, "no"),
        (f"{HEAD}{TODAY},x,1,1,1,1\n", {"only.project": "p"}, "project"),
    ],
)
def test_nonsense_is_named(alice: Client, text: str, query: dict[str, str], param: str | None) -> None:
    answered = alice.post("/v1/costs/reconcile", data=text.encode(), query_string=query)
    assert (answered.status_code, answered.json["error"]["param"]) == (400, param), answered.text


@pytest.mark.parametrize("body", [b"", b"\xff\xfe", b"{}", b"\x00", b'"'])
def test_what_is_no_csv_is_refused(alice: Client, body: bytes) -> None:
    answered = alice.post("/v1/costs/reconcile", data=body)
    assert (answered.status_code, answered.json["error"]["code"]) == (400, "invalid_file"), answered.text
