"""Every option of every command, with values that are wrong for its type: exit 2, one sentence.

The options are taken from the parsers, so that a new one is tried without being named here. A
command that refuses a value has done no work: it leaves no file behind.
"""

from __future__ import annotations

import argparse
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from small_worldnet import write_small

from worldgpt_env.training.cli import build_parser, main
from worldgpt_env.training.parsers import LateParser

WRONG = {
    "int": ("", "x", "nan", "-1", "1.5", "1e400", "99999999999999999999", "a\0b", "0x10"),
    "whole": ("", "x", "nan", "-1", "1.5", "inf", "1e400", "99999999999999999999", "a\0b"),
    "float": ("", "x", "nan", "inf", "-inf", "1e400", "-1", "a\0b"),
    "Path": ("", "a\0b"),
    "str": ("", "a\0b"),
    "assignment": ("", "x", "=", "a\0b", "no_such_name=1"),
    "names": ("", "a\0b", "no-such-name"),
    "numbers": ("", "x", "-1", "1.5", "a\0b"),
    "recipe": ("", "a\0b", "x"),
}
NOWHERE = ("no-such-thing", "/dev/null/x")
NAMES = {  # options whose text or path names something that has to exist
    *("--world", "--policy", "--preset", "--device", "--model", "--data", "--schedule", "--init"),
    *("--outcome", "--codecs-from", "--knowledge", "--split", "--start-states", "--modalities"),
    *("--agent-modalities", "--without", "--algo", "--obs-mode", "--memory", "--scenarios"),
    *(
        "--combinations",
        "--static",
        "--seen",
        "--known",
        "--readings",
        "--captioner",
        "--recordings",
    ),
    *("--annotations", "--media", "--dataset", "--policies"),
}
ZERO = {  # options of which nothing is an answer too
    *("--steps", "--rows", "--length", "--horizon", "--updates", "--num-envs", "--episodes"),
    *("--rounds", "--steps-per-round", "--repeats", "--save-every", "--threads", "--context"),
    *("--start-states-count", "--learning-rate", "--held-out", "--share", "--watch-every"),
}
SKIPPED = {  # 0 judges nothing, which is allowed there
    ("dyna", "--episodes"),
    ("tune", "--horizon"),
}
GIVEN = {
    "demo": "--model doorkey",
    "play": "doorkey",
    "collect": "--world doorkey --steps 5",
    "train": "--data {recording}",
    "knowledge": "--model doorkey --data {recording}",
    "tune": "--model doorkey --data {recording}",
    "dream": "--model doorkey",
    "evaluate": "--policy random --world doorkey",
    "evaluate --data": "--model doorkey --data {recording}",
    "evaluate worldnet": "doorkey --data {worldnet}",
    "dyna": "--world doorkey",
    "dyna --env": "--env CartPole-v1",
    "alone": "--world doorkey",
    "info": "--model doorkey",
    "direct": "--model doorkey",
    "trust": "--model doorkey",
    "speed": "--model doorkey",
    "worldnet inspect": "--data {worldnet}",
    "worldnet build arcade": "",
    "worldnet build wild": "--recordings {recording}",
    "worldnet build crafted": "--dataset ssv2 --annotations {recording} --media {recording}",
    "worldnet sequences": "doorkey --data {worldnet}",
    "worldnet evaluate": "doorkey --data {worldnet}",
    "worldnet curves": "--runs one=runs/one",
}
WRITES = {*GIVEN} - {
    *("play", "evaluate", "evaluate --data", "evaluate worldnet", "speed", "worldnet inspect"),
    *("worldnet sequences", "worldnet evaluate", "worldnet curves", "alone", "info"),
}


def commands(parser: argparse.ArgumentParser, name: str = "") -> Iterator[tuple[str, LateParser]]:
    """Yield every command below ``parser`` with its filled parser."""
    for action in parser._actions:
        if not isinstance(action, argparse._SubParsersAction):
            continue
        for word, below in action.choices.items():
            assert isinstance(below, LateParser)
            for title, found in {word: below, **{f"{word} {n}": p for n, p in
                                                 below.instead.items()}}.items():  # fmt: skip
                if found.fill is not None:
                    fill, found.fill = found.fill, None
                    fill(found)
                yield f"{name} {title}".strip(), found
            yield from commands(below, f"{name} {word}".strip())


def trials() -> Iterator[tuple[str, str, str]]:
    """Yield command, option and wrong value."""
    parsers = dict(commands(build_parser()))
    for command in GIVEN:
        for action in parsers[command.partition(" --")[0]]._actions:
            if not action.option_strings or action.nargs == 0 or action.dest == "help":
                continue
            option = action.option_strings[0]
            kind = getattr(action.type, "__name__", "str")
            values = [*WRONG[kind], *(NOWHERE if option in NAMES else ())]
            values += ["0"] if option in ZERO and (command, option) not in SKIPPED else []
            yield from ((command, option, value) for value in dict.fromkeys(values))


@pytest.fixture(scope="module")
def places(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Path]:
    """A recording of doorkey and a WorldNet."""
    from worldgpt_env.training.collect import CollectConfig, collect

    folder = tmp_path_factory.mktemp("places")
    collect(CollectConfig("doorkey", 400, str(folder / "recording")))
    return {"recording": folder / "recording", "worldnet": write_small(folder / "worldnet")}


@pytest.mark.parametrize("command, option, value", trials())
def test_a_wrong_value_is_one_sentence(
    command: str,
    option: str,
    value: str,
    places: dict[str, Path],
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.chdir(tmp_path)
    line = GIVEN[command].format(**places).split()
    if option in line:
        place = line.index(option)
        del line[place : place + 2]
    if command in WRITES and option != "--out":
        line += ["--out", str(tmp_path / "out")]
    words = command.partition(" --")[0].split()
    code: Any
    try:
        code = main([*words, *line, f"{option}={value}"])
    except SystemExit as error:
        code = error.code
    told = [text for text in capsys.readouterr().err.splitlines() if text.startswith("worldgpt")]
    assert code == 2 and len(told) == 1, (code, told)
    assert not list(tmp_path.iterdir()), "it wrote something before it refused"
