"""Clients that leave, at whatever moment: the upstream is read to its end, and the answer is recorded in full.

Real processes and bare sockets: a client that hangs up is noticed, if at all, by the server's own loop.
"""

import threading
from collections.abc import Callable, Iterator

import pytest

from tests.conftest import ENGINES, fresh_database
from tests.local_upstream import (
    Behaviour,
    Exchange,
    LocalUpstream,
    message,
    response,
    stream,
    stream_of,
    wait_until,
    whole,
)
from tests.losses import evidence, house
from tests.losses.evidence import finished, latest
from tests.losses.house import House
from tests.losses.providers import DeadEnds
from tests.losses.service import Wire

TEXT = "Whoever asked has gone, and is answered all the same."
BLOCKS = stream_of(response(message(TEXT)), deltas=8)
MIDDLE = 7
LONG = "It goes on and on. " * 100_000
LEAVING = pytest.mark.parametrize("leave", [Wire.leave, Wire.vanish], ids=["close", "reset"])
Leave = Callable[[Wire], None]


@pytest.fixture(scope="module", params=ENGINES)
def finishing(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, dead_ends: DeadEnds
) -> Iterator[House]:
    """A service that finishes what its clients began."""
    directory = tmp_path_factory.mktemp("finishing")
    with fresh_database(request.param, request, directory) as url:
        with house.served(directory, url, dead_ends, CONVSTORE_WORKERS="1") as found:
            yield found


@pytest.fixture(scope="module")
def cancelling(
    request: pytest.FixtureRequest, tmp_path_factory: pytest.TempPathFactory, dead_ends: DeadEnds
) -> Iterator[House]:
    """A service that hangs up when its clients do."""
    directory = tmp_path_factory.mktemp("cancelling")
    with fresh_database("sqlite", request, directory) as url:
        with house.served(directory, url, dead_ends, CONVSTORE_WORKERS="1", CONVSTORE_ON_DISCONNECT="cancel") as found:
            yield found


@pytest.fixture
def gates() -> Iterator[list[threading.Event]]:
    """One for each block; all open when the test is over."""
    made = [threading.Event() for _ in BLOCKS]
    yield made
    open_to(made, len(made))


@pytest.fixture(autouse=True)
def still_well(request: pytest.FixtureRequest) -> Iterator[None]:
    """After every test the service answers, and has nothing left to do."""
    name = "cancelling" if "cancelling" in request.fixturenames else "finishing"
    stage: House = request.getfixturevalue(name)
    stage.upstream.forget()
    said = len(stage.log())
    yield
    assert stage.client.ask("Still there?")["status"] == "completed"
    wait_until(lambda: evidence.left_behind(stage.database) == {})
    assert [entry for entry in stage.log()[said:] if "exception" in entry] == []


def open_to(gates: list[threading.Event], number: int) -> None:
    for gate in gates[:number]:
        gate.set()


def wire(stage: House, buffer: int = 0) -> Wire:
    assert stage.service is not None
    return Wire(stage.service.port, stage.client.key, buffer)


def is_complete(stage: House, response_id: str) -> None:
    """The whole answer is on record, and another client reads it."""
    recorded = finished(stage.database, response_id)
    assert (recorded.status, recorded.text) == ("completed", TEXT)
    assert recorded.exchange.usage is not None
    assert recorded.exchange.usage.total == 18
    stored = stage.client.get(f"/v1/responses/{response_id}").json
    assert stored["output"][0]["content"][0]["text"] == TEXT
    assert stored["usage"]["total_tokens"] == 18


def asked(upstream: LocalUpstream) -> None:
    wait_until(lambda: upstream.questions)


