"""The training loop: it learns, resumes bit for bit, refuses damage, and stops at NaN."""

import os
import shutil
import signal
from collections.abc import Callable
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file
from torch import Tensor, nn

from worldgpt_env.model.batch import LossOutput
from worldgpt_env.model.checkpoint import seal
from worldgpt_env.model.errors import (
    CheckpointError,
    ConfigurationError,
    NonFiniteError,
    OlderSaveWarning,
)
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
    for folder in ("run", "run.previous"):
        weights = tmp_path / folder / "model.safetensors"
        weights.write_bytes(weights.read_bytes()[:-1])
    with pytest.raises(CheckpointError, match="not as it was written.*delete"):
        build(tmp_path / "run", Watch())


@pytest.mark.parametrize("damage", ["missing", "manifest", "weights"])
def test_a_damaged_save_gives_way_to_the_one_before(tmp_path: Path, damage: str) -> None:
    whole, trainer, stage = build(tmp_path / "whole", Watch())
    trainer.run(stage)
    _, trainer, stage = build(tmp_path / "run", Watch(stop_after=4))
    with pytest.raises(KeyboardInterrupt):  # saved after updates 10, 20, 30 and 40
        trainer.run(stage)
    if damage == "missing":
        shutil.rmtree(tmp_path / "run")
    elif damage == "manifest":
        (tmp_path / "run" / "manifest.json").unlink()
    else:
        (tmp_path / "run" / "model.safetensors").write_bytes(b"half")
    watch = Watch()
    with pytest.warns(OlderSaveWarning, match="30 updates into 'fit'"):
        again, trainer, stage = build(tmp_path / "run", watch)
    trainer.run(stage)
    assert watch.starts == [("fit", 100, 30)]
    assert torch.equal(again.weight, whole.weight) and torch.equal(again.bias, whole.bias)


def test_a_run_without_manifest_does_not_begin_anew_silently(tmp_path: Path) -> None:
    _, trainer, stage = build(tmp_path / "run", Watch())
    trainer.run(stage)
    shutil.rmtree(tmp_path / "run.previous")
    (tmp_path / "run" / "manifest.json").unlink()
    with pytest.raises(CheckpointError, match="manifest.json.*delete"):
        build(tmp_path / "run", Watch())


@pytest.mark.parametrize(
    "name, damage",
    [
        ("0/exp_avg", lambda t: t.double()),
        ("1/exp_avg_sq", lambda t: t.half()),
        ("1/exp_avg_sq", lambda t: -t),
        ("0/step", lambda t: t.double()),
        ("0/step", lambda t: -t),
        ("0/exp_avg", lambda t: t.flatten()[:2]),
    ],
)
def test_moments_that_do_not_fit_are_refused(
    tmp_path: Path, name: str, damage: Callable[[Tensor], Tensor]
) -> None:
    _, trainer, stage = build(tmp_path / "run", Watch(stop_after=2))
    with pytest.raises(KeyboardInterrupt):
        trainer.run(stage)
    place = tmp_path / "run" / "optimizer.safetensors"
    moments = load_file(place)
    save_file(moments | {name: damage(moments[name]).contiguous()}, place)
    seal(tmp_path / "run")
    saved = place.read_bytes()
    _, trainer, stage = build(tmp_path / "run", Watch())
    with pytest.raises(CheckpointError, match=f"moments '{name}' of other parameters.*--out"):
        trainer.run(stage)
    assert place.read_bytes() == saved


def test_a_run_of_other_settings_is_refused(tmp_path: Path) -> None:
    model, _, stage = build(tmp_path / "none", Watch())
    begun = {"seed": 0, "rows": 64, "data": [Path("a")]}
    Trainer(model, tmp_path / "run", Watch(3), 10, 10, settings=begun).save(stage, 10, None)
    Trainer(model, tmp_path / "run", Watch(), settings=begun)
    with pytest.raises(ConfigurationError, match="rows 64, not 32; seed 0, not 1"):
        Trainer(model, tmp_path / "run", Watch(), settings=begun | {"seed": 1, "rows": 32})


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


class Counting(nn.Linear):
    """A layer that counts its calls in a buffer, and may be interrupted in one of them."""

    def __init__(self) -> None:
        super().__init__(3, 1)
        self.register_buffer("calls", torch.zeros(()))
        self.stop_at = 0

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        self.calls += 1
        if int(self.calls) == self.stop_at:
            os.kill(os.getpid(), signal.SIGINT)
        return super().forward(x)


@pytest.mark.parametrize("at", [3, 7])
@pytest.mark.parametrize("where", ["loss", "step"])
def test_ctrl_c_within_an_update_waits_for_its_end(
    tmp_path: Path, monkeypatch, at: int, where: str
) -> None:
    """Half an update is never saved: neither a step, nor what a forward pass keeps in a buffer."""

    def build_counting(folder: Path, stop_at: int = 0) -> tuple[Counting, Trainer, Stage]:
        torch.manual_seed(0)
        model = Counting()
        model.stop_at = stop_at
        trainer = Trainer(model, folder, Watch(), save_every=10, log_every=10)

        def loss(update: int) -> LossOutput:
            x = torch.randn(16, 3, generator=torch.Generator().manual_seed(update))
            return LossOutput((model(x) - x[:, :1]).square().mean(), {})

        return model, trainer, Stage("fit", 20, 0.1, loss, list(model.parameters()))

    whole, trainer, stage = build_counting(tmp_path / "whole")
    trainer.run(stage)
    step = torch.optim.AdamW.step
    cut, trainer, stage = build_counting(tmp_path / "cut", at if where == "loss" else 0)

    def interrupted(self: torch.optim.AdamW) -> None:
        step(self)
        if where == "step" and int(cut.calls) == at:
            os.kill(os.getpid(), signal.SIGINT)

    before = signal.signal(signal.SIGINT, signal.default_int_handler)
    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(torch.optim.AdamW, "step", interrupted)
        trainer.run(stage)
    signal.signal(signal.SIGINT, before)
    again, trainer, stage = build_counting(tmp_path / "cut")
    assert int(again.calls) == at
    trainer.run(stage)
    for name, tensor in whole.state_dict().items():
        assert torch.equal(again.state_dict()[name], tensor), name
