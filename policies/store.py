"""Policies on disk: safetensors and JSON, checked by hash, never a pickle.

A policy folder holds ``policy.json`` and the tensor files that it names with their sha256. The JSON
is replaced last and in one step, so a crash or a full disk leaves the previous policy whole.
"""

from __future__ import annotations

import hashlib
import importlib.metadata
import json
import re
import zipfile
from collections.abc import Mapping
from contextlib import suppress
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import safetensors.torch
import torch
from gymnasium import spaces
from stable_baselines3.common.base_class import BaseAlgorithm
from stable_baselines3.common.type_aliases import GymEnv
from torch import Tensor, nn

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.checkpoint import digest as digest_of
from worldgpt_env.model.checkpoint import refused, weights_sha256
from worldgpt_env.model.errors import CheckpointError, ConfigurationError
from worldgpt_env.model.memory_limit import MemoryLimit
from worldgpt_env.model.safe_io import write_bytes, write_json
from worldgpt_env.model.safe_json import Fields, finite, read_json
from worldgpt_env.model.safe_tensors import read_tensors

from .settings import (
    ALGORITHMS,
    algorithm_name,
    policy_name,
    settings_from_json,
    settings_to_json,
    space_from_json,
    space_to_json,
)

FORMAT = 1
POLICY = "policy.json"
CURE = "Copy the whole folder again, or train it again: worldgpt dream."
SHA256 = "[0-9a-f]{64}"
_TENSOR_FILE = re.compile(r"(policy|progress)-[0-9a-f]{12}\.safetensors")


@dataclass(frozen=True)
class PolicyRecord:
    """What ``policy.json`` says about a policy.

    Attributes:
        algorithm: ``"ppo"``, ``"a2c"`` or ``"dqn"``.
        obs_mode: ``"latent"`` or ``"decoded"``: what the policy was trained to see.
        observation_space: as the algorithm saw it (images channels first).
        action_space: the actions it chooses from.
        model: name or path of the world model it dreamt in; empty when it had none.
        model_sha256: hash of that model's weights.
        processor_sha256: hash of its processor, by which a policy of latents sees; empty in
            policies of version 0.
        steps: environment steps it was trained for.
        settings: constructor arguments of the algorithm.
        extra: JSON values of whoever saved it, as the settings of a training run.
    """

    algorithm: str
    policy: str
    obs_mode: str
    observation_space: spaces.Space
    action_space: spaces.Space
    model: str
    model_sha256: str
    steps: int
    settings: dict[str, Any]
    extra: dict[str, Any]
    files: dict[str, dict[str, Any]]
    processor_sha256: str = ""

    def check_eyes(self, model: WorldGPT) -> None:
        """Refuse a model whose codecs are not those that the policy learned to see by.

        Raises:
            ConfigurationError: they differ.
        """
        if self.processor_sha256:
            same = self.processor_sha256 == model.processor.sha256
        else:  # version 0 kept the hash of the whole model alone
            same = self.model_sha256 == weights_sha256(model)
        if not same:
            raise ConfigurationError(
                f"the policy dreamt in {self.model!r}, whose codecs were others; "
                "name that model with --model, or train the policy again in this one."
            )


@dataclass(frozen=True)
class Progress:
    """The state of an unfinished training run: tensors by name and JSON values."""

    tensors: dict[str, Tensor]
    counters: dict[str, Any] = field(default_factory=dict)


def save_policy(
    algorithm: BaseAlgorithm,
    folder: str | Path,
    model: WorldGPT | None = None,
    *,
    model_name: str = "",
    obs_mode: str = "latent",
    extra: Mapping[str, Any] | None = None,
    progress: Progress | None = None,
) -> Path:
    """Write ``algorithm`` (PPO, A2C or DQN) to ``folder`` and return the folder.

    Args:
        algorithm: what to save; its policy class must be one of Stable-Baselines3's own.
        folder: made when missing; a policy already there is replaced in one step.
        model: the world model that it was trained in; its hashes are kept.
        model_name: name or path under which the model is found again.
        obs_mode: ``"latent"`` or ``"decoded"``.
        extra: JSON values to keep beside it.
        progress: also keep what continuing the training needs.

    Raises:
        ConfigurationError: if a hyper-parameter cannot be written as JSON.
        CheckpointError: if the folder cannot be written; what it held before is untouched.
    """
    if obs_mode not in ("latent", "decoded"):
        raise ConfigurationError(f"obs_mode is {obs_mode!r}; use 'latent' or 'decoded'.")
    content = {
        "format": FORMAT,
        "algorithm": algorithm_name(algorithm),
        "policy": policy_name(algorithm),
        "obs_mode": obs_mode,
        "observation_space": space_to_json(algorithm.observation_space),
        "action_space": space_to_json(algorithm.action_space),
        "model": model_name,
        "model_sha256": weights_sha256(model) if model is not None else "",
        "processor_sha256": model.processor.sha256 if model is not None else "",
        "steps": int(algorithm.num_timesteps),
        "settings": settings_to_json(algorithm),
        "extra": dict(extra or {}),
        "counters": progress.counters if progress else {},
        "versions": {
            name: importlib.metadata.version(name)
            for name in ("worldgpt-env", "stable-baselines3", "torch")
        },
    }
    tensors = {"policy": unique_tensors(algorithm.policy)}
    if progress:
        tensors["progress"] = progress.tensors
    return _write(Path(folder), content, tensors)


