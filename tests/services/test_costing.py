"""What exchanges cost: written with their ends, whatever the end was, and never again."""

import threading
from decimal import Decimal

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convstore import ids
from convstore.domain.budget import Period
from convstore.domain.budget import Wanted as WantedBudget
from convstore.domain.pricing.book import Wanted
from convstore.domain.pricing.cost import Basis, Cost, Reason
from convstore.errors import BudgetExhausted, UpstreamError
from convstore.services import budgets, keys, prices, recovery
from convstore.services.deps import Deps
from convstore.services.keys import Authenticator
from convstore.services.principal import Principal
from convstore.services.relay import Whole
from convstore.storage import budgets as spending
from convstore.storage import ledger
from tests.local_upstream import LocalUpstream, answer, broken_off, error, hang_up
from tests.services.conftest import Asker, asker
from tests.storage.keeper import Keeper

# What the local upstream reports: 13 input tokens, 4 of them cached, and 5 output tokens.
RATES = {"input": Decimal(10), "cached_input": Decimal(1), "output": Decimal(100)}
ONE_ANSWER = Decimal("0.000594")


@pytest.fixture
def priced(acme: Asker) -> Asker:
    """Acme, with a price for its model."""
    prices.create(acme.deps, acme.principal.project_id, [Wanted("gpt-5.4*", "CNY", RATES)])
    return acme


def cost(asker: Asker, response_id: str) -> Cost:
    with asker.deps.database.reading(asker.principal.project_id) as scope:
        found = ledger.cost_of(scope, response_id)
    assert found is not None
    return found


def newest(asker: Asker) -> Cost:
    """The cost of what was asked last, whether the API shows it or not."""
    mark = "?" if asker.deps.database.is_sqlite else "%s"
    query = f"SELECT id FROM exchanges WHERE project_id = {mark} ORDER BY id DESC LIMIT 1"
    with asker.deps.database.connection() as connection:
        own = (ids.pack(ids.PROJECT, asker.principal.project_id),)
        row = connection.exec_driver_sql(query, own).fetchone()
    assert row is not None
    return cost(asker, ids.unpack(ids.EXCHANGE, bytes(row[0])))


def spent(asker: Asker, currency: str = "CNY") -> Decimal:
    with asker.deps.database.reading(asker.principal.project_id) as scope:
        return spending.spent(scope, currency, None)


