"""The three ways an upstream is spoken to.

    responses            the whole rebuilt context, store:false: works with any gateway, survives its retention
    responses-stateful   the upstream's own previous_response_id when it is known, else the same as above
    chat                 Chat Completions, translated both ways

Stored items go into a request as the bytes they are stored in; only `chat` has to read them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Protocol

from convstore.config import UpstreamSettings
from convstore.domain import jsontext, reply, sse
from convstore.domain.jsontext import NotJson
from convstore.domain.reply import Reply
from convstore.domain.request import CreateRequest
from convstore.domain.stream import ResponseStream
from convstore.errors import UpstreamError, UpstreamGarbled, UpstreamRefused
from convstore.upstream import failures
from convstore.upstream.chat.names import Names
from convstore.upstream.chat.reply import response_of
from convstore.upstream.chat.request import chat_request, flavour_of, names_of
from convstore.upstream.chat.stream import ChatStream

# Members that convstore answers for itself, or says in its own words.
_REPLACED = frozenset(
    "input previous_response_id conversation store background background_options model prompt_cache_diagnostics".split()
)

_COUNTED = ("instructions", "tools", "tool_choice", "parallel_tool_calls", "reasoning", "text", "truncation")


@dataclass(frozen=True, slots=True)
class Question:
    """What is to be asked: the request, and everything the model is shown.

    bodies: the whole context. own: how many of them, at the end, the request itself brought. previous: the
    upstream's id of the parent, when the parent came from this upstream.
    """

    request: CreateRequest
    model: str
    bodies: Sequence[bytes]
    own: int
    previous: str | None = None


class Reader(Protocol):
    """Turns an upstream's event blocks into what our client gets."""

    def feed(self, blocks: Sequence[bytes]) -> bytes: ...

    def end(self) -> bytes: ...


class Dialect(Protocol):
    """One way of asking."""

    path: str

    def body(self, question: Question) -> bytes:
        """The request's bytes. Raises InvalidRequest for what cannot be said in this dialect."""

    def reply(self, body: bytes, question: Question) -> Reply:
        """The answer in a whole body. Raises UpstreamGarbled."""

    def reader(self, stream: ResponseStream, question: Question) -> Reader:
        """What reads a streamed answer into *stream*."""


class Responses:
    """The Responses API, stateless."""

    path = "/responses"

    def body(self, question: Question) -> bytes:
        return _responses_body(question, question.bodies, b'"store":false')

    def reply(self, body: bytes, question: Question) -> Reply:
        try:
            return reply.of_text(jsontext.decode(body))
        except NotJson as error:
            raise UpstreamGarbled(f"The model provider's answer could not be understood: {error.reason}.") from error

    def reader(self, stream: ResponseStream, question: Question) -> Reader:
        return _Passing(stream)


class StatefulResponses(Responses):
    """The same, leaving the history to the upstream where it has it."""

    def body(self, question: Question) -> bytes:
        # What the client wants stored nowhere is continued by nobody: the upstream need not keep it either.
        state = b'"store":true' if question.request.store else b'"store":false'
        if question.previous is None:
            return _responses_body(question, question.bodies, state)
        state += b',"previous_response_id":' + jsontext.dumps(question.previous)
        own = question.bodies[len(question.bodies) - question.own :]
        return _responses_body(question, own, state)


class Chat:
    """Chat Completions."""

    path = "/chat/completions"

    def __init__(self, settings: UpstreamSettings) -> None:
        self._url = settings.url
        self._secrets = (settings.key,) if settings.key else ()

    def body(self, question: Question) -> bytes:
        settings = {name: raw.value for name, raw in question.request.members.items()}
        settings["model"] = question.model
        context = [jsontext.loads(body) for body in question.bodies]
        flavour = flavour_of(self._url, question.model)
        return jsontext.dumps(chat_request(settings, context, stream=question.request.stream, flavour=flavour))

    def reply(self, body: bytes, question: Question) -> Reply:
        try:
            completion = jsontext.loads(body)
        except NotJson as error:
            raise UpstreamGarbled(f"The model provider's answer is not JSON: {error.reason}.") from error
        if not isinstance(completion, dict):
            raise UpstreamGarbled("The model provider's answer is not a JSON object.")
        try:
            said = response_of(completion, names=_names(question))
        except UpstreamRefused as error:
            raise failures.discreet(error, self._secrets) from error
        return reply.of_object({"id": completion.get("id"), **said})

    def reader(self, stream: ResponseStream, question: Question) -> Reader:
        return _Translating(stream, ChatStream(names=_names(question)))


@dataclass(slots=True)
class _Passing:
    """Responses events pass through."""

    stream: ResponseStream

    def feed(self, blocks: Sequence[bytes]) -> bytes:
        return self.stream.feed(blocks)

    def end(self) -> bytes:
        return b""


@dataclass(slots=True)
class _Translating:
    """Chat chunks become Responses events."""

    stream: ResponseStream
    chat: ChatStream
    broken: UpstreamError | None = None

    def feed(self, blocks: Sequence[bytes]) -> bytes:
        """Raises UpstreamGarbled: at once for the first block, else at the next call, after what came before it."""
        if self.broken is not None:
            raise self.broken
        out: list[bytes] = []
        for block in blocks:
            try:
                out.append(self._one(block))
            except UpstreamError as error:
                if not any(out):
                    raise
                self.broken = error
                break
        return b"".join(out)

    def _one(self, block: bytes) -> bytes:
        data = sse.data_of(block)
        if not data:
            return b""
        said = self.chat.feed(data)
        out = b""
        if not self.stream.begun and not any(event["type"] == "response.failed" for event in said):
            # The upstream is at work: the client may know at once, though nothing has been said yet.
            out = self.stream.begin()
        return out + b"".join(self.stream.push(event) for event in said)

    def end(self) -> bytes:
        return b"".join(self.stream.push(event) for event in self.chat.end())


def of(settings: UpstreamSettings) -> Dialect:
    """The dialect an upstream is configured for."""
    if settings.dialect == "chat":
        return Chat(settings)
    return StatefulResponses() if settings.dialect == "responses-stateful" else Responses()


def count_body(request: CreateRequest, model: str, bodies: Sequence[bytes]) -> bytes:
    """The request to an upstream's own token counter."""
    parts = {name: request.members[name].text for name in _COUNTED if name in request.members}
    head = jsontext.join({"model": jsontext.dumps(model).decode(), **parts}).encode()
    return b"".join((head[:-1], b',"input":[', b",".join(bodies), b"]}"))


def _responses_body(question: Question, bodies: Sequence[bytes], state: bytes) -> bytes:
    parts = [b'{"model":', jsontext.dumps(question.model)]
    for name, raw in question.request.members.items():
        if name not in _REPLACED:
            parts += (b",", jsontext.dumps(name), b":", raw.text.encode())
    return b"".join((*parts, b",", state, b',"input":[', b",".join(bodies), b"]}"))


def _names(question: Question) -> Names:
    return names_of({"tools": question.request.value("tools")})
