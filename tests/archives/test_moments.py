"""Moments: every way in which exports write them, and what is none."""

from datetime import UTC, datetime

import pytest

from convstore.archives.moments import first, moment


class TestMoment:
    @pytest.mark.parametrize(
        ("given", "expected"),
        [
            (1_700_000_000, datetime(2023, 11, 14, 22, 13, 20, tzinfo=UTC)),
            (1_700_000_000.25, datetime(2023, 11, 14, 22, 13, 20, 250_000, tzinfo=UTC)),
            ("2026-01-02T03:04:05.678901Z", datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)),
            ("2026-01-02T03:04:05.678901234+00:00", datetime(2026, 1, 2, 3, 4, 5, 678_901, tzinfo=UTC)),
            ("2026-01-02T05:04:05+02:00", datetime(2026, 1, 2, 3, 4, 5, tzinfo=UTC)),
            ("2023-07-01 12:00:00.5", datetime(2023, 7, 1, 12, 0, 0, 500_000, tzinfo=UTC)),
        ],
    )
    def test_it_is_aware_and_in_utc(self, given, expected):
        assert moment(given) == expected
        assert moment(given).utcoffset().total_seconds() == 0

    @pytest.mark.parametrize(
        "given",
        [
            None,
            True,
            0,
            -1,
            1e18,
            10**30,
            float("nan"),
            float("inf"),
            "",
            "soon",
            "0001-01-01T00:00:00+14:00",
            [],
            "1" * 99,
        ],
    )
    def test_nonsense_is_none(self, given):
        assert moment(given) is None


class TestFirst:
    def test_it_is_the_first_that_is_one(self):
        assert first(None, "x", 1_700_000_000, 1) == moment(1_700_000_000)
        assert first(None, "x") is None
