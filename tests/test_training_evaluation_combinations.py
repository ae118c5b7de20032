"""Evaluation of a toy WorldNet: an oracle, a copier, gaps, and what cannot be evaluated."""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
import toy_worldnet as toy

from worldgpt_env.model.batch import Prediction
from worldgpt_env.model.curriculum import Combination, combinations
from worldgpt_env.model.errors import ConfigurationError, MissingModalityError
from worldgpt_env.model.modalities import ActionSpec, Modality
from worldgpt_env.training.cli import main
from worldgpt_env.training.evaluation import plots, prediction_cost
from worldgpt_env.training.evaluation.combinations import (
    Candidates,
    CombinationEvaluator,
    OutputScores,
)
from worldgpt_env.training.evaluation.context_sources import contexts_from_knowledge
from worldgpt_env.training.evaluation.estimates import Bootstrap, Estimate
from worldgpt_env.training.evaluation.prediction_baselines import static_latents
from worldgpt_env.training.evaluation.recipes import learned_scenarios
from worldgpt_env.training.evaluation.results import ModelDraws, output_draws, with_skills
from worldgpt_env.training.evaluation.samples import EncodedSamples, Samples
from worldgpt_env.training.knowledge import knowledge_from
from worldgpt_env.training.recording import Recording
from worldgpt_env.training.worldnet import combination_evaluation as module
from worldgpt_env.training.worldnet.combination_evaluation import (
    CombinationsConfig,
    evaluate_combinations,
)
from worldgpt_env.training.worldnet.format.annotation import WorldNetError
from worldgpt_env.training.worldnet.format.load import LoadedWorldNet

pytestmark = pytest.mark.filterwarnings(
    "ignore::worldgpt_env.model.errors.UntrainedCombinationWarning"
)
SEEN = (Modality.IMAGE, Modality.VIDEO, Modality.AUDIO)
SMALL: dict[str, Any] = {"samples": 40, "references": 60, "decoded": 8, "draws": 100}


@pytest.fixture(scope="module")
def folder(tmp_path_factory) -> str:
    names = ["image>image", "image+audio>image+audio", "image>audio"]
    return toy.save_model(tmp_path_factory.mktemp("models") / "toy", combinations=names)


@pytest.fixture
def data(monkeypatch: pytest.MonkeyPatch) -> dict[str, Recording]:
    """What the folder "toy" holds; a test may change it."""
    splits = {"test": toy.recording(100, 5), "train": toy.recording(0, 5)}

    def load(root, split, specs, scenarios):
        known = splits[split]
        chosen = [e for e in known.episodes if scenarios is None or e.scenario in scenarios]
        return LoadedWorldNet(Recording("toy", known.specs, known.action_spec, chosen), [])

    monkeypatch.setattr(module, "load_worldnet", load)
    return splits


def evaluate(config: CombinationsConfig) -> dict[str, Any]:
    """Return what is written as JSON."""
    return evaluate_combinations(config).to_json()


@pytest.fixture(scope="module")
def evaluator() -> CombinationEvaluator:
    model = toy.build_model()
    test, known = (
        Samples.draw(toy.recording(100, 5), 40, 0),
        Samples.draw(toy.recording(0, 5), 60, 0),
    )
    encoded = [EncodedSamples.of(model, part, SEEN) for part in (test, known)]
    return CombinationEvaluator(model, *encoded, decoded=16)


