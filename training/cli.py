"""The command line ``worldgpt``: from recording a real world to judging what dreamt of it."""

from __future__ import annotations

import argparse
import json
import signal
import sys
import threading
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Any

from worldgpt_env.model.errors import ConfigurationError, WorldGPTError

from .figures import Figures, show, write_json
from .parsers import LateParser
from .worldnet.cli import add_worldnet

ALGORITHMS = ("ppo", "a2c", "dqn")


class Terminated(KeyboardInterrupt):
    """The process was asked to end (SIGTERM); everything is saved as on Ctrl-C."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one command and return its exit code.

    0: done. 2: the command, its input or the world is at fault, as one sentence says. 130 or 143:
    stopped by Ctrl-C or SIGTERM; the same command goes on.
    """
    options = vars(build_parser().parse_args(arguments))
    command: Callable[..., Figures] = options.pop("command")
    path, threads = options.pop("json"), options.pop("threads")
    main_thread = threading.current_thread() is threading.main_thread()
    previous = signal.signal(signal.SIGTERM, _terminate) if main_thread else None
    try:
        if command is not _info:
            _set_threads(threads)
        figures = command(**options)
        if path is not None:
            write_json(path, figures)
    except (WorldGPTError, OSError) as error:
        print(f"worldgpt: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print("\nworldgpt: stopped; the same command goes on.", file=sys.stderr)
        return 143 if isinstance(error, Terminated) else 130
    finally:
        if main_thread:
            signal.signal(signal.SIGTERM, previous)
    return 0


def build_parser() -> argparse.ArgumentParser:
    """Return the parser; nothing heavy is imported for it."""
    parser = argparse.ArgumentParser(
        prog="worldgpt",
        description="Learned multimodal worlds: record a real one, learn it, train in the dream, "
        "judge in the real one.",
    )
    commands = parser.add_subparsers(required=True, metavar="COMMAND", parser_class=LateParser)
    for add in (_add_demo, _add_collect, _add_train, _add_dream):
        add(commands)
    evaluate = _add_evaluate(commands)
    evaluate.instead["worldnet"] = add_worldnet(commands, _command)
    for add in (_add_dyna, _add_direct, _add_speed, _add_info):
        add(commands)
    return parser


def _command(commands: Any, name: str, run: Callable[..., Figures], text: str) -> LateParser:
    """Add one command; options that are not given keep the defaults of its configuration."""
    parser: LateParser = commands.add_parser(
        name, help=text, description=text, argument_default=argparse.SUPPRESS
    )
    parser.set_defaults(command=run)
    parser.add_argument("--json", type=Path, default=None, metavar="FILE", help="write the figures")
    parser.add_argument("--threads", type=int, default=1, help="of torch; 1 is fastest when small")
    return parser


# demo -------------------------------------------------------------------------------------------


def _add_demo(commands: Any) -> None:
    text = "train in a dream, judge in the real world, film both (three minutes)"
    parser = _command(commands, "demo", _demo, text)
    parser.add_argument("--out", type=Path, help="default: runs/demo")
    parser.add_argument("--model", help="embedded world or folder; default: the embedded default")
    parser.add_argument("--steps", type=int, help="imagined steps")
    parser.add_argument("--real-steps", type=int, help="of the control; default: as recorded")
    parser.add_argument("--episodes", type=int, help="real episodes that judge each agent")
    parser.add_argument("--seed", type=int)


def _demo(**options: Any) -> Figures:
    from .demo import DemoConfig, demo

    figures = demo(DemoConfig(**options))
    print(f"\n{figures['table']}\n")
    print(f"real beside dream:  {figures['gif']}")
    print(f"curves:             tensorboard --logdir {figures['tensorboard']}")
    return figures


# collect ----------------------------------------------------------------------------------------


def _add_collect(commands: Any) -> None:
    parser = _command(commands, "collect", _collect, "record a real world; repeat to go on")
    parser.add_argument("--world", required=True, help="as listed by: worldgpt info")
    parser.add_argument("--steps", type=int, required=True)
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--policy", help="random (default), or the folder of a policy")
    parser.add_argument("--epsilon", type=float, help="share of random actions with a policy")
    parser.add_argument("--seed", type=int)
    parser.add_argument(
        "--world-options", nargs="+", type=_assignment, metavar="NAME=VALUE", help="of the world"
    )


def _collect(**options: Any) -> Figures:
    from .collect import CollectConfig, collect

    _to_dict(options, "world_options")
    return show(collect(CollectConfig(**options)))


# train ------------------------------------------------------------------------------------------


def _add_train(commands: Any) -> None:
    parser = _command(commands, "train", _train, "learn a world from recordings; repeat to go on")
    parser.add_argument("--data", type=Path, nargs="+", required=True, metavar="DIR")
    parser.add_argument("--out", type=Path, required=True, metavar="MODEL")
    parser.add_argument("--preset", help="tiny, small (default), medium or paper")
    parser.add_argument("--language-model", metavar="NAME", help="of the preset paper")
    parser.add_argument("--encoders", nargs="+", type=_assignment, metavar="MODALITY=KIND:NAME")
    parser.add_argument("--updates", type=int, help="of the dynamics")
    parser.add_argument("--codec-updates", type=int, help="of each codec")
    parser.add_argument("--init", type=Path, metavar="MODEL", help="a model to start from")
    parser.add_argument("--rows", type=int, help="windows of a batch")
    parser.add_argument("--length", type=int, help="steps of a window")
    parser.add_argument("--context", type=int, help="steps that the model looks back")
    parser.add_argument("--temperature", type=float, help="of dreams: 0 none, 1 as recorded")
    parser.add_argument("--rarity", type=float, help="how much more often rare states are drawn")
    parser.add_argument("--blurred", type=float, help="share of digits seen at random")
    parser.add_argument(
        "--agent-modalities", nargs="+", help="that agents observe by default; default: all"
    )
    parser.add_argument("--schedule", help="complete (default), progressive, naive or static")
    parser.add_argument("--without", nargs="+", metavar="IN>OUT", help="never trained combinations")
    parser.add_argument("--sequences", type=float, help="share of the updates on whole windows")
    parser.add_argument("--watch-every", type=int, help="updates between looks at held-out loss")
    parser.add_argument("--codecs-from", type=Path, metavar="MODEL", help="use its codecs")
    parser.add_argument("--scenarios", nargs="+", help="learn from these alone")
    parser.add_argument("--share", type=float, help="learn from this share of the transitions")
    parser.add_argument("--learning-rate", type=float)
    parser.add_argument("--held-out", type=float, help="share of the episodes kept for the card")
    parser.add_argument("--horizon", type=int, help="imagined steps before a dream is cut")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", help="cpu (default) or cuda")


def _train(**options: Any) -> Figures:
    from .train import TrainConfig, train

    options["data"] = tuple(options["data"])
    for name in ("agent_modalities", "without", "scenarios"):
        _to_tuple(options, name)
    _to_dict(options, "encoders")
    return show(train(TrainConfig(**options)))


# dream ------------------------------------------------------------------------------------------


def _add_dream(commands: Any) -> None:
    text = "train an agent in a dream; repeat to go on"
    parser = _command(commands, "dream", _dream, text)
    parser.add_argument("--model", help="embedded world or folder; default: the embedded default")
    parser.add_argument("--algo", choices=ALGORITHMS)
    parser.add_argument("--steps", type=int, help="imagined steps in all")
    parser.add_argument("--out", type=Path, required=True, metavar="POLICY")
    parser.add_argument("--num-envs", type=int, help="imagined episodes side by side")
    parser.add_argument("--obs-mode", choices=("latent", "decoded"))
    parser.add_argument("--modalities", nargs="+", help="that agents see; default: the model's")
    parser.add_argument("--horizon", type=int, help="imagined steps before an episode is cut")
    parser.add_argument("--start-states", help="first, visited, mixed (default) or a path")
    parser.add_argument("--temperature", type=float, help="0: the most likely outcome")
    parser.add_argument("--max-uncertainty", type=float, help="cut less certain episodes")
    parser.add_argument("--uncertainty-penalty", type=float, help="taken off the reward")
    parser.add_argument(
        "--set", dest="settings", nargs="+", type=_assignment, metavar="NAME=VALUE",
        help="hyper-parameters, as learning_rate=3e-4 net_arch=[64,64]",
    )  # fmt: skip
    parser.add_argument("--save-every", type=int, help="imagined steps between two saves")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--device", help="cpu (default) or cuda")


def _dream(**options: Any) -> Figures:
    from .imagination import DreamConfig, dream

    _to_dict(options, "settings")
    _to_tuple(options, "modalities")
    return show(dream(DreamConfig(**options)))


# direct -----------------------------------------------------------------------------------------


def _add_direct(commands: Any) -> None:
    text = "train the same agent in the real world instead: the control of a dream"
    parser = _command(commands, "direct", _direct, text)
    parser.add_argument("--model", help="whose codecs see: embedded world or folder")
    parser.add_argument("--world", help="default: the world that the model learned")
    parser.add_argument("--steps", type=int, help="real steps")
    parser.add_argument("--out", type=Path, required=True, metavar="POLICY")
    parser.add_argument("--num-envs", type=int, help="worlds side by side")
    parser.add_argument("--modalities", nargs="+", help="that agents see; default: the model's")
    parser.add_argument("--seed", type=int)


def _direct(**options: Any) -> Figures:
    from .direct import DirectConfig, train_directly

    _to_tuple(options, "modalities")
    return show(train_directly(DirectConfig(**options)))


# evaluate ---------------------------------------------------------------------------------------


def _add_evaluate(commands: Any) -> LateParser:
    text = (
        "judge a policy in the real world (--policy), a model on a recording (--data), "
        "or on every combination of modalities (worldgpt evaluate worldnet)"
    )
    parser = _command(commands, "evaluate", _evaluate, text)
    parser.add_argument("--policy", help="random, a policy folder, or a Stable-Baselines3 zip")
    parser.add_argument("--world", help="default: the world that the policy dreamt of")
    parser.add_argument("--episodes", type=int)
    parser.add_argument("--num-envs", type=int, help="worlds side by side")
    parser.add_argument("--deterministic", action="store_true", help="most likely actions")
    parser.add_argument("--seed", type=int)
    parser.add_argument("--algo", choices=ALGORITHMS, help="of a zip, which does not say it")
    parser.add_argument(
        "--allow-code-execution", action="store_true", help="open a zip: runs code from inside it"
    )
    parser.add_argument("--model", help="embedded world or folder")
    parser.add_argument("--data", type=Path, nargs="+", metavar="DIR", help="held-out recordings")
    parser.add_argument("--seen", type=Path, nargs="+", metavar="DIR", help="training recordings")
    parser.add_argument("--horizons", type=int, nargs="+", help="default: 1 5 15 50")
    return parser


def _evaluate(**options: Any) -> Figures:
    if "policy" in options and "data" not in options:
        from .evaluate import EvaluateConfig, evaluate

        return show(evaluate(_config(EvaluateConfig, options, "--policy")))
    if "data" in options and "policy" not in options:
        from .fidelity import FidelityConfig, evaluate_fidelity
        from .tables import fidelity_table

        for name in ("data", "seen", "horizons"):
            _to_tuple(options, name)
        report = evaluate_fidelity(_config(FidelityConfig, options, "--data"))
        print(fidelity_table(report))
        return report
    raise ConfigurationError(
        "nothing to evaluate; give --policy POLICY [--world NAME], or --model MODEL --data DIR."
    )


# dyna -------------------------------------------------------------------------------------------


def _add_dyna(commands: Any) -> None:
    text = "rounds of recording, learning and dreaming; repeat to go on"
    parser = _command(commands, "dyna", _dyna, text)
    parser.add_argument("--world", required=True)
    parser.add_argument("--out", type=Path, required=True, metavar="DIR")
    parser.add_argument("--rounds", type=int)
    parser.add_argument("--steps-per-round", type=int, help="real steps")
    parser.add_argument("--epsilon", type=float, help="share of random actions after round 0")
    parser.add_argument("--preset", help="tiny, small (default) or medium")
    parser.add_argument("--updates", type=int, help="of the first model")
    parser.add_argument("--round-updates", type=int, help="of the later ones")
    parser.add_argument("--algo", choices=ALGORITHMS)
    parser.add_argument("--dream-steps", type=int, help="imagined steps of each round")
    parser.add_argument("--episodes", type=int, help="that judge each round; 0 for none")
    for name in ("train", "dream"):
        parser.add_argument(
            f"--{name}", nargs="+", type=_assignment, metavar="NAME=VALUE",
            help=f"further settings of `worldgpt {name}`, as horizon=32",
        )  # fmt: skip
    parser.add_argument("--seed", type=int)


def _dyna(**options: Any) -> Figures:
    from .dyna import DynaConfig, dyna
    from .tables import dyna_table

    _to_dict(options, "train")
    _to_dict(options, "dream")
    figures = dyna(DynaConfig(**options))
    print(dyna_table(figures))
    return figures


# speed ------------------------------------------------------------------------------------------


def _add_speed(commands: Any) -> None:
    parser = _command(commands, "speed", _speed, "measure imagined steps per CPU-second")
    parser.add_argument("--model", help="embedded world or folder; default: the embedded default")
    parser.add_argument("--num-envs", type=int, help="imagined episodes side by side")
    parser.add_argument("--steps", type=int, help="of one measurement")
    parser.add_argument("--repeats", type=int, help="of which the median counts")
    parser.add_argument("--dream-steps", type=int, help="of PPO; 0 leaves it out")


def _speed(**options: Any) -> Figures:
    from .speed import SpeedConfig, measure_speed

    return show(measure_speed(SpeedConfig(**options)))


# info -------------------------------------------------------------------------------------------


def _add_info(commands: Any) -> None:
    _command(commands, "info", _info, "print versions, worlds and devices")


def _info() -> Figures:
    from .info import info

    return show(info())


# parts ------------------------------------------------------------------------------------------


def _config(kind: Any, options: Figures, what: str) -> Any:
    """Return the configuration, or say which option does not belong to this use of the command."""
    foreign = sorted(set(options) - set(kind.__dataclass_fields__))
    if foreign:
        named = ", ".join("--" + name.replace("_", "-") for name in foreign)
        raise ConfigurationError(f"{named} cannot be used with {what}; leave it out.")
    if "data" in options and "model" not in options:
        raise ConfigurationError("--data needs a model to compare it with; add --model MODEL.")
    return kind(**options)


def _assignment(text: str) -> tuple[str, Any]:
    """Return ``NAME=VALUE`` as a pair; the value is JSON, or else text."""
    name, equals, value = text.partition("=")
    if not name or not equals:
        raise argparse.ArgumentTypeError(f"{text!r} is not NAME=VALUE")
    try:
        return name, json.loads(value)
    except ValueError:
        return name, value


def _to_dict(options: Figures, name: str) -> None:
    if name in options:
        options[name] = dict(options[name])


def _to_tuple(options: Figures, name: str) -> None:
    if name in options:
        options[name] = tuple(options[name])


def _set_threads(threads: int) -> None:
    """Let torch compute with ``threads`` threads."""
    if threads < 1:
        raise ConfigurationError(f"--threads is {threads}; use a whole number from 1.")
    import torch

    torch.set_num_threads(threads)


def _terminate(number: int, frame: Any) -> None:
    raise Terminated
