"""`uniar-eval`: the verbs by name and one line of help each, so that `--help` imports none of them.

A user's mistake is printed as one sentence on stderr, with its exit code; anything else keeps its traceback.
Installed packages add verbs through the entry-point group `uniar_eval.commands`.
"""

from __future__ import annotations

import logging
from typing import Any

import click

from evals.errors import PluginError, UserError
from evals.registry import Registry

VERBS: dict[str, tuple[str, str]] = {
    "ablate": ("evals.cli.ablate:ablate", "Run a grid of ablation cells, with effects against a control."),
    "baseline": ("evals.cli.baseline:baseline", "Keep a run's verdicts in a small committed file."),
    "compare": ("evals.cli.compare:compare", "Compare runs with the first: paired differences, won and lost outputs."),
    "convert-detector": ("evals.cli.convert_detector:convert_detector", "Turn mmdet's Mask2Former file into a detector folder."),
    "convert-weights": ("evals.cli.convert_weights:convert_weights", "Turn a published file of weights into safetensors."),
    "data": ("evals.cli.data:data", "List, fetch and check the benchmarks' data."),
    "export": ("evals.cli.export:export", "Write a run's images in a benchmark's official layout."),
    "gate": ("evals.cli.gate:gate", "Judge a run against a baseline; the exit code is the verdict."),
    "ls": ("evals.cli.ls:ls", "List suites, scorers, models, datasets, detectors or runs."),
    "parity": ("evals.cli.parity:parity", "Replay golden scorer files through our scorers."),
    "power": ("evals.cli.power:power", "Tell which differences a run can show, and the prompts that one needs."),
    "rescore": ("evals.cli.score:rescore", "Score a run again with another judge or detector; tells the agreement."),
    "run": ("evals.cli.run:run", "Measure a model on a suite, or go on with an interrupted run."),
    "samples": ("evals.cli.samples:samples", "Print a suite's samples as JSON lines."),
    "score": ("evals.cli.score:score", "Add another scorer to a run."),
    "validate": ("evals.cli.validate:validate", "Check a suite file and everything it names."),
}


class LazyGroup(click.Group):
    """A group that imports a verb only when it is called, and tells user errors in one sentence."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return built-in and installed verbs by name."""
        return sorted({*VERBS, *Registry().names("command")})

    def get_command(self, ctx: click.Context, cmd_name: str) -> click.Command | None:
        """Import one verb."""
        if cmd_name in VERBS:
            from importlib import import_module

            module, _, name = VERBS[cmd_name][0].partition(":")
            command: click.Command = getattr(import_module(module), name)
            return command
        registry = Registry()
        if cmd_name not in registry.names("command"):
            return None
        loaded = registry.load("command", cmd_name)
        if not isinstance(loaded, click.Command):
            raise PluginError(f'got "{cmd_name}"; this command is broken, because it is no click command.')
        return loaded

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs without importing one."""
        lines = {name: help_line for name, (_, help_line) in VERBS.items()}
        for entry in Registry().entries("command"):
            lines.setdefault(entry.name, f"From {entry.origin}.")
        with formatter.section("Commands"):
            formatter.write_dl(sorted(lines.items()))

    def resolve_command(
        self, ctx: click.Context, args: list[str]
    ) -> tuple[str | None, click.Command | None, list[str]]:
        """Add the nearest verb to the message about an unknown one."""
        from evals.registry import suggest

        name = args[0]
        known = self.list_commands(ctx)
        if name not in known and not name.startswith("-"):
            ctx.fail(f'got "{name}"; no such command.{suggest(name, known)}')
        return super().resolve_command(ctx, args)

    def invoke(self, ctx: click.Context) -> Any:
        """Run the verb; a user error is one sentence and an exit code."""
        # torch tells every user of torchao, on stderr, about a call that torchao makes to it.
        logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
        try:
            return super().invoke(ctx)
        except UserError as error:
            click.echo(str(error), err=True)
            ctx.exit(error.exit_code)
        except KeyboardInterrupt:
            click.echo("Interrupted.", err=True)
            ctx.exit(130)


def _version(ctx: click.Context, parameter: click.Parameter, wanted: bool) -> None:
    if wanted and not ctx.resilient_parsing:
        from importlib.metadata import PackageNotFoundError, version

        try:
            number = version("uniar")
        except PackageNotFoundError:
            number = "(not installed: run from a checkout)"
        click.echo(f"uniar-eval {number}")
        ctx.exit()


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 110})
@click.option("--version", is_flag=True, is_eager=True, expose_value=False, callback=_version, help="Show the version.")
def main() -> None:
    """Measure what models generate, edit and understand; numbers with intervals, coverage and a report."""
