"""A folder of clips becomes a data set: the same for any number of processes, whatever some clips are."""

import json
import os
import signal
import subprocess
import sys
import time
from functools import partial
from pathlib import Path

import numpy as np
import pandas as pd
import pytest

from made_clips import tone
from made_counts import Decodings, frames_in
from made_talks import talk, words_for
from mitr.__main__ import main
from mitr.data.store import Dataset
from mitr.errors import MitrError
from mitr.media import features, registry
from mitr.media.dataset import extracting
from mitr.media.dataset.extracting import extract
from mitr.media.options import FeatureConfig, MediaConfig
from waiting import LONGEST

SOUND = MediaConfig(features=FeatureConfig(vision="none"))


def bytes_of(folder: Path) -> dict[str, bytes]:
    return {path.name: path.read_bytes() for path in sorted(folder.iterdir())}


def small_folder(folder: Path, labels: list[float] | None = None) -> Path:
    """Sound alone, so that it is quick."""
    rows = []
    (folder / "Raw" / "v").mkdir(parents=True)
    for i, label in enumerate(labels or [1.0, -1.0, 2.0]):
        talk(folder / "Raw" / "v" / f"{i}.wav", label, 0.6, picture=None)
        rows.append({"video_id": "v", "clip_id": str(i), "text": words_for(label, i), "label": label, "mode": "train"})
    pd.DataFrame(rows).to_csv(folder / "label.csv", index=False)
    return folder


def test_every_clip_with_what_it_has(talks_data: Dataset) -> None:
    assert len(talks_data) == 28
    assert {m: (about.kind, about.dim) for m, about in talks_data.info.modalities.items()} == {
        "text": ("raw", None),
        "audio": ("features", 33),
        "vision": ("features", len_of("face")),
    }
    assert talks_data.info.source.format == "clips"
    audio, vision = talks_data.lengths["audio"], talks_data.lengths["vision"]
    assert np.flatnonzero(vision == 0).tolist() == [2]
    assert np.flatnonzero(audio == 0).tolist() == [3]
    assert [i for i, text in enumerate(talks_data.raw_text) if not text] == [4]
    assert talks_data.available("vision", 0).mean() > 0.9
    assert talks_data.info.modalities["audio"].extractor == {
        "extractor": "sims33",
        "version": 1,
        "silence_db": -60.0,
        "silence_seconds": 0.5,
    }


def len_of(name: str) -> int:
    from mitr.media.registry import extractor_of

    return len(extractor_of(name).columns)


def test_what_it_says_of_each_clip(talks_data: Dataset) -> None:
    table = pd.read_parquet(talks_data.folder / "clips.parquet")
    assert table["id"].tolist() == talks_data.ids
    assert table["file"][2] == "Raw/video0/2.mp4"
    assert json.loads(table["missing"][2])["vision"] == [[0.0, pytest.approx(1.2, abs=0.1), "no video stream"]]
    assert json.loads(table["missing"][4])["text"][0][2] == "no transcript"
    assert table["text_source"][0] == "label.csv"
    assert table["seconds"].between(1.1, 1.4).all()
    card = (talks_data.folder / "FEATURES.md").read_text()
    assert card.count("\n| 32 |") == 2
    assert "silence_db -60" in card


def test_any_number_of_processes_gives_the_same_bytes(
    clips: Path, talks_data: Dataset, talks_cache: Path, tmp_path: Path
) -> None:
    few = pd.read_csv(clips / "label.csv", dtype=str).head(6)
    for fresh, jobs in (("one", 1), ("two", 2)):
        folder = tmp_path / fresh
        folder.mkdir()
        (folder / "Raw").symlink_to(clips / "Raw")
        few.to_csv(folder / "label.csv", index=False)
        extract(folder, tmp_path / f"{fresh}-data", name="x", jobs=jobs, cache=tmp_path / f"{fresh}-cache", quiet=True)
    first, second = (bytes_of(tmp_path / f"{name}-data") for name in ("one", "two"))
    about = [json.loads(part.pop("dataset.json")) for part in (first, second)]
    names = [entry["source"].pop("name") for entry in about]
    assert names == ["one", "two"]
    assert about[0] == about[1]
    assert first == second
    for row in range(6):  # and the same as in a larger set
        np.testing.assert_array_equal(
            Dataset(tmp_path / "two-data").features("vision", row), talks_data.features("vision", row)
        )


