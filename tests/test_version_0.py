"""What version 0 wrote still opens: a model, its start states, a knowledge base, a policy."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import torch
from tiny_world import TinyWorld

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.checkpoint import weights_sha256
from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.policies import ImaginedVecEnv
from worldgpt_env.policies.store import load_policy, read_policy
from worldgpt_env.start_states import StartStates
from worldgpt_env.training.policy_evaluation import eyes

WRITTEN = Path(__file__).parent / "data" / "version_0"
FOUND = [
    [12, 6, 15],
    [7, 13, 17],
    [11, 14, 16],
    [6, 12, 9],
    [16, 10, 13],
    [14, 8, 17],
    [0, 3, 17],
    [16, 1, 4],
    [17, 5, 2],
    [12, 3, 0],
    [16, 4, 14],
    [2, 14, 13],
    [0, 3, 10],
    [4, 11, 1],
    [2, 11, 5],
    [0, 4, 3],
    [4, 10, 7],
    [8, 5, 11],
]


def test_a_model_dreams_from_its_start_states() -> None:
    envs = ImaginedVecEnv(str(WRITTEN / "model"), num_envs=2, seed=0)
    observation = envs.reset()
    assert {key: part.shape[0] for key, part in observation.items()} == {"text": 2, "vector": 2}
    envs.step(np.array([0, 1]))


def test_knowledge_finds_what_it_found_then(tmp_path: Path) -> None:
    model = WorldGPT.from_pretrained(WRITTEN / "model")
    knowledge = Knowledge.load(WRITTEN / "knowledge", model.processor)
    state = StartStates.load(WRITTEN / "model").select(np.arange(18))
    action, episode = torch.arange(18) % 3, torch.arange(18) // 6
    assert knowledge.search(state, action, 3, episode=episode).index.tolist() == FOUND
    assert knowledge.scenarios == ("a", "b")
    knowledge.save(tmp_path / "again")
    again = Knowledge.load(tmp_path / "again", model.processor)
    assert again.search(state, action, 3, episode=episode).index.tolist() == FOUND


def test_a_policy_still_sees_by_its_model() -> None:
    model = WorldGPT.from_pretrained(WRITTEN / "model")
    record = read_policy(WRITTEN / "policy")
    assert record.model_sha256 == weights_sha256(model) and not record.processor_sha256
    world = TinyWorld()
    see = eyes(record, world, model)
    seen = see({key: part[None] for key, part in world.reset(seed=0)[0].items()})
    action, _ = load_policy(WRITTEN / "policy").predict(seen, deterministic=True)
    assert world.action_space.contains(int(action[0]))
