"""Three real conversations, held through convstore with the official `openai` client.

The questions are MT-Bench's (LICENSE-mt-bench.txt): a first one, and a follow-up that cannot be answered
without it. Nothing is remembered here but ids and times: what was said is read back from the store
afterwards.
"""

import json
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from openai import OpenAI
from openai.types.responses import Response

from convstore.errors import ConvstoreError

CONVERSATIONS = Path(__file__).with_name("conversations.jsonl")
INSTRUCTIONS = "Answer in one or two short sentences."
# Enough for an answer, few enough for a slow machine; a 135M model often talks on until it is stopped.
MAX_OUTPUT_TOKENS = 96


class AnswerFailed(ConvstoreError):
    """The upstream could not answer."""


@dataclass(frozen=True)
class Conversation:
    """A question and its follow-up, and how they are asked."""

    question_id: int
    category: str
    turns: tuple[str, str]
    streamed: bool = False
    # The follow-up is asked once at each: two of them fork the conversation.
    temperatures: tuple[float, ...] = (0.2,)

    @property
    def title(self) -> str:
        """What the tree's root says."""
        manner = "streamed" if self.streamed else "forked" if len(self.temperatures) > 1 else "in one piece"
        return f"MT-Bench question {self.question_id}, {self.category}, {manner}"


@dataclass(frozen=True)
class Timing:
    """What the client's clock saw of one response, in seconds."""

    total_s: float
    first_token_s: float | None = None


@dataclass(frozen=True)
class Turn:
    """One response as the store tells it, the question it answers, and the client's timing."""

    response: Response
    question: str
    timing: Timing


def conversations() -> list[Conversation]:
    """The three: one streamed, one plain, one whose follow-up is asked at two temperatures."""
    lines = [json.loads(line) for line in CONVERSATIONS.read_text().splitlines()]
    roots = [(each["question_id"], each["category"], tuple(each["turns"])) for each in lines]
    streamed, plain, forked = roots
    return [
        Conversation(*streamed, streamed=True),
        Conversation(*plain),
        Conversation(*forked, temperatures=(0.2, 1.2)),
    ]


def hold(client: OpenAI, model: str, conversation: Conversation) -> Iterator[tuple[str, Timing]]:
    """Ask every question of *conversation*; yields each response's id and timing as it is answered."""
    ask = ask_streamed if conversation.streamed else ask_whole
    first, follow_up = conversation.turns
    root_id, timing = ask(client, model, first, conversation.temperatures[0], None)
    yield root_id, timing
    for temperature in conversation.temperatures:
        yield ask(client, model, follow_up, temperature, root_id)


def ask_whole(
    client: OpenAI, model: str, question: str, temperature: float, previous_id: str | None
) -> tuple[str, Timing]:
    """One question, its answer in one piece."""
    responses = client.responses  # The client imports it at its first use: not the model's time.
    start = time.monotonic()
    response = responses.create(
        model=model,
        input=question,
        instructions=INSTRUCTIONS,
        max_output_tokens=MAX_OUTPUT_TOKENS,
        temperature=temperature,
        previous_response_id=previous_id,
    )
    return ended(response).id, Timing(time.monotonic() - start)


def ask_streamed(
    client: OpenAI, model: str, question: str, temperature: float, previous_id: str | None
) -> tuple[str, Timing]:
    """One question, its answer as a stream of events."""
    responses = client.responses
    start = time.monotonic()
    first_token_s: float | None = None
    last: Response | None = None
    with responses.create(
        model=model,
        input=question,
        instructions=INSTRUCTIONS,
        max_output_tokens=MAX_OUTPUT_TOKENS,
        temperature=temperature,
        previous_response_id=previous_id,
        stream=True,
    ) as events:
        for event in events:
            if event.type == "response.output_text.delta" and first_token_s is None:
                first_token_s = time.monotonic() - start
            if event.type in ("response.completed", "response.incomplete", "response.failed"):
                last = event.response
    if last is None:
        raise AnswerFailed("The stream ended without a terminal event.")
    return ended(last).id, Timing(time.monotonic() - start, first_token_s)


def ended(response: Response) -> Response:
    """The same response, if it is an answer. Raises AnswerFailed."""
    if response.status not in ("completed", "incomplete"):
        reason = response.error.message if response.error else "no reason given"
        raise AnswerFailed(f"{response.id} is {response.status}: {reason}")
    return response


def read_back(client: OpenAI, response_id: str, timing: Timing) -> Turn:
    """One response, and the question in front of it, in the store's own words."""
    newest = client.responses.input_items.list(response_id, order="desc", limit=1).data[0]
    texts = [part.text for part in getattr(newest, "content", ()) if part.type == "input_text"]
    return Turn(client.responses.retrieve(response_id), " ".join(texts), timing)
