"""The SD3.5-Large study's records: read, written, averaged by timestep."""

from __future__ import annotations

import bz2
import gzip
import json
import tracemalloc

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from harness.analysis.lokr.angle_records import AngleRecord, RecordError, Writer, read, timestep_means
from tests.helpers.angles import write

angles = st.floats(0, 1)


@st.composite
def files(draw):
    text, image = draw(st.integers(0, 4)), draw(st.integers(1, 4))
    top = draw(st.sampled_from([1.0, 1000.0]))
    one = st.builds(
        AngleRecord,
        st.floats(0, top),
        st.tuples(*[angles] * text),
        st.tuples(*[angles] * image),
    )
    return draw(st.lists(one, min_size=1, max_size=12))


def made(count, text=2, image=3, top=1000.0, seed=0):
    rng = np.random.default_rng(seed)
    return [AngleRecord(top * rng.random(), tuple(rng.random(text)), tuple(rng.random(image))) for _ in range(count)]


def reference(records, bins, top):
    """All records at once."""
    place = np.minimum([int(r.timestep / top * bins) for r in records], bins - 1)
    out = []
    for name in ("encoder_hidden_states", "hidden_states"):
        table = np.array([getattr(r, name) for r in records])
        rows = [table[place == b].mean(axis=0) if (place == b).any() else np.nan for b in range(bins)]
        out.append(np.array([np.broadcast_to(row, table.shape[1]) for row in rows]))
    return np.bincount(place, minlength=bins), *out


@settings(deadline=None, max_examples=40)
@given(files())
def test_what_is_written_is_read(tmp_path_factory, records):
    path = tmp_path_factory.mktemp("records") / "some.jsonl"
    write(path, records)
    assert list(read(path)) == records


@settings(deadline=None, max_examples=40)
@given(files(), st.integers(1, 12))
def test_means_are_those_of_all_records_at_once(records, bins):
    top = 1000.0 if max(r.timestep for r in records) > 1 else 1.0
    found = timestep_means(iter(records), bins)
    count, text, image = reference(records, bins, top)
    np.testing.assert_array_equal(found.count, count)
    np.testing.assert_allclose(found.text, text, rtol=1e-9)
    np.testing.assert_allclose(found.image, image, rtol=1e-9)
    np.testing.assert_allclose(found.edges, np.linspace(0, 1, bins + 1))


def test_a_line_is_the_studys(tmp_path):
    path = tmp_path / "some.jsonl"
    path.write_text('{"timestep": 512, "encoder_hidden_states": [0.5], "hidden_states": [0.25, 1]}\n\n')
    (record,) = read(path)
    assert record == AngleRecord(512.0, (0.5,), (0.25, 1.0))
    assert list(json.loads(record.line())) == ["timestep", "encoder_hidden_states", "hidden_states"]


def test_the_two_scales():
    small = [AngleRecord(1.0, (0.1,), (0.2,)), AngleRecord(0.05, (0.3,), (0.4,))]
    assert timestep_means(small).count.tolist() == [1, 0, 0, 0, 0, 0, 0, 0, 0, 1]
    assert timestep_means(small, top=1000).count.tolist() == [2, *[0] * 9]
    assert timestep_means([*small, AngleRecord(1000.0, (0.1,), (0.2,))]).count.tolist() == [2, *[0] * 8, 1]


def test_bins_without_samples_are_nan():
    found = timestep_means([AngleRecord(999.0, (0.1,), (0.2,))], 4)
    assert np.isnan(found.image[:3]).all()
    assert found.image[3] == [0.2]


def test_memory_does_not_grow_with_the_records(tmp_path):
    def peak(count):
        path = tmp_path / f"{count}.jsonl"
        write(path, made(count, 37, 38))
        tracemalloc.start()
        timestep_means(read(path))
        most = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        return most

    assert peak(600) < 2 * peak(60)


def test_writing_appends(tmp_path):
    path = tmp_path / "more" / "some.jsonl"
    records = made(4, top=1.0)
    write(path, records[:1])
    with Writer(path) as writer:
        for i, record in enumerate(records[1:], start=2):
            writer.add(record)
            assert len(list(read(path))) == i  # each is whole on disk at once


@pytest.mark.parametrize(
    ("record", "said"),
    [
        (AngleRecord(0.5, (0.1,), (0.2, 0.3, 0.4)), "has 2 text and 3 image angles a line, this record 1 text"),
        (AngleRecord(float("nan"), (0.1, 0.2), (0.2, 0.3, 0.4)), "timestep nan is outside 0..1000"),
        (AngleRecord(0.5, (0.1, float("inf")), (0.2, 0.3, 0.4)), "encoder_hidden_states has inf"),
        (
            AngleRecord(512.0, (0.1, 0.2), (0.2, 0.3, 0.4)),
            "timestep 512.0 is outside 0..1; divide",
        ),
    ],
)
def test_what_could_not_be_read_is_not_written(tmp_path, record, said):
    path = tmp_path / "some.jsonl"
    write(path, made(1, top=1.0))
    with pytest.raises(RecordError) as error, Writer(path) as writer:
        writer.add(record)
    assert said in str(error.value)
    assert len(list(read(path))) == 1


