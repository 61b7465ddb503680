"""Attacks on the audit log and on what it commits to, by whoever can write to the database: each is found and named."""

import json
import os
import signal
import subprocess
import sys
import threading
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest
from flask import Flask
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st
from sqlalchemy import Connection

from convstore import bootstrap, ids
from convstore.config import Settings
from convstore.domain.audit import COLUMNS, Keyring
from convstore.errors import InvalidRequest
from convstore.services import verification
from convstore.services.deps import Deps
from convstore.storage.strands import Strands
from tests.api.test_audit import checked, project_of
from tests.conftest import Client, FixedClock

KEY = "k" * 32


@pytest.fixture
def settings_(settings: Settings) -> Settings:
    return replace(settings, audit_key=KEY)


@pytest.fixture
def deps(settings_: Settings, clock: FixedClock) -> Iterator[Deps]:
    from convstore.services import recovery

    made = bootstrap.deps(settings_, clock)
    recovery.enter(made)
    yield made
    made.upstreams.close()
    made.database.close()


class Log:
    """A project's log in somebody's hands."""

    def __init__(self, deps: Deps, client: Client) -> None:
        self.deps = deps
        self.client = client
        self.project = project_of(client)

    def sql(self, statement: str, **values: Any) -> None:
        with self.deps.database.transaction() as connection:
            _execute(connection, statement, values)

    def rows(self) -> list[dict[str, Any]]:
        """Raw rows of the project, oldest first."""
        with self.deps.database.connection() as connection:
            query = f"SELECT {', '.join(COLUMNS)} FROM audit_log WHERE project_id = :p ORDER BY strand, number"
            return [dict(row._mapping) for row in _execute(connection, query, {"p": self.packed})]

    @property
    def packed(self) -> bytes:
        return ids.pack(ids.PROJECT, self.project) or b""

    def check(self, head: dict[str, Any] | None = None) -> list[tuple[str, Any]]:
        return checked(self.deps, self.project, head)

    def delete(self, row: dict[str, Any]) -> None:
        self.sql("DELETE FROM audit_log WHERE project_id = :p AND id = :i", p=self.packed, i=row["id"])


def _execute(connection: Connection, statement: str, values: dict[str, Any]) -> Any:
    from sqlalchemy import text

    return connection.execute(text(statement), values)


def name(row: dict[str, Any]) -> str:
    return ids.unpack(ids.ENTRY, bytes(row["id"]))


@pytest.fixture
def log(deps: Deps, app: Flask, alice: Client, noise: list[str]) -> Log:
    """Turns, reads and changes of Acme's, in one strand; and Globex's noise."""
    first = alice.ask("What is a strand?")
    alice.ask("And a link?", after=first["id"], instructions="Be brief.")
    alice.get(f"/v1/responses/{first['id']}")
    alice.get("/v1/conversations")
    alice.delete("/v1/responses/resp_0")
    return Log(deps, alice)


