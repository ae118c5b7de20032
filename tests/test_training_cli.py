"""The command line: the whole route, figures as JSON, one sentence for every mistake."""

import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import children
import pytest
from tiny_world import TinyWorld, build_model
from toy_worlds import CorridorWorld

from worldgpt_env.model import safe_io
from worldgpt_env.model.checkpoint import embedded_worlds
from worldgpt_env.model.errors import CheckpointError
from worldgpt_env.policies.store import read_policy
from worldgpt_env.training import imagination
from worldgpt_env.training.cli import main
from worldgpt_env.training.results_io import write_json
from worldgpt_env.worlds import register_world


@pytest.fixture(autouse=True)
def _worlds() -> None:
    register_world(CorridorWorld)
    register_world(TinyWorld)


def run(*arguments: object) -> int:
    return main([str(argument) for argument in arguments])


def test_record_learn_dream_judge(tmp_path: Path, capsys) -> None:
    data, model, policy = tmp_path / "data", tmp_path / "model", tmp_path / "policy"
    told = tmp_path / "figures" / "x.json"
    assert run("collect", "--world", "corridor", "--steps", 200, "--out", data, "--seed", 1) == 0
    settings = ["--preset", "tiny", "--updates", 5, "--rows", 16, "--json", told]
    assert run("train", "--data", data, "--out", model, *settings) == 0
    assert json.loads(told.read_text())["recorded_steps"] == 200
    small = ["--steps", 256, "--num-envs", 16, "--horizon", 9]
    small += ["--set", "n_steps=8", "net_arch=[16]", "learning_rate=1e-3", "--json", told]
    assert run("dream", "--model", model, "--out", policy, *small) == 0
    assert json.loads(told.read_text())["steps"] == 256
    assert read_policy(policy).settings["n_steps"] == 8
    judge = ["--policy", policy, "--episodes", 4, "--deterministic", "--json", told]
    assert run("evaluate", *judge) == 0
    assert json.loads(told.read_text())["world"] == "corridor"
    measure = ["--model", model, "--data", data, "--seen", data, "--horizons", 1, 2]
    assert run("evaluate", *measure, "--json", told) == 0
    assert "words right @2" in json.loads(told.read_text())["figures"]
    assert "| copy last" in capsys.readouterr().out
    assert run("direct", "--model", model, "--out", tmp_path / "real", "--steps", 64) == 0


def test_dyna_and_its_table(tmp_path: Path, capsys) -> None:
    sizes = ["--rounds", 1, "--steps-per-round", 100, "--preset", "tiny", "--updates", 3]
    sizes += ["--dream-steps", 2048, "--episodes", 2]
    assert run("dyna", "--world", "corridor", "--out", tmp_path / "run", *sizes) == 0
    assert "| 0     | 100" in capsys.readouterr().out


def test_info_names_versions_worlds_and_device(tmp_path: Path, capsys) -> None:
    assert run("info", "--json", tmp_path / "info.json") == 0
    told = json.loads((tmp_path / "info.json").read_text())
    assert told["versions"]["gymnasium"] in capsys.readouterr().out
    assert "doorkey" in told["real_worlds"] and told["device"]
    for world in embedded_worlds():
        measured = told["same_dream_at_any_batch_size"][world]
        assert measured["1 thread"] == "yes, measured on this cpu"


def test_info_says_of_a_model_what_it_promises_here(
    tiny_folder: str, tmp_path: Path, capsys
) -> None:
    backbone = {"model_type": "qwen2", "hidden_size": 32, "intermediate_size": 64}
    backbone |= {"num_hidden_layers": 1, "num_attention_heads": 2, "num_key_value_heads": 1}
    foreign = tmp_path / "foreign"
    build_model(backbone={**backbone, "vocab_size": 2}).save_pretrained(foreign)
    for model, said in ((tiny_folder, "yes, measured"), (foreign, "not promised, as its language")):
        assert run("info", "--model", model, "--json", tmp_path / "info.json") == 0
        told = json.loads((tmp_path / "info.json").read_text())["same_dream_at_any_batch_size"]
        assert list(told) == [str(model)]
        assert all(sentence.startswith(said) for sentence in told[str(model)].values())
        assert said in capsys.readouterr().out


@pytest.mark.parametrize(
    ("arguments", "told"),
    [
        (["dream", "--model", "nowhere", "--out", "x"], "worldgpt train"),
        (["evaluate", "--policy", "nowhere", "--world", "tiny"], "worldgpt dream"),
        (["evaluate", "--policy", "random"], "--world"),
        (["evaluate", "--policy", "random", "--world", "nowhere"], "doorkey"),
        (["evaluate"], "--policy POLICY"),
        (["evaluate", "--policy", "x", "--data", "y"], "--policy POLICY"),
        (["evaluate", "--data", "y"], "--model"),
        (["evaluate", "--model", "m", "--data", "y", "--episodes", "3"], "--episodes"),
        (["train", "--data", "nowhere", "--out", "x"], "nowhere"),
        (["collect", "--world", "nowhere", "--steps", "5", "--out", "x"], "nowhere"),
        (["collect", "--world", "tiny", "--steps", "0", "--out", "x"], "at least one step"),
        (["dyna", "--world", "tiny", "--out", "x", "--rounds", "0"], "rounds"),
        (["demo", "--model", "nowhere"], "worldgpt train"),
        (["dream", "--out", "x", "--threads", "0"], "--threads"),
    ],
)
def test_mistakes_are_one_sentence(arguments, told, tmp_path, monkeypatch, capsys) -> None:
    monkeypatch.chdir(tmp_path)
    assert main(arguments) == 2
    error = capsys.readouterr().err
    assert told in error and error.startswith("worldgpt: ") and "Traceback" not in error
    assert not list(tmp_path.iterdir())  # nothing is left behind


