"""``python -m worldgpt_env``: the same command line as ``worldgpt``."""

import sys
from importlib import import_module

if __name__ == "__main__":
    # Named as text: the command line stands above this folder, which imports downwards only.
    sys.exit(import_module("worldgpt_env.training.cli").main())
