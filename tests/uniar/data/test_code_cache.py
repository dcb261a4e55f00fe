"""The code cache: bit for bit what the tokenizer makes, an eighth of the size, safe against a killed writer and another tokenizer."""

from __future__ import annotations

import json
import subprocess
import sys
import time
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from PIL import Image

from uniar.data.code_cache import CachedPictures, CodeCache, CodeCacheWriter, CodeKey, build_cache, key_of, tokenizer_fingerprint
from uniar.data.mix import Mix
from uniar.data.records import JsonlRecords
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


_ENDLESS = """
import sys
from pathlib import Path
import numpy as np
from uniar.data.code_cache import CodeCacheWriter, CodeKey

with CodeCacheWriter(Path(sys.argv[1]), fingerprint="a" * 64, shape=(2, 4, 6), shard_bytes=100) as writer:
    for n in range(1 << 30):
        codes = np.random.default_rng(n).integers(0, 2, (3, 2, 4, 6)).astype(np.uint8)
        writer.add(CodeKey(f"{n:064x}", 1, 3), codes)
"""


def test_a_writer_that_is_killed_goes_on_where_its_last_shard_ended(tmp_path):
    process = subprocess.Popen([sys.executable, "-c", _ENDLESS, str(tmp_path)])
    try:
        deadline = time.monotonic() + 60
        while len(list(tmp_path.glob("*.safetensors"))) < 5 and time.monotonic() < deadline:
            time.sleep(0.01)
    finally:
        # No clean-up of its own: SIGKILL cannot be caught.
        process.kill()
        process.wait()
    cache = CodeCache(tmp_path, fingerprint="a" * 64)
    done = len(cache)
    assert done >= 5 * 6 and cache.unreadable == []
    # Six images fill a shard, so the first `done` are there, whole, and nothing else.
    assert done % 6 == 0 and all(np.array_equal(cache.get(_key(n)), _codes(n)) for n in range(done))
    shards = {p.name: p.read_bytes() for p in tmp_path.glob("*.safetensors")}
    with CodeCacheWriter(tmp_path, fingerprint="a" * 64, shape=SHAPE) as writer:
        assert [n for n in range(done + 10) if _key(n) not in writer] == list(range(done, done + 10))
        for n in range(done + 10):
            writer.add(_key(n), _codes(n))
    after = {p.name: p.read_bytes() for p in tmp_path.glob("*.safetensors")}
    # What was there is left alone; one shard with the ten new ones came to it.
    assert {name: after[name] for name in shards} == shards and len(after) == len(shards) + 1
    again = CodeCache(tmp_path, fingerprint="a" * 64)
    assert len(again) == done + 10 and all(np.array_equal(again.get(_key(n)), _codes(n)) for n in range(done + 10))


def test_the_codes_of_a_torn_shard_are_made_again(tmp_path):
    _write(tmp_path, range(12), shard_bytes=100)
    torn = sorted(tmp_path.glob("*.safetensors"))[0]
    torn.write_bytes(torn.read_bytes()[:-1])
    assert CodeCache(tmp_path, fingerprint="a" * 64).unreadable == [torn.name]
    _write(tmp_path, range(12), shard_bytes=100)
    cache = CodeCache(tmp_path, fingerprint="a" * 64)
    # The same images make the same name, so the torn file itself is mended.
    assert cache.unreadable == [] and all(np.array_equal(cache.get(_key(n)), _codes(n)) for n in range(12))


NO_CODES = {"tokens": _codes(0, 2), "dtype": _codes(0).astype(np.int64), "values": _codes(0) * 2, "shape": _codes(0).reshape(3, 4, 2, 6)}


@pytest.mark.parametrize("codes", NO_CODES.values(), ids=NO_CODES)
def test_what_are_no_codes_is_refused(tmp_path, codes: np.ndarray):
    with CodeCacheWriter(tmp_path, fingerprint="a" * 64, shape=SHAPE) as writer:
        with pytest.raises(InputError, match=r"^codes: got .*; expected uint8 \(3, 2, 4, 6\) of 0 and 1\.$"):
            writer.add(_key(0), codes)
        assert _key(0) not in writer


