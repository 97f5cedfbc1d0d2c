"""The face extractor on drawn frames."""

from pathlib import Path

import numpy as np
import pytest

from made_faces import Drawn, Frames, picture
from mitr.media.face.extractor import FACE, draw, landmarks_of
from mitr.media.features import Extracted
from mitr.media.files.opening import open_clip
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
