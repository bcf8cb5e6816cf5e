"""`python -m kappa_assets.cli`, the same as `kappa`."""

from __future__ import annotations

from kappa_assets.cli import main

if __name__ == "__main__":
    main(prog_name="kappa")
