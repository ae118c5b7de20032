"""Knowledge: exact search, one's own episode never, absent modalities, disk, other models."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from tiny_world import ACTIONS, build_model
from torch import Tensor

from worldgpt_env.model import WorldGPT
from worldgpt_env.model.batch import State
from worldgpt_env.model.cognition import nearest
from worldgpt_env.model.cognition.fingerprints import fingerprints
from worldgpt_env.model.cognition.keys import action_vectors
from worldgpt_env.model.cognition.knowledge import Knowledge
from worldgpt_env.model.errors import CheckpointError, KnowledgeError
from worldgpt_env.model.modalities import Modality
from worldgpt_env.model.transitions import TransitionStore

IMAGE, TEXT, VECTOR = Modality.IMAGE, Modality.TEXT, Modality.VECTOR


@pytest.fixture(scope="module")
def model() -> WorldGPT:
    return build_model(modalities=(IMAGE, TEXT, VECTOR))


def random_state(model: WorldGPT, rows: int, seed: int) -> State:
    generator = torch.Generator().manual_seed(seed)
    state = {}
    for modality in model.specs:
        codec = model.codec(modality)
        shape = (rows, codec.cells, codec.digits)
        state[modality] = torch.randint(0, codec.levels, shape, generator=generator)
    return state


def random_facts(model: WorldGPT, rows: int, seed: int = 0) -> dict[str, Any]:
    generator = torch.Generator().manual_seed(seed + 50)
    return {
        "state": random_state(model, rows, seed),
        "action": torch.randint(0, 3, (rows,), generator=generator),
        "next_state": random_state(model, rows, seed + 1),
        "episode": torch.arange(rows) // 5,
    }


def brute_force(knowledge: Knowledge, state: State, action: Tensor, there: Tensor) -> Tensor:
    """Return all distances ``(B, N)`` in float64, one modality after the other.

    ``there`` ``(B, N, modalities)``: both have it.
    """
    model, store, rows = knowledge.processor, knowledge.store, knowledge.rows
    alike = (action[:, None] == store.action[rows]).double()
    count = torch.ones_like(alike)
    for number, modality in enumerate(model.specs):
        base = model.codec(modality).latent(store.state[modality][rows].long()).double()
        has = store.present.get(modality, torch.ones(len(store), dtype=torch.bool))[rows]
        mean = base[has].mean(0)
        spread = (base[has] - mean).square().sum(1).mean().sqrt().clamp(min=0)
        asked = model.codec(modality).latent(state[modality]).double()
        one, other = (
            torch.cat([part - mean, torch.full((len(part), 1), float(spread))], 1)
            for part in (asked, base)
        )
        cosine = torch.nn.functional.cosine_similarity(one[:, None], other[None], dim=2)
        alike += cosine * there[..., number]
        count += there[..., number]
    return 1 - alike / count


def test_search_is_brute_force(model: WorldGPT, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(nearest, "BLOCK", 64)  # several blocks
    facts = random_facts(model, 300)
    knowledge = Knowledge.build(model.processor, **facts)
    state, action = random_state(model, 37, 9), torch.arange(37) % 3
    found = knowledge.search(state, action, 10)
    wanted = brute_force(knowledge, state, action, torch.ones(37, 300, 3)).sort(1)
    assert torch.allclose(found.distance.double(), wanted.values[:, :10], atol=1e-5)
    clear = (wanted.values[:, 1:11] - wanted.values[:, :10]) > 1e-5
    clear = clear & torch.cat([torch.ones(37, 1, dtype=torch.bool), clear[:, :-1]], 1)
    assert clear.float().mean() > 0.9
    assert torch.equal(found.index[clear], wanted.indices[:, :10][clear])


def test_a_known_transition_is_at_distance_zero(model: WorldGPT) -> None:
    facts = random_facts(model, 60)
    found = Knowledge.build(model.processor, **facts).search(facts["state"], facts["action"], 1)
    assert torch.equal(found.index[:, 0], torch.arange(60))
    assert float(found.distance.abs().max()) < 1e-6


def test_absent_modalities_are_ignored_on_both_sides(model: WorldGPT) -> None:
    facts = random_facts(model, 120)
    base_has = torch.rand(3, 120, generator=torch.Generator().manual_seed(1)) < 0.6
    base_has[0] |= ~base_has.any(0)  # each has something
    query_has = torch.rand(3, 20, generator=torch.Generator().manual_seed(2)) < 0.6
    query_has[1] |= ~query_has.any(0)
    named = [dict(zip(model.specs, has, strict=True)) for has in (base_has, query_has)]
    knowledge = Knowledge.build(model.processor, **facts, present=named[0])
    state, action = random_state(model, 20, 9), torch.arange(20) % 3
    found = knowledge.search(state, action, 5, present=named[1])
    there = (query_has[:, :, None] & base_has[:, None]).permute(1, 2, 0)
    wanted = brute_force(knowledge, state, action, there.double())
    wanted[~there.any(2)] = torch.inf  # nothing but the action to compare
    assert torch.allclose(found.distance.double(), wanted.sort(1).values[:, :5], atol=1e-5)
    image = knowledge.search({IMAGE: state[IMAGE]}, action, 5)
    assert base_has[0][image.index].all()


def test_rows_find_the_same_bits_at_any_batch_size(model: WorldGPT) -> None:
    knowledge = Knowledge.build(model.processor, **random_facts(model, 200))
    state, action = random_state(model, 21, 3), torch.arange(21) % 3
    episode = torch.arange(21) - 1
    together = knowledge.search(state, action, 4, episode=episode)
    for row in range(21):
        one = slice(row, row + 1)
        alone = knowledge.search(
            {m: c[one] for m, c in state.items()}, action[one], 4, episode=episode[one]
        )
        assert torch.equal(alone.index[0], together.index[row])
        assert torch.equal(alone.distance[0], together.distance[row])


# leaks ------------------------------------------------------------------------------------------


def small_world(model: WorldGPT, rows: int) -> dict[str, Any]:
    """Return facts in which the same few transitions happen in many episodes."""
    facts = random_facts(model, rows)
    kinds = torch.randint(0, 40, (rows,), generator=torch.Generator().manual_seed(3))
    for part in ("state", "next_state"):
        facts[part] = {m: codes[kinds] for m, codes in facts[part].items()}
    facts["action"] = facts["action"][kinds]
    return facts | {"kinds": kinds}


def test_the_own_episode_is_never_returned_in_ten_thousand_queries(model: WorldGPT) -> None:
    facts = small_world(model, 1000)
    kinds = facts.pop("kinds")
    knowledge = Knowledge.build(model.processor, **facts)
    own = torch.zeros(200, 40, dtype=torch.bool)
    own[facts["episode"], kinds] = True
    rows = torch.arange(1000)
    for shift in range(10):  # each state under its own and other actions
        asked = {m: codes[rows] for m, codes in facts["state"].items()}
        action = (facts["action"] + shift) % 3
        found = knowledge.search(asked, action, 4, episode=facts["episode"])
        assert found.valid.all()
        assert not (facts["episode"][found.index] == facts["episode"][:, None]).any()
        assert not own[facts["episode"][:, None], kinds[found.index]].any()


def test_without_an_episode_the_same_transition_is_found_first(model: WorldGPT) -> None:
    facts = small_world(model, 200)
    kinds = facts.pop("kinds")
    found = Knowledge.build(model.processor, **facts).search(facts["state"], facts["action"], 1)
    assert torch.equal(kinds[found.index[:, 0]], kinds)


def test_the_true_next_state_of_the_asking_episode_changes_nothing(model: WorldGPT) -> None:
    """Whatever the base believes followed in one's own episode, the contexts are the same."""
    facts = random_facts(model, 300)
    mine = facts["episode"] == 7
    order = torch.randperm(300, generator=torch.Generator().manual_seed(5))
    shuffled = {
        m: torch.where(mine[:, None, None], codes[order], codes)
        for m, codes in facts["next_state"].items()
    }
    asked = {m: codes[mine] for m, codes in facts["state"].items()}
    seven = torch.full((5,), 7)
    read = []
    for following in (facts["next_state"], shuffled):
        knowledge = Knowledge.build(model.processor, **facts | {"next_state": following})
        found = knowledge.search(asked, facts["action"][mine], 4, episode=seven)
        read.append(knowledge.contexts(found))
    for modality in model.specs:
        assert torch.equal(read[0].next_state[modality], read[1].next_state[modality])
    open_book = Knowledge.build(model.processor, **facts).search(asked, facts["action"][mine], 1)
    assert torch.equal(open_book.index[:, 0], mine.nonzero()[:, 0])  # it would have been found


