"""The one way to read a file: whatever it is, records come out, or one kind of error."""

import gzip
import itertools
import json
import random
import tracemalloc
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from convstore.archives import formats
from convstore.archives.limits import Limits
from convstore.domain.archive import Archived, ArchivedConversation, Record
from convstore.errors import InvalidRequest, Unreadable
from convstore.storage import llm_database
from tests.archives.llm_files import NEWEST, File
from tests.archives.makers import (
    NOW,
    as_lines,
    broken,
    chat,
    exchanges,
    gzipped,
    node,
    read,
    said,
    talk,
    texts,
    zipped,
)

MEBIBYTE = 2**20
CHATGPT = json.dumps(
    [
        chat(
            node("r", None),
            node("u", "r", "user", "Wie heißt das? 你好 👋"),
            node("a", "u", "assistant", "So."),
            node("b", "u", "assistant", "{}", recipient="python", metadata={"model_slug": "gpt-5"}),
            node("t", "b", "tool", "1", name="python"),
        )
    ]
    * 2,
    ensure_ascii=False,
).encode()
CLAUDE = json.dumps([talk(said("1", "human", "q"), said("2", "assistant", "a"))]).encode()
COMPLETIONS = as_lines(
    [{"messages": [{"role": "user", "content": "q"}, {"role": "assistant", "content": "a"}], "created": 1_700_000_000}]
    * 3
)
GOOD = {"chatgpt": CHATGPT, "claude": CLAUDE, "completions": COMPLETIONS}
scratch = settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])


def database(path: Path) -> Path:
    file = File(path, NEWEST)
    file.add("responses", id="r", model="m", prompt="q", response="a")
    file.message("u", None, "user", {"text": "q"})
    file.message("v", "u", "assistant", {"text": "a"})
    file.add("turns", id="t", thread_id="x", parent_message_hash="u", tip_message_hash="v", model="m")
    return file.closed()


def assert_sound(records: list[Record]) -> None:
    """What a store relies on: columns without NUL, bodies of one line, a conversation and a parent before a child."""
    known: set[str | None] = {None}
    for record in records:
        if isinstance(record.value, ArchivedConversation):
            known.add(record.value.id)
        elif isinstance(record.value, Archived):
            found = record.value
            assert found.conversation_id in known and found.parent_id in known
            known.add(found.id)
            assert found.created_at.tzinfo and found.completed_at >= found.created_at
            for kept in (*found.input, *found.output):
                assert b"\n" not in kept.item.body and json.loads(kept.item.body.decode())
            columns = (found.model, found.requested_model, found.upstream_response_id)
            assert all("\0" not in column for column in columns if column)