def load_policy(
    path: str | Path,
    env: GymEnv | None = None,
    *,
    device: str = "cpu",
    allow_code_execution: bool = False,
    algorithm: str = "",
) -> BaseAlgorithm:
    """Return the Stable-Baselines3 algorithm stored at ``path``, ready to predict or to go on.

    Args:
        path: a folder written by :func:`save_policy`, or a foreign Stable-Baselines3 zip.
        env: an environment to go on training in; without one the policy only predicts.
        device: torch device.
        allow_code_execution: a zip runs whatever code its author put in it as it is opened. Pass
            True only for files that you made yourself. Folders never need it.
        algorithm: for a zip only, which does not say it itself: ``"ppo"``, ``"a2c"`` or ``"dqn"``.

    Raises:
        CheckpointError: if the policy is missing, truncated or tampered with, or a zip without the
            flag.
    """
    path = Path(path)
    if path.is_file():
        return _load_foreign(path, env, device, allow_code_execution, algorithm)
    record = read_policy(path)
    told = path / POLICY
    with refused(told, CURE):
        loaded = ALGORITHMS[record.algorithm](
            record.policy,
            env,  # None is what Stable-Baselines3's own load passes
            device=device,
            _init_setup_model=False,  # type: ignore[call-arg]
            **settings_from_json(record.settings, ALGORITHMS[record.algorithm]),
        )
    spaces_of_record = (record.observation_space, record.action_space)
    if env is None:
        loaded.observation_space, loaded.action_space = spaces_of_record
        loaded.n_envs = 1
    elif (loaded.observation_space, loaded.action_space) != spaces_of_record:
        raise ConfigurationError(
            f"the policy {path} was trained on {spaces_of_record}, this environment has "
            f"{(loaded.observation_space, loaded.action_space)}; "
            f"open the environment with obs_mode={record.obs_mode!r} and model={record.model!r}."
        )
    tensors = _read_tensors(path, record, "policy")
    size = sum(tensor.nbytes for tensor in tensors.values())
    with refused(told, CURE), MemoryLimit(size, slack=2**24):
        loaded._setup_model()
        fill_policy(loaded.policy, tensors)
    loaded.num_timesteps = record.steps
    return loaded


def read_policy(folder: str | Path) -> PolicyRecord:
    """Return what ``folder/policy.json`` says, after checking that it is whole.

    Raises:
        CheckpointError: if it is missing, truncated, tampered with or of a newer format.
    """
    return _record(_read_json(Path(folder)))


def _record(told: Fields) -> PolicyRecord:
    """Return the checked fields of ``policy.json``."""
    algorithm = told.choice("algorithm", sorted(ALGORITHMS))
    spaces_of_record = [told.part(name) for name in ("observation_space", "action_space")]
    with refused(Path(told.where), CURE):
        seen, chosen = (space_from_json(part.data) for part in spaces_of_record)
    files = told.part("files")
    for name in files.data:
        entry = files.part(name)
        entry.text("name"), entry.text("sha256", pattern=SHA256)
    return PolicyRecord(
        algorithm=algorithm,
        policy=told.choice("policy", sorted(ALGORITHMS[algorithm].policy_aliases)),
        obs_mode=told.choice("obs_mode", ["latent", "decoded"]),
        observation_space=seen,
        action_space=chosen,
        model=told.text("model"),
        model_sha256=told.text("model_sha256", pattern=f"({SHA256})?"),
        steps=told.whole("steps", 0, 2**60),
        settings=dict(told.part("settings").data),
        extra=dict(told.part("extra").data),
        files=dict(files.data),
        processor_sha256=_optional_hash(told, "processor_sha256"),
    )


def _optional_hash(told: Fields, name: str) -> str:
    """Return a hash that policies of version 0 do not have, "" for them."""
    return told.text(name, pattern=f"({SHA256})?") if name in told else ""


