"""Following one face: with made-up models, whose faces are where the test puts them, and with drawn faces."""

import numpy as np
import pytest

from made_faces import Drawn, picture
from mitr.media.face.detection import Detection
from mitr.media.face.following import FaceFollower, notes_of
from mitr.media.face.mesh import LEFT_EYE, RIGHT_EYE, FaceMesh
from mitr.media.face.regions import Region

EMPTY = np.zeros((4, 4, 3), np.uint8)
Box = tuple[float, float, float]  # the middle of a face and its width


class MadeModels:
    """Faces at given places; the landmark model sees the one nearest to its region, if it lies within the region."""

    def __init__(self) -> None:
        self.faces: list[Box] = []
        self.unseen = False  # the detector fails, the landmark model does not
        self.off = 0.0  # by how many widths landmarks are wrong where the region comes from landmarks
        self.regions: list[Region] = []

    def detect(self, image: np.ndarray) -> list[Detection]:
        return [] if self.unseen else [detection(*face) for face in self.faces]

    def landmarks(self, image: np.ndarray, region: Region) -> FaceMesh:
        self.regions.append(region)
        inside = [face for face in self.faces if np.hypot(face[0] - region.x, face[1] - region.y) < region.side / 2]
        if not inside:
            return found(region.x, region.y, 10, presence=0.1)
        x, y, width = min(inside, key=lambda face: np.hypot(face[0] - region.x, face[1] - region.y))
        followed = region.side != pytest.approx(1.5 * width)
        return found(x + (self.off * width if followed else 0), y, width)


def detection(x: float, y: float, width: float) -> Detection:
    half = width / 2
    eyes = np.array([[x - 0.2 * width, y], [x + 0.2 * width, y]])
    return Detection(np.array([x - half, y - half, x + half, y + half]), eyes, 0.9)


def found(x: float, y: float, width: float, presence: float = 0.99) -> FaceMesh:
    """Landmarks in a box a little smaller than the detection's, so that the two kinds of region can be told apart."""
    points = np.full((468, 3), (x, y, 0), np.float32)
    points[0, :2], points[1, :2] = (x - 0.45 * width, y - 0.45 * width), (x + 0.45 * width, y + 0.45 * width)
    points[list(RIGHT_EYE), 0] -= 0.2 * width
    points[list(LEFT_EYE), 0] += 0.2 * width
    return FaceMesh(points, np.zeros((2, 5, 2), np.float32), presence)


def place(follower: FaceFollower, image: np.ndarray | None = EMPTY) -> tuple[float, int] | None:
    """Where the followed face is (x), and the track it belongs to."""
    face = follower.look(image)
    return None if face is None else (round(float((face.box[0] + face.box[2]) / 2), 3), face.track)


@pytest.fixture
def models() -> MadeModels:
    return MadeModels()


def test_it_begins_with_the_largest_and_stays_with_it(models: MadeModels) -> None:
    follower = FaceFollower(models, patience=3)
    models.faces = [(100, 100, 40), (300, 100, 60)]
    assert place(follower) == (300, 1)
    models.faces = [(100, 100, 90), (310, 100, 60)]  # the other is larger now
    assert place(follower) == (310, 1)
    assert (follower.pictures, follower.several, follower.most, follower.tracks) == (2, 2, 2, 1)


def test_a_face_that_is_gone_is_waited_for(models: MadeModels) -> None:
    follower = FaceFollower(models, patience=3)
    models.faces = [(300, 100, 60), (100, 100, 40)]
    place(follower)
    models.faces = [(100, 100, 40)]
    assert [place(follower), place(follower)] == [None, None]
    models.faces = [(100, 100, 40), (305, 100, 60)]
    assert place(follower) == (305, 1)


def test_after_its_patience_it_begins_anew_with_the_largest(models: MadeModels) -> None:
    follower = FaceFollower(models, patience=3)
    models.faces = [(300, 100, 60)]
    place(follower)
    models.faces = [(50, 100, 30), (150, 100, 40)]
    assert [place(follower) for _ in range(3)] == [None, None, (150, 2)]
    assert follower.tracks == 2


def test_pictures_that_are_missing_use_up_patience(models: MadeModels) -> None:
    follower = FaceFollower(models, patience=2)
    models.faces = [(300, 100, 60)]
    assert [place(follower), place(follower, None), place(follower, None), place(follower)] == [
        (300, 1),
        None,
        None,
        (300, 2),
    ]
    assert follower.pictures == 2


def test_a_face_that_only_the_detector_misses_is_kept(models: MadeModels) -> None:
    follower = FaceFollower(models, patience=2)
    models.faces = [(300, 100, 60)]
    place(follower)
    models.unseen = True
    models.faces = [(310, 100, 60)]
    assert place(follower) == (310, 1)


def test_landmarks_that_contradict_the_detection_are_taken_again(models: MadeModels) -> None:
    follower = FaceFollower(models, patience=2)
    models.faces = [(300, 100, 60)]
    place(follower)
    models.off = 0.15  # within what is believed
    assert place(follower) == (309, 1)
    models.off = 0.4
    assert place(follower) == (300, 1)
    assert models.regions[-1] == detection(300, 100, 60).region()


def test_a_region_without_a_face_is_none(models: MadeModels) -> None:
    follower = FaceFollower(models, patience=2)
    assert place(follower) is None
    assert (follower.tracks, follower.several, follower.most) == (0, 0, 0)


def test_unsure_detections_are_not_counted(models: MadeModels, monkeypatch: pytest.MonkeyPatch) -> None:
    follower = FaceFollower(models)
    pattern = detection(100, 100, 40)._replace(score=0.55)
    models.faces = [(300, 100, 60)]
    monkeypatch.setattr(models, "detect", lambda image: [detection(300, 100, 60), pattern])
    assert place(follower) == (300, 1)
    assert (follower.several, follower.most) == (0, 1)


@pytest.mark.usefixtures("assets")
def test_a_drawn_face_is_followed_past_a_larger_one_and_through_an_absence() -> None:
    follower = FaceFollower(patience=5)
    mine = [Drawn(x=180 + 6 * step, y=150, size=150) for step in range(6)]
    other = Drawn(x=480, y=170, size=190)
    assert abs(place(follower, picture(mine[0]))[0] - mine[0].x) < 8
    assert abs(place(follower, picture(mine[1], other))[0] - mine[1].x) < 8
    assert place(follower, picture(other)) is None
    assert place(follower, None) is None
    x, track = place(follower, picture(mine[4], other))
    assert abs(x - mine[4].x) < 8
    assert track == 1
    assert (follower.most, follower.several) == (2, 2)
    assert abs(place(FaceFollower(), picture(mine[5], other))[0] - other.x) < 8  # who comes now begins with the larger


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