@pytest.mark.parametrize(
    "arguments",
    [
        [],
        ["fly"],
        ["dream"],
        ["dream", "--out", "x", "--algo", "sac"],
        ["collect", "--world", "tiny", "--steps", "many", "--out", "x"],
        ["dream", "--out", "x", "--set", "learning_rate"],
    ],
)
def test_usage_is_shown_for_an_impossible_command(arguments, capsys) -> None:
    with pytest.raises(SystemExit) as stop:
        main(arguments)
    assert stop.value.code == 2 and "usage: worldgpt" in capsys.readouterr().err


def test_a_zip_needs_the_flag(tmp_path, capsys) -> None:
    (tmp_path / "x.zip").write_bytes(b"PK\x05\x06" + bytes(18))
    arguments = ["evaluate", "--policy", tmp_path / "x.zip", "--world", "tiny"]
    assert run(*arguments) == 2
    assert "--allow-code-execution" in capsys.readouterr().err
    assert run(*arguments, "--allow-code-execution") == 2
    assert "--algo" in capsys.readouterr().err


@pytest.mark.parametrize(("sign", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143)])
def test_a_signal_has_its_exit_code(sign, code, monkeypatch, tmp_path, capsys) -> None:
    before = signal.getsignal(signal.SIGTERM)
    ctrl_c = signal.signal(signal.SIGINT, signal.default_int_handler)  # ignored in background jobs

    def interrupted(config: object) -> None:
        os.kill(os.getpid(), sign)
        time.sleep(5)

    monkeypatch.setattr(imagination, "dream", interrupted)
    assert run("dream", "--out", tmp_path / "x") == code
    signal.signal(signal.SIGINT, ctrl_c)
    assert "the same command goes on" in capsys.readouterr().err
    assert signal.getsignal(signal.SIGTERM) is before


def test_an_interrupted_process_has_saved_its_run(tiny_folder: str, tmp_path: Path) -> None:
    out = tmp_path / "policy"
    command = [sys.executable, "-m", "worldgpt_env", "dream", "--model", tiny_folder]
    command += ["--out", str(out), "--steps", "100000000", "--horizon", "5", "--save-every", "2048"]
    with children.child(command, stderr=subprocess.PIPE) as process:
        deadline = time.time() + 300
        while not (out / "policy.json").exists() and time.time() < deadline:
            time.sleep(0.2)
        process.send_signal(signal.SIGINT)
        _, error = process.communicate(timeout=200)
    assert process.returncode == 130, error
    assert "Traceback" not in error and "goes on" in error
    assert read_policy(out).steps >= 2048


def test_help_is_quick_and_imports_nothing_heavy() -> None:
    code = (
        "import sys\n"
        "from worldgpt_env.training.cli import main\n"
        "try: main(['dream', '--help'])\n"
        "except SystemExit: pass\n"
        "print('HEAVY', [m for m in ('torch', 'stable_baselines3', 'minari') if m in sys.modules])"
    )
    shown = children.run_well([sys.executable, "-c", code])
    assert "--uncertainty-penalty" in shown and "HEAVY []" in shown


def test_json_is_plain_and_atomic(tmp_path: Path, monkeypatch) -> None:
    path = tmp_path / "deep" / "x.json"
    write_json(path, {"a": float("inf"), "b": float("nan"), "c": (1, Path("p")), "d": True})
    assert json.loads(path.read_text()) == {"a": None, "b": None, "c": [1, "p"], "d": True}
    assert [p.name for p in path.parent.iterdir()] == ["x.json"]

    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(safe_io.os, "replace", full)
    with pytest.raises(Exception, match="No space left"):
        write_json(path, {"a": 1})
    assert json.loads(path.read_text())["d"] is True and len(list(path.parent.iterdir())) == 1


def test_a_full_disk_is_one_sentence_too(monkeypatch, tmp_path, capsys) -> None:
    def full(config: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(imagination, "dream", full)
    assert run("dream", "--out", tmp_path / "x") == 2
    assert "No space left" in capsys.readouterr().err

    def broken(config: object) -> None:
        raise CheckpointError("it is damaged")

    monkeypatch.setattr(imagination, "dream", broken)
    assert run("dream", "--out", tmp_path / "x") == 2


WORLDS = """
import gymnasium as gym
from gymnasium.envs.classic_control import CartPoleEnv
gym.register("TestImportedPole-v0", entry_point=CartPoleEnv, max_episode_steps=20)
"""


def test_a_module_that_registers_worlds_is_imported(tmp_path: Path, monkeypatch, capsys) -> None:
    (tmp_path / "poles_of_mine.py").write_text(WORLDS)
    (tmp_path / "broken_poles.py").write_text("1 / 0")
    monkeypatch.chdir(tmp_path)
    monkeypatch.setattr(sys, "path", [part for part in sys.path if part])
    command = ["collect", "--env", "TestImportedPole-v0", "--steps", "30", "--out", "recording"]
    assert run(*command) == 2 and "TestImportedPole" in capsys.readouterr().err
    assert run(*command, "--import", "poles_of_mine") == 0
    assert run(*command, "--import", "pole_of_mine") == 2
    assert "--import pole_of_mine: No module named 'pole_of_mine'" in capsys.readouterr().err
    assert run(*command, "--import", "broken_poles") == 2
    assert "fails with ZeroDivisionError" in capsys.readouterr().err
