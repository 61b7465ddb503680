"""The engine is a worker's: processes that answer requests do without it."""

import subprocess
import sys

import pytest

LOADED = """
import sys

import pytest
import convstore.app, convstore.cli
print([name for name in ("huey", "convstore.services.engine") if name in sys.modules])
"""


def test_neither_the_service_nor_the_other_commands_load_it() -> None:
    done = subprocess.run([sys.executable, "-c", LOADED], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "[]"


EARLY = """
import os, signal, threading
from convstore.services.engine import Engine

engine = Engine(lambda: engine.stopping.wait() and None, print, threads=1, patience_s=1)
engine.listen()
os.kill(os.getpid(), signal.{signal})
engine.run()
print("left")
"""


@pytest.mark.parametrize("told", ["SIGTERM", "SIGINT", "SIGHUP"])
def test_who_is_told_to_stop_before_it_works_leaves_in_order(told: str) -> None:
    program = EARLY.format(signal=told)
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, timeout=60, check=True)
    assert done.stdout.strip() == "left"
