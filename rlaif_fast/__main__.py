"""``python -m rlaif_fast``."""

from rlaif_fast.cli import main

main()
