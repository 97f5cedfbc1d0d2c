"""The columns of a face: laws under moving, turning and scaling; exact speeds; signs on drawn faces."""

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from made_faces import Drawn, picture
from mitr.media.face.following import Face, FaceFollower
from mitr.media.face.geometry import COLUMNS, FaceMeasures, Pose, columns_of, measures_of, pose

NAMES = [column.name for column in COLUMNS]
MEASURES = NAMES[:23]
POSE, GAZE = ["head_yaw", "head_pitch", "head_roll"], ["gaze_side", "gaze_up"]


def cloud() -> np.ndarray:
    """(468, 3) float64: any points will do for the laws; a rough head, so that sizes are those of one."""
    random = np.random.default_rng(4)
    points = random.normal(size=(468, 3)) * 12
    for right, left in ((33, 263), (133, 362), (127, 356), (234, 454), (21, 251), (54, 284), (103, 332), (67, 297)):
        points[right, 0] -= 40
        points[left, 0] += 40
    points[[10, 151, 9, 109, 338, 21, 251, 54, 284], 1] -= 50
    points[[2, 94, 98, 327, 132, 361, 58, 288], 1] += 50
    return points


CLOUD = cloud()
IRISES = np.random.default_rng(5).normal(size=(2, 5, 2)) * 10


def turned(yaw: float, pitch: float, roll: float) -> np.ndarray:
    """A rotation in the picture's frame (right, down, into it) by angles in degrees: pitch first, roll last."""
    y, p, r = np.radians([-yaw, -pitch, roll])
    about_x = np.array([[1, 0, 0], [0, np.cos(p), -np.sin(p)], [0, np.sin(p), np.cos(p)]])
    about_y = np.array([[np.cos(y), 0, np.sin(y)], [0, 1, 0], [-np.sin(y), 0, np.cos(y)]])
    about_z = np.array([[np.cos(r), -np.sin(r), 0], [np.sin(r), np.cos(r), 0], [0, 0, 1]])
    return about_z @ about_y @ about_x


def step(points: np.ndarray, irises: np.ndarray = IRISES, track: int = 1) -> FaceMeasures:
    return measures_of(Face(points, irises, 1.0, np.zeros(4), track))


def measured(points: np.ndarray, irises: np.ndarray = IRISES) -> dict[str, float]:
    return dict(zip(MEASURES, step(points, irises).measures.tolist(), strict=True))


def difference(one: float, other: float) -> float:
    """Of two angles in degrees."""
    return abs((one - other + 180) % 360 - 180)


def test_columns_have_unique_names_units_and_texts() -> None:
    assert len(set(NAMES)) == len(COLUMNS) == 23 + 23 + 3
    assert all(column.unit and column.about for column in COLUMNS)
    assert NAMES[23:46] == [f"{name}_speed" for name in MEASURES]


@given(
    scale=st.floats(0.2, 5),
    roll=st.floats(-180, 180),
    x=st.floats(-2000, 2000),
    y=st.floats(-2000, 2000),
)
@settings(max_examples=60, deadline=None)
def test_moving_scaling_and_turning_the_picture_changes_only_roll(
    scale: float, roll: float, x: float, y: float
) -> None:
    turn = turned(0, 0, roll)
    points = scale * CLOUD @ turn.T + (x, y, 0)
    irises = scale * IRISES @ turn[:2, :2].T + (x, y)
    before, after = measured(CLOUD), measured(points, irises)
    assert difference(after.pop("head_roll"), before.pop("head_roll") + roll) < 1e-6
    assert after == pytest.approx(before, abs=1e-7)


@given(yaw=st.floats(-80, 80), pitch=st.floats(-80, 80), roll=st.floats(-170, 170), depth=st.floats(-500, 500))
@settings(max_examples=60, deadline=None)
def test_turning_the_head_changes_only_pose_and_gaze(yaw: float, pitch: float, roll: float, depth: float) -> None:
    turn = turned(yaw, pitch, roll)
    points = CLOUD @ turn.T + (0, 0, depth)
    np.testing.assert_allclose(pose(points).axes, turn @ pose(CLOUD).axes, atol=1e-9)
    assert pose(points).size == pytest.approx(pose(CLOUD).size)
    before, after = measured(CLOUD), measured(points)
    for name in POSE + GAZE:
        before.pop(name), after.pop(name)
    assert after == pytest.approx(before, abs=1e-7)


