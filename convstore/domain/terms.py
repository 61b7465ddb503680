"""What an exchange is found by: the words of its texts, and its figures and names as terms of the same index.

Words are runs of letters and digits, in one case and one form (NFKC). Chinese, Japanese, Korean and the scripts of
South-East Asia write without spaces: a run of them is cut into overlapping pairs, and its last character, so that a
pair is a term, a character the beginning of one, and a longer run some pairs. Both sides are cut by the same
function, here, so it does not matter which engine looks them up.

A term that is no word begins with an underscore, which no word has: nothing that anybody writes can be taken for it.
"""

import hashlib
import re
import unicodedata
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from functools import lru_cache

# Han, kana, bopomofo, hangul; Thai, Lao, Burmese, Khmer. With the marks that go on a run of them: 々〆〇ー.
DENSE = (
    "\u3005-\u3007\u3040-\u30ff\u3100-\u312f\u3130-\u318f\u31a0-\u31bf\u31f0-\u31ff\u3400-\u4dbf\u4e00-\u9fff"
    "\uac00-\ud7a3\uf900-\ufaff\U0001aff0-\U0001b16f\U00020000-\U0003ffff"
    "\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff"
)
# Of ASCII, what is a letter or a digit, in lower case; all else parts words.
_PLAIN = bytes(ord(chr(code).lower()) if chr(code).isalnum() and code < 128 else 32 for code in range(256))
_RUNS = re.compile(f"([{DENSE}]+)|([^\\W_{DENSE}]+)")

# Signs of East Asian width, which part words as any do. Without them most texts are in the form already, and to bring
# one into it takes longer than all the rest.
_WIDE = "，！？：；（）～"

# Of each side of an exchange so much is looked at; a document of 200,000 characters is a book.
MOST_CHARACTERS = 200_000
# A longer word (base64, a hash) is found by its beginning.
LONGEST = 64
# PostgreSQL takes a megabyte of terms for a row, and an exchange has two sides.
MOST_BYTES = 400_000


@dataclass(frozen=True, slots=True)
class Query:
    """What a text asks for: all of these words, words that begin so, and these runs in one piece.

    The pairs of a run are among the words: that a text has them all does not yet say that it has the run.
    """

    words: tuple[str, ...]
    beginnings: tuple[str, ...] = ()
    runs: tuple[str, ...] = ()

    @property
    def parts(self) -> tuple[str, ...]:
        """What can be pointed at in a text: words and runs whole."""
        of_runs = {word for run in self.runs for word in _pairs(run)}
        return (*(word for word in self.words if word not in of_runs), *self.beginnings, *self.runs)


def words(texts: Iterable[str]) -> list[str]:
    """The distinct words of some texts, in order."""
    found: list[str] = []
    left = MOST_CHARACTERS
    for text in texts:
        if left <= 0:
            break
        found += _words(text if len(text) <= left else text[:left])
        left -= len(text)
    return _bounded(list(dict.fromkeys(found)))


def query(text: str) -> Query:
    """What to look for. Everything in it is text: quotes, signs and operators only part words."""
    found: dict[str, None] = {}
    beginnings: dict[str, None] = {}
    runs: dict[str, None] = {}
    for dense, word in _RUNS.findall(normal(text)):
        if not dense:
            found[word[:LONGEST]] = None
        elif len(dense) == 1:
            beginnings[dense] = None
        else:
            found.update(dict.fromkeys(_pairs(dense)[:-1]))
            if len(dense) > 2:
                runs[dense] = None
    return Query(tuple(found), tuple(beginnings), tuple(runs))


def normal(text: str) -> str:
    """The form in which texts are compared."""
    if text.isascii():
        return text.lower()
    for sign in _WIDE:
        text = text.replace(sign, " ")
    return (text if unicodedata.is_normalized("NFKC", text) else unicodedata.normalize("NFKC", text)).casefold()


def _words(text: str) -> list[str]:
    if text.isascii():
        found = text.encode().translate(_PLAIN).decode().split()
        return [word[:LONGEST] for word in found] if found and max(map(len, found)) > LONGEST else found
    cut: list[str] = []
    for dense, word in _RUNS.findall(normal(text)):
        if dense:
            cut += _pairs(dense)
        else:
            cut.append(word[:LONGEST])
    return cut


def _pairs(run: str) -> list[str]:
    """The overlapping pairs of a run, and its last character."""
    return [run[at : at + 2] for at in range(len(run))]


def _bounded(found: list[str]) -> list[str]:
    # A character has four bytes at most.
    if 4 * sum(map(len, found)) <= MOST_BYTES:
        return found
    kept, left = [], MOST_BYTES
    for word in found:
        left -= len(word.encode())
        if left < 0:
            break
        kept.append(word)
    return kept


# -- terms that are no words ----------------------------------------------------------------------------------


@lru_cache(maxsize=4096)
def exact(kind: str, value: str) -> str:
    """The term of an exchange of which *kind* (a letter or two) is exactly this."""
    digest = hashlib.blake2b(value.encode("utf-8", "surrogatepass"), digest_size=8, person=kind.encode())
    return f"_{digest.hexdigest()}"


def size(kind: str, figure: int) -> str:
    """The term of a figure's order of magnitude: its number of binary digits."""
    return f"_{kind}{max(figure, 0).bit_length()}"


def sizes(kind: str, least: int | None, most: int | None) -> tuple[str, ...]:
    """The orders of magnitude from one figure to another: one of them is that of any figure in between."""
    first = max(least or 0, 0).bit_length()
    last = 63 if most is None else most.bit_length()
    return tuple(f"_{kind}{digits}" for digits in range(first, last + 1))


@lru_cache(maxsize=64)
def _dates(year: int, month: int, day: int) -> tuple[str, ...]:
    return f"_y{year}", f"_m{year}x{month}", f"_d{year}x{month}x{day}"


def dates(moment: datetime) -> tuple[str, ...]:
    """The terms of a moment: its year, its month, its day."""
    return _dates(moment.year, moment.month, moment.day)


def between(since: datetime, until: datetime) -> tuple[str, ...]:
    """Days, months or years of which one is that of any moment in between. until: not before *since*."""
    days = (until - since).days + 2
    if days <= 62:
        return tuple(dict.fromkeys(_day(since + timedelta(days=n), until) for n in range(days)))
    if days <= 62 * 30:
        months = range(since.year * 12 + since.month - 1, until.year * 12 + until.month)
        return tuple(f"_m{month // 12}x{month % 12 + 1}" for month in months)
    return tuple(f"_y{year}" for year in range(since.year, until.year + 1))


def _day(moment: datetime, last: datetime) -> str:
    return dates(min(moment, last).astimezone(UTC))[2]


Groups = Sequence[Sequence[str]]
