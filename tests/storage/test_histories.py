"""Threads found by fingerprint: of this project alone, newest first, by an index."""

import pytest
from sqlalchemy import insert

from convstore import ids
from convstore.domain import fingerprints, jsontext
from convstore.domain.exchange import Linked, Sent
from convstore.domain.fingerprints import Thread
from convstore.storage import direct, histories, tables
from convstore.storage.histories import Candidate
from tests.storage.keeper import Keeper, Plans, count, crowd, item


def mark(keeper: Keeper, *words: str) -> Thread:
    return fingerprints.start(keeper.project).after([item(word) for word in words])


def kept(keeper: Keeper, *words: str, thread: Thread | None = None, **members: object) -> str:
    """An exchange that is recognised by what was said."""
    place = keeper.begun(*words[:-1], **members)
    assert keeper.end(place, words[-1], thread=thread or mark(keeper, *words))
    return place.id


def found(keeper: Keeper, wanted: bytes) -> list[Candidate]:
    with direct.reading(keeper.database) as cursor:
        return histories.candidates(cursor, keeper.project, wanted)


class TestCandidates:
    def test_the_newest_first(self, acme: Keeper) -> None:
        known = [kept(acme, "u", "m") for _ in range(3)]
        kept(acme, "u", "other")
        assert [each.parent.id for each in found(acme, mark(acme, "u", "m").whole)] == known[::-1]

    def test_only_so_many(self, acme: Keeper) -> None:
        known = [kept(acme, "u", "m") for _ in range(histories.FEW + 2)]
        assert [each.parent.id for each in found(acme, mark(acme, "u", "m").whole)] == known[: -histories.FEW - 1 : -1]

    def test_both_fingerprints_lead_to_it(self, acme: Keeper) -> None:
        thread = Thread(jsontext.digest(b"whole"), jsontext.digest(b"spoken"))
        own = kept(acme, "u", "m", thread=thread)
        for each in thread:
            assert [(one.parent.id, one.parent.thread) for one in found(acme, each)] == [(own, thread)]

    def test_what_it_was_sent(self, acme: Keeper) -> None:
        sent = Sent(7, jsontext.digest(b"sent"), b'{"answer":[false]}')
        own = kept(acme, "u", "m", sent=sent, extras=b'{"prompt_cache_key":"k"}', linked=Linked.INFERRED)
        (candidate,) = found(acme, mark(acme, "u", "m").whole)
        assert candidate.sent == Sent(7, sent.digest)
        assert candidate.prompt_cache_key == "k"
        with acme.database.reading(acme.project) as scope:
            (step,) = histories.steps(scope, own)
        assert (step.exchange_id, step.linked, step.forms) == (own, "inferred", sent.forms)

    def test_not_another_projects(self, acme: Keeper, globex: Keeper) -> None:
        thread = mark(acme, "u", "m")
        kept(globex, "u", "m", thread=thread)
        assert found(acme, thread.whole) == []

    def test_not_one_that_has_not_ended_or_was_ended_before(self, acme: Keeper) -> None:
        place, before = acme.begun("u"), count(acme.database, "fingerprints")
        assert found(acme, mark(acme, "u", "m").whole) == []
        assert acme.end(place, "m")
        assert not acme.end(place, "m", thread=mark(acme, "u", "m"))
        assert found(acme, mark(acme, "u", "m").whole) == []
        assert count(acme.database, "fingerprints") == before

    def test_it_says_whether_it_was_continued(self, acme: Keeper) -> None:
        own = kept(acme, "u", "m")
        assert not found(acme, mark(acme, "u", "m").whole)[0].parent.continued
        acme.keep("u2", "m2", after=own)
        assert found(acme, mark(acme, "u", "m").whole)[0].parent.continued


class TestKnown:
    def test_any_number_of_fingerprints(self, acme: Keeper) -> None:
        kept(acme, "u", "m")
        own = mark(acme, "u", "m").whole
        noise = [jsontext.digest(b"%d" % number) for number in range(histories.MANY - 1)]
        with direct.reading(acme.database) as cursor:
            for others in (noise[:0], noise[:1], noise[: histories.FEW], noise):
                assert histories.known(cursor, acme.project, [*others, own]) == {own}
            assert histories.known(cursor, acme.project, noise) == set()


class TestPlans:
    @pytest.mark.parametrize("wanted", [1, histories.FEW + 1])
    def test_nothing_is_walked(self, acme: Keeper, wanted: int) -> None:
        own = kept(acme, "u", "m")
        crowd(acme)
        rows = [{"fingerprint": jsontext.digest(b"%d" % n), "exchange_id": ids.new(ids.EXCHANGE)} for n in range(5000)]
        with acme.database.transaction() as connection:
            connection.execute(insert(tables.fingerprints), rows)
        with acme.database.connection() as connection:
            connection.exec_driver_sql("ANALYZE")
        keys = [mark(acme, "u", "m").whole, *(jsontext.digest(b"-%d" % number) for number in range(wanted - 1))]
        with Plans(acme.database) as plans:
            (candidate,) = found(acme, keys[0])
            with direct.reading(acme.database) as cursor:
                assert histories.known(cursor, acme.project, keys) == {keys[0]}
                assert len(histories.answer(cursor, acme.project, candidate.parent)) == 1
            with acme.database.reading(acme.project) as scope:
                assert len(histories.steps(scope, own)) == 1
        assert plans.walked("exchanges", "items", "payloads", "fingerprints") == []
