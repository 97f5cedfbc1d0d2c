"""Fetching the face models: taken from a wheel, checked, kept; no network once they are there."""

import hashlib
import subprocess
import sys
import zipfile
from pathlib import Path
from types import SimpleNamespace

import pytest

from mitr.errors import MitrError
from mitr.media import assets as store

CONTENT = {"one.tflite": b"1" * 100, "two.tflite": b"2" * 3000}


@pytest.fixture
def home(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """An empty assets folder, and two small files instead of the models."""
    wanted = {
        name: store._Asset("pack/models", len(data), hashlib.sha256(data).hexdigest()) for name, data in CONTENT.items()
    }
    monkeypatch.setattr(store, "ASSETS", wanted)
    monkeypatch.setenv("MITR_ASSETS", str(tmp_path / "assets"))
    return tmp_path / "assets"


def wheel(folder: Path, content: dict[str, bytes]) -> Path:
    path = folder / "pack-1.whl"
    with zipfile.ZipFile(path, "w", zipfile.ZIP_DEFLATED) as archive:
        for name, data in content.items():
            archive.writestr(f"pack/models/{name}", data)
        archive.writestr("pack/code.py", "raise SystemExit")
    return path


def pip_gives(monkeypatch: pytest.MonkeyPatch, content: dict[str, bytes]) -> list[list[str]]:
    """Let pip put a wheel into its destination; the commands it got."""
    commands: list[list[str]] = []

    def run(command: list[str], **options: object) -> SimpleNamespace:
        assert "shell" not in options
        commands.append(command)
        wheel(Path(command[command.index("--dest") + 1]), content)
        return SimpleNamespace(returncode=0, stdout="", stderr="")

    monkeypatch.setattr(subprocess, "run", run)
    return commands


def test_fetch_takes_the_files_out_of_the_wheel(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = pip_gives(monkeypatch, CONTENT)
    assert store.fetch() == [home / "one.tflite", home / "two.tflite"]
    assert {path.name: path.read_bytes() for path in home.glob("*.tflite")} == CONTENT
    assert "Apache License" in (home / "NOTICE.txt").read_text()
    assert sorted(path.name for path in home.iterdir()) == ["NOTICE.txt", "one.tflite", "two.tflite"]
    assert store.asset("two.tflite").read_bytes() == CONTENT["two.tflite"]
    assert len(commands) == 1
    assert commands[0][:5] == [sys.executable, "-m", "pip", "download", "mediapipe==0.10.14"]
    assert {"--no-deps", "--only-binary=:all:", "manylinux_2_17_x86_64", "cp311"} <= set(commands[0])


def test_what_is_there_needs_no_network(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    commands = pip_gives(monkeypatch, CONTENT)
    store.fetch()
    store.fetch()
    assert len(commands) == 1
    store.fetch(force=True)
    assert len(commands) == 2


@pytest.mark.parametrize("spoilt", [b"1" * 99, b"1" * 99 + b"3", b""])
def test_a_damaged_file_is_found_and_repaired(home: Path, monkeypatch: pytest.MonkeyPatch, spoilt: bytes) -> None:
    pip_gives(monkeypatch, CONTENT)
    store.fetch()
    (home / "one.tflite").write_bytes(spoilt)
    with pytest.raises(MitrError, match=r"one\.tflite is damaged .*mitr assets fetch"):
        store.asset("one.tflite")
    store.fetch()
    assert store.asset("one.tflite").read_bytes() == CONTENT["one.tflite"]


def test_a_missing_file_says_what_to_do(home: Path) -> None:
    with pytest.raises(MitrError, match=r"one\.tflite is missing.*mitr assets fetch"):
        store.asset("one.tflite")


@pytest.mark.parametrize(
    ("content", "complaint"),
    [
        ({"one.tflite": CONTENT["one.tflite"]}, r"two\.tflite is missing or is not 3000 bytes"),
        ({**CONTENT, "two.tflite": b"2" * 3001}, r"two\.tflite is missing or is not 3000 bytes"),
        ({**CONTENT, "two.tflite": b"3" * 3000}, r"two\.tflite has another SHA-256"),
    ],
)
def test_a_wheel_with_other_files_is_refused(
    home: Path, monkeypatch: pytest.MonkeyPatch, content: dict[str, bytes], complaint: str
) -> None:
    pip_gives(monkeypatch, content)
    with pytest.raises(MitrError, match=complaint):
        store.fetch()
    assert sorted(path.name for path in home.iterdir()) == ["one.tflite"]  # the good one; nothing half-written


def test_a_broken_wheel_is_refused(home: Path, tmp_path: Path) -> None:
    path = wheel(tmp_path, CONTENT)
    path.write_bytes(path.read_bytes()[:-40])
    with pytest.raises(MitrError, match=r"pack-1\.whl is not a readable wheel"):
        store.take_from(path, home)


def test_the_last_line_of_pip_is_told(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    failed = SimpleNamespace(
        returncode=1, stdout="", stderr="WARNING: retrying\nERROR: No matching distribution found\n"
    )
    monkeypatch.setattr(subprocess, "run", lambda *_, **__: failed)
    with pytest.raises(MitrError, match=r"mediapipe==0\.10\.14: ERROR: No matching distribution found$"):
        store.fetch()
    assert not home.exists()


def test_pip_may_not_take_forever(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def run(command: list[str], timeout: float, **_: object) -> None:
        raise subprocess.TimeoutExpired(command, timeout)

    monkeypatch.setattr(subprocess, "run", run)
    with pytest.raises(MitrError, match="within 15 minutes"):
        store.fetch()


def test_the_folder_can_be_chosen(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "cache"))
    monkeypatch.delenv("MITR_ASSETS", raising=False)
    assert store.assets_folder() == tmp_path / "cache" / "mitr" / "assets"
    monkeypatch.setenv("MITR_ASSETS", str(tmp_path / "mine"))
    assert store.assets_folder() == tmp_path / "mine"
    monkeypatch.delenv("MITR_ASSETS")
    monkeypatch.delenv("XDG_CACHE_HOME")
    monkeypatch.setattr(sys, "platform", "linux")
    assert store.assets_folder() == Path.home() / ".cache" / "mitr" / "assets"


@pytest.mark.usefixtures("assets")
def test_the_real_files_are_whole() -> None:
    assert [store.asset(name).stat().st_size for name in store.ASSETS] == [229714, 1242398, 2640568]
