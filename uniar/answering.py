"""The half of a checkpoint's verbs that answers in words: `understand`, and how likely given answers are.

A question with its images becomes the model's inputs through the checkpoint's own chat template. `pipeline.UniAR` adds the verbs that
make images.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from PIL import Image
from torch import Tensor

from uniar.errors import InputError
from uniar.generation.likelihood import Likelihood, likelihoods
from uniar.generation.prompt import defused, interleaved


class Answering:
    """Answers questions about images; mixed into `pipeline.UniAR`."""

    model: Any
    processor: Any
    device: torch.device

    @torch.inference_mode()
    def understand(
        self,
        prompts: Sequence[str],
        images: Sequence[Image.Image | Sequence[Image.Image] | None],
        *,
        max_new_tokens: int = 64,
        temperature: float = 0.0,
        seeds: Sequence[int] | None = None,
    ) -> list[str]:
        """Answer questions about images.

        Args:
            prompts: B questions.
            images: B times an image, which is shown before the words; several, which are shown where the words say `<image 1>`,
                `<image 2>`, ... and else before them (see `interleaved`); or None, which asks without one.
            max_new_tokens: longest answer, in tokens.
            temperature: 0 is greedy.
            seeds: B seeds, needed when sampling.

        Returns:
            B answers without special tokens.

        Raises:
            InputError: no seeds when sampling, or words that name an image that is not given.
        """
        if temperature > 0 and seeds is None:
            raise InputError(f"seeds: got none; temperature {temperature} samples, so every prompt needs a seed.")
        answers = []
        for i, (prompt, given) in enumerate(zip(prompts, images, strict=True)):
            inputs = self._asked(prompt, given)
            options: dict[str, Any] = {"do_sample": False}
            if temperature > 0:
                options = {"do_sample": True, "temperature": temperature, "top_k": 0}
            # transformers samples from the global stream; it is forked so that the caller's is untouched.
            with torch.random.fork_rng(devices=[] if self.device.type == "cpu" else [self.device]):
                if temperature > 0:
                    torch.manual_seed(seeds[i])
                out = self.model.generate(
                    **inputs, max_new_tokens=max_new_tokens, eos_token_id=self._stop_ids(), pad_token_id=self._pad_id(), **options
                )
            answers.append(self.processor.tokenizer.decode(out[0, inputs["input_ids"].shape[1] :], skip_special_tokens=True).strip())
        return answers

    def likelihoods(
        self,
        prompts: Sequence[str],
        images: Sequence[Image.Image | Sequence[Image.Image] | None],
        continuations: Sequence[Sequence[str]],
    ) -> list[list[Likelihood]]:
        """How likely each of some answers is, instead of asking for one: log-likelihood scoring of options.

        Args:
            prompts: B questions.
            images: as `understand`.
            continuations: for each question the answers, as the model would write them from their first character on.

        Returns:
            For each question one `Likelihood` an answer, in order.

        Raises:
            InputError: an answer without a character, or words that name an image that is not given.
        """
        found = []
        for prompt, given, answers in zip(prompts, images, continuations, strict=True):
            ids = [self.processor.tokenizer(defused(answer), add_special_tokens=False)["input_ids"] for answer in answers]
            if not all(ids):
                raise InputError("continuations: got an empty one; expected at least one character. Leave it out.")
            found.append(likelihoods(self.model, self._asked(prompt, given), ids) if ids else [])
        return found

    # -- parts -----------------------------------------------------------------------------------------------------

    def _stop_ids(self) -> list[int]:
        tokenizer = self.processor.tokenizer
        stops = {tokenizer.eos_token_id, tokenizer.convert_tokens_to_ids("<|im_end|>")}
        return sorted(s for s in stops if s is not None)

    def _pad_id(self) -> int:
        tokenizer = self.processor.tokenizer
        return tokenizer.pad_token_id if tokenizer.pad_token_id is not None else 0

    def _asked(self, prompt: str, given: Image.Image | Sequence[Image.Image] | None) -> dict[str, Tensor]:
        """A question with its images as the model's inputs, up to the assistant's first word."""
        told: list[str | Image.Image]
        if given is None or isinstance(given, Image.Image):
            told = [prompt] if given is None else [given, prompt]
        else:
            told = [piece if isinstance(piece, str) else given[piece] for piece in interleaved(prompt, len(given))]
        content = [{"type": "text", "text": defused(p)} if isinstance(p, str) else {"type": "image", "image": p} for p in told]
        shown = [piece.convert("RGB") for piece in told if isinstance(piece, Image.Image)]
        text = self.processor.apply_chat_template([{"role": "user", "content": content}], add_generation_prompt=True, tokenize=False)
        inputs = self.processor(text=[text], images=shown or None, return_tensors="pt")
        return {k: inputs[k].to(self.device) for k in ("input_ids", "attention_mask", "pixel_values", "image_grid_thw") if k in inputs}
