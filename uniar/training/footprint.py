"""Memory of a stage on each GPU, part by part, from the sizes of its modules; nothing is allocated.

Weights, gradients and optimiser are float32 whatever `precision` says (`uniar.training.optim`). DDP copies them to every process
and adds buckets for the exchange of gradients; FSDP2 splits them, gathers the outer part for a whole step and each block for the
moment of its use, and leaves whole what it does not know: frozen modules beside the stage, and the casts that autocast makes.
Not counted: what is alive for a moment only, the libraries' own buffers, and the allocator's slack.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import NamedTuple

from torch import Tensor, nn

from uniar.training.activations import Kept
from uniar.training.optim import LoopConfig, hidden_matrices

FLOAT, HALF = 4, 2
"""Bytes of a float32 and of a bfloat16."""
ALWAYS, LEARNING, SAMPLING = "always", "learning", "sampling"
"""When a part is there: sampling is GRPO's rollout, between two steps of learning."""
SPLIT, WHOLE = "/ N", "whole"
"""What becomes of a part under fsdp2."""


class Part(NamedTuple):
    """One part of the memory."""

    name: str
    formula: str
    none: float
    """Bytes on each GPU with `sharding: none`."""
    fsdp2: float
    """Bytes with `sharding: fsdp2`."""
    split: str
    """What fsdp2 does with it; empty: the formula tells."""
    when: str = ALWAYS


class Beside(NamedTuple):
    """Modules that stand beside the stage on every device and are never split."""

    name: str
    formula: str
    modules: tuple[nn.Module, ...]


