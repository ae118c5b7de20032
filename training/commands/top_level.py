"""The commands of ``worldgpt``: their options are the fields of their configurations."""

from __future__ import annotations

from ..options import ALGORITHM, READING, SET, WORLD
from .table import Command

COMMANDS: dict[str, Command] = {
    "demo": Command(
        "train in a dream, judge in the real world, film both (three minutes)",
        "demo.demo",
        "DemoConfig",
        table="tables.demo_text",
    ),
    "play": Command(
        "play a learned world in a window, by hand or by a policy, with its sound",
        "play.window.play",
        "play.session.PlayConfig",
        {"model": {"flags": (), "nargs": "?"}},
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
        "train_config.TrainConfig",
        {"weights": None},
    ),
    "knowledge": Command(
        "make a knowledge base of recordings",
        "knowledge.build_knowledge",
        "KnowledgeBuildConfig",
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
            "algo": ALGORITHM,
            "obs_mode": {"choices": ("latent", "decoded"), "metavar": None},
            "memory": READING,
            "settings": SET,
        },
    ),
    "evaluate": Command(
        "judge a policy in the real world (--policy), a model on a recording (--data), "
        "or on every combination of modalities (worldgpt evaluate worldnet)",
        "evaluate",
    ),
    "dyna": Command("rounds of recording, learning and dreaming; repeat to go on", "dyna"),
    "alone": Command(
        "train Stable-Baselines3's agent on real steps alone: the control of dyna --env",
        "numeric.alone.train_alone",
        "AloneConfig",
        {"world": WORLD},
    ),
    "benchmark": Command(
        "real returns by real steps: agents from the dream beside agents without one; "
        "repeat to go on",
        "benchmark.benchmark.benchmark",
        "BenchmarkConfig",
        table="benchmark.scores.report",
    ),
    "trust": Command(
        "the trust card of a model: its returns, ends, rewards and doubts beside the real world; "
        "repeat to go on",
        "trust.trust.trust",
        "TrustConfig",
        {"world": WORLD},
        table="trust.card.report",
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
        {"memory": READING},
    ),
    "info": Command(
        "print versions, worlds, devices, and where a dream is the same at any batch size",
        "info.info",
        "InfoConfig",
        light=True,
    ),
}
