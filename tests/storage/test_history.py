"""The history and its index: what is found, in which order, by which plan."""

import json
from collections.abc import Callable, Iterator
from datetime import UTC, datetime, timedelta
from itertools import islice
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convstore import ids
from convstore.domain import terms
from convstore.domain.items import Item
from convstore.domain.usage import Usage
from convstore.storage import exchanges, history, indexing, searches
from convstore.storage.database import Database
from convstore.storage.history import Wanted
from tests.storage.keeper import Keeper, Plans, counted, crowd

KEY = ids.new(ids.KEY)


def says(text: str, role: str = "user") -> Item:
    kind = "output_text" if role == "assistant" else "input_text"
    body = {"type": "message", "role": role, "content": [{"type": kind, "text": text}]}
    return Item("message", json.dumps(body).encode(), role=role)


def calls(tool: str, arguments: str = "{}") -> Item:
    body = {"type": "function_call", "name": tool, "arguments": arguments, "call_id": "c"}
    return Item("function_call", json.dumps(body).encode(), call_id="c", name=tool)


def turn(keeper: Keeper, question: str, answer: str, after: str | None = None, **members: Any) -> str:
    return keeper.keep(says(question), says(answer, "assistant"), after=after, **members)


def found(keeper: Keeper, text: str | None = None, limit: int = 1_000, **filters: Any) -> list[str]:
    """The newest first."""
    wanted = Wanted(terms.query(text) if text is not None else None, filters)
    searches.settle(keeper.database)
    with keeper.database.reading(keeper.project) as scope:
        return history.found(scope, wanted, limit)


class TestWords:
    def test_of_question_and_answer_together(self, acme: Keeper) -> None:
        first = turn(acme, "Where is the station?", "Behind the church.")
        second = turn(acme, "And the church?", "天气预报说会下雨", after=first)
        assert found(acme, "STATION church") == [first]
        assert found(acme, "church") == [second, first]
        assert found(acme, "church 下雨") == [second]
        assert found(acme, "stations") == []

    def test_of_everything_that_is_said(self, acme: Keeper) -> None:
        thought = Item("reasoning", b'{"type":"reasoning","summary":[{"type":"summary_text","text":"pondering"}]}')
        output = Item("function_call_output", b'{"type":"function_call_output","call_id":"c","output":"cloudless"}')
        first = acme.keep(says("q"), thought, settings=b'{"model":"m","instructions":"Speak like a pirate"}')
        place = acme.begun(output, after=first)
        acme.end(place, calls("get_weather", '{"city":"\\u5317\\u4eac"}'))
        expected = {"pondering": first, "pirate": first, "cloudless": place.id, "weather": place.id, "北京": place.id}
        assert {word: found(acme, word) for word in expected} == {word: [own] for word, own in expected.items()}

    def test_instructions_once_in_a_thread_and_again_where_they_change(self, acme: Keeper) -> None:
        old, new = b'{"instructions":"old words"}', b'{"instructions":"new words"}'
        root = turn(acme, "q", "a", settings=old)
        parent = acme.parent(root)
        assert parent is not None
        same = parent.settings_hash == terms_digest(old)
        repeated = turn(acme, "q", "a", after=root, settings=old, repeats_settings=same)
        changed = turn(acme, "q", "a", after=repeated, settings=new)
        assert found(acme, "words") == [changed, root]

    def test_what_is_asked_is_found_before_it_is_answered(self, acme: Keeper) -> None:
        place = acme.begun(says("pending"))
        assert found(acme, "pending") == [place.id]

    def test_nothing_of_what_is_not_to_be_stored_or_of_others(self, acme: Keeper, globex: Keeper) -> None:
        turn(acme, "secret", "secret", stored=False)
        turn(globex, "secret", "secret")
        assert found(acme, "secret") == []
        with acme.database.reading(acme.project) as scope:
            assert indexing.missing(scope, 9) == []

    def test_what_is_deleted_is_not_found(self, acme: Keeper) -> None:
        own = turn(acme, "gone", "gone")
        with acme.database.writing(acme.project) as scope:
            exchanges.delete(scope, own, acme.clock())
        assert found(acme, "gone") == []

    @pytest.mark.parametrize(
        "text", ['"', "'", "a OR b", "NEAR(", "a* -b", ":*&|!", "\0", "\ud800x", "𠀀𠀁", "\\", "(a", "🙂"]
    )
    def test_signs_are_text(self, acme: Keeper, text: str) -> None:
        own = turn(acme, f"x {text.encode('utf-8', 'ignore').decode()} y", "a b")
        query = terms.query(text)
        if query.parts:
            assert found(acme, text) in ([own], [])
        acme.begun(Item("message", json.dumps({"role": "user", "content": text}).encode(), role="user"))

    def test_a_long_query(self, acme: Keeper) -> None:
        words = [f"w{number}" for number in range(250)]
        own = turn(acme, " ".join(words), "上下左右东南西北" * 60)
        assert found(acme, " ".join(words)) == [own]
        assert found(acme, "上下左右东南西北" * 50) == [own]
        assert found(acme, "".join(chr(0x4E00 + number) for number in range(900))) == []