def test_an_episode_that_is_not_kept_is_given_none_of_its_duplicates(model: WorldGPT) -> None:
    facts = random_facts(model, 20)
    for part in ("state", "next_state"):
        facts[part] = {m: torch.cat([c[:10], c[:10]]) for m, c in facts[part].items()}
    facts["action"] = facts["action"][:10].repeat(2)  # episodes 2 and 3 repeat 0 and 1
    knowledge = Knowledge.build(model.processor, **facts, kept=facts["episode"] >= 2)
    assert len(knowledge) == 10
    asked = {m: codes[:5] for m, codes in facts["state"].items()}
    zero = torch.zeros(5, dtype=torch.int64)
    found = knowledge.search(asked, facts["action"][:5], 1, episode=zero)
    assert (knowledge.episode[found.index] == 3).all()  # 2 is the same as 0
    open_book = knowledge.search(asked, facts["action"][:5], 1)
    assert (knowledge.episode[open_book.index] == 2).all()


def test_an_episode_is_known_by_what_happened_in_it(model: WorldGPT) -> None:
    """Another recording counts the same episodes in another order."""
    facts = random_facts(model, 30)
    base = Knowledge.build(model.processor, **facts)
    foreign = TransitionStore.pairs(model.processor, **facts | {"episode": 5 - facts["episode"]})
    asked = facts["state"], facts["action"], 30, None
    found = base.excluding(foreign).search(*asked, 5 - facts["episode"])
    assert found.valid.sum(1).tolist() == [25] * 30
    given = facts["episode"][found.index] == facts["episode"][:, None]
    assert not (given & found.valid).any()
    assert base.search(*asked, 5 - facts["episode"]).index[0, 0] == 0  # counted as the base does