@given(yaw=st.floats(-85, 85), pitch=st.floats(-85, 85), roll=st.floats(-175, 175))
@settings(max_examples=40, deadline=None)
def test_angles_are_those_of_the_rotation(yaw: float, pitch: float, roll: float) -> None:
    assert Pose(turned(yaw, pitch, roll), np.zeros(3), 1.0).angles() == pytest.approx((yaw, pitch, roll), abs=1e-6)


def test_each_angle_is_in_its_column() -> None:
    got = measured(CLOUD @ pose(CLOUD).axes @ turned(10, -20, 30).T)
    assert [got[name] for name in POSE] == pytest.approx([10, -20, 30])


def test_signs_of_the_angles() -> None:
    nose, crown = np.array([0.0, 0.0, -1.0]), np.array([0.0, -1.0, 0.0])
    assert (turned(30, 0, 0) @ nose)[0] > 0.4  # the subject's left is to the right in the picture
    assert (turned(0, 30, 0) @ nose)[1] < -0.4  # up
    assert (turned(0, 0, 30) @ crown)[0] > 0.4


@pytest.mark.parametrize(
    ("name", "moved"),
    [
        ("mouth_open", {14: (0, 3, 0), 87: (0, 3, 0), 317: (0, 3, 0)}),
        ("mouth_left_corner", {291: (0, -3, 0)}),
        ("mouth_right_corner", {61: (0, -3, 0)}),
        ("brow_left_inner", {285: (0, -3, 0), 336: (0, -3, 0)}),
        ("brow_right_inner", {55: (0, -3, 0), 107: (0, -3, 0)}),
        ("brow_left_outer", dict.fromkeys((276, 300, 283, 293), (0, -3, 0))),
        ("brow_right_outer", dict.fromkeys((46, 70, 53, 63), (0, -3, 0))),
        ("mouth_shift", dict.fromkeys((0, 13, 14, 17), (3, 0, 0))),
        ("lips_forward", dict.fromkeys((0, 13, 14, 17), (0, 0, -3))),
        ("cheek_raise", dict.fromkeys((117, 118, 50, 205, 346, 347, 280, 425), (0, -3, 0))),
        ("upper_lip_raise", {0: (0, -3, 0)}),
        ("jaw_drop", {152: (0, 3, 0)}),
    ],
)
def test_moved_landmarks_move_their_column_by_as_much(name: str, moved: dict[int, tuple]) -> None:
    upright = CLOUD @ pose(CLOUD).axes
    if name == "mouth_open":  # the lips one above the other, so that their distance grows by just that
        upright[[14, 87, 317]] = upright[[13, 82, 312]] + (0, 5, 0)
    points = upright.copy()
    for number, (x, y, z) in moved.items():
        points[number] += (x, y, z)
    assert pose(points).size == pytest.approx(pose(upright).size)  # none of them is firm
    assert measured(points)[name] - measured(upright)[name] == pytest.approx(3 / pose(upright).size)


def test_eyes_and_gaze_of_a_known_eye() -> None:
    points = CLOUD @ pose(CLOUD).axes
    points[[33, 133, 362, 263]] = [(-40, 0, 0), (-20, 0, 0), (20, 0, 0), (40, 0, 0)]
    for upper, lower, x in ((160, 144, -34), (159, 145, -30), (158, 153, -26), (385, 380, 26), (386, 374, 30)):
        points[upper], points[lower] = (x, -3, 0), (x, 1, 0)
    points[387], points[373] = (34, -3, 0), (34, 3, 0)
    irises = np.zeros((2, 5, 2))
    irises[0], irises[1] = (-28, -1), (34, -1)
    got = measured(points, irises)
    assert got["eye_right_open"] == pytest.approx(4 / 20)
    assert got["eye_left_open"] == pytest.approx((4 + 4 + 6) / 3 / 20)
    assert got["gaze_side"] == pytest.approx((0.2 + 0.4) / 2)
    assert got["gaze_up"] == pytest.approx(0.1)


def test_speeds_are_changes_times_rate() -> None:
    first = step(CLOUD)
    measures = first.measures.copy()
    measures[MEASURES.index("mouth_open")] += 0.02
    measures[MEASURES.index("head_roll")] = 60
    second = FaceMeasures(measures, first.centre + first.size * np.array([0.1, 0.3]), first.size, 1)
    before = FaceMeasures(first.measures.copy(), first.centre, first.size, 1)
    before.measures[MEASURES.index("head_roll")] = 58
    values = columns_of([before, second], fps=25)
    assert values.dtype == np.float32
    assert not values[0, 23:].any()
    row = dict(zip(NAMES, values[1].tolist(), strict=True))
    assert row["mouth_open_speed"] == pytest.approx(0.5, rel=1e-5)
    assert row["head_roll_speed"] == pytest.approx(50)
    assert row["mouth_width_speed"] == 0
    # Tilted by 60 degrees, the subject's left is half right and mostly down, and up is mostly right and half up.
    side, up = 0.1 * 0.5 + 0.3 * 0.75**0.5, 0.1 * 0.75**0.5 - 0.3 * 0.5
    assert (row["head_move_side"], row["head_move_up"]) == pytest.approx((25 * side, 25 * up), rel=1e-5)
    nearer = columns_of([before, second._replace(size=first.size * 1.1)], fps=10)
    assert nearer[1, NAMES.index("head_move_near")] == pytest.approx(10 * np.log(1.1), rel=1e-5)


