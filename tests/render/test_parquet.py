"""The same table as Parquet, read back by the reader that everybody has."""

import io
import sys
from decimal import Decimal

import pyarrow
import pyarrow.parquet
import pytest

from convstore.errors import FormatUnavailable
from convstore.render.columns import COLUMNS
from convstore.render.parquet import Parquet
from tests.domain.threads import NOON
from tests.render.archives import conversation, exchange, settings, written


def read(data: bytes) -> pyarrow.Table:
    return pyarrow.parquet.read_table(io.BytesIO(data))


class TestParquet:
    def test_each_column_has_its_type(self) -> None:
        table = read(written(Parquet(), conversation(), []))
        assert table.column_names == [column.name for column in COLUMNS]
        types = {name: str(table.schema.field(name).type) for name in ("created_at", "cost", "deleted", "depth", "id")}
        assert types == {
            "created_at": "timestamp[us, tz=UTC]",
            "cost": "decimal128(38, 18)",
            "deleted": "bool",
            "depth": "int64",
            "id": "string",
        }
        assert table.num_rows == 0

    @pytest.mark.parametrize("amount", ["0.000000000001", "1000000000", "999999999.999999999999", "1.5"])
    def test_amounts_are_exact(self, amount: str) -> None:
        (found,) = read(written(Parquet(), conversation("Weather"), [exchange(cost=amount)])).to_pylist()
        assert found["cost"] == Decimal(amount)

    def test_a_row(self) -> None:
        first = exchange("天气?", metadata=settings(a="b"))
        found = read(written(Parquet(), conversation("Weather"), [first, exchange(parent=first)])).to_pylist()
        assert [each["parent_id"] for each in found] == [None, first.id]
        assert (found[0]["question"], found[0]["metadata"]) == ("天气?", '{"a":"b"}')
        assert (found[0]["created_at"], found[0]["cost"], found[0]["deleted"]) == (NOON, None, False)

    def test_rows_go_out_in_groups(self) -> None:
        document = Parquet(group_rows=10)
        document.begin()
        document.conversation(conversation(), None, ())
        sizes = [len(document.exchange(exchange())) for _ in range(25)]
        assert [number for number, size in enumerate(sizes) if size] == [9, 19]

    def test_a_group_is_closed_when_its_texts_are_long(self) -> None:
        found = [exchange(metadata=settings(said="x" * 1000)) for _ in range(6)]
        data = written(Parquet(group_text=2000), conversation(), found)
        file = pyarrow.parquet.ParquetFile(io.BytesIO(data))
        assert [file.metadata.row_group(n).num_rows for n in range(file.num_row_groups)] == [2, 2, 2]

    def test_half_a_surrogate_pair_does_not_stop_it(self) -> None:
        (found,) = read(written(Parquet(), conversation(), [exchange(user="a\ud800")])).to_pylist()
        assert found["user"] == "a?"

    def test_without_the_package_it_says_what_to_install(self, monkeypatch: pytest.MonkeyPatch) -> None:
        monkeypatch.setitem(sys.modules, "pyarrow", None)
        with pytest.raises(FormatUnavailable, match=r"pip install 'convstore\[parquet\]'") as refused:
            Parquet()
        assert (refused.value.code, refused.value.param) == ("format_unavailable", "format")
