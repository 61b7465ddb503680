"""The bodies and query parameters of the routes that make, name and move branches."""

from typing import Any

from marshmallow import Schema

from convstore.domain.edit import Edit
from convstore.domain.jsontext import Raw
from convstore.errors import UnsupportedParameter
from convstore.schemas import problems
from convstore.schemas.bodies import Open, check, read
from convstore.schemas.fields import QueryInteger, QueryText, Text, Word
from convstore.schemas.responses import CreateResponse, check_background, items_of

# What a path of ours can hold, and no id of ours looks like.
NAME = r"(?!resp_)[^\W_][\w.-]{0,99}"
_NAME = {"description": "Letters, digits, '.', '_' and '-', 100 at most."}


class BranchResponse(CreateResponse):
    """`POST /v1/responses/{id}/branch`: what is to be different; null leaves a member out."""

    carry = Word(
        "none", "inputs", metadata={"description": "inputs: the questions that came after are asked again, too."}
    )
    until = Text(longest=255, metadata={"description": "The last of them: an exchange or a branch."})
    name = Text(pattern=NAME, metadata={"description": "A name for the new branch."})


class CreateBranch(Open):
    """`POST /v1/branches`."""

    name = Text(pattern=NAME, metadata=_NAME)
    tip = Text(longest=255, metadata={"description": "The exchange that it points at, or a branch that does."})


class ChangeBranch(Open):
    """`POST /v1/branches/{name}`."""

    tip = Text(longest=255, metadata={"description": "Where it is to point."})
    expected = Text(longest=255, metadata={"description": "Move it only if it points here."})
    name = Text(pattern=NAME, metadata={"description": "Another name for it."})


class ListBranches(Schema):
    """Query parameters of `GET /v1/branches`."""

    limit = QueryInteger(least=1, most=1_000, metadata={"description": "Branches a page, 20 unless told."})
    after = QueryText(longest=255, metadata={"description": "The name of the page before's last branch."})
    before = QueryText(longest=255, metadata={"description": "The name of the page after's first branch."})
    conversation = QueryText(longest=255, metadata={"description": "Only those of this conversation."})


_OWN = ("carry", "until", "name")
# An edit stands where its exchange stood.
_FIXED = ("previous_response_id", "conversation")


def edit(body: bytes) -> Edit:
    """What is to be different. Raises InvalidRequest, UnsupportedParameter."""
    members = read(body or b"{}", split=("input",))
    refuse(members, _FIXED, "a branch: it continues what the original continued")
    check(BranchResponse, members)
    check_background(members)
    own = {name: members.pop(name).value for name in _OWN if name in members}
    given = members.pop("input", None)
    if given is not None and given.value in (None, "", []):
        given = None
    if members.get("model") is not None and members["model"].value is None:
        raise problems.missing("model")
    items = items_of(given) if given is not None else None
    return Edit(members, items, own.get("carry") == "inputs", own.get("until"), own.get("name"))


def new_branch(body: bytes) -> tuple[str, str]:
    """The name and the tip of a new branch. Raises InvalidRequest."""
    given = _given(CreateBranch, body)
    for name in ("name", "tip"):
        if given.get(name) is None:
            raise problems.missing(name)
    return given["name"], given["tip"]


def changed_branch(body: bytes) -> dict[str, Any]:
    """tip, expected, name: what is to change. Raises InvalidRequest."""
    given = {name: value for name, value in _given(ChangeBranch, body).items() if value is not None}
    if "tip" not in given and "name" not in given:
        raise problems.missing("tip")
    return given


def refuse(members: dict[str, Raw], names: tuple[str, ...], what: str) -> None:
    """Raises UnsupportedParameter when one of these is given."""
    for name in names:
        if name in members and members[name].value is not None:
            raise UnsupportedParameter(f"Unsupported parameter: '{name}' cannot be given to {what}.", param=name)
        members.pop(name, None)


def _given(schema: type[Schema], body: bytes) -> dict[str, Any]:
    members = read(body)
    check(schema, members)
    return {name: members[name].value for name in schema._declared_fields if name in members}
