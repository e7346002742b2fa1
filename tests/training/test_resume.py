"""Training that is interrupted ends in the same network, keeps the best one, and refuses what isn't its own."""

import json
from dataclasses import asdict, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

torch = pytest.importorskip("torch", reason="needs the extra 'train'")

from tests.training.made import made_faces
from worker.errors import InvalidSettings
from worker.training.checkpoint import STATE, STORY, Checkpoints, Interrupted
from worker.training.data import VARIANTS
from worker.training.development import Development, Judgement
from worker.training.device import Remote, choose_device
from worker.training.model import Recognizer
from worker.training.train import Recipe, train

TINY = Recipe(hidden=8, steps=9, batch=8, length=10, bank=20, hardest_negatives=10, long_every=4, look_every=2)
DATA = {"digest": "d" * 64, "embedder_sha256": "e" * 64}
FACES = made_faces(30, 3, frames=8)
TRAIN, OTHERS = np.arange(20), np.arange(20, 30)


def checkpoints(folder: Path, recipe: Recipe = TINY, **changes: Any) -> Checkpoints:
    """Every four steps, so that a run that stops after the sixth has passed one."""
    return Checkpoints(folder, **{"recipe": asdict(recipe), "data": DATA, "every": 4, **changes})


def stop_after(step: int) -> Any:
    """Asks for a stop at so many-th asking."""
    asked = iter(range(1, 1000))
    return lambda: next(asked) >= step


def same(a: Recognizer, b: Recognizer) -> bool:
    """To the bit."""
    return all(torch.equal(x, y) for x, y in zip(a.state_dict().values(), b.state_dict().values(), strict=True))


@pytest.mark.slow
def test_a_resumed_run_ends_in_the_same_network_to_the_bit(tmp_path: Path) -> None:
    """Stopped after step 6, between a checkpoint and the next, and after step 7 again: weights and curve are equal."""
    judge = Development(FACES, OTHERS).judge
    losses: dict[str, list[float]] = {"whole": [], "parts": []}

    def run(folder: str, **options: Any) -> Recognizer:
        heard = losses["whole" if folder == "whole" else "parts"]
        kept = checkpoints(tmp_path / folder, stop=options.pop("stop", lambda: False))
        return train(FACES, TRAIN, TINY, lambda _, loss: heard.append(loss), judge=judge, checkpoints=kept, **options)

    whole = run("whole")
    with pytest.raises(Interrupted, match="step 6.*--resume"):
        run("parts", stop=stop_after(6))
    assert json.loads((tmp_path / "parts" / STORY).read_text())["step"] == 6
    assert checkpoints(tmp_path / "parts").unfinished() == 6
    torch.manual_seed(99)  # whatever else draws in between
    with pytest.raises(Interrupted, match="step 7"):
        run("parts", resume=True, stop=stop_after(1))
    resumed = run("parts", resume=True)
    assert same(whole, resumed)
    assert losses["parts"] == losses["whole"]
    stories = [json.loads((tmp_path / name / STORY).read_text()) for name in ("whole", "parts")]
    assert stories[0] == stories[1]
    assert stories[0]["finished"]


@pytest.mark.slow
def test_a_run_is_unfinished_until_it_gave_a_recognizer(tmp_path: Path) -> None:
    """Killed after its last step and before the export it still is; an earlier run's recognizer isn't its own."""
    kept = checkpoints(tmp_path)
    assert kept.unfinished() == 0
    train(FACES, TRAIN, TINY, checkpoints=kept)
    assert kept.unfinished() == TINY.steps
    manifest = {"recipe": asdict(TINY), "data": DATA}
    for other, step in (({"recipe": {}}, TINY.steps), ({"data": {}}, TINY.steps), ({}, 0)):
        (tmp_path / "recognizer.json").write_text(json.dumps(manifest | other))
        assert kept.unfinished() == step


@pytest.mark.slow
def test_checkpoints_and_looks_change_nothing(tmp_path: Path) -> None:
    """Where no look was better than the last, the network is the one of a run that nobody watched."""
    scores = iter([0.9, 0.8, 0.7, 0.6, 0.5])
    watched = train(FACES, TRAIN, TINY, judge=lambda _: Judgement(next(scores), 0.0), checkpoints=checkpoints(tmp_path))
    assert same(watched, train(FACES, TRAIN, TINY))
    assert not same(watched, train(FACES, TRAIN, replace(TINY, seed=1)))


