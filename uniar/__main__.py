"""`python -m uniar`: the command line, for launchers that start modules (torchrun, accelerate)."""

from __future__ import annotations

from uniar.cli.main import main

if __name__ == "__main__":
    main()