# contexts ---------------------------------------------------------------------------------------


def test_contexts_hold_the_transitions_the_farthest_first(model: WorldGPT) -> None:
    facts = random_facts(model, 50)
    knowledge = Knowledge.build(model.processor, **facts, scenario=["a", "b"] * 25)
    asked = {m: codes[:3] for m, codes in facts["state"].items()}
    found = knowledge.search(asked, facts["action"][:3], 4)
    contexts = knowledge.contexts(found)
    assert contexts.valid.all() and contexts.count == 4 and contexts.present == {}
    assert (contexts.distance[:, 0] >= contexts.distance[:, 3]).all()
    assert torch.equal(contexts.next_state[IMAGE][:, -1], facts["next_state"][IMAGE][:3])
    assert contexts.state[IMAGE].dtype == torch.int64
    assert knowledge.scenarios == ("a", "b") and knowledge.scenario[:2].tolist() == [0, 1]


def test_where_the_base_has_too_few_the_rest_is_not_valid(model: WorldGPT) -> None:
    facts = random_facts(model, 8)
    knowledge = Knowledge.build(model.processor, **facts)
    episode = torch.tensor([0, -1])
    asked = {m: codes[:2] for m, codes in facts["state"].items()}
    found = knowledge.search(asked, facts["action"][:2], 9, episode=episode)
    assert found.valid.sum(1).tolist() == [3, 8] and found.distance[0, 3:].isnan().all()
    contexts = knowledge.contexts(found)
    assert contexts.valid[0].tolist() == [False] * 6 + [True] * 3
    assert not contexts.state[IMAGE][0, :6].any()


# disk and bad input -----------------------------------------------------------------------------