class TestAStreamedAnswer:
    @LEAVING
    def test_left_before_the_upstream_has_said_anything(
        self, finishing: House, gates: list[threading.Event], leave: Leave
    ) -> None:
        finishing.upstream.will(stream(BLOCKS, gates=gates))
        client = wire(finishing).ask(stream=True)
        asked(finishing.upstream)
        leave(client)
        open_to(gates, len(gates))
        is_complete(finishing, latest(finishing.database).exchange.id)

    @LEAVING
    def test_left_in_the_middle(self, finishing: House, gates: list[threading.Event], leave: Leave) -> None:
        finishing.upstream.will(stream(BLOCKS, gates=gates))
        open_to(gates, MIDDLE)
        client = wire(finishing).ask(stream=True)
        response_id = client.response_id
        client.until(b'"sequence_number":6')
        leave(client)
        open_to(gates, len(gates))
        is_complete(finishing, response_id)

    @LEAVING
    def test_left_while_the_upstream_is_silent_for_longer_than_the_journal_waits(
        self, finishing: House, gates: list[threading.Event], leave: Leave
    ) -> None:
        finishing.upstream.will(stream(BLOCKS, gates=gates))
        open_to(gates, MIDDLE)
        client = wire(finishing).ask(stream=True)
        response_id = client.response_id
        client.until(b'"sequence_number":6')
        leave(client)
        wait_until(lambda: evidence.left_behind(finishing.database).get("journal"))
        open_to(gates, len(gates))
        is_complete(finishing, response_id)

    @LEAVING
    def test_left_right_after_the_terminal_event(self, finishing: House, leave: Leave) -> None:
        finishing.upstream.will(stream(BLOCKS))
        client = wire(finishing).ask(stream=True)
        response_id = client.response_id
        client.until(b"event: response.completed")
        leave(client)
        is_complete(finishing, response_id)

    @LEAVING
    def test_left_with_the_request_just_sent(self, finishing: House, leave: Leave) -> None:
        before = evidence.count(finishing.database)
        finishing.upstream.will(stream(BLOCKS))
        leave(wire(finishing).ask(stream=True))
        # A reset may overtake the request: then nobody has asked anything.
        wait_until(lambda: finishing.client.get("/healthz").status_code == 200)
        if leave is Wire.leave:
            wait_until(lambda: evidence.count(finishing.database) > before)
            is_complete(finishing, latest(finishing.database).exchange.id)
        finishing.upstream.forget()

    def test_never_read_by_a_client_that_stays(self, finishing: House) -> None:
        # More than the buffers between the two take, so that the service stands still in writing: a text comes
        # five times, and the system keeps four megabytes for a socket.
        finishing.upstream.will(stream(stream_of(response(message(LONG)), deltas=50)))
        with wire(finishing, buffer=4096).ask(stream=True) as client:
            response_id = client.response_id
            recorded = finished(finishing.database, response_id)
            assert (recorded.status, recorded.text) == ("completed", LONG)
            # Nobody else is held up by it.
            assert finishing.client.ask("And me?")["status"] == "completed"
            # It may still have everything, when it likes.
            client.until(b"event: response.completed")

    def test_a_hundred_that_leave_at_once(self, finishing: House, gates: list[threading.Event]) -> None:
        before = evidence.count(finishing.database)
        finishing.upstream.will(*[stream(BLOCKS, gates=gates)] * 100)
        open_to(gates, MIDDLE)
        clients = [wire(finishing).ask(stream=True) for _ in range(100)]
        ids = [client.response_id for client in clients]
        for client in clients:
            client.leave()
        open_to(gates, len(gates))
        for response_id in ids:
            recorded = finished(finishing.database, response_id)
            assert (recorded.status, recorded.text) == ("completed", TEXT)
        assert evidence.count(finishing.database) == before + 100

    def test_left_by_its_client_and_then_by_the_upstream(self, finishing: House, gates: list[threading.Event]) -> None:
        finishing.upstream.will(stream(BLOCKS, cut_after=MIDDLE + 1, gates=gates))
        open_to(gates, MIDDLE)
        client = wire(finishing).ask(stream=True)
        response_id = client.response_id
        client.until(b'"sequence_number":6')
        client.leave()
        open_to(gates, len(gates))
        recorded = finished(finishing.database, response_id)
        assert recorded.status == "incomplete"
        assert TEXT.startswith(recorded.text)
        assert len(recorded.text) > 10
        assert "ended before" in recorded.error["message"]

    def test_the_thread_goes_on_from_an_answer_that_nobody_read(self, finishing: House) -> None:
        finishing.upstream.will(stream(BLOCKS))
        client = wire(finishing).ask(stream=True)
        response_id = client.response_id
        client.leave()
        finished(finishing.database, response_id)
        finishing.client.ask("Go on.", after=response_id)
        shown = [item["content"][0]["text"] for item in finishing.upstream.questions[-1].body["input"]]
        assert shown == ["Hello?", TEXT, "Go on."]