def predicts(evaluator: CombinationEvaluator, side: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Let the model predict the true ``"next_state"``, or the ``"state"`` once more."""
    states = getattr(evaluator.test, side)
    rows = iter(range(1000))

    def predict(state, action, outputs, expected):
        assert expected and next(rows) == 0, "one chunk only"
        nothing = torch.zeros(len(action))
        latent = {m: states.latent[m] for m in outputs}
        return Prediction(
            {m: states.codes[m] for m in outputs}, nothing, nothing, nothing, nothing, latent
        )

    monkeypatch.setattr(evaluator.model, "predict", predict)


def figures_of(scores: list[OutputScores], evaluator: CombinationEvaluator) -> dict[str, float]:
    episode = np.unique(evaluator.test.samples.episode, return_inverse=True)[1]
    bootstrap = Bootstrap(np.ones((1, episode.max() + 1)), episode, ())
    draws = ModelDraws.of(scores, bootstrap).over([scores[0].combination])
    return {name: float(x[0]) for name, x in draws.items()}


def test_who_knows_the_next_state_has_all_skill(
    evaluator: CombinationEvaluator, monkeypatch
) -> None:
    predicts(evaluator, "next_state", monkeypatch)
    scores = evaluator.evaluate(Combination.parse("audio>image+video"))
    found = figures_of(scores, evaluator)
    assert [found["cosine"], found["raw"]] == pytest.approx([1.0, 1.0])
    assert [found["skill"], found["skill_allowed"]] == pytest.approx([1.0, 1.0])
    assert found["chance"] == pytest.approx(1 / 16) and 0.3 < found["retrieval"] <= 1.0
    assert found["retrieval_copy"] < found["retrieval"]
    for compared in scores[0].decoded.values():
        assert np.array_equal(compared.model, compared.codec)


def test_who_copies_has_none_even_where_copying_is_not_allowed(
    evaluator: CombinationEvaluator, monkeypatch
) -> None:
    predicts(evaluator, "state", monkeypatch)
    scores = evaluator.evaluate(Combination.parse("image>image"))
    found = figures_of(scores, evaluator)
    assert found["skill"] == pytest.approx(0.0) and found["raw"] == pytest.approx(found["raw_copy"])
    assert found["retrieval"] == pytest.approx(found["retrieval_copy"])
    assert (
        found["skill_allowed"] <= 0.0
    )  # copying is allowed here, so the best is as good or better
    predicts(evaluator, "state", monkeypatch)
    blind = evaluator.evaluate(Combination.parse("audio>image"))
    _, best = output_draws(blind[0], Bootstrap(np.ones((1, 40)), np.arange(40), ()))
    assert best in ("nearest", "mean_next")
    assert figures_of(blind, evaluator)["skill"] == pytest.approx(0.0)  # copying with open eyes


def test_the_figures_are_those_of_the_plain_formulas(evaluator: CombinationEvaluator) -> None:
    scores = evaluator.evaluate(Combination.parse("image+audio>audio"))
    cell, rows = scores[0], torch.arange(40)
    sides = (evaluator.known.state, evaluator.known.next_state)
    centre = torch.cat([side.latent[Modality.AUDIO] for side in sides]).mean(0)
    truth, now = (
        s.latent[Modality.AUDIO] - centre for s in (evaluator.test.next_state, evaluator.test.state)
    )
    state = {m: evaluator.test.state.codes[m][rows] for m in (Modality.IMAGE, Modality.AUDIO)}
    said = evaluator.model.predict(state, evaluator.test.action, (Modality.AUDIO,), expected=True)
    assert said.latent is not None
    guess = said.latent[Modality.AUDIO] - centre
    cos, copy = (torch.cosine_similarity(part, truth).mean().item() for part in (guess, now))
    found = figures_of(scores, evaluator)
    assert found["cosine"] == pytest.approx(cos, abs=1e-5)
    assert found["skill"] == pytest.approx((cos - copy) / (1 - copy), abs=1e-4)
    assert len(cell.rows) == 40 and set(cell.decoded) == {"log-mel error (dB)"}


def test_skills_are_made_of_mean_cosines() -> None:
    parts = {"skill of the model": np.array([0.8]), "skill of the baseline": np.array([0.6])}
    assert with_skills(parts)["skill"] == pytest.approx([0.5])


def test_candidates_are_of_the_same_scenario_and_hold_the_truth_once() -> None:
    present = np.array([True, True, True, False, True, True])
    scenario = np.array(["a", "a", "a", "a", "b", "b"])
    drawn = Candidates.draw(present, scenario, 3, 0)
    assert drawn.rows[:, 0].tolist() == list(range(6))
    assert sorted(drawn.rows[0].tolist()) == [0, 1, 2]
    assert drawn.present.tolist() == [[True] * 3] * 3 + [[False] * 3] + [[True, True, False]] * 2
    assert drawn.rows[4, 1] == 5


def test_samples_are_shared_out_over_scenarios() -> None:
    recording = toy.recording(0, 4)
    recording.episodes = [e for e in recording.episodes if e.scenario == "day" or e.seed == 0]
    samples = Samples.draw(recording, 24, 3)  # 8 steps of night, 32 of day
    assert [int((samples.scenario == name).sum()) for name in ("day", "night")] == [16, 8]
    assert samples.identity() == Samples.draw(recording, 24, 3).identity()
    assert samples.identity() != Samples.draw(recording, 24, 4).identity()
    assert len(Samples.draw(recording, 1000, 0)) == 40
    raw = samples.observations(Modality.IMAGE, np.array([5]), 1)
    episode = recording.episodes[samples.episode[5]]
    assert np.array_equal(raw[0], episode.observations[Modality.IMAGE][samples.step[5] + 1])


def test_actions_in_words_are_carried_over() -> None:
    samples = Samples.draw(toy.recording(0, 1), 10, 0)
    other = ActionSpec.text(["right", "go", "jump"], 3)
    ids = samples.actions(other)
    words = [other.vocabulary.decode(row.numpy()) for row in ids]
    assert set(words) <= {"<unknown>", "go <unknown>", "go right"}  # "wait" and "left" are new
    with pytest.raises(ConfigurationError, match="only actions in words"):
        samples.actions(ActionSpec("discrete", (3,)))


def test_a_static_generator_is_judged_in_the_space_of_the_model(
    evaluator: CombinationEvaluator,
) -> None:
    same, other = toy.build_model(), toy.build_model(seed=1)
    direct = static_latents(same, evaluator.model, evaluator.test, SEEN)
    said = same.predict({}, evaluator.test.action, (Modality.IMAGE,), expected=True)
    assert said.latent is not None and torch.equal(
        direct[Modality.IMAGE], said.latent[Modality.IMAGE]
    )
    redrawn = static_latents(other, evaluator.model, evaluator.test, (Modality.IMAGE,))[
        Modality.IMAGE
    ]
    state = other.predict({}, evaluator.test.action, (Modality.IMAGE,)).state
    drawn = other.decode(state)[Modality.IMAGE]
    want = evaluator.model.latent(evaluator.model.encode({Modality.IMAGE: drawn}))[Modality.IMAGE]
    assert torch.equal(redrawn, want)
    with pytest.raises(ConfigurationError, match="static generator has the audio None"):
        static_latents(toy.build_model(modalities=SEEN[:2]), evaluator.model, evaluator.test, SEEN)


def test_all_49_combinations_with_intervals(folder: str, data) -> None:
    figures = evaluate(CombinationsConfig((folder, folder), Path("toy"), static=folder, **SMALL))
    assert figures["transitions"] == 40 and figures["episodes"] == 10
    assert list(figures["combinations"]) == [c.name for c in combinations(SEEN)]
    sizes = {name: part["combinations"] for name, part in figures["classes"].items()}
    assert list(sizes.values()) == [3, 6, 4, 36, 49]
    for part in figures["combinations"].values():
        skill = part["skill"]
        assert skill["episodes"][0] <= skill["value"] <= skill["episodes"][1]
        assert skill["each"][0] == skill["each"][1]  # the same model twice
        assert skill["models"] == pytest.approx([skill["value"]] * 2)
        assert part["rows"] == 40 and part["static"] is not None
    single = evaluate(CombinationsConfig((folder,), Path("toy"), combinations="paper8", **SMALL))
    assert len(single["combinations"]) == 8
    again, first = (f["combinations"]["image>image"]["skill"] for f in (single, figures))
    assert again["value"] == first["value"] and again["models"] is None
    seen = figures["seen"]
    assert (seen["all"]["seen_combinations"], seen["all"]["unseen_combinations"]) == (3, 46)
    gap = seen["single_other"]["skill"]
    assert gap["gap"]["value"] == pytest.approx(gap["seen"]["value"] - gap["unseen"]["value"])
    assert seen["several_other"]["skill"]["gap"] is None  # none of them was trained


def test_missing_modalities_are_skipped_row_by_row_and_said(folder: str, data) -> None:
    silent = toy.recording(200, 2, silent=True)
    data["test"].episodes += silent.episodes
    config = CombinationsConfig((folder,), Path("toy"), **SMALL | {"samples": 1000})
    rows = {n: p["rows"] for n, p in evaluate(config)["combinations"].items()}
    assert rows["image>video"] == 112 and rows["image>audio"] == rows["audio>image"] == 80
    data["test"].episodes = silent.episodes
    figures = evaluate(config)
    part = figures["combinations"]["image>audio"]
    assert part["rows"] == 0 and "skill" not in part
    single = figures["classes"]["single_same"]
    assert (single["combinations"], single["measured"]) == (3, 2)
    skills = [figures["combinations"][n]["cosine"]["value"] for n in ("image>image", "video>video")]
    assert single["cosine"]["value"] == pytest.approx(np.mean(skills))


def test_scenarios_can_be_left_to_others(folder: str, data) -> None:
    config = CombinationsConfig(
        (folder,), Path("toy"), scenarios=("night",), known=("day",), **SMALL
    )
    figures = evaluate(config)
    assert figures["scenarios"].keys() == {"night"} and figures["known_scenarios"] == ["day"]
    part = figures["combinations"]["image>image"]
    assert part["mean_next"] is None  # training knew no night
    assert part["nearest"] is not None and part["skill_allowed"] is not None
    data["test"].episodes = data["test"].episodes[:2]  # one of each
    told = evaluate(CombinationsConfig((folder,), Path("toy"), **SMALL))
    assert told["clusters"] == {"day": 1, "night": 1}
    assert told["scenarios"]["day"]["all"]["skill"]["episodes"] is None


def test_the_baselines_know_what_the_model_has_learned(folder: str, data) -> None:
    noted = Path(folder) / "metrics.json"
    noted.write_text('{"scenarios": ["night"]}')
    try:
        assert learned_scenarios(folder) == ("night",)
        figures = evaluate(CombinationsConfig((folder,), Path("toy"), **SMALL))
        assert figures["known_scenarios"] == ["night"]
    finally:
        noted.unlink()
    assert learned_scenarios(folder) is None


def test_what_cannot_be_judged_is_refused(folder: str, data, tmp_path: Path) -> None:
    images = toy.save_model(tmp_path / "images", modalities=(Modality.IMAGE, Modality.AUDIO))

    def judged(*models: str, **options: Any) -> dict[str, Any]:
        return evaluate(CombinationsConfig(models or (folder,), Path("toy"), **SMALL | options))

    with pytest.raises(MissingModalityError, match="no \\['video'\\].*--modalities"):
        judged(images, combinations="paper8")
    assert len(judged(images)["combinations"]) == 9  # all of what it has
    with pytest.raises(MissingModalityError, match="no \\['vector'\\]"):
        judged(modalities=("image", "vector"))
    with pytest.raises(ConfigurationError, match="'smell'"):
        judged(modalities=("smell",))
    with pytest.raises(ConfigurationError, match="needs an input"):
        judged(combinations=">image")
    with pytest.raises(ConfigurationError, match="differ in their specs"):
        judged(folder, images)
    other = toy.save_model(tmp_path / "other", combinations=["image>image"])
    with pytest.raises(ConfigurationError, match="trained on other combinations"):
        judged(folder, other)
    with pytest.raises(WorldNetError, match="holds no transition of the scenarios \\['noon'\\]"):
        judged(scenarios=("noon",))
    data["train"].episodes = toy.recording(0, 2, silent=True).episodes
    with pytest.raises(ConfigurationError, match="no training transition has audio"):
        judged()
    for wrong in ({"samples": 0}, {"candidates": 1}, {"draws": 5}):
        with pytest.raises(ConfigurationError, match="at least"):
            judged(**wrong)


def test_text_joins_when_asked(folder: str, data) -> None:
    options = SMALL | {"combinations": "text>image,text+audio>text", "modalities": ("all",)}
    figures = evaluate(CombinationsConfig((folder,), Path("toy"), **options))
    assert list(figures["combinations"]) == ["text>image", "audio+text>text"]
    assert "words right" in figures["decoded"]["text"]["several_other"]


def test_the_command_prints_tables_and_writes_files(
    folder: str, data, capsys, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(prediction_cost, "LEAST", 0.03)
    line = f"{folder} --data toy --scenarios day,night --combinations image>image --samples 40"
    told, out = tmp_path / "told.json", tmp_path / "out"
    line += f" --decoded 0 --draws 100 --speed --json {told} --out {out}"
    assert main(["worldnet", "evaluate", *line.split()]) == 0
    figures = json.loads(told.read_text())
    assert figures["decoded"] == {} and figures["scenarios"].keys() == {"day", "night"}
    speed = figures["speed"]["image"]
    assert speed["ratio"] == pytest.approx(speed["embedding"] / speed["decoded"])
    assert "Predictions per CPU-second" in capsys.readouterr().out
    assert json.loads((out / "figures.json").read_text()) == figures


def test_no_matplotlib_is_said_before_anything_is_evaluated(
    folder: str, data, capsys, monkeypatch, tmp_path: Path
) -> None:
    monkeypatch.setattr(plots, "find_spec", lambda name: None)
    line = ["worldnet", "evaluate", folder, "--data", "toy", "--out", str(tmp_path / "out")]
    assert main(line) == 2
    assert 'pip install "worldgpt-env[plots]"' in capsys.readouterr().err
    assert not list(tmp_path.iterdir())


def test_an_estimate_over_models_and_episodes() -> None:
    draws = [np.array([0.2, 0.1, 0.3]), np.array([0.4, 0.3, 0.5])]
    estimate = Estimate.of(draws)
    assert estimate is not None and estimate.value == pytest.approx(0.3)
    assert estimate.episodes == pytest.approx((0.205, 0.395))
    assert estimate.models is not None  # t of 12.7 at one degree of freedom, 0.1 standard error
    assert estimate.models == pytest.approx((0.3 - 1.27062, 0.3 + 1.27062), rel=1e-4)
    assert Estimate.of([np.array([math.nan, 1.0])]) is None


def test_memories_are_shown_raw_and_change_what_is_predicted(
    data: dict[str, Recording], folder: str
) -> None:
    chosen = {"combinations": "image>image", "decoded": 0, "samples": 40, "references": 60}
    alone, beside = (
        evaluate(
            CombinationsConfig(
                (folder,), Path("toy"), memory=memory, raw=True, contexts=2, draws=100, **chosen
            )
        )
        for memory in (False, True)
    )
    one, other = (figures["combinations"]["image>image"]["cosine"] for figures in (alone, beside))
    assert one["value"] != other["value"]


def test_knowledge_of_the_judged_data_itself_gives_nothing_of_the_own_episode(
    tmp_path: Path,
) -> None:
    model, recording = toy.build_model(), toy.recording(0, 5)
    knowledge_from(model, recording).save(tmp_path / "known")
    samples = Samples.draw(recording, 40, 0)
    test, every = (EncodedSamples.of(model, samples, part) for part in (SEEN, list(model.specs)))
    shown = contexts_from_knowledge(model, tmp_path / "known", test, 3)
    contexts = shown(Combination.parse("image>image"), torch.arange(len(samples)))
    same = (contexts.action == test.action[:, None]).flatten(2).all(-1)
    for modality in model.specs:
        for given, own in ((contexts.state, every.state), (contexts.next_state, every.next_state)):
            same &= (given[modality] == own.codes[modality][:, None]).flatten(2).all(-1)
    assert contexts.valid.any()
    assert not (same & contexts.valid).any()


def test_every_model_needs_a_knowledge_base_of_its_own() -> None:
    with pytest.raises(ConfigurationError, match="one for each model"):
        CombinationsConfig(("a", "b"), Path("toy"), knowledge=(Path("k"),))
