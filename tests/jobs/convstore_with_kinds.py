"""The command line, with the kinds of jobs of the tests: run as a script."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).parents[2]))

from convstore.cli import main
from convstore.services.kinds import KINDS
from tests.jobs import kinds

KINDS.update(kinds.KINDS)
main()
