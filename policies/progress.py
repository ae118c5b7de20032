"""The state of a training run between two rollouts, so that it goes on as if never stopped."""

from __future__ import annotations

from collections import deque
from typing import Any

import numpy as np
import torch
from stable_baselines3.common.base_class import BaseAlgorithm
from torch import Tensor

from worldgpt_env.model.errors import CheckpointError, WorldGPTError
from worldgpt_env.model.safe_json import Fields, one_line

from .memory_vec_env import MemoryVecEnv
from .store import Progress, fill_policy, unique_tensors
from .vec_env import ImaginedVecEnv

_COUNTERS = ("num_timesteps", "_n_updates", "_episode_num", "_n_calls")


def capture(algorithm: BaseAlgorithm) -> Progress:
    """Return all that the rest of the training of ``algorithm`` in a dream depends on (copies).

    Taken at the start of a rollout, a PPO or A2C run that is restored goes on bit for bit as the
    first one did. DQN's replay buffer is not part of it: DQN goes on with an empty one.
    """
    optimizer = algorithm.policy.optimizer.state_dict()
    last = algorithm._last_obs if isinstance(algorithm._last_obs, dict) else {}
    generator = np.random.get_state(legacy=False)
    tensors = {f"policy/{name}": t for name, t in unique_tensors(algorithm.policy).items()}
    for number, state in optimizer["state"].items():
        tensors |= {f"optimizer/{number}/{name}": torch.as_tensor(v) for name, v in state.items()}
    tensors |= {f"env/{name}": t for name, t in _dream(algorithm).get_state().items()}
    tensors |= {f"last/{name}": torch.from_numpy(v) for name, v in last.items()}
    tensors["starts"] = torch.from_numpy(np.asarray(algorithm._last_episode_starts))
    tensors["random/torch"] = torch.get_rng_state()
    tensors["random/numpy"] = torch.from_numpy(generator["state"]["key"].astype(np.int64))
    counters = {name: getattr(algorithm, name) for name in _COUNTERS if hasattr(algorithm, name)}
    counters["param_groups"] = optimizer["param_groups"]
    counters["numpy"] = [generator["state"]["pos"], generator["has_gauss"], generator["gauss"]]
    counters["episodes"] = [[e["r"], e["l"]] for e in algorithm.ep_info_buffer or ()]
    return Progress({name: t.detach().clone() for name, t in tensors.items()}, counters)


def restore(algorithm: BaseAlgorithm, progress: Progress) -> None:
    """Bring ``algorithm``, built with the same settings, to where ``progress`` was captured.

    Raises:
        CheckpointError: it was captured from another algorithm.
        WorldMismatchError: it was captured in another dream.
    """
    counters = Fields(progress.counters, "the unfinished run")
    for name in _COUNTERS:
        if name in counters:
            counters.whole(name, 0, 2**60)
    try:
        _restore(algorithm, progress.tensors, progress.counters)
    except WorldGPTError:
        raise
    except Exception as error:  # what foreign classes raise for foreign values can be anything
        raise CheckpointError(
            f"the unfinished run does not fit these settings ({one_line(error)}); choose another "
            "--out."
        ) from error


def _restore(
    algorithm: BaseAlgorithm, tensors: dict[str, Tensor], counters: dict[str, Any]
) -> None:
    fill_policy(algorithm.policy, _under("policy/", tensors))
    state: dict[int, dict[str, Tensor]] = {}
    for name, tensor in _under("optimizer/", tensors).items():
        number, _, key = name.partition("/")
        state.setdefault(int(number), {})[key] = tensor.clone()
    optimizer = {"state": state, "param_groups": counters["param_groups"]}
    algorithm.policy.optimizer.load_state_dict(optimizer)
    _dream(algorithm).set_state(_under("env/", tensors))
    algorithm._last_obs = {k: t.numpy().copy() for k, t in _under("last/", tensors).items()}
    algorithm._last_episode_starts = tensors["starts"].numpy().copy()
    for name in _COUNTERS:
        if name in counters:
            setattr(algorithm, name, counters[name])
    episodes = [{"r": r, "l": length} for r, length in counters["episodes"]]
    algorithm.ep_info_buffer = deque(episodes, maxlen=algorithm._stats_window_size)
    algorithm.ep_success_buffer = deque(maxlen=algorithm._stats_window_size)
    torch.set_rng_state(tensors["random/torch"])
    position, has_gauss, gauss = counters["numpy"]
    words = tensors["random/numpy"].numpy().astype(np.uint32)
    np.random.set_state(("MT19937", words, int(position), int(has_gauss), float(gauss)))


def _dream(algorithm: BaseAlgorithm) -> ImaginedVecEnv | MemoryVecEnv:
    """Return the dream, and what is remembered in it, below wrappers of Stable-Baselines3."""
    env: Any = algorithm.get_env()
    if env is None or not isinstance(env.unwrapped, ImaginedVecEnv):
        raise CheckpointError("only runs in an ImaginedVecEnv can be continued.")
    while not isinstance(env, ImaginedVecEnv | MemoryVecEnv):
        env = env.venv
    return env


def _under(prefix: str, tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Return the tensors whose names start with ``prefix``, without it."""
    return {name[len(prefix) :]: t for name, t in tensors.items() if name.startswith(prefix)}
