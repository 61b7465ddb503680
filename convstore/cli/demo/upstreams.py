"""Which upstream the demo talks to: the real model, or the echo when there is no model to be had."""

import importlib.util
from dataclasses import dataclass
from pathlib import Path

import click

from convstore.cli.demo import weights
from convstore.cli.demo.processes import Child, Children

PACKAGE = "convstore.cli.demo"


@dataclass(frozen=True)
class Upstream:
    """A server that speaks Chat Completions: what it is, its model's name, and how Python runs it."""

    title: str
    model: str
    arguments: tuple[str, ...]

    def start(self, children: Children, port: int) -> Child:
        """Start it on a loopback port."""
        return children.start("upstream", *self.arguments, str(port))


ECHO = Upstream("echo (no model: every answer says the question back)", "echo", ("-m", f"{PACKAGE}.echo"))


def choose(echo: bool) -> Upstream:
    """The real model, fetched if need be. The echo when asked for, or (it is said) for want of a model."""
    if echo:
        return ECHO
    try:
        gguf = fetch()
    except weights.ModelUnavailable as error:
        click.echo(f"No model ({error.message}): an echo answers in its place.")
        return ECHO
    title = f"{weights.MODEL_NAME} (a real model, on this machine)"
    return Upstream(title, weights.MODEL_NAME, ("-m", f"{PACKAGE}.local_model", str(gguf)))


def fetch() -> Path:
    """The model's file, with a line of progress if it has to be fetched. Raises ModelUnavailable."""
    if importlib.util.find_spec("xllamacpp") is None:
        raise weights.ModelUnavailable("xllamacpp is missing: pip install 'convstore[local]'")
    if not weights.cached_path().exists():
        click.echo(f"Fetching {weights.FILE_NAME} ({weights.SIZE_MB} MB, once) into {weights.cached_path().parent}")
    return weights.get()
