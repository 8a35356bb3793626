"""Cut attention edges: the control where none is cut, an explicit softmax with minus infinity where some are."""

from __future__ import annotations

import copy

import pytest
import torch
import torch.nn.functional as F
from torch import nn

from harness.ablation.ranges import Span
from harness.errors import CaseError, SurgeryError
from harness.grains.attention_edges import Edge, attend, configurations, cut_edges, edges_text, parse_edges
from harness.grains.block_range import Stream
from tests.helpers import models
from tests.helpers.edges import plainly_cut
from tests.helpers.models import run

EVERY_STACK = pytest.mark.parametrize(("family", "stack"), models.STACKS)
IMAGE = {"flux": 9, "sd3": 16, "auraflow": 16}  # tokens of the small models


@EVERY_STACK
def test_with_no_edge_cut_it_is_bitwise_the_control_untouched_and_forced(model, stack):
    transformer, arguments = model
    before = run(transformer, arguments)
    with cut_edges(transformer, stack, Span(0, 2), ()) as calls:
        assert not any(module._forward_pre_hooks for module in transformer.modules())
        assert torch.equal(run(transformer, arguments), before)
    assert not calls.counts
    with cut_edges(transformer, stack, Span(0, 2), (), force=True) as calls:
        assert torch.equal(run(transformer, arguments), before)
    assert calls.counts == {0: 1, 1: 1, 2: 1}


@EVERY_STACK
@pytest.mark.parametrize("cut", ["it", "ti", "tt", "ii", "it-ti", "ti-tt", "it-ii", "it-ti-tt-ii"])
def test_it_agrees_with_a_softmax_over_minus_infinity(model, stack, family, cut):
    transformer, arguments = model
    edges = parse_edges(cut)
    before = run(transformer, arguments)
    with cut_edges(transformer, stack, Span(1, 2), edges) as calls:
        out = run(transformer, arguments)
    reference = plainly_cut(copy.deepcopy(transformer), stack, (1, 2), edges, IMAGE[family])
    assert torch.isfinite(out).all()
    torch.testing.assert_close(out, run(reference, arguments), rtol=1e-4, atol=1e-4)
    assert calls.counts == {1: 1, 2: 1}
    assert (out - before).abs().max() > 1e-3
    assert torch.equal(run(transformer, arguments), before)


def test_the_slow_reference_without_a_cut_is_the_model():
    for family, stack in models.STACKS:
        transformer, arguments = models.FAMILIES[family]()
        reference = plainly_cut(copy.deepcopy(transformer), stack, (0, 1, 2), (), IMAGE[family])
        torch.testing.assert_close(run(reference, arguments), run(transformer, arguments), rtol=1e-4, atol=1e-4)


@pytest.mark.parametrize("cut", ["ii", "it", "tt"])
def test_the_second_attention_of_sd35_has_the_image_to_image_edge_alone(cut):
    transformer, arguments = models.sd3(dual=(0, 1))
    before = run(transformer, arguments)
    with cut_edges(transformer, "joint", Span(0, 1), parse_edges(cut)) as calls:
        out = run(transformer, arguments)
    reference = plainly_cut(copy.deepcopy(transformer), "joint", (0, 1), parse_edges(cut), IMAGE["sd3"])
    torch.testing.assert_close(out, run(reference, arguments), rtol=1e-4, atol=1e-4)
    assert calls.counts == {0: 2, 1: 2}
    assert not torch.equal(out, before)


def test_text_that_nobody_reads_can_be_anything():
    transformer, arguments = models.flux()
    other = {**arguments, "encoder_hidden_states": arguments["encoder_hidden_states"] * 3 + 1}
    cut = {Edge.IMAGE_TO_TEXT}
    with cut_edges(transformer, "double", None, cut), cut_edges(transformer, "single", None, cut):
        assert torch.equal(run(transformer, arguments), run(transformer, other))
    assert not torch.equal(run(transformer, arguments), run(transformer, other))