def test_roll_goes_round() -> None:
    one, other = step(CLOUD), step(CLOUD)
    one.measures[2], other.measures[2] = 179, -179
    speeds = columns_of([one, other], fps=10)[:, NAMES.index("head_roll_speed")]
    assert speeds.tolist() == [0, 20]


def test_without_a_face_rows_are_nan_and_speeds_begin_at_zero() -> None:
    still, moved = step(CLOUD), step(CLOUD * 1.1)
    values = columns_of([None, still, moved, None, still, moved._replace(track=2)], fps=10)
    assert np.isnan(values).all(axis=1).tolist() == [True, False, False, True, False, False]
    assert values[2, NAMES.index("head_move_near")] > 0
    for start in (1, 4, 5):  # after nothing, after a gap, and where somebody else is followed
        assert not values[start, 23:].any()
    assert columns_of([], fps=10).shape == (0, len(COLUMNS))


def test_points_in_one_place_do_no_harm() -> None:
    assert np.isfinite(step(np.ones((468, 3)), np.ones((2, 5, 2))).measures).all()


def drawn(**how: float) -> dict[str, float]:
    face = FaceFollower().look(picture(Drawn(**how)))
    assert face is not None
    return dict(zip(MEASURES, measures_of(face).measures.tolist(), strict=True))


@pytest.mark.usefixtures("assets")
class TestDrawn:
    """What is drawn moves the column that is named for it, in its direction."""

    @pytest.mark.parametrize(
        ("column", "what", "values", "least"),
        [
            ("mouth_open", "mouth", (0, 0.35, 0.7, 1), 0.3),
            ("jaw_drop", "mouth", (0, 0.5, 1), 0.15),
            ("mouth_width", "smile", (-1, 0, 1), 0.2),
            ("mouth_left_corner", "smile", (0, 0.5, 1), 0.012),
            ("mouth_right_corner", "smile", (0, 0.5, 1), 0.012),
            ("brow_left_inner", "brows", (-1, 0, 1), 0.1),
            ("brow_right_inner", "brows", (-1, 0, 1), 0.1),
            ("brow_left_outer", "brows", (-1, 0, 1), 0.08),
            ("brow_right_outer", "brows", (-1, 0, 1), 0.08),
            ("eye_left_open", "eyes", (0, 0.5, 1), 0.15),
            ("eye_right_open", "eyes", (0, 0.5, 1), 0.15),
            ("gaze_side", "gaze_side", (-1, -0.5, 0, 0.5, 1), 0.5),
            ("gaze_up", "gaze_up", (-1, 0, 1), 0.2),
        ],
    )
    def test_it_grows(self, column: str, what: str, values: tuple[float, ...], least: float) -> None:
        got = [drawn(**{what: value})[column] for value in values]
        assert got == sorted(got)
        assert got[-1] - got[0] > least

    def test_gaze_has_its_sign(self) -> None:
        assert drawn(gaze_side=1)["gaze_side"] > 0.2
        assert drawn(gaze_side=-1)["gaze_side"] < -0.2
        assert abs(drawn()["gaze_side"]) < 0.05

    @pytest.mark.parametrize("roll", [-35, -15, 0, 15, 35])
    def test_roll_is_the_drawn_one(self, roll: float) -> None:
        assert drawn(roll=roll)["head_roll"] == pytest.approx(roll, abs=2)

    def test_place_size_and_roll_change_nothing_else(self) -> None:
        before = drawn()
        for how in ({"x": 200, "y": 130}, {"size": 140}, {"roll": 20}):
            after = drawn(**how)
            for name in set(MEASURES) - set(POSE):
                assert after[name] == pytest.approx(before[name], abs=0.06), (how, name)
            assert after["head_yaw"] == pytest.approx(before["head_yaw"], abs=4)
            assert after["head_pitch"] == pytest.approx(before["head_pitch"], abs=4)
