"""Identifiers: how ours are made, packed and read.

    resp_019a…   an exchange (and its response)      conv_019a…   a conversation
    msg_019a…0002   an item: its exchange's 32 hex digits, then its position in the exchange, in hex
    job_019a…    a job                           replay_019a…    a replay
    price_019a…  a price of the price book       budget_019a…    a budget
    audit_019a…  an entry of the audit log       erasure_019a…   an erasure
    rule_019a…   a rule of how long things are kept   hold_019a…   what keeps things in spite of it
    export_019a… a file that leaves              import_019a… one that has come

The 32 hex digits are a UUIDv7: ordered by time (so that indexes grow at one end), with 74 random bits. The store
keeps the 16 bytes alone. An item's id says where the item is, so finding it needs no index of its own.
"""

import re

from uuid_utils import uuid7

EXCHANGE = "resp"
CONVERSATION = "conv"
PROJECT = "proj"
KEY = "key"
REQUEST = "req"
JOB = "job"
REPLAY = "replay"
PRICE = "price"
BUDGET = "budget"
ENTRY = "audit"
ERASURE = "erasure"
RULE = "rule"
HOLD = "hold"
EXPORT = "export"
IMPORT = "import"

# The prefix each item type's id has in the API (docs/api.md, items); anything else is `item_`.
ITEM_PREFIXES = {
    "message": "msg",
    "reasoning": "rs",
    "function_call": "fc",
    "function_call_output": "fc",
    "custom_tool_call": "ctc",
    "custom_tool_call_output": "ctco",
    "file_search_call": "fs",
    "web_search_call": "ws",
    "computer_call": "cu",
    "computer_call_output": "cu",
    "code_interpreter_call": "ci",
    "image_generation_call": "ig",
    "local_shell_call": "lsh",
    "local_shell_call_output": "lsh",
    "shell_call": "sh",
    "shell_call_output": "sho",
    "apply_patch_call": "apc",
    "apply_patch_call_output": "apco",
    "mcp_list_tools": "mcpl",
    "mcp_approval_request": "mcpr",
    "mcp_approval_response": "mcpa",
    "mcp_call": "mcp",
    "tool_search_call": "tsc",
    "tool_search_output": "tso",
    "compaction": "cmp",
}

_PACKED = re.compile(r"[0-9a-f]{32}\Z")
# Seven digits fit an integer column; no request has that many items.
_ITEM = re.compile(r"[a-z]+_([0-9a-f]{32})([0-9a-f]{4,7})\Z")


def new(prefix: str) -> str:
    """A fresh id, later than every one before it in this process."""
    return f"{prefix}_{uuid7().hex}"


def derived(prefix: str, milliseconds: int, digest: bytes) -> str:
    """The id that stands for ten bytes of a digest and a moment since 1970, in the form of a fresh one."""
    number = (milliseconds & (2**48 - 1)) << 80 | int.from_bytes(digest[:10], "big")
    # Version 7 and the variant, as RFC 9562 has them.
    number = number & ~(0xF << 76) | 7 << 76
    number = number & ~(3 << 62) | 2 << 62
    return f"{prefix}_{number:032x}"


def new_packed() -> bytes:
    """The 16 bytes of a fresh id."""
    return uuid7().bytes


def pack(prefix: str, text: str) -> bytes | None:
    """The 16 bytes of an id of ours; None for anything that cannot be one."""
    head, _, digits = text.partition("_")
    if head != prefix or not _PACKED.match(digits):
        return None
    return bytes.fromhex(digits)


def unpack(prefix: str, packed: bytes) -> str:
    """The text form of 16 stored bytes."""
    return f"{prefix}_{packed.hex()}"


def item(item_type: str, exchange_id: str, position: int) -> str:
    """The id of the item at *position* of an exchange, inputs first, counted from 0."""
    prefix = ITEM_PREFIXES.get(item_type, "item")
    return f"{prefix}_{exchange_id[len(EXCHANGE) + 1 :]}{position:04x}"


def item_home(item_id: str) -> tuple[str, int] | None:
    """Where an item of ours is, as (exchange id, position); None when the id is not one of ours."""
    found = _ITEM.match(item_id)
    return (f"{EXCHANGE}_{found[1]}", int(found[2], 16)) if found else None
