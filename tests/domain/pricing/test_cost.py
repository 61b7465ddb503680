"""The lines of a cost: against published prices, and against the price library's own reckoning."""

from datetime import UTC, datetime
from decimal import Decimal

import pytest
from genai_prices import Usage as Counted
from genai_prices.data_snapshot import get_snapshot
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain import money
from convstore.domain.items import Item
from convstore.domain.pricing import cost, library
from convstore.domain.pricing.cost import Basis, Cost, Reason
from convstore.domain.pricing.rule import LongContext, Rule
from convstore.domain.usage import Usage

OPENAI = "https://api.openai.com/v1"
ANTHROPIC = "https://api.anthropic.com/v1"
NOW = datetime(2026, 11, 22, 12, 30, tzinfo=UTC)
MILLION = 1_000_000


def rates(**given: str) -> dict[str, Decimal]:
    return {kind: Decimal(rate) for kind, rate in given.items()}


RULE = Rule("book", "price_1", "m", "CNY", rates(input="10", cached_input="1", output="40", web_search="7"))


def of(usage: Usage, rule: Rule = RULE, **calls: int) -> Cost:
    return cost.of(usage, calls, rule)


@pytest.mark.parametrize(
    ("url", "model", "usage", "expected"),
    [
        # 2.50 USD for a million input tokens, 1.25 cached, 10.00 output (OpenAI's price list).
        (OPENAI, "gpt-4o", Usage(MILLION, 0, 0, 0, 0, MILLION), "2.5"),
        (OPENAI, "gpt-4o", Usage(MILLION, MILLION, 0, 0, 0, MILLION), "1.25"),
        (OPENAI, "gpt-4o", Usage(MILLION, 400_000, 0, 100_000, 0, 1_100_000), "3.0"),
        # Reasoning is part of the output, and not paid for twice.
        (OPENAI, "gpt-4o", Usage(0, 0, 0, MILLION, 900_000, MILLION), "10"),
        # 0.75, 0.075 cached, 4.50 output: an answer of a thousand tokens to ten thousand, nine of them cached.
        (OPENAI, "gpt-5.4-mini", Usage(10_000, 9_000, 0, 1_000, 0, 11_000), "0.005925"),
        # Above 272,000 input tokens all of them cost 5.00 instead of 2.50, and the output 22.50 instead of 15.
        (OPENAI, "gpt-5.4", Usage(272_000, 0, 0, 1_000, 0, 273_000), "0.695"),
        (OPENAI, "gpt-5.4", Usage(272_001, 0, 0, 1_000, 0, 273_001), "1.382505"),
        # 3.00 USD, 3.75 for writing the cache, 0.30 for reading it, 15.00 output (Anthropic's price list).
        (ANTHROPIC, "claude-sonnet-4-5", Usage(100_000, 60_000, 30_000, 2_000, 0, 102_000), "0.1905"),
    ],
)
def test_published_prices_are_met(url: str, model: str, usage: Usage, expected: str) -> None:
    rule = library.rule(url, model, None, NOW)
    assert rule is not None
    assert of(usage, rule).amount == Decimal(expected)


MODELS = [(provider, model) for provider in get_snapshot().providers for model in provider.models]
TOKENS = st.integers(0, 2_000_000)


@given(st.sampled_from(MODELS), st.tuples(TOKENS, TOKENS, TOKENS, TOKENS), st.integers(0, 9))
def test_the_library_reckons_the_same(known: tuple, tokens: tuple[int, int, int, int], searches: int) -> None:
    provider, model = known
    cached, written, fresh, output = tokens
    usage = Usage(cached + written + fresh, cached, written, output, 0, sum(tokens))
    rule = library._rule(provider.id, model.id, model.get_prices(NOW), None)
    ours = of(usage, rule, web_search=searches)
    counted = Counted(
        input_tokens=usage.input,
        cache_read_tokens=cached,
        cache_write_tokens=written,
        output_tokens=output,
        web_searches=searches,
    )
    if ours.amount is None:
        # A model that has no price for tokens at all, or none for those it answers with.
        assert ours.reason == Reason.NO_PRICE
        return
    theirs = model.calc_price(counted, provider, genai_request_timestamp=NOW).total_price
    # They do not round; ours has as many lines as rates, each rounded to twelve places.
    assert abs(ours.amount - theirs) <= len(ours.lines) * Decimal("5E-13")


@given(st.tuples(TOKENS, TOKENS, TOKENS, TOKENS, TOKENS))
def test_every_token_stands_in_one_line(tokens: tuple[int, int, int, int, int]) -> None:
    cached, written, fresh, reasoning, told = tokens
    usage = Usage(cached + written + fresh, cached, written, reasoning + told, reasoning, sum(tokens))
    rule = Rule("book", "p", "m", "USD", rates(input="1", cached_input="1", cache_write="1", output="1", reasoning="1"))
    made = of(usage, rule)
    assert sum(line.quantity for line in made.lines) == usage.input + usage.output
    assert made.amount == sum(line.amount for line in made.lines)


