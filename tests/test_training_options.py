"""Options are the fields of configurations: each is documented, typed, and reaches its field."""

from __future__ import annotations

from dataclasses import fields
from pathlib import Path
from typing import Any

import pytest

from worldgpt_env.training.cli import build_parser
from worldgpt_env.training.commands.table import Command, part_of
from worldgpt_env.training.commands.top_level import COMMANDS
from worldgpt_env.training.commands.worldnet import WORLDNET_COMMANDS
from worldgpt_env.training.commands.worldnet_build import ARCADE, FILMED, MAKING, NESTED, gathered
from worldgpt_env.training.options import options_of
from worldgpt_env.training.worldnet.builders.cutting import Change, CutConfig
from worldgpt_env.training.worldnet.builders.events import StateConfig
from worldgpt_env.training.worldnet.builders.filters import FilterConfig

TABLES = [*COMMANDS.values(), *WORLDNET_COMMANDS.values()]
CONFIGURED = [c for c in TABLES if c.config]
CONFIGS = [c.reference for c in CONFIGURED]
CONFIGS += ["policy_evaluation.EvaluateConfig", "evaluation.fidelity.FidelityConfig"]
CONFIGS += ["worldnet.inspection.InspectConfig", ARCADE, FILMED, *NESTED.values()]
CONFIGS += [f"{MAKING}wild.WildConfig", f"{MAKING}crafted.CraftedConfig"]


def parsed(line: str) -> dict[str, Any]:
    """Return the options of a command line, without those that all commands have."""
    options = vars(build_parser().parse_args(line.split()))
    shared = ("command", "json", "threads", "light", "modules")
    return {name: value for name, value in options.items() if name not in shared}


@pytest.mark.parametrize("config", CONFIGS)
def test_every_field_is_an_option_with_its_docs(config: str) -> None:
    options = options_of(config)
    assert [option.name for option in options] == [f.name for f in fields(part_of(config))]
    assert all(option.text for option in options), [o.name for o in options if not o.text]


@pytest.mark.parametrize("command", CONFIGURED, ids=lambda command: command.function)
def test_what_a_table_names_is_there(command: Command) -> None:
    assert callable(part_of(command.function)) and callable(part_of(command.reference))
    assert not command.table or callable(part_of(command.table))
    names = {option.name for option in options_of(command.reference)}
    assert set(command.settings) <= names


def test_values_have_the_types_of_their_fields() -> None:
    line = "train --data a b --out m --updates 3 --rarity 0.5 --encoders image=clip:x"
    line += " --without image>audio audio>image --init old --codecs image={"
    found = parsed(line.replace("image={", 'image={"digits":8}'))
    assert found == {
        "data": (Path("a"), Path("b")), "out": Path("m"), "updates": 3, "rarity": 0.5,
        "encoders": {"image": "clip:x"}, "without": ("image>audio", "audio>image"),
        "init": Path("old"), "codecs": {"image": {"digits": 8}},
    }  # fmt: skip
    assert parsed("dream --out p --set learning_rate=1e-3 net_arch=[16]") == {
        "out": Path("p"), "settings": {"learning_rate": 1e-3, "net_arch": [16]}
    }  # fmt: skip
    assert parsed("worldnet evaluate a b --data w --scenarios x,y --memory") == {
        "models": ("a", "b"), "data": Path("w"), "scenarios": ("x", "y"), "memory": True
    }  # fmt: skip
    assert parsed("worldnet sequences a --data w --steps 1,3")["steps"] == (1, 3)
    assert parsed("worldnet curves --runs a=x,y b=z --out c.png")["runs"] == {
        "a": (Path("x"), Path("y")), "b": (Path("z"),)
    }  # fmt: skip
    assert parsed("knowledge --model m --data a --out k --no-distinct")["distinct"] is False


def test_help_has_the_defaults(capsys: pytest.CaptureFixture[str]) -> None:
    for line, shown in (
        ("dream", ("default: 200000", "default: ppo", "uncertainty_penalty")),
        ("evaluate", ("default: 1 5 15 50", "default: 10000")),
        ("worldnet sequences", ("default: 1 3 5 7 15 30 49",)),
    ):
        with pytest.raises(SystemExit):
            build_parser().parse_args([*line.split(), "--help"])
        text = " ".join(capsys.readouterr().out.split()).replace("-penalty", "_penalty")
        assert all(part in text for part in shown), line
        assert "``" not in text and ":class:" not in text


@pytest.mark.parametrize(
    "way", ["wild --recordings r", "crafted --dataset ssv2 --annotations a --media m"]
)
def test_the_parts_of_a_build_get_their_options(way: str) -> None:
    line = f"worldnet build {way} --out x --state-seconds 2 --frames 4 --min-words 3 --test 0.2"
    found = gathered({n: v for n, v in parsed(line).items() if n != "way"})
    assert found["state"] == StateConfig(seconds=2.0, frames=4)
    assert found["filters"] == FilterConfig(min_words=3) and found["shares"].test == 0.2
    assert "cut" not in found
    if way.startswith("wild"):
        cut = gathered({n: v for n, v in parsed(line + " --changes shot --shot 0.1").items()})[
            "cut"
        ]
        assert cut == CutConfig(changes=(Change.SHOT,), shot=0.1)
