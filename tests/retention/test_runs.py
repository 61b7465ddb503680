"""Plans and runs: what goes, in which order, what stays, and what is left of it."""

from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import text

from convstore import ids
from convstore.domain.retention import HIDDEN_FOR
from convstore.services import retention
from convstore.services.deps import Deps
from convstore.services.retention import Swept
from tests.api.conftest import Stage
from tests.api.test_audit import checked
from tests.conftest import Client
from tests.retention.test_holds import conversation_of
from tests.retention.test_holds import made as held
from tests.retention.test_rules import made

ERASED, KEPT = "[erased]", "kept"


def silent(_: Swept) -> None:
    """Nobody looks."""


def later(deps: Deps, **time: float) -> None:
    deps.clock.advance(**time)  # type: ignore[attr-defined]


def run(deps: Deps, project: str) -> Swept:
    return retention.run(deps, project, silent)


def run_twice(deps: Deps, project: str) -> Swept:
    """What is to be removed has been hidden before."""
    run(deps, project)
    later(deps, seconds=HIDDEN_FOR.total_seconds())
    return run(deps, project)


def said(client: Client, own: str) -> str | None:
    """Whether what an answer says is there still; None where there is no answer."""
    answered = client.get(f"/v1/responses/{own}")
    if answered.status_code != 200:
        return None
    return ERASED if answered.json["output"][0]["content"][0]["text"] == ERASED else KEPT


def gone(deps: Deps, project: str, *exchanges: str) -> list[bool]:
    """Of each of these, whether nothing of it is left."""
    with deps.database.connection() as connection:
        query = text("SELECT id FROM exchanges WHERE project_id = :p")
        rows = connection.execute(query, {"p": ids.pack(ids.PROJECT, project)})
        there = {ids.unpack(ids.EXCHANGE, bytes(own)) for (own,) in rows}
    return [own not in there for own in exchanges]


def going(planned: retention.Planned) -> dict[str, tuple[int, int, int, int]]:
    """By the name of a rule: content, figures, held, waiting."""
    return {
        share.rule.wanted.name: (share.content, share.figures, share.held, share.waiting)
        for share in planned.shares.values()
    }


@contextmanager
def unfinished(deps: Deps, project: str, own: str) -> Iterator[None]:
    """An exchange as if it were being answered."""
    change = text("UPDATE exchanges SET status = :s WHERE project_id = :p AND id = :i")
    for status in ("in_progress", "completed"):
        with deps.database.transaction() as connection:
            where = {"p": ids.pack(ids.PROJECT, project), "i": ids.pack(ids.EXCHANGE, own)}
            connection.execute(change, {"s": status, **where})
        if status == "in_progress":
            yield


@pytest.fixture
def chain(alice: Client) -> list[str]:
    """Three turns of one conversation that carry a label."""
    made: list[str] = []
    for number in range(3):
        own = alice.ask(f"turn {number}", after=made[-1] if made else None, metadata={"kind": "test"})
        made.append(own["id"])
    return made


LABEL = {"metadata": {"kind": "test"}}


