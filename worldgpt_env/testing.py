"""Contract checks to call on your own world, model or dream; each failure says what is wrong.

>>> from worldgpt_env.testing import check_dream, check_model, check_world
>>> check_world(make_world("doorkey"))
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import Any

import gymnasium as gym
import numpy as np
import torch
from gymnasium.utils.env_checker import check_env, data_equivalence
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.array_checks import ObservationCheck, ends_problem, reward_problem
from worldgpt_env.model.batch import Prediction, State
from worldgpt_env.model.invariance import broken_promise
from worldgpt_env.model.modalities import ActionSpec, Modality, TextSpec

from .actions import Sentences
from .env import WorldGPTEnv
from .errors import ContractError, EpisodeEndedError, InvalidActionError, WorldGPTError
from .spaces import action_space, decoded_space, modality_space

__all__ = ["check_dream", "check_model", "check_world"]


def check_world(world: gym.Env[Any, Any], steps: int = 200) -> None:
    """Check a real world: its spaces, its observations, its seeds and its ends.

    Args:
        world: an environment with ``specs``, ``action_spec`` and ``world_name``; it is stepped with
            random actions and closed at the end.
        steps: that are taken.

    Raises:
        ContractError: naming the first promise that is broken.
    """
    for name in ("specs", "action_spec", "world_name"):
        _expect(hasattr(world.unwrapped, name), f"the world has no attribute {name!r}")
    specs = world.get_wrapper_attr("specs")
    _expect(
        world.observation_space == decoded_space(specs),
        f"the observation space is {world.observation_space}, not that of its specs",
    )
    wanted = action_space(world.get_wrapper_attr("action_spec"))
    _expect(world.action_space == wanted, f"the action space is {world.action_space}, not {wanted}")
    first, _ = world.reset(seed=7)
    again, _ = world.reset(seed=7)
    _expect(
        data_equivalence(first, again, exact=True), "reset(seed=7) twice gives two observations"
    )
    _expect(_no_sharing(first, again), "reset() returns the same arrays twice; return new ones")
    world.action_space.seed(7)
    before, info = again, {"text": None}
    for _ in range(steps):
        action = world.action_space.sample()
        observation, reward, terminated, truncated, info = world.step(action)
        _check_step(world, observation, reward, terminated, truncated, info)
        _expect(_no_sharing(before, observation), "step() returns the arrays of the step before")
        before = observation
        if terminated or truncated:
            _refuses(partial(world.step, action), "step() after the end")
            before, _ = world.reset()
    _check_sentences(world)
    world.close()
    world.close()


def check_model(model: WorldGPT, rows: int = 5, seed: int = 0) -> None:
    """Check a world model: codes, latents, predictions, and what it promises of its rows.

    The same rows have the same bits again, and, where the model promises it
    (:func:`worldgpt_env.model.batch_invariance`), alone too.

    Args:
        model: is not changed.
        rows: of the batches that are compared with single rows.
        seed: of the random observations and actions.

    Raises:
        ContractError: naming the first promise that is broken.
    """
    observation = _random_observation(model, rows, seed)
    state = model.encode(observation)
    _check_codes(model, state, rows)
    alone = not broken_promise(model)
    _same_rows("encode", lambda part: model.encode(part), observation, rows, alone)
    _same_rows("decode", model.decode, _digits(model, state), rows, alone)
    _same_rows("latent", model.latent, state, rows, alone)
    space = action_space(model.action_spec)
    space.seed(seed)
    actions = torch.from_numpy(np.stack([np.asarray(space.sample()) for _ in range(rows)]))
    _check_prediction(model.predict(state, actions), rows)
    start = state | {"action": actions}
    _same_rows("imagination", lambda part: _dream(model, part), start, rows, alone)
    _check_history(model, state, actions)


def check_dream(env: gym.Env[Any, Any], seed: int = 0) -> None:
    """Check ``gym.make("WorldGPT-v0", ...)``: Gymnasium's rules, seeds, forks, states and ends.

    Args:
        env: a dream, wrapped or not; it is left open, reset.
        seed: of the episodes.

    Raises:
        ContractError: naming the first promise that is broken.
    """
    dream = env.unwrapped
    _expect(isinstance(dream, WorldGPTEnv), f"{env} is no dream of WorldGPT-v0")
    assert isinstance(dream, WorldGPTEnv)
    try:
        check_env(dream, skip_render_check=True, skip_close_check=True)
    except AssertionError as error:
        raise ContractError(f"Gymnasium's check_env refuses the dream: {error}") from error
    dream.action_space.seed(seed)
    actions = [dream.action_space.sample() for _ in range(dream.simulator.horizon)]
    dream.reset(seed=seed)
    story = _play(dream, actions)
    dream.reset(seed=seed)
    _expect(_equal(story, _play(dream, actions)), "the same seed and actions give another dream")
    dream.reset(seed=seed)
    start, fork = dream.get_state(), dream.fork()
    _expect(_equal(story, _play(dream, actions)), "to copy a dream changes it")
    _expect(_equal(story, _play(fork, actions)), "a fork dreams something else than its original")
    dream.set_state(start)
    _expect(_equal(story, _play(dream, actions)), "set_state() does not lead back to get_state()")
    _expect(story[-1][2] or story[-1][3], f"no end after {len(actions)} steps, the horizon")
    _refuses(lambda: dream.step(actions[0]), "step() after the end", EpisodeEndedError)
    told, meant = _in_words(dream.action_spec, actions)
    if told:
        dream.reset(seed=seed)
        story = _play(dream, meant)
        dream.reset(seed=seed)
        _expect(_equal(story, _play(dream, told)), "a sentence does something else than its action")
    dream.reset(seed=seed)


# parts of check_world ---------------------------------------------------------------------------


def _check_step(
    world: gym.Env[Any, Any],
    observation: Mapping[str, np.ndarray],
    reward: Any,
    terminated: Any,
    truncated: Any,
    info: Mapping[str, Any],
) -> None:
    specs = world.get_wrapper_attr("specs")
    problem = (
        ObservationCheck(specs).problem(observation)
        or reward_problem(reward)
        or ends_problem(terminated, truncated)
    )
    _expect(not problem, problem)
    _expect(isinstance(reward, float), f"the reward {reward!r} must be a Python float")
    flags = type(terminated) is bool and type(truncated) is bool
    _expect(flags, f"terminated {terminated!r} and truncated {truncated!r} must be Python bools")
    seen = [str(m) for m in (Modality.IMAGE, Modality.VIDEO) if m in specs]
    for key in seen if terminated or truncated else ():
        _expect(bool(observation[key].any()), f"the last {key} of an episode is black")
    if len(seen) == 2 and observation["image"].shape == observation["video"].shape[1:]:
        newest = np.array_equal(observation["video"][-1], observation["image"])
        _expect(newest, "the newest frame of the video, its last, is not the image")
    spec = specs.get(Modality.TEXT)
    if isinstance(spec, TextSpec):
        same = np.array_equal(spec.encode(info.get("text", "")), observation["text"])
        _expect(same, f"info['text'] {info.get('text')!r} is not the sentence of the word ids")


def _check_sentences(world: gym.Env[Any, Any]) -> None:
    """Check that ``step`` takes a sentence where actions have words, and refuses unknown ones."""
    world.action_space.seed(7)
    told, _ = _in_words(world.get_wrapper_attr("action_spec"), [world.action_space.sample()])
    for sentence in told:
        world.reset(seed=7)
        try:
            world.step(sentence)
        except WorldGPTError as error:
            raise ContractError(f"step({sentence!r}) is refused: {error}") from error
        world.reset(seed=7)
        _refuses(partial(world.step, f"{sentence}\u2026"), "an unknown word", InvalidActionError)


def _no_sharing(one: Mapping[str, np.ndarray], other: Mapping[str, np.ndarray]) -> bool:
    return not any(np.shares_memory(one[key], other[key]) for key in one)


# parts of check_model ---------------------------------------------------------------------------


def _random_observation(model: WorldGPT, rows: int, seed: int) -> dict[Any, Tensor]:
    """Return a batch of random raw observations."""
    observation: dict[Any, Tensor] = {}
    for modality, spec in model.specs.items():
        space = modality_space(spec)
        space.seed(seed)
        observation[modality] = torch.from_numpy(np.stack([space.sample() for _ in range(rows)]))
    return observation


def _check_codes(model: WorldGPT, state: State, rows: int) -> None:
    raw, latent = model.decode(_digits(model, state)), model.latent(state)
    for modality, spec in model.specs.items():
        codec, codes = model.codec(modality), state[modality]
        shape = (rows, codec.cells, codec.digits)
        dtype = torch.float32 if codec.continuous else torch.int64
        fits = codes.shape == shape and codes.dtype == dtype
        _expect(
            fits, f"{modality} codes are {tuple(codes.shape)} {codes.dtype}, not {shape} {dtype}"
        )
        if not codec.continuous:
            inside = 0 <= int(codes.min()) and int(codes.max()) < codec.levels
            _expect(inside, f"{modality} codes leave the levels 0 to {codec.levels - 1}")
            space, decoded = modality_space(spec), raw[modality].cpu().numpy()
            _expect(all(row in space for row in decoded), f"decoded {modality} is outside {space}")
        seen = latent[modality]
        fits = seen.shape == (rows, model.latent_sizes[modality]) and seen.dtype == torch.float32
        _expect(fits, f"the {modality} latent is {tuple(seen.shape)} {seen.dtype}")
        _expect(bool((seen.abs() <= 1).all()), f"the {modality} latent leaves [-1, 1]")


def _digits(model: WorldGPT, state: State) -> State:
    """Return what any model can decode: embeddings need a decoder that may not be attached."""
    return {m: codes for m, codes in state.items() if not model.codec(m).continuous}


def _check_prediction(prediction: Prediction, rows: int) -> None:
    for name in ("reward", "termination", "uncertainty", "consistency"):
        part = getattr(prediction, name)
        fits = part.shape == (rows,) and part.dtype == torch.float32
        _expect(fits, f"{name} is {tuple(part.shape)} {part.dtype}, not ({rows},) float32")
        _expect(bool(torch.isfinite(part).all()), f"{name} is not finite")
    for name in ("termination", "consistency"):
        part = getattr(prediction, name)
        _expect(bool(((part >= 0) & (part <= 1)).all()), f"{name} leaves [0, 1]")
    _expect(bool((prediction.uncertainty >= 0).all()), "uncertainty is negative")


def _dream(model: WorldGPT, start: Mapping[Any, Tensor], steps: int = 4) -> dict[str, Tensor]:
    """Return all that is imagined from the states and under the action in ``start``."""
    state = {modality: start[modality] for modality in model.specs}
    engine = model.imagination(len(start["action"]))
    seen: dict[str, Tensor] = {}
    noise = torch.zeros(len(start["action"]), dtype=torch.int64)
    for step in range(steps):
        prediction = engine.step(state, start["action"], noise + step)
        state = prediction.state
        seen |= {f"{modality} {step}": codes for modality, codes in state.items()}
        seen |= {f"reward {step}": prediction.reward, f"end {step}": prediction.termination}
        seen[f"uncertainty {step}"] = prediction.uncertainty
    return seen


def _check_history(model: WorldGPT, state: State, actions: Tensor) -> None:
    """Check that resetting a row leaves the others alone, and that a snapshot leads back."""
    noise = torch.zeros(len(actions), dtype=torch.int64)
    engine = model.imagination(len(actions))
    engine.step(state, actions, noise)
    snapshot, fork = engine.snapshot(), engine.select(torch.arange(len(actions)))
    wanted = engine.step(state, actions, noise).reward
    engine.restore(snapshot)
    _expect(torch.equal(engine.step(state, actions, noise).reward, wanted), "restore() forgets")
    _expect(torch.equal(fork.step(state, actions, noise).reward, wanted), "select() forgets")
    engine.restore(snapshot)
    engine.reset(torch.tensor([0]))
    others = engine.step(state, actions, noise).reward[1:]
    _expect(torch.equal(others, wanted[1:]), "to reset a row changes others")


def _same_rows(
    name: str,
    function: Callable[[Any], Mapping[Any, Tensor]],
    batch: Mapping[Any, Tensor],
    rows: int,
    alone: bool,
) -> None:
    """Check that a batch gives the same bits again, and, if ``alone``, every row by itself."""
    together, again = function(dict(batch)), function(dict(batch))
    for key, part in again.items():
        _expect(torch.equal(part, together[key]), f"{name}: {key} is not the same again")
    for row in range(rows if alone else 0):
        single = function({key: part[row : row + 1] for key, part in batch.items()})
        for key, part in single.items():
            same = torch.equal(part[0], together[key][row])
            _expect(same, f"{name}: {key} of row {row} depends on the rows beside it")


# parts of check_dream and all -------------------------------------------------------------------


def _play(env: WorldGPTEnv, actions: Sequence[Any]) -> list[tuple[Any, ...]]:
    """Return what every step gives until the episode ends."""
    story = []
    for action in actions:
        story.append(env.step(action))
        if story[-1][2] or story[-1][3]:
            break
    return story


def _in_words(spec: ActionSpec, actions: Sequence[Any]) -> tuple[list[str], list[Any]]:
    """Return sentences and the actions that they stand for; none where actions have no words."""
    reader = Sentences(spec)
    told = [reader.write(action) for action in actions] if reader.readable else []
    meant = [reader.read(sentence) for sentence in told]
    return told, [int(one) if one.ndim == 0 else one for one in meant]


def _equal(one: list[tuple[Any, ...]], other: list[tuple[Any, ...]]) -> bool:
    return bool(data_equivalence(one, other, exact=True))


def _refuses(
    call: Callable[[], object], what: str, kind: type[WorldGPTError] = WorldGPTError
) -> None:
    try:
        call()
    except kind:
        return
    raise ContractError(f"{what} is not refused; raise a {kind.__name__}.")


def _expect(condition: bool, sentence: str) -> None:
    if not condition:
        raise ContractError(f"{sentence}.")
