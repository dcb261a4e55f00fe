"""`uniar train grpo` as a user runs it: stopped, resumed, exported, refused."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
import torch
from click.testing import CliRunner, Result
from safetensors.torch import load_file

import uniar
from uniar.cli.main import cli
from uniar.errors import TrainingError, UniARError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning", "ignore::UserWarning")
SMALL = (
    "train.steps=2", "train.batch_size=2", "train.precision=float32", "train.lr=0.01", "grpo.group_size=3", "grpo.decoder_steps=2",
)  # fmt: skip


def run(out: Path, *more: str, changes: tuple[str, ...] = ()) -> Result:
    sets = [word for change in (*SMALL, *changes) for word in ("--set", change)]
    return CliRunner().invoke(cli, ["train", "grpo", "--out", str(out), *sets, *more])


@pytest.mark.parametrize("lora", [None, "grpo.lora={rank: 4, alpha: 8}"], ids=["full", "lora"])
def test_a_run_that_was_stopped_makes_the_checkpoint_of_one_that_was_not(tmp_path, lora):
    changes = (lora,) if lora else ()
    assert run(tmp_path / "whole", changes=changes).exit_code == 0
    stopped = run(tmp_path / "parts", "--max-minutes", "0", changes=changes)
    assert stopped.exit_code == 0 and "stopped after 1 of 2 steps" in stopped.output
    resumed = run(tmp_path / "parts", changes=changes)
    assert resumed.exit_code == 0 and "going on after step 1" in resumed.output, resumed.output
    whole, parts = (load_file(tmp_path / x / "checkpoint" / "model.safetensors") for x in ("whole", "parts"))
    found = load_file(uniar.load("uniar-mini").folder / "model.safetensors")
    assert whole.keys() == parts.keys() == found.keys()
    assert all(torch.equal(whole[n], parts[n]) for n in whole)
    # The second step has a reference to be held to, and the vision stack is as it was.
    assert all(torch.equal(whole[n], found[n]) for n in whole if "visual." in n and "visual_decoder" not in n)
    logs = [[json.loads(line) for line in (tmp_path / x / "log.jsonl").read_text("utf-8").splitlines()] for x in ("whole", "parts")]
    assert [r["reward_geneval"] for r in logs[0]] == [r["reward_geneval"] for r in logs[1]]
    other = run(tmp_path / "parts", changes=(*changes, "grpo.beta=0.5"))
    assert isinstance(other.exception, TrainingError) and "this run was started with" in str(other.exception)


@pytest.mark.parametrize(
    ("change", "told"),
    [
        ("grpo.rewards=[]", "grpo.yaml: grpo.rewards: got none"),
        ("grpo.rewards=[{name: genevall}]", 'Did you mean "geneval"?'),
        ("grpo.rewards=[{nam: geneval}]", "grpo.rewards[0].nam: unknown key. Did you mean 'name'?"),
        ("data=nothing.jsonl", "nothing.jsonl: got an unreadable file"),
        ("grpo.height=50", "height, width: got 50 x 64; expected multiples of 16"),
    ],
)
def test_a_mistake_is_one_sentence(tmp_path, change, told):
    found = run(tmp_path / "run", changes=(change,)).exception
    # The command line prints it after "Error: ".
    assert isinstance(found, UniARError) and told in str(found) and "\n" not in str(found)
