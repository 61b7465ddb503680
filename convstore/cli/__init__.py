"""The command line: one module per noun, each a click command or group."""

import sys

import click

from convstore import __version__
from convstore.cli.audit import audit
from convstore.cli.branch import branch
from convstore.cli.bring import bring
from convstore.cli.budgets import budgets
from convstore.cli.cost import cost
from convstore.cli.db import db
from convstore.cli.demo import demo, model
from convstore.cli.diff import diff
from convstore.cli.doctor import doctor
from convstore.cli.erasures import erasures
from convstore.cli.export import export
from convstore.cli.holds import holds
from convstore.cli.jobs import jobs
from convstore.cli.keys import keys
from convstore.cli.prices import prices
from convstore.cli.projects import projects
from convstore.cli.reindex import reindex
from convstore.cli.replay import replay
from convstore.cli.retention import retention
from convstore.cli.search import search
from convstore.cli.serve import serve
from convstore.cli.thread import thread
from convstore.cli.tree import tree
from convstore.cli.worker import worker
from convstore.errors import ConvstoreError
from convstore.render.characters import on_a_line


@click.group(context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="convstore")
@click.option("--config", envvar="CONVSTORE_CONFIG", type=click.Path(dir_okay=False), help="A TOML file of settings.")
@click.pass_context
def cli(context: click.Context, config: str | None) -> None:
    """A gateway that remembers: the OpenAI Responses API over SQL, in front of any model provider."""
    context.obj = config


_OPERATION = (serve, worker, db, keys, projects, jobs, doctor, reindex, audit, erasures, retention, holds)
_CONVERSATIONS = (search, tree, thread, branch, replay, diff, export, bring)
_MONEY = (cost, prices, budgets)
for command in (*_OPERATION, *_CONVERSATIONS, *_MONEY, demo, model):
    cli.add_command(command)


def main() -> None:
    """Run the command line. Errors on purpose are one line and exit code 1."""
    try:
        cli(prog_name="convstore")
    except ConvstoreError as error:
        # Some of it may be a provider's words, or those of a service somewhere.
        click.echo(f"convstore: {on_a_line(error.message)}", err=True)
        sys.exit(1)
