"""Models on disk: bit-equal after loading, refused when damaged, whole after a failed write."""

import json
import os
from pathlib import Path

import pytest
import torch
from test_model_worldgpt import make_batch, make_model

from worldgpt_env.model import Modality, WorldGPT
from worldgpt_env.model.checkpoint import write_folder
from worldgpt_env.model.errors import CheckpointError


@pytest.fixture
def saved(tmp_path: Path) -> Path:
    make_model().save_pretrained(tmp_path / "world")
    return tmp_path / "world"


def test_a_loaded_model_is_bit_equal(saved: Path) -> None:
    model, loaded = make_model(), WorldGPT.from_pretrained(saved)
    for name, tensor in model.state_dict().items():
        assert torch.equal(tensor, loaded.state_dict()[name]), name
    batch = make_batch(model)
    state = {m: codes[:, 0] for m, codes in batch.state.items()}
    one, other = (m.predict(state, batch.action[:, 0]) for m in (model, loaded))
    assert torch.equal(one.rewards, other.rewards)
    assert torch.equal(one.state[Modality.IMAGE], other.state[Modality.IMAGE])


def test_settings_can_be_changed_on_loading(saved: Path) -> None:
    assert WorldGPT.from_pretrained(saved, horizon=7).config.horizon == 7


@pytest.mark.parametrize("name", ["model.safetensors", "config.json", "manifest.json"])
@pytest.mark.parametrize("damage", ["missing", "empty", "half", "flipped"])
def test_damage_is_always_noticed(saved: Path, name: str, damage: str) -> None:
    path = saved / name
    data = path.read_bytes()
    middle = len(data) // 2
    if damage == "missing":
        path.unlink()
    elif damage == "empty":
        path.write_bytes(b"")
    elif damage == "half":
        path.write_bytes(data[:middle])
    else:
        digits = data.index(b'"sha256": "') + 11 if name == "manifest.json" else middle
        path.write_bytes(data[:digits] + bytes([data[digits] ^ 1]) + data[digits + 1 :])
    with pytest.raises(CheckpointError):
        WorldGPT.from_pretrained(saved)


def test_an_unknown_name_lists_what_there_is() -> None:
    with pytest.raises(CheckpointError, match="worldgpt train"):
        WorldGPT.from_pretrained("no-such-world")


def test_a_manifest_cannot_point_outside(saved: Path) -> None:
    manifest = json.loads((saved / "manifest.json").read_text())
    manifest["files"]["../outside"] = {"size": 0, "sha256": ""}
    (saved / "manifest.json").write_text(json.dumps(manifest))
    with pytest.raises(CheckpointError, match="outside"):
        WorldGPT.from_pretrained(saved)


def test_a_failed_write_keeps_the_old_model(saved: Path) -> None:
    def fail(draft: Path) -> None:
        (draft / "model.safetensors").write_bytes(b"half")
        raise OSError("No space left on device")

    with pytest.raises(CheckpointError, match="No space left"):
        write_folder(saved, fail)
    WorldGPT.from_pretrained(saved)
    assert os.listdir(saved.parent) == ["world"]


def test_saving_again_replaces_and_keeps_companions(saved: Path) -> None:
    (saved / "README.md").write_text("card")
    make_model().save_pretrained(saved)
    assert (saved / "README.md").read_text() == "card"
    WorldGPT.from_pretrained(saved)