def test_saved_knowledge_is_the_same(model: WorldGPT, tmp_path: Path) -> None:
    facts = random_facts(model, 40)
    there = {TEXT: torch.arange(40) % 3 > 0}
    knowledge = Knowledge.build(model.processor, **facts, scenario=["x"] * 40, present=there)
    knowledge.save(tmp_path / "base")
    again = Knowledge.load(tmp_path / "base", model.processor)
    asked = facts["state"], facts["action"], 5, None, facts["episode"]
    one, other = knowledge.search(*asked), again.search(*asked)
    assert torch.equal(one.index, other.index)
    assert torch.equal(one.distance.nan_to_num(9), other.distance.nan_to_num(9))
    assert again.scenarios == ("x",)


def test_knowledge_of_another_model_is_refused(model: WorldGPT, tmp_path: Path) -> None:
    folder = tmp_path / "base"
    Knowledge.build(model.processor, **random_facts(model, 10)).save(folder)
    with pytest.raises(KnowledgeError, match=r"is of \['image', 'text', 'vector'\]"):
        Knowledge.load(folder, build_model(modalities=(IMAGE, TEXT)).processor)
    wider = build_model(
        modalities=(IMAGE, TEXT, VECTOR), codecs={"image": {"levels": 5, "digits": 3}}
    )
    with pytest.raises(KnowledgeError, match="latents of|other weights"):
        Knowledge.load(folder, wider.processor)
    other = build_model(modalities=(IMAGE, TEXT, VECTOR))
    with torch.no_grad():
        next(other.codec(IMAGE).parameters()).add_(1)
    with pytest.raises(KnowledgeError, match="other weights"):
        Knowledge.load(folder, other.processor)
    facts = random_facts(model, 10)
    facts["state"].pop(TEXT), facts["next_state"].pop(TEXT)
    with pytest.raises(KnowledgeError, match="build knowledge with the model"):
        Knowledge.build(model.processor, **facts)


def test_nothing_no_folder_and_damage_are_refused(model: WorldGPT, tmp_path: Path) -> None:
    with pytest.raises(KnowledgeError, match="at least one transition"):
        Knowledge.build(model.processor, **random_facts(model, 0))
    facts = random_facts(model, 10)
    with pytest.raises(KnowledgeError, match="one length"):
        Knowledge.build(model.processor, **facts | {"episode": torch.zeros(9)})
    with pytest.raises(KnowledgeError, match="worldgpt knowledge"):
        Knowledge.load(tmp_path / "nowhere", model.processor)
    Knowledge.build(model.processor, **facts).save(tmp_path)
    file = tmp_path / "knowledge.safetensors"
    file.write_bytes(file.read_bytes()[:-7])
    with pytest.raises(CheckpointError, match="not as it was written"):
        Knowledge.load(tmp_path, model.processor)


# actions and faiss ------------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("kind", "actions", "alike"),
    [
        ("discrete", [0, 0, 2], [1, 0]),
        ("multidiscrete", [[0, 1], [0, 0], [1, 0]], [0.5, 0]),
        ("text", [[3, 4, 0], [4, 3, 0], [0, 0, 0]], [1, 0]),
        ("box", [[-1.0, 0.0], [-1.0, 0.0], [0.0, 1.0]], [1, 1 / 3**0.5]),
    ],
)
def test_actions_that_do_alike_things_are_alike(
    kind: str, actions: list[Any], alike: list[float]
) -> None:
    vectors = action_vectors(ACTIONS[kind], torch.tensor(actions))
    cosine = torch.nn.functional.cosine_similarity(vectors[:1], vectors[1:])
    assert cosine.tolist() == pytest.approx(alike, abs=1e-6)


def test_faiss_finds_the_same(model: WorldGPT) -> None:
    pytest.importorskip("faiss")
    facts = small_world(model, 400)
    facts.pop("kinds")
    one, other = (Knowledge.build(model.processor, **facts, faiss=faiss) for faiss in (False, True))
    asked = facts["state"], facts["action"], 6, None, facts["episode"]
    expected, found = one.search(*asked), other.search(*asked)
    assert torch.allclose(expected.distance, found.distance, atol=1e-5)
    prints = facts_of(one)
    same = prints[expected.index] == prints[found.index]
    assert same.float().mean() > 0.99  # the order of equal ones is free


def facts_of(knowledge: Knowledge) -> Tensor:
    return fingerprints(knowledge.store, knowledge.rows)