class TestAnEnd:
    @pytest.mark.parametrize("streamed", [False, True])
    def test_a_finished_answer_has_its_lines_and_where_the_price_comes_from(
        self, priced: Asker, streamed: bool
    ) -> None:
        made = priced.stream()[-1]["response"] if streamed else priced.ask()
        found = cost(priced, made["id"])
        assert [(line.kind, line.quantity, line.price) for line in found.lines] == [
            ("input", 9, 10), ("cached_input", 4, 1), ("output", 5, 100),
        ]  # fmt: skip
        assert (found.basis, found.amount, found.currency) == (Basis.REPORTED, ONE_ANSWER, "CNY")
        assert (found.source, found.model) == ("book", "gpt-5.4*")
        assert spent(priced) == ONE_ANSWER

    def test_without_a_price_it_is_unknown_and_no_sum_grows(self, acme: Asker) -> None:
        found = cost(acme, acme.ask()["id"])
        assert (found.basis, found.amount, found.reason) == (Basis.UNKNOWN, None, Reason.NO_PRICE)
        assert spent(acme) == spent(acme, "USD") == 0

    def test_searches_are_paid_for_as_well(self, priced: Asker, upstream: LocalUpstream) -> None:
        prices.create(
            priced.deps, priced.principal.project_id, [Wanted("gpt-5.4", "CNY", {**RATES, "web_search": Decimal(70)})]
        )
        search = {"type": "web_search_call", "id": "ws_1", "status": "completed", "action": {"type": "search"}}
        upstream.will(answer(search, "Found."))
        found = cost(priced, priced.ask()["id"])
        assert [line.kind for line in found.lines][-1] == "web_search"
        assert found.amount == ONE_ANSWER + Decimal("0.07")

    def test_the_tier_that_was_served_counts(self, priced: Asker, upstream: LocalUpstream) -> None:
        flex = {kind: rate / 2 for kind, rate in RATES.items()}
        prices.create(priced.deps, priced.principal.project_id, [Wanted("gpt-5.4*", "CNY", flex, service_tier="flex")])
        upstream.will(answer("Slowly.", service_tier="flex"), answer("At once.", service_tier="default"))
        asked = [cost(priced, priced.ask(service_tier="flex")["id"]) for _ in range(2)]
        assert [(each.amount, each.service_tier) for each in asked] == [(ONE_ANSWER / 2, "flex"), (ONE_ANSWER, None)]

    def test_a_tier_that_no_column_takes_keeps_nobody_from_his_answer(
        self, priced: Asker, upstream: LocalUpstream
    ) -> None:
        upstream.will(answer("Here.", service_tier="fl\x00ex \ud800" + "x" * 300))
        assert cost(priced, priced.ask()["id"]).amount == ONE_ANSWER

    def test_no_usage_is_estimated_and_says_so(self, priced: Asker, upstream: LocalUpstream) -> None:
        upstream.will(answer("Eleven words were said, of which nobody at all kept any count.", usage=None))
        found = cost(priced, priced.ask("How many words are there?")["id"])
        assert found.basis == Basis.ESTIMATED
        assert {line.kind: line.quantity for line in found.lines} == {"input": 10, "output": 19}
        assert found.amount == spent(priced) == Decimal("0.002")

    def test_what_had_arrived_of_a_cut_stream_is_estimated(self, priced: Asker, upstream: LocalUpstream) -> None:
        upstream.will(broken_off(answer("A sentence that is not going to be finished, whoever waits for it."), 5))
        priced.stream("Go on.")
        found = newest(priced)
        assert found.basis == Basis.ESTIMATED
        assert {line.kind for line in found.lines} == {"input", "output"}

    def test_one_that_was_refused_is_not_billed(self, priced: Asker, upstream: LocalUpstream) -> None:
        upstream.will(error(400))
        with pytest.raises(UpstreamError):
            priced.ask()
        assert newest(priced) == Cost(Basis.NOT_BILLED, Decimal(0))

    def test_one_that_nobody_answered_may_be_and_is_estimated(self, priced: Asker, upstream: LocalUpstream) -> None:
        upstream.will(hang_up)
        with pytest.raises(UpstreamError):
            priced.ask("Is anybody there?")
        found = newest(priced)
        assert found.basis == Basis.ESTIMATED
        assert [line.kind for line in found.lines] == ["input"]

    def test_what_a_dead_process_left_is_estimated_with_its_history(self, priced: Asker) -> None:
        root = priced.ask("A question that the model is shown again.")
        keeper = Keeper(priced.deps.database, priced.deps.clock)  # type: ignore[arg-type]
        keeper.project = priced.principal.project_id
        left = keeper.begun("u", after=root["id"]).id
        assert recovery.close(priced.deps, priced.principal.project_id, left)
        found = cost(priced, left)
        assert found.basis == Basis.ESTIMATED
        assert found.lines[0].quantity > 20

    def test_figures_that_contradict_each_other_are_no_cost(self, priced: Asker, upstream: LocalUpstream) -> None:
        wrong = {"input_tokens": 3, "output_tokens": 1, "input_tokens_details": {"cached_tokens": 9}}
        upstream.will(answer("Odd.", usage=wrong))
        assert cost(priced, priced.ask()["id"]).reason == Reason.INCONSISTENT_USAGE

    def test_what_is_not_to_be_stored_costs_as_well(self, priced: Asker) -> None:
        assert cost(priced, priced.ask(store=False)["id"]).amount == ONE_ANSWER


class TestHistory:
    def test_another_price_changes_nothing_that_was_stored(self, priced: Asker) -> None:
        made = priced.ask()["id"]
        before = cost(priced, made)
        dearer = {kind: rate * 2 for kind, rate in RATES.items()}
        wanted = Wanted("gpt-5.4*", "CNY", dearer, effective_from=priced.deps.clock(), replace=True)
        prices.create(priced.deps, priced.principal.project_id, [wanted])
        assert cost(priced, made) == before
        assert cost(priced, priced.ask()["id"]).amount == 2 * ONE_ANSWER

    def test_a_price_that_is_forgotten_stays_with_what_it_was_for(self, priced: Asker) -> None:
        made = priced.ask()["id"]
        before = cost(priced, made)
        prices.delete(priced.deps, priced.principal.project_id, before.version or "")
        assert cost(priced, made) == before
        assert cost(priced, priced.ask()["id"]).reason == Reason.NO_PRICE

    def test_nobody_else_has_the_price_or_the_sum(self, priced: Asker, globex: Asker) -> None:
        priced.ask()
        assert cost(globex, globex.ask()["id"]).reason == Reason.NO_PRICE
        assert spent(globex) == 0


def limit(asker: Asker, amount: str, **given: object) -> str:
    wanted = WantedBudget("b", Period.DAY, "CNY", Decimal(amount), **given)  # type: ignore[arg-type]
    return budgets.create(asker.deps, asker.principal.project_id, wanted).budget.id


