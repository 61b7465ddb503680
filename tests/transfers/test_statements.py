"""How many statements transfers take: those of a batch, not of each exchange in it."""

import json
from pathlib import Path

import pytest

from tests.storage.keeper import Plans, counted
from tests.transfers.stage import Store


def threads(path: Path, count: int, name: str) -> Path:
    """A file of threads that have nothing to do with each other."""
    said = [
        [{"role": "user", "content": f"Question {number} of {name}"}, {"role": "assistant", "content": "Answer"}]
        for number in range(count)
    ]
    path.write_text("".join(json.dumps({"messages": each}) + "\n" for each in said))
    return path


class TestBringingIn:
    def test_a_batch_takes_as_many_as_one_exchange(self, here: Store, tmp_path: Path) -> None:
        """But for one that looks for strands to link, which a log of so many entries has come to."""
        taken = []
        for count in (1, 80):
            file = threads(tmp_path / "threads.jsonl", count, f"{count}")
            with counted() as statements:
                assert here.bring(file).as_dict()["counts"]["exchanges"] == {"new": count}
            taken += statements
        assert taken[1] <= taken[0] + 5
        assert here.problems() == []


class TestExport:
    def test_small_conversations_are_read_together(self, here: Store, tmp_path: Path) -> None:
        here.bring(threads(tmp_path / "threads.jsonl", 150, "Acme"))
        here.bring(threads(tmp_path / "threads.jsonl", 20, "Globex"), project=here.globex)
        for kind, mark in (("jsonl", b'"object":"exchange"'), ("openai-chat", b'"role":"user"')):
            with counted() as statements:
                assert here.export(kind).count(mark) == 150
            assert statements[0] <= 20

    def test_no_page_goes_through_all_exchanges_of_a_project(self, here: Store, tmp_path: Path) -> None:
        if not here.deps.database.is_sqlite:
            pytest.skip("PostgreSQL plans by statistics, and goes through tables that are so small")
        here.bring(threads(tmp_path / "threads.jsonl", 250, "Acme"))
        for kind in ("jsonl", "markdown"):
            with Plans(here.deps.database) as plans:
                here.export(kind)
            assert [
                step for step in plans.walked() if step.startswith(("SCAN", "SEARCH e", "SEARCH h", "SEARCH b"))
            ] == []