def test_a_query_without_keys_gives_zero_and_masks_are_cut_like_keys():
    generator = torch.Generator().manual_seed(0)
    query, key, value = (torch.randn(2, 3, 7, 4, generator=generator) for _ in range(3))
    positions = {Stream.TEXT: slice(0, 3), Stream.IMAGE: slice(3, 7)}
    out = attend(query, key, value, positions, parse_edges("tt-ti"))
    assert not out[:, :, :3].any()
    torch.testing.assert_close(out[:, :, 3:], F.scaled_dot_product_attention(query, key, value)[:, :, 3:])
    mask = torch.rand(2, 1, 7, 7, generator=generator) < 0.7
    mask |= torch.eye(7, dtype=torch.bool)
    both = mask.clone()
    both[:, :, 3:, :3] = False
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=both)
    torch.testing.assert_close(attend(query, key, value, positions, parse_edges("it"), attn_mask=mask), expected)
    row = mask[:, :, :1]
    expected = F.scaled_dot_product_attention(query, key, value, attn_mask=row)[:, :, :3]
    torch.testing.assert_close(
        attend(query, key, value, positions, parse_edges("it"), attn_mask=row)[:, :, :3], expected
    )


@pytest.mark.parametrize("family", models.FAMILIES)
def test_an_exception_inside_leaves_the_model_as_it_was(model):
    transformer, arguments = model
    stack = "joint" if "SD3" in type(transformer).__name__ else "double"
    before = run(transformer, arguments)

    def broken(*_args, **_kwargs):
        raise ZeroDivisionError

    attention = models.blocks(transformer, stack)[1].attn
    handle = attention.to_q.register_forward_hook(broken)
    with pytest.raises(ZeroDivisionError), cut_edges(transformer, stack, Span(0, 2), {Edge.TEXT_TO_IMAGE}):
        run(transformer, arguments)
    handle.remove()
    assert torch.equal(run(transformer, arguments), before)
    assert not any(module._forward_hooks or module._forward_pre_hooks for module in transformer.modules())


def test_an_attention_that_goes_another_way_is_refused():
    transformer, arguments = models.flux()

    class Plain:
        _attention_backend = None

        def __call__(self, attn, hidden_states, encoder_hidden_states=None, attention_mask=None, image_rotary_emb=None):
            return hidden_states

    transformer.single_transformer_blocks[1].attn.set_processor(Plain())
    with (
        pytest.raises(SurgeryError, match=r"stack 'single', block 1: its attention went through .* 0 times"),
        cut_edges(transformer, "single", None, {Edge.IMAGE_TO_TEXT}),
    ):
        run(transformer, arguments)


def test_a_block_that_never_runs_is_told():
    transformer, _ = models.flux()
    with (
        pytest.raises(SurgeryError, match=r"attention edges it in stack 'double' 1-2: no call"),
        cut_edges(transformer, "double", Span(1, 2), {Edge.IMAGE_TO_TEXT}),
    ):
        pass


def test_wrong_input_is_named():
    transformer, _ = models.sd3()
    with pytest.raises(CaseError, match=r"unknown attention edge 'xy'; there are it \(image->text\)"):
        parse_edges("it-xy")
    with (
        pytest.raises(CaseError, match=r"range '4-9' for stack 'joint' doesn't fit its 6 blocks"),
        cut_edges(transformer, "joint", Span(4, 9), {Edge.IMAGE_TO_TEXT}),
    ):
        pass
    with (
        pytest.raises(SurgeryError, match="there is no stack 'single'; it has joint"),
        cut_edges(transformer, "single", None, ()),
    ):
        pass
    with pytest.raises(SurgeryError, match="is compiled"), cut_edges(torch.compile(transformer), "joint", None, ()):
        pass
    with (
        pytest.raises(SurgeryError, match="work on FluxTransformer2DModel, SD3"),
        cut_edges(nn.Linear(1, 1), "", None, ()),
    ):
        pass


def test_there_are_sixteen_configurations_and_their_words_can_be_read_back():
    assert len(set(configurations())) == len(configurations()) == 16
    assert [parse_edges(edges_text(some)) for some in configurations()] == list(configurations())
    assert edges_text(parse_edges("tt-it")) == "it-tt"
    assert Edge.IMAGE_TO_TEXT.query is Stream.IMAGE
    assert Edge.IMAGE_TO_TEXT.key is Stream.TEXT
