"""Sweeps that are killed, sweeps under load, holds in the middle of an erasure: nothing is lost that should stay."""

import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from typing import Any

import pytest

from convstore import bootstrap
from convstore.app import create_app
from convstore.domain.retention import HIDDEN_FOR
from convstore.services import doctor, holds, keys, projects, recovery, retention
from convstore.services.deps import Deps
from convstore.storage.holds import held
from tests.api.conftest import Stage
from tests.api.test_audit import checked, project_of
from tests.conftest import Client
from tests.retention.test_holds import made as hold
from tests.retention.test_rules import made
from tests.retention.test_runs import ERASED, KEPT, gone, later, run, said

# Runs the command in batches of two, and dies in the middle: in a transaction, or behind one.
DIES = """
import os, signal, sys
from convstore import cli
from convstore.services import retention
from convstore.storage import erasing

where, count, retention.BATCH = sys.argv.pop(1), int(sys.argv.pop(1)), 2
done = 0

def die():
    global done
    done += 1
    if done == count:
        os.kill(os.getpid(), signal.SIGKILL)

for name in ("content", "whole"):
    def wrapped(*given, act=getattr(erasing, name)):
        found = act(*given)
        if where == "within":
            die()
        return found
    setattr(erasing, name, wrapped)

let_go = retention._let_go
def behind(*given):
    let_go(*given)
    if where == "behind":
        die()
retention._let_go = behind
cli.main()
"""


@pytest.fixture
def present(stage: Stage) -> Iterator[Deps]:
    """The same service at the present moment, at which commands are, too."""
    made = bootstrap.deps(stage.settings)
    recovery.enter(made)
    yield made
    made.upstreams.close()
    made.database.close()


@pytest.fixture
def dora(stage: Stage, present: Deps) -> Client:
    name = f"initech {os.urandom(4).hex()}"
    return Client(create_app(stage.settings, present), keys.create(present, name)[1])


def name_of(deps: Deps, project: str) -> str:
    return next(each.name for each in projects.listed(deps) if each.id == project)


def healthy(deps: Deps, project: str) -> bool:
    return not list(doctor.examine(deps, name_of(deps, project))) and checked(deps, project) == []


class TestKilled:
    @pytest.mark.parametrize(("where", "count"), [("within", 1), ("within", 2), ("behind", 1), ("behind", 2)])
    def test_the_next_run_ends_it(
        self, stage: Stage, present: Deps, dora: Client, carol: Client, noise: list[str], where: str, count: int
    ) -> None:
        project = project_of(dora)
        made(dora, content_days=0)
        own: list[str] = []
        for number in range(5):
            own.append(dora.ask(f"turn {number}", after=own[-1] if own else None)["id"])
        assert self.command(stage, present, project, where, count) == -signal.SIGKILL
        whole = count if where == "behind" else count - 1
        left = [KEPT] * (5 - 2 * whole) + [ERASED] * (2 * whole)
        assert [said(dora, each) for each in own] == left
        assert healthy(present, project)
        assert self.command(stage, present, project, "nowhere", 0) == 0
        assert [said(dora, each) for each in own] == [ERASED] * 5
        assert healthy(present, project)
        assert said(carol, noise[2]) == KEPT

    def test_so_it_does_with_what_is_removed(
        self, stage: Stage, deps: Deps, alice: Client, acme: str, noise: list[str]
    ) -> None:
        """The command's clock is a day behind: what is hidden and old for it is made so by hand."""
        own: list[str] = []
        for number in range(5):
            own.append(alice.ask(f"turn {number}", after=own[-1] if own else None, metadata={"kind": "test"})["id"])
        made(alice, content_days=0, figures_days=0, metadata={"kind": "test"})
        with deps.database.transaction() as connection:
            connection.exec_driver_sql("UPDATE exchanges SET created_at = 1000000")
        run(deps, acme)
        with deps.database.transaction() as connection:
            connection.exec_driver_sql("UPDATE exchanges SET deleted_at = 1000000 WHERE deleted_at IS NOT NULL")
        assert self.command(stage, deps, acme, "within", 2) == -signal.SIGKILL
        assert gone(deps, acme, *own) == [False, False, False, True, True]
        assert self.command(stage, deps, acme, "nowhere", 0) == 0
        assert all(gone(deps, acme, *own))
        assert not any(gone(deps, acme, *noise[:2]))
        assert not list(doctor.examine(deps, name_of(deps, acme)))

    def command(self, stage: Stage, deps: Deps, project: str, where: str, count: int) -> int:
        arguments = ["retention", "run", "--project", name_of(deps, project)]
        # The service of this stage does not beat: nobody waits for it.
        quick = f"import sys, convstore.cli as c; sys.modules['convstore.cli.retention'].PATIENCE_S = 0\n{DIES}"
        ran = subprocess.run(
            [sys.executable, "-c", quick, where, str(count), *arguments],
            env={**os.environ, "CONVSTORE_DATABASE_URL": stage.settings.database_url},
            capture_output=True,
            timeout=60,
            check=False,
        )
        assert ran.returncode in (0, -signal.SIGKILL), ran.stderr
        return ran.returncode


