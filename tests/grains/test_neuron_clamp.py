"""Clamped neurons: the same as a changed output projection; chosen where paired prompts differ."""

from __future__ import annotations

import copy

import pytest
import torch

from harness.errors import CaseError, SurgeryError
from harness.grains.neuron_clamp import (
    Neuron,
    chosen,
    clamp_neurons,
    column_norms,
    feed_forwards,
    mean_activations,
    score_neurons,
)
from tests.helpers import models
from tests.helpers.models import blocks, run

EVERY_STACK = pytest.mark.parametrize(("family", "stack"), models.STACKS)


def held_by_hand(transformer, stack, neurons, value):
    """A copy of the model whose output projections ignore the neurons and add what they would at ``value``."""
    model = copy.deepcopy(transformer)
    for block, branch, index in neurons:
        module = blocks(model, stack)[block]
        if hasattr(module, "act_mlp"):
            projection, before = module.proj_out, module.proj_out.out_features  # the attention's columns come first
        else:
            feed = getattr(module, branch)
            projection, before = (feed.net[2] if hasattr(feed, "net") else feed.out_projection), 0
        with torch.no_grad():
            column = projection.weight[:, before + index].clone()
            projection.weight[:, before + index] = 0
            if projection.bias is None:
                projection.bias = torch.nn.Parameter(torch.zeros(projection.out_features))
            projection.bias += value * column
    return model


def some(transformer, stack):
    """Neurons of two blocks and of every feed-forward."""
    return [
        Neuron(block, branch, index)
        for block in (0, 2)
        for branch in feed_forwards(blocks(transformer, stack)[block])
        for index in (0, 3, 7)
    ]


@EVERY_STACK
@pytest.mark.parametrize("value", [0.0, 1.5])
def test_it_agrees_with_a_changed_projection(model, stack, value):
    transformer, arguments = model
    before = run(transformer, arguments)
    neurons = some(transformer, stack)
    with clamp_neurons(transformer, stack, neurons, value) as calls:
        out = run(transformer, arguments)
    torch.testing.assert_close(
        out, run(held_by_hand(transformer, stack, neurons, value), arguments), rtol=1e-4, atol=1e-4
    )
    assert calls.counts.keys() == {0, 2}
    assert not torch.equal(out, before)
    assert torch.equal(run(transformer, arguments), before)


@EVERY_STACK
def test_without_neurons_it_is_bitwise_the_control(model, stack):
    transformer, arguments = model
    before = run(transformer, arguments)
    with clamp_neurons(transformer, stack, []) as calls:
        assert torch.equal(run(transformer, arguments), before)
    assert not calls.counts


def test_each_neuron_can_have_its_own_value():
    transformer, arguments = models.flux()
    one, other = Neuron(1, "ff", 2), Neuron(1, "ff", 5)
    with clamp_neurons(transformer, "double", [one, other], {one: 0.5, other: -1.0}):
        both = run(transformer, arguments)
    with (
        clamp_neurons(transformer, "double", [one], 0.5),
        clamp_neurons(transformer, "double", [other], -1.0),
    ):
        assert torch.equal(run(transformer, arguments), both)


@EVERY_STACK
def test_a_neuron_at_its_own_value_is_bitwise_the_control(model, stack):
    """Held where it is at every token already: one that a zeroed input weight keeps at the activation of its bias."""
    transformer, arguments = model
    block = blocks(transformer, stack)[1]
    with torch.no_grad():
        if hasattr(block, "act_mlp"):
            first = block.proj_mlp
        else:
            first = block.ff.net[0].proj if hasattr(block.ff, "net") else block.ff.linear_1
        first.weight[4] = 0
        if first.bias is not None:
            first.bias[4] = 0
    with clamp_neurons(transformer, stack, [Neuron(1, "ff", 4)], 0.0) as calls:
        held = run(transformer, arguments)
    assert calls.counts == {1: 1}
    assert torch.equal(held, run(transformer, arguments))


def test_activations_are_means_over_tokens_and_steps_of_the_positive_rows():
    transformer, arguments = models.flux()
    seen = []
    handle = (
        transformer.transformer_blocks[1]
        .ff.net[2]
        .register_forward_pre_hook(lambda _module, args: seen.append(args[0].double()))
    )
    other = {**arguments, "timestep": arguments["timestep"] / 2}
    run(transformer, arguments), run(transformer, other)
    handle.remove()
    means = mean_activations(transformer, "double", None, [arguments, other], rows=2)
    torch.testing.assert_close(means[1, "ff"], (seen[0].mean(1) + seen[1].mean(1)) / 2)
    positive = mean_activations(transformer, "double", None, [arguments, other], rows=1)
    assert torch.equal(positive[1, "ff"], means[1, "ff"][1:])
    assert set(means) == {(i, branch) for i in range(4) for branch in ("ff", "ff_context")}
    with pytest.raises(SurgeryError, match="2 rows in a forward of 3 prompts"):
        mean_activations(transformer, "double", None, [arguments], rows=3)


