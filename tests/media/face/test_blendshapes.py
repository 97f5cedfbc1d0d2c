"""Blendshapes, where a `face_landmarker.task` is at hand."""

import os
from pathlib import Path

import numpy as np
import pytest

from made_faces import Drawn, Frames, bundle, picture
from mitr.errors import MitrError
from mitr.files import sha256
from mitr.media.face import blendshapes
from mitr.media.face.blendshapes import TaskModels, extracted
from mitr.media.options import FeatureConfig
from mitr.media.registry import current


def test_models_that_are_none_are_refused(tmp_path: Path) -> None:
    path = bundle(tmp_path, face_detector=b"1", face_landmarks_detector=b"2", face_blendshapes=b"3")
    with pytest.raises(MitrError, match="not those of a Face Landmarker"):
        extracted(Frames([None]), TaskModels(path))


def test_the_table_of_landmarks_is_sorted_and_complete() -> None:
    assert len(blendshapes.READ) == len(set(blendshapes.READ)) == 146
    assert list(blendshapes.READ) == sorted(blendshapes.READ)
    assert len(blendshapes.NAMES) == len(set(blendshapes.NAMES)) == 52
    left = {name.removesuffix("Left") for name in blendshapes.NAMES if name.endswith("Left")}
    assert left == {name.removesuffix("Right") for name in blendshapes.NAMES if name.endswith("Right")}


@pytest.fixture(scope="module")
def task() -> Path:
    """A user's bundle; mitr does not fetch it, so this is tested only where MITR_FACE_TASK names one."""
    path = os.environ.get("MITR_FACE_TASK")
    if not path:
        pytest.skip("set MITR_FACE_TASK to a face_landmarker.task to test blendshapes")
    return Path(path)


def test_blendshapes_follow_what_is_drawn(task: Path) -> None:
    models = TaskModels(task)
    images = [Drawn(), Drawn(mouth=1), Drawn(smile=1), Drawn(brows=1), Drawn(gaze_side=1), Drawn(gaze_side=-1)]
    got = extracted(Frames([*map(picture, images), picture(), None]), models)
    values = {name: got.values[:, index] for index, name in enumerate(blendshapes.NAMES)}
    assert got.values.shape == (8, 52)
    assert np.isnan(got.values[6:]).all()
    assert ((got.values[:6] >= 0) & (got.values[:6] <= 1)).all()
    assert values["jawOpen"][1] > values["jawOpen"][0] + 0.2
    assert values["mouthSmileLeft"][2] > values["mouthSmileLeft"][0] + 0.2
    assert values["browInnerUp"][3] > values["browInnerUp"][0]
    assert values["eyeLookOutLeft"][4] > values["eyeLookOutLeft"][5] + 0.2
    assert values["eyeLookOutRight"][5] > values["eyeLookOutRight"][4] + 0.2


def test_scores_are_asked_of_the_146_points_in_order() -> None:
    class Scores:
        def run(self, points: np.ndarray) -> list[np.ndarray]:
            assert points.shape == (146, 2)
            return [np.concatenate([points[:26, 0], points[-26:, 0]])]

    models = TaskModels.__new__(TaskModels)
    models._scores = Scores()  # type: ignore[assignment]
    numbers = np.arange(478, dtype=np.float32)
    landmarks = np.stack([numbers[:468], -numbers[:468], numbers[:468]], axis=1)
    irises = np.stack([numbers[468:], -numbers[468:]], axis=1).reshape(2, 5, 2)
    got = models.scores(landmarks, irises)
    assert got.tolist() == [*blendshapes.READ[:26], *blendshapes.READ[-26:]]


def test_a_bundle_of_the_users_is_kept_and_named_in_the_recipe(
    task: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("MITR_ASSETS", str(tmp_path / "assets"))
    with pytest.raises(MitrError, match="give yours once with `mitr assets add"):
        FeatureConfig(vision="blendshapes").recipes()
    recipe = FeatureConfig(audio="none", vision=str(task)).recipes()["vision"]
    assert (recipe.extractor, recipe.model) == ("blendshapes", sha256(task))
    assert FeatureConfig(audio="none", vision="blendshapes").recipes()["vision"] == recipe
    assert current(recipe, "it").name == "blendshapes"
    (tmp_path / "assets" / "face_landmarker.task").write_bytes(b"another")
    with pytest.raises(MitrError, match="the file at hand is another"):
        current(recipe, "it")


def test_what_is_no_bundle_is_not_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("MITR_ASSETS", str(tmp_path / "assets"))
    (tmp_path / "mine.task").write_text("no models")
    with pytest.raises(MitrError, match=r"mine\.task is not a readable face_landmarker"):
        FeatureConfig(vision=str(tmp_path / "mine.task")).recipes()
    assert not (tmp_path / "assets").exists()