def test_the_best_look_is_kept_and_a_stall_ends_it(tmp_path: Path) -> None:
    """Looks after steps 2, 4, 6, 8: the second is the best, and two worse ones end the training."""
    scores = iter([0.5, 0.1, 0.3, 0.2])
    seen: list[Recognizer] = []

    def judge(model: Recognizer) -> Judgement:
        seen.append(model)
        return Judgement(next(scores), 0.0)

    best = train(
        FACES,
        TRAIN,
        replace(TINY, steps=100, patience=2, alarm_steps=0),
        judge=judge,
        checkpoints=checkpoints(tmp_path),
    )
    best.level.copy_(seen[1].level)  # set once, at the end
    assert same(best, seen[1])
    assert not same(best, seen[3])
    story = json.loads((tmp_path / STORY).read_text())
    assert (story["step"], story["best_step"], len(story["development"])) == (8, 4, 4)


@pytest.mark.slow
def test_a_checkpoint_explains_itself(tmp_path: Path) -> None:
    """Recipe with its seed, network, data, versions, step and development curve, as JSON."""
    train(FACES, TRAIN, TINY, judge=Development(FACES, OTHERS).judge, checkpoints=checkpoints(tmp_path))
    story = json.loads((tmp_path / STORY).read_text())
    assert story["recipe"] == asdict(TINY)
    assert (story["model"]["hidden"], story["data"], story["step"]) == (8, DATA, 9)
    assert set(story["versions"]) == {"faceline", "torch", "numpy", "python"}
    assert [look["step"] for look in story["development"]] == [2, 4, 6, 8, 9]
    assert {"loss", "score", "miss", "miss_jumped"} < set(story["development"][0])


@pytest.mark.parametrize(
    ("changes", "recipe", "told"),
    [
        ({"data": {**DATA, "embedder_sha256": "f" * 64}}, TINY, "of embedder eeeeeeeeeeee.*ffffffffffff"),
        ({"data": {**DATA, "digest": "f" * 64}}, TINY, "other people or images"),
        ({}, replace(TINY, learning_rate=1e-3), r"learning_rate 0\.008 there, 0\.001 here"),
    ],
    ids=["embedder", "data", "recipe"],
)
def test_a_checkpoint_of_something_else_is_refused(tmp_path: Path, changes: dict, recipe: Recipe, told: str) -> None:
    """With what differs; the checkpoint stays as it is."""
    with pytest.raises(Interrupted):
        train(FACES, TRAIN, TINY, checkpoints=checkpoints(tmp_path, stop=stop_after(1)))
    before = (tmp_path / STATE).read_bytes()
    with pytest.raises(InvalidSettings, match=told):
        train(FACES, TRAIN, recipe, checkpoints=checkpoints(tmp_path, recipe, **changes), resume=True)
    assert (tmp_path / STATE).read_bytes() == before


