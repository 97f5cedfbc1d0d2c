"""A folder of clips with a `label.csv`: the media file and the words of each row."""

import unicodedata
from pathlib import Path

from mitr.errors import MitrError

WORDS = {".txt", ".srt", ".vtt", ".csv", ".json", ".npz"}  # beside a clip, and no clip
MEDIA = {".mp4", ".m4v", ".mov", ".mkv", ".webm", ".avi", ".mpg", ".mpeg", ".ts", ".flv", ".wmv", ".3gp", ".ogv"}
MEDIA |= {".wav", ".mp3", ".m4a", ".aac", ".flac", ".ogg", ".opus", ".wma", ".aif", ".aiff", ".amr", ".gif"}


def clip_file(source: Path, row: dict[str, str]) -> Path:
    """The media file of a row of `label.csv`.

    The row's `file`, relative to the folder, if the table has that column; otherwise `Raw/<video_id>/<clip_id>.*` or
    `<video_id>/<clip_id>.*`: the file with an ending of media files, else the only file. Accents may be composed or
    decomposed.

    Raises:
        MitrError: the row has no file or several, or the file lies outside the folder.
    """
    if named := row.get("file", "").strip():
        return _inside(source, source / named)
    video, clip = row["video_id"].strip(), row["clip_id"].strip()
    for parent in (source / "Raw", source):
        _inside(source, parent / video / clip)
        for folder in _named(parent, video):
            files = [path for path in _named(folder, clip, ending=True) if path.suffix.lower() not in WORDS]
            media = [path for path in files if path.suffix.lower() in MEDIA] or files
            if len(media) > 1:
                raise MitrError(f"{folder} has several files of this clip: {', '.join(p.name for p in media[:4])}")
            if media:
                return media[0]
    raise MitrError(f"there is no file Raw/{video}/{clip}.* in {source}")


def _named(folder: Path, name: str, ending: bool = False) -> list[Path]:
    """The folders of this name in a folder, or the files of this name and any `ending`, sorted."""
    if not folder.is_dir():
        return []
    if not ending and (folder / name).is_dir():
        return [folder / name]  # without listing a folder of thousands
    wanted = unicodedata.normalize("NFC", name)
    names = ((path, path.name.rpartition(".")[0] if ending else path.name) for path in folder.iterdir())
    matching = (path for path, called in names if unicodedata.normalize("NFC", called) == wanted)
    return sorted(path for path in matching if (path.is_file() if ending else path.is_dir()))


def _inside(source: Path, path: Path) -> Path:
    """The path, which must not lead out of the folder."""
    if not path.is_relative_to(source) or ".." in path.relative_to(source).parts:
        raise MitrError(f"{path} lies outside of {source}")
    return path
