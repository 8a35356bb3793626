"""LoKr by block: the study's shipped factors, and files that rule each layer as they say."""

from __future__ import annotations

import fnmatch
import json
import re

import numpy as np
import pytest
from torch import nn

from harness.__main__ import main
from harness.analysis import profile as profiles
from harness.analysis.lokr.angle_records import AngleRecord
from harness.analysis.lokr.weighting import LokrError, blocks, critical_blocks, dump, lycoris, maps, weigh
from harness.analysis.profile import Profile, Stream
from harness.models.checkpoints.resolve import resolve
from harness.models.spec import AURAFLOW, FLUX, SD3
from tests.helpers import models
from tests.helpers.angles import write

# The SD3.5-Large layer study: timestep means read off its figure (to about .003, capped there at p95), its critical
# layers, and the factors that it shipped.
IMAGE = [
    *(0.203, 0.104, 0.095, 0.025, 0.052, 0.042, 0.039, 0.051, 0.019, 0.031, 0.025, 0.039, 0.044, 0.032, 0.044, 0.037),
    *(0.038, 0.050, 0.051, 0.074, 0.049, 0.064, 0.049, 0.060, 0.068, 0.074, 0.075, 0.081, 0.072, 0.076, 0.097, 0.095),
    *(0.104, 0.132, 0.146, 0.203, 0.142, 0.119),
]
TEXT = [
    *(0.169, 0.129, 0.085, 0.060, 0.057, 0.054, 0.062, 0.013, 0.046, 0.038, 0.072, 0.032, 0.032, 0.041, 0.061, 0.086),
    *(0.080, 0.083, 0.086, 0.118, 0.132, 0.126, 0.131, 0.134, 0.119, 0.129, 0.113, 0.123, 0.125, 0.130, 0.134, 0.166),
    *(0.060, 0.054, 0.041, 0.059, 0.038),
]
CRITICAL = (0, 31, 35)
SHIPPED = [
    *(1, 4, 6, 11, 9, 10, 10, 11, 12, 11, 11, 11, 11, 11, 10, 9, 10, 9, 8, 6, 7, 6, 7, 6, 6, 6, 6, 5, 6, 5, 4, 1, 6, 4),
    *(4, 1, 4, 4),
]

FAMILIES = {"flux": FLUX, "sd3": SD3, "auraflow": AURAFLOW}


def agreement(factors):
    off = np.abs(np.subtract(factors, SHIPPED)[:37])
    return int((off == 0).sum()), int((off <= 1).sum())


def test_the_shipped_factors_come_out_of_the_published_means():
    found = weigh([IMAGE], [TEXT], CRITICAL)
    exact, near = agreement(found.factors)
    assert near == 37
    assert exact >= 32
    assert exact == 34  # as the module says
    assert found.factors[-1] == found.factors[-2] == 4


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


def angular_stream(stack, name, length, seed, bins=3):
    rng = np.random.default_rng(seed)
    depth = length + 1
    table = np.broadcast_to(np.eye(depth), (bins, depth, depth)).copy()
    return Stream(
        stack,
        name,
        np.ones(bins),
        table,
        table,
        table,
        rng.random((bins, length)),
        rng.random((bins, length)),
        np.zeros((2, depth, depth)),
        np.zeros((2, length)),
    )


def profile(checkpoint, lengths, text):
    streams = [angular_stream(s, "image", n, i) for i, (s, n) in enumerate(lengths.items())]
    streams += [angular_stream(s, "text", n, 9 + i) for i, (s, n) in enumerate(text.items())]
    return Profile(checkpoint, "noised", 8, np.linspace(0, 1, 4), lengths, tuple(streams), {})


def test_stacks_are_weighed_as_one_in_running_order():
    lengths = {"double": 6, "single": 12}
    made = profile("flux-tiny", lengths, lengths)
    image, text = maps(made, ["double", "single"])
    assert image.shape == text.shape == (3, 18)
    np.testing.assert_array_equal(image[:, :6], made.stream("double", "image").angular)
    np.testing.assert_array_equal(text[:, 6:], made.stream("single", "text").angular)
    with pytest.raises(LokrError, match="no image stream of stack 'joint'"):
        maps(made, ["joint"])


