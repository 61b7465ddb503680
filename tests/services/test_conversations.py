"""Conversations: one line, whoever writes there, and whatever happens meanwhile."""

import json
import os
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import replace
from typing import Any

import pytest

from convstore import ids
from convstore.domain.exchange import ADDED, Linked
from convstore.domain.items import Item, of_raw
from convstore.domain.jsontext import Raw
from convstore.domain.project import ProjectSettings
from convstore.errors import (
    CallWithoutOutput,
    ConversationItemNotFound,
    ConversationLocked,
    ConversationNotFound,
    DuplicateItem,
    ItemNotFound,
    StorageUnavailable,
    UpstreamError,
)
from convstore.services import conversations, recovery
from convstore.services.deps import RelayOptions
from convstore.services.paging import Page
from convstore.services.relay import Whole
from convstore.storage import conversations as stored
from convstore.storage import direct, everywhere, exchanges, turns
from convstore.storage.everywhere import Process
from tests.local_upstream import (
    LocalUpstream,
    answer,
    error,
    function_call,
    message,
    response,
    stream,
    stream_of,
    wait_until,
)
from tests.services.conftest import Asker
from tests.storage.keeper import counted

WHOLE = Page(limit=100, order="asc")


def item(given: str | dict[str, Any]) -> Item:
    value = {"role": "user", "content": given} if isinstance(given, str) else given
    return of_raw(Raw(value, json.dumps(value)))


class Room:
    """One conversation, and somebody in it."""

    def __init__(self, asker: Asker, *items: str | dict[str, Any], own: str | None = None) -> None:
        self.asker = asker
        self.deps, self.principal = asker.deps, asker.principal
        self.id = own or conversations.create(self.deps, self.principal, b"{}", [*map(item, items)], "req_1").id

    def add(self, *items: str | dict[str, Any]) -> list[str]:
        """The ids of items that were just added."""
        added = conversations.add(self.deps, self.principal, self.id, [*map(item, items)], "req_1")
        return [item_id for item_id, _ in added.items]

    def remove(self, item_id: str) -> None:
        conversations.remove(self.deps, self.principal, self.id, item_id, "req_1")

    def ask(self, input: Any, **members: Any) -> dict[str, Any]:
        return self.asker.ask(input, conversation=self.id, **members)

    @property
    def items(self) -> list[dict[str, Any]]:
        found: list[dict[str, Any]] = []
        page = WHOLE
        while True:
            listing = conversations.items(self.deps, self.principal, self.id, page)
            found += [json.loads(each) for _, each in listing.items]
            if not listing.has_more:
                return found
            page = replace(page, after=listing.items[-1][0])

    @property
    def held(self) -> list[str]:
        return [word(each) for each in self.items]

    @property
    def tip(self) -> stored.Tip:
        with direct.reading(self.deps.database) as cursor:
            found = stored.tip(cursor, self.principal.project_id, self.id)
        assert found is not None
        return found


def word(shown: dict[str, Any]) -> str:
    content = shown.get("content")
    return str(content if isinstance(content, str) else content[0]["text"] if content else shown["type"])


def asked(upstream: LocalUpstream) -> list[str]:
    """What the model was shown last."""
    return [word(each) for each in upstream.questions[-1].body["input"]]


def exchange_of(item_id: str) -> str:
    home = ids.item_home(item_id)
    assert home is not None
    return home[0]


@pytest.fixture
def room(acme: Asker) -> Room:
    """A conversation of Acme; there is another that must not show up, and so has Globex."""
    Room(acme, "Noise").ask("More noise")
    return Room(acme, "0")


@pytest.fixture(autouse=True)
def noise(globex: Asker) -> Iterator[None]:
    """Globex's conversation is at the end what it was."""
    theirs = Room(globex, "Theirs")
    theirs.ask("Theirs?")
    before = theirs.items
    yield
    assert theirs.items == before


@contextmanager
def just_before(monkeypatch: pytest.MonkeyPatch, where: Any, name: str, *acts: Callable[[], object]) -> Iterator[None]:
    """Somebody else is quicker: each act happens right before a call of a function, the first before the first."""
    real = getattr(where, name)
    left = list(acts)

    def called(*args: Any, **kwargs: Any) -> Any:
        if left:
            left.pop(0)()
        return real(*args, **kwargs)

    with monkeypatch.context() as patched:
        patched.setattr(where, name, called)
        yield
    assert not left, "it was never called"