@dataclass(frozen=True, kw_only=True)
class Footprint:
    """What decides the memory of a stage."""

    module: nn.Module
    """What the engine holds."""
    path: tuple[nn.Module, ...]
    """Its parts that the loss goes through."""
    config: LoopConfig
    """Optimiser, precision, sharding."""
    kept: Kept
    """Bytes that autograd keeps of a row."""
    rows: int
    """Rows that run through the model together."""
    beside: tuple[Beside, ...] = ()
    """Frozen modules."""
    cache: float = 0.0
    """Bytes of keys and values in a rollout."""
    samples: bool = False
    """Whether the stage uses its whole weights outside the forward, in a rollout."""

    @property
    def trained(self) -> list[Tensor]:
        """What the optimiser is given."""
        return [p for p in self.module.parameters() if p.requires_grad]

    @property
    def reached(self) -> list[Tensor]:
        """What gets gradients, and so has optimiser state."""
        return [p for p in _unique(p for part in self.path for p in part.parameters()) if p.requires_grad]

    def optimizer_bytes(self) -> int:
        """All slots of the optimisers: AdamW's two moments and step, Muon's momentum."""
        muon = {id(p) for p in hidden_matrices(self.module)} if self.config.optimizer == "muon" else set()
        slots = {True: (FLOAT, 0), False: (2 * FLOAT, FLOAT)}
        return sum(slots[id(p) in muon][0] * p.numel() + slots[id(p) in muon][1] for p in self.reached)

    def parts(self, processes: int) -> tuple[Part, ...]:
        """The memory on each of so many GPUs."""
        c, n = self.config, processes
        held, trained, reached = size(self.module.parameters()), size(self.trained), size(self.reached)
        buffers = _bytes(self.module.buffers())
        accumulate, average = getattr(c, "accumulate", 1), getattr(c, "ema", 0.0)
        out = [
            Part("weights", f"4 B x {held:,} held", FLOAT * held + buffers, FLOAT * held / n + buffers, SPLIT),
            self._gradients(reached, n, whole=accumulate > 1),
        ]
        if n > 1:
            out.append(Part("gradient buckets", f"4 B x {trained:,} trained", FLOAT * trained, 0, "not needed"))
        told = "Muon 4 B x hidden matrices, AdamW 8 B x the rest" if c.optimizer == "muon" else f"AdamW 8 B x {reached:,}"
        slots = self.optimizer_bytes()
        out.append(Part("optimiser", told, slots, slots / n, SPLIT))
        if average:
            out.append(Part("running average", f"4 B x {trained:,} trained", FLOAT * trained, FLOAT * trained / n, SPLIT))
        out += [self._frozen(b) for b in self.beside]
        if c.precision == "bfloat16":
            casts = HALF * size(_matrices(self.path))
            out.append(Part("bfloat16 casts", "2 B x matrices that the loss goes through", casts, casts, WHOLE))
        if n > 1:
            out.append(self._gathered(gradients=accumulate == 1))
        recomputed = getattr(c, "gradient_checkpointing", False)
        kept = self.activations(checkpointing=recomputed)
        told = f"{self.rows:,} rows, gradient checkpointing {'on' if recomputed else 'off'}"
        out.append(Part("activations", told, kept, kept, WHOLE, LEARNING))
        if self.samples:
            gathered = FLOAT * held if n > 1 else 0
            out.append(Part("rollout", "keys and values", self.cache, self.cache + gathered, "and 4 B x all held", SAMPLING))
        return tuple(out)

    def activations(self, *, checkpointing: bool) -> float:
        """Bytes that autograd keeps of a micro-batch."""
        return self.rows * self.kept.bytes(checkpointing=checkpointing)

    def _gradients(self, reached: int, n: int, *, whole: bool) -> Part:
        split = "whole until the last micro-batch" if whole else SPLIT
        return Part("gradients", f"4 B x {reached:,} that the loss reaches", FLOAT * reached, FLOAT * reached / (1 if whole else n), split)

    def _frozen(self, beside: Beside) -> Part:
        held = sum(FLOAT * size(m.parameters()) + _bytes(m.buffers()) for m in beside.modules)
        return Part(beside.name, beside.formula, held, held, WHOLE)

    def _gathered(self, *, gradients: bool) -> Part:
        """Outer part for the step, the block in use and the next one; with their gradients before these are shared out."""
        blocks = [list(block.parameters()) for block in self.module.repeated_blocks()]
        inner = {id(p) for block in blocks for p in block}
        outer = [p for p in self.module.parameters() if id(p) not in inner]
        gets = {id(p) for p in self.reached} if gradients else set()
        taken = _weighed(outer, gets) + 2 * max((_weighed(block, gets) for block in blocks), default=0)
        told = f"fsdp2: 4 B x ({size(outer):,} outside the blocks + two blocks){', and gradients' if gradients else ''}"
        return Part("gathered", told, 0, FLOAT * taken, "", LEARNING)


def total(parts: Sequence[Part], sharding: str) -> float:
    """Bytes at the fuller of the two moments, learning or sampling."""
    of = {when: sum(getattr(p, sharding) for p in parts if p.when == when) for when in (ALWAYS, LEARNING, SAMPLING)}
    return of[ALWAYS] + max(of[LEARNING], of[SAMPLING])


def size(parameters: Iterable[Tensor]) -> int:
    """Numbers in them."""
    return sum(p.numel() for p in parameters)


def _weighed(parameters: Iterable[Tensor], gets: set[int]) -> int:
    return sum(p.numel() * (1 + (id(p) in gets)) for p in parameters)


def _bytes(buffers: Iterable[Tensor]) -> int:
    return sum(b.numel() * b.element_size() for b in buffers)


def _unique(parameters: Iterable[Tensor]) -> list[Tensor]:
    return list({id(p): p for p in parameters}.values())


def _matrices(path: Iterable[nn.Module]) -> list[Tensor]:
    # What autocast casts: linear layers and convolutions, frozen ones too, since gradients pass through them.
    kinds = (nn.Linear, nn.Conv2d, nn.Conv3d)
    return _unique(p for part in path for m in part.modules() if isinstance(m, kinds) for p in m.parameters(recurse=False))
