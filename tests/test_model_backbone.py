"""Backbones: from scratch, by checkpoint with LoRA, of experts; only what is declared trains."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import torch
import transformers
from pretrained_parts import WORDS, save_tokenizer
from safetensors.torch import load_file, save_file
from torch import Tensor

from worldgpt_env.model import WorldGPT, WorldGPTConfig
from worldgpt_env.model.dynamics.backbone import Backbone
from worldgpt_env.model.errors import CheckpointError, ConfigurationError
from worldgpt_env.model.external_weights import state_of
from worldgpt_env.model.modalities import ActionSpec, Modality, ModalitySpec, TextSpec, VectorSpec
from worldgpt_env.model.rollout.fused_llama import FusedLlama

SIZES: dict[str, Any] = {
    "hidden_size": 32,
    "num_hidden_layers": 2,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "head_dim": 8,
    "intermediate_size": 48,
    "vocab_size": 32,
    "max_position_embeddings": 256,
    "initializer_range": 0.2,
    "bos_token_id": None,
    "eos_token_id": None,
    "pad_token_id": None,
}
EXPERTS: dict[str, dict[str, Any]] = {
    "qwen3_moe": {**SIZES, "num_experts": 4, "num_experts_per_tok": 2, "moe_intermediate_size": 16},
    "mixtral": {**SIZES, "num_local_experts": 4, "num_experts_per_tok": 2},
}
LORA = {"r": 4, "alpha": 8, "dropout": 0.1, "targets": ["q_proj", "k_proj", "v_proj", "o_proj"]}
SPECS: dict[Modality, ModalitySpec] = {
    Modality.TEXT: TextSpec.of(WORDS, 3),
    Modality.VECTOR: VectorSpec(("a", "b"), (0, 0), (1, 1)),
}


@pytest.fixture(scope="session")
def checkpoints(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder with a tiny llama, qwen3_moe and mixtral, as their authors would publish them."""
    folder = tmp_path_factory.mktemp("checkpoints")
    torch.manual_seed(0)
    for kind, sizes in {"llama": SIZES, **EXPERTS}.items():
        config = transformers.AutoConfig.for_model(kind, **sizes)
        model = transformers.AutoModelForCausalLM.from_config(config)
        model.save_pretrained(folder / kind)
        save_tokenizer(folder / kind)
    return folder


def settings(checkpoints: Path, kind: str = "llama", **changes: Any) -> dict[str, Any]:
    """Return backbone settings of a checkpoint with LoRA."""
    return {"checkpoint": str(checkpoints / kind), "lora": LORA, **changes}


def run(backbone: Backbone, seed: int = 0) -> Tensor:
    """Return hidden states of random tokens under a causal mask."""
    tokens = torch.randn(2, 6, backbone.hidden, generator=torch.Generator().manual_seed(seed))
    mask = torch.full((6, 6), -1e9).triu(1)[None, None]
    return backbone(tokens, mask, torch.arange(6)[None])


def train(backbone: Backbone, updates: int = 3) -> None:
    """Train everything that asks for it, hard."""
    torch.manual_seed(1)
    optimizer = torch.optim.AdamW(backbone.parameters(), lr=0.05, weight_decay=0.1)
    backbone.train()
    for update in range(updates):
        loss = (run(backbone, update) - 1).square().mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
    backbone.eval()


@pytest.mark.parametrize("kind", ["llama", "qwen3_moe", "mixtral"])
def test_only_lora_trains_and_the_base_keeps_its_bits(checkpoints: Path, kind: str) -> None:
    backbone = Backbone(settings(checkpoints, kind))
    asking = [name for name, p in backbone.named_parameters() if p.requires_grad]
    assert asking == backbone.trainable
    assert len(asking) == 2 * 4 * 2  # layers, maps, A and B
    assert all("lora_" in name for name in asking)
    before = state_of(backbone)
    train(backbone)
    after = state_of(backbone)
    changed = {name for name in before if not torch.equal(before[name], after[name])}
    assert changed == set(asking)
    published = transformers.AutoModel.from_pretrained(checkpoints / kind).state_dict()
    found = {n.replace(".base_layer", ""): t for n, t in after.items() if "lora_" not in n}
    assert len(found) == len(published)
    assert all(torch.equal(found["model.base_model.model." + n], t) for n, t in published.items())


