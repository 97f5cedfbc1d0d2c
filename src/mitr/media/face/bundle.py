"""The three models inside a `face_landmarker.task`, a zip archive of MediaPipe's Face Landmarker."""

import zipfile
from pathlib import Path

from mitr.errors import MitrError

DETECTOR, MESH, SCORES = "face_detector.tflite", "face_landmarks_detector.tflite", "face_blendshapes.tflite"
_LARGEST = 64 << 20  # bytes of a model


def bundled_models(path: Path) -> dict[str, bytes]:
    """The models of a bundle by their file names: `DETECTOR`, `MESH` and `SCORES`.

    Raises:
        MitrError: the file is not such a bundle.
    """
    try:
        with zipfile.ZipFile(path) as bundle:
            return {name: _member(bundle, name, path) for name in (DETECTOR, MESH, SCORES)}
    except FileNotFoundError:
        raise MitrError(f"{path} does not exist; give the path of a face_landmarker.task") from None
    except (OSError, zipfile.BadZipFile) as error:
        raise MitrError(f"{path} is not a readable face_landmarker.task: {error}") from None


def _member(bundle: zipfile.ZipFile, name: str, path: Path) -> bytes:
    if name not in bundle.namelist():
        raise MitrError(f"{path} has no {name} inside; give a face_landmarker.task with blendshapes")
    if bundle.getinfo(name).file_size > _LARGEST:
        raise MitrError(f"{path}: {name} inside is larger than {_LARGEST >> 20} MB, which no Face Landmarker is")
    return bundle.read(name)
