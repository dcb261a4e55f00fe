"""A judged toy suite: sources on disk, a model that hands them on, a judge in words, a scorer with two policies."""

import socket
import threading
from pathlib import Path

from PIL import Image

from evals.judges.reading import unusable
from evals.protocols import Generation, Reply
from evals.types import Metric, Outcome, Sample, Score


class Sources:
    """Grey pictures, one a sample, written beside the suite."""

    def __init__(self, *, root: Path, samples: int = 6) -> None:
        self.root, self._samples = root / "pictures", samples
        self.root.mkdir(exist_ok=True)

    def load(self):
        for i in range(self._samples):
            Image.new("RGB", (4, 4), (40 * i,) * 3).save(self.root / f"{i}.png")
            yield Sample(sample_id=f"s{i}", task="ab"[i % 2], prompt=f"lighten {i}", image=f"{i}.png")


class Lighten:
    """Adds 10 to every pixel of the source."""

    verbs = frozenset({"edit"})
    name = "lighten"

    def __init__(self, *, source: str = "", device: str = "cpu") -> None:
        self.device = device

    def fingerprint(self):
        return {"id": "lighten", "sha256": "1" * 64}

    def run(self, items):
        made = []
        for item in items:
            with Image.open(Path(item.settings["data_root"]) / item.sample.image) as image:
                made.append(Generation(image=image.convert("RGB").point(lambda v: v + 10)))
        return made


class ToyJudge:
    """Replies with the grey value; counts what it is asked; can be mute, or a beginner who sees everything darker."""

    name = "toy"
    asked = 0
    most_at_once = 0
    _now = 0
    _lock = threading.Lock()

    def __init__(self, *, darker: int = 0, mute: str = "", concurrency: int = 1, sleep: float = 0.0) -> None:
        self.darker, self.mute, self.concurrency, self.sleep = darker, mute, concurrency, sleep

    def identity(self):
        return {"judge": "toy", "model": f"toy-{self.darker}"}

    def ask(self, question, images=(), *, system=None, max_tokens=None, images_first=False, attempt=0):
        import time

        with ToyJudge._lock:
            ToyJudge.asked += 1
            ToyJudge._now += 1
            ToyJudge.most_at_once = max(ToyJudge.most_at_once, ToyJudge._now)
        socket.socket().close()
        time.sleep(self.sleep)
        with ToyJudge._lock:
            ToyJudge._now -= 1
        if self.mute and self.mute in question:
            return Reply(outcome=Outcome.JUDGE_ERROR, error="judge toy: got no reply; expected one.")
        grey = images[-1].getpixel((0, 0))[0] - self.darker
        return Reply(text=f"grey: {grey}", version="toy 1", prompt_tokens=3, completion_tokens=1, cost=0.5)


class GreyScorer:
    """`score`: the grey value the judge names; `strict` only for even ones; `measure`: the mean of all greens."""

    name = "grey"
    version = "1"
    source = "made up"
    needs_source = True

    def __init__(self, *, roles) -> None:
        self.judge = roles["judge"]

    def canary(self):
        pass

    def score(self, sample, output, image, *, source):
        key = {"sample_id": sample.sample_id, "task": sample.task, "repeat": output.repeat, "scorer": "grey"}
        reply = self.judge.ask(sample.prompt, [source, image])
        bad = unusable(reply)
        if bad:
            return Score(**key, outcome=bad[0], reason=bad[1])
        grey = float(reply.text.removeprefix("grey: "))
        values = {"score": grey / 255, **({"strict": grey / 255} if source.getpixel((0, 0))[0] % 80 == 0 else {})}
        evidence = {} if "strict" in values else {"outcomes": {"strict": "judge_unparsed"}}
        return Score(**key, outcome=Outcome.OK, values=values, reason=reply.text, evidence=evidence)

    def measure(self, items, *, seed):
        greens = [image.getpixel((0, 0))[1] - source.getpixel((0, 0))[1] for _, _, image, source in items]
        return [Metric(name="lightened by", task="*", value=sum(greens) / len(greens), low=None, high=None,
                       n=len(greens), n_samples=len(greens), n_expected=len(greens), kind="set")]  # fmt: skip


class GreenScorer:
    """Looks at the whole set only."""

    name = "green"
    version = "1"
    source = "made up"
    set_only = True

    def __init__(self, *, roles) -> None:
        pass

    def canary(self):
        pass

    def score(self, sample, output, image):
        raise AssertionError("a scorer of sets is not asked about one output")

    def measure(self, items, *, seed):
        items = list(items)
        greens = [image.getpixel((0, 0))[1] for _, _, image, _ in items]
        own = [green for green, (sample, *_) in zip(greens, items, strict=True) if sample.task == "a"]
        part = Metric(name="green", task="a", value=sum(own) / len(own), low=None, high=None, n=len(own), n_samples=len(own),
                      n_expected=len(own), kind="set")  # fmt: skip
        return [part] + [Metric(name=name, task="*", value=value, low=None, high=None, n=len(greens), n_samples=len(greens),
                       n_expected=len(greens), kind="set") for name, value in (("green", sum(greens) / len(greens)), ("n", 1.0))]  # fmt: skip


PLUGINS = {
    "model": {"lighten": Lighten},
    "dataset": {"sources": Sources},
    "scorer": {"grey": GreyScorer, "green": GreenScorer},
    "judge": {"toy": ToyJudge},
}