class TestEntries:
    def test_an_untouched_log_is_right(self, log: Log) -> None:
        assert log.check() == []
        assert len(log.rows()) >= 11

    def test_every_column_that_is_edited_is_found(self, log: Log) -> None:
        victim = log.rows()[4]
        for column in COLUMNS:
            if column in ("project_id", "salt"):
                continue
            was = victim[column]
            edited: Any = b"\x01" * 16 if isinstance(was, bytes | memoryview) or column.endswith("_id") else "x"
            if column in ("links", "digest", "key_id"):
                edited = b"\x01" * 4
            if isinstance(was, int):
                edited = was + 1
            where = {"p": log.packed, "i": victim["id"]}
            log.sql(f"UPDATE audit_log SET {column} = :v WHERE project_id = :p AND id = :i", v=edited, **where)
            moved = edited if column == "id" else victim["id"]
            found = log.check()
            assert found, column
            kinds = {kind for kind, own in found if own in (ids.unpack(ids.ENTRY, bytes(moved)), name(victim))}
            assert kinds & {"altered", "unknown_key", "missing"}, (column, found)
            log.sql(
                f"UPDATE audit_log SET {column} = :v WHERE project_id = :p AND id = :i", v=was, p=log.packed, i=moved
            )
            assert log.check() == [], column

    def test_an_entry_that_is_given_to_another_project_is_found(self, log: Log) -> None:
        victim = log.rows()[4]
        globex = os.urandom(16)
        log.sql(
            "UPDATE audit_log SET project_id = :q WHERE project_id = :p AND id = :i",
            q=globex,
            p=log.packed,
            i=victim["id"],
        )
        assert ("missing", name(victim)) in log.check()

    def test_one_that_is_removed_is_found(self, log: Log) -> None:
        for victim in log.rows()[:-1]:
            log.delete(victim)
            found = log.check()
            assert ("missing", name(victim)) in found
            log.sql(
                f"INSERT INTO audit_log ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{each}' for each in COLUMNS)})",
                **victim,
            )
        assert log.check() == []

    def test_two_that_are_swapped_are_found(self, log: Log) -> None:
        one, other = log.rows()[3], log.rows()[5]
        for row, number in ((one, other["number"]), (other, one["number"])):
            log.sql("UPDATE audit_log SET number = :n WHERE id = :i", n=number, i=row["id"])
        assert {("altered", name(one)), ("altered", name(other))} <= set(log.check())

    def test_one_that_is_made_up_is_found(self, log: Log) -> None:
        """By somebody without the key, who knows how entries are sealed."""
        last = dict(log.rows()[-1])
        forger = Keyring("f" * 32)
        from convstore.domain.audit import message

        said = {**last, "id": os.urandom(16), "number": last["number"] + 1, "previous_id": last["id"]}
        said |= {"previous_seal": last["seal"], "commits": None, "digest": None, "salt": None}
        row = [bytes(said[each]) if isinstance(said[each], memoryview) else said[each] for each in COLUMNS[:-2]]
        for key_id, expected in ((bytes(last["key_id"]), "altered"), (None, "unkeyed")):
            row[-1] = key_id
            seal = forger.seal(message(row), forger.key_id if key_id else None)
            values = dict(zip(COLUMNS, [*row, None, seal], strict=True))
            log.sql(
                f"INSERT INTO audit_log ({', '.join(COLUMNS)}) VALUES ({', '.join(f':{each}' for each in COLUMNS)})",
                **values,
            )
            assert log.check() == [(expected, name(said))]
            log.delete(said)


class TestTails:
    def test_what_is_cut_off_is_found_by_what_links_it(self, log: Log) -> None:
        last = log.rows()[-1]
        # A process that starts later links the strands that it finds.
        log.deps.database.recorder = later = Strands(log.deps.database, log.deps.audit.keyring, log.deps.clock)
        object.__setattr__(log.deps, "audit", later)
        log.client.get("/v1/models")
        log.delete(last)
        assert log.check() == [("missing", name(last))]

    def test_or_by_a_head(self, log: Log) -> None:
        head = verification.head(log.deps, log.project)
        last = log.rows()[-1]
        log.delete(last)
        assert log.check() == []
        assert log.check(head) == [("missing", name(last))]

    def test_a_whole_log_that_is_gone_is_found_by_a_head(self, log: Log) -> None:
        head = verification.head(log.deps, log.project)
        log.sql("DELETE FROM audit_log WHERE project_id = :p", p=log.packed)
        assert {kind for kind, _ in log.check(head)} == {"missing"}

    def test_a_head_holds_while_the_log_goes_on(self, log: Log) -> None:
        head = json.loads(json.dumps(verification.head(log.deps, log.project)))
        log.client.ask("More")
        assert log.check(head) == []

    def test_one_that_was_changed_is_no_proof(self, log: Log) -> None:
        head = verification.head(log.deps, log.project)
        assert log.check({**head, "strands": []}) == [("head_forged", None)]
        assert log.check({**head, "created_at": 1}) == [("head_forged", None)]
        assert log.check({**head, "key_id": None}) == [("head_forged", None)]

    @pytest.mark.parametrize(
        ("changed", "param"),
        [
            ({"object": "audit"}, "object"),
            ({"project_id": f"proj_{'0' * 32}"}, "project_id"),
            ({"strands": None}, "strands"),
            ({"strands": [5]}, "strands[0].number"),
            ({"strands": [{"number": 1, "entry_id": "x"}]}, "strands[0].entry_id"),
            ({"strands": [{"number": 1, "entry_id": f"audit_{'0' * 32}", "strand": 5}]}, "strands[0].strand"),
            ({"key_id": "zz"}, "key_id"),
        ],
    )
    def test_what_is_no_head_is_refused_by_the_field(self, log: Log, changed: dict[str, Any], param: str) -> None:
        head = verification.head(log.deps, log.project)
        with pytest.raises(InvalidRequest) as refused:
            log.check({**head, **changed})
        assert refused.value.param == param