def test_the_command_from_a_profile(tmp_path, capsys):
    lengths = dict(resolve("flux-tiny").stacks)
    doubles, total = lengths["double"], sum(lengths.values())
    made = profile("flux-tiny", lengths, lengths)
    profiles.write(made, tmp_path / "p.safetensors")
    out = tmp_path / "out" / "lycoris.json"
    code = main(["lokr", "--profile", str(tmp_path / "p.safetensors"), "--checkpoint", "flux-tiny", "--out", str(out)])
    printed = capsys.readouterr().out
    assert code == 0, printed
    found = weigh(*maps(made, ["double", "single"]))
    config = json.loads(out.read_text())
    assert config == lycoris(FLUX, lengths, found.factors)
    assert config["apply_preset"]["target_module"] == ["FluxTransformerBlock", "FluxSingleTransformerBlock"]
    rows = [line.split() for line in printed.splitlines()]
    table = {int(row[0]): row for row in rows if row and row[0].isdigit()}
    assert len(table) == total
    assert table[doubles + 1][1] == "single_transformer_blocks.1"
    assert [int(table[i][5]) for i in range(total)] == list(found.factors)
    assert {i for i, row in table.items() if row[-1] == "critical"} == set(found.critical)


def test_the_command_from_records(tmp_path, capsys):
    records = tmp_path / "angular.jsonl"
    write(records, [AngleRecord(timestep, tuple(TEXT), tuple(IMAGE)) for timestep in (50.0, 450.0, 950.0)])
    out = tmp_path / "lycoris.json"
    arguments = ["lokr", "--records", str(records), "--checkpoint", "sd3.5-large", "--out", str(out)]
    assert main([*arguments, "--critical", "0,31,35", "--as-published"]) == 0
    assert "as the block before" in capsys.readouterr().out
    rules = json.loads(out.read_text())["apply_preset"]["name_algo_map"]
    assert len(rules) == 4 * 38
    assert agreement([rules[f"transformer_blocks.{n}.ff*"]["factor"] for n in range(38)])[1] == 37
    assert main([*arguments, "--critical", ""]) == 0
    rules = json.loads(out.read_text())["apply_preset"]["name_algo_map"]
    assert len(rules) == 4 * 38 + 2
    assert rules["transformer_blocks.31.ff*"]["factor"] > 1


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (["--checkpoint", "sd3.5-medium"], "38 image angles a line, sd3.5-medium has 24 blocks (24 joint)"),
        (["--checkpoint", "sd3.5-large", "--critical", "40"], "critical block 40 is none of the 38 blocks"),
        (["--checkpoint", "sd3.5-large", "--bins", "0"], "--bins 0"),
        (["--checkpoint", "nothing"], "'nothing' is neither"),
    ],
)
def test_the_command_says_what_is_wrong(tmp_path, capsys, arguments, said):
    records = tmp_path / "angular.jsonl"
    write(records, [AngleRecord(500.0, tuple(TEXT), tuple(IMAGE))])
    out = tmp_path / "lycoris.json"
    assert main(["lokr", "--records", str(records), "--out", str(out), *arguments]) == 4
    assert said in capsys.readouterr().err
    assert not out.exists()


def test_a_profile_of_another_model(tmp_path, capsys):
    length = resolve("sd3-tiny").stacks["joint"]
    profiles.write(profile("sd3-tiny", {"joint": length}, {"joint": length - 1}), tmp_path / "p.safetensors")
    arguments = ["lokr", "--profile", str(tmp_path / "p.safetensors"), "--out", str(tmp_path / "out.json")]
    assert main([*arguments, "--checkpoint", "flux-tiny"]) == 4
    assert f"is of sd3-tiny with {length} joint, flux-tiny has " in capsys.readouterr().err
    assert main([*arguments, "--checkpoint", "sd3-tiny"]) == 0
    with pytest.raises(SystemExit):
        main([*arguments, "--checkpoint", "sd3-tiny", "--critical", "a"])
