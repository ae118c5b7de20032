"""Where training is seen: a progress bar on the terminal and curves in TensorBoard."""

from __future__ import annotations

import sys
from contextlib import suppress
from pathlib import Path

from torch.utils.tensorboard import SummaryWriter
from tqdm import tqdm

from worldgpt_env.model.safe_io import write_errors


class ProgressObserver:
    """Shows a bar per stage (silent when the terminal is none) and writes TensorBoard curves.

    Args:
        folder: of the TensorBoard files.
        quiet: show no bar.
    """

    def __init__(self, folder: Path, quiet: bool = False) -> None:
        """See the class; nothing is written before the first stage starts."""
        self.folder = folder
        self.writer: SummaryWriter | None = None
        self.quiet = quiet or not sys.stderr.isatty()
        self.bar: tqdm | None = None

    def __enter__(self) -> ProgressObserver:
        """Return the observer."""
        return self

    def __exit__(self, *_: object) -> None:
        """End bar and curves."""
        if self.bar is not None:
            self.bar.close()
        if self.writer is not None:
            with suppress(OSError):  # each point was written when it was logged
                self.writer.close()

    def start(self, stage: str, updates: int, done: int) -> None:
        """Show the bar of a stage."""
        with write_errors(self.folder):
            self.writer = self.writer or SummaryWriter(str(self.folder))
        self.bar = tqdm(total=updates, initial=done, desc=stage, disable=self.quiet, unit="update")

    def log(self, stage: str, update: int, metrics: dict[str, float]) -> None:
        """Move the bar and write one point of every curve."""
        assert self.bar is not None and self.writer is not None
        with write_errors(self.folder):
            for name, value in metrics.items():
                self.writer.add_scalar(f"{stage}/{name}", value, update)
            self.writer.flush()
        self.bar.update(update - self.bar.n)
        self.bar.set_postfix({name: f"{metrics[name]:.3g}" for name in list(metrics)[:4]})
        if update >= self.bar.total:
            self.bar.close()
