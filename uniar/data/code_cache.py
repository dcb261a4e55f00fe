"""Codes of images, made once and kept: bits eight to a byte in safetensors shards, read by memory map.

An image is found by the sha256 of its resized RGB bytes and its grid, so a cache serves every mix that shows the same pixels. The
folder belongs to one tokenizer, whose fingerprint stands in `cache.json`; only the weights that decide the bits count, so training
the mergers does not spoil it. Shards are written whole or not at all and never changed: a killed writer loses at most the shard
it was filling. Leaves which images there are to `uniar.data.mix`, flipping bits to the training.

N visual tokens, L levels, G patches a token, D bits a code.
"""

from __future__ import annotations

import hashlib
import json
import os
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, NamedTuple

import numpy as np
import torch
from safetensors import SafetensorError, safe_open
from safetensors.numpy import save

from uniar.data.faults import RecordError, reason
from uniar.data.mix import Mix
from uniar.data.pictures import PictureEncoder
from uniar.data.records import Records
from uniar.data.samples import Picture, Text, TrainingSample
from uniar.errors import InputError

HEADER = "cache.json"
_FORMAT = 1
_SHARDS = "codes-*.safetensors"
_DECIDING = ("patch_embed.", "pos_embed.", "blocks.", "bsq_input_proj")
"""Names of the tokenizer's weights that pixels pass through on their way to bits."""
_VISION = ("hidden_size", "num_heads", "patch_size", "spatial_merge_size", "temporal_patch_size", "hidden_act", "deepstack_visual_indexes")
_PIXELS = ("do_rescale", "rescale_factor", "do_normalize", "image_mean", "image_std")


class CodeKey(NamedTuple):
    """What an image is found by."""

    sha256: str
    """Of its RGB bytes after the resize, row by row."""
    rows: int
    columns: int


def key_of(picture: Picture) -> CodeKey:
    """The key of a picture that has pixels."""
    return CodeKey(hashlib.sha256(picture.image.convert("RGB").tobytes()).hexdigest(), picture.rows, picture.columns)


def tokenizer_fingerprint(visual: Any, image_processor: Any) -> str:
    """sha256 over all that decides which bits an image gets: weights with their dtype, layout of the ViT, pixel normalisation.

    Args:
        visual: `UniARVisionModel`.
        image_processor: of the same checkpoint, or the processor that holds it.
    """
    digest = hashlib.sha256()
    p = getattr(image_processor, "image_processor", image_processor)
    settings = {k: getattr(visual.config, k) for k in _VISION} | {k: getattr(p, k) for k in _PIXELS}
    digest.update(json.dumps(settings, sort_keys=True, default=list).encode())
    for name, tensor in sorted(visual.state_dict().items()):
        if name.startswith(_DECIDING):
            digest.update(f"{name} {tensor.dtype} {tuple(tensor.shape)}".encode())
            digest.update(tensor.detach().cpu().contiguous().flatten().view(torch.uint8).numpy())
    return digest.hexdigest()


