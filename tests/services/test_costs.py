"""What exchanges cost: one, a conversation in parts, reports of all; whatever they are grouped by, it adds up."""

import json
from datetime import UTC, datetime, timedelta
from decimal import Decimal
from typing import Any
from zoneinfo import ZoneInfo

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convstore.domain import money
from convstore.domain.costs import TOKENS, Only, Wanted
from convstore.domain.ledger import Entry
from convstore.domain.pricing import book
from convstore.domain.pricing.cost import NOT_BILLED, Basis, Cost, Reason, unknown
from convstore.domain.pricing.rule import LongContext
from convstore.domain.usage import Usage
from convstore.errors import ConversationNotFound, InvalidRequest, ResponseNotFound
from convstore.schemas.costs import GROUPS
from convstore.services import branches, costs, prices
from convstore.services.deps import Deps
from convstore.storage import ledger
from tests.local_upstream import LocalUpstream, answer
from tests.services.conftest import Asker, asker
from tests.storage.keeper import Keeper

RATES = {"input": Decimal(10), "cached_input": Decimal(1), "output": Decimal(100)}
ONE_ANSWER = Decimal("0.000594")
SEVERAL = settings(
    max_examples=12,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture, HealthCheck.too_slow],
)


@pytest.fixture
def priced(acme: Asker) -> Asker:
    prices.create(acme.deps, acme.principal.project_id, [book.Wanted("gpt-5.4*", "CNY", RATES)])
    return acme


def report(asker: Asker, *by: str, **given: Any) -> dict[str, Any]:
    return costs.report(asker.deps, asker.principal.project_id, Wanted(by, **given)).as_dict()


def amounts(figures: dict[str, Any]) -> dict[str, Decimal]:
    return {each["currency"]: Decimal(each["amount"]) for each in figures["costs"]}


def of_response(asker: Asker, name: str) -> dict[str, Any]:
    return dict(json.loads(costs.of_response(asker.deps, asker.principal.project_id, name)))


def of_conversation(asker: Asker, name: str) -> dict[str, Any]:
    return dict(json.loads(costs.of_conversation(asker.deps, asker.principal.project_id, name)))


def added(parts: list[dict[str, Any]]) -> dict[str, Any]:
    """The sum of figures in the API's form, put together another way than the service does."""
    found: dict[str, Any] = {name: sum(each[name] for each in parts) for name in ("exchanges", *TOKENS, "not_billed")}
    reasons: dict[str, int] = {}
    sums: dict[str, list[Decimal]] = {}
    for each in parts:
        for reason, number in each["unpriced"]["reasons"].items():
            reasons[reason] = reasons.get(reason, 0) + number
        for cost in each["costs"]:
            there = sums.setdefault(cost["currency"], [Decimal(0), Decimal(0)])
            there[0] += Decimal(cost["amount"])
            there[1] += Decimal(cost["estimated"])
    found["unpriced"] = {"exchanges": sum(reasons.values()), "reasons": dict(sorted(reasons.items()))}
    found["costs"] = [
        {"currency": code, "amount": money.plain(one), "estimated": money.plain(other)}
        for code, (one, other) in sorted(sums.items())
    ]
    return found


class TestAnAnswer:
    def test_it_has_its_lines_and_the_sum_of_the_path(self, priced: Asker) -> None:
        root = priced.ask()
        middle = priced.ask(after=root["id"])
        priced.ask("Beside it.", after=root["id"])
        tip = priced.ask(after=middle["id"])
        found = of_response(priced, tip["id"])
        assert found["cost"]["amount"] == "0.000594"
        assert [line["kind"] for line in found["cost"]["lines"]] == ["input", "cached_input", "output"]
        assert found["cost"]["price"]["source"] == "book"
        assert (found["path"]["exchanges"], amounts(found["path"])) == (3, {"CNY": 3 * ONE_ANSWER})

    def test_it_is_nobody_elses(self, priced: Asker, globex: Asker) -> None:
        root = priced.ask()
        with pytest.raises(ResponseNotFound):
            of_response(globex, root["id"])
        with pytest.raises(ConversationNotFound):
            of_conversation(globex, priced.stored(root["id"]).conversation_id)


