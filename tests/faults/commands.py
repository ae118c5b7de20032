"""Seven commands that write, small enough for hundreds of trials, and what they leave behind."""

from __future__ import annotations

import hashlib
import json
import re
import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from processes import Result, Zygote

from worldgpt_env.model.checkpoint import verify
from worldgpt_env.policies.store import read_policy
from worldgpt_env.training.dataset import read_episodes

Content = dict[str, str]
"""What is compared: a hash per part of a result; clocks are left out."""


@dataclass(frozen=True)
class Command:
    """A command line with ``RECORDING``, ``MODEL`` and ``OUT`` in it.

    Attributes:
        argv: the command line.
        content: reads what it has made; raises where that is not whole.
        first: the command line whose result lies at ``OUT`` before, for trials that must keep it.
    """

    argv: str
    content: Callable[[Path], Content]
    first: str = ""

    def line(self, made: Path, out: Path, first: bool = False) -> list[str]:
        """Return the command line for the folder of inputs ``made``."""
        names = {"RECORDING": made / "recording", "MODEL": made / "model", "OUT": out}
        parts = (self.first if first else self.argv).split()
        return [str(names.get(part, part)) for part in parts]


def digest(path: Path) -> str:
    """Return a short hash of a file; of JSON without its clocks."""
    data = path.read_bytes()
    if path.suffix == ".json":
        told = {k: v for k, v in json.loads(data).items() if "seconds" not in k}
        data = json.dumps(told, sort_keys=True).encode()
    if path.name == "README.md":
        data = re.sub(rb"[\d.,]+ CPU-seconds by|--out \S+|--init \S+|model=\"[^\"]+\"", b"", data)
    return hashlib.sha256(data).hexdigest()[:16]


def of_folder(folder: Path) -> Content:
    """Return the content of a sealed folder."""
    verify(folder)
    return {path.name: digest(path) for path in folder.iterdir() if path.name != "manifest.json"}


def of_policy(folder: Path) -> Content:
    """Return the content of a policy."""
    record = read_policy(folder)
    found = {}
    for key, entry in record.files.items():
        found[key] = hashlib.sha256((folder / entry["name"]).read_bytes()).hexdigest()[:16]
        assert entry["sha256"].startswith(found[key]), f"{entry['name']} was changed"
    return found


def of_recording(folder: Path) -> Content:
    """Return the content of a recording."""
    content = hashlib.sha256()
    for episode in read_episodes(folder):
        for part in (*episode.observations.values(), episode.actions, episode.rewards):
            content.update(part.tobytes())
        content.update(f"{episode.seed} {episode.terminated} {episode.truncated}".encode())
    return {"episodes": content.hexdigest()[:16]}


def of_rounds(out: Path) -> Content:
    """Return the content of the rounds of ``worldgpt dyna``."""
    found = {}
    for folder in sorted(out.glob("round-*")):
        parts = {
            "recording": of_recording(folder / "recording"),
            "model": of_folder(folder / "model"),
            "policy": of_policy(folder / "policy"),
            "judged": {
                "return": str(json.loads((folder / "judgement.json").read_text())["return"])
            },
        }
        found |= {f"{folder.name}/{k}/{n}": v for k, part in parts.items() for n, v in part.items()}
    return found


_TRAIN = "train --data RECORDING --out OUT --preset tiny --updates 40 --rows 8"
_TUNE = "tune --model MODEL --data RECORDING --out OUT --updates 40 --rows 8"
_DREAM = (
    "dream --model MODEL --out OUT --horizon 10 --save-every 2048 --set net_arch=[16] --steps 4096"
)
COMMANDS = {
    "collect": Command("collect --world corridor --steps 120 --out OUT", of_recording),
    "train": Command(_TRAIN, of_folder, f"{_TRAIN} --seed 1"),
    "tune": Command(_TUNE, of_folder, f"{_TUNE} --seed 1"),
    "knowledge": Command(
        "knowledge --model MODEL --data RECORDING --out OUT",
        of_folder,
        "knowledge --model MODEL --data RECORDING --out OUT --per-scenario 9",
    ),
    "dream": Command(_DREAM, of_policy, _DREAM.replace("4096", "2048")),
    "direct": Command("direct --model MODEL --out OUT --steps 1024", of_policy),
    "dyna": Command(
        "dyna --world corridor --out OUT --rounds 2 --steps-per-round 120 --preset tiny "
        "--updates 20 --dream-steps 2048 --episodes 2 --train rows=8 --dream horizon=10",
        of_rounds,
    ),
}


@dataclass(frozen=True)
class Trials:
    """Inputs that were made once, and what each command makes of them undisturbed."""

    made: Path
    zygote: Zygote
    whole: dict[str, Content]
    before: dict[str, Content]

    def prepare(self, name: str, out: Path) -> None:
        """Put the result of the command before at ``out``, if the command has one."""
        if COMMANDS[name].first:
            shutil.copytree(self.made / f"before-{name}", out)

    def line(self, name: str, out: Path) -> list[str]:
        """Return the command line of ``name``."""
        return COMMANDS[name].line(self.made, out)

    def finish(self, name: str, out: Path) -> Result:
        """Repeat the command until its end; it must leave what it always leaves, and no more."""
        result = self.zygote.run(self.line(name, out))
        assert result.code == 0, result.said
        assert COMMANDS[name].content(out) == self.whole[name]
        left = [p for p in out.parent.rglob(".*") if p.name.endswith(".draft")]
        assert not left, left
        return result

    def check_old(self, name: str, out: Path) -> None:
        """Assert that the result before is whole at its place, or else the new one."""
        if COMMANDS[name].first:
            assert COMMANDS[name].content(out) in (self.before[name], self.whole[name])


def make_trials(folder: Path) -> Trials:
    """Make the inputs and every result once."""
    zygote = Zygote(folder)
    for line in (
        ["collect", "--world", "corridor", "--steps", "120", "--out", folder / "recording"],
        COMMANDS["train"].line(folder, folder / "model"),
    ):
        assert zygote.run(line).code == 0
    whole: dict[str, Content] = {}
    before: dict[str, Content] = {}
    for name, command in COMMANDS.items():
        for kind, found in (("whole", whole), ("before", before)):
            out = folder / f"{kind}-{name}"
            if kind == "whole" or command.first:
                result = zygote.run(command.line(folder, out, kind == "before"))
                assert result.code == 0, result.said
                found[name] = command.content(out)
    return Trials(folder, zygote, whole, before)


def told(result: Result) -> Any:
    """Return what a command said, if it is one sentence and no traceback."""
    assert "Traceback" not in result.said, result.said
    lines = [line for line in result.said.splitlines() if line.strip()]
    assert len(lines) == 1 and lines[0].startswith("worldgpt: "), result.said
    return lines[0]