def test_a_missing_or_damaged_checkpoint_is_told(tmp_path: Path) -> None:
    """Nothing to resume, half a file, and a pickle that would run code."""
    with pytest.raises(InvalidSettings, match=r"no checkpoint\.pt in"):
        train(FACES, TRAIN, TINY, checkpoints=checkpoints(tmp_path), resume=True)
    with pytest.raises(Interrupted):
        train(FACES, TRAIN, TINY, checkpoints=checkpoints(tmp_path, stop=stop_after(1)))
    whole = (tmp_path / STATE).read_bytes()
    ran = tmp_path / "ran"
    hostile = f"cos\nsystem\n(S'touch {ran}'\ntR.".encode()
    for damaged in (whole[: len(whole) // 2], b"", hostile):
        (tmp_path / STATE).write_bytes(damaged)
        with pytest.raises(InvalidSettings, match="no checkpoint, or damaged"):
            train(FACES, TRAIN, TINY, checkpoints=checkpoints(tmp_path), resume=True)
    assert not ran.exists()


def test_a_network_behind_a_device_learns_the_same() -> None:
    """The same loss and gradients through ``Remote``, here on the CPU: what crosses is neither cut nor changed."""
    model = Recognizer(hidden=8).eval()
    frames = torch.from_numpy(FACES.embeddings[:24].reshape(4, 6, 128))
    found = []
    for network in (model, Remote(model, torch.device("cpu"))):
        model.zero_grad()
        outputs, gates = network(frames, None)
        templates, heads = network.enrol(frames[:, 0])
        loss = (outputs[-1].template * templates).sum() + heads.sum() + gates.sum() + network.llr_scale
        loss.backward()
        found.append([loss, *(p.grad.clone() for p in model.parameters() if p.grad is not None)])
    assert len(found[0]) > 15
    assert all(torch.equal(a, b) for a, b in zip(*found, strict=True))


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU")
def test_a_gpu_that_is_not_there_is_told() -> None:
    """``auto`` takes the CPU; ``cuda`` says what to do."""
    assert choose_device("auto").type == "cpu"
    with pytest.raises(InvalidSettings, match="--device auto or cpu"):
        choose_device("cuda")


def test_development_looks_at_fixed_tracks() -> None:
    """Two looks at one network say the same, and draw no random number; one that has diverged misses everybody."""
    development = Development(FACES, OTHERS)
    torch.manual_seed(0)
    model = Recognizer(hidden=8).eval()
    model.log_norm_mean.fill_(float(np.log(np.linalg.norm(FACES.embeddings, axis=1)).mean()))
    before = torch.get_rng_state()
    first = development.judge(model)
    assert torch.equal(before, torch.get_rng_state())
    assert first == development.judge(model) == Development(FACES, OTHERS).judge(model)
    assert first != Development(FACES, OTHERS, seed=1).judge(model)
    with torch.no_grad():
        model.exponent.fill_(float("nan"))
    assert development.judge(model) == Judgement(1.0, 1.0)


def test_a_rule_that_learns_nothing_stands_beside_it() -> None:
    """The mean by the norm's eighth power on the very tracks, counted frame by frame."""
    noise = np.random.default_rng(0).normal(0, 2, FACES.embeddings.shape)
    noisy = replace(FACES, embeddings=(FACES.embeddings + noise).astype(np.float32))
    people = Development(noisy, OTHERS)
    own, strangers = [], []
    for gallery, tracks, _, _ in people._rounds:
        for number, track in enumerate(tracks):
            frames = noisy.embeddings[track].astype(float)
            mean = sum(frame / np.linalg.norm(frame) * np.linalg.norm(frame) ** 8 for frame in frames)
            for other, image in enumerate(gallery):
                photo = noisy.embeddings[image * VARIANTS].astype(float)
                cosine = mean @ photo / np.linalg.norm(mean) / np.linalg.norm(photo)
                (own if other == number else strangers).append(cosine)
    assert people.num_comparisons == len(strangers)
    missed = np.mean(np.array(own) <= np.sort(strangers)[-1 - len(strangers) // 1000])
    assert 0 < missed < 1
    assert people.judge_pooling().miss == pytest.approx(missed)
    assert people.judge_pooling().miss_jumped > missed


def test_development_misses_counted_by_hand() -> None:
    """Where tracks score 1 with their own photo and strangers 0, none is missed; where all score alike, all are."""

    class Constant:
        """Answers with one template for every track, and for every photo."""

        def __call__(self, frames: Any) -> Any:
            ones = torch.ones(len(frames), 1)
            output = type("Output", (), {"template": ones, "summary": torch.ones(len(frames), 5)})
            return [output], None

        def enrol(self, photos: Any) -> Any:
            return torch.ones(len(photos), 1), torch.ones(len(photos), 2)

    class Named:
        """Knows people by the direction of their mean, here the first numbers of made embeddings."""

        def __call__(self, frames: Any) -> Any:
            return [type("Output", (), {"template": frames[:, 0, :10], "summary": torch.ones(len(frames), 5)})], None

        def enrol(self, photos: Any) -> Any:
            return photos[:, :10], torch.ones(len(photos), 2)

    assert Development(FACES, OTHERS).judge(Constant()) == Judgement(1.0, 1.0)
    plain = np.zeros((30, 128), np.float32)
    plain[np.arange(30), np.arange(30) % 10] = 1
    clear = replace(FACES, embeddings=np.concatenate([np.repeat(plain, 45, 0), np.repeat(plain, 8, 0)]))
    assert Development(clear, OTHERS).judge(Named()) == Judgement(0.0, 0.0)