def read_progress(folder: str | Path) -> Progress | None:
    """Return the state of the training run in ``folder``; None if it was saved without one."""
    folder = Path(folder)
    told = _read_json(folder)
    record = _record(told)
    if "progress" not in record.files:
        return None
    return Progress(_read_tensors(folder, record, "progress"), dict(told.part("counters").data))


def unique_tensors(policy: nn.Module) -> dict[str, Tensor]:
    """Return parameters and buffers, each once: Stable-Baselines3 shares some under many names."""
    return {**dict(policy.named_parameters()), **dict(policy.named_buffers())}


def fill_policy(policy: nn.Module, tensors: Mapping[str, Tensor]) -> None:
    """Copy ``tensors`` into ``policy``, whose names and shapes they must have exactly."""
    own = unique_tensors(policy)
    found, wanted = (
        {name: (tensor.shape, tensor.is_floating_point()) for name, tensor in part.items()}
        for part in (tensors, own)
    )
    if found != wanted:
        raise CheckpointError("the stored tensors are of another policy; train it again.")
    with torch.no_grad():
        for name, tensor in own.items():
            tensor.copy_(tensors[name])


def _write(
    folder: Path, content: dict[str, Any], tensors: Mapping[str, Mapping[str, Tensor]]
) -> Path:
    """Write the tensor files, then the JSON that names them, then drop the files of before."""
    files = {}
    for key, group in tensors.items():
        data = safetensors.torch.save({k: t.detach().contiguous() for k, t in group.items()})
        digest = hashlib.sha256(data).hexdigest()
        name = f"{key}-{digest[:12]}.safetensors"
        write_bytes(folder / name, data)
        files[key] = {"name": name, "sha256": digest}
    content = finite({**content, "files": files})
    content["sha256"] = _json_sha256(content)
    write_json(folder / POLICY, content)
    kept = {entry["name"] for entry in files.values()}
    for path in folder.iterdir():
        if _TENSOR_FILE.fullmatch(path.name) and path.name not in kept:
            with suppress(OSError):  # of the policy before; it harms nobody
                path.unlink()
    return folder


def _read_json(folder: Path) -> Fields:
    """Return the fields of ``policy.json``, whose own hash holds."""
    path = folder / POLICY
    if not path.is_file():
        raise CheckpointError(
            f"no policy in {folder}; make one with: worldgpt dream --model MODEL --out {folder}"
        )
    content = read_json(path, CURE)
    told = Fields(content, path)
    told.choice("format", [FORMAT])
    digest = told.text("sha256")
    del content["sha256"]
    if digest != _json_sha256(content):
        raise CheckpointError(f"{path} was changed after it was saved. {CURE}")
    return told


def _json_sha256(content: Mapping[str, Any]) -> str:
    """Return the hash of ``content`` in one canonical spelling."""
    return hashlib.sha256(json.dumps(content, sort_keys=True).encode()).hexdigest()


def _read_tensors(folder: Path, record: PolicyRecord, key: str) -> dict[str, Tensor]:
    """Return the tensors of one file of ``record`` after checking its hash."""
    if key not in record.files:
        raise CheckpointError(f"{folder / POLICY} names no tensors of the {key}. {CURE}")
    entry = record.files[key]
    name = str(entry["name"])
    if not _TENSOR_FILE.fullmatch(name):
        raise CheckpointError(f"{folder}/policy.json names the file {name!r}, which is not ours.")
    path = folder / name
    with refused(path, CURE):
        if digest_of(path) != entry["sha256"]:
            raise CheckpointError(f"{path} is truncated or was changed. {CURE}")
    # What a dream remembers may hold NaN where nothing is known.
    return read_tensors(path, CURE, unchecked=["env"] if key == "progress" else [])


def _load_foreign(
    path: Path, env: GymEnv | None, device: str, allow_code_execution: bool, algorithm: str
) -> BaseAlgorithm:
    """Return the algorithm of a Stable-Baselines3 zip, which unpickles it: code may run."""
    if not zipfile.is_zipfile(path):
        raise CheckpointError(f"{path} is neither a policy folder nor a Stable-Baselines3 zip.")
    if not allow_code_execution:
        raise CheckpointError(
            f"{path} is a Stable-Baselines3 zip: opening it runs code from inside the file. If you "
            "made it yourself, pass allow_code_execution=True (--allow-code-execution)."
        )
    if algorithm not in ALGORITHMS:
        raise ConfigurationError(
            f"a zip does not say its algorithm, and {algorithm!r} was given; "
            f"pass one of {sorted(ALGORITHMS)} (--algo)."
        )
    return ALGORITHMS[algorithm].load(path, env=env, device=device)
