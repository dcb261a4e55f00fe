"""Every test process computes with one thread: workers with as many threads as the machine has cores would wait for each other."""

from __future__ import annotations

import os

# Read once, when torch is first imported; processes that tests start inherit it.
os.environ.setdefault("OMP_NUM_THREADS", "1")
