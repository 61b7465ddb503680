"""Codes of currencies: those of ISO 4217, and what an installation calls its providers' own credits."""

from collections.abc import Collection
from functools import lru_cache


def is_known(code: str, own: Collection[str] = ()) -> bool:
    """Whether prices can be in it."""
    return code in own or code in _iso()


@lru_cache(maxsize=1)
def _iso() -> frozenset[str]:
    from iso4217 import Currency

    # Codes that begin with X are metals, funds and tests, but for three that countries share.
    shared = {"XAF", "XOF", "XPF"}
    return frozenset(each.code for each in Currency if not each.code.startswith("X") or each.code in shared)
