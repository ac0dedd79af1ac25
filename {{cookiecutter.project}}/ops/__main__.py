"""``python -m ops``: what an operator does with this worker; each command is a module of ``ops.commands``."""

import typer

from ops.commands.batch import batch
from ops.commands.coldstart import coldstart
from ops.commands.demo import demo
from ops.commands.deploy import deploy, destroy
from ops.commands.logs import logs
from ops.commands.parse import parse
from ops.commands.plan import plan
from ops.commands.run import run

app = typer.Typer(no_args_is_help=True, rich_markup_mode="markdown", add_completion=False, pretty_exceptions_enable=False)


@app.callback()
def main() -> None:
    """Operate this worker from your machine. Start with `python -m ops demo`."""


for command in (demo, run, parse, batch, plan, deploy, destroy, coldstart, logs):
    app.command()(command)

if __name__ == "__main__":
    app(prog_name="python -m ops")
