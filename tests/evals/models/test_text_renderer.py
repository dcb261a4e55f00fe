"""The writing control: what it writes, its settings, and what it refuses."""

from __future__ import annotations

from typing import Any

import pytest

from evals.errors import ModelError
from evals.models import text_renderer
from evals.models.text_renderer import TextRendererModel
from evals.types import Sample, WorkItem


def written(source: str = "size=96", prompt: str = 'a sign that says "Blue Door"', seed: int = 1) -> Any:
    item = WorkItem(sample=Sample(sample_id="0", task="sign", prompt=prompt), repeat=0, seed=seed)
    (made,) = TextRendererModel(source=source).run([item])
    return made


def test_equal_seeds_write_equal_images_and_settings_change_them() -> None:
    plain = written().image
    assert plain.size == (96, 96) and plain.tobytes() == written().image.tobytes()
    assert len(plain.getcolors(maxcolors=10_000)) > 1
    others = [written(f"size=96,{more}").image for more in ("noise=0.3", "rotation=20", "ink=navy,paper=pink", "text_size=9")]
    assert len({image.tobytes() for image in (plain, *others)}) == 5
    assert others[2].getpixel((0, 0)) == (255, 192, 203)
    assert {TextRendererModel(source=s).fingerprint()["sha256"] for s in ("", "noise=0.1", "size=96")}.__len__() == 3


def test_only_what_is_quoted_is_written_and_long_text_fits() -> None:
    assert written(prompt="no quotes").error == "The prompt has no text in double quotes to write."
    curled, straight = (written(prompt=p).image.tobytes() for p in ("x “Blue Door”", 'y "Blue Door"'))
    assert curled == straight
    image = written("size=128,ink=black,paper=white", prompt='"' + "Wide words everywhere " * 5 + '"').image
    inked = image.convert("L").point(lambda v: 255 if v < 128 else 0).getbbox()
    assert written(prompt='"' + "word " * 400 + '"').error == "The text does not fit on 96 pixels; a larger size= would do."
    assert inked[0] > 4 and inked[1] > 4 and inked[2] < 124 and inked[3] < 124


@pytest.mark.parametrize(
    ("source", "told"),
    [
        ("nois=1", 'got "nois=1"; expected NAME=VALUE with a name of font, ink'),
        ("noise", 'got "noise"; expected NAME=VALUE'),
        ("noise=much", 'noise: got "much"; expected float'),
        ("noise=9", "noise: got 9.0; expected 0 to 4"),
        ("size=1", "size: got 1; expected 64 to 4096"),
        ("ink=red", "got one of ink and paper; expected both or neither"),
        ("ink=rad,paper=white", 'got the colour "rad"'),
        ("font=/no/such.ttf", "font: got /no/such.ttf, and no file"),
    ],
)
def test_wrong_settings(source: str, told: str) -> None:
    with pytest.raises(ModelError) as caught:
        TextRendererModel(source=source)
    assert told in str(caught.value)


def test_chinese_without_a_font_for_it_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(text_renderer, "CHINESE_FONTS", ())
    with pytest.raises(ModelError, match=r"no font with Chinese is installed.*apt-get install fonts-wqy-microhei"):
        written(prompt='一块招牌，上面写着"春天"')
