"""Recipes: ours can be read, overrides apply, a mistake is one sentence with file and key."""

from __future__ import annotations

import re
from importlib import resources
from pathlib import Path

import pytest

from uniar import ConfigError
from uniar.training.recipes import read

STAGE = "{steps: 3, batch_size: 2, lr: 0.001}"
GOOD = f"tokenizer: {STAGE}\nvae: {STAGE}\ndecoder: {STAGE}\nautoregressive: {STAGE}\n"


def _file(folder: Path, text: str) -> Path:
    path = folder / "mine.yaml"
    path.write_text(text, "utf-8")
    return path


def test_our_recipe_can_be_read():
    recipe = read(Path(str(resources.files("uniar"))) / "recipes" / "mini.yaml")
    assert recipe.canvas == 64
    assert recipe.autoregressive.steps > 0


def test_overrides_apply(tmp_path):
    path = _file(tmp_path, GOOD)
    recipe = read(path, ("decoder.steps=7", "vision.levels=[1, 2]", "seed=5", "flip_rate=0"))
    assert recipe.decoder.steps == 7
    assert recipe.vae.steps == 3
    assert recipe.vision.levels == (1, 2)
    assert recipe.vision.hidden == 128
    assert recipe.seed == 5
    assert recipe.flip_rate == 0.0


@pytest.mark.parametrize(
    ("text", "told"),
    [
        (GOOD + "visoin: {bits: 8}\n", "visoin: unknown key. Did you mean 'vision'?"),
        (GOOD + "vision: {bit: 8}\n", "vision.bit: unknown key. Did you mean 'bits'?"),
        (GOOD + "seed: many\n", "seed: got 'many'; expected int."),
        (GOOD + "seed: true\n", "seed: got True; expected int."),
        (GOOD + "vision: 3\n", "vision.: got 3; expected a mapping."),
        (GOOD + "vision: {levels: [a]}\n", "vision.levels: got ['a']; expected"),
        ("- a\n", "top level: got ['a']; expected a mapping."),
        (f"tokenizer: {STAGE}\n", "top level: missing 3 required keyword-only arguments: 'vae', 'decoder', and 'autoregressive'."),
        ("a: [\n", "not valid YAML"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, text, told):
    path = _file(tmp_path, text)
    with pytest.raises(ConfigError) as refused:
        read(path)
    assert str(path) in str(refused.value)
    assert told in str(refused.value)
    assert "\n" not in str(refused.value)


def test_a_missing_recipe_and_a_bad_override(tmp_path):
    with pytest.raises(ConfigError, match="no such recipe"):
        read(tmp_path / "nothing.yaml")
    with pytest.raises(ConfigError, match="--set decoder.steps: expected key.key=value"):
        read(_file(tmp_path, GOOD), ("decoder.steps",))
    with pytest.raises(ConfigError, match="decoder.stepz: unknown key"):
        read(_file(tmp_path, GOOD), ("decoder.stepz=3",))


def test_the_command_line_tells_it_without_a_traceback(tmp_path, uniar_cli):
    ran = uniar_cli("train", _file(tmp_path, GOOD + "sed: 1\n"), "--out", tmp_path / "out")
    assert ran.code == 2
    assert ran.err.count("\n") == 1
    assert ran.err.startswith("Error: ")
    assert "sed: unknown key. Did you mean 'seed'?" in ran.err
    ran = uniar_cli("train", "mini", "--stage", "vea", "--out", tmp_path / "out")
    assert ran.code == 2
    assert "--stage: got 'vea'; expected one of tokenizer, vae" in ran.err
    assert not (tmp_path / "out").exists()


@pytest.mark.parametrize(
    ("override", "told"),
    [
        ("mix={generate: abc}", "mix: got"),
        ("decoder.steps=[", "not valid YAML"),
        ("decoder.steps=-4", "expected 0 or more"),
        ("vision.levels=[true]", "vision.levels: got"),
        ("decoder.lr=1e-3", "1.0e-3"),
        ("seed.deeper=1", "no such place"),
    ],
)
def test_a_bad_override_is_one_sentence(override, told):
    path = Path(str(resources.files("uniar"))) / "recipes" / "mini-smoke.yaml"
    with pytest.raises(ConfigError, match=re.escape(told)) as error:
        read(path, (override,))
    assert "\n" not in str(error.value)