class TestReading:
    @pytest.mark.parametrize(("format", "body"), GOOD.items())
    def test_each_format_is_found_and_read(self, tmp_path, format, body):
        (tmp_path / "a").write_bytes(body)
        with formats.reading(tmp_path / "a", project_id="acme", now=NOW, open_rows=llm_database.opened) as reading:
            assert (reading.format, reading.total) == (format, len(body))
            records = list(reading.records)
            assert reading.done() == len(body)
        assert exchanges(records) and not broken(records)
        assert_sound(records)

    def test_a_database_is_read_and_counted_by_its_answers(self, tmp_path):
        path = database(tmp_path / "logs.db")
        with formats.reading(path, project_id="acme", now=NOW, open_rows=llm_database.opened) as reading:
            assert (reading.format, reading.total) == ("llm", 2)
            records = list(reading.records)
            assert reading.done() == len(records) == 4
        assert_sound(records)

    @pytest.mark.parametrize(("format", "body"), GOOD.items())
    def test_a_packed_file_says_the_same(self, tmp_path, format, body):
        (tmp_path / "a").write_bytes(body)
        assert read(gzipped(tmp_path / "a.gz", body)) == read(tmp_path / "a")

    def test_all_lists_of_a_zip_are_read_and_places_name_them(self, tmp_path):
        second = json.dumps([chat(node("u", None, "user", "2"), conversation_id="two"), {}]).encode()
        path = zipped(tmp_path / "a.zip", x__conversations_000_json=CHATGPT, x__conversations_001_json=second)
        found = read(path)
        assert "2" in [text for each in exchanges(found) for text in texts(each.input)]
        assert found[-1].place == "member x/conversations_001.json, conversation 2"
        assert broken(found)[0].reason == "no_mapping"

    def test_ids_are_of_a_project(self, tmp_path):
        (tmp_path / "a").write_bytes(CLAUDE)

        def ids(project_id: str) -> list[str]:
            with formats.reading(
                tmp_path / "a", project_id=project_id, now=NOW, open_rows=llm_database.opened
            ) as reading:
                return [each.value.id for each in reading.records]

        assert ids("acme") == ids("acme") != ids("globex")

    def test_a_wrong_format_is_refused(self, tmp_path):
        (tmp_path / "a").write_bytes(CLAUDE)
        with pytest.raises(InvalidRequest, match="not of the format 'chatgpt' but of 'claude'"):
            read(tmp_path / "a", "chatgpt")

    def test_a_database_of_something_else_is_refused(self, tmp_path):
        path = File(tmp_path / "a.db", {"bookmarks": "id"}).closed()
        with pytest.raises(Unreadable, match="no table of responses"):
            read(path)

    def test_a_database_that_is_packed_is_refused(self, tmp_path):
        body = database(tmp_path / "logs.db").read_bytes()
        with pytest.raises(Unreadable, match="neither JSON nor"):
            read(gzipped(tmp_path / "logs.db.gz", body))


class TestMemory:
    def test_one_line_of_two_hundred_megabytes(self, tmp_path):
        path = tmp_path / "a.jsonl"
        with path.open("wb") as file:
            file.write(b'{"messages":[{"role":"user","content":"')
            for _ in range(200):
                file.write(b"x" * MEBIBYTE)
            file.write(b'"}]}\n')
        self._stays_small(path, "longer than")

    def test_one_conversation_of_two_hundred_megabytes(self, tmp_path):
        path = tmp_path / "a.json"
        with path.open("wb") as file:
            file.write(b'[{"mapping":{},"x":"')
            for _ in range(200):
                file.write(b"x" * MEBIBYTE)
            file.write(b'"}]')
        self._stays_small(path, "conversation 1: it is longer than")

    def test_a_bomb_in_gzip(self, tmp_path):
        path = tmp_path / "a.gz"
        with gzip.open(path, "wb") as file:
            file.write(b"[" + CHATGPT[1:-1] + b",")
            for _ in range(300):
                file.write(b" " * MEBIBYTE)
        self._stays_small(path, "times its size")

    def test_many_conversations(self, tmp_path):
        path = tmp_path / "a.json"
        with path.open("wb") as file:
            file.write(b"[")
            for number in range(2000):
                body = json.dumps(chat(node("u", None, "user", "x" * 10_000), conversation_id=str(number)))
                file.write((", " * (number > 0) + body).encode())
            file.write(b"]")
        tracemalloc.start()
        try:
            with formats.reading(path, project_id="acme", now=NOW, open_rows=llm_database.opened) as reading:
                assert sum(1 for _ in reading.records) == 4000
            assert tracemalloc.get_traced_memory()[1] < 12 * MEBIBYTE
        finally:
            tracemalloc.stop()

    def _stays_small(self, path: Path, reason: str) -> None:
        tracemalloc.start()
        try:
            with pytest.raises(Unreadable, match=reason):
                read(path, limits=Limits(longest=8 * MEBIBYTE))
            assert tracemalloc.get_traced_memory()[1] < 48 * MEBIBYTE
        finally:
            tracemalloc.stop()


