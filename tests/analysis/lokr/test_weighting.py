"""LoKr by block: the study's shipped factors, and files that rule each layer as they say."""

from __future__ import annotations

import fnmatch
import json
import re

import numpy as np
import pytest
from torch import nn

from harness.analysis.lokr.weighting import LokrError, blocks, critical_blocks, dump, lycoris, maps, weigh
from harness.models.spec import AURAFLOW, FLUX, SD3
from tests.helpers import models, study_maps
from tests.helpers.lokr import CRITICAL, IMAGE, SHIPPED, TEXT, agreement, profile

FAMILIES = {"flux": FLUX, "sd3": SD3, "auraflow": AURAFLOW}


def test_the_shipped_factors_come_out_of_the_published_means():
    found = weigh([IMAGE], [TEXT], CRITICAL)
    exact, near = agreement(found.factors)
    assert near == 37
    assert exact >= 32
    assert exact == 34  # as the module says
    assert found.factors[-1] == found.factors[-2] == 4


def test_the_shipped_factors_come_out_of_the_published_figure():
    """From all cells: only layer 18 is off by one, at 8.5 between two factors."""
    found = weigh(study_maps.IMAGE, study_maps.TEXT)
    assert found.critical == CRITICAL
    assert [i for i, (ours, shipped) in enumerate(zip(found.factors, SHIPPED, strict=True)) if ours != shipped] == [18]
    assert (found.factors[18], SHIPPED[18]) == (9, 8)
    assert 1 + (1 - found.contribution[18]) * 11 == pytest.approx(8.5, abs=0.03)


def test_the_critical_layers_come_out_of_the_published_means():
    assert critical_blocks([IMAGE], [TEXT]) == CRITICAL
    assert weigh([IMAGE], [TEXT]).factors == weigh([IMAGE], [TEXT], CRITICAL).factors


@pytest.mark.parametrize(
    ("caps", "among", "expected"),
    [
        ((9.0, 9.0), range(37), (10, 18)),
        ((np.percentile([*IMAGE, *TEXT], 90),) * 2, range(37), (33, 37)),
        ((9.0, 9.0), [i for i in range(37) if i not in CRITICAL], (13, 24)),
    ],
    ids=["no clip", "one percentile for both", "min-max without the critical blocks"],
)
def test_other_readings_agree_less(caps, among, expected):
    """What the module's docstring says of them, by hand."""
    combined = (2 / 3 * np.minimum(IMAGE[:-1], caps[0]) + 1 / 3 * np.minimum(TEXT, caps[1])) / 2
    share = np.clip((combined - combined[among].min()) / np.ptp(combined[among]), 0, 1)
    factors = np.rint((1 - share) * 11 + 1)
    factors[list(CRITICAL)] = 1
    assert agreement([*factors, 4]) == expected


def reference(image, text):
    """The recipe line by line, cell by cell."""
    ceiling = [np.percentile([v for row in table for v in row], 90) for table in (image, text)]
    length = len(text[0])
    sums = [
        sum(
            (2 / 3 * min(a[i], ceiling[0]) + 1 / 3 * min(b[i], ceiling[1])) / 2
            for a, b in zip(image, text, strict=True)
        )
        for i in range(length)
    ]
    low, high = min(sums), max(sums)
    return [round((1 - (s - low) / (high - low)) * 11 + 1) for s in sums]


@pytest.mark.parametrize("shorter", [0, 1])
def test_maps_by_bin_are_clipped_before_their_mean(shorter):
    rng = np.random.default_rng(shorter)
    image, text = rng.random((10, 9)) ** 3, rng.random((10, 9 - shorter)) ** 3
    found = weigh(image, text, ())
    expected = reference(image.tolist(), text.tolist())
    assert list(found.factors) == expected + expected[-1:] * shorter
    assert np.isnan(found.contribution).sum() == np.isnan(found.text).sum() == shorter
    assert np.nanmin(found.contribution) == 0
    assert np.nanmax(found.contribution) == 1
    flat = weigh([image.mean(axis=0)], [text.mean(axis=0)], ())
    assert flat.factors != found.factors  # the order matters


def test_bins_without_samples_are_left_out():
    rng = np.random.default_rng(0)
    image, text = rng.random((4, 6)), rng.random((4, 6))
    empty = np.full((1, 6), np.nan)
    assert weigh(np.vstack([empty, image]), np.vstack([empty, text])).factors == weigh(image, text).factors


