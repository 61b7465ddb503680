"""Conversations on disk: their tips move one at a time, and all of a batch is there or none of it."""

from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import insert

from convstore import ids
from convstore.domain import fingerprints
from convstore.domain.conversation import Conversation
from convstore.domain.exchange import ADDED, Beginning, Linked
from convstore.storage import conversations, direct, exchanges, tables
from convstore.storage.conversations import Tip
from convstore.storage.rows import SHARED_FROM
from convstore.storage.turns import ConversationTaken, LaneTaken
from tests.storage.keeper import Keeper, Plans, count, crowd, item, word_of

TABLES = ("conversations", "exchanges", "items", "payloads", "fingerprints", "running")


def begun(keeper: Keeper, *words: str, metadata: bytes = b"{}") -> str:
    """A conversation that begins with these words, if there are any."""
    made = Conversation(ids.new(ids.CONVERSATION), keeper.clock(), metadata)
    first = addition(keeper, made.id, *words) if words else None
    thread = fingerprints.start(keeper.project).after([item(word) for word in words])
    conversations.create(keeper.database, keeper.project, made, first, thread if words else None)
    return made.id


def addition(keeper: Keeper, conversation: str, *words: str, after: str | None = None, **members: Any) -> Beginning:
    """What adds these words behind an exchange."""
    given = {"origin": ADDED, "linked": Linked.CONVERSATION, "conversation_id": conversation, "tip_id": after}
    return keeper.beginning(*words, after=after, **{**given, **members})


def append(keeper: Keeper, made: Beginning) -> str:
    thread = fingerprints.start(keeper.project).after(made.items)
    conversations.append(keeper.database, keeper.project, made, thread)
    return made.id


def tip(keeper: Keeper, conversation: str, project: str | None = None) -> Tip | None:
    with direct.reading(keeper.database) as cursor:
        return conversations.tip(cursor, project or keeper.project, conversation)


def tip_id(keeper: Keeper, conversation: str) -> str:
    found = tip(keeper, conversation)
    assert found is not None
    assert found.exchange_id is not None
    return found.exchange_id


def sizes(keeper: Keeper) -> list[int]:
    return [count(keeper.database, table) for table in TABLES]


class TestCreate:
    def test_without_items(self, acme: Keeper) -> None:
        own = begun(acme, metadata=b'{"z":"1","a":"2"}')
        assert tip(acme, own) == Tip(None, None, None)
        with acme.database.reading(acme.project) as scope:
            found = conversations.get(scope, own)
        assert found is not None
        assert found.metadata == b'{"z":"1","a":"2"}'

    def test_with_items(self, acme: Keeper) -> None:
        own = begun(acme, "1", "2")
        assert acme.shown(tip_id(acme, own)) == ["1", "2"]

    def test_big_ones(self, acme: Keeper) -> None:
        big = "x" * SHARED_FROM
        own = begun(acme, big)
        assert acme.shown(tip_id(acme, own)) == [big]