class TestContent:
    def test_it_goes_when_its_time_has_come(
        self, deps: Deps, alice: Client, carol: Client, acme: str, chain: list[str], noise: list[str]
    ) -> None:
        made(alice, content_days=3, **LABEL)
        usage = alice.get(f"/v1/responses/{chain[1]}").json["usage"]
        later(deps, days=2.9)
        assert run(deps, acme).changed == 0
        later(deps, days=0.11)
        assert going(retention.plan(deps, acme)) == {"all": (3, 0, 0, 0)}
        assert run(deps, acme).erased.exchanges == 3
        for own in chain:
            assert said(alice, own) == ERASED
            assert alice.get(f"/v1/responses/{own}").json["usage"] == usage
        assert said(alice, noise[0]) == said(carol, noise[2]) == KEPT
        assert checked(deps, acme) == []
        assert going(retention.plan(deps, acme)) == {"all": (0, 0, 0, 0)}
        assert run(deps, acme).changed == 0

    def test_the_plan_says_how_much_it_is(self, deps: Deps, alice: Client, acme: str, chain: list[str]) -> None:
        made(alice, content_days=0, **LABEL)
        (share,) = alice.get("/v1/retention/plan").json["data"]
        assert (share["content"]["exchanges"], share["content"]["items"]) == (3, 6)
        swept = run(deps, acme)
        assert (swept.erased.items, swept.erased.bytes) == (6, share["content"]["bytes"])
        assert share["content"]["bytes"] > 100
        assert share["oldest_at"] == alice.get(f"/v1/responses/{chain[0]}").json["created_at"]

    def test_a_big_body_counts_where_it_is_shared(self, deps: Deps, alice: Client, acme: str) -> None:
        alice.ask("x" * 9_000, metadata={"kind": "test"})
        made(alice, content_days=0, **LABEL)
        assert retention.plan(deps, acme).shares.popitem()[1].bytes > 20

    def test_a_plan_in_parts_is_the_whole(self, deps: Deps, alice: Client, acme: str, chain: list[str]) -> None:
        made(alice, content_days=0)
        whole = retention.plan(deps, acme)
        assert (whole.looked_at, whole.has_more) == (5, False)
        assert going(whole) == {"all": (5, 0, 0, 0)}
        after, parts = "", []
        while True:
            page = alice.get(f"/v1/retention/plan?limit=2{after}").json
            parts.append(page["data"][0]["content"]["exchanges"])
            if not page["has_more"]:
                break
            after = f"&after={page['last_id']}"
        assert parts == [2, 2, 1]

    def test_it_stays_while_that_of_a_descendant_does(
        self, deps: Deps, alice: Client, acme: str, chain: list[str]
    ) -> None:
        made(alice, content_days=3, **LABEL)
        later(deps, days=2)
        fork = alice.ask("again", after=chain[0])["id"]
        later(deps, days=1)
        assert going(retention.plan(deps, acme)) == {"all": (2, 0, 0, 1)}
        run(deps, acme)
        assert [said(alice, own) for own in (*chain, fork)] == [KEPT, ERASED, ERASED, KEPT]

    def test_or_not_when_its_rule_does_not_mind(self, deps: Deps, alice: Client, acme: str, chain: list[str]) -> None:
        made(alice, content_days=3, keep_while_descendants=False, **LABEL)
        later(deps, days=3)
        fork = alice.ask("again", after=chain[2])["id"]
        run(deps, acme)
        assert [said(alice, own) for own in (*chain, fork)] == [ERASED] * 3 + [KEPT]
        # What is left goes on.
        assert alice.create("and then?", after=fork).status_code == 200

    def test_rules_are_by_model_too(self, deps: Deps, alice: Client, acme: str) -> None:
        mini, big = alice.ask(model="gpt-5.4-mini")["id"], alice.ask(model="gpt-5.4")["id"]
        made(alice, content_days=0, model="*-mini")
        run(deps, acme)
        assert (said(alice, mini), said(alice, big)) == (ERASED, KEPT)

    def test_what_is_being_answered_stays_with_all_in_front_of_it(
        self, deps: Deps, alice: Client, acme: str, chain: list[str]
    ) -> None:
        made(alice, content_days=0, **LABEL)
        with unfinished(deps, acme, chain[1]):
            run(deps, acme)
        assert [said(alice, own) for own in chain] == [KEPT, KEPT, ERASED]

    def test_what_was_not_to_be_stored_or_is_hidden_goes_as_well(self, deps: Deps, alice: Client, acme: str) -> None:
        alice.ask("unstored", store=False, metadata={"kind": "test"})
        alice.delete(f"/v1/responses/{alice.ask('hidden', metadata={'kind': 'test'})['id']}")
        made(alice, content_days=0, **LABEL)
        assert run(deps, acme).erased.exchanges == 2

    def test_shared_bodies_go_when_no_process_takes_them_for_stored(
        self, deps: Deps, alice: Client, carol: Client, acme: str
    ) -> None:
        for client in (alice, carol):
            client.ask(f"{acme} {'x' * 9_000}", metadata={"kind": "test"})
        with deps.database.connection() as connection:
            query = text("SELECT payload_hash FROM items WHERE payload_hash IS NOT NULL ORDER BY lane DESC LIMIT 1")
            own = bytes(connection.execute(query).scalar_one())
        rule = made(alice, content_days=0, **LABEL)["id"]
        assert stored(deps, own) == 2
        swept = run(deps, acme)
        assert stored(deps, own) == 2
        # Whoever made the rule may be gone by then.
        alice.delete(f"/v1/retention/rules/{rule}")
        assert retention.drop_payloads(deps, acme, swept)
        assert stored(deps, own) == 1
        assert swept.erased.payloads > 0
        assert retention.drop_payloads(deps, acme, Swept())


def stored(deps: Deps, own: bytes) -> int:
    """In how many projects a body is stored."""
    with deps.database.connection() as connection:
        query = text("SELECT count(*) FROM payloads WHERE hash = :h")
        return int(connection.execute(query, {"h": own}).scalar_one())