def mutated(body: bytes, noise: random.Random) -> bytes:
    """The body with something done to it: bytes changed, cut out, put in, or a piece told twice."""
    changed = bytearray(body)
    for _ in range(noise.choice([1, 1, 3, 10])):
        at = noise.randrange(len(changed) + 1)
        kind = noise.randrange(5)
        if kind == 0:
            changed[at : at + 1] = bytes([noise.randrange(256)])
        elif kind == 1:
            del changed[at : at + noise.randrange(30)]
        elif kind == 2:
            changed[at:at] = noise.choice([b"{", b"[", b"]", b"}", b",", b'"', b"null", b"1e999", b"\xff", b"\0", b"-"])
        elif kind == 3:
            changed[at:at] = changed[at : at + 50]
        else:
            changed = changed[:at] if noise.random() < 0.2 else changed
    return bytes(changed)


def retyped(value: object, noise: random.Random) -> object:
    """JSON of the same outline in which some values are something else."""
    if noise.random() < 0.06:
        return noise.choice([None, True, 0, -1, 1.5, 10**30, "", "x", "\0\ud83d", [], {}, [None], {"a": 1}, [[]]])
    if isinstance(value, dict):
        return {key: retyped(each, noise) for key, each in value.items()}
    return [retyped(each, noise) for each in value] if isinstance(value, list) else value


class TestAnything:
    @scratch
    @given(body=st.binary(max_size=300), head=st.sampled_from([b"", b"[", b"{", b"\x1f\x8b", b"PK\x03\x04", b'[{"a":']))
    def test_random_bytes_are_refused_or_hold_nothing(self, tmp_path, body, head):
        (tmp_path / "a").write_bytes(head + body)
        for wanted in (None, *GOOD, "llm"):
            try:
                assert not exchanges(read(tmp_path / "a", wanted))
            except Unreadable:
                continue

    @pytest.mark.parametrize("format", GOOD)
    def test_a_good_file_with_something_done_to_it_is_read_or_refused(self, tmp_path, format):
        noise = random.Random(f"bytes of {format}")
        for _ in range(700):
            (tmp_path / "a").write_bytes(mutated(GOOD[format], noise))
            try:
                assert_sound(read(tmp_path / "a", noise.choice([None, format])))
            except Unreadable:
                continue

    @pytest.mark.parametrize("format", GOOD)
    def test_values_of_other_types_are_read_or_broken(self, tmp_path, format):
        noise, counts = random.Random(f"types of {format}"), [0, 0]
        body = GOOD[format]
        whole = [json.loads(each) for each in body.splitlines()] if format == "completions" else json.loads(body)
        for _ in range(1500):
            changed = [{name: retyped(value, noise) for name, value in each.items()} for each in whole]
            (tmp_path / "a").write_bytes(as_lines(changed) if format == "completions" else json.dumps(changed).encode())
            records = read(tmp_path / "a", format)
            assert_sound(records)
            counts[0] += len(exchanges(records))
            counts[1] += len(broken(records))
        assert min(counts) > 50

    def test_a_database_with_values_of_other_types_is_read_or_broken(self, tmp_path):
        noise = random.Random(11)
        whole = database(tmp_path / "logs.db")
        odd = [None, 0, -1, 1.5, "", "x", "\0", b"\xff\0", "{}", "[1]", '{"a":{}}', 2**62]
        for number in range(300):
            path = tmp_path / f"{number}.db"
            path.write_bytes(whole.read_bytes())
            file = File(path, {})
            for table in NEWEST:
                for _, name, *_ in file.connection.execute(f"PRAGMA table_info({table})").fetchall():
                    if noise.random() < 0.15 and name != "id":
                        file.connection.execute(f'UPDATE OR IGNORE {table} SET "{name}" = ?', (noise.choice(odd),))
            try:
                assert_sound(read(file.closed()))
            except Unreadable:
                continue
            finally:
                path.unlink()

    def test_every_cut_of_a_good_file_is_refused(self, tmp_path):
        for wanted, cut in itertools.product(("chatgpt", "claude"), range(1, 200, 7)):
            (tmp_path / "a").write_bytes(GOOD[wanted][:-cut])
            with pytest.raises(Unreadable):
                read(tmp_path / "a", wanted)
