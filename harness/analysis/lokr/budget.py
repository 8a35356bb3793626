"""How many parameters a LoKr trains in each layer, and the same choice of sizes as a PEFT configuration."""

from __future__ import annotations

import fnmatch
from collections import Counter
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch import nn

from harness.models.spec import Family
from harness.models.stacks import blocks_at


@dataclass(frozen=True)
class Layer:
    """One linear layer of a block and its LoKr factor.

    ``name`` is the module's in the transformer, ``block`` the block's index through all stacks.
    """

    name: str
    block: int
    inputs: int
    outputs: int
    factor: int

    @property
    def parameters(self) -> int:
        """What LyCORIS trains of it at its factor, with both Kronecker factors as full matrices.

        A weight (outputs, inputs) is the Kronecker product of a matrix (o1, i1) and one (o2, i2), o1 o2 = outputs
        and i1 i2 = inputs, where o1 and i1 are at most the factor.
        """
        o1, o2 = factorization(self.outputs, self.factor)
        i1, i2 = factorization(self.inputs, self.factor)
        return o1 * i1 + o2 * i2


def factorization(dimension: int, factor: int) -> tuple[int, int]:
    """How LyCORIS cuts a dimension in two, (smaller, larger).

    The factor itself where it divides the dimension, else the largest divisor below both the factor and the root.
    Source: ``lycoris.functional.general.factorization`` (3.1.0 and 4.1.3), for factors from 1 on.
    """
    if dimension % factor == 0:
        return min(factor, dimension // factor), max(factor, dimension // factor)
    small = max(n for n in range(1, factor + 1) if dimension % n == 0 and n * n <= dimension)
    return small, dimension // small


def layers(transformer: nn.Module, family: Family, config: Mapping[str, Any]) -> list[Layer]:
    """The linear layers of all blocks in the model's order, each with the factor that a LyCORIS file gives it.

    ``transformer`` may be on the meta device; ``config`` is :func:`harness.analysis.lokr.weighting.lycoris`'s.
    """
    rules: Mapping[str, Mapping[str, Any]] = config["apply_preset"]["name_algo_map"]
    out: list[Layer] = []
    first = 0
    for stack in family.stacks:
        blocks = blocks_at(transformer, stack.attribute)
        for index, block in enumerate(blocks):
            prefix = f"{stack.attribute}.{index}"
            for name, module in block.named_modules(prefix=prefix):
                if isinstance(module, nn.Linear):
                    factor = next(rule["factor"] for pattern, rule in rules.items() if fnmatch.fnmatch(name, pattern))
                    out.append(Layer(name, first + index, module.in_features, module.out_features, factor))
        first += len(blocks)
    return out


def by_block(layers: Sequence[Layer]) -> list[int]:
    """The parameters that are trained in each block, in running order."""
    sums: Counter[int] = Counter()
    for layer in layers:
        sums[layer.block] += layer.parameters
    return [sums[block] for block in range(max(sums, default=-1) + 1)]


def peft(layers: Sequence[Layer], rank: int | None = None) -> dict[str, Any]:
    """Arguments for PEFT's ``LoraConfig`` (or ``LoKrConfig``): each layer by name, with a rank of its own.

    PEFT has ranks by layer and no factors, so the rank is the one at which a LoRA trains as many parameters as the LoKr
    does: rank * (inputs + outputs), rounded, at least 1. With ``rank`` it is that one at factor 1, and ``rank`` /
    factor elsewhere. Alpha equals the rank, so that every update is taken as it is.
    """
    ranks = {layer.name: _rank(layer, rank) for layer in layers}
    return {
        "r": Counter(ranks.values()).most_common(1)[0][0],
        "target_modules": list(ranks),
        "rank_pattern": ranks,
        "alpha_pattern": dict(ranks),
    }


def lora_parameters(layers: Sequence[Layer], ranks: Mapping[str, int]) -> int:
    """What a LoRA with these ranks trains."""
    return sum(ranks[layer.name] * (layer.inputs + layer.outputs) for layer in layers)


def _rank(layer: Layer, rank: int | None) -> int:
    wanted = layer.parameters / (layer.inputs + layer.outputs) if rank is None else rank / layer.factor
    return max(1, round(wanted))
