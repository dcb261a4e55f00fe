"""Prompts that ask for words, made by code: the mini data of the text suites, in English and Chinese.

Each row has what both benchmarks' scorers look at: the list `text` (LongText-Bench) and the same list as literal text,
`text_content` (OneIG-Bench). The words are common ones, drawn by a seed; no benchmark's texts are used.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

from evals.errors import DataError
from evals.types import Sample

_ENGLISH = (
    "river garden market winter silver music coffee morning island bridge summer forest bakery library station travel orange yellow "
    "window harbor lemon castle planet signal cotton candle pepper butter ticket museum camera basket valley meadow copper velvet "
    "thunder feather compass lantern"
)
_CHINESE = (
    "春天 花园 咖啡 音乐 城市 图书 早晨 海洋 山水 阳光 面包 茶叶 电影 公园 车站 学校 朋友 快乐 健康 旅行 美食 新鲜 水果 星空 故事 时间 "
    "生活 自然 温暖 世界 平安 欢迎 今日 特价 开放 时光"
)
WORDS = {"en": tuple(_ENGLISH.split()), "zh": tuple(_CHINESE.split())}
CATEGORIES = {
    "en": {"sign": "a sign", "label": "a label", "poster": "a poster", "slide": "a slide"},
    "zh": {"sign": "一块招牌", "label": "一张标签", "poster": "一张海报", "slide": "一张幻灯片"},
}
_FRAMES = {"en": ("{thing} that says {texts}", " and "), "zh": ("{thing}，上面写着{texts}", "和")}
# Words a text: lowest and highest. Texts a prompt: the same.
_SHORT, _LONG = ((1, 2), (1, 1)), ((3, 4), (2, 3))


class TextMiniDataset:
    """Prompts such as `a sign that says "River Market"`; task is the category, tag is `short` or `long`.

    Args:
        language: `en` or `zh`.
        prompts: how many; categories take turns, every second round of them is long.
        seed: of the draw.
    """

    def __init__(self, *, language: str = "en", prompts: int = 16, seed: int = 0) -> None:
        if language not in WORDS:
            raise DataError(f"text-mini: language: got {language}; expected one of {', '.join(WORDS)}.")
        if prompts < 1:
            raise DataError(f"text-mini: prompts: got {prompts}; expected at least 1. Use 16.")
        self.language, self.prompts, self.seed = language, prompts, seed

    def load(self) -> Iterator[Sample]:
        """Yield samples, ids five digits; a sample depends on its number and the seed alone."""
        categories = CATEGORIES[self.language]
        for index in range(self.prompts):
            category = tuple(categories)[index % len(categories)]
            length = "long" if index // len(categories) % 2 else "short"
            row = self._row(index, category, length)
            yield Sample(sample_id=f"{index:05d}", task=category, prompt=row["prompt"], metadata=row, tags=(length,))

    def _row(self, index: int, category: str, length: str) -> dict[str, Any]:
        import numpy as np

        rng = np.random.default_rng([self.seed, index])
        (fewest, most), (first, last) = _LONG if length == "long" else _SHORT
        texts = []
        for _ in range(int(rng.integers(first, last, endpoint=True))):
            count = int(rng.integers(fewest, most, endpoint=True))
            texts.append(self._phrase([WORDS[self.language][int(i)] for i in rng.choice(len(WORDS[self.language]), count, replace=False)]))
        frame, between = _FRAMES[self.language]
        quoted = between.join(f'"{text}"' for text in texts)
        return {
            "category": category,
            "length": length,
            "prompt": frame.format(thing=CATEGORIES[self.language][category], texts=quoted),
            "text": texts,
            "text_length": sum(len(text) if self.language == "zh" else len(text.split()) for text in texts),
            "prompt_id": index,
            "text_content": str(texts),
            "language": self.language,
        }

    def _phrase(self, words: list[str]) -> str:
        return "".join(words) if self.language == "zh" else " ".join(word.capitalize() for word in words)
