"""What is installed: one top-level name, every folder, the embedded worlds, and nothing else."""

from __future__ import annotations

import configparser
import re
import shutil
import sys
import zipfile
from importlib import metadata
from pathlib import Path

import children
import pytest

ROOT = Path(__file__).resolve().parent.parent
SETUP = configparser.ConfigParser()
SETUP.read(ROOT / "setup.cfg", encoding="utf-8")
OPTIONS = SETUP["options"]
FOLDERS = {"worldgpt_env": "worldgpt_env", "model": "worldgpt_env.model"} | {
    name: f"worldgpt_env.{name}" for name in ("policies", "training")
}


def lines_of(text: str) -> list[str]:
    """Return the entries of a list in setup.cfg."""
    return [line.strip() for line in text.splitlines() if line.strip() and line.strip()[0] != "#"]


def names_of(requirements: list[str]) -> set[str]:
    """Return the distribution names of a list of requirements."""
    return {re.split(r"[\[<>=!~; ]", line, maxsplit=1)[0].lower() for line in requirements}


def packages_on_disk() -> set[str]:
    """Return the import names of every folder that holds Python files."""
    found = set()
    for folder, name in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            inner = path.parent.relative_to(ROOT / folder).parts
            found.add(".".join([name, *inner]))
    return found


def test_every_folder_is_in_the_package_list() -> None:
    assert set(lines_of(OPTIONS["packages"])) == packages_on_disk()


def test_every_package_has_an_init_file() -> None:
    for name in packages_on_disk():
        folder = next(
            f for f, n in reversed(FOLDERS.items()) if name == n or name.startswith(f"{n}.")
        )
        inner = name.removeprefix(FOLDERS[folder]).strip(".").replace(".", "/")
        assert (ROOT / folder / inner / "__init__.py").is_file(), f"{name} has no __init__.py"


def test_every_requirement_is_pinned() -> None:
    pins = dict(
        line.split("==") for line in lines_of((ROOT / "constraints.txt").read_text("utf-8"))
    )
    pinned = {name.lower().replace("_", "-") for name in pins}
    wanted = names_of(lines_of(OPTIONS["install_requires"]))
    for extra in SETUP["options.extras_require"].values():
        wanted |= names_of(lines_of(extra))
    assert wanted - {"worldgpt-env"} <= pinned
    assert pins["torch"] == "2.13.0"


def test_parts_that_break_transformers_beside_cpu_torch_are_not_asked_for() -> None:
    tree = (ROOT / "setup.cfg").read_text("utf-8") + (ROOT / "constraints.txt").read_text("utf-8")
    for part in ("torchvision", "torchaudio", "torchcodec"):
        assert part not in tree


def test_every_imported_library_is_declared() -> None:
    """A library that is only there because another one brings it would go one day."""
    declared = names_of(lines_of(OPTIONS["install_requires"]))
    for extra in ("atari", "faiss", "human", "minigrid", "plots", "vizdoom"):
        declared |= names_of(lines_of(SETUP["options.extras_require"][extra]))
    homes = metadata.packages_distributions()
    imported = {name for folder in FOLDERS for name in imported_names(ROOT / folder)}
    for name in imported - set(sys.stdlib_module_names) - {"worldgpt_env"}:
        owners = {owner.lower().replace("_", "-") for owner in homes.get(name, [name])}
        assert owners & declared, f"{name} (of {sorted(owners)}) is imported but not in setup.cfg"


def imported_names(folder: Path) -> set[str]:
    """Return the top-level names that the files of ``folder`` import absolutely."""
    pattern = re.compile(r"^\s*(?:from|import) ([a-zA-Z_]\w*)", re.MULTILINE)
    code = "\n".join(p.read_text("utf-8") for p in folder.rglob("*.py"))
    return set(pattern.findall(re.sub(r'""".*?"""', "", code, flags=re.DOTALL)))


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> zipfile.ZipFile:
    """Build the wheel from a copy of the tracked and new files, as pip would."""
    folder = tmp_path_factory.mktemp("wheel")
    listed = children.run_well(
        ["git", "ls-files", "-z", "--cached", "--others", "--exclude-standard"], cwd=ROOT
    )
    for name in filter(None, listed.split("\0")):
        if (ROOT / name).is_file():
            (folder / "tree" / name).parent.mkdir(parents=True, exist_ok=True)
            shutil.copyfile(ROOT / name, folder / "tree" / name)
    pip = [sys.executable, "-m", "pip", "--quiet", "--disable-pip-version-check", "wheel"]
    wanted = ["--no-deps", "--no-build-isolation", "--wheel-dir", folder, folder / "tree"]
    children.run_well([*pip, *wanted], timeout=300)
    return zipfile.ZipFile(next(folder.glob("*.whl")))


def test_the_wheel_installs_one_top_level_name(wheel: zipfile.ZipFile) -> None:
    tops = {name.split("/")[0] for name in wheel.namelist()}
    assert {top for top in tops if not top.endswith(".dist-info")} == {"worldgpt_env"}


def test_the_wheel_holds_every_source_file(wheel: zipfile.ZipFile) -> None:
    installed = set(wheel.namelist())
    for folder, name in FOLDERS.items():
        for path in (ROOT / folder).rglob("*.py"):
            target = f"{name.replace('.', '/')}/{path.relative_to(ROOT / folder).as_posix()}"
            assert target in installed
    assert "worldgpt_env/py.typed" in installed
    assert not [name for name in installed if "/test_" in name or name.endswith(".pyc")]


def test_the_wheel_holds_every_embedded_world(wheel: zipfile.ZipFile) -> None:
    installed = {info.filename: info.file_size for info in wheel.infolist()}
    worlds = [path for path in (ROOT / "worldgpt_env/checkpoints").rglob("*") if path.is_file()]
    assert worlds, "no embedded world"
    for path in worlds:
        assert installed.get(path.relative_to(ROOT).as_posix()) == path.stat().st_size
    assert sum(path.stat().st_size for path in worlds) < 20e6


def test_no_embedded_world_names_a_place_on_the_machine_that_made_it() -> None:
    for path in (ROOT / "worldgpt_env/checkpoints").rglob("*"):
        if path.suffix in (".json", ".md"):
            found = re.findall(
                r"(?<![\w.])/(?:tmp|root|home|work|opt)/\S*", path.read_text("utf-8")
            )
            assert not found, f"{path}: {found}"


def test_the_wheel_has_the_command_and_the_licence(wheel: zipfile.ZipFile) -> None:
    meta = {
        name.split(".dist-info/")[1]: name for name in wheel.namelist() if ".dist-info/" in name
    }
    commands = wheel.read(meta["entry_points.txt"]).decode()
    assert "worldgpt = worldgpt_env.training.cli:main" in commands
    assert "licenses/LICENSE" in meta


USERS_SCRIPT = """
import model, policies, training            # the user's own
import worldgpt_env
from worldgpt_env.model.modalities import Modality
from worldgpt_env import model as ours
assert model.MINE and policies.MINE and training.MINE
assert ours.__name__ == "worldgpt_env.model", ours
print(Modality.IMAGE)
"""


def test_a_users_own_model_file_breaks_nothing(tmp_path: Path) -> None:
    for name in ("model.py", "training.py", "policies/__init__.py"):
        (tmp_path / name).parent.mkdir(exist_ok=True)
        (tmp_path / name).write_text("MINE = True\n")
    (tmp_path / "script.py").write_text(USERS_SCRIPT)
    printed = children.run_well([sys.executable, "script.py"], cwd=tmp_path)
    assert printed.strip() == "image"
