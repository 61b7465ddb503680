"""Characters that act instead of being read: terminals obey them, bidirectional ones turn what follows around."""

import re

# Controls but for tab and newline, what turns lines around or is not seen, tags, and halves of surrogate pairs.
_ACTING = re.compile(
    "[\x00-\x08\x0b-\x1f\x7f-\x9f\u00ad\u061c\u200b\u200e\u200f\u2028-\u202e\u2060-\u206f\ufeff\ufff9-\ufffb"
    "\ud800-\udfff\U000e0000-\U000e007f]"
)


def visible(text: str) -> str:
    """The text with each acting character shown as what it is: ESC as ␛, others by their number."""
    return _ACTING.sub(lambda found: _shown(ord(found[0])), text)


def on_a_line(text: str) -> str:
    """The same for what stands on one line: names and the like, which may hold newlines all the same."""
    return visible(text).replace("\n", "␊").replace("\t", "␉")


def _shown(code: int) -> str:
    if code < 0x20:
        return chr(0x2400 + code)
    return "␡" if code == 0x7F else f"⟨U+{code:04X}⟩"