class Grove:
    """A tree whose exchanges have costs that a test draws."""

    def __init__(self, asker: Asker) -> None:
        self.asker = asker
        self.keeper = Keeper(asker.deps.database, asker.deps.clock)  # type: ignore[arg-type]
        self.keeper.project = asker.principal.project_id
        self.made: list[str] = []
        self.conversations: list[str] = []

    def grow(self, parent: int | None, cost: Cost, status: str = "completed", **given: Any) -> str:
        after = self.made[parent % len(self.made)] if parent is not None and self.made else None
        usage = given.pop("usage", Usage(100, 10, 0, 20, 5, 120))
        model = given.pop("model", "m")
        if after is not None:
            above = self.asker.stored(after)
            given |= {"parent_id": above.id, "depth": above.depth + 1, "lane": above.lane}
            given["conversation_id"] = above.conversation_id
        beginning = self.keeper.beginning("u", **given)
        place = self.keeper.begin(beginning)
        entry = Entry(
            exchange_id=place.id,
            conversation_id=beginning.conversation_id,
            created_at=beginning.created_at,
            day=beginning.created_at.date(),
            api_key_id=beginning.api_key_id,
            user=beginning.user,
            requested_model="m",
            model=model,
            upstream="local",
            origin=beginning.origin,
            status=status,
            usage=usage,
            cost=cost,
        )
        error = {"code": "x"} if status == "failed" else None
        assert self.keeper.end(place, "m", status=status, usage=usage, error=error, entry=entry)
        self.made.append(place.id)
        if after is None:
            self.conversations.append(beginning.conversation_id)
        return place.id


some_costs = st.one_of(
    st.builds(
        lambda amount, basis, currency: Cost(basis, amount, currency),
        st.decimals(0, 1000, places=12),
        st.sampled_from([Basis.REPORTED, Basis.ESTIMATED]),
        st.sampled_from(["USD", "EUR"]),
    ),
    st.just(NOT_BILLED),
    st.sampled_from(list(Reason)).map(unknown),
)
exchanges = st.lists(
    st.tuples(
        st.one_of(st.none(), st.integers(0, 30)),
        some_costs,
        st.sampled_from(["completed", "completed", "failed", "incomplete"]),
        st.sampled_from(["create", "create", "replay", "branch"]),
        st.sampled_from(["a", "=b", None, "ü,\n"]),
        st.timedeltas(timedelta(0), timedelta(days=2)),
    ),
    min_size=1,
    max_size=12,
)


def planted(asker: Asker, drawn: list[Any]) -> Grove:
    grove = Grove(asker)
    clock: Any = asker.deps.clock
    for parent, cost, status, origin, label, later in drawn:
        clock.advance(seconds=later.total_seconds())
        metadata = None if label is None else json.dumps({"label": label, "nul": "\0"}).encode()
        grove.grow(
            parent, cost, status, origin=origin, user=label, metadata=metadata, api_key_id=asker.principal.key_id
        )
    return grove


class TestAConversation:
    @SEVERAL
    @given(exchanges)
    def test_its_parts_come_to_the_whole_and_are_what_they_are_called(self, deps: Deps, drawn: list[Any]) -> None:
        acme = asker(deps, "acme")
        grove = planted(acme, drawn)
        whole = report(acme, "conversation", limit=None)
        for row in whole["data"]:
            found = of_conversation(acme, row["group"]["conversation"]["id"])
            assert added(list(found["parts"].values())) == found["total"]
            assert {name: row[name] for name in found["total"]} == found["total"]
        assert len(whole["data"]) == len(grove.conversations)

    def test_each_part_has_its_own(self, acme: Asker) -> None:
        grove = Grove(acme)
        paid = [Cost(Basis.REPORTED, Decimal(2) ** n, "USD") for n in range(9)]
        grove.grow(None, paid[0])
        grove.grow(0, paid[1])
        grove.grow(0, paid[2], "failed")
        grove.grow(0, paid[3])
        grove.grow(3, paid[4])
        grove.grow(1, paid[5], origin="replay")
        grove.grow(4, paid[6], "failed")
        branches.create(acme.deps, acme.principal.project_id, "first", grove.made[1])
        branches.create(acme.deps, acme.principal.project_id, "second", grove.made[4])
        found = of_conversation(acme, grove.conversations[0])
        assert {name: int(part["costs"][0]["amount"]) for name, part in found["parts"].items()} == {
            "main_thread": 1 + 8 + 16,
            "abandoned_branches": 2,
            "replays": 32,
            "failed_attempts": 4 + 64,
        }
        assert found["tip_id"] == grove.made[4]
        assert {each["name"]: amounts(each["path"]) for each in found["branches"]} == {
            "first": {"USD": 3},
            "second": {"USD": 25},
        }
        assert found["branches_overlap"] is True
        assert int(found["total"]["costs"][0]["amount"]) == 127


