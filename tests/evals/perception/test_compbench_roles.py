"""BLIP, DPT and CLIP through the code of the large models with small random weights; spaCy that is not there."""

from __future__ import annotations

import importlib.util
import json
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from PIL import Image
from safetensors.torch import save_file

from evals.errors import CanaryError, DataError, ModelError
from evals.perception.blip_vqa import MEAN, STD, BlipVqa, cleaned
from evals.perception.clip_similarity import ClipSimilarity
from evals.perception.dpt_depth import DptDepth
from evals.perception.phrases import SpacyPhrases
from evals.perception.shapes_vqa import ShapesPhrases, ShapesVqa

NAME = "uniar-test-tiny-similarity"
WORDS = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", "yes", "no", "a", "red", "blue", "ball", "?"]


def picture(seed: int = 0, size: tuple[int, int] = (40, 24)) -> Image.Image:
    return Image.fromarray(np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), dtype=np.uint8))


@pytest.fixture(scope="module")
def blip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import BertTokenizer, BlipConfig, BlipForQuestionAnswering

    folder = tmp_path_factory.mktemp("blip")
    (folder / "vocab.txt").write_text("\n".join(WORDS))
    BertTokenizer(str(folder / "vocab.txt")).save_pretrained(folder)
    # Two rows after the words: the start of an answer and of a question, as in the released checkpoints.
    text = {
        "vocab_size": len(WORDS) + 2,
        "hidden_size": 16,
        "encoder_hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "bos_token_id": len(WORDS),
        "sep_token_id": 3,
        "pad_token_id": 0,
        "projection_dim": 16,
    }
    vision = {
        "hidden_size": 16,
        "intermediate_size": 32,
        "num_hidden_layers": 2,
        "num_attention_heads": 2,
        "image_size": 32,
        "patch_size": 8,
    }
    with torch.random.fork_rng():
        torch.manual_seed(0)
        model = BlipForQuestionAnswering(BlipConfig(text_config=text, vision_config=vision))
        for parameter in model.parameters():
            torch.nn.init.normal_(parameter, std=0.3)
    model.save_pretrained(folder)
    return folder


def test_probability_of_yes_is_that_of_the_whole_model(blip: Path) -> None:
    from transformers import BlipForQuestionAnswering

    vqa = BlipVqa(checkpoint=str(blip), device="cpu")
    got = vqa.probability(picture(), 'A "red" ball?')
    # The released forward with the answer's start alone, and its softmax over all words.
    model = BlipForQuestionAnswering.from_pretrained(blip).eval()
    encode = len(WORDS) + 1
    ids = torch.tensor([[encode, *(WORDS.index(word) for word in ("a", "red", "ball", "?")), 3]])
    square = np.asarray(picture().resize((32, 32), Image.Resampling.BICUBIC), np.float32) / 255
    pixels = torch.from_numpy((square - np.float32(MEAN)) / np.float32(STD)).permute(2, 0, 1)[None]
    kept = {}
    model.text_decoder.register_forward_hook(lambda module, inputs, output: kept.update(logits=output.logits))
    with torch.no_grad():
        model(input_ids=ids, pixel_values=pixels, attention_mask=torch.ones_like(ids), decoder_input_ids=torch.tensor([[len(WORDS)]]))
    chances = torch.softmax(kept["logits"][0, 0], -1)
    yes, no = float(chances[WORDS.index("yes")]), float(chances[WORDS.index("no")])
    assert got == pytest.approx(yes / (yes + no), abs=1e-6)
    assert 0.001 < got < 0.999
    assert vqa.probability(picture(1), "a blue ball?") != pytest.approx(got, abs=1e-4)


def test_another_size_of_image(blip: Path) -> None:
    vqa = BlipVqa(checkpoint=str(blip), image_size=48, device="cpu")
    assert vqa.pixels(picture()).shape == (1, 3, 48, 48)
    assert 0 < vqa.probability(picture(), "a ball?") < 1


def test_questions_are_cleaned_as_in_training() -> None:
    assert cleaned("The (Red) Ball; two: x~!?") == "the red ball two x?"
    assert len(cleaned("a " * 60).split(" ")) == 50