class TestOf:
    def test_cached_tokens_without_a_price_of_their_own_cost_what_others_do(self) -> None:
        rule = Rule("book", "p", "m", "USD", rates(input="10", output="40"))
        assert of(Usage(MILLION, MILLION, 0, 0, 0, MILLION), rule).amount == 10

    def test_calls_are_lines_too(self) -> None:
        made = of(Usage(0, 0, 0, 0, 0, 0), web_search=3, file_search=9)
        assert [(line.kind, line.quantity) for line in made.lines] == [("web_search", 3)]
        assert made.amount == Decimal("0.021")

    def test_a_long_context_has_other_rates_for_all_of_it(self) -> None:
        long = (LongContext(100, rates(input="20")), LongContext(200, rates(input="30", output="50")))
        rule = Rule("book", "p", "m", "USD", rates(input="10", output="40"), long_context=long)
        made = [of(Usage(size, 0, 0, 10, 0, size), rule) for size in (100, 101, 200, 201)]
        assert [each.above for each in made] == [None, 100, 100, 200]
        assert [each.lines[0].price for each in made] == [10, 20, 20, 30]
        assert [each.lines[1].price for each in made] == [40, 40, 40, 50]

    @pytest.mark.parametrize("usage", [Usage(1, 2, 0, 0, 0, 1), Usage(3, 2, 2, 0, 0, 3)])
    def test_more_cached_than_there_was_is_not_reckoned(self, usage: Usage) -> None:
        assert of(usage) == cost.unknown(Reason.INCONSISTENT_USAGE)

    def test_a_providers_mistake_is_no_cost(self) -> None:
        assert of(Usage(2**61, 0, 0, 0, 0, 2**61)).reason == Reason.INCREDIBLE_USAGE
        dear = Rule("book", "p", "m", "VND", rates(input="1000000000"))
        assert of(Usage(2**40, 0, 0, 0, 0, 2**40), dear).reason == Reason.INCREDIBLE_USAGE

    def test_without_a_rate_for_what_was_used_it_is_unknown_and_not_nought(self) -> None:
        rule = Rule("book", "p", "m", "USD", rates(web_search="1"))
        assert of(Usage(1, 0, 0, 0, 0, 1), rule) == cost.unknown(Reason.NO_PRICE)
        assert of(Usage(0, 0, 0, 0, 0, 0), rule).amount == 0


class TestStored:
    def test_it_is_read_back_as_it_was(self) -> None:
        long = (LongContext(100, rates(input="2.5")),)
        rule = Rule("book", "price_1", "gpt*", "CNY", rates(input="10", output="40"), "flex", long)
        made = cost.of(Usage(300, 0, 0, 7, 0, 307), {}, rule, basis=Basis.ESTIMATED)
        assert cost.unpack(made.pack(), "estimated", None, made.amount, "CNY") == made

    @pytest.mark.parametrize("made", [cost.NOT_BILLED, cost.unknown(Reason.NO_PRICE)])
    def test_one_without_lines_takes_no_room(self, made: Cost) -> None:
        reason = str(made.reason) if made.reason else None
        assert made.pack() == ""
        assert cost.unpack("", str(made.basis), reason, made.amount, made.currency) == made

    def test_in_the_words_of_the_api(self) -> None:
        assert of(Usage(1_000, 400, 0, 50, 20, 1_050), web_search=1).as_json() == {
            "amount": "0.0154",
            "currency": "CNY",
            "basis": "reported",
            "reason": None,
            "lines": [
                {"kind": "input", "quantity": 600, "price": "10", "per": MILLION, "amount": "0.006"},
                {"kind": "cached_input", "quantity": 400, "price": "1", "per": MILLION, "amount": "0.0004"},
                {"kind": "output", "quantity": 50, "price": "40", "per": MILLION, "amount": "0.002"},
                {"kind": "web_search", "quantity": 1, "price": "7", "per": 1_000, "amount": "0.007"},
            ],
            "price": {
                "source": "book",
                "version": "price_1",
                "model": "m",
                "service_tier": None,
                "long_context_above": None,
            },
        }


def test_totals_keep_currencies_apart_and_leave_out_what_is_unknown() -> None:
    usage = Usage(MILLION, 0, 0, 0, 0, MILLION)
    dollars = Rule("book", "p", "m", "USD", rates(input="3"))
    made = [of(usage), of(usage), of(usage, dollars), cost.unknown(Reason.NO_PRICE), cost.NOT_BILLED]
    assert {currency: money.plain(sum_) for currency, sum_ in cost.total(made).items()} == {"CNY": "20", "USD": "3"}


@pytest.mark.parametrize(
    ("body", "billed"),
    [
        ('{"type":"web_search_call","status":"completed","action":{"type":"search"}}', {"web_search": 1}),
        ('{"type":"web_search_call","status":"completed"}', {"web_search": 1}),
        ('{"type":"web_search_call","action":null}', {"web_search": 1}),
        ('{"type":"web_search_call","status":"completed","action":{"type":"open_page"}}', {}),
        ('{"type":"web_search_call","status":"failed","action":{"type":"search"}}', {}),
        ('{"type":"file_search_call"}', {"file_search": 1}),
        ('{"type":"code_interpreter_call"}', {"code_execution": 1}),
        ('{"type":"function_call"}', {}),
    ],
)
def test_calls_that_are_billed_are_counted(body: str, billed: dict[str, int]) -> None:
    kind = body.split('"')[3]
    assert cost.calls_in([Item(kind, body.encode())]) == billed
