"""A worker dies while it answers: another one goes on, the provider is not asked more than it should be.

kill -9, and a worker that hangs until others take it for dead and then goes on.
"""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import psutil
from sqlalchemy import delete

from convstore.errors import StorageUnavailable
from convstore.services import projects
from convstore.storage import tables
from convstore.storage.database import Database, Options
from tests.acceptance import nodes
from tests.acceptance.nodes import Site
from tests.background.conftest import ended
from tests.jobs.fleet import Worker
from tests.local_upstream import answer, silence, wait_until
from tests.losses.evidence import TERMINALS, record
from tests.services.background.conftest import Pace, told

INTERRUPTED = "The service stopped while the answer was arriving."


def begun(site: Site, number: int = 1, **members: Any) -> str:
    """The id of a background response about which the provider has been asked."""
    response_id = str(site.alice.ask("Hello?", background=True, **members)["id"])
    wait_until(lambda: len(site.upstream.questions) == number, nodes.PATIENCE_S)
    return response_id


def streamed(site: Site, **members: Any) -> str:
    """The same, of one that can be followed."""
    body = {"model": "gpt-5.4", "input": "Hello?", "background": True, "stream": True, **members}
    first = next(nodes.events(site.proxy, "POST", "/v1/responses", body, key=site.key))
    wait_until(lambda: site.upstream.questions, nodes.PATIENCE_S)
    return str(first["response"]["id"])


def followed(site: Site, response_id: str) -> list[dict[str, Any]]:
    """Its events, to the end: numbered without a gap, and one of them the last."""
    found = list(nodes.events(site.proxy, "GET", f"/v1/responses/{response_id}?stream=true", key=site.key))
    assert [event["sequence_number"] for event in found] == list(range(len(found)))
    assert [event["type"] in TERMINALS for event in found] == [False] * (len(found) - 1) + [True]
    return found


def text_of(response: dict[str, Any]) -> str:
    return "".join(part["text"] for item in response["output"] for part in item["content"])


def attempts(site: Site, response_id: str) -> list[dict[str, Any]]:
    return record(site.deps.database, response_id).attempts


class TestKill:
    def test_before_the_provider_has_said_anything_it_is_asked_again(self, site: Site) -> None:
        gate = threading.Event()
        site.upstream.will(silence(gate), answer("The second time."))
        response_id = streamed(site)
        site.holder(response_id).kill()
        given = ended(site, response_id)
        gate.set()
        assert (given["status"], text_of(given)) == ("completed", "The second time.")
        assert len(site.upstream.questions) == 2
        assert attempts(site, response_id) == [
            {"upstream": "default", "error": "interrupted"},
            {"upstream": "default", "status": 200},
        ]
        *_, last = followed(site, response_id)
        assert last["response"] == given
        assert wait_until(lambda: site.job(response_id).status == "completed")
        assert site.job(response_id).attempts == 2

    def test_after_it_has_begun_what_had_arrived_is_kept_and_it_is_not_asked_again(
        self, site: Site, pace: Pace
    ) -> None:
        site.upstream.will(pace)
        response_id = streamed(site)
        told(site.deps, response_id, pace.text)
        site.holder(response_id).kill()
        given = ended(site, response_id)
        assert (given["status"], text_of(given)) == ("incomplete", pace.text)
        assert given["error"] == {"code": "server_error", "message": INTERRUPTED}
        assert len(site.upstream.questions) == 1
        events = followed(site, response_id)
        assert events[-1]["response"] == given
        assert "".join(event["delta"] for event in events if event["type"].endswith("text.delta")) == pace.text
        # The thread goes on from there.
        assert site.alice.ask("And now?", after=response_id)["status"] == "completed"
        shown = [item["content"][0]["text"] for item in site.upstream.questions[-1].body["input"]]
        assert shown == ["Hello?", pace.text, "And now?"]

    def test_whoever_wants_it_to_be_asked_again_pays_twice_and_has_both_on_record(self, site: Site, pace: Pace) -> None:
        projects.change(site.deps, "acme", background_retry="yes")
        site.upstream.will(pace, answer("The second time."))
        response_id = begun(site)
        told(site.deps, response_id, pace.text)
        site.holder(response_id).kill()
        given = ended(site, response_id)
        assert (given["status"], text_of(given)) == ("completed", "The second time.")
        assert len(site.upstream.questions) == 2
        first, second = attempts(site, response_id)
        assert (first["error"], first["status"], second["status"]) == ("interrupted", 200, 200)
        assert text_of(first) == pace.text


class TestTakenForDead:
    def test_one_that_goes_on_all_the_same_does_no_harm(self, site: Site, pace: Pace) -> None:
        site.upstream.will(pace)
        response_id = streamed(site)
        told(site.deps, response_id, pace.text)
        with hanging(site, response_id) as worker:
            given, events = ended(site, response_id), followed(site, response_id)
        assert (given["status"], text_of(given)) == ("incomplete", pace.text)
        pace.rest.set()
        wait_until(lambda: has_let_go(worker, response_id), nodes.PATIENCE_S)
        assert ended(site, response_id) == given
        assert followed(site, response_id) == events
        assert len(site.upstream.questions) == 1
        # It is one of the others again: work is done, whoever gets it.
        assert ended(site, begun(site, 2))["status"] == "completed"


@contextmanager
def hanging(site: Site, response_id: str) -> Iterator[Worker]:
    """The worker that has a response in hand stands still, and is taken for dead.

    A minute of silence does that, or having no entry among the processes: its own is taken away. That cannot be done
    while it writes there; then it is let go on, and stopped at another moment.
    """
    worker, held = site.holder(response_id), site.job(response_id).worker
    process = psutil.Process(worker.pid)
    with Database(Options(site.deps.database.options.url, busy_s=0.5)) as database:

        def stop() -> bool:
            process.suspend()
            try:
                with database.transaction() as connection:
                    if not database.is_sqlite:
                        connection.exec_driver_sql("SET LOCAL lock_timeout = 500")
                    connection.execute(delete(tables.processes).where(tables.processes.c.id == held))
            except StorageUnavailable:
                process.resume()
                return False
            return True

        try:
            wait_until(stop, nodes.PATIENCE_S)
            yield worker
        finally:
            process.resume()


def has_let_go(worker: Worker, response_id: str) -> bool:
    said = [entry for entry in worker.entries() if entry["event"] == "response_not_ours"]
    return response_id in [entry["response_id"] for entry in said]
