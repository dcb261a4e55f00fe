"""Sequences and their packing: nothing lost, nothing learned that is a prompt, packed equals alone."""

from __future__ import annotations

from collections import Counter
from importlib import resources
from pathlib import Path

import numpy as np
import pytest
import torch

from uniar.data.shapes import sample_scene
from uniar.generation.prompt import IMAGE_PAD
from uniar.training.mini.autoregressive import AutoregressiveStage
from uniar.training.mini.build import fresh_vision
from uniar.training.mini.sequences import Row, sample_row, tokenize
from uniar.training.recipes import read
from uniar.training.sequences import pack

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")


@pytest.fixture(scope="module")
def stage(tmp_path_factory) -> AutoregressiveStage:
    """The smoke recipe's last stage with fresh weights."""
    overrides = ("packed_length=120", "turns=3", "input_flip_rate=0.0")
    recipe = read(Path(str(resources.files("uniar"))) / "recipes" / "mini-smoke.yaml", overrides)
    return AutoregressiveStage(recipe, folder=tmp_path_factory.mktemp("stage"), vision=fresh_vision(recipe)).eval()


def _rows(kinds: str, turns: int = 2) -> list[Row]:
    names = {"g": "generate", "e": "edit", "u": "understand"}
    return [
        sample_row(np.random.default_rng(i), names[k], tokens=16, side=4, dropout=0.0, turns=turns) for i, k in enumerate(kinds)
    ]


def test_pack_by_hand():
    assert pack([5, 3, 4, 2, 2], 8) == [[0, 1], [2, 3, 4]]
    assert pack([9, 2], 8) == [[0], [1]]
    assert pack([], 8) == []


def test_pack_loses_nothing():
    rng = np.random.default_rng(0)
    lengths = rng.integers(1, 50, 200).tolist()
    rows = pack(lengths, 60)
    assert Counter(i for row in rows for i in row) == Counter(range(200))
    assert all(sum(lengths[i] for i in row) <= 60 for row in rows)
    # First fit decreasing needs at most 11/9 of the best, plus one.
    assert len(rows) <= 11 / 9 * (-(-sum(lengths) // 60)) + 1


def test_only_answers_are_learned(stage):
    row = _rows("u", turns=3)[0]
    made = tokenize(stage.tokenizer, [row])[0]
    learned = [i for i, keep in zip(made.ids, made.learned, strict=True) if keep]
    assert stage.tokenizer.decode(learned) == "".join(text for text, learns in row.pieces if learns)
    assert [learns for _, learns in row.pieces] == [False, True] * 3
    assert made.ids.count(stage.tokenizer.convert_tokens_to_ids(IMAGE_PAD)) == 16


def test_a_conversation_is_what_the_chat_template_writes(stage, tmp_path):
    from uniar.training.mini.build import build_processor

    processor = build_processor(stage.recipe, tmp_path / "processor")
    scene = sample_scene(np.random.default_rng(3))
    row = _rows("u", turns=2)[0]
    (first, _), (answer, _), (second, _), _ = row.pieces
    question = first.split("<|vision_end|>")[1].split("<|im_end|>")[0]
    again = second.split("user\n")[1].split("<|im_end|>")[0]
    messages = [
        {"role": "user", "content": [{"type": "image", "image": scene}, {"type": "text", "text": question}]},
        {"role": "assistant", "content": answer.removesuffix("<|im_end|>")},
        {"role": "user", "content": again},
    ]
    told = processor.apply_chat_template(messages, tokenize=False, add_generation_prompt=True)
    assert told == (first + answer + second).replace(IMAGE_PAD * 16, IMAGE_PAD)


def test_targets_are_the_next_answer_and_writers_come_first(stage):
    rows = _rows("ugeug")
    batch = stage._pack(rows, 4)
    image = stage.model.config.image_token_id
    assert batch.writers == len({int(r) for r, s in enumerate(batch.segments) for i in s.tolist() if i >= 0 and rows[i].writes})
    for r, c in (batch.targets != -100).nonzero().tolist():
        assert batch.ids[r, c + 1] == batch.targets[r, c] and batch.segments[r, c] == batch.segments[r, c + 1]
    # Every image that is written has its sixteen tokens, and what an edit reads is not among them.
    assert int(batch.written.sum()) == 16 * sum(row.writes for row in rows)
    assert int((batch.ids == image).sum()) == 16 * sum(len(row.scenes) for row in rows)


def test_packed_states_are_those_of_each_sequence_alone(stage):
    rows = _rows("gueg")
    codes = [stage._codes([row]) for row in rows]
    with torch.no_grad():
        batch = stage._pack(rows, 4)
        from uniar.attention import packed_mask

        together = stage.model.states(
            position_ids=batch.positions,
            input_ids=batch.ids,
            visual=stage.model.visual.embed(torch.cat([codes[i] for i in batch.order])),
            mask=packed_mask(batch.segments),
        )
        made = tokenize(stage.tokenizer, rows)
        for i, row in enumerate(rows):
            ids = torch.tensor([made[i].ids])
            positions = stage.model.positions(ids, torch.tensor([[1, 8, 8]] * len(row.scenes)))
            alone = stage.model.states(position_ids=positions, input_ids=ids, visual=stage.model.visual.embed(codes[i]))[0]
            packed = together[batch.segments == i]
            assert torch.allclose(alone, packed, atol=1e-5)


def test_two_runs_that_build_the_processor_at_once_read_a_whole_one(stage, tmp_path, monkeypatch):
    from transformers import Qwen3VLProcessor

    from uniar.training.mini.build import build_processor

    folder, save, others = tmp_path / "processor", Qwen3VLProcessor.save_pretrained, []

    def slow(processor, where, **settings):
        # Nothing may be at the final name before it is whole; the other run comes in between and is first.
        assert not folder.exists()
        monkeypatch.setattr(Qwen3VLProcessor, "save_pretrained", save)
        save(processor, where, **settings)
        monkeypatch.setattr("os.getpid", lambda: 12345)
        others.append(build_processor(stage.recipe, folder))

    monkeypatch.setattr(Qwen3VLProcessor, "save_pretrained", slow)
    mine = build_processor(stage.recipe, folder)
    (other,) = others
    assert mine.tokenizer.get_vocab() == other.tokenizer.get_vocab() == stage.tokenizer.get_vocab()
    assert [path.name for path in tmp_path.iterdir()] == ["processor"]
