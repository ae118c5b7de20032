"""The control: the same agent in the real world."""

from dataclasses import replace
from pathlib import Path

import pytest

from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.policies.store import load_policy, read_policy
from worldgpt_env.training.direct import DirectConfig, train_directly
from worldgpt_env.training.policy_evaluation import EvaluateConfig, evaluate


def test_it_learns_in_the_real_world_and_is_judged_like_the_others(corridor, tmp_path) -> None:
    config = DirectConfig(tmp_path / "policy", str(corridor / "model"), steps=5120)
    figures = train_directly(config)
    assert figures["world"] == "corridor" and figures["steps"] == 5120
    judged = evaluate(EvaluateConfig(str(config.out), episodes=30, deterministic=True))
    assert judged["return"] >= 0.9
    record = read_policy(config.out)
    assert Path(record.model).is_absolute() and record.obs_mode == "latent"
    before = load_policy(config.out).policy.state_dict()
    again = train_directly(config)  # nothing is trained twice
    assert again["real_return"] == figures["real_return"] and again["cpu_seconds"] < 2
    assert all((value == before[name]).all() for name, value in
               load_policy(config.out).policy.state_dict().items())  # fmt: skip
    with pytest.raises(ConfigurationError, match="another --out"):
        train_directly(replace(config, seed=1))


def test_impossible_settings_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="steps"):
        DirectConfig(tmp_path, steps=0)
    with pytest.raises(ConfigurationError, match="seed"):
        DirectConfig(tmp_path, seed=-1)
