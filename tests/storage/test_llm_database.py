"""Somebody else's SQLite file: what it says is read, and nothing of it is done."""

import random
import sqlite3

import pytest

from convstore.errors import Unreadable
from convstore.storage import llm_database
from tests.archives.llm_files import FIRST_RESPONSES, File

LONGEST = 2**20


@pytest.fixture
def file(tmp_path):
    return File(tmp_path / "logs.db", FIRST_RESPONSES)


def tables_of(path):
    with llm_database.opened(path, LONGEST) as database:
        return {name for name in ("responses", "conversations", "turns") if database.has(name)}


class TestRows:
    def test_columns_that_are_not_there_are_none(self, file):
        file.add("responses", id="b", model="m")
        file.add("responses", id="a", model="n")
        with llm_database.opened(file.closed(), LONGEST) as database:
            assert list(database.keys("responses", ("id", "nowhere"), ("id", "nowhere"))) == [
                ("a", None, 2),
                ("b", None, 1),
            ]
            assert database.row("responses", 1)["model"] == "m"
            assert [row["id"] for row in database.where("responses", "model", "n")] == ["a"]
            assert database.where("nowhere", "id", 1) == database.where("responses", "nowhere", 1) == []
            assert database.count("responses") == 2

    def test_a_name_of_a_column_is_no_statement(self, tmp_path):
        file = File(tmp_path / "a.db", {"responses": 'id, "x"" FROM nowhere; --"'})
        file.add("responses", id=1)
        with llm_database.opened(file.closed(), LONGEST) as database:
            assert database.row("responses", 1) == {"id": 1, 'x" FROM nowhere; --': None}

    def test_what_is_not_utf8_is_shown_as_such(self, file):
        file.connection.execute("INSERT INTO responses (id, prompt) VALUES ('a', CAST(x'61ff' AS TEXT))")
        with llm_database.opened(file.closed(), LONGEST) as database:
            assert database.row("responses", 1)["prompt"] == "a\ufffd"

    def test_a_value_of_more_than_the_longest_is_refused(self, file):
        file.add("responses", id="a", prompt="x" * (LONGEST + 1))
        with llm_database.opened(file.closed(), LONGEST) as database:
            with pytest.raises(Unreadable, match="too long"):
                database.row("responses", 1)

    def test_more_rows_than_belong_together_are_refused(self, file, monkeypatch):
        monkeypatch.setattr(llm_database, "MOST_ROWS", 3)
        for number in range(4):
            file.add("responses", id=str(number), model="m")
        with llm_database.opened(file.closed(), LONGEST) as database:
            with pytest.raises(Unreadable, match="too many rows"):
                database.where("responses", "model", "m")


class TestOpened:
    def test_the_file_stays_as_it_is(self, file, tmp_path):
        before = file.closed().read_bytes()
        assert tables_of(file.path) == {"responses", "conversations"}
        assert file.path.read_bytes() == before
        assert [each.name for each in tmp_path.iterdir()] == ["logs.db"]

    def test_nothing_can_be_written(self, file):
        with llm_database.opened(file.closed(), LONGEST) as database:
            for statement in ("DELETE FROM responses", "PRAGMA query_only = OFF", "ATTACH ':memory:' AS a"):
                with pytest.raises(sqlite3.DatabaseError, match=r"not authorized|prohibited"):
                    database._connection.execute(statement)

    def test_views_and_what_modules_make_up_are_no_tables(self, tmp_path):
        file = File(tmp_path / "a.db", {"turns": "id"})
        file.connection.execute("CREATE VIEW responses AS SELECT randomblob(1000000000) AS id")
        file.connection.execute("CREATE VIRTUAL TABLE conversations USING fts5(id)")
        assert tables_of(file.closed()) == {"turns"}

    def test_triggers_do_nothing(self, file):
        file.connection.execute("CREATE TRIGGER t AFTER UPDATE ON responses BEGIN SELECT load_extension('x'); END")
        assert "responses" in tables_of(file.closed())

    def test_columns_that_are_computed_are_not_read(self, tmp_path):
        file = File(tmp_path / "a.db", {"responses": "id"})
        file.add("responses", id=1)
        file.connection.execute("ALTER TABLE responses ADD COLUMN prompt AS (hex(zeroblob(900000000)))")
        with llm_database.opened(file.closed(), LONGEST) as database:
            assert database.row("responses", 1) == {"id": 1}

    def test_an_index_over_an_expression_is_not_computed(self, file):
        file.add("responses", id="a", model="m")
        file.connection.execute("CREATE INDEX i ON responses (hex(model))")
        with llm_database.opened(file.closed(), LONGEST) as database:
            assert len(database.where("responses", "model", "m")) == 1

    def test_a_query_that_comes_to_no_row_is_stopped(self, file, monkeypatch):
        monkeypatch.setattr(llm_database, "MOST_STEPS", 500_000)
        file.connection.executemany("INSERT INTO responses (id) VALUES (?)", ((str(n),) for n in range(400_000)))
        with llm_database.opened(file.closed(), LONGEST) as database:
            with pytest.raises(Unreadable, match="takes too long"):
                database.where("responses", "model", "m")

    @pytest.mark.parametrize("ending", ["-wal", "-journal"])
    def test_one_that_somebody_is_writing_to_is_refused(self, file, ending):
        path = file.closed()
        path.with_name(path.name + ending).write_bytes(b"x")
        with pytest.raises(Unreadable, match="somebody is writing to it"):
            tables_of(path)

    def test_a_name_with_marks_in_it_is_a_name(self, tmp_path):
        file = File(tmp_path / "a?mode=rwc&x #%41.db", FIRST_RESPONSES)
        assert tables_of(file.closed()) == {"responses", "conversations"}

    @pytest.mark.parametrize("size", [16, 100, 1000, 5000])
    def test_one_that_is_cut_is_refused(self, file, size):
        for number in range(500):
            file.add("responses", id=str(number), prompt="x" * 100)
        path = file.closed()
        path.write_bytes(path.read_bytes()[:size])
        with pytest.raises(Unreadable, match="cut off, damaged"):
            with llm_database.opened(path, LONGEST) as database:
                list(database.keys("responses", ("id",), ("prompt",)))

    def test_one_with_bytes_changed_is_read_or_refused(self, file):
        for number in range(50):
            file.add("responses", id=str(number), prompt="x" * 50)
        whole, noise = file.closed().read_bytes(), random.Random(3)
        for _ in range(300):
            changed = bytearray(whole)
            for _ in range(noise.choice([1, 5, 50])):
                changed[noise.randrange(len(changed))] = noise.randrange(256)
            file.path.write_bytes(changed)
            try:
                with llm_database.opened(file.path, LONGEST) as database:
                    for *_, rowid in database.keys("responses", ("id",), ("prompt",)):
                        database.row("responses", rowid)
            except (Unreadable, KeyError):
                continue
