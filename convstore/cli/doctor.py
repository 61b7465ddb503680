"""`convstore doctor`: read the whole store, say what does not fit together, and mend what is safe."""

import sys
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager

import click
from rich.console import Console
from rich.progress import Progress
from rich.table import Column, Table

from convstore import bootstrap, config
from convstore.cli import recorded, tables
from convstore.domain import jsontext
from convstore.domain.checkup import KINDS, Finding
from convstore.services import audit
from convstore.services import doctor as service
from convstore.services.doctor.visit import Tell, silent
from convstore.storage import migrations
from convstore.telemetry import logs

# Of each kind in the table: a person reads no more of them. JSON has them all.
SHOWN = 20


@click.command()
@click.option("--repair", is_flag=True, help="Mend what can be mended safely.")
@click.option("--json", "as_json", is_flag=True, help="As JSON, with every finding.")
@click.option("--project", help="Only this project's.")
@click.pass_obj
def doctor(config_path: str | None, repair: bool, as_json: bool, project: str | None) -> None:
    """Examine the whole store, while the service runs or not.

    Exit code 1 when something is wrong and was not mended.
    """
    logs.configure("warning", "console")
    counts = _Counts()
    with bootstrap.working(config.load(config_path)) as deps, _progress() as tell:
        migrations.check(deps.database)
        # Before anything is read or mended: what comes after it may be interrupted.
        with audit.calling(deps, recorded.call("doctor.repair" if repair else "doctor.examine", object_id=project)):
            pass
        found = map(counts.noted, service.examine(deps, project, repair=repair, tell=tell))
        if as_json:
            _print_json(found, counts)
        else:
            _print_table(found, counts)
    sys.exit(1 if counts.left else 0)


class _Counts:
    """How many there were of each kind, and how many of them were mended."""

    def __init__(self) -> None:
        self.found: Counter[str] = Counter()
        self.mended: Counter[str] = Counter()
        self.mendable = 0

    def noted(self, finding: Finding) -> Finding:
        self.found[finding.kind] += 1
        self.mended[finding.kind] += finding.mended
        self.mendable += finding.mendable and not finding.mended
        return finding

    @property
    def left(self) -> int:
        return self.found.total() - self.mended.total()

    def summary(self) -> str:
        """One line for each kind, and one for all."""
        if not self.found:
            return "Nothing is wrong."
        lines = [
            f"{kind}: {self.found[kind]} ({self.mended[kind]} mended): {said}"
            for kind, said in KINDS.items()
            if self.found[kind]
        ]
        total = f"{self.found.total()} found, {self.mended.total()} mended, {self.left} left"
        hint = f"; --repair can mend {self.mendable} of them" if self.mendable else ""
        return "\n".join([*lines, f"{total}{hint}."])


def _print_json(found: Iterator[Finding], counts: _Counts) -> None:
    """One object, written as it is found: the findings of a big store need not fit in memory."""
    click.echo('{"findings":[', nl=False)
    for number, each in enumerate(found):
        click.echo(("," if number else "") + jsontext.dumps(each.as_dict()).decode(), nl=False)
    summary = {"found": dict(counts.found), "mended": dict(+counts.mended), "left": counts.left}
    click.echo(f'],"summary":{jsontext.dumps(summary).decode()}}}')


def _print_table(found: Iterator[Finding], counts: _Counts) -> None:
    table = Table("kind", "project", Column("what", no_wrap=True), "what is wrong", "repair")
    for each in found:
        if counts.found[each.kind] <= SHOWN:
            table.add_row(each.kind, each.project or "-", each.object_id, each.sentence, _repair(each))
    if table.row_count:
        tables.show(table)
    click.echo(counts.summary())


def _repair(finding: Finding) -> str:
    return "mended" if finding.mended else "safe" if finding.mendable else "by a person"


@contextmanager
def _progress() -> Iterator[Tell]:
    """A bar on standard error, where that is a terminal."""
    if not sys.stderr.isatty():
        yield silent
        return
    with Progress(console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task("")

        def tell(what: str, done: int, total: int) -> None:
            bar.update(task, description=what, completed=done, total=max(total, 1))

        yield tell