class TestReports:
    @SEVERAL
    @given(exchanges, st.lists(st.sampled_from([*GROUPS, "metadata.label"]), min_size=1, max_size=3, unique=True))
    def test_groups_come_to_the_whole(self, deps: Deps, drawn: list[Any], by: list[str]) -> None:
        acme = asker(deps, "acme")
        grove = planted(acme, drawn)
        branches.create(acme.deps, acme.principal.project_id, "one", grove.made[-1])
        branches.create(acme.deps, acme.principal.project_id, "two", grove.made[0])
        whole = report(acme)["totals"]
        found = report(acme, *by, limit=None, zone=ZoneInfo("Asia/Kathmandu"))
        assert found["totals"] == whole
        assert added([{name: row[name] for name in whole} for row in found["data"]]) == whole
        assert whole["exchanges"] == len(drawn)
        # The ledger itself says the same as the sums beside it.
        moment = Only(since=datetime(1970, 1, 1, 0, 0, 0, 1, tzinfo=UTC))
        assert report(acme, *by, only=moment, limit=None, zone=ZoneInfo("Asia/Kathmandu"))["data"] == found["data"]

    def test_days_are_those_of_the_zone_when_clocks_change(self, acme: Asker) -> None:
        grove, clock = Grove(acme), acme.deps.clock
        # Berlin's 25th of October 2026 has 25 hours: from 22:00 UTC to 23:00 UTC.
        for moment in ("2026-10-24T21:59:59", "2026-10-24T22:00:00", "2026-10-25T22:59:59", "2026-10-25T23:00:00"):
            clock.now = datetime.fromisoformat(moment).replace(tzinfo=UTC)  # type: ignore[attr-defined]
            grove.grow(None, Cost(Basis.REPORTED, Decimal(1), "USD"))
        clock.now = datetime(2026, 11, 22, 12, tzinfo=UTC)  # type: ignore[attr-defined]
        for by, expected in (
            ("day", {"2026-10-24": 1, "2026-10-25": 2, "2026-10-26": 1}),
            ("week", {"2026-W43": 3, "2026-W44": 1}),
            ("month", {"2026-10": 4}),
        ):
            found = report(acme, by, zone=ZoneInfo("Europe/Berlin"))
            assert {row["group"][by]: row["exchanges"] for row in found["data"]} == expected

    def test_currencies_are_never_added_up_and_the_dearest_comes_first(self, acme: Asker) -> None:
        grove = Grove(acme)
        for model, amount, currency in (("a", 1, "USD"), ("b", 3, "USD"), ("c", 2, "USD"), ("c", 9, "EUR")):
            grove.grow(None, Cost(Basis.REPORTED, Decimal(amount), currency), model=model)
        grove.grow(None, unknown(Reason.NO_PRICE), model="d")
        found = report(acme, "model")
        assert amounts(found["totals"]) == {"EUR": 9, "USD": 6}
        assert [row["group"]["model"] for row in found["data"]] == ["c", "b", "a", "d"]
        assert found["data"][-1]["costs"] == []
        assert found["data"][-1]["unpriced"] == {"exchanges": 1, "reasons": {"no_price": 1}}
        by_name = report(acme, "model", by_group=True, limit=2)
        assert ([row["group"]["model"] for row in by_name["data"]], by_name["has_more"]) == (["a", "b"], True)
        rest = report(acme, "model", by_group=True, limit=2, after=by_name["last_id"])
        assert ([row["group"]["model"] for row in rest["data"]], rest["has_more"]) == (["c", "d"], False)
        assert rest["totals"] == found["totals"]

    def test_an_exchange_is_of_the_oldest_branch_whose_thread_holds_it(self, acme: Asker) -> None:
        grove, paid = Grove(acme), [Cost(Basis.REPORTED, Decimal(2) ** n, "USD") for n in range(5)]
        for number, parent in enumerate((None, 0, 1, 1, 0)):
            grove.grow(parent, paid[number])
        branches.create(acme.deps, acme.principal.project_id, "old", grove.made[2])
        acme.deps.clock.advance(seconds=1)  # type: ignore[attr-defined]
        branches.create(acme.deps, acme.principal.project_id, "new", grove.made[3])
        found = report(acme, "branch")
        assert {row["group"]["branch"]: amounts(row) for row in found["data"]} == {
            "old": {"USD": 7}, "new": {"USD": 8}, None: {"USD": 16},
        }  # fmt: skip

    @pytest.mark.parametrize(
        ("values", "expected"),
        [
            ({"model": "a"}, 1),
            ({"user": "u"}, 2),
            ({"user": "u", "model": "b"}, 1),
            ({"origin": "replay"}, 1),
            ({"status": "failed"}, 1),
            ({"currency": "EUR"}, 1),
            ({"conversation": "conv_" + "0" * 32}, 0),
            ({"conversation": "nonsense"}, 0),
            ({"key": "nonsense"}, 0),
        ],
    )
    def test_filters(self, acme: Asker, globex: Asker, values: dict[str, str], expected: int) -> None:
        for each in (acme, globex):
            grove, paid = Grove(each), Cost(Basis.REPORTED, Decimal(1), "USD")
            grove.grow(None, paid, model="a", user="u")
            grove.grow(0, Cost(Basis.REPORTED, Decimal(1), "EUR"), model="b", user="u")
            grove.grow(0, paid, "failed", model="b")
            grove.grow(0, paid, model="c", origin="replay")
        assert report(acme, only=Only(values=values))["totals"]["exchanges"] == expected

    def test_of_one_conversation_and_of_a_time(self, acme: Asker) -> None:
        grove = Grove(acme)
        for parent in (None, 0, None):
            grove.grow(parent, Cost(Basis.REPORTED, Decimal(1), "USD"))
        only = Only(values={"conversation": grove.conversations[0]})
        for by in ((), ("model",), ("conversation",), ("day", "key"), ("metadata.x",), ("branch",)):
            assert report(acme, *by, only=only)["totals"]["exchanges"] == 2
        begun = acme.stored(grove.made[1]).created_at
        assert report(acme, only=Only(since=begun))["totals"]["exchanges"] == 2
        assert report(acme, only=Only(until=begun))["totals"]["exchanges"] == 1

    def test_metadata_may_hold_anything(self, acme: Asker) -> None:
        grove = Grove(acme)
        for label in ("a", "\0", None):
            given = {} if label is None else {"label": label}
            cost = Cost(Basis.REPORTED, Decimal(1), "USD")
            grove.grow(None, cost, metadata=json.dumps(given).encode())
        found = report(acme, "metadata.label", by_group=True)
        assert [row["group"]["metadata.label"] for row in found["data"]] == ["\0", "a", None]
        only = Only(metadata=(("label", "\0"),))
        assert report(acme, only=only)["totals"]["exchanges"] == 1

    def test_metadata_are_read_a_part_at_a_time(self, acme: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("convstore.storage.costs.CHUNK", 2)
        grove = Grove(acme)
        for number in range(5):
            cost = Cost(Basis.REPORTED, Decimal(1), "USD")
            grove.grow(None, cost, metadata=json.dumps({"n": str(number % 2)}).encode())
        found = report(acme, "metadata.n", by_group=True)
        assert [row["exchanges"] for row in found["data"]] == [3, 2]

    def test_usage_that_nobody_can_have_is_not_added_up(self, acme: Asker, upstream: LocalUpstream) -> None:
        wrong = {"input_tokens": 3, "output_tokens": 1, "total_tokens": 2**61}
        for _ in range(3):
            upstream.will(answer("Big.", usage=wrong))
            acme.ask()
        totals = report(acme)["totals"]
        assert (totals["total_tokens"], totals["unpriced"]["reasons"]) == (0, {"incredible_usage": 3})

    def test_too_many_groups_are_refused(self, acme: Asker, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setattr("convstore.services.costs.MOST_GROUPS", 1)
        grove = Grove(acme)
        for _ in range(2):
            grove.grow(None, NOT_BILLED)
        with pytest.raises(InvalidRequest) as refused:
            report(acme, "conversation")
        assert refused.value.param == "group_by"


class TestReading:
    @SEVERAL
    @given(exchanges)
    def test_it_changes_no_price(self, deps: Deps, drawn: list[Any]) -> None:
        acme = asker(deps, "acme")
        grove = planted(acme, drawn)

        def stored() -> list[Cost | None]:
            with deps.database.reading(acme.principal.project_id) as scope:
                return [ledger.cost_of(scope, each) for each in grove.made]

        before = stored()
        # What is drawn is what was written down: all but a zero's exponent.
        assert [each.amount if each else None for each in before] == [cost.amount for _, cost, *_ in drawn]
        prices.create(deps, acme.principal.project_id, [book.Wanted("m", "USD", RATES)])
        for by in ((), ("model",), ("conversation", "day")):
            report(acme, *by)
            report(acme, *by, what_if="m")
        for name in grove.conversations:
            of_conversation(acme, name)
        assert stored() == before


class TestWhatIf:
    def test_the_same_usage_on_another_model(self, priced: Asker) -> None:
        dearer = {kind: 2 * rate for kind, rate in RATES.items()}
        prices.create(priced.deps, priced.principal.project_id, [book.Wanted("grand", "CNY", dearer)])
        for _ in range(3):
            priced.ask()
        found = report(priced, "model", what_if="grand")
        (row,) = found["data"]
        assert amounts(row) == {"CNY": 3 * ONE_ANSWER}
        assert amounts(row["what_if"]) == {"CNY": 6 * ONE_ANSWER}
        assert row["difference"] == [{"currency": "CNY", "amount": money.plain(3 * ONE_ANSWER)}]
        assert found["what_if"]["price"]["source"] == "book"
        assert amounts(found["totals"]["what_if"]) == {"CNY": 6 * ONE_ANSWER}

    @pytest.mark.parametrize("name", ["gpt-5.4-mini", "openai:gpt-5.4-mini"])
    def test_a_well_known_model_that_nobody_here_serves(self, acme: Asker, name: str) -> None:
        acme.ask()
        found = report(acme, what_if=name)
        assert found["what_if"]["price"]["model"] == "openai/gpt-5.4-mini"
        # 9 input tokens at 0.75, 4 cached ones at 0.075, 5 output tokens at 4.5 a million; unpriced till now.
        assert amounts(found["totals"]["what_if"]) == {"USD": Decimal("0.00002955")}
        assert found["totals"]["unpriced"]["exchanges"] == 1

    def test_at_an_upstream_that_is_named(self, priced: Asker) -> None:
        own = book.Wanted("gpt-5.4-mini", "EUR", RATES, upstream="local")
        prices.create(priced.deps, priced.principal.project_id, [own])
        priced.ask()
        assert amounts(report(priced, what_if="local/gpt-5.4-mini")["totals"]["what_if"]) == {"EUR": ONE_ANSWER}

    def test_by_the_prices_of_a_set(self, priced: Asker) -> None:
        cheap = {kind: rate / 2 for kind, rate in RATES.items()}
        wanted = [book.Wanted("gpt-5.4*", "CNY", cheap, price_set="offer")]
        prices.create(priced.deps, priced.principal.project_id, wanted)
        priced.ask()
        Grove(priced).grow(None, Cost(Basis.REPORTED, Decimal(1), "CNY"), model="other")
        found = report(priced, price_set="offer")["totals"]
        assert amounts(found["what_if"]) == {"CNY": ONE_ANSWER / 2}
        assert found["what_if"]["unpriced"]["reasons"] == {"no_price": 1}

    def test_long_contexts_have_rates_of_their_own(self, acme: Asker) -> None:
        tiers = (LongContext(50, {"input": Decimal(20)}), LongContext(100, {"input": Decimal(40)}))
        wanted = [book.Wanted("big", "USD", {"input": Decimal(10), "output": Decimal(0)}, tiers)]
        prices.create(acme.deps, acme.principal.project_id, wanted)
        grove = Grove(acme)
        for tokens in (50, 51, 100, 101):
            grove.grow(None, unknown(Reason.NO_PRICE), usage=Usage(tokens, 0, 0, 0, 0, tokens))
        found = report(acme, what_if="big")["totals"]["what_if"]
        assert amounts(found) == {"USD": Decimal(50 * 10 + 151 * 20 + 101 * 40) / 1_000_000}

    def test_what_was_not_billed_stays_so_and_what_nobody_counted_is_unknown(self, priced: Asker) -> None:
        grove = Grove(priced)
        grove.grow(None, NOT_BILLED)
        grove.grow(None, unknown(Reason.BEFORE_PRICES), usage=None)
        grove.grow(None, unknown(Reason.INCONSISTENT_USAGE))
        found = report(priced, what_if="gpt-5.4")["totals"]["what_if"]
        assert (found["costs"], found["not_billed"]) == ([], 1)
        assert found["unpriced"]["reasons"] == {"before_prices": 1, "inconsistent_usage": 1}

    @pytest.mark.parametrize(
        ("given", "param"),
        [
            ({"what_if": "nobody-knows-it"}, "what_if"),
            ({"price_set": "none"}, "price_set"),
            ({"what_if": "gpt-5.4", "price_set": "x"}, "price_set"),
        ],
    )
    def test_nonsense_is_named(self, acme: Asker, given: dict[str, str], param: str) -> None:
        with pytest.raises(InvalidRequest) as refused:
            report(acme, **given)
        assert refused.value.param == param
