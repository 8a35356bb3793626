"""Prompt files, the set for real checkpoints, and sentences."""

from __future__ import annotations

import open_clip
import pytest
from hypothesis import given
from hypothesis import strategies as st

from harness.errors import PromptError
from harness.models import prompts

CATEGORIES = (
    *("attribute binding", "counting", "text in the image", "spatial relation"),
    *("clutter", "style", "people", "landmarks"),
)
CLIP_CONTEXT, T5_CONTEXT = 77, 256


@pytest.fixture(scope="module")
def tokens():
    tokenizer = open_clip.SimpleTokenizer()
    return lambda text: len(tokenizer.encode(text)) + 2


def test_the_set_for_real_checkpoints_covers_its_categories():
    groups = prompts.categories(prompts.DEFAULT)
    assert tuple(groups) == CATEGORIES
    assert all(len(group) >= 5 for group in groups.values())
    assert sum(map(len, groups.values())) >= 40
    assert prompts.read(prompts.DEFAULT) == [prompt for group in groups.values() for prompt in group]


def test_some_of_them_are_long_and_every_sentence_fits(tokens):
    long = [p for p in prompts.read(prompts.DEFAULT) if tokens(p) > CLIP_CONTEXT]
    assert len(long) >= 4
    for prompt in prompts.read(prompts.DEFAULT):
        assert tokens(prompt) < T5_CONTEXT / 2  # other tokenizers cut words finer
        assert all(tokens(sentence) <= CLIP_CONTEXT for sentence in prompts.sentences(prompt))
    assert all(len(prompts.sentences(prompt)) >= 3 for prompt in long)


def test_what_asks_for_text_in_the_image_quotes_it():
    assert all(p.count('"') >= 2 for p in prompts.categories(prompts.DEFAULT)["text in the image"])


def test_a_prompt_belongs_to_the_last_comment_above_it(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("first\n# notes\n#  one \na\n\nb\n## two\n# three\nc\n# one\nd\n")
    assert prompts.categories(path) == {"": ["first"], "one": ["a", "b", "d"], "three": ["c"]}
    assert sorted(prompts.read(path)) == ["a", "b", "c", "d", "first"]


def test_files_are_read_in_their_order(tmp_path):
    path = tmp_path / "mine.txt"
    path.write_text("# one\nb\na\n# two\nc\n")
    assert prompts.read(path) == ["b", "a", "c"]


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"# nothing\n\n", "holds no prompt; write one a line"),
        ("für\n".encode("latin-1"), r"is not UTF-8 \(byte 1\)"),
        (b"a\n# other\na\n", "has a prompt twice, which would count it twice: 'a'"),
        (None, "can't read the prompt file .*: No such file"),
    ],
    ids=["empty", "latin", "twice", "missing"],
)
def test_what_is_wrong_with_a_file_is_named(tmp_path, content, message):
    path = tmp_path / "mine.txt"
    if content is not None:
        path.write_bytes(content)
    with pytest.raises(PromptError, match=message):
        prompts.categories(path)


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("One cat. Two dogs!  Three?", ["One cat.", "Two dogs!", "Three?"]),
        ('A sign says "Stop!" Then a car comes.', ['A sign says "Stop!"', "Then a car comes."]),
        ("Near St. Peter's. A square.", ["Near St. Peter's.", "A square."]),
        ("By J. R. Smith. In oil.", ["By J. R. Smith.", "In oil."]),
        ("animals, e.g. a cat. they run", ["animals, e.g. a cat. they run"]),
        ("It costs 3.50 at No. 7", ["It costs 3.50 at No. 7"]),
        ("It ends... Really. (Yes.) So", ["It ends...", "Really.", "(Yes.)", "So"]),
        ("Über. Äpfel.\nÖl", ["Über.", "Äpfel.", "Öl"]),
        ("no mark at all", ["no mark at all"]),
        ("  ", []),
    ],
)
def test_sentences(text, expected):
    assert prompts.sentences(text) == expected


PARTS = [". ", "! ", "? ", '." ', " ", ".", "St. ", "e.g. ", "J. ", "\n", "… "]
TEXTS = st.lists(st.one_of(st.sampled_from(PARTS), st.text(max_size=6))).map("".join)


@given(TEXTS)
def test_no_word_is_lost_between_sentences(text):
    found = prompts.sentences(text)
    assert " ".join(found) == " ".join(text.split())
    assert all(sentence == sentence.strip() != "" for sentence in found)


@given(TEXTS)
def test_a_sentence_is_its_own_only_sentence(text):
    for sentence in prompts.sentences(text):
        assert prompts.sentences(sentence) == [sentence]


@given(st.lists(st.from_regex(r"[A-Z][a-z]{2,8}( [a-z]{4,8}){1,5}\.", fullmatch=True), min_size=1, max_size=6))
def test_plain_sentences_are_found(sentences):
    assert prompts.sentences(" ".join(sentences)) == sentences


def test_the_mark_that_editors_on_windows_put_first_is_no_prompt(tmp_path):
    path = tmp_path / "prompts.txt"
    path.write_bytes("# people\na\nb\n".encode("utf-8-sig"))
    assert prompts.categories(path) == {"people": ["a", "b"]}
