"""Bills: read from the exports of their producers, and from any CSV one says the columns of."""

from datetime import UTC, date
from decimal import Decimal
from zoneinfo import ZoneInfo

import pytest

from convstore.domain import billing
from convstore.domain.billing import Bill, Place, Reading
from convstore.errors import BillUnreadable

USAGE = (
    "start_time,end_time,project_id,num_model_requests,user_id,api_key_id,model,batch,service_tier,"
    "input_tokens,output_tokens,input_cached_tokens,input_audio_tokens\n"
    "1796083200,1796169600,proj_a,2,,,gpt-5.4-2026-03-05,false,,1000,50,400,0\n"
    "1796083200,1796169600,proj_b,1,,,gpt-5.4-2026-03-05,false,,10,5,0,0\n"
    "1796169600,1796256000,proj_a,3,,,gpt-5.4-mini,false,,300,30,0,0\n"
)
COSTS = """start_time,end_time,amount_value,amount_currency,line_item,project_id
1796083200,1796169600,0.0025,usd,"gpt-5.4-2026-03-05, input",proj_a
1796083200,1796169600,0.0001,usd,"gpt-5.4-2026-03-05, cached input",proj_a
1796083200,1796169600,0.00075,usd,"gpt-5.4-2026-03-05, output",proj_a
"""
FIRST, SECOND = date(2026, 12, 1), date(2026, 12, 2)


def read(
    text: str, only: dict[str, str] | None = None, zone: str = "UTC", currency: str | None = None, **columns: str
) -> Bill:
    return billing.read(text, Reading(columns, only or {}, ZoneInfo(zone) if zone != "UTC" else UTC, currency))


def numbers(**given: int | str) -> dict[str, Decimal]:
    return {name: Decimal(value) for name, value in given.items()}


def test_openais_usage() -> None:
    found = read(USAGE)
    assert found.format == "openai-usage"
    assert found.days == (FIRST, SECOND)
    assert found.used == {
        Place(FIRST, "gpt-5.4-2026-03-05", None): numbers(
            requests=3, input_tokens=1010, cached_tokens=400, output_tokens=55
        ),
        Place(SECOND, "gpt-5.4-mini", None): numbers(requests=3, input_tokens=300, cached_tokens=0, output_tokens=30),
    }


def test_openais_costs_are_added_up_over_their_lines() -> None:
    found = read(COSTS)
    assert found.format == "openai-costs"
    assert found.used == {Place(FIRST, "gpt-5.4-2026-03-05", "USD"): numbers(amount="0.00335")}


def test_only_those_lines_that_are_wanted() -> None:
    assert read(USAGE, {"project_id": "proj_b"}).used == {
        Place(FIRST, "gpt-5.4-2026-03-05", None): numbers(requests=1, input_tokens=10, cached_tokens=0, output_tokens=5)
    }


def test_any_other_file_with_its_columns_named() -> None:
    text = '\ufeff日期,模型,次数,费用\r\n2026/12/01,gpt-5.4,"1,200",¥\r\n'.replace("¥", "12.5")
    found = read(text, currency="cny", day="日期", model="模型", requests="次数", amount="费用")
    assert found == Bill("mapped", {Place(FIRST, "gpt-5.4", "CNY"): numbers(requests=1200, amount="12.5")})


@pytest.mark.parametrize(
    ("said", "zone", "day"),
    [
        ("2026-12-01", "Asia/Shanghai", FIRST),
        ("2026/12/01", "UTC", FIRST),
        ("20261201", "UTC", FIRST),
        ("2026-12-01T17:00:00Z", "UTC", FIRST),
        ("2026-12-01T17:00:00Z", "Asia/Shanghai", SECOND),
        ("2026-12-01 17:00:00 UTC", "Asia/Shanghai", SECOND),
        ("1796144400", "Asia/Shanghai", SECOND),
    ],
)
def test_days_are_those_of_the_zone(said: str, zone: str, day: date) -> None:
    found = read(f"d,m,n\n{said},x,1\n", zone=zone, day="d", model="m", requests="n")
    assert found.days == (day, day)


@pytest.mark.parametrize(
    ("text", "where"),
    [
        ("", "line 1"),
        ("a,b\n1,2\n", "line 1: these are no columns of an export that is known"),
        ("d,m\n", "no line"),
        ("d,m,n\n2026-12-01,x\n", "line 2: it has another number"),
        ("d,m,n\n2026-12-01,x,1,2\n", "line 2: it has another number"),
        ("d,m,n\n2026-12-01,x,1\n2026-12-02,x,much\n", "line 3, column 'n': 'much' is no number"),
        ("d,m,n\n2026-12-01,x,1.5\n", "column 'n': '1.5' is no whole number"),
        ("d,m,n\n2026-12-01,x,-1\n", "column 'n': '-1' is no whole number"),
        ("d,m,n\n2026-12-01,x,NaN\n", "column 'n': 'NaN' is no number"),
        ("d,m,n\n2026-12-01,x,1e99\n", "column 'n': '1e99' is no number"),
        ("d,m,n\nsoon,x,1\n", "line 2, column 'd': 'soon' is no day"),
        ("d,m,n\n99999999999999,x,1\n", "column 'd'"),
        ("d,m,n\n,x,1\n", "column 'd': '' is no day"),
        ("d,m,n\n9999-12-31,x,1\n", "column 'd': '9999-12-31' is no day"),
        ("d,m,n\n0001-01-01,x,1\n", "column 'd': '0001-01-01' is no day"),
        ("d,m,n\n2026-12-01,,1\n", "column 'm': the model is missing"),
        ('d,m,n\n"2026-12-01,x,1\n', "it is not CSV"),
    ],
)
def test_what_is_wrong_is_named_by_line_and_column(text: str, where: str) -> None:
    columns = {"day": "d", "model": "m"} if text.startswith("d,") else {}
    columns |= {"requests": "n"} if text.startswith("d,m,n") else {}
    with pytest.raises(BillUnreadable) as refused:
        read(text, **columns)
    assert where in refused.value.message


@pytest.mark.parametrize("missing", [{"requests": "calls"}, {"only": {"project": "x"}}])
def test_a_column_that_is_not_there(missing: dict) -> None:
    with pytest.raises(BillUnreadable) as refused:
        read("d,m\n2026-12-01,x\n", missing.pop("only", None), day="d", model="m", **missing)
    assert "line 1" in refused.value.message
    assert "there is no column" in refused.value.message
