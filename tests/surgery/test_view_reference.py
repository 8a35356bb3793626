"""The view against a slow reference: one module that runs a whole plan in a plain loop, as it is written.

Every strategy at every depth, on all families, on an SD3.5-medium-shaped model whose first blocks have a second
attention; and against diffusers' own way of leaving SD3's blocks out.
"""

from __future__ import annotations

import pytest
import torch
from torch import nn

from harness.ablation.grid import Ask, expand
from harness.ablation.plan import Plan
from harness.ablation.strategies import ALL_STRATEGIES
from harness.models.stacks import find_stack
from harness.surgery.view import ablate
from tests.helpers import models
from tests.surgery.test_view import blocks, run

BUILD = {
    **models.FAMILIES,
    "sd3.5-medium": lambda: models.sd3(24, dual=tuple(range(13))),
}
STACKS = [*models.STACKS, ("sd3.5-medium", "joint")]
DEPTHS = ("first", "middle", "last", "middle-lower", "middle-upper")


class Whole(nn.Module):
    """In place of all blocks: the plan's steps one after another, with text and image in local variables."""

    def __init__(self, blocks: list[nn.Module], plan: Plan, *, single: bool) -> None:
        super().__init__()
        self.blocks, self.plan, self.single = blocks, plan, single

    def once(self, index, streams, rest):
        if self.single:
            return {"hidden_states": self.blocks[index](**streams, **rest)}
        text, image = self.blocks[index](**streams, **rest)
        # The last block of SD3 has no use for text and returns none.
        return {
            "hidden_states": image,
            "encoder_hidden_states": streams["encoder_hidden_states"] if text is None else text,
        }

    def forward(self, **call):
        names = ("hidden_states",) if self.single else ("hidden_states", "encoder_hidden_states")
        streams = {name: call.pop(name) for name in names}
        for step in self.plan.steps:
            if isinstance(step, int):
                streams = self.once(step, streams, call)
                continue
            for _ in range(step.loops):
                ends = []
                for branch in step.branches:
                    end = streams
                    for index in branch:
                        end = self.once(index, end, call)
                    ends.append(end)
                for name in names:
                    values = torch.stack([end[name] for end in ends])
                    update = (values - streams[name]).sum(dim=0)
                    streams = streams | {
                        name: {
                            "": values.mean(dim=0),
                            "+": streams[name] + update,
                            "~": streams[name] + update / len(ends) ** 0.5,
                        }[step.combine.value]
                    }
        return streams["hidden_states"] if self.single else (streams["encoder_hidden_states"], streams["hidden_states"])


def reference(transformer, arguments, stack, plan):
    attribute = find_stack(transformer, stack)[1]
    original = getattr(transformer, attribute)
    whole = Whole(list(original), plan, single=models.one_tensor(transformer, stack))
    setattr(transformer, attribute, nn.ModuleList([whole]))
    try:
        return run(transformer, arguments)
    finally:
        setattr(transformer, attribute, original)


@pytest.fixture(scope="module")
def model(request):
    return BUILD[request.param]()


@pytest.mark.parametrize(("model", "stack"), STACKS, indirect=["model"], ids=[f"{f}-{s}" for f, s in STACKS])
@pytest.mark.parametrize("strategy", ALL_STRATEGIES)
def test_every_strategy_is_the_plan_run_in_a_plain_loop(model, stack, strategy):
    transformer, arguments = model
    length = len(blocks(transformer, stack))
    cases = expand("m", {stack: length}, [Ask((stack,), DEPTHS, (strategy,))])
    assert cases
    for case in cases:
        slow = reference(transformer, arguments, stack, case.plan)
        with ablate(transformer, case.plan, stack):
            fast = run(transformer, arguments)
        if all(isinstance(step, int) for step in case.plan.steps):
            assert torch.equal(fast, slow), case.id
        else:
            # Sums of branches may be taken in another order.
            torch.testing.assert_close(
                fast, slow, rtol=1e-4, atol=1e-4, msg=lambda text, case=case: f"{case.id}: {text}"
            )


@pytest.mark.parametrize("dual", [(), tuple(range(13))], ids=["sd3-medium", "sd3.5-medium"])
def test_a_skip_is_bitwise_what_diffusers_skips(dual):
    """forward(skip_layers=...), for every single block, the last one among them, and for a range."""
    transformer, arguments = models.sd3(24, dual=dual)
    whole = run(transformer, arguments)
    for left_out in [*([i] for i in range(24)), list(range(10, 16)), [0, 12, 23]]:
        with torch.no_grad():
            theirs = transformer(**arguments, skip_layers=left_out)[0]
        with ablate(transformer, Plan(tuple(i for i in range(24) if i not in left_out)), "joint"):
            ours = run(transformer, arguments)
        assert torch.equal(ours, theirs), left_out
        assert not torch.equal(ours, whole), left_out


@pytest.mark.parametrize("last", [5, 2])
def test_the_last_block_of_sd3_carries_the_text_on(last):
    """Moved forward, it must hand the text that it got to the block behind it."""
    transformer, arguments = models.sd3(6)
    seen: dict[int, torch.Tensor] = {}

    def note(index):
        return lambda _module, _args, kwargs: seen.update({index: kwargs["encoder_hidden_states"]})

    order = [0, 1, 5, 2] if last == 2 else [0, 1, 2, 5]
    with ablate(transformer, Plan(tuple(order)), "joint"):
        handles = [
            block.register_forward_pre_hook(note(i), with_kwargs=True)
            for i, block in enumerate(dict(transformer.named_children())["transformer_blocks"].children())
        ]
        run(transformer, arguments)
        for handle in handles:
            handle.remove()
    if last == 2:
        assert torch.equal(seen[2], seen[5])
    else:
        assert not torch.equal(seen[5], seen[2])


def test_a_single_block_of_auraflow_sees_text_and_image_as_one_sequence():
    """Skipping all single blocks is the doubles' own output through the final layer: nothing of the split is lost."""
    transformer, arguments = models.auraflow()
    shapes: list[torch.Size] = []
    block = transformer.single_transformer_blocks[3]
    handle = block.register_forward_pre_hook(
        lambda _module, _args, kwargs: shapes.append(kwargs["hidden_states"].shape), with_kwargs=True
    )
    with ablate(transformer, "single: 3 3 0"):
        run(transformer, arguments)
    handle.remove()
    registers, text, image = 8, 5, 16
    assert [tuple(shape) for shape in shapes] == [(2, registers + text + image, 16)] * 2