def test_untrained_weights_fail_their_canary(blip: Path) -> None:
    vqa = BlipVqa(checkpoint=str(blip), device="cpu")
    vqa.probability = lambda image, question: 0.5  # type: ignore[method-assign]
    with pytest.raises(CanaryError, match="expected more on red"):
        vqa.canary()


def test_blip_that_is_not_there(tmp_path: Path, blip: Path) -> None:
    with pytest.raises(ModelError, match="hf download Salesforce/blip-vqa-capfilt-large"):
        BlipVqa(checkpoint=str(tmp_path))
    (tmp_path / "config.json").write_text((blip / "config.json").read_text())
    with pytest.raises(ModelError, match="which does not load"):
        BlipVqa(checkpoint=str(tmp_path), device="cpu").probability(picture(), "a ball?")


@pytest.fixture(scope="module")
def dpt(tmp_path_factory: pytest.TempPathFactory) -> Path:
    from transformers import DPTConfig, DPTForDepthEstimation

    folder = tmp_path_factory.mktemp("dpt")
    config = DPTConfig(
        hidden_size=16, num_hidden_layers=4, num_attention_heads=2, intermediate_size=32, image_size=32, patch_size=8,
        is_hybrid=False, backbone_out_indices=[0, 1, 2, 3], neck_hidden_sizes=[8, 8, 8, 8], fusion_hidden_size=8,
        reassemble_factors=[4, 2, 1, 0.5], use_auxiliary_head=False,
    )  # fmt: skip
    with torch.random.fork_rng():
        torch.manual_seed(0)
        DPTForDepthEstimation(config).save_pretrained(folder)
    return folder


def test_depth_is_scaled_and_of_the_images_size(dpt: Path) -> None:
    from transformers import DPTForDepthEstimation

    depth = DptDepth(checkpoint=str(dpt), device="cpu").depth(picture())
    assert depth.shape == (24, 40) and depth.dtype == np.float32
    square = np.asarray(picture().resize((32, 32), Image.Resampling.BILINEAR), np.float32) / 255
    with torch.no_grad():
        found = DPTForDepthEstimation.from_pretrained(dpt).eval()(torch.from_numpy((square - 0.5) / 0.5).permute(2, 0, 1)[None])
    found = found.predicted_depth
    found = (found - found.min()) / (found.max() - found.min())
    whole = torch.nn.functional.interpolate(found[None], size=(24, 40), mode="bilinear", align_corners=True)[0, 0].numpy()
    assert np.abs(depth - whole).max() <= 1 / 255 + 1e-6
    assert depth.max() > 0.5 and len(np.unique(depth)) > 20


def test_depth_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match="hf download Intel/dpt-hybrid-midas"):
        DptDepth(checkpoint=str(tmp_path))
    (tmp_path / "config.json").write_text("{}")
    with pytest.raises(ModelError, match="which does not load"):
        DptDepth(checkpoint=str(tmp_path), device="cpu").depth(picture())


@pytest.fixture(scope="module")
def clip(tmp_path_factory: pytest.TempPathFactory) -> Path:
    import open_clip

    folder = tmp_path_factory.mktemp("clip")
    vision = {"image_size": 32, "layers": 1, "width": 32, "head_width": 16, "patch_size": 16}
    text = {"context_length": 16, "vocab_size": 49408, "width": 16, "heads": 2, "layers": 1}
    config = {"embed_dim": 16, "vision_cfg": vision, "text_cfg": text}
    (folder / f"{NAME}.json").write_text(json.dumps(config))
    open_clip.add_model_config(folder / f"{NAME}.json")
    with torch.random.fork_rng():
        torch.manual_seed(0)
        save_file(open_clip.CLIP(**config).state_dict(), folder / "open_clip_model.safetensors")
    return folder