class CodeCache:
    """A cache folder, for reading.

    Args:
        folder: the cache.
        fingerprint: of the tokenizer in use.

    Raises:
        InputError: no cache there, or one that another tokenizer made.
    """

    def __init__(self, folder: Path, *, fingerprint: str):
        self.folder = Path(folder)
        self.shape = _checked_header(self.folder, fingerprint)
        """L, G, D."""
        self.unreadable: list[str] = []
        """Names of damaged shards; they are ignored, and a writer makes their codes again."""
        self._bits: list[Any] = []
        self._places: dict[CodeKey, tuple[int, int]] = {}
        for file in sorted(self.folder.glob(_SHARDS)):
            try:
                keys, starts, bits = _open_shard(file, fingerprint, self.shape)
            except (SafetensorError, OSError, ValueError):
                self.unreadable.append(file.name)
                continue
            self._places.update((key, (len(self._bits), start)) for key, start in zip(keys, starts, strict=True))
            self._bits.append(bits)

    def __len__(self) -> int:
        return len(self._places)

    def __contains__(self, key: object) -> bool:
        return key in self._places

    def get(self, key: CodeKey) -> np.ndarray | None:
        """Codes of an image: uint8 (N, L, G, D) in {0, 1}, read from the map; None when the cache has none."""
        if key not in self._places:
            return None
        shard, start = self._places[key]
        shape = (key.rows * key.columns, *self.shape)
        count = int(np.prod(shape))
        return np.unpackbits(self._bits[shard][start : start - (-count // 8)], count=count).reshape(shape)


def _open_shard(file: Path, fingerprint: str, shape: tuple[int, ...]) -> tuple[list[CodeKey], list[int], Any]:
    # The bits are a slice that stays on disk until a part of it is asked for.
    with safe_open(file, framework="numpy") as shard:
        if (shard.metadata() or {}).get("tokenizer") != fingerprint:
            raise ValueError("of another cache")
        digests, grids, bits = shard.get_tensor("sha256"), shard.get_tensor("grids"), shard.get_slice("bits")
    sizes = -(-grids.astype(np.int64).prod(1) * int(np.prod(shape)) // 8)
    ends = np.cumsum(sizes)
    if len(digests) != len(grids) or int(ends[-1]) != bits.get_shape()[0]:
        raise ValueError("an index that does not fit its bits")
    keys = [CodeKey(d.tobytes().hex(), *grid) for d, grid in zip(digests, grids.tolist(), strict=True)]
    return keys, (ends - sizes).tolist(), bits


def _checked_header(folder: Path, fingerprint: str) -> tuple[int, int, int]:
    file = folder / HEADER
    try:
        data = json.loads(file.read_text("utf-8"))
        form, made_by, (levels, group, bits) = data["format"], data["tokenizer"], data["shape"]
    except FileNotFoundError:
        raise InputError(f"{file}: got no such file; expected a cache of codes. Build it first.") from None
    except (OSError, ValueError, KeyError, TypeError) as error:
        told = f"got a damaged header ({reason(error)}); expected format, tokenizer and shape"
        raise InputError(f"{file}: {told}. Build the cache anew.") from None
    if form != _FORMAT:
        raise InputError(f"{file}: format: got {form}; expected {_FORMAT}. Build the cache anew.")
    if made_by != fingerprint:
        told = f"got codes made by {made_by}; expected {fingerprint}, the tokenizer in use"
        raise InputError(f"{file}: tokenizer: {told}. Build another cache for it.")
    return levels, group, bits


class CodeCacheWriter:
    """A cache folder, for adding to; a context that writes what is left when it ends, also by an error.

    Several processes may write to one folder: a shard's name follows from its content.

    Args:
        folder: the cache; made when absent.
        fingerprint: of the tokenizer that makes the codes.
        shape: (L, G, D).
        shard_bytes: packed size at which a shard is written; what a killed writer loses at most.

    Raises:
        InputError: the cache is another tokenizer's, or of another shape.
    """

    def __init__(self, folder: Path, *, fingerprint: str, shape: tuple[int, int, int], shard_bytes: int = 1 << 25):
        self.folder, self.shape = Path(folder), shape
        self._fingerprint, self._shard_bytes = fingerprint, shard_bytes
        header = {"format": _FORMAT, "tokenizer": fingerprint, "shape": list(shape)}
        if not (self.folder / HEADER).exists():
            self.folder.mkdir(parents=True, exist_ok=True)
            _write(self.folder / HEADER, f"{json.dumps(header, indent=2)}\n".encode())
        there = CodeCache(self.folder, fingerprint=fingerprint)
        if there.shape != tuple(shape):
            raise InputError(f"{self.folder / HEADER}: shape: got {list(there.shape)}; expected {list(shape)}. Build another cache.")
        self._there = there
        self._new: set[CodeKey] = set()
        self._waiting: list[tuple[CodeKey, np.ndarray]] = []
        self._size = 0

    def __enter__(self) -> CodeCacheWriter:
        return self

    def __exit__(self, *_: object) -> None:
        self.flush()

    def __contains__(self, key: object) -> bool:
        return key in self._there or key in self._new

    def add(self, key: CodeKey, codes: np.ndarray) -> None:
        """Keep the codes of an image; one that is there already is left as it is.

        Args:
            key: see `key_of`.
            codes: uint8 (N, L, G, D) in {0, 1}.

        Raises:
            InputError: another type or shape, or values beside 0 and 1.
        """
        wanted = (key.rows * key.columns, *self.shape)
        if codes.dtype != np.uint8 or codes.shape != wanted or codes.max() > 1:
            raise InputError(f"codes: got {codes.dtype} {codes.shape} up to {codes.max()}; expected uint8 {wanted} of 0 and 1.")
        if key in self:
            return
        packed = np.packbits(codes)
        self._new.add(key)
        self._waiting.append((key, packed))
        self._size += packed.size
        if self._size >= self._shard_bytes:
            self.flush()

    def flush(self) -> None:
        """Write what waits as one shard."""
        if not self._waiting:
            return
        keys = [key for key, _ in self._waiting]
        digests = np.array([list(bytes.fromhex(key.sha256)) for key in keys], np.uint8)
        grids = np.array([(key.rows, key.columns) for key in keys], np.int32)
        tensors = {"sha256": digests, "grids": grids, "bits": np.concatenate([bits for _, bits in self._waiting])}
        data = save(tensors, metadata={"tokenizer": self._fingerprint})
        _write(self.folder / f"codes-{hashlib.sha256(data).hexdigest()[:20]}.safetensors", data)
        self._waiting.clear()
        self._size = 0


def _write(path: Path, data: bytes) -> None:
    # Whole or absent, whatever happens; the name before the rename does not match `_SHARDS`.
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        with part.open("wb") as file:
            file.write(data)
            file.flush()
            os.fsync(file.fileno())
        os.replace(part, path)
    finally:
        part.unlink(missing_ok=True)
    handle = os.open(path.parent, os.O_RDONLY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


@dataclass(frozen=True, kw_only=True, slots=True)
class CacheReport:
    """What `build_cache` did."""

    images: int
    """Images of whole records, repetitions included."""
    encoded: int
    """Images whose codes were made now; the others were there or were met before."""
    broken: int
    """Records that could not be used."""


def build_cache(
    records: Mix | Records,
    visual: Any,
    image_processor: Any,
    folder: Path,
    *,
    batch_size: int = 32,
    shard_bytes: int = 1 << 25,
    report: Callable[[str], None],
) -> CacheReport:
    """Make the codes of every image of the stored records that the cache does not have; called again, it goes on.

    Args:
        records: one source, or a mix, of which every source on disk is taken (synthetic images are new each time).
        visual: `UniARVisionModel`, in eval mode.
        image_processor: of the same checkpoint, or the processor that holds it.
        folder: the cache.
        batch_size: images encoded together; on the CPU each is encoded alone, as elsewhere, so that its codes do not depend on others.
        shard_bytes: see `CodeCacheWriter`.
        report: called with one sentence for each broken record.

    Raises:
        InputError: the cache is another tokenizer's.
    """
    c = visual.config
    images = encoded = failed = 0
    waiting: dict[CodeKey, Picture] = {}
    encoder = PictureEncoder(visual, image_processor)
    fingerprint = tokenizer_fingerprint(visual, image_processor)
    with CodeCacheWriter(folder, fingerprint=fingerprint, shape=(c.num_levels, c.group_size, c.bsq_dim), shard_bytes=shard_bytes) as writer:

        def encode() -> None:
            # Images of one size stand together, so that they run as one batch.
            keys = sorted(waiting, key=lambda k: (k.rows, k.columns))
            for key, codes in zip(keys, encoder([waiting[k] for k in keys]), strict=True):
                writer.add(key, codes.numpy())
            waiting.clear()

        for source in records.stored if isinstance(records, Mix) else (records,):
            for i in range(len(source)):
                try:
                    sample = source.sample(i)
                except RecordError as error:
                    failed += 1
                    report(str(error))
                    continue
                for picture in (p for p in sample.parts if isinstance(p, Picture) and p.codes is None):
                    images += 1
                    key = key_of(picture)
                    if key not in writer and key not in waiting:
                        encoded += 1
                        waiting[key] = picture
                if len(waiting) >= batch_size:
                    encode()
        if waiting:
            encode()
    return CacheReport(images=images, encoded=encoded, broken=failed)


class CachedPictures:
    """Samples with codes instead of pixels wherever the cache has them.

    Args:
        cache: of the tokenizer in use.
    """

    def __init__(self, cache: CodeCache):
        self._cache = cache
        self.hits = 0
        """Pictures whose codes were found."""
        self.misses = 0
        """Pictures that keep their pixels; the training encodes them."""

    def __call__(self, sample: TrainingSample) -> TrainingSample:
        """The sample with its pictures exchanged, in its unconditional parts too."""
        exchanged: dict[int, Picture] = {}
        for part in sample.parts:
            if isinstance(part, Picture) and part.codes is None:
                codes = self._cache.get(key_of(part))
                self.hits, self.misses = self.hits + (codes is not None), self.misses + (codes is None)
                exchanged[id(part)] = part if codes is None else replace(part, codes=codes, image=None)

        def swapped(parts: tuple[Text | Picture, ...]) -> tuple[Text | Picture, ...]:
            return tuple(exchanged.get(id(part), part) for part in parts)

        return replace(sample, parts=swapped(sample.parts), unconditional=sample.unconditional and swapped(sample.unconditional))
