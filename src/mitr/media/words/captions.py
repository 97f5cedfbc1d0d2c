"""Words that come with a clip as a file: plain text (.txt), SubRip (.srt) and WebVTT (.vtt), in UTF-8.

WebVTT is read by the rules of the W3C (https://www.w3.org/TR/webvtt1/, sections 4 and 6), with two exceptions: a cue
whose times cannot be read, or run backwards, is an error that names its line, and is not skipped; and times may be
written as SubRip does. Left out, because nobody speaks it:

- markup: tags, speakers' names in `<v Name>`, `{\\an8}`, ruby; notes, styles and regions; a leading `>>` or dash;
- descriptions in square brackets, `[Music]`, and lines that stand in round ones as a whole, `(laughs)`; music notes.
  The words of a song stay;
- lines that a cue repeats from the cue before it, where the file rolls its captions up line by line as YouTube's do.
"""

import html
import itertools
import re
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from mitr.errors import MitrError

LARGEST = 4 << 20  # bytes: ten hours with a time for every word
SUFFIXES = (".srt", ".vtt", ".txt")  # timings first
LONGEST_WORD = 4  # characters of a script without spaces that may be one word
ROLLED = 8  # the most lines that a cue may repeat

TIME = re.compile(r"(?:([0-9]{1,4}):)?([0-9]{1,2}):([0-9]{1,2})(?:[.,]([0-9]{1,9}))?")
VTT_TAG = re.compile(r"<([^>]*)(?:>|$)")
SRT_TAG = re.compile(r"<(/?[a-zA-Z][^<>]*|[0-9:.,]+)>|\{\\[^{}]*\}")  # "<3" is no tag
RUBY = re.compile(r"<rt(?:[.\s][^<>]*)?>.*?(?:</rt>|(?=</ruby>)|$)", re.DOTALL)
NOISE = re.compile(r"\[[^\[\]]*\]|【[^【】]*】|［[^［］]*］|[♩♪♫♬]|>{2,}")
ASIDE = re.compile(r"[(（\[【][^()（）\[\]【】]*[)）\]】]")
DASH = re.compile(r"^\s*[-–—]\s+")
UNSPACED = re.compile(
    "[\u0e00-\u0eff\u1000-\u109f\u1780-\u17ff\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff\U00020000-\U0003ffff]"
)


class Word(NamedTuple):
    """A word, or the words between two time marks, from `start` to `stop`, in seconds."""

    text: str
    start: float
    stop: float


class Cue(NamedTuple):
    """The text of a subtitle, displayed from `start` to `stop`, in seconds."""

    start: float
    stop: float
    text: str


class Transcript(NamedTuple):
    """The words that are spoken in a clip.

    Attributes:
        text: all words, on one line.
        cues: subtitles in the order of their starts; none without times.
        words: the words whose times are known, in the order of their starts.
        source: the origin of the words: "given", "clip.srt", "label.csv", "speech recognition (NAME)".
    """

    text: str
    cues: tuple[Cue, ...]
    words: tuple[Word, ...]
    source: str


class _Piece(NamedTuple):
    begins: float | None  # at a time mark; None: continues the piece before
    text: str


class _Shown(NamedTuple):
    start: float
    stop: float
    lines: list[list[_Piece]]


def sidecars_of(clip: Path) -> Iterator[Path]:
    """The files with a clip's words that lie beside it, those with times first.

    For `clip.mp4` those of `clip.mp4.srt`, `clip.srt`, `clip.mp4.vtt`, `clip.vtt`, `clip.mp4.txt` and `clip.txt` that
    exist, in this order; the suffix in any case.
    """
    for suffix in SUFFIXES:
        cases = ["".join(letters) for letters in itertools.product(*zip(suffix, suffix.upper(), strict=True))]
        for name in (clip.name, clip.stem):
            for case in dict.fromkeys(cases):
                if (path := clip.with_name(name + case)) != clip and path.is_file():
                    yield path


def words_of(path: Path, text: str = "") -> Transcript | None:
    """The transcript of a clip: the first file beside it that holds words, else `text`; None without words.

    Args:
        path: the clip.
        text: the words in `label.csv`.

    Raises:
        MitrError: a file of words beside the clip is broken.
    """
    for sidecar in sidecars_of(path):
        transcript = read_transcript(sidecar)
        if transcript.text.strip():
            return transcript
    return Transcript(text.strip(), (), (), "label.csv") if text.strip() else None


