"""What equal bits in any batch cost: ``python docs/probe_cost.py [WORLD ...]``.

Imagines with plain functions (a product as torch computes it, two rows for one; networks in blocks
of 16 rows) and with those of ``model/batch_invariant.py`` in turn, in one process, and prints the
median ratio of their CPU-seconds, and the CPU-milliseconds of the probes in a fresh process.
"""

from __future__ import annotations

import os
import statistics
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from typing import Any

os.environ.setdefault("OMP_NUM_THREADS", "1")

import numpy as np
import torch
from torch import Tensor, nn

from worldgpt_env.model import WorldGPT, batch_invariant
from worldgpt_env.model.checkpoint import embedded_worlds
from worldgpt_env.simulator import Simulator, SimulatorConfig

PROBE = """
import sys
import numpy as np
import torch
from worldgpt_env.model import batch_invariant
from worldgpt_env.simulator import Simulator, SimulatorConfig
world, mode, rows = sys.argv[1], sys.argv[2], int(sys.argv[3])
torch.ones(64, 64) @ torch.ones(64, 64)  # the library starts
simulator = Simulator(world, rows, SimulatorConfig(obs_mode=mode))
simulator.reset(seeds=list(range(rows)))
step = simulator.step(np.stack([simulator.action_space.sample() for _ in range(rows)]))
simulator.observe(step.state)
print(batch_invariant.probe_seconds())
"""


def plain_product(x: Tensor, weight: Tensor, bias: Tensor | None = None) -> Tensor:
    """Return ``x @ weight + bias``; two rows for one."""
    rows = x.reshape(-1, x.shape[-1])
    alone = rows.shape[0] == 1
    rows = rows.expand(2, -1) if alone else rows
    product = rows @ weight if bias is None else torch.addmm(bias, rows, weight)
    return (product[:1] if alone else product).view(*x.shape[:-1], weight.shape[1])


def plain_attention(queries: Tensor, keys: Tensor, values: Tensor, mask: Tensor) -> Tensor:
    """Return what the queries read."""
    return (queries @ keys.transpose(2, 3) + mask).softmax(-1) @ values


def plain_blocks(
    function: Callable[..., Tensor],
    inputs: Sequence[Tensor],
    name: Any,
    owner: Any = None,
    scheme: Any = None,
    finish: Callable[[Tensor], Tensor] = lambda rows: rows,
) -> Tensor:
    """Apply ``function`` and ``finish`` to blocks of exactly 16 rows."""
    count = len(inputs[0])
    missing = -count % 16
    padded = [torch.cat([t, t[-1:].expand(missing, *t.shape[1:])]) for t in inputs]
    parts = zip(*(t.split(16) for t in padded), strict=True)
    return torch.cat([finish(function(*part)) for part in parts])[:count]


PLAIN: dict[str, Callable[..., Tensor]] = {
    "matmul_rows": plain_product,
    "attend": plain_attention,
    "silu": nn.functional.silu,
    "by_rows": plain_blocks,
}
OURS = {name: getattr(batch_invariant, name) for name in PLAIN}


def use(functions: dict[str, Callable[..., Tensor]]) -> None:
    """Let every module of the model call ``functions``."""
    for module in [m for n, m in sys.modules.items() if n.startswith("worldgpt_env.model.")]:
        for name, function in functions.items():
            if hasattr(module, name):
                setattr(module, name, function)


def imagine(simulator: Simulator, actions: list[np.ndarray]) -> float:
    """Take ``actions`` and return the CPU-seconds."""
    began = time.process_time()
    for action in actions:
        step = simulator.step(action)
        simulator.observe(step.state)
        ended = np.flatnonzero(step.terminated | step.truncated)
        if len(ended):
            simulator.reset(ended)
    return time.process_time() - began


def compare(world: str, obs_mode: str, rows: int, repeats: int = 21) -> tuple[float, float]:
    """Return the median ratio of ours to plain, and the CPU-milliseconds of our steps."""
    model, steps = WorldGPT.from_pretrained(world), max(8, 200 // rows)
    simulators = []
    for functions in (PLAIN, OURS):
        use(functions)
        simulator = Simulator(model, rows, SimulatorConfig(obs_mode=obs_mode))
        simulator.reset(seeds=list(range(rows)))
        simulators.append(simulator)
    space = simulators[0].action_space
    space.seed(0)
    actions = [np.stack([space.sample() for _ in range(rows)]) for _ in range(steps)]
    seconds: list[list[float]] = [[], []]
    for repeat in range(repeats + 1):  # the first, with the probes, does not count
        for number in (0, 1) if repeat % 2 else (1, 0):
            use((PLAIN, OURS)[number])
            seconds[number].append(imagine(simulators[number], actions))
    ratios = [ours / plain for plain, ours in zip(seconds[0][1:], seconds[1][1:], strict=True)]
    return statistics.median(ratios), statistics.median(seconds[1][1:]) / steps * 1000


def main(worlds: list[str]) -> None:
    """Print the table."""
    print("| world | observations | batch | CPU-ms a step | against plain | probes, CPU-ms |")
    print("|---|---|---|---|---|---|")
    for world in worlds:
        for obs_mode in ("latent", "decoded"):
            for rows in (1, 64, 256):
                ratio, step = compare(world, obs_mode, rows)
                command = [sys.executable, "-W", "ignore", "-c", PROBE, world, obs_mode, str(rows)]
                runs = [subprocess.run(command, capture_output=True, check=True) for _ in range(5)]
                probes = statistics.median(float(run.stdout) for run in runs) * 1000
                print(
                    f"| {world} | {obs_mode} | {rows} | {step:.2f} | {ratio - 1:+.1%} "
                    f"| {probes:.1f} |",
                    flush=True,
                )


if __name__ == "__main__":
    main(sys.argv[1:] or list(embedded_worlds()))
