"""The demo as a whole, on a world of seconds; and its film."""

import json
from pathlib import Path

import numpy as np
import pytest
from PIL import Image
from tiny_world import TinyWorld

from worldgpt_env.model.errors import CheckpointError, ConfigurationError
from worldgpt_env.policies.baselines import RandomPolicy
from worldgpt_env.training import demo as demo_module
from worldgpt_env.training.demo import DemoConfig, comparison, demo, recorded_steps
from worldgpt_env.training.direct import DirectConfig, train_directly
from worldgpt_env.training.film import film


@pytest.fixture
def beside(monkeypatch: pytest.MonkeyPatch) -> None:
    """Train the control in this process: another one would not know the worlds of the tests."""

    class Here:
        returncode = 0

        def __init__(self, command: list[str], **_: object) -> None:
            options = dict(zip(command[4::2], command[5::2], strict=True))
            assert command[1:4] == ["-m", "worldgpt_env", "direct"]
            train_directly(
                DirectConfig(
                    Path(options["--out"]),
                    options["--model"],
                    steps=int(options["--steps"]),
                    seed=int(options["--seed"]),
                )
            )

        def communicate(self) -> tuple[str, str]:
            return "", ""

        def poll(self) -> int:
            return 0

    monkeypatch.setattr(demo_module.subprocess, "Popen", Here)


def test_the_demo_trains_judges_compares_and_films(corridor, tmp_path, beside) -> None:
    config = DemoConfig(tmp_path / "demo", str(corridor / "model"), steps=12_288, episodes=20)
    figures = demo(config)
    agents = figures["agents"]
    assert agents["PPO in the dream"]["return"] >= 0.8 > agents["random actions"]["return"]
    assert agents["PPO in the real world"]["real_steps"] == 1500  # as many as were recorded
    assert agents["PPO in the dream"]["real_steps"] == 0
    assert "1,500" in figures["table"] and "12,288" in figures["table"]
    assert Image.open(figures["gif"]).n_frames > 6
    events = list(Path(figures["tensorboard"]).rglob("events*"))
    assert {path.parent.parent.name for path in events} == {"dream", "direct"}
    again = demo(config)  # everything is found again
    assert again["table"] == figures["table"] and again["cpu_seconds"] < figures["cpu_seconds"]


def test_a_control_that_fails_is_told(corridor, tmp_path, monkeypatch) -> None:
    config = DemoConfig(tmp_path / "demo", str(corridor / "model"), steps=2048, episodes=2)
    with pytest.raises(demo_module.WorldGPTError, match="corridor"):  # unknown in a new process
        demo(config)


def test_the_table_says_what_was_given_to_whom() -> None:
    judged = {"real_steps": 0, "imagined_steps": 9, "return": 1.0, "return_low": 0.5,
              "return_high": 1.5, "success": 0.5, "length": 3.0, "episodes": 4}  # fmt: skip
    table = comparison({"PPO in the dream": judged}, "corridor", 0.75, 1500)
    assert "claimed 0.8" in table and "1,500 recorded" in table and "4 episodes" in table


def test_the_film_shows_the_same_actions_in_both(tiny_model, tmp_path) -> None:
    world = TinyWorld()
    policy = RandomPolicy(world.action_space, 0)
    frames = film(tiny_model, policy, lambda seen: seen, world, tmp_path / "a.gif", episodes=2)
    with Image.open(tmp_path / "a.gif") as picture:
        assert 0 < picture.n_frames <= frames  # equal frames in a row are merged
        first = np.asarray(picture.convert("RGB"))
    half = (first.shape[1] - 8) // 2
    left, right = first[20:, :half], first[20:, half + 8 :]
    assert left.shape == right.shape and not np.array_equal(left, right)


def test_mistakes_are_told(tiny_folder: str, corridor: Path, tmp_path: Path) -> None:
    with pytest.raises(CheckpointError, match="--real-steps"):
        recorded_steps(tiny_folder)
    assert recorded_steps(str(corridor / "model")) == 1500
    assert json.loads((corridor / "model" / "metrics.json").read_text())["world"] == "corridor"
    with pytest.raises(ConfigurationError, match="episodes"):
        DemoConfig(tmp_path, episodes=0)
    with pytest.raises(ConfigurationError, match="real_steps"):
        DemoConfig(tmp_path, real_steps=0)
