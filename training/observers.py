"""Where training is seen: a progress bar on the terminal and curves in TensorBoard."""

from __future__ import annotations

import sys
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm


class ProgressObserver:
    """Shows a bar per stage (silent when the terminal is none) and writes TensorBoard curves.

    Args:
        folder: of the TensorBoard files.
        quiet: show no bar.
    """

    def __init__(self, folder: Path, quiet: bool = False) -> None:
        """See the class."""
        self.writer = SummaryWriter(str(folder))
        self.quiet = quiet or not sys.stderr.isatty()
        self.bar: tqdm | None = None

    def start(self, stage: str, updates: int, done: int) -> None:
        """Show the bar of a stage."""
        self.bar = tqdm(total=updates, initial=done, desc=stage, disable=self.quiet, unit="update")

    def log(self, stage: str, update: int, metrics: dict[str, float]) -> None:
        """Move the bar and write one point of every curve."""
        for name, value in metrics.items():
            self.writer.add_scalar(f"{stage}/{name}", value, update)
        assert self.bar is not None
        self.bar.update(update - self.bar.n)
        self.bar.set_postfix({name: f"{metrics[name]:.3g}" for name in list(metrics)[:4]})
        if update >= self.bar.total:
            self.bar.close()
            self.writer.flush()
