"""The face extractor on drawn frames, and blendshapes where a `face_landmarker.task` is at hand."""

import os
import zipfile
from pathlib import Path

import numpy as np
import pytest

from made_faces import Drawn, Frames, picture
from mitr.errors import MitrError
from mitr.files import sha256
from mitr.media.face import blendshapes
from mitr.media.face.blendshapes import TaskModels, check, extracted
from mitr.media.face.extractor import FACE, draw, landmarks_of, notes_of
from mitr.media.face.following import FaceFollower
from mitr.media.features import Extracted
from mitr.media.files.opening import open_clip
from mitr.media.options import FeatureConfig
from mitr.media.registry import current
from mitr.media.video.pictures import frames_of

NAMES = [column.name for column in FACE.columns]


def column(extracted: Extracted, name: str) -> np.ndarray:
    return extracted.values[:, NAMES.index(name)]


@pytest.mark.usefixtures("assets")
class TestFace:
    def test_a_speaking_face(self) -> None:
        mouth = [0, 0.5, 1, 0.5, 0]
        frames = Frames([picture(Drawn(mouth=opening)) for opening in mouth])
        got = FACE.extract(frames)
        assert got.values.shape == (5, len(FACE.columns))
        assert got.values.dtype == np.float32
        assert np.isfinite(got.values).all()
        assert not got.notes
        opening, speed = column(got, "mouth_open"), column(got, "mouth_open_speed")
        assert opening[2] > opening[1] > opening[0] + 0.05
        np.testing.assert_allclose(speed, np.concatenate([[0], np.diff(opening) * 10]), atol=1e-5)

    def test_steps_without_picture_or_face_are_nan(self) -> None:
        images = [picture(), picture(Drawn()), None, picture(), picture(Drawn())]
        got = FACE.extract(Frames(images))
        assert np.isnan(got.values).all(axis=1).tolist() == [True, False, True, True, False]
        assert not np.isnan(got.values).any(axis=1)[[1, 4]].any()

    def test_no_face_at_all_is_no_error(self) -> None:
        got = FACE.extract(Frames([picture(), None, np.zeros((1, 1, 3), np.uint8)]))
        assert got.values.shape == (3, len(FACE.columns))
        assert np.isnan(got.values).all()
        assert FACE.extract(Frames([])).values.shape == (0, len(FACE.columns))

    def test_the_larger_of_two_is_followed_and_it_is_said(self) -> None:
        speaking, silent = Drawn(x=190, y=150, size=190), Drawn(x=480, y=150, size=140)
        images = [picture(speaking._replace(mouth=opening), silent) for opening in (0, 0.6, 1)]
        got = FACE.extract(Frames([*images, picture(speaking)]))
        assert column(got, "mouth_open")[2] > 0.25
        assert got.notes == ("up to 2 faces at the same time, in 75% of the frames; the largest was followed",)

    def test_a_lost_face_is_said(self) -> None:
        here, there = picture(Drawn(x=150, size=150)), picture(Drawn(x=500, size=150))
        got = FACE.extract(Frames([here, there, there, here, here], fps=2))
        assert np.isnan(got.values).all(axis=1).tolist() == [False, True, False, True, False]
        assert got.notes == ("the followed face was lost; following began 3 times, each time with the largest",)
        assert not got.values[:, 23:][[0, 2, 4]].any()

    def test_the_same_frames_give_the_same_bytes(self) -> None:
        frames = Frames([picture(Drawn(mouth=0.3, gaze_side=0.4, roll=roll)) for roll in (0, 4, 9)])
        assert FACE.extract(frames).values.tobytes() == FACE.extract(frames).values.tobytes()

    def test_landmarks_are_drawn_where_they_are(self) -> None:
        image = picture(Drawn())
        faces = landmarks_of(Frames([image, None]))
        assert faces[1] is None
        drawn = draw(image, faces[0], scale=2)
        assert drawn.shape == (720, 1280, 3)
        plain = np.asarray(
            draw(image, faces[0]._replace(landmarks=np.full((468, 3), -9.0), irises=np.full((2, 5, 2), -9.0)))
        )
        rows, columns = np.nonzero((draw(image, faces[0]) != plain).any(axis=2))
        left, top, right, bottom = faces[0].box
        assert (columns.min(), rows.min(), columns.max(), rows.max()) == pytest.approx(
            (left, top, right, bottom), abs=2.5
        )


@pytest.mark.usefixtures("assets")
@pytest.mark.parametrize(
    ("clip", "roll"),
    [
        ("Sqr0AcuoNnk/12", (-20, 20)),
        ("video_0001/0001", (-15, 15)),
        ("video_0001/0008", (-40, 0)),
        ("video_0007/0006", (-10, 40)),
    ],
)
def test_real_faces_are_found_throughout(shared: Path, clip: str, roll: tuple[float, float]) -> None:
    got = FACE.extract(frames_of(open_clip(shared / "data" / "clips" / "Raw" / f"{clip}.mp4"), fps=10.0))
    assert np.isfinite(got.values).all()
    assert not got.notes
    assert roll[0] < column(got, "head_roll").min() < column(got, "head_roll").max() < roll[1]
    # Landmarks on a wrong place show as a mouth that leaps: none widens by a quarter of a face in a tenth of a second.
    assert np.abs(column(got, "mouth_width_speed")).max() < 2.5
    assert 0.5 < column(got, "mouth_width").min() < column(got, "mouth_width").max() < 1.4


@pytest.mark.parametrize(
    ("several", "pictures", "tracks", "notes"),
    [
        (0, 100, 1, ()),
        (0, 0, 0, ()),
        (34, 100, 1, ("up to 3 faces at the same time, in 34% of the frames; the largest was followed",)),
        (1, 1000, 1, ("up to 3 faces at the same time, in under 1% of the frames; the largest was followed",)),
    ],
)
def test_notes(several: int, pictures: int, tracks: int, notes: tuple[str, ...]) -> None:
    follower = FaceFollower()
    follower.several, follower.pictures, follower.tracks, follower.most = several, pictures, tracks, 3
    assert notes_of(follower) == notes


def bundle(folder: Path, **members: bytes) -> Path:
    path = folder / "face_landmarker.task"
    with zipfile.ZipFile(path, "w") as archive:
        for name, data in members.items():
            archive.writestr(f"{name}.tflite", data)
    return path


def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match=r"nothing\.task does not exist"):
        check(tmp_path / "nothing.task")
    (tmp_path / "text.task").write_text("a model")
    with pytest.raises(MitrError, match=r"text\.task is not a readable face_landmarker\.task"):
        check(tmp_path / "text.task")
    with pytest.raises(MitrError, match=r"is not a readable"):
        check(tmp_path)
    without = bundle(tmp_path, face_detector=b"1", face_landmarks_detector=b"2")
    with pytest.raises(MitrError, match=r"has no face_blendshapes\.tflite inside"):
        check(without)


def test_models_that_are_none_are_refused(tmp_path: Path) -> None:
    path = bundle(tmp_path, face_detector=b"1", face_landmarks_detector=b"2", face_blendshapes=b"3")
    with pytest.raises(MitrError, match="not those of a Face Landmarker"):
        extracted(Frames([None]), TaskModels(path))


def test_an_oversized_member_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(blendshapes, "_LARGEST", 10)
    with pytest.raises(MitrError, match=r"face_detector\.tflite inside is larger"):
        TaskModels(bundle(tmp_path, face_detector=b"1" * 11, face_landmarks_detector=b"2", face_blendshapes=b"3"))


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