def test_similarity_is_the_raw_cosine(clip: Path) -> None:
    import open_clip

    embedder = ClipSimilarity(model=NAME, checkpoint=str(clip), device="cpu")
    got = embedder.similarity(picture(), "a red ball")
    model = open_clip.create_model(NAME, pretrained=str(clip / "open_clip_model.safetensors"), force_quick_gelu=True).eval()
    transform = open_clip.image_transform(32, is_train=False)
    with torch.no_grad():
        seen = model.encode_image(transform(picture())[None])[0]
        read = model.encode_text(open_clip.get_tokenizer(NAME)(["a red ball"]))[0]
    assert got == pytest.approx(float(seen @ read / seen.norm() / read.norm()), abs=1e-5)
    assert embedder.similarity(picture(), "a blue sky") != pytest.approx(got, abs=1e-6)


def test_clip_that_is_not_there(tmp_path: Path) -> None:
    with pytest.raises(ModelError, match=r"hf download timm/vit_base_patch32_clip_224\.openai"):
        ClipSimilarity(cache_dir=str(tmp_path))
    with pytest.raises(ModelError, match="expected a tag that open_clip knows"):
        ClipSimilarity(pretrained="none", cache_dir=str(tmp_path))


@pytest.mark.skipif(importlib.util.find_spec("spacy") is not None, reason="spaCy is installed")
def test_spacy_that_is_not_there() -> None:
    with pytest.raises(ModelError, match=r"spaCy is not installed; expected spaCy with that pipeline\. Run `pip install spacy`"):
        SpacyPhrases()


SPACY = """
from types import SimpleNamespace as Thing

def load(name):
    if name != "small":
        raise OSError(f"[E050] Can't find model '{name}'.")

    def read(text):
        words = text.split()
        chunks = [Thing(text=" ".join(words[:3])), Thing(text=" ".join(words[4:]))]
        doc = type("Doc", (list,), {"noun_chunks": property(lambda self: iter(chunks))})
        return doc(Thing(text=word, pos_="NOUN" if word in ("bench", "bowl") else "X") for word in words)

    return read
"""


def test_phrases_are_what_the_pipeline_says(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    # A package in spaCy's place that cuts one prompt: spaCy itself is not among the dependencies.
    (tmp_path / "spacy").mkdir()
    (tmp_path / "spacy/__init__.py").write_text(SPACY)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "spacy", raising=False)
    try:
        phrases = SpacyPhrases(model="small")
        phrases.canary()
        assert phrases.tokens("a bench")[1] == ("bench", "NOUN")
        with pytest.raises(ModelError, match="python -m spacy download no_such_pipeline"):
            SpacyPhrases(model="no_such_pipeline")
        phrases.chunks = lambda text: [text]  # type: ignore[method-assign]
        with pytest.raises(CanaryError, match="Use en_core_web_sm"):
            phrases.canary()
    finally:
        sys.modules.pop("spacy", None)


def test_the_mini_worlds_words_and_answers() -> None:
    from uniar.data.shapes import Object, Scene, render

    phrases, vqa = ShapesPhrases(), ShapesVqa()
    assert phrases.chunks("a photo of an orange star and a circle") == ["an orange star", "a circle"]
    assert phrases.tokens("two red crosses, a cat") == [
        ("two", "X"), ("red", "ADJ"), ("crosses", "NOUN"), (",", "X"), ("a", "X"), ("cat", "X"),
    ]  # fmt: skip
    image = Image.fromarray(render(Scene((Object("star", "red", "large", 1, 0), Object("ring", "blue", "large", 1, 2)), "gray")))
    answers = {q: vqa.probability(image, q) for q in ("a red star?", "a star?", "a blue star?", "a red ring?", "a circle?")}
    assert answers == {"a red star?": 1.0, "a star?": 1.0, "a blue star?": 0.0, "a red ring?": 0.0, "a circle?": 0.0}
    with pytest.raises(DataError, match="got the question"):
        vqa.probability(image, "what is it?")


@pytest.mark.parametrize("name", ["a b/c?", "x--y/z..", "one/two/three", "./nowhere"])
def test_a_name_that_no_checkpoint_can_have_is_told_in_one_sentence(name: str) -> None:
    with pytest.raises(ModelError, match="vqa blip: checkpoint: got .*; expected a folder"):
        BlipVqa(checkpoint=name)
