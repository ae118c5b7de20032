"""The package: light to import, honest about a checkout that is not installed."""

import shutil
import sys
from pathlib import Path
from subprocess import CompletedProcess

import children
import gymnasium as gym

import worldgpt_env

HERE = Path(worldgpt_env.__file__).parent


def run(code: str, folder: Path) -> CompletedProcess[str]:
    """Run ``code`` with ``folder`` as working folder, first on the path."""
    command = [sys.executable, "-c", f"import sys; sys.path.insert(0, {str(folder)!r})\n{code}"]
    return children.run(command, cwd=folder)


def test_importing_registers_and_imports_neither_torch_nor_the_floors_above() -> None:
    code = (
        "import sys, worldgpt_env, gymnasium\n"
        "assert 'WorldGPT-v0' in gymnasium.registry\n"
        "heavy = {'torch', 'transformers', 'stable_baselines3', 'PIL', 'pygame', 'safetensors'}\n"
        "assert not heavy & set(sys.modules), heavy & set(sys.modules)\n"
        "import worldgpt_env.errors, worldgpt_env.spaces\n"
        "assert 'torch' not in sys.modules\n"
    )
    children.run_well([sys.executable, "-c", code])


def test_a_checkout_that_is_not_installed_says_what_to_type(tmp_path: Path) -> None:
    (tmp_path / "worldgpt_env").mkdir()
    for name in ("__init__.py", "_version.py", "forking.py"):
        shutil.copy(HERE / name, tmp_path / "worldgpt_env" / name)
    code = "sys.meta_path[:] = [f for f in sys.meta_path if 'editable' not in repr(f).lower()]\n"
    done = run(code + "import worldgpt_env", tmp_path)
    assert done.returncode == 1
    last = done.stderr.strip().splitlines()[-1]
    assert f"type `pip install -e {tmp_path}`" in last, done.stderr


def test_the_registered_world_names_both_entry_points_as_text() -> None:
    spec = gym.spec("WorldGPT-v0")
    assert spec.entry_point == "worldgpt_env.env:open_env"
    assert spec.vector_entry_point == "worldgpt_env.vector_env:WorldGPTVectorEnv"
    assert spec.max_episode_steps is None  # the horizon is the environment's own


def test_the_module_runs_the_command_line() -> None:
    printed = children.run_well([sys.executable, "-m", "worldgpt_env", "--help"])
    assert "collect" in printed and "dream" in printed