def test_before_training_it_is_the_checkpoint(checkpoints: Path) -> None:
    plain = Backbone(settings(checkpoints, lora=None)).eval()
    assert plain.trainable == [] and plain.merged() is plain
    assert torch.equal(run(Backbone(settings(checkpoints)).eval()), run(plain))
    assert not [name for name, p in plain.named_parameters() if p.requires_grad]


def test_from_scratch_everything_trains() -> None:
    backbone = Backbone({"model_type": "llama", **SIZES})
    assert backbone.trainable == [name for name, _ in backbone.named_parameters()]
    assert set(backbone.state_dict()) == set(state_of(backbone))
    assert backbone.merged() is backbone


@pytest.mark.parametrize("kind", ["llama", "qwen3_moe"])
def test_merged_weights_compute_the_same(checkpoints: Path, kind: str) -> None:
    backbone = Backbone(settings(checkpoints, kind))
    train(backbone)
    merged = backbone.merged()
    torch.testing.assert_close(run(merged), run(backbone), atol=1e-5, rtol=1e-5)
    assert not [name for name, _ in merged.named_parameters() if "lora" in name]
    assert type(merged.model) is type(Backbone(settings(checkpoints, kind, lora=None)).model)
    assert merged.inverse_frequencies().shape == (4,)
    assert backbone.merged() is merged
    earlier = run(merged)
    train(backbone, 1)
    assert torch.equal(run(merged), earlier)  # an engine keeps the weights it was built with
    assert not torch.allclose(run(backbone.merged()), earlier)
    torch.testing.assert_close(run(backbone.merged()), run(backbone), atol=1e-5, rtol=1e-5)


def test_the_fused_loop_takes_only_merged_weights(checkpoints: Path) -> None:
    backbone = Backbone(settings(checkpoints))
    assert not FusedLlama.supports(backbone.model)
    assert FusedLlama.supports(backbone.merged().model)


@pytest.mark.parametrize("embedded", [False, True])
def test_saved_and_loaded_again(checkpoints: Path, tmp_path: Path, embedded: bool) -> None:
    backbone = Backbone(settings(checkpoints, embed_weights=embedded))
    train(backbone)
    tensors = {name: t.contiguous() for name, t in backbone.state_dict().items()}
    save_file(tensors, tmp_path / "backbone.safetensors")
    if not embedded:
        assert set(tensors) == set(backbone.trainable)
    saved = json.loads(json.dumps(backbone.settings))
    if embedded:
        saved["checkpoint"] = "gone"
    again = Backbone(saved)
    again.load_state_dict(load_file(tmp_path / "backbone.safetensors"), strict=True)
    assert again.eval().trainable == backbone.trainable
    assert torch.equal(run(again), run(backbone))


def test_another_base_than_in_training_is_refused(checkpoints: Path) -> None:
    saved = Backbone(settings(checkpoints)).settings
    with pytest.raises(CheckpointError, match="not those that this model was trained with"):
        Backbone(saved | {"sha256": "0" * 64})


@pytest.mark.parametrize("kind", ["llama", "qwen3_moe", "mixtral"])
def test_a_world_learns_dreams_and_returns(checkpoints: Path, tmp_path: Path, kind: str) -> None:
    config = WorldGPTConfig.from_preset("tiny", SPECS, ActionSpec("discrete", (3,)))
    config.backbone = settings(checkpoints, kind)
    model = WorldGPT(config).eval()
    for name, parameter in model.named_parameters():
        if "lora_" in name:
            torch.nn.init.normal_(parameter, std=0.1)
    state = {
        Modality.TEXT: torch.randint(0, 9, (3, 3, 1)),
        Modality.VECTOR: torch.randint(0, 8, (3, 2, 1)),
    }
    one = model.predict(state, torch.tensor([0, 1, 2]))
    model.save_pretrained(tmp_path / "world")
    saved = load_file(tmp_path / "world/model.safetensors")
    names = [n for n in saved if n.startswith("dynamics.backbone.")]
    assert sorted(names) == sorted(
        "dynamics.backbone." + n for n in model.dynamics.backbone.trainable
    )
    again = WorldGPT.from_pretrained(tmp_path / "world")
    two = again.predict(state, torch.tensor([0, 1, 2]))
    assert torch.equal(one.rewards, two.rewards)
    assert all(torch.equal(one.state[m], two.state[m]) for m in SPECS)
    assert len(json.loads((tmp_path / "world/config.json").read_text())["backbone"]["sha256"]) == 64


