"""The code cache: bit for bit what the tokenizer makes, an eighth of the size, safe against a killed writer and another tokenizer."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from uniar.data.code_cache import CachedPictures, CodeCache, CodeCacheWriter, CodeKey, build_cache, key_of, tokenizer_fingerprint
from uniar.data.mix import Mix
from uniar.data.samples import Picture
from uniar.data.shapes import render, sample_captioned
from uniar.data.sizing import Sizing
from uniar.errors import InputError

pytestmark = pytest.mark.filterwarnings("ignore::FutureWarning", "ignore::DeprecationWarning")
SHAPE = (2, 4, 6)


def _codes(seed: int, tokens: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).integers(0, 2, (tokens, *SHAPE)).astype(np.uint8)


def _key(number: int, tokens: int = 3) -> CodeKey:
    return CodeKey(f"{number:064x}", 1, tokens)


def _write(folder: Path, numbers: range, **options: int) -> None:
    with CodeCacheWriter(folder, fingerprint="a" * 64, shape=SHAPE, **options) as writer:
        for n in numbers:
            writer.add(_key(n), _codes(n))


def test_codes_come_back_bit_for_bit(tmp_path):
    _write(tmp_path, range(20), shard_bytes=100)
    cache = CodeCache(tmp_path, fingerprint="a" * 64)
    assert len(cache) == 20 and len(list(tmp_path.glob("*.safetensors"))) > 1
    for n in range(20):
        assert np.array_equal(cache.get(_key(n)), _codes(n))
    assert cache.get(_key(99)) is None and _key(99) not in cache


def test_bits_take_an_eighth_of_the_bytes(tmp_path):
    many = np.random.default_rng(0).integers(0, 2, (4000, *SHAPE)).astype(np.uint8)
    with CodeCacheWriter(tmp_path, fingerprint="a" * 64, shape=SHAPE) as writer:
        writer.add(_key(1, 4000), many)
    size = sum(p.stat().st_size for p in tmp_path.glob("*.safetensors"))
    assert many.nbytes / 8 <= size < many.nbytes / 8 + 1000


def test_more_is_added_and_nothing_done_twice(tmp_path):
    _write(tmp_path, range(5))
    with CodeCacheWriter(tmp_path, fingerprint="a" * 64, shape=SHAPE) as writer:
        assert _key(3) in writer and _key(7) not in writer
        writer.add(_key(7), _codes(7))
    cache = CodeCache(tmp_path, fingerprint="a" * 64)
    assert len(cache) == 6 and np.array_equal(cache.get(_key(7)), _codes(7))


def test_a_killed_writer_loses_its_open_shard_alone(tmp_path):
    _write(tmp_path, range(5))
    whole = sorted(tmp_path.glob("*.safetensors"))
    torn = tmp_path / "codes-99999999.safetensors"
    torn.write_bytes(whole[0].read_bytes()[:50])
    cache = CodeCache(tmp_path, fingerprint="a" * 64)
    assert len(cache) == 5 and cache.unreadable == [torn.name]


def test_another_tokenizers_cache_is_refused_with_both_fingerprints(tmp_path):
    _write(tmp_path, range(2))
    with pytest.raises(InputError) as refused:
        CodeCache(tmp_path, fingerprint="b" * 64)
    assert "a" * 12 in str(refused.value) and "b" * 12 in str(refused.value)
    with pytest.raises(InputError):
        CodeCache(tmp_path / "nothing", fingerprint="a" * 64)


@pytest.fixture(scope="module")
def mini():
    """The bundled checkpoint."""
    import uniar

    return uniar.load("uniar-mini")


def test_a_mix_is_encoded_once_and_training_reads_the_same_codes(tmp_path, mini):
    (tmp_path / "images").mkdir()
    rng = np.random.default_rng(0)
    lines = []
    for i in range(6):
        made = sample_captioned(rng)
        Image.fromarray(render(made.scene)).save(tmp_path / "images" / f"{i}.png")
        lines.append(json.dumps({"prompt": made.caption, "image": f"images/{i}.png"}))
    (tmp_path / "captions.jsonl").write_text("\n".join(lines) + "\n", "utf-8")
    (tmp_path / "mix.yaml").write_text("datasets:\n  - {name: mine, path: captions.jsonl}\n", "utf-8")
    processor = mini.processor.image_processor
    mix = Mix.open(tmp_path / "mix.yaml", sizing=Sizing.from_processor(processor), seed=0)
    visual = mini.model.visual
    for encoded in (6, 0):
        report = build_cache(mix, visual, processor, tmp_path / "codes", report=lambda _: None)
        assert (report.images, report.encoded, report.broken) == (6, encoded, 0)
    swap = CachedPictures(CodeCache(tmp_path / "codes", fingerprint=tokenizer_fingerprint(visual, processor)))
    for n in range(6):
        sample = mix.load(n)
        (picture,) = (p for p in sample.parts if isinstance(p, Picture))
        (read,) = (p for p in swap(sample).parts if isinstance(p, Picture))
        assert read.image is None and read.written
        expected, _ = mini.encode([picture.image])[0]
        assert np.array_equal(read.codes, expected.numpy())
        assert key_of(picture).rows == picture.rows
    assert (swap.hits, swap.misses) == (6, 0)


def test_the_mergers_do_not_spoil_a_cache_but_the_tokenizer_does(mini):
    import torch

    visual, processor = mini.model.visual, mini.processor.image_processor
    before = tokenizer_fingerprint(visual, processor)
    for part, same in ((visual.merger.linear_fc1.bias, True), (visual.patch_embed.proj.bias, False)):
        kept = part.detach().clone()
        with torch.no_grad():
            part += 1
            assert (tokenizer_fingerprint(visual, processor) == before) is same
            part.copy_(kept)