def read_transcript(path: Path) -> Transcript:
    """Read a .txt, .srt or .vtt file; one without words gives an empty text and no cues.

    Raises:
        MitrError: the file cannot be read, is too large, is not UTF-8, has no cue or has one without proper times.
    """
    kind = path.suffix.lower()
    if kind not in SUFFIXES:
        raise MitrError(f"{path}: words are read from .txt, .srt and .vtt files")
    text = _decoded(path)
    if kind == ".txt":
        return Transcript(" ".join(text.split()), (), (), path.name)
    lines = text.split("\n")
    if kind == ".vtt" and not re.match(r"WEBVTT(?:[ \t]|$)", lines[0]):
        raise MitrError(f"{path}, line 1: a WebVTT file begins with WEBVTT; if it is SubRip, name it .srt")
    shown = sorted(_cues(lines, kind == ".vtt", path), key=lambda cue: cue.start)
    if not shown:
        raise MitrError(f"{path} has no cue: no line such as 00:00:01.000 --> 00:00:02.500")
    shown = [cue for cue in _unrolled(shown) if cue.lines]
    cues = tuple(Cue(cue.start, cue.stop, " ".join(map(_text, cue.lines))) for cue in shown)
    words = sorted((word for cue in shown for word in _words(cue)), key=lambda word: word.start)
    return Transcript(" ".join(cue.text for cue in cues), cues, tuple(words), path.name)


def between(transcript: Transcript, start: float, stop: float) -> str:
    """The words spoken from `start` up to `stop`, in seconds; "" where the transcript has no times.

    A word belongs to the stretch that holds its middle. So does, as a whole, a cue without timed words.
    """
    words, cues = transcript.words, transcript.cues
    inside: list[Word | Cue] = [word for word in words if start <= (word.start + word.stop) / 2 < stop]
    inside += [cue for cue in cues if start <= (cue.start + cue.stop) / 2 < stop and not _timed(cue, words)]
    text = ""
    before: Word | Cue | None = None
    for item in sorted(inside, key=lambda item: item.start):
        words_only = isinstance(before, Word) and isinstance(item, Word)
        text += "" if words_only and _run_on(text, item.text) else " "
        text += item.text
        before = item
    return text.strip()


def fitted(transcript: Transcript, seconds: float) -> Transcript:
    """A transcript whose cues and words end with a clip of this length in seconds (0: unknown) at the latest."""

    def cut(start: float, stop: float) -> float:
        return min(stop, seconds) if start < seconds else stop

    if not seconds:
        return transcript
    cues = tuple(cue._replace(stop=cut(cue.start, cue.stop)) for cue in transcript.cues)
    words = tuple(word._replace(stop=cut(word.start, word.stop)) for word in transcript.words)
    return transcript._replace(cues=cues, words=words)


def _timed(cue: Cue, words: tuple[Word, ...]) -> bool:
    """Whether the times of all words of a cue are known."""
    first = bisect_left(words, cue.start, key=lambda word: word.start)
    last = bisect_right(words, cue.stop, key=lambda word: word.start)
    return "".join(cue.text.split()) in "".join("".join(word.text.split()) for word in words[first:last])


def _decoded(path: Path) -> str:
    if not path.is_file():
        raise MitrError(f"{path} is not a file")
    try:
        with path.open("rb") as file:
            data = file.read(LARGEST + 1)
    except OSError as error:
        raise MitrError(f"{path} cannot be read: {error.strerror}") from None
    if len(data) > LARGEST:
        raise MitrError(f"{path} is larger than {LARGEST >> 20} MB, too large for a clip's words")
    try:
        text, broken = data.decode("utf-8-sig"), data.find(b"\0")  # UTF-16 is full of zeros
    except UnicodeDecodeError as error:
        text, broken = "", error.start
    if broken >= 0:
        line = data[:broken].count(b"\n") + 1
        raise MitrError(f"{path}, line {line}: this is not text in UTF-8; save the file as UTF-8")
    return text.replace("\r\n", "\n").replace("\r", "\n")


def _time(text: str) -> float | None:
    """`[hours:]minutes:seconds[.fraction]` in seconds."""
    match = TIME.fullmatch(text.strip())
    if not match or int(match[2]) > 59 or int(match[3]) > 59:
        return None
    whole = int(match[1] or 0) * 3600 + int(match[2]) * 60 + int(match[3])
    return float(f"{whole}.{match[4] or 0}")