class TestFigures:
    @pytest.fixture(autouse=True)
    def rule(self, alice: Client) -> dict[str, Any]:
        return made(alice, content_days=1, figures_days=5, **LABEL)

    def test_they_go_after_the_content_by_the_same_rule(
        self, deps: Deps, alice: Client, acme: str, chain: list[str], noise: list[str]
    ) -> None:
        """Though what the rule knew them by has gone with the content."""
        later(deps, days=1)
        assert run(deps, acme).erased.exchanges == 3
        assert alice.get(f"/v1/responses/{chain[0]}").json["metadata"] == {}
        later(deps, days=4)
        assert going(retention.plan(deps, acme)) == {"all": (0, 3, 0, 0)}
        first = run(deps, acme)
        assert (first.hidden, first.removed.exchanges) == (3, 0)
        assert not any(gone(deps, acme, *chain))
        # Too early: who had read one may still be about to continue it.
        assert run(deps, acme).changed == 0
        later(deps, seconds=HIDDEN_FOR.total_seconds())
        second = run(deps, acme)
        assert (second.hidden, second.removed.exchanges, second.figures) == (0, 3, 3)
        assert all(gone(deps, acme, *chain))
        assert not any(gone(deps, acme, *noise[:2]))
        assert checked(deps, acme) == []
        assert going(retention.plan(deps, acme)) == {"all": (0, 0, 0, 0)}

    def test_a_whole_conversation_goes_with_them(self, deps: Deps, alice: Client, acme: str, chain: list[str]) -> None:
        conversation = conversation_of(alice, chain[0])
        alice.post("/v1/branches", json={"name": "b", "tip": chain[2]})
        later(deps, days=5)
        run_twice(deps, acme)
        assert conversation not in [each["id"] for each in alice.get("/v1/conversations").json["data"]]
        for path in ("tree", "cost"):
            assert alice.get(f"/v1/conversations/{conversation}/{path}").status_code == 404
        assert alice.get("/v1/branches").json["data"] == []
        assert self.rows(deps, "conversation_costs", conversation) == 0
        assert self.rows(deps, "ledger", conversation) == 0

    def test_leaves_go_while_the_trunk_is_kept(self, deps: Deps, alice: Client, acme: str, chain: list[str]) -> None:
        conversation = conversation_of(alice, chain[0])
        fork = alice.ask("kept", after=chain[0])["id"]
        later(deps, days=5)
        run_twice(deps, acme)
        assert gone(deps, acme, *chain, fork) == [False, True, True, False]
        tree = alice.get(f"/v1/conversations/{conversation}/tree").json
        assert [node["id"] for node in tree["data"]] == [chain[0], fork]
        with deps.database.connection() as connection:
            query = text("SELECT sum(exchanges), sum(total_tokens) FROM conversation_costs WHERE conversation_id = :c")
            left = connection.execute(query, {"c": ids.pack(ids.CONVERSATION, conversation)}).one()
            query = text("SELECT count(*), sum(total_tokens) FROM ledger WHERE conversation_id = :c")
            assert left == connection.execute(query, {"c": ids.pack(ids.CONVERSATION, conversation)}).one()
        assert left[0] == 2
        # The lane of what is gone is free again.
        assert alice.create("anew", after=fork).status_code == 200
        assert checked(deps, acme) == []

    def test_what_was_spent_stays_spent(self, deps: Deps, alice: Client, acme: str, chain: list[str]) -> None:
        price = {"model": "gpt-5.4*", "currency": "CNY", "input": 10, "cached_input": 1, "output": 100}
        alice.post("/v1/prices", json=price)
        alice.ask("dear", metadata={"kind": "test"})
        limit = {"name": "b", "amount": 10, "currency": "CNY", "period": "total"}
        budget = f"/v1/budgets/{alice.post('/v1/budgets', json=limit).json['id']}"
        spent, report = alice.get(budget).json["spent"], alice.get("/v1/costs?group_by=model").json["data"]
        assert spent != "0"
        later(deps, days=5)
        assert run_twice(deps, acme).figures == 4
        assert alice.get(budget).json["spent"] == spent
        assert alice.get("/v1/costs?group_by=model").json["data"] == report

    def test_whoever_continues_one_in_time_keeps_it(
        self, deps: Deps, alice: Client, acme: str, chain: list[str]
    ) -> None:
        conversation = alice.post("/v1/conversations").json["id"]
        own = alice.ask("here", conversation=conversation, metadata={"kind": "test"})["id"]
        later(deps, days=5)
        run(deps, acme)
        # By its id nothing can begin to continue it; a conversation goes on from its tip.
        assert alice.create("late", after=chain[2]).json["error"]["code"] == "previous_response_not_found"
        child = alice.ask("there", conversation=conversation)["id"]
        later(deps, seconds=HIDDEN_FOR.total_seconds())
        run(deps, acme)
        assert gone(deps, acme, own, child, *chain) == [False, False, True, True, True]
        assert alice.create("and on", conversation=conversation).status_code == 200

    def test_a_conversation_goes_on_from_what_is_left_of_it(self, deps: Deps, alice: Client, acme: str) -> None:
        conversation = alice.post("/v1/conversations").json["id"]
        first = alice.ask("kept", conversation=conversation)["id"]
        last = alice.ask("goes", conversation=conversation, metadata={"kind": "test"})["id"]
        later(deps, days=5)
        run_twice(deps, acme)
        assert gone(deps, acme, first, last) == [False, True]
        nxt = alice.ask("and on", conversation=conversation)["id"]
        assert [each["id"] for each in alice.get(f"/v1/responses/{nxt}/thread").json["data"]] == [first, nxt]

    def rows(self, deps: Deps, table: str, conversation: str) -> int:
        with deps.database.connection() as connection:
            query = text(f"SELECT count(*) FROM {table} WHERE conversation_id = :c")
            found = connection.execute(query, {"c": ids.pack(ids.CONVERSATION, conversation)})
            return int(found.scalar_one())


