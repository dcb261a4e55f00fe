"""`uniar`: a click group whose verbs are imported when they are called, so that `--help` answers at once."""

from __future__ import annotations

import logging
import os
import sys
from importlib import import_module

import click

_VERBS = {
    "generate": ("uniar.cli.generate", "Make images from prompts."),
    "edit": ("uniar.cli.edit", "Change an image as told."),
    "understand": ("uniar.cli.understand", "Answer a question about an image."),
    "train": ("uniar.cli.train", "Train a stage or a whole recipe."),
    "data": ("uniar.cli.data", "Check a training mix, or encode its images once."),
    "info": ("uniar.cli.info", "Describe a checkpoint."),
    "verify": ("uniar.cli.verify", "Recompute a checkpoint's recorded tensors and compare."),
}


class LazyGroup(click.Group):
    """Lists verbs without importing them."""

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Names of the verbs."""
        return sorted(_VERBS)

    def get_command(self, ctx: click.Context, name: str) -> click.Command | None:
        """Import one verb."""
        if name not in _VERBS:
            return None
        return getattr(import_module(_VERBS[name][0]), name)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Write the verbs with their one-line help, without importing them."""
        with formatter.section("Verbs"):
            formatter.write_dl([(name, _VERBS[name][1]) for name in sorted(_VERBS)])


@click.group(cls=LazyGroup, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(package_name="uniar")
def cli() -> None:
    """UniAR: understand, generate and edit images with one autoregressive transformer."""


def main() -> None:
    """Entry point: a user's mistake is one sentence and exit code 2, never a traceback."""
    from uniar.errors import UniARError

    # The libraries' loading bars and remarks would drown the command's own lines; a user's setting wins.
    for name, value in (("TRANSFORMERS_VERBOSITY", "error"), ("DIFFUSERS_VERBOSITY", "error"), ("HF_HUB_DISABLE_PROGRESS_BARS", "1")):
        os.environ.setdefault(name, value)
    # torch tells every user of torchao, on stderr, about a call that torchao makes to it.
    logging.getLogger("torch.utils._pytree").setLevel(logging.ERROR)
    try:
        cli(standalone_mode=True)
    except UniARError as error:
        click.echo(f"Error: {error}", err=True)
        sys.exit(2)