class TestOldCopies:
    def test_one_that_is_put_back_is_found_by_a_head(self, log: Log) -> None:
        old = log.rows()
        log.client.ask("What is lost later")
        head = verification.head(log.deps, log.project)
        kept = {row["id"] for row in old}
        gone = [row for row in log.rows() if row["id"] not in kept]
        for row in gone:
            log.delete(row)
        assert ("missing", name(gone[-1])) in log.check(head)

    def test_a_service_that_runs_on_over_it_is_found_by_itself(self, log: Log) -> None:
        """The strand goes on from an entry that is not there any more."""
        last = log.rows()[-1]
        log.delete(last)
        log.client.get("/v1/models")
        assert log.check() == [("missing", name(last))]


EDITS = [
    ("UPDATE items SET body = :v WHERE lane = :l AND depth = :d AND NOT output", b'{"type":"message"}'),
    ("UPDATE items SET body = :v WHERE lane = :l AND depth = :d AND output", b'{"type":"message"}'),
    ("UPDATE items SET role = :v WHERE lane = :l AND depth = :d AND NOT output", "system"),
    ("UPDATE items SET position = position + 7 WHERE lane = :l AND depth = :d AND output", None),
    ("DELETE FROM items WHERE lane = :l AND depth = :d AND output", None),
    ("UPDATE exchanges SET requested_model = :v WHERE id = :e", "gpt-6"),
    ("UPDATE exchanges SET model = :v WHERE id = :e", "gpt-6"),
    ("UPDATE exchanges SET status = :v WHERE id = :e", "failed"),
    ("UPDATE exchanges SET output_tokens = output_tokens + 1 WHERE id = :e", None),
    ("UPDATE exchanges SET parent_id = NULL WHERE id = :e", None),
    ("UPDATE exchanges SET api_key_id = :v WHERE id = :e", b"\x01" * 16),
    ("UPDATE exchanges SET settings_hash = :v WHERE id = :e", b"\x01" * 16),
    ("UPDATE payloads SET body = :v WHERE hash = (SELECT settings_hash FROM exchanges WHERE id = :e)", b"{}"),
    ("UPDATE audit_log SET salt = :v WHERE id = :e", b"\x01" * 16),
]