def test_a_neuron_that_answers_to_the_word_comes_first():
    generator = torch.Generator().manual_seed(0)
    without = {(2, "ff"): torch.rand(6, 8, generator=generator).double()}
    noise = 0.1 * torch.randn(6, 8, generator=generator).double()
    with_word = {(2, "ff"): without[2, "ff"] + noise}
    with_word[2, "ff"][:, 5] += 2
    with_word[2, "ff"][:, 3] -= 2
    with_word[2, "ff"][:, 0] = without[2, "ff"][:, 0]
    norms = {(2, "ff"): torch.ones(8).double()}
    scored = score_neurons(with_word, without, norms)
    assert {one.neuron.unit for one in scored[:2]} == {3, 5}
    first = chosen(scored, 1)[0]
    assert first.neuron == Neuron(2, "ff", 5)
    differences = (with_word[2, "ff"] - without[2, "ff"])[:, 5]
    assert first.difference == pytest.approx(float(differences.mean()))
    assert first.score == pytest.approx(float(differences.mean() / differences.std()), rel=0.01)
    assert first.without == pytest.approx(float(without[2, "ff"][:, 5].mean()))
    silent = next(one for one in scored if one.neuron.unit == 0)
    assert silent.score == silent.written == 0
    # What it writes counts: with a longer column another neuron that rises as surely comes first.
    with_word[2, "ff"][:, 6] += 1
    norms[2, "ff"][6] = 3
    assert [one.neuron.unit for one in chosen(score_neurons(with_word, without, norms), 2)] == [6, 5]
    with pytest.raises(CaseError, match=r"9 neurons asked for, and the word raises \d of 8"):
        chosen(scored, 9)
    with pytest.raises(SurgeryError, match="two pairs"):
        score_neurons({(0, "ff"): torch.zeros(1, 3)}, {(0, "ff"): torch.zeros(1, 3)}, {})


@EVERY_STACK
def test_wrong_input_is_named_and_an_exception_leaves_the_model_as_it_was(model, stack):
    transformer, arguments = model
    before = run(transformer, arguments)
    width = feed_forwards(blocks(transformer, stack)[1])["ff"]
    message = rf"neuron {width} of ff in block 1 of stack '{stack}': it has {width} \(0-{width - 1}\)"
    with (
        pytest.raises(CaseError, match=message),
        clamp_neurons(transformer, stack, [Neuron(0, "ff", 0), Neuron(1, "ff", width)]),
    ):
        pass
    with (
        pytest.raises(CaseError, match="range '99' for stack"),
        clamp_neurons(transformer, stack, [Neuron(99, "ff", 0)]),
    ):
        pass
    with pytest.raises(CaseError, match="no block -1"), clamp_neurons(transformer, stack, [Neuron(-1, "ff", 0)]):
        pass
    with pytest.raises(SurgeryError, match="no call"), clamp_neurons(transformer, stack, [Neuron(1, "ff", 0)]):
        pass
    assert torch.equal(run(transformer, arguments), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in transformer.modules())


def test_a_feed_forward_that_a_block_lacks_is_named():
    transformer, _ = models.sd3()
    with (
        pytest.raises(CaseError, match="block 5 of stack 'joint' has no feed-forward 'ff_context'; it has ff"),
        clamp_neurons(transformer, "joint", [Neuron(5, "ff_context", 0)]),
    ):
        pass


@EVERY_STACK
def test_a_column_is_what_the_neuron_adds_at_activation_one(model, stack):
    transformer, _ = model
    block = blocks(transformer, stack)[1]
    norms = column_norms(transformer, stack, None)
    if hasattr(block, "act_mlp"):
        projection, before = block.proj_out, block.proj_out.out_features
    else:
        projection, before = (block.ff.net[2] if hasattr(block.ff, "net") else block.ff.out_projection), 0
    assert norms[1, "ff"].shape == (feed_forwards(block)["ff"],)
    assert float(norms[1, "ff"][3]) == pytest.approx(float(projection.weight[:, before + 3].detach().norm()))


def test_a_neuron_is_written_with_its_place():
    assert str(Neuron(3, "ff", 120)) == "3.ff.120"
