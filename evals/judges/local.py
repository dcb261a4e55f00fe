"""A judge on this machine: any vision-language model that transformers knows, from a folder or the Hub's local cache.

Nothing is downloaded, only safetensors are read, and no code of a checkpoint is run. Greedy unless a temperature is set.
"""

from __future__ import annotations

import copy
import hashlib
import threading
import time
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from evals.errors import ModelError, PluginError
from evals.judges import pictures
from evals.judges.canary import check_sight
from evals.judges.ledger import digest
from evals.protocols import Reply
from evals.store import atomic
from evals.types import Outcome

if TYPE_CHECKING:
    import torch
    from PIL import Image

_DTYPES = ("auto", "float32", "bfloat16", "float16")


class LocalJudge:
    """Ask a model in this process, one question at a time."""

    name = "local"
    concurrency = 1

    def __init__(
        self,
        *,
        model: str,
        revision: str = "main",
        device: str = "auto",
        dtype: str = "auto",
        temperature: float | None = None,
        top_p: float | None = None,
        seed: int = 0,
        max_tokens: int = 512,
        chat_template_kwargs: dict[str, Any] | None = None,
        canary: bool = True,
    ) -> None:
        """Check the settings; the weights are looked for by `canary` and read at the first question.

        Args:
            model: folder, or Hub name that has been fetched before.
            revision: of a Hub name; a commit makes the suite exact.
            device: torch device; `auto` is cuda where there is one.
            dtype: float32, bfloat16, float16, or `auto`: as the checkpoint is stored.
            temperature: of the draws; None or 0 takes the likeliest token.
            top_p: nucleus of the draws.
            seed: of the draws, together with the question, the images and the number of the try.
            max_tokens: longest reply, unless the scorer asks for another.
            chat_template_kwargs: switches of the model's chat template (`enable_thinking`).
            canary: show a red picture first and expect "red"; false for judges that do not chat.

        Raises:
            PluginError: a setting that cannot be.
        """
        for key, got, good, expected in (
            ("dtype", dtype, dtype in _DTYPES, f"one of {', '.join(_DTYPES)}"),
            ("max_tokens", max_tokens, max_tokens > 0, "more than 0"),
            ("temperature", temperature, temperature is None or temperature >= 0, "at least 0"),
            ("top_p", top_p, top_p is None or 0 < top_p <= 1, "more than 0 and at most 1"),
        ):
            if not good:
                raise PluginError(f"judge local: {key}: got {got}; expected {expected}.")
        self.model_name = model
        self.wants_canary = canary
        self._revision = revision
        self._device = device
        self._dtype = dtype
        self._temperature = float(temperature) if temperature else None
        self._top_p = float(top_p) if top_p and self._temperature else None
        self._seed = seed
        self._max_tokens = max_tokens
        self._template = dict(chat_template_kwargs or {})
        self._lock = threading.Lock()
        self._loaded: tuple[Any, Any, str] | None = None

    def identity(self) -> dict[str, Any]:
        """Return model, precision and decoding settings; needs no weights."""
        found = {"judge": self.name, "model": self.model_name, "dtype": self._dtype, "max_tokens": self._max_tokens}
        if self._revision != "main":
            found["revision"] = self._revision
        if self._temperature:
            found |= {"temperature": self._temperature, "top_p": self._top_p, "seed": self._seed}
        return {**found, **({"chat_template_kwargs": self._template} if self._template else {})}

    def canary(self, ask: Callable[..., Reply] | None = None) -> None:
        """Check that the weights are there, then (unless `canary: false`) that the judge sees.

        Args:
            ask: asks in this judge's stead, to keep the reply; None asks directly.

        Raises:
            ModelError: no weights, or not a whole vision-language model.
            CanaryError: the judge does not see.
        """
        self._folder()
        if self.wants_canary:
            check_sight(ask or self.ask, judge=self.name, model=self.model_name)

    def ask(
        self,
        question: str,
        images: Sequence[Image.Image] = (),
        *,
        system: str | None = None,
        max_tokens: int | None = None,
        images_first: bool = False,
        attempt: int = 0,
    ) -> Reply:
        """Ask once; what fails on this question alone (an image too small, no memory left) is a `judge_error`.

        A reply cut at its longest is `ok` with its text; `error` then notes the cut.

        Raises:
            ModelError: no weights, or not a whole vision-language model.
        """
        pictured = [{"type": "image", "image": image.convert("RGB")} for image in images]
        text = {"type": "text", "text": question}
        messages = [{"role": "user", "content": [*pictured, text] if images_first else [text, *pictured]}]
        if system is not None:
            messages.insert(0, {"role": "system", "content": [{"type": "text", "text": system}]})
        limit = max_tokens or self._max_tokens
        drawn = digest([self._seed, question, system, [pictures.address(image) for image in images], limit, images_first, attempt])
        with self._lock:
            model, processor, version = self._load()
            started = time.perf_counter()
            try:
                prompt, tokens = self._generate(model, processor, messages, limit, seed=int(drawn[:15], 16))
            except (RuntimeError, ValueError, IndexError) as error:
                told = " ".join(str(error).split())[:240]
                seconds = round(time.perf_counter() - started, 3)
                why = f"judge local: {type(error).__name__}: {told}"
                return Reply(outcome=Outcome.JUDGE_ERROR, error=why, version=version, seconds=seconds)
            cut = len(tokens) >= limit and tokens[-1] not in _ends(model)
            return Reply(
                text=processor.decode(tokens, skip_special_tokens=True),
                error="judge local: the reply was cut at max_tokens." if cut else "",
                version=version,
                prompt_tokens=prompt,
                completion_tokens=len(tokens),
                seconds=round(time.perf_counter() - started, 3),
            )

    def _generate(self, model: Any, processor: Any, messages: list[dict[str, Any]], limit: int, *, seed: int) -> tuple[int, list[int]]:
        """Return (length of the prompt in tokens, tokens of the reply)."""
        import torch

        inputs = processor.apply_chat_template(
            messages, add_generation_prompt=True, tokenize=True, return_dict=True, return_tensors="pt", **self._template
        )
        inputs = inputs.to(model.device, dtype=model.dtype)
        config = copy.deepcopy(model.generation_config)
        config.max_new_tokens = limit
        config.do_sample = self._temperature is not None
        config.temperature, config.top_p = self._temperature, self._top_p
        config.top_k = None if self._temperature is None else 0
        length = inputs["input_ids"].shape[1]
        # The draws of a judge must neither depend on nor move anybody else's.
        with torch.inference_mode(), torch.random.fork_rng(devices=_cuda(model.device)):
            torch.manual_seed(seed)
            found = model.generate(**inputs, generation_config=config)
        return length, found[0, length:].tolist()

    def _load(self) -> tuple[Any, Any, str]:
        if self._loaded is None:
            self._loaded = self._read()
        return self._loaded

    def _read(self) -> tuple[Any, Any, str]:
        import torch
        from transformers import AutoModelForImageTextToText, AutoProcessor

        folder = self._folder()
        device = self._device if self._device != "auto" else ("cuda" if torch.cuda.is_available() else "cpu")
        dtype = "auto" if self._dtype == "auto" else getattr(torch, self._dtype)
        safe: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            processor = AutoProcessor.from_pretrained(folder, **safe)
            model, report = AutoModelForImageTextToText.from_pretrained(
                folder, dtype=dtype, use_safetensors=True, output_loading_info=True, **safe
            )
        except (OSError, ValueError, RuntimeError, KeyError, ImportError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0][:240]
            raise self._unreadable(f"which cannot be read ({reason})") from error
        # A partly initialised judge would give plausible, wrong verdicts.
        absent = sorted([*map(str, report["missing_keys"]), *(str(key) for key in report["mismatched_keys"])])
        if absent:
            raise self._unreadable(f"without {len(absent)} weights, {absent[0]} first")
        if not getattr(processor, "chat_template", None):
            raise self._unreadable("without a chat template")
        return model.to(device).eval(), processor, self._version(folder)

    def _folder(self) -> Path:
        from huggingface_hub import try_to_load_from_cache
        from huggingface_hub.errors import HFValidationError

        if Path(self.model_name).joinpath("config.json").is_file():
            return Path(self.model_name)
        try:
            # Asked of the cache folder alone: no network, no hang.
            found = try_to_load_from_cache(self.model_name, "config.json", revision=self._revision)
        except HFValidationError:
            found = None
        if isinstance(found, str):
            return Path(found).parent
        fetch = "copy a vision-language model to a folder and name it"
        if self.model_name.count("/") == 1 and self.model_name[0] not in "./~":
            fetch = f"Run `hf download {self.model_name}`, or {fetch}"
        raise ModelError(
            f"judge local: model: got {self.model_name}; expected a folder with config.json and safetensors, or a Hub model in the "
            f"local cache. {fetch[0].upper()}{fetch[1:]} (--set roles.judge.model=DIR)."
        )

    def _version(self, folder: Path) -> str:
        if not Path(self.model_name).joinpath("config.json").is_file():
            # The cache names a snapshot's folder by its commit.
            return f"{self.model_name}@{folder.name[:12]}"
        found = hashlib.sha256()
        for path in sorted(folder.glob("*.safetensors")):
            found.update(f"{path.name} {atomic.sha256(path)}\n".encode())
        return f"{folder.resolve().name}@sha256:{found.hexdigest()[:12]}"

    def _unreadable(self, what: str) -> ModelError:
        return ModelError(
            f"judge local: model: got {self.model_name}, {what}; expected a whole vision-language model with processor, chat template "
            "and safetensors. Fetch or copy it again."
        )


def _ends(model: Any) -> list[int]:
    end = model.generation_config.eos_token_id
    return [] if end is None else [end] if isinstance(end, int) else list(end)


def _cuda(device: torch.device) -> list[int]:
    return [device.index or 0] if device.type == "cuda" else []
