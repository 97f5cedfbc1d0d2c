"""The bundle of face models that a user gives."""

from pathlib import Path

import pytest

from made_faces import bundle
from mitr.errors import MitrError
from mitr.media.face import bundle as bundle_module
from mitr.media.face.bundle import bundled_models


def test_a_file_that_is_no_bundle_is_refused(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match=r"nothing\.task does not exist"):
        bundled_models(tmp_path / "nothing.task")
    (tmp_path / "text.task").write_text("a model")
    with pytest.raises(MitrError, match=r"text\.task is not a readable face_landmarker\.task"):
        bundled_models(tmp_path / "text.task")
    with pytest.raises(MitrError, match=r"is not a readable"):
        bundled_models(tmp_path)
    without = bundle(tmp_path, face_detector=b"1", face_landmarks_detector=b"2")
    with pytest.raises(MitrError, match=r"has no face_blendshapes\.tflite inside"):
        bundled_models(without)


def test_an_oversized_member_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(bundle_module, "_LARGEST", 10)
    with pytest.raises(MitrError, match=r"face_detector\.tflite inside is larger"):
        bundled_models(bundle(tmp_path, face_detector=b"1" * 11, face_landmarks_detector=b"2", face_blendshapes=b"3"))
