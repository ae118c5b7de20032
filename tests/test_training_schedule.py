"""Training by a schedule of combinations, on a share of the data, with given codecs; tuning."""

from __future__ import annotations

import json
from pathlib import Path

import numpy as np
import pytest
import torch
from safetensors.torch import load_file

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.curriculum import Combination, Kind, combinations
from worldgpt_env.model.errors import ConfigurationError
from worldgpt_env.model.modalities import ActionSpec, Modality, TextSpec
from worldgpt_env.model.transitions import TransitionStore
from worldgpt_env.training.histories import Histories
from worldgpt_env.training.recording import Episode, Recording
from worldgpt_env.training.train import TrainConfig, train
from worldgpt_env.training.tuning import TuneConfig, tune
from worldgpt_env.training.windows import described

BOTH = (Modality.TEXT, Modality.VECTOR)


class Notebook:
    """Keeps what training says."""

    def __init__(self) -> None:
        self.figures: dict[str, list[tuple[int, float]]] = {}

    def start(self, stage: str, updates: int, done: int) -> None:
        """Nothing to do."""

    def log(self, stage: str, update: int, metrics: dict[str, float]) -> None:
        """Keep every figure with its update."""
        for name, value in metrics.items():
            self.figures.setdefault(name, []).append((update, value))


def learn(corridor: Path, out: Path, **settings: object) -> tuple[WorldGPT, Notebook]:
    """Train a tiny model on the corridor."""
    notebook = Notebook()
    options = {"updates": 160, "rows": 16, "watch_every": 40} | settings
    train(TrainConfig((corridor / "recording",), out, "tiny", **options), notebook)  # type: ignore[arg-type]
    return WorldGPT.from_pretrained(out), notebook


@pytest.fixture(scope="module")
def progressive(
    corridor: Path, tmp_path_factory: pytest.TempPathFactory
) -> tuple[WorldGPT, Notebook, Path]:
    """A model of the corridor, trained progressively but for one combination."""
    out = tmp_path_factory.mktemp("schedule") / "model"
    model, notebook = learn(corridor, out, schedule="progressive", without=("text>vector",))
    return model, notebook, out


def test_classes_enter_one_after_another_and_are_watched(
    progressive: tuple[WorldGPT, Notebook, Path],
) -> None:
    _, notebook, _ = progressive
    begun = {kind: notebook.figures[f"loss/{kind}"][0][0] for kind in Kind}
    assert begun[Kind.SINGLE_SAME] < begun[Kind.SINGLE_OTHER] < begun[Kind.SEVERAL_SAME]
    assert begun[Kind.SEVERAL_SAME] < begun[Kind.SEVERAL_OTHER]
    for kind in Kind:
        steps, losses = zip(*notebook.figures[f"held_out/{kind}"], strict=True)
        assert steps == (40, 80, 120, 160)
        assert losses[-1] < losses[0]


def test_a_model_knows_what_it_was_trained_on(
    progressive: tuple[WorldGPT, Notebook, Path],
) -> None:
    model, _, _ = progressive
    known = {c.name for c in combinations(BOTH)} - {"text>vector"}
    assert set(model.config.combinations or ()) == known
    assert model.was_trained_on(Combination.parse("vector>text"))
    assert not model.was_trained_on(Combination.parse("text>vector"))


def test_the_static_generator_reads_no_state(corridor: Path, tmp_path: Path) -> None:
    model, notebook = learn(corridor, tmp_path / "model", schedule="static", updates=30)
    assert set(model.config.combinations or ()) == {">text", ">vector", ">text+vector"}
    assert all("held_out" not in name or "several" in name for name in notebook.figures)


def test_codecs_come_from_another_model_as_they_are(
    corridor: Path, progressive: tuple[WorldGPT, Notebook, Path], tmp_path: Path
) -> None:
    source, _, folder = progressive
    model, _ = learn(corridor, tmp_path / "model", updates=10, codecs_from=folder)
    theirs = source.processor.codecs.state_dict()
    assert all(
        torch.equal(theirs[name], part)
        for name, part in model.processor.codecs.state_dict().items()
    )
    with pytest.raises(ConfigurationError, match="--init or --codecs-from"):
        TrainConfig((folder,), tmp_path, init=folder, codecs_from=folder)


def test_a_share_of_the_transitions_is_exact_and_drawn_by_the_seed(corridor: Path) -> None:
    recording = Recording.load(corridor / "recording")
    part = recording.sample(0.01, seed=3)
    assert part.steps == round(0.01 * recording.steps)
    assert part.steps == recording.sample(0.01, seed=3).steps
    assert [e.seed for e in part.episodes] == [
        e.seed for e in recording.sample(0.01, seed=3).episodes
    ]