@contextmanager
def answering(room: Room, upstream: LocalUpstream, *, by: Asker | None = None) -> Iterator[None]:
    """While this runs, a response is being written there."""
    go, open_ = threading.Event(), threading.Event()
    open_.set()
    upstream.will(stream(stream_of(response(message("Slow."))), gates=[*([open_] * 4), go]))
    running = (by or room.asker).create("Slow?", conversation=room.id, stream=True)
    assert not isinstance(running, Whole)
    try:
        yield
    finally:
        go.set()
        b"".join(running)


class TestAdd:
    def test_a_batch_is_an_exchange_without_a_response(self, room: Room) -> None:
        first, second = room.add("1", "2")
        row = room.asker.stored(exchange_of(first))
        assert (row.status, row.origin, row.stored, row.requested_model) == ("completed", ADDED, True, "")
        assert (row.conversation_id, row.linked, row.input_count) == (room.id, Linked.CONVERSATION, 2)
        assert row.completed_at == row.created_at
        assert exchange_of(first) == exchange_of(second)
        assert room.tip == stored.Tip(row.id, row.id, None)
        with room.deps.database.reading(room.principal.project_id) as scope:
            assert exchanges.get(scope, row.id) is None

    def test_it_lies_in_the_lane_of_the_one_before(self, room: Room) -> None:
        rows = [room.asker.stored(exchange_of(room.add(str(n))[0])) for n in range(1, 4)]
        assert len({row.lane for row in rows}) == 1
        assert [row.depth for row in rows] == [1, 2, 3]
        assert [row.parent_id for row in rows[1:]] == [row.id for row in rows[:2]]

    def test_behind_a_fork_it_opens_its_own(self, room: Room) -> None:
        first = room.ask("1")
        room.asker.ask("beside", after=first["id"])
        (second,) = room.add("2")
        assert room.asker.stored(exchange_of(second)).lane == exchange_of(second)
        room.add("3")
        assert room.held == ["0", "1", word(first["output"][0]), "2", "3"]

    def test_when_another_batch_was_first_it_comes_behind(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        with just_before(monkeypatch, stored, "append", lambda: room.add("first", "and more")):
            room.add("second", "too")
        assert room.held == ["0", "first", "and more", "second", "too"]

    def test_when_a_fork_was_first_it_is_beside(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        first = room.ask("1")
        with just_before(monkeypatch, stored, "append", lambda: room.asker.ask("beside", after=first["id"])):
            room.add("2")
        assert room.held == ["0", "1", word(first["output"][0]), "2"]

    def test_when_a_response_was_first_it_is_refused(
        self, room: Room, upstream: LocalUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        stack: list[Any] = []

        def ask() -> None:
            stack.append(answering(room, upstream))
            stack[0].__enter__()

        with just_before(monkeypatch, stored, "append", ask), pytest.raises(ConversationLocked):
            room.add("1")
        stack[0].__exit__(None, None, None)
        assert room.held == ["0", "Slow?", "Slow."]

    def test_when_it_was_deleted_first_it_is_not_found(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        gone = lambda: conversations.delete(room.deps, room.principal, room.id)  # noqa: E731
        with just_before(monkeypatch, stored, "append", gone), pytest.raises(ConversationNotFound):
            room.add("1")

    def test_in_a_crowd_it_gives_up(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        attempts: list[int] = []

        def taken(*_: Any) -> None:
            attempts.append(1)
            raise turns.ConversationTaken

        with monkeypatch.context() as patched:
            patched.setattr(stored, "append", taken)
            with pytest.raises(ConversationLocked):
                room.add("1")
        assert len(attempts) == conversations.ATTEMPTS
        assert room.held == ["0"]

    def test_what_another_batch_brought_first_is_a_duplicate(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        mine = {"role": "user", "content": "1", "id": "msg_mine"}
        with just_before(monkeypatch, stored, "append", lambda: room.add(mine)), pytest.raises(DuplicateItem):
            room.add("new", mine)
        assert room.held == ["0", "1"]

    def test_big_items_are_kept_once(self, room: Room) -> None:
        big = "x" * 20_000
        room.add(big)
        room.add(big)
        assert room.held == ["0", big, big]

    def test_it_takes_four_statements(self, room: Room) -> None:
        room.add("warm")
        with counted() as taken:
            room.add("1")
        # Its tip, its parent, and the writes with their entry: one on PostgreSQL, with BEGIN and COMMIT elsewhere.
        assert taken[0] <= (3 if not room.deps.database.is_sqlite else 9)


class TestItems:
    def test_a_page_takes_three_statements_and_reads_its_own_bodies_only(
        self, room: Room, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        for number in range(5):
            room.add(*[f"{number} {each}" for each in range(20)])
        read: list[Any] = []
        real = exchanges._body
        monkeypatch.setattr(exchanges, "_body", lambda scope, row: read.append(row) or real(scope, row))
        with counted() as taken:
            listing = conversations.items(room.deps, room.principal, room.id, Page(limit=7))
        assert len(listing.items) == len(read) == 7
        assert taken == [3]

    def test_a_tree_that_grew_by_previous_response_id_is_one_too(self, acme: Asker) -> None:
        first = acme.ask("1")
        second = acme.ask("2", after=first["id"])
        tree = Room(acme, own=acme.stored(first["id"]).conversation_id)
        line = ["1", word(first["output"][0]), "2", word(second["output"][0])]
        assert tree.held == line
        assert conversations.get(acme.deps, acme.principal, tree.id).metadata == b"{}"
        # It goes on from its newest answer, until somebody adds to it as to a conversation.
        third = acme.ask("beside", after=first["id"])
        assert tree.held == [*line[:2], "beside", word(third["output"][0])]
        tree.add("by hand")
        acme.ask("beside it", after=first["id"])
        assert tree.held == [*line[:2], "beside", word(third["output"][0]), "by hand"]

    def test_a_response_that_failed_or_was_not_to_be_stored_is_not_its_newest(
        self, acme: Asker, upstream: LocalUpstream
    ) -> None:
        first = acme.ask("1")
        tree = Room(acme, own=acme.stored(first["id"]).conversation_id)
        acme.ask("2", after=first["id"], store=False)
        upstream.will(error(400))
        with pytest.raises(UpstreamError):
            acme.ask("3", after=first["id"])
        assert tree.held == ["1", word(first["output"][0])]

    def test_an_item_of_an_upstream_takes_nothing_out(self, room: Room, upstream: LocalUpstream) -> None:
        upstream.will(answer({"type": "convstore.removal", "call_id": "0.0", "id": "x"}, "Hm."))
        room.ask("1")
        assert room.held == ["0", "1", "convstore.removal", "Hm."]
        room.ask("2")
        assert asked(upstream) == ["0", "1", "convstore.removal", "Hm.", "2"]


class TestRemove:
    def test_it_is_an_exchange_of_its_own(self, room: Room) -> None:
        (first,) = room.add("1")
        before = room.asker.stored(exchange_of(first))
        room.remove(first)
        assert room.asker.stored(exchange_of(first)) == before
        removal = room.asker.stored(room.tip.exchange_id or "")
        assert (removal.origin, removal.parent_id, removal.input_count) == (ADDED, exchange_of(first), 1)

    def test_what_was_forked_off_before_still_has_it(self, room: Room, upstream: LocalUpstream) -> None:
        (first,) = room.add("1")
        second = room.ask("2")
        fork = room.asker.ask("beside", after=second["id"])
        room.remove(first)
        room.asker.ask("further", after=fork["id"])
        answers = [word(each["output"][0]) for each in (second, fork)]
        assert asked(upstream) == ["0", "1", "2", answers[0], "beside", answers[1], "further"]
        room.ask("3")
        assert asked(upstream) == ["0", "2", answers[0], "3"]

    def test_two_take_out_different_ones(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        first, second, _ = room.add("1", "2", "3")
        with just_before(monkeypatch, stored, "append", lambda: room.remove(first)):
            room.remove(second)
        assert room.held == ["0", "3"]

    def test_of_two_that_take_out_the_same_one_is_too_late(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        (first,) = room.add("1")
        with just_before(monkeypatch, stored, "append", lambda: room.remove(first)):
            with pytest.raises(ConversationItemNotFound):
                room.remove(first)
        assert room.held == ["0"]

    def test_nobody_can_name_the_removal(self, room: Room) -> None:
        (first,) = room.add("1")
        room.remove(first)
        removal = f"item_{(room.tip.exchange_id or '')[5:]}0000"
        with pytest.raises(ConversationItemNotFound):
            room.remove(removal)
        with pytest.raises(ItemNotFound):
            room.asker.ask([{"type": "item_reference", "id": removal}])


class TestRespond:
    def test_when_a_batch_was_first_nothing_is_asked(
        self, room: Room, upstream: LocalUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        """The model would not have been shown it."""
        known, statuses = len(upstream.questions), room.asker.statuses()
        with just_before(monkeypatch, turns, "begin", lambda: room.add("first")):
            with pytest.raises(ConversationLocked):
                room.ask("second")
        assert len(upstream.questions) == known
        assert room.asker.statuses() == [*statuses, "completed"]
        assert room.held == ["0", "first"]
        assert room.tip.writer_id is None

    def test_when_a_batch_and_a_fork_were_first_neither(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        first = room.ask("1")
        # The fork begins, too; then the question tries again in a lane of its own.
        acts = (lambda: room.asker.ask("beside", after=first["id"]), lambda: None, lambda: room.add("first"))
        with just_before(monkeypatch, turns, "begin", *acts), pytest.raises(ConversationLocked):
            room.ask("second")
        assert room.held[-1] == "first"

    def test_when_it_was_deleted_first_nothing_is_asked(
        self, room: Room, upstream: LocalUpstream, monkeypatch: pytest.MonkeyPatch
    ) -> None:
        known = len(upstream.questions)
        gone = lambda: conversations.delete(room.deps, room.principal, room.id)  # noqa: E731
        with just_before(monkeypatch, turns, "begin", gone), pytest.raises(ConversationLocked):
            room.ask("1")
        assert len(upstream.questions) == known

    def test_the_same_request_at_the_same_time_is_one(self, room: Room, upstream: LocalUpstream) -> None:
        start = threading.Barrier(5)
        got: list[dict[str, Any]] = []

        def ask() -> None:
            start.wait(30)
            got.append(room.ask("1?", key="key-1"))

        together([ask] * 5)
        assert len(got) == 5
        assert all(each == got[0] for each in got)
        assert room.held == ["0", "1?", word(got[0]["output"][0])]

    def test_an_unanswered_call_is_found_wherever_it_stands(self, room: Room) -> None:
        room.add(function_call("call_1"), "1", "2")
        room.add("3")
        with pytest.raises(CallWithoutOutput):
            room.ask("4")
        assert room.tip.writer_id is None

    def test_discarded_it_leaves_no_trace_and_no_lock(self, room: Room, upstream: LocalUpstream) -> None:
        discreet = Asker(room.deps, replace(room.principal, settings=ProjectSettings("discard")))
        with answering(room, upstream):
            discreet.ask("1", conversation=room.id, store=False)
            assert asked(upstream) == ["0", "1"]
        assert room.held == ["0", "Slow?", "Slow."]

    def test_its_first_exchange_may_fail(self, acme: Asker, upstream: LocalUpstream) -> None:
        empty = Room(acme)
        upstream.will(error(400))
        with pytest.raises(UpstreamError):
            empty.ask("1")
        assert empty.held == []
        empty.ask("2")
        assert empty.held[0] == "2"


class TestLock:
    def test_the_end_opens_it(self, room: Room, upstream: LocalUpstream) -> None:
        with answering(room, upstream):
            assert room.tip.writer_id is not None
            for write in (lambda: room.add("1"), lambda: room.remove(room.items[0]["id"]), lambda: room.ask("1")):
                with pytest.raises(ConversationLocked):
                    write()
        assert room.tip.writer_id is None
        room.add("1")
        assert room.held == ["0", "Slow?", "Slow.", "1"]

    def test_so_does_the_end_of_its_process(self, room: Room, upstream: LocalUpstream) -> None:
        ended = subprocess.Popen([sys.executable, "-c", ""])
        ended.wait(60)
        dead = os.urandom(16)
        now = room.deps.clock()
        with room.deps.database.transaction() as connection:
            everywhere.enter(connection, Process(dead, recovery._machine(), ended.pid, now, now))
        with answering(room, upstream, by=Asker(replace(room.deps, process=dead), room.principal)):
            with pytest.raises(ConversationLocked):
                room.add("1")
            assert recovery.sweep(room.deps) >= 1
            assert room.tip.writer_id is None
            assert room.held == ["0"]
            room.add("1")
        # What the dead one had to say came too late.
        assert room.held == ["0", "1"]

    def test_so_does_a_begin_that_went_through_unheard(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        real = turns.begin

        def begin(*given: Any) -> None:
            real(*given)
            raise StorageUnavailable

        with monkeypatch.context() as patched, pytest.raises(StorageUnavailable):
            patched.setattr(turns, "begin", begin)
            room.ask("1")
        assert room.tip.writer_id is not None
        recovery._write_late(room.deps)
        assert room.tip.writer_id is None
        assert room.asker.statuses()[-1] == "failed"
        assert room.held == ["0"]

    def test_one_that_did_not_leaves_nothing_to_do(self, room: Room, monkeypatch: pytest.MonkeyPatch) -> None:
        def begin(*_: Any) -> None:
            raise StorageUnavailable

        before = room.asker.statuses()
        with monkeypatch.context() as patched, pytest.raises(StorageUnavailable):
            patched.setattr(turns, "begin", begin)
            room.ask("1")
        recovery._write_late(room.deps)
        assert (room.asker.statuses(), room.deps.late.waiting) == (before, [])


class TestHistories:
    """A client that sends all that it read of a conversation, and more, goes on from there."""

    def test_what_was_added_by_hand_is_recognised(self, room: Room) -> None:
        room.add({"role": "assistant", "content": "1"})
        given = room.asker.ask([*room.items, {"role": "user", "content": "2"}])
        row = room.asker.stored(given["id"])
        assert (row.parent_id, row.linked, row.conversation_id) == (room.tip.exchange_id, "inferred", room.id)
        assert row.input_count == 1
        assert room.held == ["0", "1"]

    def test_behind_an_answer_too(self, room: Room) -> None:
        room.ask("1")
        room.add("2")
        given = room.asker.ask([*room.items, {"role": "user", "content": "3"}])
        assert room.asker.stored(given["id"]).parent_id == room.tip.exchange_id

    def test_without_what_was_taken_out(self, room: Room) -> None:
        answered = room.ask("1")["output"][0]
        room.add("2", {"role": "assistant", "content": "3"})
        room.remove(answered["id"])
        room.remove(room.items[0]["id"])
        assert room.held == ["1", "2", "3"]
        given = room.asker.ask([*room.items, {"role": "user", "content": "4"}])
        assert room.asker.stored(given["id"]).parent_id == room.tip.exchange_id

    def test_behind_a_removal_too(self, room: Room) -> None:
        room.add({"role": "assistant", "content": "1"})
        room.remove(room.items[0]["id"])
        room.ask("2")
        room.add({"role": "assistant", "content": "3"})
        given = room.asker.ask([*room.items, {"role": "user", "content": "4"}])
        assert room.asker.stored(given["id"]).parent_id == room.tip.exchange_id

    def test_of_a_person_it_stays_that_persons(self, acme: Asker) -> None:
        theirs = Room(acme)
        answered = theirs.ask("0", user="u-1")
        theirs.add({"role": "assistant", "content": "1"}, "2")
        theirs.remove(answered["output"][0]["id"])
        sent = [*theirs.items, {"role": "user", "content": "3"}]
        given = acme.ask(sent, user="u-1")
        assert acme.stored(given["id"]).parent_id == theirs.tip.exchange_id
        assert acme.stored(acme.ask(sent)["id"]).parent_id is None

    def test_where_nothing_had_been_noted_it_is_noted_anew(self, acme: Asker) -> None:
        silent = Asker(replace(acme.deps, relay=RelayOptions(link_histories=False)), acme.principal)
        quiet = Room(silent, "0")
        quiet.add({"role": "assistant", "content": "1"})
        sent = [*quiet.items, {"role": "user", "content": "2"}]
        assert acme.stored(acme.ask(sent)["id"]).parent_id is None
        Room(acme, own=quiet.id).add({"role": "assistant", "content": "3"})
        given = acme.ask([*quiet.items, {"role": "user", "content": "4"}])
        assert acme.stored(given["id"]).parent_id == quiet.tip.exchange_id

    def test_where_it_is_not_wanted_nothing_is_noted(self, acme: Asker) -> None:
        silent = Asker(replace(acme.deps, relay=RelayOptions(link_histories=False)), acme.principal)
        quiet = Room(silent, "0")
        for act in (lambda: None, lambda: quiet.add("1"), lambda: quiet.remove(quiet.items[0]["id"])):
            act()
            with direct.reading(acme.deps.database) as cursor:
                parent = turns.parent(cursor, acme.principal.project_id, quiet.tip.exchange_id or "")
            assert parent is not None
            assert parent.thread is None

    def test_another_project_goes_on_from_nothing(self, room: Room, globex: Asker) -> None:
        room.add({"role": "assistant", "content": "1"})
        given = globex.ask([*room.items, {"role": "user", "content": "2"}])
        assert globex.stored(given["id"]).parent_id is None


class TestManyAtOnce:
    """Real threads: nothing is lost, nothing is torn apart, nothing comes between a question and its answer."""

    WRITERS = 6
    ROUNDS = 5

    def test_batches(self, room: Room) -> None:
        def add(writer: int) -> None:
            for number in range(self.ROUNDS):
                patiently(lambda: room.add(*[f"{writer}.{number}.{part}" for part in range(3)]))  # noqa: B023

        together([lambda writer=writer: add(writer) for writer in range(self.WRITERS)])
        held = room.held[1:]
        assert len(held) == self.WRITERS * self.ROUNDS * 3
        batches = [held[at : at + 3] for at in range(0, len(held), 3)]
        for batch in batches:
            writer, number, _ = batch[0].split(".")
            assert batch == [f"{writer}.{number}.{part}" for part in range(3)]
        for writer in range(self.WRITERS):
            own = [batch[0].split(".")[1] for batch in batches if batch[0].startswith(f"{writer}.")]
            assert own == [str(number) for number in range(self.ROUNDS)]

    def test_batches_questions_and_removals(self, room: Room, upstream: LocalUpstream) -> None:
        answers: dict[str, str] = {}
        kept: list[str] = []

        def add(writer: int) -> None:
            for number in range(self.ROUNDS):
                name = f"b{writer}.{number}"
                added = patiently(lambda: room.add(f"{name}.0", f"{name}.1", f"{name}.2"))  # noqa: B023
                patiently(lambda: room.remove(added[1]))  # noqa: B023
                kept.append(name)

        def ask(writer: int) -> None:
            for number in range(self.ROUNDS):
                name = f"q{writer}.{number}"
                if number % 2:
                    events = patiently(lambda: room.asker.stream(name, conversation=room.id))  # noqa: B023
                    given = events[-1]["response"]
                else:
                    given = patiently(lambda: room.ask(name))  # noqa: B023
                answers[name] = word(given["output"][0])

        def fork() -> None:
            for number in range(self.ROUNDS):
                beside = room.asker.ask(f"beside {number}", after=exchange_of(room.items[0]["id"]))
                room.asker.ask(f"further beside {number}", after=beside["id"])

        adding = [lambda writer=writer: add(writer) for writer in range(3)]
        asking = [lambda writer=writer: ask(writer) for writer in range(3)]
        together([*adding, *asking, fork])
        held = room.held
        assert len(held) == len(set(held)) == 1 + 2 * len(kept) + 2 * len(answers)
        assert len(kept) == len(answers) == 3 * self.ROUNDS
        place = {text: at for at, text in enumerate(held)}
        for question, answered in answers.items():
            assert place[answered] == place[question] + 1
        for name in kept:
            # Between the two stood what was taken out, and nothing else.
            assert place[f"{name}.2"] == place[f"{name}.0"] + 1
        assert room.tip.writer_id is None
        # Each model was shown what stood in front of its question: no more, no less, but what was taken out later.
        shown = {
            word(each.body["input"][-1]): [word(part) for part in each.body["input"]] for each in upstream.questions
        }
        for question in answers:
            before = [text for text in shown[question] if text in place]
            assert before == held[: place[question] + 1]

    def test_in_another_conversation_nobody_waits(self, room: Room, acme: Asker, upstream: LocalUpstream) -> None:
        other = Room(acme)
        with answering(room, upstream):
            other.ask("1")
            other.add("2")
        assert other.held[-1] == "2"


def patiently(act: Callable[[], Any]) -> Any:
    """What the caller does whom the conversation was locked for: try again."""

    def tried() -> list[Any]:
        try:
            return [act()]
        except ConversationLocked:
            return []

    return wait_until(tried, 60)[0]


def together(acts: list[Callable[[], object]]) -> None:
    """All at the same time, in threads. What one of them raises is raised."""
    failed: list[BaseException] = []

    def run(act: Callable[[], object]) -> None:
        try:
            act()
        except BaseException as error:
            failed.append(error)

    threads = [threading.Thread(target=run, args=(act,)) for act in acts]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(100)
    if failed:
        raise failed[0]
    assert not any(thread.is_alive() for thread in threads)
