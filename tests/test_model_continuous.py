"""States that are embeddings of frozen encoders: the paper's own route, end to end."""

from __future__ import annotations

from pathlib import Path

import pytest
import torch
from pretrained_parts import AUDIO, IMAGE, observations, save_encoders

from worldgpt_env.model.batch import Batch
from worldgpt_env.model.configuration import PRESETS, WorldGPTConfig
from worldgpt_env.model.curriculum import Combination
from worldgpt_env.model.modalities import ActionSpec, Modality
from worldgpt_env.model.worldgpt import WorldGPT

ROWS, UPDATES = 32, 700
LESSONS = [Combination.parse(name) for name in ("image>audio", "image+audio>image+audio")]
SPECS = {Modality.IMAGE: IMAGE, Modality.AUDIO: AUDIO}


@pytest.fixture(scope="module")
def parts(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Tiny encoders in the layout of the published ones."""
    folder = tmp_path_factory.mktemp("parts")
    save_encoders(folder)
    return folder


def build(parts: Path) -> WorldGPT:
    """Return an untrained model over a frozen image and a frozen sound encoder."""
    torch.manual_seed(0)
    backbone = PRESETS["tiny"].backbone() | {"hidden_size": 64, "intermediate_size": 128}
    encoders = {"image": "clip", "audio": "clap"}
    config = WorldGPTConfig.from_preset(
        "tiny",
        SPECS,
        ActionSpec.text("move left right fire".split(), 3),
        backbone=backbone,
        signal_tokens=4,
        codecs={m: {"encoder": e, "path": str(parts / e)} for m, e in encoders.items()},
    )
    return WorldGPT(config)


def recorded(model: WorldGPT) -> Batch:
    """Return unrelated observations as 32 transitions, with three actions."""
    raw = {str(m): observations(spec, 2 * ROWS) for m, spec in SPECS.items()}
    state = {m: x.unflatten(0, (ROWS, 2)) for m, x in model.encode(raw).items()}
    action = torch.randint(0, 6, (ROWS, 1, 3), generator=torch.Generator().manual_seed(2))
    zeros = torch.zeros(ROWS, 1)
    return Batch(state, action, zeros, zeros, torch.ones(ROWS, 1))


@pytest.fixture(scope="module")
def learned(parts: Path) -> tuple[WorldGPT, Batch]:
    """A model that has learned 32 transitions in two combinations by heart."""
    model = build(parts)
    batch = recorded(model)
    optimizer = torch.optim.AdamW(model.dynamics_parameters(), betas=(0.9, 0.95))
    model.train()
    for update in range(UPDATES):
        for group in optimizer.param_groups:
            group["lr"] = 5e-3 * min(1, (update + 1) / 20) * (1 - update / UPDATES)
        lesson = LESSONS[update % len(LESSONS)]
        optimizer.zero_grad()
        model(batch, lesson.inputs, lesson.outputs).loss.backward()
        torch.nn.utils.clip_grad_norm_(model.parameters(), 1.0)
        optimizer.step()
    return model.eval(), batch


@pytest.mark.parametrize("combination", LESSONS, ids=lambda c: c.name)
def test_32_transitions_are_learned_by_heart(
    learned: tuple[WorldGPT, Batch], combination: Combination
) -> None:
    model, batch = learned
    state = {m: batch.state[m][:, 0] for m in combination.inputs}
    outputs = combination.outputs
    prediction = model.predict(state, batch.action[:, 0], outputs)
    for modality, vectors in prediction.state.items():
        true = batch.state[modality][:, 1]
        assert float(torch.cosine_similarity(vectors, true, -1).mean()) > 0.98
        assert torch.allclose(vectors.norm(dim=-1), torch.ones(ROWS, 1), atol=1e-5)


def test_rows_do_not_depend_on_their_batch(learned: tuple[WorldGPT, Batch]) -> None:
    model, batch = learned
    state = {m: x[:, 0] for m, x in batch.state.items()}
    whole = model.predict(state, batch.action[:, 0]).state
    few = model.predict({m: x[3:5] for m, x in state.items()}, batch.action[3:5, 0]).state
    for modality, vectors in few.items():
        assert (vectors - whole[modality][3:5]).abs().max() < 1e-5


def test_the_encoders_do_not_train(learned: tuple[WorldGPT, Batch], parts: Path) -> None:
    fresh = dict(build(parts).processor.codecs.named_parameters())
    model, _ = learned
    trained = dict(model.processor.codecs.named_parameters())
    assert fresh.keys() == trained.keys() and fresh
    assert all(torch.equal(fresh[name], trained[name]) for name in fresh)


def test_it_comes_back_from_disk(learned: tuple[WorldGPT, Batch], tmp_path: Path) -> None:
    model, batch = learned
    model.save_pretrained(tmp_path / "model")
    again = WorldGPT.from_pretrained(tmp_path / "model").eval()
    state = {m: x[:, 0] for m, x in batch.state.items()}
    one, two = (m.predict(state, batch.action[:, 0]).state for m in (model, again))
    assert all(torch.equal(one[m], two[m]) for m in one)


def test_the_loss_is_distance_and_signal_tokens(parts: Path) -> None:
    model = build(parts).train()
    batch = recorded(model)
    figures = model(batch).metrics
    with torch.no_grad():
        out, _ = model.dynamics.read_window(batch, model.dynamics.tokens.block())
        distances = {m: (out.vectors[m] - batch.state[m][:, 1]).norm(dim=-1).mean() for m in SPECS}
    for modality, distance in distances.items():
        assert abs(float(figures[f"distance/{modality}"] - distance)) < 1e-6
    assert 0 < float(figures["signal"]) < 5
    parts_of_it = sum(float(figures[n]) for n in ("reward", "termination", "ensemble", "signal"))
    whole = parts_of_it + float(sum(distances.values())) + 0.1 * float(figures["consistency"])
    assert abs(float(figures["total"]) - whole) < 1e-4