class TestAppend:
    def test_the_tip_moves(self, acme: Keeper) -> None:
        own = begun(acme)
        first = append(acme, addition(acme, own, "1"))
        assert tip(acme, own) == Tip(first, first, None)
        second = append(acme, addition(acme, own, "2", "3", after=first))
        assert tip(acme, own) == Tip(second, second, None)
        assert acme.shown(second) == ["1", "2", "3"]

    @pytest.mark.parametrize("first", [None, "1"])
    def test_one_made_for_an_older_tip_leaves_no_trace(self, acme: Keeper, first: str | None) -> None:
        own = begun(acme, *([first] if first else []))
        known = tip(acme, own)
        assert known is not None
        late = addition(acme, own, "late", "x" * SHARED_FROM, after=known.exchange_id)
        append(acme, addition(acme, own, "2", after=known.exchange_id))
        before = sizes(acme)
        with pytest.raises(ConversationTaken):
            append(acme, replace(late, lane=late.id))
        assert sizes(acme) == before

    def test_so_does_one_beside_a_writer(self, acme: Keeper) -> None:
        own = begun(acme, "1")
        place = acme.begun("2", after=tip_id(acme, own), linked=Linked.CONVERSATION, tip_id=tip_id(acme, own))
        known = tip(acme, own)
        assert known == Tip(known.exchange_id, known.exchange_id, place.id) if known else False
        before = sizes(acme)
        with pytest.raises(ConversationTaken):
            append(acme, addition(acme, own, "3", after=tip_id(acme, own)))
        with pytest.raises(ConversationTaken):
            acme.begun("3", after=tip_id(acme, own), linked=Linked.CONVERSATION, tip_id=tip_id(acme, own))
        assert sizes(acme) == before
        acme.end(place, "answer")
        assert tip(acme, own) == Tip(place.id, place.id, None)

    def test_so_does_one_for_a_conversation_that_is_gone(self, acme: Keeper) -> None:
        own = begun(acme, "1")
        late = addition(acme, own, "late", after=tip_id(acme, own))
        with acme.database.writing(acme.project) as scope:
            assert conversations.delete(scope, own, acme.clock())
            assert not conversations.delete(scope, own, acme.clock())
        before = sizes(acme)
        with pytest.raises(ConversationTaken):
            append(acme, late)
        assert sizes(acme) == before

    def test_so_does_one_of_another_project(self, acme: Keeper, globex: Keeper) -> None:
        own = begun(acme)
        before = sizes(acme)
        with pytest.raises(ConversationTaken):
            append(globex, addition(globex, own, "theirs"))
        assert sizes(acme) == before
        assert tip(acme, own, globex.project) is None
        with globex.database.writing(globex.project) as scope:
            assert conversations.get(scope, own) is None
            assert not conversations.describe(scope, own, b'{"a":"b"}')
            assert not conversations.delete(scope, own, acme.clock())

    def test_one_whose_lane_is_taken_leaves_no_trace(self, acme: Keeper) -> None:
        own = begun(acme, "1")
        late = addition(acme, own, "late", after=tip_id(acme, own))
        acme.keep("beside", "answer", after=tip_id(acme, own))
        before = sizes(acme)
        with pytest.raises(LaneTaken):
            append(acme, late)
        assert sizes(acme) == before
        append(acme, replace(late, lane=late.id))
        assert acme.shown(late.id) == ["1", "late"]


class TestOutline:
    def test_it_is_the_thread_without_its_bodies(self, acme: Keeper) -> None:
        own = begun(acme, "1", "x" * SHARED_FROM)
        forked = acme.keep("2", "3", after=tip_id(acme, own))
        acme.keep("4", "5", after=tip_id(acme, own))
        with acme.database.reading(acme.project) as scope:
            outline = exchanges.thread(scope, forked, bodies=False)
            assert {each.item.body for each in outline} == {b""}
            assert exchanges.with_bodies(scope, outline) == exchanges.thread(scope, forked)
            some = [outline[3], outline[1]]
            assert [word_of(each.item.body)[0] for each in exchanges.with_bodies(scope, some)] == ["3", "x"]
            assert exchanges.with_bodies(scope, []) == []


class TestPlans:
    def test_no_table_is_read_from_end_to_end(self, acme: Keeper) -> None:
        own = begun(acme, "1")
        for number in range(30):
            append(acme, addition(acme, own, str(number), "x" * SHARED_FROM, after=tip_id(acme, own)))
        parent = acme.parent(acme.keep("1", "2"))
        assert parent is not None
        with acme.database.transaction() as connection:
            row = {"project_id": acme.project, "created_at": acme.clock()}
            connection.execute(insert(tables.conversations), [{**row, "id": ids.new("conv")} for _ in range(3000)])
        crowd(acme)
        with Plans(acme.database) as plans:
            for conversation in (own, parent.conversation_id):
                known = tip_id(acme, conversation)
                with acme.database.reading(acme.project) as scope:
                    conversations.get(scope, conversation)
                    outline = exchanges.thread(scope, known, bodies=False)
                    exchanges.with_bodies(scope, outline[:20])
        assert plans.walked("exchanges", "items", "payloads", "conversations") == []