def test_broken_clips_are_left_out_and_listed(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_folder(tmp_path / "clips", [1.0, -1.0, 2.0, 1.0, 2.0])
    (folder / "Raw" / "v" / "1.wav").write_text("this is no sound")
    (folder / "Raw" / "v" / "2.wav").write_bytes(b"")
    (folder / "Raw" / "v" / "3.wav").unlink()
    words = ["extract", str(folder), "--out", str(tmp_path / "data"), "--features.vision", "none", "--quiet"]
    words += ["--cache", str(tmp_path / "cache"), "--jobs", "1"]
    assert main([*words, "--strict"]) == 2
    assert "3 of 5 clips cannot be read, and --strict is set" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()
    assert main(words) == 0
    said = capsys.readouterr().out
    assert "3 clips could not be read and were left out:" in said
    for i, reason in ((1, "1.wav"), (2, "empty"), (3, "there is no file Raw/v/3.*")):
        line = next(line for line in said.splitlines() if line.strip().startswith(f"v$_${i}:"))
        assert reason in line
    data = Dataset(tmp_path / "data")
    assert data.ids == ["v$_$0", "v$_$4"]
    assert "3 of 5 clips could not be read and were left out: v$_$1, v$_$2, v$_$3" in data.info.notes


def test_a_folder_of_nothing_but_broken_clips(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "clips", [1.0])
    (folder / "Raw" / "v" / "0.wav").write_text("no sound")
    with pytest.raises(MitrError, match=r"none of the 1 clips of .* can be read"):
        extract(folder, tmp_path / "data", SOUND, jobs=1, cache=tmp_path / "cache", quiet=True)
    assert not (tmp_path / "data").exists()


def test_a_folder_is_extracted_with_one_decoding_of_each_clip(
    tmp_path: Path, assets: None, decodings: Decodings, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "clips"
    (folder / "Raw" / "v").mkdir(parents=True)
    clip = talk(folder / "Raw" / "v" / "0.mp4", 1.0, 0.6)
    (folder / "label.csv").write_text("video_id,clip_id,text,label,mode\nv,0,well,1,train\n")
    in_file = frames_in(clip)

    def here(jobs: list, place: Path, workers: int, done: object, work: object, seconds: object) -> None:
        for job in jobs:
            done(job, extracting.read_job(job, place))  # type: ignore[operator]

    monkeypatch.setattr(extracting, "run_jobs", here)
    found = extract(folder, tmp_path / "data", cache=tmp_path / "cache", quiet=True)
    assert set(found.dataset.info.modalities) == {"text", "audio", "vision"}
    assert (decodings.opened, dict(decodings.frames)) == (1, in_file)


def test_stopped_it_goes_on_where_it_was(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    folder, read = small_folder(tmp_path / "clips"), []

    def here(jobs: list, place: Path, workers: int, done: object, work: object, seconds: object) -> None:
        for job in jobs:
            before = len(list(place.glob("*/*/*.safetensors")))
            done(job, extracting.read_job(job, place))  # type: ignore[operator]
            read.append((job.id, len(list(place.glob("*/*/*.safetensors"))) - before))
            if len(read) == 2:
                raise KeyboardInterrupt

    monkeypatch.setattr(extracting, "run_jobs", here)
    with pytest.raises(KeyboardInterrupt):
        extract(folder, tmp_path / "data", SOUND, cache=tmp_path / "cache", quiet=True)
    assert not (tmp_path / "data").exists()
    extract(folder, tmp_path / "data", SOUND, cache=tmp_path / "cache", quiet=True)
    assert read == [("v$_$0", 1), ("v$_$1", 1), ("v$_$0", 0), ("v$_$1", 0), ("v$_$2", 1)]


@pytest.mark.skipif(sys.platform == "win32", reason="signals are those of POSIX")
def test_an_interrupted_command_says_so_and_keeps_what_was_read(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "clips", [1.0, 2.0])
    long = {"seconds": 600.0, "picture": None, "sound": tone, "audio_rate": 16000, "layout": "mono"}
    talk(folder / "Raw" / "v" / "1.wav", **long)  # type: ignore[arg-type]  # which takes many seconds
    words = ["extract", str(folder), "--out", str(tmp_path / "data"), "--features.vision", "none", "--jobs", "1"]
    command = [sys.executable, "-m", "mitr", *words, "--cache", str(tmp_path / "cache"), "--quiet"]
    heard = partial(signal.signal, signal.SIGINT, signal.SIG_DFL)  # which a shell's background jobs ignore
    with subprocess.Popen(
        command, stderr=subprocess.PIPE, text=True, start_new_session=True, preexec_fn=heard
    ) as process:
        until = time.monotonic() + LONGEST
        while not list((tmp_path / "cache").glob("*/*/*.safetensors")) and process.poll() is None:
            assert time.monotonic() < until
            time.sleep(0.02)
        os.killpg(process.pid, signal.SIGINT)  # as a terminal does: to all of its processes
        _, said = process.communicate(timeout=LONGEST)
        assert process.returncode == 130
    assert "the same command goes on where it stopped" in said
    assert "Traceback" not in said
    assert len(list((tmp_path / "cache").glob("*/*/*.safetensors"))) == 1
    assert not (tmp_path / "data").exists()
    assert not list(tmp_path.glob(".*"))


def test_a_script_without_a_guard_is_not_run_again(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "clips")
    script = tmp_path / "script.py"
    script.write_text(
        "import sys\nfrom pathlib import Path\nimport mitr\n"
        "from mitr.media.options import FeatureConfig, MediaConfig\n"
        f"with open({str(tmp_path / 'runs.txt')!r}, 'a') as file:\n    file.write('run\\n')\n"
        f"found = mitr.extract({str(folder)!r}, {str(tmp_path / 'data')!r},\n"
        f"    MediaConfig(FeatureConfig(vision='none')), cache={str(tmp_path / 'cache')!r}, jobs=2, quiet=True)\n"
        "print(len(found.dataset), found.broken)\n"
    )
    done = subprocess.run([sys.executable, str(script)], capture_output=True, text=True, timeout=LONGEST)
    assert done.stdout == "3 {}\n", done.stderr
    assert (tmp_path / "runs.txt").read_text() == "run\n"


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"jobs": -1}, "--jobs is -1; it must be a number of processes, or 0"),
        ({"timeout": 0.0}, "--timeout is 0.0; it must be above 0 s"),
        ({"label_range": (3.0, -3.0)}, "must be two numbers, the lower first"),
        ({"splits": "splits.csv"}, r"1 ids are not in the source: 'v\$_\$9'"),
    ],
)
def test_options_are_refused_before_a_clip_is_read(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, options: dict[str, object], message: str
) -> None:
    folder = small_folder(tmp_path / "clips")
    (tmp_path / "splits.csv").write_text("id,mode\nv$_$0,train\nv$_$1,valid\nv$_$2,test\nv$_$9,test\n")
    if "splits" in options:
        options = options | {"splits": tmp_path / "splits.csv"}
    monkeypatch.setattr(extracting, "run_jobs", lambda *_: pytest.fail("a clip was read"))
    with pytest.raises(MitrError, match=message):
        extract(folder, tmp_path / "data", SOUND, cache=tmp_path / "cache", quiet=True, **options)  # type: ignore


