"""Background responses at the doors: what the API's document describes, and errors in its words."""

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest
from werkzeug.test import TestResponse

from convstore.app import create_app
from convstore.services import background
from convstore.services.principal import Right
from convstore.storage.scope import Scope
from tests.api.conftest import Stage
from tests.api.test_contract import OUTPUTS, REQUESTS
from tests.api.test_errors import checked
from tests.conftest import Client
from tests.contract import openai
from tests.local_upstream import answer, blocks_of

UNKNOWN = "resp_" + "0" * 32


class Service:
    """Alice at a door that takes background requests, and a worker who sees to them when he is told to."""

    def __init__(self, stage: Stage) -> None:
        self.jobs: list[tuple[str, str]] = []
        self.deps = replace(stage.deps, enqueue=self._enqueue)
        self.alice = Client(create_app(stage.settings, self.deps), stage.alice.key)
        self.carol = Client(self.alice.app, stage.carol.key)

    def _enqueue(self, scope: Scope, _kind: str, subject: str, _arguments: Mapping[str, Any]) -> None:
        self.jobs.append((scope.project_id, subject))

    def work(self) -> None:
        while self.jobs:
            background.run(self.deps, *self.jobs.pop())

    def get(self, own: str, query: str = "") -> TestResponse:
        return self.alice.get(f"/v1/responses/{own}{query}")

    def cancel(self, own: str) -> TestResponse:
        return self.alice.post(f"/v1/responses/{own}/cancel")


@pytest.fixture
def service(stage: Stage) -> Service:
    return Service(stage)


def events_of(answered: TestResponse) -> list[dict[str, Any]]:
    assert answered.status_code == 200, answered.text
    assert answered.headers["content-type"] == "text/event-stream; charset=utf-8"
    return list(blocks_of(answered.data))


class TestContract:
    @pytest.mark.parametrize("name", OUTPUTS)
    def test_every_kind_of_answer(self, stage: Stage, service: Service, name: str) -> None:
        stage.upstream.will(answer(*OUTPUTS[name]))
        queued = service.alice.ask(background=True)
        openai.check("Response", queued)
        service.work()
        given = service.get(queued["id"]).json
        openai.check("Response", given)
        assert given["status"] == "completed"

    @pytest.mark.parametrize("name", OUTPUTS)
    def test_every_kind_of_stream_live_and_made_anew(self, stage: Stage, service: Service, name: str) -> None:
        stage.upstream.will(answer(*OUTPUTS[name]))
        own = self._streamed(service)
        live = events_of(service.get(own, "?stream=true"))
        check(live)
        with stage.deps.database.transaction() as connection:
            connection.exec_driver_sql("DELETE FROM journal")
        anew = events_of(service.get(own, "?stream=true"))
        check(anew)
        assert anew[-1] == {**live[-1], "sequence_number": len(anew) - 1}

    @pytest.mark.parametrize("name", REQUESTS)
    def test_every_request_is_echoed(self, stage: Stage, service: Service, name: str) -> None:
        members = dict(REQUESTS[name])
        if any("headers" in tool for tool in members.get("tools", ())):
            members["tools"] = [tool for tool in members["tools"] if "headers" not in tool]
        given = service.alice.create(background=True, **members)
        if members.get("store") is False:
            checked(given, 400, "invalid_value", "background")
            return
        assert given.status_code == 200, given.text
        openai.check("Response", given.json)
        expected = stage.alice.ask(**members)
        own = ("id", "created_at", "completed_at", "status", "background", "usage", "output", "model")
        assert {k: v for k, v in given.json.items() if k not in own} == {
            k: v for k, v in expected.items() if k not in own
        }

    def test_a_cancelled_one(self, service: Service) -> None:
        own = self._streamed(service, worked=False)
        given = service.cancel(own)
        assert given.status_code == 200
        openai.check("Response", given.json)
        assert given.json["status"] == "cancelled"
        check(events_of(service.get(own, "?stream=true")), terminal="response.incomplete", first=2)
        assert service.cancel(own).json == given.json

    def _streamed(self, service: Service, *, worked: bool = True) -> str:
        """The id of a streamed response, answered if that is wanted."""
        stream = service.alice.create(background=True, stream=True)
        assert stream.headers["content-type"] == "text/event-stream; charset=utf-8"
        stream.close()
        ((_, own),) = service.jobs
        if worked:
            service.work()
        return own


def check(events: list[dict[str, Any]], terminal: str = "response.completed", first: int = 3) -> None:
    for event in events:
        openai.check_event(event)
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    begins = ["response.created", "response.queued", "response.in_progress"]
    assert [event["type"] for event in events[:first]] == begins[:first]
    assert events[-1]["type"] == terminal


class TestErrors:
    def test_cancelling(self, stage: Stage, service: Service) -> None:
        missing = f"Response with id '{UNKNOWN}' not found."
        checked(service.cancel(UNKNOWN), 404, None, None, missing)
        own = service.alice.ask(background=True)["id"]
        theirs = service.carol.post(f"/v1/responses/{own}/cancel")
        checked(theirs, 404, None, None, f"Response with id '{own}' not found.")
        synchronous = service.alice.ask()["id"]
        checked(service.cancel(synchronous), 400, None, None, "Cannot cancel a synchronous response.")
        # A finished one is what it is.
        service.work()
        final = service.cancel(own)
        assert (final.status_code, final.json) == (200, service.get(own).json)
        assert final.json["status"] == "completed"

    @pytest.mark.parametrize(
        ("query", "code"),
        [
            ("starting_after=x", "invalid_type"),
            ("starting_after=1.5", "invalid_type"),
            ("starting_after=-1", "integer_below_min_value"),
            ("starting_after=2", "integer_above_max_value"),
            ("starting_after=999999999999", "integer_above_max_value"),
        ],
    )
    def test_where_to_go_on(self, service: Service, query: str, code: str) -> None:
        service.alice.create(background=True, stream=True).close()
        ((_, own),) = service.jobs
        checked(service.get(own, f"?stream=true&{query}"), 400, code, "starting_after")
        # Without a stream it says nothing.
        assert service.get(own, "?starting_after=2").status_code == 200

    def test_one_that_was_never_streamed(self, service: Service) -> None:
        own = service.alice.ask(background=True)["id"]
        for _ in range(2):
            told = checked(service.get(own, "?stream=true"), 400, None, "stream")
            assert "not created with stream=true" in told["message"]
            service.work()

    def test_a_stream_that_cannot_begin_is_plain_json(self, service: Service) -> None:
        checked(service.alice.create(background=True, stream=True, store=False), 400, "invalid_value", "background")
        assert service.jobs == []

    def test_a_key_that_may_only_read(self, stage: Stage, service: Service) -> None:
        reader = Client(service.alice.app, stage.key(Right.READ))
        own = service.alice.ask(background=True)["id"]
        assert reader.get(f"/v1/responses/{own}").status_code == 200
        assert reader.post(f"/v1/responses/{own}/cancel").status_code == 403
        assert reader.create(background=True).status_code == 403

    def test_a_service_without_an_engine(self, stage: Stage) -> None:
        client = Client(create_app(stage.settings, replace(stage.deps, enqueue=None)), stage.alice.key)
        message = "Unsupported parameter: 'background' is not available on this server."
        checked(client.create(background=True), 400, "unsupported_parameter", "background", message)
