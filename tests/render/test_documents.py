"""What holds for every form that is written piece by piece: however much is said, none of it is kept."""

import tracemalloc
from collections.abc import Callable

import pytest

from convstore.domain.archive import Document
from convstore.render.archive_page import Page
from convstore.render.markdown import Markdown
from convstore.render.parquet import Parquet
from convstore.render.table import Csv
from tests.render.archives import conversation, exchange

MEGABYTE = 2**20


@pytest.mark.parametrize("form", [Csv, Markdown, Page, Parquet])
def test_what_was_said_is_handed_over_and_forgotten(form: Callable[[], Document]) -> None:
    document = form()
    document.begin()
    document.conversation(conversation("Long"), "Long", ())
    document.exchange(exchange("x" * MEGABYTE, "y" * MEGABYTE))
    tracemalloc.start()
    tip = None
    for _ in range(30):
        tip = exchange("x" * MEGABYTE, "y" * MEGABYTE, parent=tip)
        document.exchange(tip)
    kept, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    # The last exchange is the test's own: 30 of them would be 60 megabytes and more.
    assert kept < 4 * MEGABYTE
    document.conversation_end()
    document.end()


@pytest.mark.parametrize("form", [Csv, Markdown, Page, Parquet])
def test_a_form_says_how_it_wants_exchanges(form: Callable[[], Document]) -> None:
    assert form().in_lanes is (form is Markdown)
