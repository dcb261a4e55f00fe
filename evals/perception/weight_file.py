"""Weights of measuring networks on this machine: where each file lies, what it is made from, and how a pickle becomes safetensors.

Scorers read safetensors alone. The networks below are published as pickles, so each is converted once by
`uniar-eval convert-weights`, through torch's restricted reader (`evals.perception.mask2former_convert.read_state`). Nothing is fetched.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.datasets.local import data_root
from evals.errors import ModelError
from evals.store import atomic

if TYPE_CHECKING:
    import torch


@dataclass(frozen=True, slots=True)
class Published:
    """A file of weights as its authors publish it."""

    file: str
    """Name there."""
    where: str
    """Who has it."""

    @property
    def converted(self) -> str:
        """Name after the conversion."""
        return Path(self.file).stem + ".safetensors"


PUBLISHED: dict[str, Published] = {
    "inception": Published("weights-inception-2015-12-05-6726825d.pth", "github.com/toshas/torch-fidelity, release v0.2.0"),
    "lpips-alex": Published("alexnet-owt-7be5be79.pth", "download.pytorch.org/models"),
    "lpips-vgg": Published("vgg16-397923af.pth", "download.pytorch.org/models"),
    "lpips-squeeze": Published("squeezenet1_1-b8a52dc0.pth", "download.pytorch.org/models"),
    "hpsv2-v2.0": Published("HPS_v2_compressed.pt", "huggingface.co/xswu/HPSv2"),
    "hpsv2-v2.1": Published("HPS_v2.1_compressed.pt", "huggingface.co/xswu/HPSv2"),
    "imagereward": Published("ImageReward.pt", "huggingface.co/THUDM/ImageReward"),
    "aesthetic": Published("sac+logos+ava1-l14-linearMSE.pth", "github.com/christophschuhmann/improved-aesthetic-predictor"),
}
"""Network -> its published file."""


def folder() -> Path:
    """Where converted weights are looked for; it need not exist."""
    return data_root() / "weights"


def find(network: str, checkpoint: str | None, *, asked: str) -> Path:
    """Return the safetensors file of a network.

    Args:
        network: key of `PUBLISHED`.
        checkpoint: a file elsewhere that the suite names; None looks into `folder()`.
        asked: who needs it and by which setting, for the message: `scorer hpsv2: checkpoint`.

    Raises:
        ModelError: it is not there, or is no safetensors file; the sentence tells how to get it.
    """
    published = PUBLISHED[network]
    path = folder() / published.converted if checkpoint is None else Path(checkpoint)
    remedy = (
        f"Download {published.file} ({published.where}) and run `uniar-eval convert-weights {published.file} "
        f"{folder() / published.converted}`."
    )
    if path.is_file() and path.suffix == ".safetensors":
        return path
    got = f"{path}, which is no safetensors file" if path.is_file() else f"no file {path}"
    raise ModelError(f"{asked}: got {got}; expected the weights of {network} as safetensors. {remedy}")


def read(path: Path) -> dict[str, torch.Tensor]:
    """Read a safetensors file whole, on the CPU.

    Raises:
        ModelError: damaged.
    """
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    try:
        return load_file(path)
    except (OSError, ValueError, SafetensorError) as error:
        raise ModelError(f"{path}: got an unreadable file ({error}); expected safetensors. Convert it again.") from error


def load_into(network: Any, state: dict[str, torch.Tensor], *, path: Path, what: str) -> None:
    """Load tensors into a module, every name and shape checked; batch norm's step counters may be absent (published files lack them).

    Raises:
        ModelError: a name or a shape that does not fit, the first of them named.
    """
    own = network.state_dict()
    lacking = sorted(name for name in own if name not in state and not name.endswith("num_batches_tracked"))
    foreign = sorted(name for name in state if name not in own)
    odd = sorted(name for name in own if name in state and own[name].shape != state[name].shape)
    problem = ""
    if lacking:
        problem = f"{lacking[0]}: got nothing"
    elif foreign:
        problem = f"{foreign[0]}: got a tensor that {what} does not have"
    elif odd:
        problem = f"{odd[0]}: got {tuple(state[odd[0]].shape)} where {what} has {tuple(own[odd[0]].shape)}"
    if problem:
        raise ModelError(f"{path}: {problem}; expected the weights of {what}. Convert the published file again.")
    network.load_state_dict(state, strict=False)


def convert(source: Path, target: Path) -> int:
    """Write the tensors of a published file as safetensors; names stay as they are.

    Args:
        source: `.pt`, `.pth` or `.safetensors`.
        target: `.safetensors`; an existing file is not overwritten.

    Returns:
        Number of tensors.

    Raises:
        ModelError: nothing to read, something else than plain tensors, or a target that cannot be written.
    """
    from safetensors.torch import save

    from evals.perception.mask2former_convert import read_state

    if target.suffix != ".safetensors":
        raise ModelError(f'{target}: got "{target.suffix}"; expected a name that ends in .safetensors. Rename OUT.')
    if target.exists():
        raise ModelError(f"{target}: got a file that is there already; expected a new name. Remove it or give another OUT.")
    if not source.is_file() or source.suffix not in (".pt", ".pth", ".safetensors"):
        raise ModelError(f"{source}: got no .pt, .pth or .safetensors file; expected a published file of weights. Check the path.")
    try:
        state = read_state(source)
    except ModelError as error:
        raise ModelError(
            f"{source}: got a file that torch's restricted reader does not take as plain tensors; expected a state dict. Download it "
            "again, or save its state_dict as .safetensors in an environment you trust."
        ) from error
    # Tensors that share memory cannot be saved: each gets its own.
    data = save({name: value.detach().clone().contiguous() for name, value in state.items()})
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        atomic.write_bytes(target, data)
    except OSError as error:
        raise ModelError(f"{target}: got {error.strerror}; expected a place that can be written. Give another OUT.") from error
    return len(state)
