"""What README and docs say is true: paths exist, verbs answer, examples run."""

from __future__ import annotations

import re
import stat
from pathlib import Path

import click
import pytest
from click.testing import CliRunner
from PIL import Image

ROOT = Path(__file__).resolve().parents[2]
PAGES = [ROOT / "README.md", ROOT / "suites" / "README.md", *sorted((ROOT / "docs").rglob("*.md"))]
_PATH = re.compile(r"(?<![\w./-])((?:uniar|evals|reports|suites|tests|docs|benchmarks|\.ci)/[\w./-]*\w/?)")
_LINK = re.compile(r"\]\(([^)#:]+)\)")
_FENCE = re.compile(r"```(\w+)\n(.*?)```", re.DOTALL)
_COMMAND = re.compile(r"\b(uniar-eval|uniar) ([a-z]+(?:-[a-z]+)*)((?: [^`|\n]*)?)")


def _group(program: str) -> click.Group:
    if program == "uniar-eval":
        from evals.cli.main import main

        return main
    from uniar.cli.main import cli

    return cli


def _verbs() -> list[tuple[str, str]]:
    return [
        (program, verb) for program in ("uniar", "uniar-eval") for verb in _group(program).list_commands(click.Context(_group(program)))
    ]


def _fences(page: str, language: str) -> list[str]:
    return [body for name, body in _FENCE.findall((ROOT / page).read_text("utf-8")) if name == language]


def _code(text: str) -> str:
    """Inline code and fenced blocks: the places where commands stand."""
    fenced = "\n".join(body for _, body in _FENCE.findall(text))
    return fenced + "\n" + "\n".join(re.findall(r"`([^`\n]+)`", _FENCE.sub("", text)))


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_paths_and_links_exist(page: Path) -> None:
    text = page.read_text("utf-8")
    assert [p for p in _PATH.findall(text) if not (ROOT / p).exists()] == []
    assert [p for p in _LINK.findall(text) if not (page.parent / p).exists()] == []


@pytest.mark.parametrize("page", PAGES, ids=lambda p: p.relative_to(ROOT).as_posix())
def test_commands_and_options_exist(page: Path) -> None:
    wrong = []
    for program, verb, rest in _COMMAND.findall(_code(page.read_text("utf-8"))):
        group = _group(program)
        if verb == "ls" or verb in group.list_commands(click.Context(group)):
            command = group.get_command(click.Context(group), verb)
            if isinstance(command, click.Group) and verb != "ls":
                inner, _, rest = rest.strip().partition(" ")
                # `uniar data` alone speaks of the whole group; `data list|fetch` of two of its verbs.
                unknown = [name for name in inner.split("|") if name and name not in command.commands]
                wrong += [f"{program} {verb} {name}" for name in unknown]
                command = command.commands.get(inner, command)
            known = {name for parameter in command.params for name in parameter.opts}
            wrong += [f"{program} {verb} {option}" for option in re.findall(r"--[a-z-]+", rest) if option not in known]
        else:
            wrong.append(f"{program} {verb}")
    assert wrong == []


@pytest.mark.parametrize("program, verb", _verbs())
def test_every_verb_answers_help(program: str, verb: str) -> None:
    result = CliRunner().invoke(_group(program), [verb, "--help"])
    assert result.exit_code == 0, result.output
    assert "Usage:" in result.output


@pytest.mark.parametrize("suite", sorted((ROOT / "suites").glob("*.yaml")), ids=lambda p: p.stem)
def test_suites_validate(suite: Path) -> None:
    result = CliRunner().invoke(_group("uniar-eval"), ["validate", str(suite)])
    assert result.exit_code == 0, result.output


def test_first_screen_has_exactly_two_setup_commands() -> None:
    text = (ROOT / "README.md").read_text("utf-8")
    lines = _fences("README.md", "bash")[0].splitlines()
    assert text.index("```bash") < 600
    assert len(lines) == 2
    assert lines[0].endswith("uniar-eval run suites/geneval.yaml")
    assert lines[1].startswith("python -m pytest")


def test_ci_does_what_readme_says() -> None:
    script = ROOT / ".ci" / "run"
    text = script.read_text("utf-8")
    setup, tests = _fences("README.md", "bash")[0].splitlines()
    assert script.stat().st_mode & stat.S_IXUSR
    assert text.rstrip().endswith(tests)
    assert setup.split(" && ")[-1] in text
    assert re.search(r"^pip install .*-e '\.\[test\]'$", text, re.MULTILINE)
    assert "-e '.[test]'" in setup


def test_scorer_example_runs_as_written(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    page = "docs/writing-a-scorer.md"
    (tmp_path / "brightness.py").write_text(_fences(page, "python")[0], "utf-8")
    (tmp_path / "brightness.yaml").write_text(_fences(page, "yaml")[0], "utf-8")
    for name, gray in (("bright-0", 250), ("dark-0", 200)):
        (tmp_path / "images" / name).mkdir(parents=True)
        Image.new("RGB", (64, 64), (gray,) * 3).save(tmp_path / "images" / name / "00000.png")
    monkeypatch.chdir(tmp_path)
    for line in _fences(page, "bash")[0].splitlines():
        result = CliRunner().invoke(_group("uniar-eval"), line.split()[1:])
        assert result.exit_code == 0, result.output
    # White is bright, light grey is not dark: one of two tasks is right.
    assert re.search(r"^overall +0\.500 ", result.output, re.MULTILINE), result.output


def test_suite_page_names_every_outcome_and_setting() -> None:
    from dataclasses import fields

    from evals.suite.schema import Generate
    from evals.types import Outcome

    text = (ROOT / "docs" / "suites.md").read_text("utf-8")
    assert [o.value for o in Outcome if f"`{o.value}`" not in text] == []
    assert [f.name for f in fields(Generate) if f"`{f.name}`" not in text] == []
