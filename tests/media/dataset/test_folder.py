"""Which file belongs to a row."""

from pathlib import Path

import pytest

from mitr.errors import MitrError
from mitr.media.dataset.folder import clip_file

ROW = {"video_id": "v", "clip_id": "1", "text": "hello"}


def touch(path: Path, text: str = "") -> Path:
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(text)
    return path


def test_raw_then_the_folder_of_the_video_then_a_column(tmp_path: Path) -> None:
    plain = touch(tmp_path / "v" / "1.webm")
    assert clip_file(tmp_path, ROW) == plain
    raw = touch(tmp_path / "Raw" / "v" / "1.MP4")
    touch(tmp_path / "Raw" / "v" / "1.srt")
    touch(tmp_path / "Raw" / "v" / "11.mp4")
    assert clip_file(tmp_path, ROW) == raw
    own = touch(tmp_path / "deep" / "er" / "a clip.mp4")
    assert clip_file(tmp_path, ROW | {"file": "deep/er/a clip.mp4"}) == own


def test_a_clip_id_with_dots_and_brackets(tmp_path: Path) -> None:
    path = touch(tmp_path / "Raw" / "v" / "1.5[a].mp4")
    touch(tmp_path / "Raw" / "v" / "1.mp4")
    assert clip_file(tmp_path, ROW | {"clip_id": "1.5[a]"}) == path


def test_none_several_and_outside(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match=r"there is no file Raw/v/1\.\*"):
        clip_file(tmp_path, ROW)
    touch(tmp_path / "Raw" / "v" / "1.mp4")
    touch(tmp_path / "Raw" / "v" / "1.wav")
    with pytest.raises(MitrError, match=r"several files of this clip: 1\.mp4, 1\.wav"):
        clip_file(tmp_path, ROW)
    for wrong in ({"file": "../secret.mp4"}, {"file": "/etc/passwd"}, {"video_id": ".."}, {"clip_id": "../../x"}):
        with pytest.raises(MitrError, match="lies outside of"):
            clip_file(tmp_path, ROW | wrong)


def test_accents_spaces_folders_and_notes_beside_a_clip(tmp_path: Path) -> None:
    decomposed, composed = "Cafe\u0301", "Caf\u00e9"
    path = touch(tmp_path / "Raw" / decomposed / f"{composed}.mp4")
    (tmp_path / "Raw" / decomposed / f"{composed}.mkv").mkdir()
    touch(tmp_path / "Raw" / decomposed / f"{composed}.md")
    touch(tmp_path / "Raw" / decomposed / f"{composed}.wav.part")
    for video, clip in ((composed, decomposed), (f" {decomposed} ", f"{composed} ")):
        assert clip_file(tmp_path, {"video_id": video, "clip_id": clip}) == path
    odd = touch(tmp_path / "Raw" / "v" / "1.rec")  # alone, it may have any ending
    assert clip_file(tmp_path, ROW) == odd