class TestExchanges:
    @pytest.mark.parametrize(("statement", "value"), EDITS, ids=[statement[:48] for statement, _ in EDITS])
    def test_what_is_edited_by_hand_is_found(self, log: Log, statement: str, value: Any) -> None:
        root = log.client.ask("Root", instructions="Of this one")
        given = log.client.ask("Said", after=root["id"], instructions=f"Alone {value!r}")
        own = ids.pack(ids.EXCHANGE, given["id"])
        with log.deps.database.connection() as connection:
            row = _execute(connection, "SELECT lane, depth FROM exchanges WHERE id = :e", {"e": own}).fetchone()
        values = {"l": row.lane, "d": row.depth, "e": own, "v": value}
        used = {key: each for key, each in values.items() if f":{key}" in statement}
        log.sql(statement, **used)
        found = log.check()
        assert found
        assert {kind for kind, _ in found} == {"content_altered"}
        assert {ids.EXCHANGE + own_id[5:] for _, own_id in found} & {given["id"]} or len(found) == 1

    def test_one_letter_is_enough(self, log: Log) -> None:
        log.client.ask("Pay 100")
        with log.deps.database.connection() as connection:
            rows = _execute(connection, "SELECT lane, depth, position, body FROM items", {}).fetchall()
        (row,) = (each for each in rows if b"Pay 100" in bytes(each.body))
        edited = bytes(row.body).replace(b"Pay 100", b"Pay 900")
        where = {"l": row.lane, "d": row.depth, "p": row.position}
        log.sql("UPDATE items SET body = :v WHERE lane = :l AND depth = :d AND position = :p", v=edited, **where)
        assert [kind for kind, _ in log.check()] == ["content_altered"]

    def test_an_exchange_that_is_removed_is_found(self, log: Log) -> None:
        given = log.client.ask("Gone")
        log.sql("DELETE FROM exchanges WHERE id = :e", e=ids.pack(ids.EXCHANGE, given["id"]))
        assert {kind for kind, _ in log.check()} == {"content_missing"}

    def test_one_whose_entry_is_removed_is_found_without_the_chain(self, log: Log) -> None:
        given = log.client.ask("Unseen")
        log.sql("DELETE FROM audit_log WHERE id = :e", e=ids.pack(ids.EXCHANGE, given["id"]))
        assert ("unrecorded", given["id"]) in log.check()

    def test_one_that_lost_its_salt_is_erased(self, log: Log) -> None:
        given = log.client.ask("Erased")
        log.sql("UPDATE audit_log SET salt = NULL WHERE id = :e", e=ids.pack(ids.EXCHANGE, given["id"]))
        assert [kind for kind, _ in log.check()] == ["content_erased"]

    def test_hiding_one_is_no_change_of_content(self, log: Log) -> None:
        log.client.delete(f"/v1/responses/{log.client.ask('Hidden')['id']}")
        assert log.check() == []

    def test_what_was_added_by_hand_to_a_conversation_is_in_it(self, log: Log) -> None:
        said = [{"role": "user", "content": "By hand"}]
        made = log.client.post("/v1/conversations", json={"items": said}).json
        log.client.post(f"/v1/conversations/{made['id']}/items", json={"items": said})
        assert log.check() == []
        log.sql("UPDATE items SET body = :v WHERE body = (SELECT max(body) FROM items)", v=b'{"type":"message"}')
        assert log.check()


class TestKeys:
    def test_an_older_key_still_checks_and_one_that_is_gone_is_said(self, log: Log) -> None:
        log.deps.audit.keyring = Keyring("n" * 32, [KEY])
        log.client.get("/v1/models")
        assert log.check() == []
        log.deps.audit.keyring = Keyring("n" * 32)
        assert {kind for kind, _ in log.check()} == {"unknown_key"}

    def test_without_a_key_accidents_are_found(self, log: Log) -> None:
        log.sql("DELETE FROM audit_log WHERE project_id = :p", p=log.packed)
        log.deps.audit.keyring = Keyring()
        log.deps.audit._logs.clear()
        log.client.get("/v1/models")
        log.client.get("/v1/jobs")
        page = verification.verify(log.deps, log.project)
        assert (page.entries, page.keyed) == (2, 0)
        log.sql("UPDATE audit_log SET action = 'x.y' WHERE number = 0 AND project_id = :p", p=log.packed)
        assert [kind for kind, _ in log.check()] == ["altered"]

    def test_the_key_is_nowhere(self, log: Log) -> None:
        assert KEY not in repr(log.deps.audit.keyring)
        assert KEY not in repr(log.deps.audit.keyring.__dict__.get("key_id"))
        for row in log.rows():
            assert KEY.encode() not in repr(row).encode()


