"""Text, SubRip and WebVTT files: what is said, when, and what is refused."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from mitr.errors import MitrError
from mitr.media.words.captions import Cue, Transcript, Word, between, fitted, read_transcript, sidecars_of, words_of

ROLLING = """WEBVTT
Kind: captions
Language: en

00:00:00.160 --> 00:00:02.150 align:start position:0%
 
hello<00:00:00.480><c> world</c><00:00:00.800><c> this</c>

00:00:02.150 --> 00:00:02.160 align:start position:0%
hello world this
 

00:00:02.160 --> 00:00:04.309 align:start position:0%
hello world this
is<00:00:02.399><c> a</c><00:00:02.560><c> test</c>

00:00:04.309 --> 00:00:04.319 align:start position:0%
is a test
 

00:00:04.319 --> 00:00:06.000 align:start position:0%
is a test
[Music]
"""  # noqa: W293


@pytest.fixture
def read(tmp_path):
    """Write text to a file of the given name and read it as a transcript."""

    def write_and_read(text: str | bytes, name: str = "clip.srt") -> Transcript:
        path = tmp_path / name
        path.write_bytes(text if isinstance(text, bytes) else text.encode())
        return read_transcript(path)

    return write_and_read


def cue(text: str, times: str = "00:00:01,000 --> 00:00:02,500") -> str:
    return f"1\n{times}\n{text}\n"


def vtt(text: str, times: str = "00:01.000 --> 00:02.500") -> str:
    return f"WEBVTT\n\n{times}\n{text}\n"


def test_plain_text(read):
    assert read("\ufeffI liked \n it.\n", "clip.TXT") == Transcript("I liked it.", (), (), "clip.TXT")
    assert read(" \n", "clip.txt").text == ""


def test_subrip(read):
    text = "1\n00:00:01,000 --> 00:00:02,500 X1:1\nI liked\nit.\n\n2\n01:00:03,040 --> 01:00:04,000\nYes.\n"
    assert read(text) == Transcript(
        "I liked it. Yes.",
        (Cue(1.0, 2.5, "I liked it."), Cue(3603.04, 3604.0, "Yes.")),
        (Word("Yes.", 3603.04, 3604.0),),
        "clip.srt",
    )


@pytest.mark.parametrize("ends", ["\n", "\r\n", "\r"])
def test_line_ends_and_byte_order_mark(read, ends):
    text = f"\ufeff{cue('a b')}\n2\n00:00:03,000 --> 00:00:04,000\nc d\n"
    assert read(text.replace("\n", ends)).cues == (Cue(1.0, 2.5, "a b"), Cue(3.0, 4.0, "c d"))


@pytest.mark.parametrize(
    ("text", "cues"),
    [
        ("1\n0:01 --> 0:02\nin\n\n1984\n\n2\n0:03 --> 0:04\nb b\n", ["in 1984", "b b"]),
        ("1\n0:01 --> 0:02\n1984\n2\n0:03 --> 0:04\n1985", ["1984", "1985"]),
        ("0:01 --> 0:02\n1984\n\n0:03 --> 0:04\nb b\n", ["1984", "b b"]),  # not numbered
        ("1\n0:01 --> 0:02\n\n2\n0:03 --> 0:04\nb b\n", ["b b"]),  # nothing said
        ("\n\n1\n\n0:01 --> 0:02\n\na a\n\n2\n\n0:03 --> 0:04\n\nb b", ["a a", "b b"]),
        ("2\n0:03 --> 0:04\nb b\n\n1\n0:01 --> 0:02\na a\n", ["a a", "b b"]),  # by time
    ],
)
def test_loose_subrip(read, text, cues):
    assert [cue.text for cue in read(text).cues] == cues


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("<i>I</i> <font color='#fff'>liked</font> {\\an8}it", "I liked it"),
        ("I <3 you & <b>him</b> &amp; her, a < b", "I <3 you & him & her, a < b"),
        ("[laughs] Great [to\nbe] here", "Great here"),
        ("【笑】很好", "很好"),
        ("<i>[</i>Music]", ""),
        ("(door slams)\nWho (of you) did it?", "Who (of you) did it?"),
        ("♪ la la ♪", "la la"),
        ("♪♪", ""),
        (">> Hello.\n- Hi - there.\n-5 degrees", "Hello. Hi - there. -5 degrees"),
    ],
)
def test_what_nobody_says_is_left_out(read, written, said):
    assert read(cue(written)).text == said
    assert len(read(cue(written)).cues) == (said != "")


@pytest.mark.parametrize(
    ("written", "said"),
    [
        ("<v.loud Esme O'Hara>It’s <c.x.y>blue</c> &lt;3</v>", "It’s blue <3"),
        ("<lang en-GB>colour</lang> <u>b", "colour b"),
        ("<ruby>漢<rt>kan</rt>字<rt>ji</ruby>です", "漢字です"),
        ("a <unended tag", "a"),
        ("1 &lt; 2 &gt; 0 &amp;&nbsp;x", "1 < 2 > 0 & x"),
    ],
)
def test_webvtt_markup(read, written, said):
    assert read(vtt(written), "clip.vtt").text == said


def test_webvtt_blocks(read):
    text = (
        "WEBVTT - a title\nKind: captions\n\nNOTE\nnot said\n\nSTYLE\n::cue { color: red }\n\nREGION\nid:fred\n\n"
        "intro\n00:01.000 --> 100:00:02.500 line:0\na a\n\nNOTE not said\nnor this\n\nstray\n\n"
        "00:03.000 --> 00:04.000\nb b\n00:05.000 --> 00:06.000\nc c"
    )
    assert read(text, "clip.vtt").cues == (Cue(1, 360002.5, "a a"), Cue(3, 4, "b b"), Cue(5, 6, "c c"))


def test_rolling_captions_are_not_said_twice(read):
    transcript = read(ROLLING, "clip.vtt")
    assert transcript.text == "hello world this is a test"
    assert transcript.cues == (Cue(0.16, 2.15, "hello world this"), Cue(2.16, 4.309, "is a test"))
    assert transcript.words == (
        Word("hello", 0.16, 0.48),
        Word("world", 0.48, 0.8),
        Word("this", 0.8, 2.15),
        Word("is", 2.16, 2.399),
        Word("a", 2.399, 2.56),
        Word("test", 2.56, 4.309),
    )


def test_rolling_subrip(read):
    rows = ["a a", "a a\nb b", "a a\nb b\nc c", "b b\nc c\nd d"]
    text = "\n".join(cue(row, f"00:00:0{i},000 --> 00:00:0{i + 1},000") for i, row in enumerate(rows))
    assert [cue.text for cue in read(text).cues] == ["a a", "b b", "c c", "d d"]


@pytest.mark.parametrize(
    "rows",
    [
        ["No.", "No.", "No.", "I said no."],  # nothing goes on below what is repeated
        ["No.", "No.\nI said no.", "Why?", "So.", "Well."],  # once in five cues is no rolling
    ],
)
def test_what_is_said_twice_stays(read, rows):
    text = "\n".join(cue(row, f"00:00:0{i},000 --> 00:00:0{i + 1},000") for i, row in enumerate(rows))
    assert read(text).text == " ".join(rows).replace("\n", " ")


def test_after_a_pause_nothing_rolls(read):
    rows = ["a a", "a a\nb b", "b b\nc c"]
    text = "\n".join(cue(row, f"00:00:{2 * i:02d},000 --> 00:00:{2 * i + 1:02d},000") for i, row in enumerate(rows))
    assert read(text).text == "a a a a b b b b c c"


def test_time_marks(read):
    written = "<00:01.000>un<00:01.200>believable <00:01.500>big news<00:09.000> x"
    words = read(vtt(written), "clip.vtt").words
    assert words == (Word("unbelievable", 1.0, 1.5), Word("big news x", 1.5, 2.5))  # a mark beyond the end is none


def test_time_marks_without_spaces(read):
    words = read(vtt("我<00:01.200>不想<00:01.500>嫁"), "clip.vtt").words
    assert words == (Word("我", 1.0, 1.2), Word("不想", 1.2, 1.5), Word("嫁", 1.5, 2.5))


@pytest.mark.parametrize(("text", "count"), [("Yes.", 1), ("Oh yes", 0), ("喜欢", 1), ("我不想嫁给李茶", 0)])
def test_a_cue_of_one_word(read, text, count):
    assert len(read(cue(text)).words) == count


@pytest.mark.parametrize(
    ("text", "name", "message"),
    [
        (b"1\n00:00:01,000 --> 00:00:02,000\nna\xefve\n", "a.srt", "line 3: this is not text in UTF-8"),
        ("h\0i\0", "a.txt", "line 1: this is not text in UTF-8"),
        (cue("a").encode("utf-16"), "a.srt", "line 1: this is not text in UTF-8"),
        ("", "a.srt", "has no cue"),
        ("WEBVTT\n\nNOTE nothing\n", "a.vtt", "has no cue"),
        (cue("a"), "a.vtt", "line 1: a WebVTT file begins with WEBVTT"),
        ("WEBVTTX\n\n00:01.000 --> 00:02.000\na", "a.vtt", "line 1"),
        (cue("a", "00:00:03,000 --> 00:00:02,000"), "a.srt", "line 2: the cue stops before it starts"),
        (vtt("a", "00:61.000 --> 02:00.000"), "a.vtt", "line 3: '00:61.000 --> 02:00.000' has no two times"),
        (cue("a", "00:00:01,000 -->"), "a.srt", "line 2"),
        (cue("a") + cue("b", "one --> two"), "a.srt", "line 5"),
        ("x" * (4 << 20) + "x", "a.txt", "larger than 4 MB"),
        ("a", "a.docx", "read from .txt, .srt and .vtt"),
    ],
)
def test_broken_files(read, text, name, message):
    with pytest.raises(MitrError) as caught:
        read(text, name)
    assert f"{name}" in str(caught.value)
    assert message in str(caught.value)


def test_no_file(tmp_path):
    (tmp_path / "folder.srt").mkdir()
    for name in ("folder.srt", "none.srt"):
        with pytest.raises(MitrError, match=f"{name} is not a file"):
            read_transcript(tmp_path / name)


def test_sidecars(tmp_path):
    clip = tmp_path / "my clip.mp4"
    assert list(sidecars_of(clip)) == []
    (tmp_path / "my clip.txt").mkdir()
    assert list(sidecars_of(clip)) == []
    made = []
    for name in ("my clip.mp4.tXt", "my clip.VTT", "my clip.mp4.vtt", "my clip.srt", "my clip.mp4.SRT"):
        (tmp_path / name).touch()
        made.insert(0, tmp_path / name)  # each comes before those made so far
        assert list(sidecars_of(clip)) == made
    assert next(sidecars_of(tmp_path / "my clip.srt")) == tmp_path / "my clip.VTT"  # not itself


def test_what_outlasts_the_clip_ends_with_it():
    cues = (Cue(0, 2, "in"), Cue(1, 9, "over"), Cue(5, 6, "late"))
    whole = Transcript("in over late", cues, (Word("over", 3.5, 9.0),), "x.srt")
    cut = fitted(whole, 4.0)
    assert cut.cues == (Cue(0, 2, "in"), Cue(1, 4.0, "over"), Cue(5, 6, "late"))
    assert cut.words == (Word("over", 3.5, 4.0),)
    assert (cut.text, cut.source) == (whole.text, whole.source)
    assert between(cut, 1.5, 4) == "over"  # its middle would lie after the end
    assert fitted(whole, 0.0) == whole


def test_between():
    cues = (Cue(0, 2, "hello world"), Cue(2, 4, "a whole cue"), Cue(2.5, 3, "Yes."), Cue(5, 6, "我不"))
    words = (Word("hello", 0, 1), Word("world", 1, 2), Word("Yes.", 2.5, 3), Word("我", 5, 5.4), Word("不", 5.4, 6))
    transcript = Transcript("", cues, words, "given")
    assert between(transcript, 0, 1) == "hello"
    assert between(transcript, 0.5, 1.5) == "hello"  # middles: .5 belongs, 1.5 does not
    assert between(transcript, 1, 2.9) == "world Yes."
    assert between(transcript, 2.9, 3.1) == "a whole cue"
    assert between(transcript, 0, 9) == "hello world a whole cue Yes. 我不"
    assert between(Transcript("no timings", (), (), "given"), 0, 9) == ""


@given(
    spans=st.lists(st.tuples(st.integers(0, 50), st.integers(0, 5), st.booleans()), max_size=12),
    cuts=st.lists(st.integers(1, 59), max_size=5),
)
def test_every_word_is_said_in_one_stretch(spans, cuts):
    cues = [Cue(float(start), float(start + length), f"w{i}.") for i, (start, length, _) in enumerate(spans)]
    words = [Word(cue.text, cue.start, cue.stop) for cue, (_, _, timed) in zip(cues, spans, strict=True) if timed]
    cues.sort(key=lambda cue: cue.start)
    words.sort(key=lambda word: word.start)
    transcript = Transcript("", tuple(cues), tuple(words), "given")
    edges = [0, *sorted(set(cuts)), 60]
    said = [between(transcript, start, stop) for start, stop in itertools.pairwise(edges)]
    assert sorted(" ".join(said).split()) == sorted(cue.text for cue in cues)


@given(st.text(alphabet=st.sampled_from("01:.,->\n <>{}[]()&;♪vtc w我"), max_size=200), st.sampled_from(["srt", "vtt"]))
def test_any_text_is_read_or_refused(tmp_path_factory, body, kind):
    path = tmp_path_factory.mktemp("any") / f"a.{kind}"
    path.write_text(f"WEBVTT\n\n00:01.000 --> 00:02.000\n{body}", encoding="utf-8")
    try:
        transcript = read_transcript(path)
    except MitrError:
        return
    assert all(cue.text and "\n" not in cue.text for cue in transcript.cues)
    assert all(word.start <= word.stop for word in transcript.words)


def test_words_beside_the_clip_come_before_those_of_the_table(tmp_path):
    clip = tmp_path / "1.mp4"
    clip.touch()
    assert words_of(clip) is None
    assert words_of(clip, "  ") is None
    found = words_of(clip, " hello ")
    assert found is not None
    assert (found.text, found.source) == ("hello", "label.csv")
    (tmp_path / "1.txt").write_text("other words\n")
    found = words_of(clip, "hello")
    assert found is not None
    assert (found.text, found.source) == ("other words", "1.txt")
    (tmp_path / "1.srt").write_text("1\n00:00:00,000 --> 00:00:01,000\n[Music]\n")  # nobody says it
    found = words_of(clip, "hello")
    assert found is not None
    assert found.source == "1.txt"
    (tmp_path / "1.txt").write_text(" \n")
    found = words_of(clip, "hello")
    assert found is not None
    assert found.text == "hello"
