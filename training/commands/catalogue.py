"""The commands of ``worldgpt``: their options are the fields of their configurations."""

from __future__ import annotations

from .options import ALGORITHMS, READINGS, SET, WORLD
from .table import Command, OwnCommand

COMMANDS: dict[str, Command | OwnCommand] = {
    "demo": Command(
        "train in a dream, judge in the real world, film both (three minutes)",
        "demo.demo",
        "DemoConfig",
        table="tables.demo_text",
    ),
    "collect": Command(
        "record a real world; repeat to go on",
        "collect.collect",
        "CollectConfig",
        {"world": WORLD},
    ),
    "train": Command(
        "learn a world from recordings; repeat to go on",
        "train.train",
        "TrainConfig",
        {"weights": None},
    ),
    "knowledge": Command(
        "make a knowledge base of recordings",
        "knowledge.build_knowledge",
        "KnowledgeConfig",
    ),
    "tune": Command(
        "teach a model to read memories and knowledge; repeat to go on",
        "tuning.tune",
        "TuneConfig",
    ),
    "dream": Command(
        "train an agent in a dream; repeat to go on",
        "imagination.dream",
        "DreamConfig",
        {
            "algo": ALGORITHMS,
            "obs_mode": {"choices": ("latent", "decoded")},
            "memory": READINGS,
            "settings": SET,
        },
    ),
    "evaluate": OwnCommand(
        "judge a policy in the real world (--policy), a model on a recording (--data), "
        "or on every combination of modalities (worldgpt evaluate worldnet)",
        "evaluate",
    ),
    "dyna": OwnCommand("rounds of recording, learning and dreaming; repeat to go on", "dyna"),
    "alone": Command(
        "train Stable-Baselines3's agent on real steps alone: the control of dyna --env",
        "numeric.alone.train_alone",
        "AloneConfig",
        {"world": WORLD},
    ),
    "direct": Command(
        "train the same agent in the real world instead: the control of a dream",
        "direct.train_directly",
        "DirectConfig",
    ),
    "speed": Command(
        "measure imagined steps per CPU-second",
        "speed.measure_speed",
        "SpeedConfig",
        {"memory": READINGS},
    ),
    "info": Command("print versions, worlds and devices", "info.info", light=True),
}