class TestUnderLoad:
    def test_what_is_asked_meanwhile_is_answered_and_kept(
        self, deps: Deps, alice: Client, carol: Client, acme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        monkeypatch.setattr(retention, "BATCH", 3)
        label = {"metadata": {"kind": "test"}}
        made(alice, content_days=0, figures_days=0, **label)
        removed = [alice.ask(f"old {number}", **label)["id"] for number in range(6)]
        run(deps, acme)
        later(deps, seconds=HIDDEN_FOR.total_seconds())
        forked = [alice.ask(f"less old {number}", **label)["id"] for number in range(6)]
        load = [Load(alice, forked), Load(alice, forked[::-1]), Load(carol, [])]
        for each in load:
            each.start()
        while any(each.is_alive() for each in load):
            run(deps, acme)
        for each in load:
            each.join()
            assert each.wrong == []
            assert len(each.own) >= Load.TURNS
        assert all(gone(deps, acme, *removed))
        for each in load:
            assert [said(each.client, own) for own in each.own] == [KEPT] * len(each.own)
        later(deps, seconds=HIDDEN_FOR.total_seconds())
        run(deps, acme)
        continued = set().union(*(each.continued for each in load))
        assert gone(deps, acme, *forked) == [own not in continued for own in forked]
        for each in load:
            for own in each.own:
                thread = each.client.get(f"/v1/responses/{own}/thread").json["data"]
                assert (thread[0]["depth"], thread[-1]["id"]) == (0, own)
        assert healthy(deps, acme)
        assert healthy(deps, project_of(carol))


class Load(threading.Thread):
    """A client that goes on with a conversation of its own, and with what is about to go."""

    TURNS = 12

    def __init__(self, client: Client, forked: list[str]) -> None:
        super().__init__()
        self.client = Client(client.app, client.key)
        self.forked = forked
        self.own: list[str] = []
        self.continued: set[str] = set()
        self.wrong: list[Any] = []

    def run(self) -> None:
        last = None
        for number in range(self.TURNS):
            last = self.ask(f"turn {number}", last) or last
            if self.forked:
                target = self.forked[number % len(self.forked)]
                if self.ask("from what goes", target):
                    self.continued.add(target)

    def ask(self, question: str, after: str | None) -> str | None:
        answered = self.client.create(question, after=after)
        if answered.status_code == 200:
            self.own.append(answered.json["id"])
            return str(answered.json["id"])
        code = answered.json["error"]["code"]
        if after not in self.forked or code != "previous_response_not_found":
            self.wrong.append((answered.status_code, code))
        return None


class TestHolds:
    def test_one_is_answered_when_what_was_being_erased_is(self, deps: Deps, alice: Client, acme: str) -> None:
        own = alice.ask("mine")["id"]
        answered: list[dict[str, Any]] = []
        asks = threading.Thread(target=lambda: answered.append(hold(alice, response_id=own)))
        with deps.database.writing(acme, records=False) as scope:
            assert held(scope, [own]) == set()
            asks.start()
            asks.join(0.3)
            assert answered == []
        asks.join(10)
        assert answered
        with deps.database.writing(acme, records=False) as scope:
            assert held(scope, [own]) == {own}

    def test_what_erases_waits_for_one_that_is_being_made(
        self, deps: Deps, alice: Client, acme: str, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        own = alice.ask("mine")["id"]
        made(alice, content_days=0)
        added, go = threading.Event(), threading.Event()
        add = holds.holds.add

        def slowly(*given: Any) -> None:
            add(*given)
            added.set()
            go.wait(10)

        monkeypatch.setattr(holds.holds, "add", slowly)
        asks = threading.Thread(target=lambda: hold(alice, response_id=own))
        asks.start()
        assert added.wait(10)
        sweeps = threading.Thread(target=lambda: run(deps, acme))
        sweeps.start()
        sweeps.join(0.3)
        assert sweeps.is_alive()
        go.set()
        sweeps.join(10)
        asks.join(10)
        assert said(alice, own) == KEPT
