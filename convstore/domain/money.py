"""Amounts of money: exact decimals, whole numbers in the store.

An amount has at most twelve places after the point: a price for a million tokens with six of them is exact for a
single token. The store keeps it as two whole numbers, the millionths and what is left in millionths of those: sums of
either fit 64 bits on every engine, however many rows they are of, and no engine takes them for floats.
"""

from decimal import ROUND_HALF_EVEN, Decimal

SMALLEST = Decimal("0.000000000001")
MILLION = 10**6
# More in one amount is a mistake, of whoever counted or of whoever named the price. The sum of thousands of such fits
# 64 bits as millionths.
LARGEST = Decimal(10**9)


def rounded(amount: Decimal) -> Decimal:
    """The amount with at most twelve places."""
    return amount.quantize(SMALLEST, ROUND_HALF_EVEN)


def split(amount: Decimal) -> tuple[int, int]:
    """(millionths, millionths of a millionth) of an amount that is not negative."""
    return divmod(int(amount.scaleb(12)), MILLION)


def joined(millionths: int, rest: int) -> Decimal:
    """The amount of sums of both."""
    return Decimal(whole(millionths, rest)).scaleb(-12)


def whole(millionths: int, rest: int) -> int:
    """The same in millionths of a millionth: what sums are counted in."""
    return int(millionths) * MILLION + int(rest)


def plain(amount: Decimal) -> str:
    """The amount in figures, without an exponent and without zeros at the end."""
    text = f"{amount:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text