@pytest.mark.parametrize("kind", ["qwen3_moe", "mixtral"])
def test_experts_from_scratch_imagine_as_they_read(kind: str) -> None:
    torch.manual_seed(0)
    config = WorldGPTConfig.from_preset("tiny", SPECS, ActionSpec("discrete", (3,)), context=3)
    config.backbone = {"model_type": kind, **EXPERTS[kind]}
    model = WorldGPT(config).eval()
    assert not FusedLlama.supports(model.dynamics.backbone.model)
    tokens = torch.randn(2, 6, model.dynamics.backbone.hidden)
    mask = torch.full((6, 6), -1e9).triu(1)[None, None]
    whole = model.dynamics.backbone(tokens, mask, torch.arange(6)[None])
    cache = transformers.DynamicCache()
    parts = [
        model.dynamics.backbone(
            tokens[:, n : n + 1], mask[:, :, n : n + 1, : n + 1], torch.tensor([[n]]), cache
        )
        for n in range(6)
    ]
    torch.testing.assert_close(torch.cat(parts, 1), whole, atol=1e-5, rtol=1e-5)
    rows = {
        m: torch.zeros(2, c, 1, dtype=torch.int64)
        for m, c in ((Modality.TEXT, 3), (Modality.VECTOR, 2))
    }
    engine = model.imagination(2)
    for _ in range(5):  # past the context
        rows = engine.step(rows, torch.tensor([0, 2])).state
    assert all(len(codes) == 2 for codes in rows.values())


def test_half_precision_weights_take_and_give_float32(checkpoints: Path) -> None:
    backbone = Backbone(settings(checkpoints, dtype="bfloat16")).eval()
    full = Backbone(settings(checkpoints)).eval()
    assert next(backbone.model.get_base_model().parameters()).dtype == torch.bfloat16
    hidden = run(backbone)
    assert hidden.dtype == torch.float32
    torch.testing.assert_close(hidden, run(full), atol=0.1, rtol=0.1)


def test_words_start_from_the_language_model(checkpoints: Path) -> None:
    backbone = Backbone(settings(checkpoints))
    table = backbone.model.get_input_embeddings().weight
    tokenizer = backbone.tokenizer()
    words = backbone.word_embeddings(("", "<unknown>", "door", "red key"), tokenizer)
    ids = {word: tokenizer.convert_tokens_to_ids(word) for word in WORDS}
    assert torch.equal(words[0], torch.zeros(32))
    assert torch.equal(words[2], table[ids["door"]])
    torch.testing.assert_close(words[3], (table[ids["red"]] + table[ids["key"]]) / 2)
    torch.testing.assert_close(words[1], words[2:].mean(0))
    scratch = Backbone({"model_type": "llama", **SIZES, "vocab_size": 2})
    with pytest.raises(ConfigurationError, match="the tokenizer of the same checkpoint"):
        scratch.word_embeddings(("door",), tokenizer)
    with pytest.raises(ConfigurationError, match="has no tokenizer"):
        scratch.tokenizer()


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"checkpoint": "nowhere"}, "no AutoModel can be loaded"),
        ({"lora": {**LORA, "targets": ["nothing"]}}, "LoRA finds no"),
        ({"lora": {**LORA, "r": 0}}, "must be a whole number from 1"),
        ({"lora": {"rank": 4}}, "do not fit"),
        ({"size": 3}, "do not fit"),
        ({"dtype": "int8"}, "use 'float32' or 'bfloat16'"),
    ],
)
def test_what_cannot_be_is_refused(
    checkpoints: Path, changes: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigurationError, match=message):
        Backbone(settings(checkpoints) | changes)


def test_lora_needs_a_checkpoint() -> None:
    with pytest.raises(ConfigurationError, match="name one as 'checkpoint'"):
        Backbone({"model_type": "llama", **SIZES, "lora": LORA})