class TestAtOnce:
    def test_eight_threads_leave_a_log_that_is_right(self, log: Log) -> None:
        def work() -> None:
            client = Client(log.client.app, log.client.key)
            for _ in range(6):
                client.get(f"/v1/responses/{client.ask()['id']}")

        threads = [threading.Thread(target=work) for _ in range(8)]
        before = len(log.rows())
        for each in threads:
            each.start()
        for each in threads:
            each.join()
        assert len(log.rows()) == before + 8 * 6 * 3
        assert log.check(verification.head(log.deps, log.project)) == []

    def test_a_strand_that_may_be_on_disk_or_not_is_given_up(self, log: Log, monkeypatch: pytest.MonkeyPatch) -> None:
        from convstore.storage import rows

        def broken(*_: Any) -> Any:
            raise RuntimeError

        monkeypatch.setattr(rows, "execute", broken)
        assert log.client.get("/v1/models").status_code == 500
        monkeypatch.undo()
        log.client.get("/v1/models")
        assert len({bytes(row["strand"]) for row in log.rows()}) == 2
        assert log.check() == []

    def test_what_is_rolled_back_leaves_no_gap(self, log: Log) -> None:
        before = len({bytes(row["strand"]) for row in log.rows()})
        for _ in range(3):
            assert log.client.post("/v1/branches", json={"name": "b", "tip": "resp_0"}).status_code == 400
        made = {"name": "day", "amount": 1, "currency": "USD", "period": "day"}
        assert [log.client.post("/v1/budgets", json=made).status_code for _ in range(2)] == [200, 409]
        assert len({bytes(row["strand"]) for row in log.rows()}) == before
        assert log.check() == []


WRITER = """
import sys
from convstore import bootstrap, config
from convstore.app import create_app
settings = config.load()
deps = bootstrap.deps(settings)
client = create_app(settings, deps).test_client()
for number in range(int(sys.argv[2])):
    client.get("/v1/models", headers={"Authorization": "Bearer " + sys.argv[1]})
    print(number, flush=True)
"""


class TestProcesses:
    def start(self, log: Log, url: str, many: int) -> subprocess.Popen[bytes]:
        environment = {**os.environ, "CONVSTORE_DATABASE_URL": url, "CONVSTORE_AUDIT_KEY": KEY}
        command = [sys.executable, "-c", WRITER, log.client.key, str(many)]
        return subprocess.Popen(command, env=environment, stdout=subprocess.PIPE)

    def test_two_of_them_and_one_that_is_killed(self, log: Log, database_url: str) -> None:
        victim, other = self.start(log, database_url, 100_000), self.start(log, database_url, 40)
        assert victim.stdout is not None
        for _ in range(30):
            victim.stdout.readline()
        victim.send_signal(signal.SIGKILL)
        victim.wait()
        assert other.communicate(timeout=60)[0].split()[-1] == b"39"
        log.client.get("/v1/models")
        assert log.check() == []
        strands_found = {bytes(row["strand"]) for row in log.rows()}
        assert len(strands_found) >= 3


class TestLaw:
    @settings(max_examples=25, deadline=None, suppress_health_check=list(HealthCheck))
    @given(data=st.data())
    def test_whatever_is_done_to_an_entry_is_found(self, log: Log, data: st.DataObject) -> None:
        rows = log.rows()
        row = data.draw(st.sampled_from(rows[:-1]))
        column = data.draw(st.sampled_from([each for each in COLUMNS if each not in ("project_id", "id", "salt")]))
        was = row[column]
        kind = (
            bytes
            if isinstance(was, bytes | memoryview) or "_id" in column or column in ("digest", "links")
            else type(was)
        )
        if kind is int:
            edited: Any = data.draw(st.integers(0, 2**62))
        elif kind is bytes:
            edited = data.draw(st.binary(min_size=1, max_size=16))
        else:
            edited = data.draw(st.text(st.characters(min_codepoint=32, max_codepoint=0x2FF), min_size=1, max_size=16))
        if edited == (bytes(was) if isinstance(was, memoryview) else was):
            return
        where = {"p": log.packed, "i": row["id"]}
        log.sql(f"UPDATE audit_log SET {column} = :v WHERE project_id = :p AND id = :i", v=edited, **where)
        found = [own for _, own in log.check()]
        log.sql(f"UPDATE audit_log SET {column} = :v WHERE project_id = :p AND id = :i", v=was, **where)
        assert name(row) in found
