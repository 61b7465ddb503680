"""Exchanges as a table: a line each, and nothing in it that a spreadsheet would run."""

import csv
import io
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from convstore.domain.archive import Kept
from convstore.domain.items import REMOVAL, Item
from convstore.render.columns import COLUMNS
from convstore.render.table import Csv
from tests.domain.strategies import quick
from tests.domain.threads import call, item, said, user
from tests.render.archives import HOME, at, conversation, exchange, priced, settings, written


def rows(data: bytes) -> list[dict[str, str]]:
    return list(csv.DictReader(io.StringIO(data.decode(), newline="")))


def row(*given: Any, title: str | None = None, **more: Any) -> dict[str, str]:
    (found,) = rows(written(Csv(), conversation(title), [exchange(*given, **more)]))
    return found


class TestCsv:
    def test_the_columns_stand_there_without_exchanges(self) -> None:
        data = written(Csv(), conversation(), [])
        assert data.decode().split("\r\n") == [",".join(column.name for column in COLUMNS), ""]

    def test_a_whole_line(self) -> None:
        first = exchange("Hello?", cost="0.000000000001", id="resp_1")
        second = exchange(
            "What is the weather\nlike?",
            "It rains.\nAll day.",
            parent=first,
            id="resp_2",
            first_event_at=at(61),
            completed_at=at(61.5),
            model="gpt-5.4-2026-03-05",
            upstream="openai",
            user="alice",
            safety_identifier="a-1",
            api_key_id="key_1",
            usage=first.usage,
            entry=priced("1.50", "EUR", service_tier="flex", calls={"web_search": 2}),
            metadata=settings(label="x"),
            origin="branch",
            origin_id="resp_0",
        )
        data = written(Csv(), conversation("Weather"), [first, second])
        assert rows(data)[0]["cost"] == "0.000000000001"
        assert list(rows(data)[1].items()) == [
            ("id", "resp_2"),
            ("conversation_id", HOME),
            ("conversation_title", "Weather"),
            ("parent_id", "resp_1"),
            ("depth", "1"),
            ("status", "completed"),
            ("origin", "branch"),
            ("origin_id", "resp_0"),
            ("created_at", "2026-11-22T12:01:00.000000Z"),
            ("first_event_at", "2026-11-22T12:01:01.000000Z"),
            ("completed_at", "2026-11-22T12:01:01.500000Z"),
            ("latency_ms", "1500"),
            ("first_event_ms", "1000"),
            ("requested_model", "gpt-5.4"),
            ("model", "gpt-5.4-2026-03-05"),
            ("upstream", "openai"),
            ("user", "alice"),
            ("safety_identifier", "a-1"),
            ("key_id", "key_1"),
            ("service_tier", "flex"),
            ("input_tokens", "100"),
            ("cached_tokens", "20"),
            ("cache_write_tokens", "0"),
            ("output_tokens", "30"),
            ("reasoning_tokens", "10"),
            ("total_tokens", "130"),
            ("calls", '{"web_search":2}'),
            ("cost", "1.5"),
            ("currency", "EUR"),
            ("cost_basis", "reported"),
            ("cost_reason", ""),
            ("error_code", ""),
            ("incomplete_reason", ""),
            ("deleted", "false"),
            ("erased", "false"),
            ("metadata", '{"label":"x"}'),
            ("question", "What is the weather"),
            ("answer", "It rains."),
        ]

    def test_what_is_not_known_is_empty(self) -> None:
        found = row(cost="?")
        assert (found["cost"], found["cost_basis"], found["cost_reason"]) == ("", "unknown", "no_price")
        assert row()["total_tokens"] == ""

    def test_of_what_was_deleted_nothing_is_told_that_was_said(self) -> None:
        found = row("Secret?", "Secret!", metadata=settings(secret=1), deleted_at=at(1), cost="1")
        assert (found["deleted"], found["cost"]) == ("true", "1")
        assert "ecret" not in str(found)

    def test_nor_of_what_was_erased(self) -> None:
        found = row("[erased]", "[erased]", erased_at=at(1))
        assert (found["erased"], found["question"], found["answer"]) == ("true", "", "")

    def test_a_deleted_conversation_has_no_title(self) -> None:
        (found,) = rows(written(Csv(), conversation("Secret", deleted_at=at(1)), [exchange()]))
        assert found["conversation_title"] == ""

    def test_what_was_added_by_hand_took_no_time(self) -> None:
        assert row(origin="items", completed_at=at(5))["latency_ms"] == ""

    def test_a_removal_is_no_question(self) -> None:
        removal = Item(REMOVAL, b'{"type":"convstore.removal"}', call_id="0.0")
        assert row([removal], [])["question"] == ""

    def test_a_call_is_an_answer(self) -> None:
        assert row("Add!", [call("add", x=1)])["answer"] == "[function_call add]"

    def test_an_error_has_a_code(self) -> None:
        assert (
            row(status="failed", error={"code": "server_error", "message": "Secret."})["error_code"] == "server_error"
        )

    @pytest.mark.parametrize("body", [b"[]", b"nothing", b'"x"', b'{"content":7}'])
    def test_a_message_that_is_none_is_a_line_all_the_same(self, body: bytes) -> None:
        assert row([Item("message", body, role="user")], [])["question"] == ""

    @pytest.mark.parametrize("sign", ["=", "+", "-", "@", "\t", "\r"])
    def test_no_formula_gets_in(self, sign: str) -> None:
        said_so = f"{sign}HYPERLINK(A1)"
        found = row(said_so, said_so, user=said_so, requested_model=said_so, title=said_so)
        cells = [cell for cell in found.values() if "HYPERLINK" in cell]
        assert len(cells) >= 4
        assert not [cell for cell in cells if cell.startswith(sign)]

    @quick
    @given(st.text(), st.text())
    def test_whatever_was_said_it_is_one_line(self, text: str, name: str) -> None:
        items = [user(text), item("message", role="user", content=[{"type": "input_text", "text": text}])]
        found = exchange(items, [said(text)], user=name, metadata=settings(said=text))
        data = written(Csv(), conversation(text), [found, exchange()])
        assert next(each["id"] for each in rows(data)) == found.id
        assert len(rows(data)) == 2

    def test_an_item_nobody_knows_is_named(self) -> None:
        found = exchange("x", [], output=[Kept(Item("quantum_call", b'{"type":"quantum_call"}'))])
        (line,) = rows(written(Csv(), conversation(), [found]))
        assert line["answer"] == "[quantum_call]"
