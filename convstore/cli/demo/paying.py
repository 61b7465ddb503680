"""What the demo says about money: the local model is free, so its conversations are priced as another's answers."""

from datetime import UTC, datetime
from typing import TYPE_CHECKING

from rich.console import Console

from convstore.cli.cost import report
from convstore.cli.demo.growing import get, post, say

if TYPE_CHECKING:
    from openai import OpenAI

ELSEWHERE = "gpt-5.4-mini"


def begin(client: "OpenAI", model_name: str) -> datetime:
    """Put it in the price book that the model costs nothing; the moment from which on it does. Raises OpenAIError."""
    if not get(client, f"/prices?model={model_name}")["data"]:
        post(client, "/prices", {"model": model_name, "currency": "USD", "input": 0, "output": 0})
    return datetime.now(UTC)


def show(console: Console, client: "OpenAI", since: datetime) -> None:
    """Print what the conversations from that moment on cost, and what they would have cost. Raises OpenAIError."""
    say(console, f"What that cost, as the local model is free, and what it would cost on {ELSEWHERE} today:")
    query = f"group_by=conversation&what_if={ELSEWHERE}&from={int(since.timestamp())}"
    for each in report(get(client, f"/costs?{query}")):
        console.print(each)