class TestAPlainAnswer:
    @LEAVING
    def test_left_while_the_upstream_is_at_work(self, finishing: House, leave: Leave) -> None:
        gate = threading.Event()
        finishing.upstream.will(after(gate, whole(response(message(TEXT)))))
        client = wire(finishing).ask()
        asked(finishing.upstream)
        leave(client)
        gate.set()
        is_complete(finishing, latest(finishing.database).exchange.id)

    @LEAVING
    def test_left_while_it_is_written(self, finishing: House, leave: Leave) -> None:
        finishing.upstream.will(whole(response(message(LONG))))
        client = wire(finishing).ask()
        client.until(b"HTTP/1.1 200 OK")
        leave(client)
        recorded = finished(finishing.database, latest(finishing.database).exchange.id)
        assert (recorded.status, recorded.text) == ("completed", LONG)

    def test_an_upstream_that_fails_then_is_recorded_too(self, finishing: House) -> None:
        gate = threading.Event()
        finishing.upstream.will(after(gate, whole(b"{", status=500)))
        client = wire(finishing).ask()
        asked(finishing.upstream)
        client.leave()
        gate.set()
        recorded = finished(finishing.database, latest(finishing.database).exchange.id)
        assert (recorded.status, recorded.attempts[0]["status"]) == ("failed", 500)


class TestARequestThatNeverArrives:
    @pytest.mark.parametrize(
        "said",
        [
            b"",
            b"POST /v1/resp",
            b"POST /v1/responses HTTP/1.1\r\nHost: x\r\nContent-Length: 100\r\n",
            b'POST /v1/responses HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer KEY\r\nContent-Length: 100\r\n\r\n{"mo',
            b"\x16\x03\x01\x02\x00\x01",
        ],
        ids=["nothing", "half a line", "half a head", "half a body", "TLS"],
    )
    @LEAVING
    def test_leaves_no_trace(self, finishing: House, said: bytes, leave: Leave) -> None:
        before = evidence.count(finishing.database)
        client = wire(finishing)
        client.say(said.replace(b"KEY", finishing.client.key.encode()))
        leave(client)
        assert finishing.client.get("/readyz").status_code == 200
        assert evidence.count(finishing.database) == before
        assert finishing.upstream.questions == []


