"""Connections under gevent: used again when nothing stands behind an answer, and never otherwise."""

import base64
import json
import subprocess
import sys
from functools import cache
from typing import Any

import pytest

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 5\r\n\r\nHello"
CHUNKED = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nHello\r\n0\r\n\r\n"
INTERIM = b"HTTP/1.1 100 Continue\r\n\r\n"
WRONG = ANSWER.replace(b"Hello", b"Wrong")

CLEAN = {
    "in one read": [ANSWER],
    "in three": [ANSWER[:20], ANSWER[20:-2], ANSWER[-2:]],
    "chunked": [CHUNKED],
    "byte by byte": [bytes([byte]) for byte in CHUNKED],
    "after an interim answer": [INTERIM + ANSWER],
    "after an interim answer of its own": [INTERIM, ANSWER],
}
FOLLOWED = {
    "another answer": [ANSWER + WRONG],
    "half of another": [ANSWER + WRONG[:30]],
    "another chunked one": [CHUNKED + CHUNKED],
    "garbage": [ANSWER + b"xyz"],
    "a line break": [CHUNKED + b"\r\n\r\nxyz"],
}


@cache
def outcome() -> dict[str, dict[str, Any]]:
    """All cases in one process: importing takes longer than they do."""
    asked = {name: [base64.b64encode(part).decode() for part in parts] for name, parts in {**CLEAN, **FOLLOWED}.items()}
    command = [sys.executable, "-m", "tests.upstream.connections_under_gevent"]
    done = subprocess.run(command, input=json.dumps(asked), capture_output=True, text=True, timeout=60, check=True)
    return dict(json.loads(done.stdout))


@pytest.mark.parametrize("name", CLEAN)
def test_a_connection_is_used_again(name: str) -> None:
    assert outcome()[name] == {"bodies": ["Hello"] * 3, "connections": 1}


@pytest.mark.parametrize("name", FOLLOWED)
def test_not_when_more_than_the_answer_came(name: str) -> None:
    assert outcome()[name] == {"bodies": ["Hello"] * 3, "connections": 3}
