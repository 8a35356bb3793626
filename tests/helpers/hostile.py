"""JSON that a reader of ours must refuse in its own words: arbitrary, and valid documents with something altered."""

import json

from hypothesis import strategies as st

scalars = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(),
    st.sampled_from([10**400, -(10**400), 0, 1, -1]),
    st.floats(),  # with NaN and the infinities, which json.dumps writes as such
    st.text(max_size=8),
    st.sampled_from(["nan", "inf", "\ud800", "a" * 1000]),
)
# Parsed by json, and too deep for repr().
deep = st.integers(1, 400).map(lambda depth: json.loads("[" * depth + "]" * depth))
values = st.recursive(
    scalars | deep,
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=8), inner, max_size=4),
    max_leaves=12,
)
# What json.dumps can't make.
broken = st.sampled_from(
    ["", "{", "[" * 100_000, '{"a":' * 100_000, "1e999", "9" * 10_000, '{"schema": 1e999}', "\ufeff{}"]
)


def places(document, at=()):
    """The paths of everything inside a document, itself first."""
    yield at
    if isinstance(document, dict | list):
        for key, held in document.items() if isinstance(document, dict) else enumerate(document):
            yield from places(held, (*at, key))


@st.composite
def altered(draw, document):
    """A document in which one to three values are others, or are gone."""
    document = json.loads(json.dumps(document))
    for _ in range(draw(st.integers(1, 3))):
        path = draw(st.sampled_from(list(places(document))))
        if not path:
            document = draw(values)
            continue
        holder = document
        for key in path[:-1]:
            holder = holder[key]
        if draw(st.booleans()) or isinstance(holder, list):
            holder[path[-1]] = draw(values)
        else:
            del holder[path[-1]]
    return document


def documents(valid):
    """Arbitrary data, and a valid document altered."""
    return values | altered(valid)


def texts(valid):
    """The same as JSON texts, and texts that are none."""
    return documents(valid).map(json.dumps) | broken | st.text(max_size=40)