def terms_digest(settings_: bytes) -> bytes:
    from convstore.domain import jsontext

    return jsontext.digest(settings_)


# -- any text ---------------------------------------------------------------------------------------------------

_HAN, _KANA = (
    st.characters(min_codepoint=0x4E00, max_codepoint=0x4E30),
    st.characters(min_codepoint=0x3042, max_codepoint=0x3060),
)
_dense = st.text(_HAN | _KANA, min_size=1, max_size=12)
_word = st.from_regex(r"[a-zA-Z0-9]{1,6}", fullmatch=True) | st.sampled_from(["Straße", "Ünï", "ＧＰＴ", "don"])
_texts = st.lists(st.tuples(st.sampled_from([" ", ", ", "。", "\n"]), _dense | _word), min_size=1, max_size=12)


class TestAnyText:
    @settings(max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
    @given(data=st.data())
    def test_whole_words_and_any_characters_of_a_run_find_it(self, acme: Keeper, data: st.DataObject) -> None:
        pieces = data.draw(_texts)
        own = turn(acme, "".join(sign + piece for sign, piece in pieces), "Nothing")
        start = data.draw(st.integers(0, len(pieces) - 1))
        end = data.draw(st.integers(start + 1, len(pieces)))
        wanted = "".join(sign + piece for sign, piece in pieces[start:end])
        assert own in found(acme, wanted), wanted
        piece = pieces[start][1]
        if terms.query(piece).runs or terms.query(piece).beginnings or len(piece) == 2:
            first = data.draw(st.integers(0, len(piece) - 1))
            last = data.draw(st.integers(first + 1, len(piece)))
            if not piece.isascii() and ord(piece[0]) > 0x3000 and ord(piece[0]) < 0xA000:
                assert own in found(acme, piece[first:last]), piece[first:last]


# -- filters ------------------------------------------------------------------------------------------------------

USERS = [None, "u1", "u2"]


def made(acme: Keeper, number: int, after: str | None) -> dict[str, Any]:
    """An exchange and what a model of the filters knows of it."""
    error = {"code": "rate_limit_exceeded", "message": "m"} if number % 5 == 4 else None
    known: dict[str, Any] = {
        "user": USERS[number % 3],
        "safety_identifier": USERS[number % 2],
        "model": f"m{number % 2}",
        "upstream": f"up{number % 3}",
        "requested_model": f"r{number % 4}",
        "status": "failed" if error else ("incomplete" if number % 7 == 3 else "completed"),
        "finish_reason": "max_output_tokens" if number % 7 == 3 else None,
        "error": error and error["code"],
        "tool": "get_weather" if number % 4 == 1 else None,
        "metadata": {"team": f"t{number % 3}"},
        "origin": "branch" if number % 6 == 5 else "create",
        "key": KEY if number % 2 else None,
        "tokens": None if number % 8 == 7 else 3 ** (number % 9),
        "latency_ms": 7 ** (number % 5),
        "created_at": datetime(2026, 11, 1, tzinfo=UTC) + timedelta(days=9 * number, hours=number),
    }
    place = acme.begun(
        says(f"question {number}"),
        after=after,
        user=known["user"],
        safety_identifier=known["safety_identifier"],
        requested_model=known["requested_model"],
        metadata=json.dumps(known["metadata"]).encode(),
        origin=known["origin"],
        api_key_id=known["key"],
        created_at=known["created_at"],
    )
    tokens = known["tokens"]
    acme.clock.now = known["created_at"] + timedelta(milliseconds=known["latency_ms"], microseconds=-1)
    said = [calls(known["tool"])] if known["tool"] else [says("answer", "assistant")]
    used = None if tokens is None else Usage(tokens, 0, 0, tokens + 1, 0, 2 * tokens + 1)
    assert acme.end(
        place,
        *said,
        status=known["status"],
        model=known["model"],
        upstream=known["upstream"],
        error=error,
        incomplete_reason=known["finish_reason"],
        usage=used,
    )
    return {**known, "id": place.id, "depth": place.depth, "parent": after}


def _ranges() -> Iterator[tuple[str, Callable[[dict[str, Any]], float | None]]]:
    yield "input_tokens", lambda each: each["tokens"]
    yield "output_tokens", lambda each: None if each["tokens"] is None else each["tokens"] + 1
    yield "total_tokens", lambda each: None if each["tokens"] is None else 2 * each["tokens"] + 1
    yield "latency_ms", lambda each: each["latency_ms"]
    yield "depth", lambda each: each["depth"]


class TestFilters:
    @pytest.fixture
    def all_of_them(self, acme: Keeper) -> list[dict[str, Any]]:
        """Forty exchanges: a trunk with a fork at every third, over a year."""
        known: list[dict[str, Any]] = []
        for number in range(40):
            after = known[number - 1 - number % 3]["id"] if number else None
            known.append(made(acme, number, after))
        return known

    def test_each_is_what_a_model_of_it_says(self, acme: Keeper, all_of_them: list[dict[str, Any]]) -> None:
        def expected(holds: Callable[[dict[str, Any]], bool]) -> list[str]:
            return [each["id"] for each in reversed(all_of_them) if holds(each)]

        asked = 0
        names = (
            "user safety_identifier model upstream requested_model status finish_reason error tool origin key".split()
        )
        for name in names:
            for value in {each[name] for each in all_of_them} - {None}:
                assert found(acme, **{name: value}) == expected(lambda each, n=name, v=value: each[n] == v), name
                asked += 1
        for name, of in _ranges():
            figures = sorted({of(each) for each in all_of_them if of(each) is not None})
            for figure in [*islice(figures, 6), figures[-1], figures[-1] + 1]:
                least = expected(lambda each, of=of, f=figure: of(each) is not None and of(each) >= f)
                assert found(acme, **{f"min_{name}": figure}) == least, (name, figure)
                most = expected(lambda each, of=of, f=figure: of(each) is not None and of(each) <= f)
                assert sorted(found(acme, **{f"max_{name}": figure})) == sorted(most), (name, figure)
                asked += 2
        parents = {each["parent"] for each in all_of_them}
        assert found(acme, has_children=True) == expected(lambda each: each["id"] in parents)
        assert found(acme, has_children=False) == expected(lambda each: each["id"] not in parents)
        assert found(acme, user="u1", model="m1") == expected(
            lambda each: (each["user"], each["model"]) == ("u1", "m1")
        )
        assert asked > 80

    def test_of_a_tree(self, acme: Keeper, all_of_them: list[dict[str, Any]]) -> None:
        parents = {each["id"]: each["parent"] for each in all_of_them}

        def line(own: str) -> list[str]:
            way: list[str] = []
            at: str | None = own
            while at:
                way.append(at)
                at = parents[at]
            return way

        for each in all_of_them[::4]:
            below = [own for own in reversed(parents) if each["id"] in line(own)]
            assert found(acme, ancestor=each["id"]) == below
            assert found(acme, descendant=each["id"]) == line(each["id"])
            assert found(acme, "question", ancestor=each["id"]) == below
        turn(acme, "another", "tree")
        with acme.database.reading(acme.project) as scope:
            (entry,) = history.entries(scope, [all_of_them[0]["id"]]).values()
            children = sum(each["parent"] == entry.node.id for each in all_of_them)
            assert entry.children == children
        assert found(acme, conversation=entry.node.conversation_id) == list(reversed(parents))

    def test_of_labels(self, acme: Keeper, all_of_them: list[dict[str, Any]]) -> None:
        searches.settle(acme.database)
        with acme.database.reading(acme.project) as scope:
            rows = history.found(scope, Wanted(metadata=[("team", "t1")]), 100)
        assert rows == [each["id"] for each in reversed(all_of_them) if each["metadata"]["team"] == "t1"]

    def test_of_time(self, acme: Keeper, all_of_them: list[dict[str, Any]]) -> None:
        moments = [each["created_at"] for each in all_of_them]
        for since, until in ((0, 3), (5, 30), (0, 39), (7, 7), (2, 4)):
            limits = {"since": moments[since], "until": moments[until]}
            dates = terms.between(moments[since], moments[until])
            searches.settle(acme.database)
            with acme.database.reading(acme.project) as scope:
                rows = history.found(scope, Wanted(filters=limits, dates=dates), 100)
            assert rows == [each["id"] for each in reversed(all_of_them[since:until])]

    def test_what_has_not_ended(self, acme: Keeper) -> None:
        turn(acme, "q", "a")
        place = acme.begun(says("still"))
        assert found(acme, status="in_progress") == [place.id]
        assert found(acme, status="queued") == []


class TestPages:
    @pytest.mark.parametrize("text", [None, "page"])
    @pytest.mark.parametrize("newest_first", [True, False])
    def test_both_ways_while_others_arrive(self, acme: Keeper, text: str | None, newest_first: bool) -> None:
        there = [turn(acme, f"page {number}", "a") for number in range(17)]
        wanted = Wanted(terms.query(text) if text else None)
        expected = there[::-1] if newest_first else there

        def page(**cursor: str) -> list[str]:
            turn(acme, "page of another", "a")
            searches.settle(acme.database)
            with acme.database.reading(acme.project) as scope:
                return history.found(scope, wanted, 4, newest_first=newest_first, **cursor)

        seen = page()
        while part := page(after=seen[-1]):
            seen += part
            if len(seen) > 30:
                break
        assert [own for own in seen if own in there] == expected
        assert len(set(seen)) == len(seen)
        back = [expected[-1]]
        while part := page(before=back[0]):
            back = part + back
            if len(back) > 40:
                break
        assert [own for own in back if own in there] == expected


class TestIndexing:
    def test_what_is_added_later_stays_in_order(self, acme: Keeper) -> None:
        there = [turn(acme, "order 天气", "a", metadata=b'{"k":"v"}') for _ in range(5)]
        later = there[3:]
        with acme.database.writing(acme.project) as scope:
            for own in there[:3]:
                indexing.forget(acme.database, scope, [own], indexing.terms(acme.database, scope, [own]))
        assert found(acme, "order") == later[::-1]
        with acme.database.writing(acme.project) as scope:
            missing = indexing.missing(scope, 9)
            assert missing == there[2::-1]
            assert indexing.count_missing(scope) == 3
            indexing.add(acme.database, scope, missing)
            indexing.add(acme.database, scope, missing)
            assert indexing.missing(scope, 9) == []
        newest = turn(acme, "order", "a")
        assert found(acme, "order") == [newest, *there[::-1]]
        assert found(acme, "天气 a") == there[::-1]

    def test_what_is_forgotten_is_in_no_list_of_the_index(self, acme: Keeper) -> None:
        own = turn(acme, "unforgettable 忘", "hidden", user="the-user", settings=b'{"instructions":"by heart"}')
        kept = turn(acme, "kept", "hidden")
        with acme.database.writing(acme.project) as scope:
            indexing.forget(acme.database, scope, [own], indexing.terms(acme.database, scope, [own]))
        assert found(acme, "hidden") == [kept]
        if not acme.database.is_sqlite:
            return
        with acme.database.transaction() as connection:
            # As FTS5 has it after it has put everything in one place.
            connection.exec_driver_sql("INSERT INTO search_words (search_words) VALUES ('optimize')")
            connection.exec_driver_sql("CREATE VIRTUAL TABLE temp.vocabulary USING fts5vocab(main, search_words, row)")
            rows = connection.exec_driver_sql("SELECT term FROM vocabulary").scalars().all()
            connection.exec_driver_sql("DROP TABLE temp.vocabulary")
        assert {"unforgettable", "忘", "heart", terms.exact("u", "the-user")}.isdisjoint(rows)
        assert "hidden" in rows


# What another project is found by: enough for a planner to care.
_OTHERS = (
    "INSERT INTO searches (project_id, exchange_id, words)"
    " SELECT decode(repeat('ab', 16), 'hex'), decode(lpad(to_hex(n), 32, '0'), 'hex'),"
    " array_to_tsvector(ARRAY['_other', 'a' || n, 'b' || n]) FROM generate_series(1, 20000) n ON CONFLICT DO NOTHING"
)


class TestPlans:
    @pytest.mark.parametrize(
        ("text", "filters"),
        [
            (None, {}),
            (None, {"user": "rare"}),
            (None, {"tool": "get_weather", "user": "rare"}),
            (None, {"error": "rate_limit_exceeded"}),
            (None, {"status": "in_progress"}),
            ("needle", {}),
            ("needle 天气", {"user": "rare"}),
        ],
    )
    def test_a_page_is_found_by_an_index(self, acme: Keeper, text: str | None, filters: dict[str, Any]) -> None:
        crowd(acme)
        if not acme.database.is_sqlite:
            with acme.database.transaction() as connection:
                connection.exec_driver_sql(_OTHERS)
        with acme.database.writing(acme.project) as scope:
            while missing := indexing.missing(scope, 500):
                indexing.add(acme.database, scope, missing)
        own = acme.keep(says("needle 天气", "user"), calls("get_weather"), user="rare")
        with acme.database.connection() as connection:
            connection.exec_driver_sql("ANALYZE")
        searches.settle(acme.database)
        with Plans(acme.database) as plans, counted() as statements:
            rows = found(acme, text, 20, **filters)
        assert (own in rows) == (filters.keys().isdisjoint({"error", "status"}))
        # On SQLite one more asks whether anything waits, on PostgreSQL how much there is.
        assert statements[0] <= 2
        # FTS5 calls its own index a scan; what runs and what waits are short lists.
        allowed = ["SCAN search_words VIRTUAL TABLE", "SCAN running", "SCAN search_waiting"]
        walked = [step for step in plans.walked("exchanges", "searches") if not step.startswith(tuple(allowed))]
        assert walked == [] or (text is None and not filters)
        if acme.database.is_sqlite and not filters.get("status"):
            assert plans.sorted() == []

    def test_bodies_are_not_read(self, acme: Keeper) -> None:
        turn(acme, "body", "body")
        with Plans(acme.database) as plans:
            rows = found(acme, "body")
            with acme.database.reading(acme.project) as scope:
                history.entries(scope, rows)
        assert not [sql for sql, _ in plans.ran if "items" in sql or "payloads" in sql]


def test_an_index_without_anything_in_it(database: Database) -> None:
    keeper = Keeper(database)
    assert found(keeper, "anything") == []
