"""The view: identity is bitwise the model, skip is bitwise deletion, what runs is what the plan says."""

from __future__ import annotations

from contextlib import contextmanager

import pytest
import torch
from torch import nn

from harness.ablation.grid import Ask, expand
from harness.ablation.plan import Combine, Plan, identity, parse
from harness.ablation.strategies import PART_STRATEGIES, STRATEGIES
from harness.errors import PlanError, SurgeryError
from harness.models.stacks import find_stack
from harness.surgery.slot import combine
from harness.surgery.trace import check_trace, traced
from harness.surgery.view import BlockView, ablate
from tests.helpers import models
from tests.helpers.models import blocks, run

WHOLE_BLOCKS = [name for name in STRATEGIES if name not in (*PART_STRATEGIES, "scale")]  # the rest: test_partial_block

pytestmark = pytest.mark.parametrize(("family", "stack"), models.STACKS)


@contextmanager
def deleted(model, stack, order):
    """The slow reference: a model whose list really holds just these blocks, in this order."""
    attribute = find_stack(model, stack)[1]
    original = getattr(model, attribute)
    setattr(model, attribute, nn.ModuleList([original[i] for i in order]))
    try:
        yield
    finally:
        setattr(model, attribute, original)


def test_identity_installs_nothing(model, stack):
    transformer, arguments = model
    before = run(transformer, arguments)
    with ablate(transformer, identity(len(blocks(transformer, stack))), stack):
        assert not isinstance(blocks(transformer, stack), BlockView)
        assert torch.equal(run(transformer, arguments), before)


def test_identity_behind_slots_is_bitwise_the_model(model, stack):
    transformer, arguments = model
    before = run(transformer, arguments)
    plan = identity(len(blocks(transformer, stack)))
    with ablate(transformer, plan, stack, force_slots=True), traced(transformer, stack) as ran:
        assert isinstance(blocks(transformer, stack), BlockView)
        assert torch.equal(run(transformer, arguments), before)
    assert check_trace(ran, plan, stack) == 1


@pytest.mark.parametrize("text", ["0 3-", "2-", "0-1"])
def test_skip_is_bitwise_deletion(model, stack, family, text):
    transformer, arguments = model
    length = len(blocks(transformer, stack))
    plan = parse(text if text[-1] != "-" else f"{text}{length - 1}")
    order = list(plan.blocks())
    if family == "sd3" and length - 1 not in order:
        pytest.skip("SD3 without its last block: the list holds a block that gives a text nobody reads")
    with ablate(transformer, plan, stack):
        under_view = run(transformer, arguments)
    with deleted(transformer, stack, order):
        assert torch.equal(run(transformer, arguments), under_view)
    assert not torch.equal(run(transformer, arguments), under_view)


@pytest.mark.parametrize("strategy", [*WHOLE_BLOCKS, "shuffle.s1", "parallel.t3", "parallel-sum.t2"])
@pytest.mark.parametrize("depth", ["first", "middle", "last"])
def test_the_executed_blocks_are_the_plans(model, stack, strategy, depth):
    transformer, arguments = model
    length = len(blocks(transformer, stack))
    before = run(transformer, arguments)
    for case in expand("m", {stack: length}, [Ask((stack,), (depth,), (strategy,))]):
        with ablate(transformer, case.plan, stack), traced(transformer, stack) as ran:
            out = run(transformer, arguments)
        assert check_trace(ran, case.plan, stack) == 1
        assert torch.isfinite(out).all()
        assert not torch.equal(out, before)
    assert torch.equal(run(transformer, arguments), before)


def test_a_plain_order_is_bitwise_a_reordered_list(model, stack, family):
    transformer, arguments = model
    order = [0, 2, 1, 1, *range(3, len(blocks(transformer, stack)))]
    with ablate(transformer, Plan(tuple(order)), stack):
        under_view = run(transformer, arguments)
    with deleted(transformer, stack, order):
        assert torch.equal(run(transformer, arguments), under_view)


def test_parallel_of_one_block_is_identity(model, stack):
    transformer, arguments = model
    length = len(blocks(transformer, stack))
    before = run(transformer, arguments)
    with ablate(transformer, parse(f"0 (1) 2-{length - 1}"), stack):
        assert torch.equal(run(transformer, arguments), before)


