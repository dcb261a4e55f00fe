"""The engine: one optimiser step after another over any number of processes, with exact resume.

Step i takes the samples with the global numbers i * batch_size to (i + 1) * batch_size - 1, whatever the number of processes and
of micro-batches; rank r of w takes every w-th of them. The loss is sum over terms of weight * (sum over the global batch) /
(count over the global batch). The data position is the step number, and every draw belongs to (seed, step, sample), so a run that
was killed and resumed, or resumed on more processes, sees what an unbroken one would have seen.
"""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Any

import torch
from torch import nn

from uniar.errors import ConfigError, TrainingError
from uniar.seeding import derive_seed
from uniar.training import state
from uniar.training.distributed import Processes
from uniar.training.loop import computing
from uniar.training.optim import EngineConfig, Optimizers, WeightAverage, learning_rate, refuse_zero3
from uniar.training.prefetch import Ahead
from uniar.training.stage import Prepared, StepOutput

Event = Callable[[int, nn.Module], None]


class Engine:
    """Trains a stage.

    Args:
        stage: see `training.stage.Stage`.
        config: see `EngineConfig`.
        folder: states and `log.jsonl`.
        seed: of the run.
        say: prints one line (main process only).
        processes: this process; default: started alone or by a launcher.
        every: events by name -> (steps between them, function of (step, stage)); all processes call them, between steps.
        trackers: further receivers of the log: (step, values).
        describe: JSON data kept in each state, such as the resolved recipe; a run is resumed only under the same.
    """

    def __init__(
        self,
        stage: Any,
        config: EngineConfig,
        *,
        folder: Path,
        seed: int,
        say: Callable[[str], None],
        processes: Processes | None = None,
        every: Mapping[str, tuple[int, Event]] | None = None,
        trackers: tuple[Callable[[int, Mapping[str, float]], None], ...] = (),
        describe: Mapping[str, Any] | None = None,
    ):
        self.config, self.folder, self.seed = config, folder, seed
        self.processes = processes or Processes()
        self.say, self._every, self.trackers = say, dict(every or {}), trackers
        # As it will be read again: JSON knows no tuples.
        self._describe = json.loads(json.dumps(dict(describe or {})))
        if config.batch_size % (self.processes.world * config.accumulate):
            raise ConfigError(
                f"batch_size: got {config.batch_size}; expected a multiple of {self.processes.world} processes "
                f"x {config.accumulate} micro-batches."
            )
        sharding = self.processes.sharding(config.sharding)
        if sharding != "none" and config.optimizer == "muon":
            raise ConfigError("optimizer: got 'muon'; it needs whole matrices and this run shards them. Use 'adamw'.")
        refuse_zero3(sharding, ema=config.ema, rollouts=not stage.prefetch, name=stage.name)
        if config.gradient_checkpointing:
            stage.checkpoint_activations()
        if config.compile:
            for block in stage.repeated_blocks():
                block.compile(dynamic=True)
        made: list[Optimizers] = []

        def optimizers(ready: Any) -> list[torch.optim.Optimizer]:
            made.append(Optimizers(ready, config))
            return made[0].parts

        self.wrapped, parts = self.processes.wrap(stage, optimizers, config)
        self.optimizers = made[0]
        self.optimizers.parts = parts
        self.stage = self.processes.unwrapped(self.wrapped)
        self.average = WeightAverage(self.stage, config.ema) if config.ema else None
        self.step = 0
        self._ahead = Ahead(self._prepare, threaded=self.stage.prefetch)

    def on(self, name: str, every: int, event: Event) -> None:
        """Call `event(step, stage)` after every so many steps and after the last; all processes call it."""
        self._every[name] = (every, event)

    # -- resume ----------------------------------------------------------------------------------------------------

    def resume(self) -> int:
        """Load the newest state of the folder, when there is one; returns the steps done.

        Raises:
            TrainingError: it was written under another recipe, or does not fit.
        """
        found = state.states(self.folder)
        if not found:
            self._cut_log(0)
            return 0
        path = found[-1][1]
        data = state.restore(path, self.wrapped, self.optimizers.parts)
        before = data.get("describe", {})
        changed = sorted(k for k in before.keys() | self._describe.keys() if before.get(k) != self._describe.get(k))
        if changed:
            key = changed[0]
            raise TrainingError(
                f"{path}/state.json: {key}: got {self._describe.get(key)!r}; this run was started with {before.get(key)!r}. "
                "Restore it, or use another --out."
            )
        if self.average is not None:
            self.average.load(state.load_average(path))
        self.step = int(data["step"])
        self._cut_log(self.step)
        return self.step

    def _cut_log(self, step: int) -> None:
        # Steps after the state are done again; the logs then tell each step once, and a torn last line is gone.
        for file in (self.folder / "log.jsonl", self.folder / "evaluations.jsonl"):
            if not self.processes.main or not file.is_file():
                continue
            kept = [line for line in file.read_text("utf-8").splitlines() if _step_of(line) <= step]
            fresh = file.with_suffix(".new")
            fresh.write_text("".join(f"{line}\n" for line in kept), "utf-8")
            os.replace(fresh, file)

    def save(self) -> Path | None:
        """Write the state of this moment; every process must call it. Returns its folder in the main process."""
        weights, slots = state.gather(self.wrapped, self.optimizers.parts)
        averaged = self.average.gathered() if self.average is not None else None
        path = None
        if self.processes.main:
            extra = {"describe": self._describe}
            path = state.save(self.folder, self.step, weights, slots, extra, keep=self.config.keep, average=averaged)
        self.processes.wait()
        return path

    def weights(self) -> dict[str, torch.Tensor]:
        """Full weights of the stage on the CPU, the running average where there is one; every process must call it."""
        own = state.gather_weights(self.wrapped)
        if self.average is not None:
            own |= {k: v.to(own[k].dtype) for k, v in self.average.gathered().items() if k in own}
        return own

    # -- the loop --------------------------------------------------------------------------------------------------

    def run(self, *, max_seconds: float | None = None) -> bool:
        """Train from `self.step` to `config.steps`, or until the time is up.

        Returns:
            True when the stage is finished.

        Raises:
            TrainingError: the loss is not finite; the last saved state stays.
        """
        c = self.config
        began, first, loading = time.monotonic(), self.step, 0.0
        sizes: dict[str, float] = {}
        self.wrapped.train()
        while self.step < c.steps:
            values, seconds = self.one_step()
            loading += seconds
            sizes = _summed([sizes, {k.removeprefix("in_step_"): v for k, v in values.items() if k.startswith("in_step_")}])
            done = self.step
            if done % c.log_every == 0 or done == c.steps:
                spent = time.monotonic() - began
                rates = {"steps_per_s": (done - first) / spent, **{f"{name}_per_s": n / spent for name, n in sizes.items()}}
                self._log(done, values, rates=rates, loading=loading / spent)
            for every, event in self._every.values():
                if done % every == 0 or done == c.steps:
                    event(done, self.stage)
                    self.wrapped.train()
            late = max_seconds is not None and time.monotonic() - began > max_seconds
            late = self.processes.any(late) if max_seconds is not None else False
            between = done % self.stage.steps_per_round == 0
            # The first end of a round at or after every `save_every`-th step.
            due = done // c.save_every > (done - self.stage.steps_per_round) // c.save_every
            if (between and (late or due)) or done == c.steps:
                self.save()
            if late and between and done < c.steps:
                self._tell(f"{self.stage.name}: stopped after {done} of {c.steps} steps; run the same command to go on.")
                return False
        self.wrapped.eval()
        return True

    def one_step(self) -> tuple[dict[str, float], float]:
        """One optimiser step: (values of the log, seconds spent on data)."""
        c, p = self.config, self.processes
        # What a layer may draw from the global stream (dropout) belongs to the step and the rank too.
        torch.manual_seed(derive_seed(self.seed, self.stage.name, "global", self.step, p.rank))
        began = time.monotonic()
        batches = self._ahead.take(self.step)
        loading = time.monotonic() - began
        if self.step + 1 < c.steps:
            self._ahead.start(self.step + 1)
        counts = p.total(_summed([b.counts for b in batches]))
        sizes = p.total(_summed([b.sizes for b in batches]))
        sums: dict[str, float] = {}
        logged: dict[str, float] = {}
        self.optimizers.clear()
        for k, batch in enumerate(batches):
            with p.local(self.wrapped, last=k == len(batches) - 1), computing(c.precision, p.device.type):
                out: StepOutput = self.wrapped(batch.data)
                # Processes average their gradients, so each one's share is multiplied by their number.
                loss = p.world * sum(self.stage.loss_weights[name] * total / max(counts[name], 1e-8) for name, total in out.sums.items())
                p.backward(self.wrapped, loss, last=k == len(batches) - 1)
            sums = _summed([sums, {name: float(total.detach()) for name, total in out.sums.items()}])
            pairs = {f"{name}/{part}": v for name, pair in out.logged.items() for part, v in zip(("sum", "count"), pair, strict=True)}
            logged = _summed([logged, pairs])
        sums, logged = p.total(sums), p.total(logged)
        values = {name: total / counts[name] for name, total in sums.items() if counts[name] > 0}
        values = {"loss": sum(self.stage.loss_weights[n] * v for n, v in values.items()), **values}
        values |= {f"n_{name}": count for name, count in counts.items()} | {f"in_step_{name}": n for name, n in sizes.items()}
        for name in sorted({key.rsplit("/", 1)[0] for key in logged}):
            if logged[f"{name}/count"] > 0:
                values[name] = logged[f"{name}/sum"] / logged[f"{name}/count"]
        self.stage.refuse(values)
        self._refuse_divergence(values["loss"], "loss")
        lr = learning_rate(c, self.step)
        check = partial(self._refuse_divergence, what="gradient norm")
        norm = p.update(self.wrapped, self.optimizers, lr=lr, clip=c.clip, check=check)
        if self.average is not None:
            self.average.update(self.stage)
        self.step += 1
        return {**values, "lr": lr, "grad_norm": norm}, loading

    def _prepare(self, step: int) -> list[Prepared]:
        c, p = self.config, self.processes
        numbers = range(step * c.batch_size, (step + 1) * c.batch_size)[p.rank :: p.world]
        size = len(numbers) // c.accumulate
        with ExitStack() as inside:
            if not self.stage.prefetch:
                # It uses the weights, so it computes as the forward does.
                inside.enter_context(p.whole(self.wrapped))
                inside.enter_context(computing(c.precision, p.device.type))
            return [self.stage.prepare(step, numbers[k * size : (k + 1) * size]) for k in range(c.accumulate)]

    def _refuse_divergence(self, value: float, what: str) -> None:
        if value == value and abs(value) != float("inf"):
            return
        found = state.states(self.folder)
        kept = f"The last good state is {found[-1][1].name}" if found else "No state was saved yet"
        raise TrainingError(f"{self.folder}: step {self.step}: the {what} is {value}. {kept}; lower lr and resume.")

    def _log(self, done: int, values: Mapping[str, float], *, rates: Mapping[str, float], loading: float) -> None:
        if not self.processes.main:
            return
        record = {"step": done, **{k: round(v, 7) for k, v in values.items()}, **{k: round(v, 3) for k, v in rates.items()}}
        record["loading"] = round(loading, 4)
        self.folder.mkdir(parents=True, exist_ok=True)
        with (self.folder / "log.jsonl").open("a", encoding="utf-8") as log:
            log.write(json.dumps(record) + "\n")
        for tracker in self.trackers:
            tracker(done, values)
        shown = " ".join(f"{k} {v:.4f}" for k, v in values.items() if not k.startswith(("n_", "in_step_")) and k not in ("lr", "grad_norm"))
        speed = ", ".join(f"{v:.2f} {k.removesuffix('_per_s')}/s" for k, v in rates.items())
        left = (self.config.steps - done) / rates["steps_per_s"] / 60
        self._tell(f"{self.stage.name} {done}/{self.config.steps} {shown} | {speed}, {left:.1f} min left")

    def _tell(self, line: str) -> None:
        if self.processes.main:
            self.say(line)


def _step_of(line: str) -> float:
    try:
        return json.loads(line)["step"]
    except (ValueError, KeyError, TypeError):
        return float("inf")


def _summed(parts: list[Mapping[str, float]]) -> dict[str, float]:
    out: dict[str, float] = {}
    for part in parts:
        for key, value in part.items():
            out[key] = out.get(key, 0.0) + value
    return out