def test_a_damaged_header_and_another_shape_are_one_sentence(tmp_path):
    _write(tmp_path, range(2))
    with pytest.raises(InputError, match=r"cache\.json: shape: got \[2, 4, 6\]; expected \[2, 4, 7\]\. Build another cache\.$"):
        CodeCacheWriter(tmp_path, fingerprint="a" * 64, shape=(2, 4, 7))
    for content, told in (("{", "got a damaged header"), ("{}", "got a damaged header"), ("[]", "got a damaged header")):
        (tmp_path / "cache.json").write_text(content)
        with pytest.raises(InputError, match=told) as caught:
            CodeCache(tmp_path, fingerprint="a" * 64)
        assert "\n" not in str(caught.value) and str(caught.value).startswith(f"{tmp_path / 'cache.json'}: ")


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


def _edits(folder: Path) -> JsonlRecords:
    # Three edits of one image, a question about it, and a record without its image.
    rng = np.random.default_rng(5)
    for i in range(4):
        Image.fromarray(render(sample_captioned(rng).scene)).save(folder / f"{i}.png")
    rows = [{"prompt": f"p{i}", "source": "0.png", "image": f"{i + 1}.png"} for i in range(3)]
    rows += [{"image": "0.png", "question": "what?", "answer": "shapes"}, {"prompt": "p", "image": "none.png"}]
    (folder / "rows.jsonl").write_text("\n".join(map(json.dumps, rows)), "utf-8")
    return JsonlRecords(folder / "rows.jsonl", name="edits", sizing=Sizing(unit=16, min_pixels=256, max_pixels=1 << 20))


def test_an_image_is_encoded_once_and_a_broken_record_is_counted(tmp_path, mini):
    records, told = _edits(tmp_path), []
    visual, processor = mini.model.visual, mini.processor
    report = build_cache(records, visual, processor, tmp_path / "codes", batch_size=3, report=told.append)
    assert (report.images, report.encoded, report.broken) == (7, 4, 1)
    assert told == [f'{tmp_path / "rows.jsonl"}:5: image: got "none.png"; expected a file of that name in {tmp_path}.']


class _Failing:
    """A vision stack whose machine stops after so many images."""

    def __init__(self, visual: Any, images: int):
        self._visual, self._left = visual, images
        self.config, self.device, self.state_dict = visual.config, visual.device, visual.state_dict

    def encode(self, values: Any, grids: Any) -> Any:
        if not self._left:
            raise RuntimeError("out of memory")
        self._left -= 1
        return self._visual.encode(values, grids)


def test_a_build_that_fails_keeps_what_it_has_made(tmp_path, mini):
    records, visual, processor = _edits(tmp_path), mini.model.visual, mini.processor
    with pytest.raises(RuntimeError, match="out of memory"):
        build_cache(records, _Failing(visual, 3), processor, tmp_path / "codes", batch_size=1, report=lambda _: None)
    assert len(CodeCache(tmp_path / "codes", fingerprint=tokenizer_fingerprint(visual, processor))) == 3
    # One image was missing, and one is all that the second try may encode.
    report = build_cache(records, _Failing(visual, 1), processor, tmp_path / "codes", batch_size=1, report=lambda _: None)
    assert (report.images, report.encoded) == (7, 1)


def test_pictures_are_exchanged_in_the_unconditional_parts_too(tmp_path, mini):
    records, visual, processor = _edits(tmp_path), mini.model.visual, mini.processor
    empty = tmp_path / "empty"
    fingerprint = tokenizer_fingerprint(visual, processor)
    c = visual.config
    with CodeCacheWriter(empty, fingerprint=fingerprint, shape=(c.num_levels, c.group_size, c.bsq_dim)):
        pass
    build_cache(records, visual, processor, tmp_path / "codes", report=lambda _: None)
    full, none = (CachedPictures(CodeCache(f, fingerprint=fingerprint)) for f in (tmp_path / "codes", empty))
    sample = records.sample(0)
    swapped = full(sample)
    assert swapped.unconditional is not None
    for parts, before in ((swapped.parts, sample.parts), (swapped.unconditional, sample.unconditional)):
        pictures = [p for p in parts if isinstance(p, Picture)]
        assert [(p.image, p.written, p.codes is None) for p in pictures] == [(None, False, False), (None, True, False)]
        assert [p for p in parts if not isinstance(p, Picture)] == [p for p in before if not isinstance(p, Picture)]
    assert (full.hits, full.misses) == (2, 0)
    # A miss keeps the pixels and is counted.
    assert none(sample).parts == sample.parts and (none.hits, none.misses) == (0, 2)


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