def test_critical_blocks_get_the_smallest_factor():
    rng = np.random.default_rng(0)
    image, text = rng.random((4, 6)), rng.random((4, 5))
    free, held = weigh(image, text, ()).factors, weigh(image, text, (2, 4)).factors
    assert [held[i] for i in (2, 4, 5)] == [1, 1, 1]  # the last copies its neighbour
    assert [held[i] for i in (0, 1, 3)] == [free[i] for i in (0, 1, 3)]
    assert free[2] > 1
    assert weigh(image, text, (5,)).factors[5] == 1
    assert weigh(image, text, (5,)).factors[:5] == weigh(image, text, ()).factors[:5]


@pytest.mark.parametrize(
    ("image", "text", "critical", "said"),
    [
        (np.ones((1, 4)), np.ones((1, 2)), (), "don't go together"),
        (np.ones((1, 4)), np.ones((2, 4)), (), "don't go together"),
        (np.ones((1, 4)), np.ones((1, 4)), (), "every block turns its states as far"),
        (np.full((1, 4), np.nan), np.ones((1, 4)), (), "no sample"),
        ([[0.1, np.nan]], [[0.1, 0.2]], (), "aren't finite"),
        ([[0.1, 0.2]], [[0.1, 0.2]], (2,), "critical block 2 is none of the 2 blocks"),
    ],
)
def test_what_cannot_be_weighed(image, text, critical, said):
    with pytest.raises(LokrError, match=said):
        weigh(image, text, critical)


def rule(factor):
    return {"algo": "lokr", "factor": factor, "linear_dim": 1000000, "linear_alpha": 1, "full_matrix": True}


def test_the_published_file():
    factors = [*range(1, 13)]
    config = lycoris(SD3, {"joint": 12}, factors, as_published=True)
    expected = {}
    for n, f in enumerate(factors):
        for part in ("norm1*", "norm1_context*", "ff*"):
            expected[f"transformer_blocks.{n}.{part}"] = rule(f)
        expected[f"transformer_blocks.{n}.*"] = rule(2 * f)
    assert config == {
        "algo": "lokr",
        "multiplier": 1.0,
        "linear_dim": 1000000,
        "linear_alpha": 1,
        "factor": 1,
        "full_matrix": True,
        "apply_preset": {
            "target_module": ["JointTransformerBlock"],
            "name_algo_map": expected,
            "use_fnmatch": True,
        },
    }
    kept = json.loads(dump(config))["apply_preset"]["name_algo_map"]
    assert list(kept) == list(expected)
    ours = lycoris(SD3, {"joint": 12}, factors)["apply_preset"]["name_algo_map"]
    assert list(ours) == [*expected, "transformer_blocks.[0-9]", "transformer_blocks.[0-9][0-9]"]
    assert {key: ours[key] for key in expected} == expected


def test_as_many_factors_as_blocks():
    with pytest.raises(LokrError, match="3 factors for 4 blocks"):
        lycoris(SD3, {"joint": 4}, [1, 2, 3])


def built(name):
    """A model with more than ten blocks in each stack, its stacks' lengths, and a different factor for each block."""
    sizes = {"flux": (11, 12), "sd3": (12, (0, 1)), "auraflow": (11, 12)}
    model = models.FAMILIES[name](*sizes[name])[0]
    lengths = {s.name: len(getattr(model, s.attribute)) for s in FAMILIES[name].stacks}
    return model, lengths, list(range(3, 3 + sum(lengths.values())))


def intended(name, module):
    """How many times a block's factor a layer is meant to get: attention twice."""
    return 2 if re.search(r"\.attn2?\.", module) else 1


@pytest.mark.parametrize("name", FAMILIES)
def test_the_first_pattern_that_fits_a_layer_is_its_own(name):
    model, lengths, factors = built(name)
    config = lycoris(FAMILIES[name], lengths, factors)["apply_preset"]
    owners = blocks(FAMILIES[name], lengths)
    linear = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)]
    inside = 0
    for layer in linear:
        fitting = [p for p in config["name_algo_map"] if fnmatch.fnmatch(layer, p)]
        owner = [b for b in owners if layer.startswith(f"{b}.")]
        if not owner:
            assert not fitting  # embeddings and the output layer are left as they are
            continue
        inside += 1
        block = owners.index(owner[0])
        assert all(p.startswith(f"{owner[0]}.") for p in fitting)
        assert config["name_algo_map"][fitting[0]]["factor"] == factors[block] * intended(name, layer)
    assert inside > 5 * len(owners)
    classes = {type(m).__name__ for n, m in model.named_modules() if n in owners}
    assert set(config["target_module"]) == classes


