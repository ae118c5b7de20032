"""Dyna: rounds build on each other, and a stopped run repeats nothing."""

import json
from dataclasses import replace
from pathlib import Path

import pytest
from toy_worlds import CorridorWorld

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.policies.store import read_policy
from worldgpt_env.training import dyna as dyna_module
from worldgpt_env.training.cli import main
from worldgpt_env.training.dyna import DynaConfig, dyna
from worldgpt_env.training.recording import Recording
from worldgpt_env.training.tables import dyna_table
from worldgpt_env.worlds import register_world


@pytest.fixture
def config(tmp_path: Path) -> DynaConfig:
    register_world(CorridorWorld)
    return DynaConfig(
        tmp_path / "run",
        "corridor",
        rounds=2,
        steps_per_round=300,
        preset="tiny",
        updates=60,
        round_updates=30,
        dream_steps=2048,
        dream={"horizon": 10, "settings": {"net_arch": [16]}},
        train={"rows": 32},
        episodes=5,
    )


def test_rounds_record_with_the_last_agent_and_learn_from_all(config, monkeypatch) -> None:
    learned: list = []
    train = dyna_module.train
    monkeypatch.setattr(dyna_module, "train", lambda c: learned.append(c) or train(c))
    figures = dyna(config)
    assert figures["real_steps"] == 600 and len(figures["rounds"]) == 2
    assert [c.updates for c in learned] == [60, 30]
    assert learned[0].init is None and learned[1].init is None
    assert len(learned[1].data) == 2
    assert Recording.load(learned[1].data).steps == 600
    first, second = (WorldGPT.from_pretrained(config.folder(i) / "model") for i in range(2))
    assert first.config.specs == second.config.specs
    for number in range(2):
        record = read_policy(config.folder(number) / "policy")
        assert Path(record.model) == (config.folder(number) / "model").resolve()
        assert figures["rounds"][number]["judgement"]["episodes"] == 5
    assert "imagined return" in dyna_table(figures)

    again = dyna(config)  # nothing is done twice
    assert len(learned) == 2
    assert again["rounds"][1]["recording"]["new_steps"] == 0
    assert again["rounds"][1]["dream"]["new_steps"] == 0
    assert again["rounds"][1]["judgement"] == figures["rounds"][1]["judgement"]
    more = dyna(replace(config, rounds=3))
    assert len(learned) == 3 and more["real_steps"] == 900


def test_a_stopped_run_goes_on(config, monkeypatch) -> None:
    def stopped(_: object) -> None:
        raise KeyboardInterrupt

    with monkeypatch.context() as patch, pytest.raises(KeyboardInterrupt):
        patch.setattr(dyna_module, "dream", stopped)
        dyna(replace(config, rounds=1))
    assert (config.folder(0) / "model" / "manifest.json").is_file()
    learned: list = []
    monkeypatch.setattr(dyna_module, "train", learned.append)
    assert dyna(replace(config, rounds=1))["real_steps"] == 300
    assert not learned


def test_impossible_settings_are_refused(tmp_path) -> None:
    with pytest.raises(ConfigurationError, match="rounds"):
        DynaConfig(tmp_path, "corridor", rounds=0)
    with pytest.raises(ConfigurationError, match="episodes"):
        DynaConfig(tmp_path, "corridor", episodes=-1)


def test_any_gymnasium_environment_by_its_id_and_real_steps(tmp_path: Path, capsys) -> None:
    pytest.importorskip("minigrid")
    found = tmp_path / "found.json"
    command = ["dyna", "--env", "MiniGrid-Empty-5x5-v0", "--out", str(tmp_path / "run")]
    tiny = ["--rounds", "3", "--preset", "tiny", "--updates", "10", "--dream-steps", "128"]
    tiny += ["--train", "codec_updates=5", "rows=16", "--dream", "num_envs=4"]
    tiny += ["--episodes", "1", "--json", str(found)]
    assert main([*command, *tiny, "--real-steps", "2"]) == 2
    assert "real_steps is 2, too few for 3 rounds" in capsys.readouterr().err
    assert main([*command, *tiny, "--real-steps", "250", "--first-updates", "3"]) == 2
    assert "--first-updates cannot be used" in capsys.readouterr().err
    assert main([*command, *tiny, "--real-steps", "250"]) == 0
    told = json.loads(found.read_text())
    assert [part["real_steps"] for part in told["rounds"]] == [63, 125, 250]
    assert 0 <= told["rounds"][-1]["judgement"]["return"] <= 1