class TestOtherMethods:
    @pytest.mark.parametrize("path", ["/v1/responses", "/v1/responses/resp_0123", "/metrics", "/nowhere"])
    @pytest.mark.parametrize("method", ["HEAD", "OPTIONS", "PUT", "PATCH", "TRACE", "BREW"])
    def test_start_nothing(self, finishing: House, method: str, path: str) -> None:
        before = evidence.count(finishing.database)
        answered = finishing.client.open(method, path, json={"model": "gpt-5.4", "input": "Hello?", "stream": True})
        assert answered.status_code in (200, 404, 405)
        assert evidence.count(finishing.database) == before
        assert [each for each in finishing.upstream.asked if each.method == "POST"] == []

    def test_the_head_of_a_stored_stream_has_no_body_and_ends_well(self, finishing: House) -> None:
        given = finishing.client.ask()
        with wire(finishing) as client:
            for path in (f"/v1/responses/{given['id']}?stream=true", f"/v1/responses/{given['id']}"):
                client.say(f"HEAD {path} HTTP/1.1\r\nHost: x\r\nAuthorization: Bearer {client.key}\r\n\r\n".encode())
            client.say(b"GET /healthz HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n")
            received = client.until(b'{"status":"ok"}')
        assert received.count(b"HTTP/1.1 200 OK") == 3
        assert b"resp_" not in received

    def test_a_stored_stream_that_is_left_halfway_does_no_harm(self, finishing: House) -> None:
        finishing.upstream.will(whole(response(message(LONG))))
        given = finishing.client.ask()
        for leave in (Wire.leave, Wire.vanish):
            client = wire(finishing)
            head = f"GET /v1/responses/{given['id']}?stream=true HTTP/1.1\r\nHost: x\r\n"
            client.say(f"{head}Authorization: Bearer {client.key}\r\n\r\n".encode())
            client.until(b"response.created")
            leave(client)


class TestCancelling:
    @LEAVING
    def test_the_upstream_is_hung_up_on_and_what_had_arrived_is_recorded(self, cancelling: House, leave: Leave) -> None:
        told = threading.Event()
        noticed: list[bool] = []
        cancelling.upstream.will(waits_to_be_left(BLOCKS[:MIDDLE], told, noticed))
        client = wire(cancelling).ask(stream=True)
        response_id = client.response_id
        client.until(b'"sequence_number":6')
        leave(client)
        told.set()
        recorded = finished(cancelling.database, response_id)
        assert recorded.status == "incomplete"
        assert recorded.text.startswith(TEXT[:18])
        assert recorded.error == {
            "code": "server_error",
            "message": "The client hung up and the call was cancelled.",
        }
        wait_until(lambda: noticed)
        assert noticed == [True]

    def test_an_answer_that_is_whole_is_recorded_whole(self, cancelling: House) -> None:
        cancelling.upstream.will(stream(BLOCKS))
        client = wire(cancelling).ask(stream=True)
        response_id = client.response_id
        client.until(b"event: response.completed")
        client.leave()
        is_complete(cancelling, response_id)

    def test_a_client_that_stays_gets_everything(self, cancelling: House, gates: list[threading.Event]) -> None:
        cancelling.upstream.will(stream(BLOCKS, gates=gates))
        with wire(cancelling).ask(stream=True) as client:
            for gate in gates:
                gate.set()
            client.until(b"event: response.completed")
            is_complete(cancelling, client.response_id)

    def test_a_plain_answer_is_finished_all_the_same(self, cancelling: House) -> None:
        # Until there is something to write, nobody notices that a client has gone; then everything is there.
        gate = threading.Event()
        cancelling.upstream.will(after(gate, whole(response(message(TEXT)))))
        client = wire(cancelling).ask()
        asked(cancelling.upstream)
        client.leave()
        gate.set()
        is_complete(cancelling, latest(cancelling.database).exchange.id)


def after(gate: threading.Event, behaviour: Behaviour) -> Behaviour:
    """Nothing until the gate is open."""

    def behave(exchange: Exchange) -> None:
        assert gate.wait(30)
        behaviour(exchange)

    return behave


def waits_to_be_left(blocks: list[bytes], told: threading.Event, noticed: list[bool]) -> Behaviour:
    """Some blocks; once the client is known to have left, one more now and then, until the connection is closed.

    The service can only notice a client that has gone by writing to it.
    """

    def behave(exchange: Exchange) -> None:
        exchange.start_chunks()
        for block in blocks:
            exchange.chunk(block)
        assert told.wait(30)
        for _ in range(200):
            try:
                exchange.chunk(BLOCKS[MIDDLE])
            except OSError:
                noticed.append(True)
                return
            if exchange.is_left_alone(0.05):
                noticed.append(True)
                return
        noticed.append(False)

    return behave
