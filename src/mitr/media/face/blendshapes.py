"""Blendshape scores: how much of 52 basic expressions a face shows, by a `face_landmarker.task` of the user's.

That file is a bundle of MediaPipe's Face Landmarker: a detector, a mesh of 478 landmarks of which ten lie on the
irises, and a model from 146 of the landmarks to scores. mitr neither contains nor fetches it.
"""

from pathlib import Path
from typing import Any

import numpy as np

from mitr.errors import MitrError
from mitr.media.assets import TASK, user_task
from mitr.media.face.bundle import DETECTOR, MESH, SCORES, bundled_models
from mitr.media.face.detection import Detection, Detector
from mitr.media.face.following import follower_for, notes_of
from mitr.media.face.litert import Model, sigmoid
from mitr.media.face.mesh import FaceMesh, settled
from mitr.media.face.regions import Region, cropped
from mitr.media.features import Column, Extracted, Extractor, importable

# The landmarks that the model of scores reads, in its order, 468 to 477 being those of the irises: a fact of its
# interface, named in MediaPipe's mediapipe/tasks/cc/vision/face_landmarker/face_blendshapes_graph.cc.
READ = (
    *(0, 1, 4, 5, 6, 7, 8, 10, 13, 14, 17, 21, 33, 37, 39, 40, 46, 52, 53, 54, 55, 58, 61, 63, 65, 66, 67, 70, 78, 80),
    *(81, 82, 84, 87, 88, 91, 93, 95, 103, 105, 107, 109, 127, 132, 133, 136, 144, 145, 146, 148, 149, 150, 152, 153),
    *(154, 155, 157, 158, 159, 160, 161, 162, 163, 168, 172, 173, 176, 178, 181, 185, 191, 195, 197, 234, 246, 249),
    *(251, 263, 267, 269, 270, 276, 282, 283, 284, 285, 288, 291, 293, 295, 296, 297, 300, 308, 310, 311, 312, 314),
    *(317, 318, 321, 323, 324, 332, 334, 336, 338, 356, 361, 362, 365, 373, 374, 375, 377, 378, 379, 380, 381, 382),
    *(384, 385, 386, 387, 388, 389, 390, 397, 398, 400, 402, 405, 409, 415, 454, 466, *range(468, 478)),
)
NAMES = (
    *("_neutral", "browDownLeft", "browDownRight", "browInnerUp", "browOuterUpLeft", "browOuterUpRight", "cheekPuff"),
    *("cheekSquintLeft", "cheekSquintRight", "eyeBlinkLeft", "eyeBlinkRight", "eyeLookDownLeft", "eyeLookDownRight"),
    *("eyeLookInLeft", "eyeLookInRight", "eyeLookOutLeft", "eyeLookOutRight", "eyeLookUpLeft", "eyeLookUpRight"),
    *("eyeSquintLeft", "eyeSquintRight", "eyeWideLeft", "eyeWideRight", "jawForward", "jawLeft", "jawOpen", "jawRight"),
    *("mouthClose", "mouthDimpleLeft", "mouthDimpleRight", "mouthFrownLeft", "mouthFrownRight", "mouthFunnel"),
    *("mouthLeft", "mouthLowerDownLeft", "mouthLowerDownRight", "mouthPressLeft", "mouthPressRight", "mouthPucker"),
    *("mouthRight", "mouthRollLower", "mouthRollUpper", "mouthShrugLower", "mouthShrugUpper", "mouthSmileLeft"),
    *("mouthSmileRight", "mouthStretchLeft", "mouthStretchRight", "mouthUpperUpLeft", "mouthUpperUpRight"),
    *("noseSneerLeft", "noseSneerRight"),
)
COLUMNS = tuple(
    Column(name, "share", f"score 0 to 1 of the ARKit blendshape {name}; left and right are the subject's")
    for name in NAMES
)


class TaskModels:
    """The models of a bundle, with the interface of `mitr.media.face.mesh.FaceModels`.

    Raises:
        MitrError: the file is not such a bundle.
    """

    def __init__(self, path: Path) -> None:
        files = bundled_models(path)
        try:
            self._detector = Detector(Model(files[DETECTOR], "regressors", "classificators"))
            self._mesh = Model(files[MESH], "Identity", "Identity_1")
            self._scores = Model(files[SCORES], "StatefulPartitionedCall:0")
        except (KeyError, RuntimeError, ValueError) as error:
            raise MitrError(
                f"{path}: its models are not those of a Face Landmarker that mitr knows ({error})"
            ) from None

    def detect(self, image: np.ndarray) -> list[Detection]:
        return self._detector.detect(image)

    def landmarks(self, image: np.ndarray, region: Region) -> FaceMesh:
        return settled(lambda where: self._look(image, where), region)

    def _look(self, image: np.ndarray, region: Region) -> FaceMesh:
        points, logit = self._mesh.run(cropped(image, region, 256))
        placed = region.into_picture(points.reshape(478, 3) / 256)
        return FaceMesh(placed[:468], placed[468:, :2].reshape(2, 5, 2), float(sigmoid(logit.item())))

    def scores(self, landmarks: np.ndarray, irises: np.ndarray) -> np.ndarray:
        """(52,) float32, 0 to 1, in the order of `NAMES`."""
        points = np.concatenate([landmarks[:, :2], irises.reshape(10, 2)])
        return self._scores.run(points[list(READ)])[0].reshape(52)


def extract(frames: Any) -> Extracted:
    """`extracted` with the models of the bundle that `mitr assets add` was given."""
    return extracted(frames, TaskModels(user_task()))


def _ready() -> None:
    importable("ai_edge_litert", "PIL", extra="media")
    bundled_models(user_task())


BLENDSHAPES = Extractor(
    name="blendshapes",
    version=1,
    modality="vision",
    about=f"52 blendshape scores of the largest face, by the models of a {TASK} of the user's",
    rate=None,
    columns=COLUMNS,
    extract=extract,
    blank="no face",
    ready=_ready,
)


def extracted(frames: Any, models: TaskModels) -> Extracted:
    """The scores of one person's face over time: (T, 52) float32, rows of NaN where there is no picture or no face."""
    follower = follower_for(frames.fps, models)
    rows = []
    for frame in frames:
        face = follower.look(frame.image)
        rows.append(np.full(52, np.nan) if face is None else models.scores(face.landmarks, face.irises))
    return Extracted(np.array(rows, np.float32).reshape(-1, 52), notes_of(follower))