GOOD = '{"timestep": 5, "encoder_hidden_states": [0.1], "hidden_states": [0.2, 0.3]}'


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("{", "Expecting property name"),
        ("[1]", "record is [1], not an object"),
        (GOOD.replace("0.1", "NaN"), "NaN is no stored value"),
        (GOOD.replace("0.1", "1e999"), "encoder_hidden_states has inf; an angle"),
        (GOOD.replace("0.1", "true"), "record.encoder_hidden_states[0] is True, not a number"),
        (GOOD.replace("0.1", "-0.1"), "encoder_hidden_states has -0.1; an angle"),
        (GOOD.replace("5", "1001"), "timestep 1001.0 is outside 0..1000"),
        (GOOD.replace("[0.2, 0.3]", "[0.2]"), "1 text and 1 image angles, after 1 text and 2 image angles"),
        (GOOD.replace("[0.2, 0.3]", "[]"), "hidden_states is empty"),
        (GOOD.replace("[0.2, 0.3]", '"x"'), "record.hidden_states is 'x', not a list"),
        (
            GOOD.replace("timestep", "t"),
            "record.t is unknown; the fields are timestep, encoder_hidden_states",
        ),
        (GOOD.replace('"timestep": 5, ', ""), "record.timestep is missing"),
        ("\xff", "'utf-8' codec can't decode"),
    ],
)
def test_a_bad_line_is_named(tmp_path, line, said):
    path = tmp_path / "some.jsonl"
    path.write_bytes(f"{GOOD}\n\n".encode() + line.encode("latin-1") + b"\n")
    with pytest.raises(RecordError) as error:
        list(read(path))
    assert said in str(error.value)
    assert f"{path}, line 3: " in str(error.value)


def test_a_file_that_is_not_there(tmp_path):
    with pytest.raises(RecordError, match="can't read the records"):
        list(read(tmp_path / "none.jsonl"))


@pytest.mark.parametrize(
    ("records", "top", "said"),
    [
        ([], None, "no records"),
        (
            [AngleRecord(0.1, (), (0.1,)), AngleRecord(0.1, (), (0.1, 0.2))],
            None,
            "record 1 has 0 text and 2 image angles",
        ),
        ([AngleRecord(5.0, (), (0.1,))], 1.0, "record 0 has timestep 5, above 1"),
    ],
)
def test_what_cannot_be_averaged(records, top, said):
    with pytest.raises(RecordError, match=said):
        timestep_means(records, top=top)


@pytest.mark.parametrize(("suffix", "compress"), [("gz", gzip.compress), ("bz2", bz2.compress), ("dat", gzip.compress)])
def test_the_studys_own_files_are_compressed(tmp_path, suffix, compress):
    plain, packed = tmp_path / "some.jsonl", tmp_path / f"some.jsonl.{suffix}"
    records = made(40, top=1.0)
    write(plain, records)
    packed.write_bytes(compress(plain.read_bytes()))
    assert list(read(packed)) == records
    with pytest.raises(RecordError, match="is compressed, and lines are appended as plain text"), Writer(packed):
        pass
    packed.write_bytes(compress(plain.read_bytes())[:-20])
    with pytest.raises(RecordError, match=f"{packed} is a damaged archive, after line"):
        list(read(packed))
    packed.write_bytes(compress(b'{"timestep": 5}\n'))
    with pytest.raises(RecordError, match=r"line 1: record.encoder_hidden_states is missing"):
        list(read(packed))


def test_a_line_that_never_ends_does_not_fill_the_memory(tmp_path):
    path = tmp_path / "some.jsonl.gz"
    path.write_bytes(gzip.compress(b" 1" * 20_000_000))
    tracemalloc.start()
    with pytest.raises(RecordError, match="line 1: the line is longer than 1048576 bytes"):
        list(read(path))
    most = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert most < 10e6


def test_records_of_the_other_scale_are_not_appended_to(tmp_path):
    path = tmp_path / "some.jsonl"
    write(path, made(3))
    with pytest.raises(RecordError, match="on diffusers' scale, and records are written with"):
        Writer(path).__enter__()


def test_a_writer_that_is_closed(tmp_path):
    with pytest.raises(RecordError, match="is not open"):
        Writer(tmp_path / "some.jsonl").add(made(1)[0])


def test_a_file_that_ends_inside_a_line_goes_on_on_a_fresh_one(tmp_path):
    path, records = tmp_path / "some.jsonl", made(4, top=1.0)
    write(path, records[:3])
    whole = path.read_bytes()
    lines = whole.splitlines(keepends=True)
    for cut in range(len(lines[2])):
        path.write_bytes(whole[: len(whole) - len(lines[2]) + cut])
        with Writer(path) as writer:
            writer.add(records[3])
        kept = records[:3] if cut == len(lines[2]) - 1 else records[:2]  # of the last one only the newline is gone
        assert list(read(path)) == [*kept, records[3]]


def test_a_file_of_something_else_is_not_cut(tmp_path):
    path = tmp_path / "notes.txt"
    for text in (GOOD.replace("5", "0.5", 1) + "\nmy last line", "my last line"):
        path.write_text(text)
        with pytest.raises(RecordError, match=r"notes\.txt, line"):
            Writer(path).__enter__()
        assert path.read_text() == text
