"""How processes of one run end: together, with the main one's last words, and without taking the interpreter down under gloo's threads."""

from __future__ import annotations

from uniar.training.distributed import leave

SCRIPT = """
import atexit, sys
from pathlib import Path
import torch, torch.distributed as dist
from uniar.training.distributed import leave

dist.init_process_group("gloo")
out, rank = Path(sys.argv[1]), dist.get_rank()
held = dist.group.WORLD
atexit.register((out / f"at-exit-{rank}").touch)
for _ in range(20):
    dist.all_reduce(torch.ones(1000), async_op=True)
leave((out / f"told-{rank}").touch)
sys.exit("the process should have ended")
"""


def test_processes_end_together_and_cleanly(tmp_path, started):
    script = tmp_path / "script.py"
    script.write_text(SCRIPT)
    started(script, tmp_path, processes=2)
    assert {path.name for path in tmp_path.iterdir()} == {"script.py", "told-0", "at-exit-0", "at-exit-1"}


def test_a_process_alone_tells_and_goes_on():
    said: list[int] = []
    leave(lambda: said.append(1))
    assert said == [1]