def test_described_moments_stay_where_they_are(
    corridor: Path, progressive: tuple[WorldGPT, Notebook, Path]
) -> None:
    from worldgpt_env.training.windows import WindowSampler

    model, _, _ = progressive
    data = TransitionStore.encode(model.processor, Recording.load(corridor / "recording").episodes)
    batch = described(WindowSampler(data, 1, 8, 0.0, 0).batch(0))
    assert all(torch.equal(codes[:, 0], codes[:, 1]) for codes in batch.state.values())
    assert not batch.action.any() and batch.reward.isnan().all()


def test_a_history_is_what_went_before_in_the_same_episode(
    corridor: Path, progressive: tuple[WorldGPT, Notebook, Path]
) -> None:
    model, _, _ = progressive
    data = TransitionStore.encode(model.processor, Recording.load(corridor / "recording").episodes)
    first, steps = int(data.first[3]), int(data.steps[3])
    moments = torch.tensor([first, first + 1, first + steps - 1])
    contexts = Histories(data).contexts(moments, 3)
    assert contexts.valid.sum(1).tolist() == [0, 1, min(steps - 1, 3)]
    place = data.state[Modality.VECTOR]
    assert torch.equal(contexts.next_state[Modality.VECTOR][1, -1], place[first + 1].long())
    assert torch.equal(contexts.state[Modality.VECTOR][2, -1], place[first + steps - 2].long())
    spread = Histories(data).contexts(moments[2:], 2, horizon=100)
    ends = place[torch.tensor([first, first + steps - 2])].long()
    assert torch.equal(spread.state[Modality.VECTOR][0], ends)  # the first and the last step
    with pytest.raises(ConfigurationError, match="spread over 3"):
        TuneConfig(Path("model"), (Path("data"),), Path("out"), horizon=3)


def test_tuning_changes_the_reflector_and_nothing_else(
    corridor: Path, progressive: tuple[WorldGPT, Notebook, Path], tmp_path: Path
) -> None:
    _, _, folder = progressive
    config = TuneConfig(folder, (corridor / "recording",), tmp_path / "tuned", updates=20, rows=16)
    tune(config, Notebook())
    before = load_file(folder / "model.safetensors")
    after = load_file(tmp_path / "tuned" / "model.safetensors")
    assert all(torch.equal(before[name], after[name]) for name in before)
    new = set(after) - set(before)
    assert new and all(name.startswith("dynamics.embedding.reflector.") for name in new)
    assert json.loads((tmp_path / "tuned" / "tuning.json").read_text())["updates"] == 20
    assert WorldGPT.from_pretrained(tmp_path / "tuned").dynamics.embedding.reflector is not None


def test_a_model_that_was_shown_histories_reads_its_memory(tmp_path: Path) -> None:
    """A word is told at the start and asked for later: nothing but the past says which it was."""
    spec, generator = TextSpec.of(["red", "blue", "dark", "ask"], 1), np.random.default_rng(0)
    episodes = []
    for seed in range(60):
        words = [str(generator.choice(["red", "blue"])), "dark", "ask"]
        moments = np.stack([spec.encode(word) for word in [*words, words[0]]])
        episodes.append(
            Episode({Modality.TEXT: moments}, np.zeros(3, np.int64), np.zeros(3), True, False, seed)
        )
    actions = ActionSpec("discrete", (2,), ("go", "wait"))
    told = Recording("told", {Modality.TEXT: spec}, actions, episodes)
    told.save(tmp_path / "recording")
    right = {}
    for share in (0.0, 0.6):
        out = tmp_path / f"{share}"
        settings = {"updates": 200, "rows": 32, "length": 1, "context": 1, "histories": share}
        train(TrainConfig((tmp_path / "recording",), out, "small", **settings), Notebook())  # type: ignore[arg-type]
        model = WorldGPT.from_pretrained(out)
        data = TransitionStore.encode(model.processor, told.episodes)
        asked = torch.from_numpy(data.first) + 2
        contexts = Histories(data).contexts(asked, 2)
        state = {m: codes[asked].long() for m, codes in data.state.items()}
        said = model.predict(state, data.action[asked], contexts=contexts, reflected=False)
        answer = data.state[Modality.TEXT][asked + 1].long()
        right[share] = float((said.state[Modality.TEXT] == answer).float().mean())
    assert right[0.6] > 0.95 > 0.75 > right[0.0]


def test_histories_need_room() -> None:
    for wrong in ({"histories": 1.0}, {"histories": 0.5, "histories_over": 4}):
        with pytest.raises(ConfigurationError, match="histories"):
            TrainConfig((Path("data"),), Path("out"), **wrong)  # type: ignore[arg-type]
