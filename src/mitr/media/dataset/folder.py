"""A folder of clips with a `label.csv`: which file and which words belong to which row."""

import unicodedata
from pathlib import Path

from mitr.errors import MitrError
from mitr.media.words.captions import Transcript, read_transcript, sidecars_of

WORDS = {".txt", ".srt", ".vtt", ".csv", ".json", ".npz"}  # beside a clip, and no clip
MEDIA = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp", ".ogv"}
MEDIA |= {".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".wma", ".aif", ".aiff", ".amr", ".gif"}


def clip_file(source: Path, row: dict[str, str]) -> Path:
    """The media file of a row of `label.csv`.

    That is the row's `file`, relative to the folder, if the table has that column; otherwise
    `Raw/<video_id>/<clip_id>.*` or `<video_id>/<clip_id>.*`: the one with an ending of media files, else the only one.
    Accents may be written in either way that Unicode has.

    Raises:
        MitrError: there is none, there are several, or it lies outside the folder.
    """
    if own := row.get("file", "").strip():
        return _inside(source, source / own)
    video, clip = row["video_id"].strip(), row["clip_id"].strip()
    for parent in (source / "Raw", source):
        _inside(source, parent / video / clip)
        for folder in _named(parent, video):
            files = [path for path in _named(folder, clip, ending=True) if path.suffix.lower() not in WORDS]
            found = [path for path in files if path.suffix.lower() in MEDIA] or files
            if len(found) > 1:
                raise MitrError(f"{folder} has several files of this clip: {', '.join(p.name for p in found[:4])}")
            if found:
                return found[0]
    raise MitrError(f"there is no file Raw/{video}/{clip}.* in {source}")


def _named(folder: Path, name: str, ending: bool = False) -> list[Path]:
    """The folders of this name in a folder, or the files of this name and any `ending`, sorted."""
    if not folder.is_dir():
        return []
    if not ending and (folder / name).is_dir():
        return [folder / name]  # without a look at the thousands beside it
    wanted = unicodedata.normalize("NFC", name)
    own = ((path, path.name.rpartition(".")[0] if ending else path.name) for path in folder.iterdir())
    found = (path for path, called in own if unicodedata.normalize("NFC", called) == wanted)
    return sorted(path for path in found if (path.is_file() if ending else path.is_dir()))


def _inside(source: Path, path: Path) -> Path:
    """The path, which must not lead out of the folder."""
    if not path.is_relative_to(source) or ".." in path.relative_to(source).parts:
        raise MitrError(f"{path} lies outside of {source}")
    return path


def words_of(path: Path, text: str = "") -> Transcript | None:
    """The transcript of a clip: of the files beside it the first that holds words, else `text`; None without words.

    Args:
        path: the clip.
        text: that of `label.csv`.

    Raises:
        MitrError: a file beside it is broken.
    """
    for beside in sidecars_of(path):
        found = read_transcript(beside)
        if found.text.strip():
            return found
    return Transcript(text.strip(), (), (), "label.csv") if text.strip() else None