@pytest.mark.parametrize("name", FAMILIES)
def test_every_pattern_fits_something_of_its_block_first(name):
    model, lengths, factors = built(name)
    patterns = lycoris(FAMILIES[name], lengths, factors)["apply_preset"]["name_algo_map"]
    names = [n for n, m in model.named_modules() if isinstance(m, nn.Linear)] + blocks(FAMILIES[name], lengths)
    used = {next((p for p in patterns if fnmatch.fnmatch(n, p)), None) for n in names}
    # norm1* takes norm1_context as well; the study's file names both.
    assert set(patterns) - used == {p for p in patterns if p.endswith(".norm1_context*")}


def walked(model, config):
    """Factors by layer as LyCORIS 3.1.0 and 4.1.3 give them, in our words.

    It walks the modules. One of a target class whose own name fits no pattern is taken as a whole, under the settings
    that the last pattern looked up left behind; any other is taken alone where its name fits one. First come, first
    served.
    """
    preset, left, got = config["apply_preset"], {}, {}
    for name, module in model.named_modules():
        fitting = [rule for p, rule in preset["name_algo_map"].items() if fnmatch.fnmatch(name, p)]
        if type(module).__name__ in preset["target_module"] and not fitting:
            for inner, child in module.named_modules(prefix=name):
                if isinstance(child, nn.Linear):
                    got.setdefault(inner, left.get("factor", config["factor"]))
            left = {}
        elif fitting:
            left = fitting[0]
            if name not in got:
                if isinstance(module, nn.Linear):
                    got[name] = left["factor"]
                left = {}
    return got


def meant(name, model, lengths, factors):
    owners = blocks(FAMILIES[name], lengths)
    linear = [layer for layer, module in model.named_modules() if isinstance(module, nn.Linear)]
    return {
        layer: factor * intended(name, layer)
        for owner, factor in zip(owners, factors, strict=True)
        for layer in linear
        if layer.startswith(f"{owner}.")
    }


@pytest.mark.parametrize("name", FAMILIES)
def test_every_layer_gets_its_factor(name):
    model, lengths, factors = built(name)
    assert walked(model, lycoris(FAMILIES[name], lengths, factors)) == meant(name, model, lengths, factors)


def test_the_published_file_is_off_by_one_block():
    model, lengths, factors = built("sd3")
    got = walked(model, lycoris(SD3, lengths, factors, as_published=True))
    for layer, factor in got.items():
        block = int(layer.split(".")[1])
        assert factor == ([1, *factors][block])


@pytest.mark.parametrize("published", [False, True])
@pytest.mark.parametrize("name", FAMILIES)
def test_lycoris_itself_agrees(name, published):
    """Where it is installed: the package is no dependency."""
    wrapper = pytest.importorskip("lycoris.wrapper")
    model, lengths, factors = built(name)
    config = lycoris(FAMILIES[name], lengths, factors, as_published=published)
    expected = walked(model, config)
    preset, options = config.pop("apply_preset"), dict(config)
    wrapper.LycorisNetwork.apply_preset(preset)
    network = wrapper.create_lycoris(
        model, options.pop("multiplier"), options.pop("linear_dim"), options.pop("linear_alpha"), **options
    )
    modules = dict(model.named_modules())
    from lycoris.functional.general import factorization

    got = {layer.lora_name: layer.lokr_w1.shape for layer in network.loras}
    assert got == {
        f"lycoris_{name.replace('.', '_')}": tuple(
            factorization(side, factor)[0] for side in (modules[name].out_features, modules[name].in_features)
        )
        for name, factor in expected.items()
    }


def test_stacks_are_weighed_as_one_in_running_order():
    lengths = {"double": 6, "single": 12}
    made = profile("flux-tiny", lengths, lengths)
    image, text = maps(made, ["double", "single"])
    assert image.shape == text.shape == (3, 18)
    np.testing.assert_array_equal(image[:, :6], made.stream("double", "image").angular)
    np.testing.assert_array_equal(text[:, 6:], made.stream("single", "text").angular)
    with pytest.raises(LokrError, match="no image stream of stack 'joint'"):
        maps(made, ["joint"])