class TestBetween:
    """What changes between plan and run, and between two batches of one."""

    def test_a_hold_counts_at_once(self, deps: Deps, alice: Client, acme: str, chain: list[str]) -> None:
        made(alice, content_days=0, figures_days=0, **LABEL)
        assert going(retention.plan(deps, acme)) == {"all": (3, 3, 0, 0)}
        hold = held(alice, response_id=chain[1])
        assert going(retention.plan(deps, acme)) == {"all": (0, 0, 3, 0)}
        assert run_twice(deps, acme).changed == 0
        assert [said(alice, own) for own in chain] == [KEPT] * 3
        alice.post(f"/v1/holds/{hold['id']}/release")
        run_twice(deps, acme)
        assert all(gone(deps, acme, *chain))

    def test_one_that_comes_when_all_is_decided_is_seen_by_what_erases(
        self, deps: Deps, alice: Client, acme: str, chain: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        made(alice, content_days=0, figures_days=0, **LABEL)
        decide = retention._let_go

        def interrupted(*given: Any) -> None:
            held(alice, response_id=chain[1])
            decide(*given)

        monkeypatch.setattr(retention, "_let_go", interrupted)
        swept = run(deps, acme)
        assert (swept.changed, swept.erased.held) == (0, 3)
        assert [said(alice, own) for own in chain] == [KEPT] * 3

    def test_one_on_what_is_hidden_already_keeps_it(
        self, deps: Deps, alice: Client, acme: str, chain: list[str]
    ) -> None:
        made(alice, content_days=0, figures_days=0, **LABEL)
        run(deps, acme)
        held(alice, response_id=chain[0])
        later(deps, days=1)
        assert run(deps, acme).changed == 0
        assert not any(gone(deps, acme, *chain))

    def test_a_rule_that_is_changed_counts_for_the_next_batch(
        self, deps: Deps, alice: Client, acme: str, chain: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retention, "BATCH", 1)
        rule = made(alice, content_days=0, **LABEL)["id"]

        def change(_: Swept) -> None:
            alice.delete(f"/v1/retention/rules/{rule}")

        assert retention.run(deps, acme, change).changed == 1
        assert [said(alice, own) for own in chain] == [KEPT, KEPT, ERASED]

    def test_batch_by_batch_is_all_at_once(
        self, deps: Deps, alice: Client, acme: str, chain: list[str], monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retention, "BATCH", 2)
        fork = alice.ask("fork", after=chain[0], metadata={"kind": "test"})["id"]
        made(alice, content_days=0, figures_days=0, **LABEL)
        assert run(deps, acme).erased.exchanges == 4
        later(deps, seconds=HIDDEN_FOR.total_seconds())
        assert run(deps, acme).removed.exchanges == 4
        assert all(gone(deps, acme, *chain, fork))
        assert checked(deps, acme) == []

    def test_so_many_and_no_more(self, deps: Deps, alice: Client, acme: str, chain: list[str]) -> None:
        made(alice, content_days=0, **LABEL)
        assert retention.run(deps, acme, silent, limit=2).changed == 2
        assert [said(alice, own) for own in chain] == [KEPT, ERASED, ERASED]
        assert retention.run(deps, acme, silent, limit=2).changed == 1

    def test_anothers_rules_are_for_its_own(
        self, deps: Deps, carol: Client, alice: Client, acme: str, noise: list[str], stage: Stage
    ) -> None:
        made(carol, content_days=0, figures_days=0)
        assert run_twice(deps, acme).looked_at == 0
        assert said(alice, noise[0]) == KEPT