class TestBudgets:
    def test_a_hard_one_refuses_before_anybody_is_asked(self, priced: Asker, upstream: LocalUpstream) -> None:
        limit(priced, "0.001")
        asked = len(upstream.asked)
        priced.ask()
        priced.ask()
        before = priced.statuses()
        for streamed in (False, True):
            with pytest.raises(BudgetExhausted) as refused:
                priced.create(stream=streamed)
            assert refused.value.code == "insufficient_quota"
        assert len(upstream.asked) == asked + 2
        assert priced.statuses() == before

    def test_a_soft_one_tells_and_lets_go_on(self, priced: Asker) -> None:
        limit(priced, "0.0001", hard=False)
        first, second = priced.create(), priced.create()
        assert "x-convstore-budget-exceeded" not in first.headers
        assert second.headers["x-convstore-budget-exceeded"] == "b"
        streamed = priced.create(stream=True)
        assert streamed.headers["x-convstore-budget-exceeded"] == "b"
        assert not isinstance(streamed, Whole)
        list(streamed)

    def test_what_was_spent_before_it_was_set_counts(self, priced: Asker) -> None:
        for _ in range(3):
            priced.ask()
        budget_id = limit(priced, "0.001")
        assert budgets.get(priced.deps, priced.principal.project_id, budget_id).spent == 3 * ONE_ANSWER
        with pytest.raises(BudgetExhausted):
            priced.ask()

    def test_it_is_about_one_key(self, priced: Asker) -> None:
        limit(priced, "0.0001", api_key_id=priced.principal.key_id)
        other = Asker(priced.deps, another_key(priced))
        priced.ask()
        other.ask()
        with pytest.raises(BudgetExhausted):
            priced.ask()
        other.ask()

    def test_it_is_about_one_conversation(self, priced: Asker) -> None:
        root = priced.ask()
        with priced.deps.database.reading(priced.principal.project_id):
            conversation_id = priced.stored(root["id"]).conversation_id
        budget_id = limit(priced, "0.001", conversation_id=conversation_id)
        priced.ask("Elsewhere.")
        priced.ask(after=root["id"])
        assert budgets.get(priced.deps, priced.principal.project_id, budget_id).spent == 2 * ONE_ANSWER
        with pytest.raises(BudgetExhausted):
            priced.ask("Another branch.", after=root["id"])
        priced.ask("Elsewhere again.")

    def test_another_day_begins_anew_and_the_month_does_not(self, priced: Asker) -> None:
        project_id = priced.principal.project_id
        limit(priced, "0.0005")
        month = budgets.create(priced.deps, project_id, WantedBudget("m", Period.MONTH, "CNY", Decimal(1))).budget.id
        priced.ask()
        priced.deps.clock.advance(days=1)  # type: ignore[attr-defined]
        priced.ask()
        assert budgets.get(priced.deps, project_id, month).spent == 2 * ONE_ANSWER
        with pytest.raises(BudgetExhausted):
            priced.ask()
        priced.deps.clock.advance(days=10)  # type: ignore[attr-defined]
        assert budgets.get(priced.deps, project_id, month).spent == 0

    def test_one_that_is_lifted_refuses_nobody(self, priced: Asker) -> None:
        budget_id = limit(priced, "0")
        with pytest.raises(BudgetExhausted):
            priced.ask()
        budgets.delete(priced.deps, priced.principal.project_id, budget_id)
        priced.ask()

    # The database is one for all examples, the project is each example's own.
    @settings(max_examples=6, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(st.integers(1, 8), st.integers(1, 6), st.integers(0, 12), st.booleans())
    def test_spending_at_once_exceeds_it_by_the_calls_that_were_running(
        self, deps: Deps, spenders: int, calls: int, halves: int, monthly: bool
    ) -> None:
        """So many at a time against a budget for some answers, or some and a half: nobody begins when it is used up."""
        acme = asker(deps, "acme")
        prices.create(deps, acme.principal.project_id, [Wanted("gpt-5.4*", "CNY", RATES)])
        most = ONE_ANSWER * halves / 2
        period = Period.MONTH if monthly else Period.TOTAL
        budgets.create(deps, acme.principal.project_id, WantedBudget("b", period, "CNY", most))
        refused: list[BudgetExhausted] = []

        def spend() -> None:
            for _ in range(calls):
                try:
                    acme.ask()
                except BudgetExhausted as error:
                    refused.append(error)

        threads = [threading.Thread(target=spend) for _ in range(spenders)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join(60)
        made = spenders * calls - len(refused)
        assert spent(acme) == made * ONE_ANSWER
        # Whoever was admitted when the last answer that fits was not there yet was one of those at work then.
        assert made <= (halves + 1) // 2 + spenders - 1
        assert not refused or spent(acme) >= most


def another_key(asker: Asker) -> Principal:
    _, text = keys.create(asker.deps, asker.principal.project, name="another")
    return Authenticator(asker.deps).principal(text)
