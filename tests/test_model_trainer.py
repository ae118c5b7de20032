"""The training loop: it learns, resumes bit for bit, refuses damage, and stops at NaN."""

from pathlib import Path

import pytest
import torch
from torch import nn

from worldgpt_env.model.batch import LossOutput
from worldgpt_env.model.errors import CheckpointError, ConfigurationError, NonFiniteError
from worldgpt_env.model.trainer import Stage, Trainer


class Watch:
    """Remembers what the trainer says, and may stop it after some logs."""

    def __init__(self, stop_after: int = 10**9) -> None:
        self.starts: list[tuple[str, int, int]] = []
        self.logs: list[tuple[str, int, dict[str, float]]] = []
        self.stop_after = stop_after

    def start(self, stage: str, updates: int, done: int) -> None:
        self.starts.append((stage, updates, done))

    def log(self, stage: str, update: int, metrics: dict[str, float]) -> None:
        self.logs.append((stage, update, metrics))
        if len(self.logs) == self.stop_after:
            raise KeyboardInterrupt


def build(folder: Path, watch: Watch) -> tuple[nn.Module, Trainer, Stage]:
    """Return a linear model, its trainer and a stage that fits a known map."""
    torch.manual_seed(0)
    model = nn.Linear(3, 1)
    truth = torch.tensor([[1.0], [-2.0], [0.5]])

    def loss(update: int) -> LossOutput:
        x = torch.randn(16, 3, generator=torch.Generator().manual_seed(update))
        error = (model(x) - x @ truth).square().mean()
        return LossOutput(error, {"error": error.detach()})

    trainer = Trainer(model, folder, watch, save_every=10, log_every=10)
    return model, trainer, Stage("fit", 100, 0.1, loss, list(model.parameters()))


def test_it_learns(tmp_path: Path) -> None:
    watch = Watch()
    model, trainer, stage = build(tmp_path / "run", watch)
    trainer.run(stage)
    assert (
        watch.logs[-1][1] == 100 and watch.logs[-1][2]["error"] < 0.01 < watch.logs[0][2]["error"]
    )
    assert torch.allclose(model.weight, torch.tensor([[1.0, -2.0, 0.5]]), atol=0.1)


@pytest.mark.parametrize("stop_after", [1, 3, 7])
def test_an_interrupted_run_ends_as_if_it_never_was(tmp_path: Path, stop_after: int) -> None:
    whole, trainer, stage = build(tmp_path / "whole", Watch())
    trainer.run(stage)
    _, trainer, stage = build(tmp_path / "cut", Watch(stop_after))
    with pytest.raises(KeyboardInterrupt):
        trainer.run(stage)
    watch = Watch()
    again, trainer, stage = build(tmp_path / "cut", watch)
    trainer.run(stage)
    assert watch.starts == [("fit", 100, 10 * stop_after)]
    assert torch.equal(again.weight, whole.weight) and torch.equal(again.bias, whole.bias)
    done, trainer, stage = build(tmp_path / "cut", watch)
    trainer.run(stage)  # finished: nothing is trained again
    assert len(watch.starts) == 1 and torch.equal(done.weight, whole.weight)


def test_a_damaged_or_foreign_run_is_refused(tmp_path: Path) -> None:
    _, trainer, stage = build(tmp_path / "run", Watch())
    trainer.run(stage)
    with pytest.raises(CheckpointError, match="another model"):
        Trainer(nn.Linear(4, 1), tmp_path / "run", Watch())
    weights = tmp_path / "run" / "model.safetensors"
    weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="not as it was written"):
        build(tmp_path / "run", Watch())


def test_nan_stops_training_before_it_spreads(tmp_path: Path) -> None:
    model, trainer, _ = build(tmp_path / "run", Watch())
    before = model.weight.clone()

    def loss(update: int) -> LossOutput:
        return LossOutput(model(torch.full((1, 3), float("nan"))).sum(), {})

    with pytest.raises(NonFiniteError, match="learning rate"):
        trainer.run(Stage("broken", 50, 0.1, loss, list(model.parameters())))
    assert torch.equal(model.weight, before)


def test_a_stage_that_trains_nothing_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="0 parameters"):
        Stage("empty", 10, 0.1, lambda update: LossOutput(torch.zeros(()), {}), [])