def _times(line: str, where: str) -> tuple[float, float]:
    left, _, right = line.partition("-->")
    start, stop = _time(left), _time((right.split() or [""])[0])
    if start is None or stop is None:
        raise MitrError(f"{where}: {line.strip()[:60]!r} has no two times such as 00:00:01.000 --> 00:00:02.500")
    if stop < start:
        raise MitrError(f"{where}: the cue stops before it starts: {line.strip()[:60]!r}")
    return start, stop


def _cues(lines: list[str], vtt: bool, path: Path) -> Iterator[_Shown]:
    """The cues of a file: the lines after a line of times, in WebVTT up to an empty line."""
    marks = [i for i, line in enumerate(lines) if "-->" in line]
    above = [line.strip() for line in lines[: min(marks, default=0)] if line.strip()]
    numbered = not vtt and bool(above) and above[-1].isdecimal()
    for mark, following in itertools.pairwise([*marks, len(lines)]):
        start, stop = _times(lines[mark], f"{path}, line {mark + 1}")
        body = lines[mark + 1 : following]
        if vtt:
            body = list(itertools.takewhile(bool, body))
        elif numbered and following < len(lines):
            while body and not body[-1].strip():
                body.pop()
            if body and body[-1].strip().isdecimal():
                body.pop()  # the number of the next cue
        yield _Shown(start, stop, _lines("\n".join(body), vtt))


def _lines(body: str, vtt: bool) -> list[list[_Piece]]:
    """The spoken lines of a cue, without markup, cut at its time marks."""
    lines: list[list[_Piece]] = [[]]
    begins: float | None = None
    for i, part in enumerate((VTT_TAG if vtt else SRT_TAG).split(RUBY.sub("", body))):
        if i % 2:  # the text between < and >
            time = _time(part or "")
            begins = begins if time is None else time
        elif part:
            first, *others = NOISE.sub("", html.unescape(part)).split("\n")
            lines[-1].append(_Piece(begins, first if lines[-1] else DASH.sub("", first)))
            lines += [[_Piece(None, DASH.sub("", other))] for other in others]
            begins = None
    return [line for line in lines if (text := _text(line)) and not ASIDE.fullmatch(text)]


def _text(line: list[_Piece]) -> str:
    return " ".join("".join(piece.text for piece in line).split())


def _unrolled(cues: list[_Shown]) -> list[_Shown]:
    """Cues without repeated lines, if at least half of them repeat lines and one of these also adds a line."""
    repeats = [0, *(_repeated(cue, later) for cue, later in itertools.pairwise(cues))]
    rolls = any(0 < repeat < len(cue.lines) for repeat, cue in zip(repeats, cues, strict=True))
    if not rolls or 2 * sum(map(bool, repeats)) < len(repeats) - 1:
        return cues
    return [cue._replace(lines=cue.lines[repeat:]) for repeat, cue in zip(repeats, cues, strict=True)]


def _repeated(cue: _Shown, later: _Shown) -> int:
    """The number of first lines of a cue that repeat the last lines of the cue before it, without a pause between."""
    if later.start > cue.stop + 0.1:
        return 0
    old, new = [_text(line) for line in cue.lines[-ROLLED:]], [_text(line) for line in later.lines[:ROLLED]]
    return next((n for n in range(min(len(old), len(new)), 0, -1) if old[-n:] == new[:n]), 0)


def _words(cue: _Shown) -> list[Word]:
    """The pieces of a cue between its time marks, or the whole cue if it is a single word."""
    starts, texts = [cue.start], [[""]]
    for piece in itertools.chain.from_iterable([*line, _Piece(None, " ")] for line in cue.lines):
        inside = piece.begins is not None and starts[-1] < piece.begins < cue.stop
        if inside and _parted(texts[-1][-1], piece.text):
            starts.append(piece.begins or 0.0)
            texts.append([piece.text])
        else:  # no mark, or one within a word
            texts[-1].append(piece.text)
    if len(texts) == 1 and not _one_word("".join(texts[0])):
        return []
    pieces = zip(texts, starts, [*starts[1:], cue.stop], strict=True)
    words = [Word(" ".join("".join(text).split()), start, stop) for text, start, stop in pieces]
    return [word for word in words if word.text]


def _parted(text: str, more: str) -> bool:
    """Whether a word ends between two texts."""
    return not text or text[-1].isspace() or more[:1].isspace() or _run_on(text, more)


def _one_word(text: str) -> bool:
    return len(text.split()) == 1 and len(UNSPACED.findall(text)) <= LONGEST_WORD


def _run_on(text: str, more: str) -> bool:
    """Whether both are in a script that puts no space between words."""
    return bool(UNSPACED.match(text[-1:]) and UNSPACED.match(more[:1]))
