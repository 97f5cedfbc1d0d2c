"""A folder of clips with a `label.csv`: which file and which words belong to which row."""

from pathlib import Path

from mitr.errors import MitrError
from mitr.media.captions import Transcript, read_transcript, sidecar_of

WORDS = {".txt", ".srt", ".vtt", ".csv", ".json", ".npz"}  # beside a clip, and no clip


def clip_file(source: Path, row: dict[str, str]) -> Path:
    """The media file of a row of `label.csv`.

    That is the row's `file`, relative to the folder, if the table has that column; otherwise
    `Raw/<video_id>/<clip_id>.*` or `<video_id>/<clip_id>.*`.

    Raises:
        MitrError: there is none, there are several, or it lies outside the folder.
    """
    if own := row.get("file", "").strip():
        return _inside(source, source / own)
    video, clip = row["video_id"], row["clip_id"]
    for folder in (source / "Raw" / video, source / video):
        _inside(source, folder / clip)
        if folder.is_dir():
            named = (path for path in folder.iterdir() if path.name.rpartition(".")[0] == clip)
            found = sorted(path for path in named if path.suffix.lower() not in WORDS)
            if len(found) > 1:
                raise MitrError(f"{folder} has several files of this clip: {', '.join(p.name for p in found[:4])}")
            if found:
                return found[0]
    raise MitrError(f"there is no file Raw/{video}/{clip}.* in {source}")


def _inside(source: Path, path: Path) -> Path:
    if ".." in path.relative_to(source).parts if path.is_relative_to(source) else True:
        raise MitrError(f"{path} lies outside of {source}")
    return path


def words_of(path: Path, text: str = "") -> Transcript | None:
    """The transcript of a clip: that of the file beside it, else `text`, the one of `label.csv`; None without words.

    Raises:
        MitrError: the file beside it is broken.
    """
    if beside := sidecar_of(path):
        found = read_transcript(beside)
        if found.text.strip():
            return found
    return Transcript(text.strip(), (), (), "label.csv") if text.strip() else None
