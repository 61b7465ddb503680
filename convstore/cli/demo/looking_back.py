"""What the demo finds of its conversations again, and how it proves that they are as they were."""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING
from urllib.parse import quote

from rich.console import Console
from rich.text import Text

from convstore.cli.audit import PAGE, pages
from convstore.cli.demo.growing import Json, get, say
from convstore.cli.demo.talk import Turn
from convstore.cli.search import lines

if TYPE_CHECKING:
    from openai import OpenAI

MOST = 3


def find(console: Console, client: "OpenAI", turns: Sequence[Turn]) -> None:
    """Search for a word of a conversation, and print the newest answers that have it. Raises OpenAIError."""
    word = max(re.findall(r"\w+", turns[0].question), key=len)
    say(console, f"Searching all of it for {word!r}:")
    for found in get(client, f"/responses?q={quote(word)}&limit={MOST}")["data"]:
        for line in lines(found):
            line.truncate(console.width, overflow="ellipsis")
            console.print(line, soft_wrap=True)


def prove(console: Console, client: "OpenAI") -> None:
    """Check the audit log and every exchange that it commits to, and print the outcome. Raises OpenAIError."""
    say(console, "Checking the audit log, and every exchange against it:")
    checked = list(pages(lambda after: _page(client, after)))
    entries, exchanges = (sum(page[name] for page in checked) for name in ("entries", "exchanges"))
    problems = [each for page in checked for each in page["problems"]]
    outcome = f"{len(problems)} problems: convstore audit verify names them" if problems else "nothing was changed"
    console.print(Text(f"{entries} entries, {exchanges} contents of exchanges: {outcome}."), soft_wrap=True)


def _page(client: "OpenAI", after: str | None) -> Json:
    return get(client, f"/audit/verify?limit={PAGE}" + (f"&after={after}" if after else ""))
