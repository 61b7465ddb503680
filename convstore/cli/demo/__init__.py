"""The demo: a real small model, convstore in front of it, three conversations. Start reading at command.py.

`demo` is the click command, `model` the click group beside it.
"""

from convstore.cli.demo.command import demo, model

__all__ = ["demo", "model"]