def test_a_group_is_its_formula(model, stack, family):
    """Mean, sum and root of one group against the blocks called one by one."""
    transformer, arguments = model
    length = len(blocks(transformer, stack))
    out: dict[str, torch.Tensor] = {}
    for mark in ("", "+", "~"):
        with ablate(transformer, parse(f"0 (1|2){mark} 3-{length - 1}"), stack):
            out[mark] = run(transformer, arguments)
    with ablate(transformer, parse(f"0 (1|1) 2-{length - 1}"), stack):
        twice = run(transformer, arguments)
    assert torch.allclose(twice, run(transformer, arguments), atol=1e-5)
    assert len({tuple(v.flatten().tolist()) for v in out.values()}) == 3


def test_after_an_exception_the_model_is_what_it_was(model, stack):
    transformer, arguments = model
    before, original = run(transformer, arguments), blocks(transformer, stack)
    with pytest.raises(ZeroDivisionError), ablate(transformer, parse("0 1"), stack):
        raise ZeroDivisionError
    assert blocks(transformer, stack) is original
    assert torch.equal(run(transformer, arguments), before)


def test_state_and_saving_are_unchanged_inside(model, stack, tmp_path):
    transformer, _ = model
    before = {k: v.clone() for k, v in transformer.state_dict().items()}
    transformer.save_pretrained(tmp_path / "before")
    with ablate(transformer, parse("0 2 1"), stack):
        inside = transformer.state_dict()
        assert list(inside) == list(before)
        assert all(torch.equal(inside[k], v) for k, v in before.items())
        assert [n for n, _ in transformer.named_modules()] == [n for n, _ in transformer.named_modules()]
        assert len(list(transformer.parameters())) == len({id(p) for p in transformer.parameters()})
        transformer.save_pretrained(tmp_path / "inside")
    for path in (tmp_path / "before").iterdir():
        assert path.read_bytes() == (tmp_path / "inside" / path.name).read_bytes()


def test_lengths_and_indices_stay(model, stack):
    transformer, _ = model
    original = blocks(transformer, stack)
    with ablate(transformer, parse("0 2"), stack):
        view = blocks(transformer, stack)
        assert len(view) == len(original)
        assert view[1] is original[1]
        assert len(view[1:3]) == 2
        assert len(list(view)) == len(original)


def test_nests_over_stacks_and_refuses_the_same_one_twice(model, stack, family):
    transformer, arguments = model
    with ablate(transformer, parse("0 1"), stack):
        with pytest.raises(SurgeryError, match="already under a plan"), ablate(transformer, parse("0"), stack):
            pass
        for _, other in (s for s in models.STACKS if s[0] == family and s[1] != stack):
            once = run(transformer, arguments)
            with ablate(transformer, parse("0 1"), other):
                assert not torch.equal(run(transformer, arguments), once)
            assert torch.equal(run(transformer, arguments), once)


@pytest.mark.parametrize("where", ["cpu", "disk"])
def test_under_offload(model, stack, where, tmp_path):
    """accelerate's hooks survive, and the ablated model computes what it computes without them."""
    import accelerate

    transformer, arguments = model
    before = run(transformer, arguments)
    plan = f"0 (1|2) 3-{len(blocks(transformer, stack)) - 1}"
    with ablate(transformer, plan, stack):
        ablated = run(transformer, arguments)
    device = torch.device("cpu")
    if where == "cpu":
        accelerate.cpu_offload(transformer, execution_device=device)
    else:
        accelerate.disk_offload(transformer, str(tmp_path), execution_device=device)
    assert torch.equal(run(transformer, arguments), before)
    with ablate(transformer, plan, stack):
        assert torch.equal(run(transformer, arguments), ablated)
    assert torch.equal(run(transformer, arguments), before)


def test_plans_that_do_not_fit_are_refused(model, stack):
    transformer, _ = model
    with pytest.raises(PlanError, match="out of range"), ablate(transformer, Plan((0, 99)), stack):
        pass
    with pytest.raises(SurgeryError, match="there is no stack 'tripel'; it has"), ablate(transformer, "tripel: 0"):
        pass


def test_combine_is_its_formula(family, stack):
    x, a, b = (torch.randn(3, 4, generator=torch.Generator().manual_seed(i)) for i in range(3))
    assert torch.allclose(combine(Combine.MEAN, x, [a, b]), (a + b) / 2)
    assert torch.allclose(combine(Combine.SUM, x, [a, b]), a + b - x)
    assert torch.allclose(combine(Combine.ROOT, x, [a, b]), x + (a + b - 2 * x) / 2**0.5)