def test_what_is_not_installed_is_said_once_and_no_clip_is_blamed(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    folder = small_folder(tmp_path / "clips")
    words = ["extract", str(folder), "--out", str(tmp_path / "data"), "--cache", str(tmp_path / "cache"), "--quiet"]
    monkeypatch.setenv("MITR_ASSETS", str(tmp_path / "nothing"))
    assert main(words) == 2
    assert "fetch the face models once with: mitr assets fetch" in capsys.readouterr().err
    known = features.find_spec
    for lacking, extra in (("librosa", "media"), ("av", "media")):
        monkeypatch.setattr(
            features, "find_spec", lambda name, lacking=lacking: None if name == lacking else known(name)
        )
        assert main([*words, "--features.vision", "none"]) == 2
        assert f"the package {lacking}, which is not installed: pip install 'mitr[{extra}]'" in capsys.readouterr().err
    monkeypatch.setattr(features, "find_spec", known)
    monkeypatch.setitem(sys.modules, "faster_whisper", None)
    assert main([*words, "--features.vision", "none", "--speech.model", "small"]) == 2
    assert "pip install 'mitr[speech]'" in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_an_extractor_of_the_running_script_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(registry.EXTRACTORS.places, "own", "__main__:OWN")
    monkeypatch.setattr(sys.modules["__main__"], "OWN", registry.extractor_of("sims33"), raising=False)
    config = MediaConfig(features=FeatureConfig(audio="own", vision="none"))
    with pytest.raises(MitrError, match=r"'own' is at '__main__:OWN', in the script that is running"):
        extract(small_folder(tmp_path / "clips"), tmp_path / "data", config, cache=tmp_path / "cache")


def test_a_broken_clip_does_not_spoil_the_splits(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "clips")
    (folder / "Raw" / "v" / "1.wav").write_text("no sound")
    (tmp_path / "splits.csv").write_text("id,mode\nv$_$0,train\nv$_$1,valid\nv$_$2,test\n")
    options = {"splits": tmp_path / "splits.csv", "jobs": 1, "cache": tmp_path / "cache", "quiet": True}
    found = extract(folder, tmp_path / "data", SOUND, **options)  # type: ignore[arg-type]
    assert list(found.broken) == ["v$_$1"]
    assert found.dataset.splits == ["train", "test"]


def test_the_source_is_known_by_its_words_too(tmp_path: Path) -> None:
    folder, digests = small_folder(tmp_path / "clips"), []
    options = {"jobs": 1, "cache": tmp_path / "cache", "quiet": True, "overwrite": True}
    for words in (None, "other words", "more words"):
        if words is not None:
            (folder / "Raw" / "v" / "1.txt").write_text(words)
        info = extract(folder, tmp_path / "data", SOUND, **options).dataset.info  # type: ignore[arg-type]
        digests.append(info.source.sha256)
    assert len(set(digests)) == 3


def test_a_set_without_words_says_so(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "clips")
    pd.read_csv(folder / "label.csv").assign(text="").to_csv(folder / "label.csv", index=False)
    data = extract(folder, tmp_path / "data", SOUND, jobs=1, cache=tmp_path / "cache", quiet=True).dataset
    assert set(data.info.modalities) == {"audio"}
    assert "text is absent from every clip" in data.info.notes


def test_words_beside_a_clip_and_their_times_are_kept(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "clips")
    (folder / "Raw" / "v" / "1.srt").write_text("1\n00:00:00,100 --> 00:00:00,500\nother words\n")
    data = extract(folder, tmp_path / "data", SOUND, jobs=1, cache=tmp_path / "cache", quiet=True).dataset
    assert data.raw_text[1] == "other words"
    table = pd.read_parquet(data.folder / "clips.parquet")
    assert table["text_source"].tolist() == ["label.csv", "1.srt", "label.csv"]
    assert json.loads(table["cues"][1]) == [[0.1, 0.5, "other words"]]


def test_splits_names_ranges_and_classes(tmp_path: Path) -> None:
    folder = small_folder(tmp_path / "clips")
    splits = tmp_path / "splits.csv"
    splits.write_text("id,mode\nv$_$0,valid\nv$_$1,unused\nv$_$2,test\n")
    more = {"splits": splits, "name": "mine", "label_range": (-3, 3), "jobs": 1, "cache": tmp_path / "cache"}
    data = extract(folder, tmp_path / "data", SOUND, quiet=True, **more).dataset
    assert (data.ids, data.splits) == (["v$_$0", "v$_$2"], ["valid", "test"])
    assert (data.info.name, data.info.label_range) == ("mine", (-3.0, 3.0))
    assert pd.read_parquet(data.folder / "clips.parquet")["id"].tolist() == data.ids
    table = pd.read_csv(folder / "label.csv").assign(label=["joy", "anger", "joy"])
    table.to_csv(folder / "label.csv", index=False)
    data = extract(folder, tmp_path / "classes", SOUND, jobs=1, cache=tmp_path / "cache", quiet=True).dataset
    assert data.info.classes == ("anger", "joy")


@pytest.mark.parametrize(
    ("words", "message"),
    [
        (
            ["--features.audio", "loud"],
            "there is no feature extractor 'loud'; the feature extractors are blendsh",
        ),
        (["--features.audio", "face"], "the feature extractor 'face' is for vision, not for audio"),
        (["--features.fps", "0"], "features.fps is 0.0; it must lie in [1, 60]"),
        (["--limits.seconds", "0"], "limits.seconds is 0"),
    ],
)
def test_bad_options(words: list[str], message: str, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    folder = small_folder(tmp_path / "clips", [1.0])
    assert main(["extract", str(folder), "--out", str(tmp_path / "data"), "--quiet", *words]) == 2
    assert message in capsys.readouterr().err
    assert not (tmp_path / "data").exists()


def test_a_folder_without_labels_and_a_place_that_is_taken(tmp_path: Path) -> None:
    with pytest.raises(MitrError, match=r"has no label\.csv: mitr extract reads a folder with"):
        extract(tmp_path, tmp_path / "data", SOUND)
    folder = small_folder(tmp_path / "clips", [1.0])
    (tmp_path / "data").mkdir()
    with pytest.raises(MitrError, match="exists already"):
        extract(folder, tmp_path / "data", SOUND)


def test_research_licences_are_said(tmp_path: Path) -> None:
    pytest.importorskip("opensmile")
    folder = small_folder(tmp_path / "clips", [1.0])
    config = MediaConfig(features=FeatureConfig(audio="egemaps", vision="none"))
    data = extract(folder, tmp_path / "data", config, jobs=1, cache=tmp_path / "cache", quiet=True).dataset
    assert any("research" in note for note in data.info.notes)
    assert data.info.modalities["audio"].dim == 25


def test_the_real_clips(assets: None, shared: Path, tmp_path: Path) -> None:
    source = shared / "data" / "clips"
    found = extract(source, tmp_path / "data", jobs=2, cache=tmp_path / "cache", quiet=True)
    assert found.broken == {}
    assert found.missing == {}
    data = found.dataset
    assert len(data) == 4
    seconds = pd.read_parquet(data.folder / "clips.parquet")["seconds"].to_numpy()
    for row in range(4):
        assert data.available("audio", row).all()
        assert data.available("vision", row).mean() > 0.9
        assert len(data.available("audio", row)) == pytest.approx(31.25 * seconds[row], abs=3)
        assert len(data.available("vision", row)) == pytest.approx(10 * seconds[row], abs=2)
