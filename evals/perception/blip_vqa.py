"""BLIP's probability of "yes" to a question about a picture: the first answer token, yes against no.

Source: Karine-Huang/T2I-CompBench 1b70949, `BLIPvqa_eval/models/blip_vqa.py` (`vqa_prob`), computed through transformers'
`BlipForQuestionAnswering` from its parts, since its `generate` gives words only.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any

from evals.errors import CanaryError, ModelError
from evals.perception.device import device_of
from evals.perception.on_disk import is_here

if TYPE_CHECKING:
    import torch
    from PIL import Image

MEAN = (0.48145466, 0.4578275, 0.40821073)
STD = (0.26862954, 0.26130258, 0.27577711)
MAX_TOKENS = 35
MAX_WORDS = 50
_DROPPED = re.compile(r"[.!\"()*#:;~]")


def cleaned(question: str) -> str:
    """Return a question as BLIP was trained on: lower case, some punctuation dropped, at most 50 words.

    >>> cleaned('A "red" Ball?')
    'a red ball?'
    """
    text = _DROPPED.sub("", question.lower()).rstrip(" ")
    return " ".join(text.split(" ")[:MAX_WORDS])


class BlipVqa:
    """Yes or no, as a probability."""

    name = "blip"

    def __init__(
        self, *, checkpoint: str = "Salesforce/blip-vqa-capfilt-large", image_size: int | None = None, device: str = "auto"
    ) -> None:
        """Find the weights on disk; they are read at the first question.

        Args:
            checkpoint: local folder, or Hub name that has been fetched before. Nothing is downloaded.
            image_size: side to which images are stretched; None takes the checkpoint's own.
            device: torch device; `auto` is cuda where there is one.

        Raises:
            ModelError: the weights are not on this machine.
        """
        self.checkpoint = checkpoint
        self.image_size = image_size
        self._device = device
        self._loaded: tuple[Any, Any, str] | None = None
        if not is_here(checkpoint):
            raise ModelError(
                f"vqa blip: checkpoint: got {checkpoint}; expected a folder with config.json, tokenizer and safetensors weights, or a "
                "Hub model in the local cache. Run `hf download Salesforce/blip-vqa-capfilt-large`, or copy the files to a folder and "
                "add --set roles.vqa.checkpoint=DIR."
            )

    def _load(self) -> tuple[Any, Any, str]:
        if self._loaded is not None:
            return self._loaded
        import torch
        from transformers import AutoTokenizer, BlipForQuestionAnswering

        device = device_of(self._device)
        try:
            tokenizer = AutoTokenizer.from_pretrained(self.checkpoint, local_files_only=True)
            model = BlipForQuestionAnswering.from_pretrained(
                self.checkpoint, local_files_only=True, use_safetensors=True, dtype=torch.float32
            )
        except (OSError, ValueError, RuntimeError) as error:
            reason = (str(error).strip() or type(error).__name__).splitlines()[0]
            raise ModelError(
                f"vqa blip: checkpoint: got {self.checkpoint}, which does not load ({reason}); expected a BLIP VQA model in safetensors. "
                "Fetch Salesforce/blip-vqa-capfilt-large, or convert its weights."
            ) from error
        self._loaded = (model.to(device).eval(), tokenizer, device)
        return self._loaded

    def _ids(self) -> tuple[int, int, int, int]:
        # Start of the answer, start of the question, yes, no. The two starts are BLIP's own tokens after BERT's words:
        # transformers' checkpoints keep their rows but not always their names.
        model, tokenizer, _ = self._load()
        words = model.config.text_config.vocab_size
        known = tokenizer.get_vocab()
        lacking = [word for word in ("yes", "no") if word not in known]
        if lacking:
            raise ModelError(f'vqa blip: tokenizer: got no word "{lacking[0]}"; expected BERT\'s words. Fetch the checkpoint again.')
        start = known.get("[DEC]", model.config.text_config.bos_token_id)
        return start, known.get("[ENC]", words - 1), known["yes"], known["no"]

    def canary(self) -> None:
        """Ask about a plain red and a plain blue picture.

        Raises:
            CanaryError: red is not likelier red than blue is: the weights are not those of a VQA model.
        """
        from PIL import Image

        red, blue = (Image.new("RGB", (96, 96), color) for color in ((220, 20, 20), (20, 20, 220)))
        right, wrong = self.probability(red, "red?"), self.probability(blue, "red?")
        if not right > wrong:
            raise CanaryError(
                f'vqa blip: canary: got {right:.3f} for "red?" on red and {wrong:.3f} on blue; expected more on red. '
                f"{self.checkpoint} holds no trained VQA model."
            )

    def pixels(self, image: Image.Image) -> torch.Tensor:
        """Return float32 (1, 3, S, S): stretched to a square, normalised."""
        import numpy as np
        import torch
        from PIL import Image as Images

        model, _, device = self._load()
        side = self.image_size or model.config.vision_config.image_size
        square = np.asarray(image.convert("RGB").resize((side, side), Images.Resampling.BICUBIC), np.float32) / 255
        normal = (square - np.float32(MEAN)) / np.float32(STD)
        return torch.from_numpy(normal).permute(2, 0, 1)[None].to(device)

    def probability(self, image: Image.Image, question: str) -> float:
        """Return P(yes) / (P(yes) + P(no)) of the first answer token.

        Args:
            image: RGB.
            question: `a red ball?`.
        """
        import torch

        model, tokenizer, device = self._load()
        start, encode, yes, no = self._ids()
        inputs = tokenizer(cleaned(question), truncation=True, max_length=MAX_TOKENS, return_tensors="pt").to(device)
        ids = inputs.input_ids
        ids[:, 0] = encode
        with torch.no_grad():
            seen = model.vision_model(pixel_values=self.pixels(image), interpolate_pos_encoding=True).last_hidden_state
            read = model.text_encoder(
                input_ids=ids,
                attention_mask=inputs.attention_mask,
                encoder_hidden_states=seen,
                encoder_attention_mask=torch.ones(seen.shape[:-1], dtype=torch.long, device=device),
            ).last_hidden_state
            logits = model.text_decoder(
                input_ids=torch.full((1, 1), start, device=device),
                encoder_hidden_states=read,
                encoder_attention_mask=inputs.attention_mask,
            ).logits[0, 0]
        # The quotient of two softmax entries is the logistic of their difference.
        return float(torch.sigmoid((logits[yes] - logits[no]).float()))
