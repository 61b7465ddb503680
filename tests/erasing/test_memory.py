"""A turn that uses a shared body while it is being erased: it is there afterwards, whoever was first."""

import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest
from flask import Flask

from convstore import bootstrap
from convstore.config import Settings
from convstore.services import erasing, recovery
from convstore.services.deps import Deps
from convstore.storage import memory, payloads, turns
from tests.api.test_audit import project_of
from tests.conftest import Client, FixedClock
from tests.erasing.doing import dump

WITHIN_S = 20.0


@pytest.fixture
def other(settings: Settings, clock: FixedClock) -> Iterator[Deps]:
    """Another process: who erases."""
    made = bootstrap.deps(settings, clock)
    recovery.enter(made)
    yield made
    recovery.leave(made)
    made.upstreams.close()
    made.database.close()


@pytest.fixture
def doubted(deps: Deps, app: Flask, alice: Client, noise: list[str]) -> str:
    """Instructions that were Zoe's alone; she is erased, and they are under doubt. The project."""
    mine = alice.ask("Mine", user="zoe", instructions="Zebra")["id"]
    project = project_of(alice)
    erasing.erase(deps, project, "erasure_x", [mine])
    return project


def said(client: Client, response_id: str) -> Any:
    return client.get(f"/v1/responses/{response_id}").json["instructions"]


class TestAProcessThatRemembers:
    def test_is_waited_for_until_it_has_forgotten(self, deps: Deps, other: Deps, alice: Client, doubted: str) -> None:
        assert erasing.drop_payloads(other, doubted, "erasure_x") is None
        again = alice.ask("Again", instructions="Zebra")["id"]
        recovery.forget_payloads(deps)
        done = erasing.drop_payloads(other, doubted, "erasure_x")
        assert done is not None and done.payloads == 0 and done.kept >= 1
        assert said(alice, again) == "Zebra"

    def test_and_its_turn_that_is_under_way(
        self, deps: Deps, other: Deps, alice: Client, doubted: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It looked into memory, and has written nothing yet."""
        looked, go_on = threading.Event(), threading.Event()
        transact = turns.transact
        answers: list[dict[str, Any]] = []

        def later(*args: Any) -> bool:
            if not looked.is_set():
                looked.set()
                assert go_on.wait(WITHIN_S)
            return transact(*args)

        monkeypatch.setattr(turns, "transact", later)
        monkeypatch.setattr(recovery, "LAST_BEAT_S", 0.0)
        turn = threading.Thread(target=lambda: answers.append(alice.ask("Again", instructions="Zebra")))
        turn.start()
        assert looked.wait(WITHIN_S)
        recovery.forget_payloads(deps)
        assert erasing.drop_payloads(other, doubted, "erasure_x") is None
        go_on.set()
        turn.join(WITHIN_S)
        recovery.forget_payloads(deps)
        done = erasing.drop_payloads(other, doubted, "erasure_x")
        assert done is not None and done.payloads == 0
        assert said(alice, answers[0]["id"]) == "Zebra"

    def test_one_that_was_given_up_writes_again_what_it_left_out(
        self, deps: Deps, other: Deps, alice: Client, doubted: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """It was stopped in the middle of a turn, for longer than others waited for it."""
        transact = turns.transact
        monkeypatch.setattr(recovery, "remembering", lambda _deps, _number: [])

        def stopped(*args: Any) -> bool:
            done = erasing.drop_payloads(other, doubted, "erasure_x")
            if done is not None and done.payloads:
                monkeypatch.setattr(memory, "TRUSTED_S", -1.0)
            return transact(*args)

        monkeypatch.setattr(turns, "transact", stopped)
        assert said(alice, alice.ask("Again", instructions="Zebra")["id"]) == "Zebra"

    def test_one_that_has_not_been_heard_of_for_long_trusts_nothing(
        self, deps: Deps, other: Deps, alice: Client, doubted: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(recovery, "remembering", lambda _deps, _number: [])
        deps.database.memory.heard(time.monotonic() - memory.TRUSTED_S)
        done = erasing.drop_payloads(other, doubted, "erasure_x")
        assert done is not None and done.payloads == 1
        assert said(alice, alice.ask("Again", instructions="Zebra")["id"]) == "Zebra"

    def test_nor_one_that_has_left(self, deps: Deps, other: Deps, alice: Client, doubted: str) -> None:
        recovery.leave(deps)
        assert deps.database.memory.trust() is None
        done = erasing.drop_payloads(other, doubted, "erasure_x")
        assert done is not None and done.payloads == 1
        assert b"Zebra" not in dump(other)


class TestARowThatBothWant:
    @pytest.fixture(autouse=True)
    def alone(self, monkeypatch: pytest.MonkeyPatch) -> None:
        """Nobody remembers anything: only locks are between them."""
        monkeypatch.setattr(recovery, "remembering", lambda _deps, _number: [])
        monkeypatch.setattr(memory, "TRUSTED_S", -1.0)

    def test_a_turn_that_has_not_committed_is_waited_for(
        self, deps: Deps, other: Deps, alice: Client, doubted: str
    ) -> None:
        dropped: list[Any] = []
        eraser = threading.Thread(target=lambda: dropped.append(erasing.drop_payloads(other, doubted, "erasure_x")))
        enqueue = deps.enqueue
        assert enqueue is not None

        def while_it_is_open(*args: Any) -> None:
            eraser.start()
            until(lambda: is_waiting(deps) or bool(dropped))
            enqueue(*args)

        object.__setattr__(deps, "enqueue", while_it_is_open)
        again = alice.create("Again", instructions="Zebra", background=True).json["id"]
        eraser.join(WITHIN_S)
        assert dropped[0].payloads == 0
        assert said(alice, again) == "Zebra"

    def test_a_turn_waits_for_who_erases_and_stores_it_again(
        self, deps: Deps, other: Deps, alice: Client, doubted: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        answers: list[dict[str, Any]] = []
        turn = threading.Thread(target=lambda: answers.append(alice.ask("Again", instructions="Zebra")))
        referred_to = payloads._referred_to

        def before_it_is_deleted(*args: Any) -> set[bytes]:
            found = referred_to(*args)
            turn.start()
            until(lambda: is_waiting(deps) or bool(answers))
            return found

        monkeypatch.setattr(payloads, "_referred_to", before_it_is_deleted)
        done = erasing.drop_payloads(other, doubted, "erasure_x")
        assert done is not None and done.payloads == 1
        turn.join(WITHIN_S)
        assert said(alice, answers[0]["id"]) == "Zebra"


def is_waiting(deps: Deps) -> bool:
    """Whether somebody waits for a lock. SQLite does not tell; there the order is what the scheduler makes of it."""
    if deps.database.is_sqlite:
        return True
    with deps.database.connection() as connection:
        query = "SELECT count(*) FROM pg_stat_activity WHERE datname = current_database() AND wait_event_type = 'Lock'"
        return bool(connection.exec_driver_sql(query).scalar())


def until(is_so: Any) -> None:
    deadline = time.monotonic() + WITHIN_S
    while not is_so():
        assert time.monotonic() < deadline
