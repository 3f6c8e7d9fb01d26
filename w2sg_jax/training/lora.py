r"""Low-rank adapters: a linear map $W$ stays as it is, and $\frac{\alpha}{r} B A$ beside it learns.

$A$ is (r, in) and random, $B$ (out, r) and zero at first, so that a model starts as it was pretrained. Source: Hu et
al., LoRA (arXiv 2106.09685), section 4.1.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import jax
import jax.numpy as jnp
from flax import nnx
from jaxtyping import Array, Float

from .._errors import InputError
from ..encoders.layers import Linear
from ..numerics.checks import as_count
from ..numerics.settings import own_settings

ADAPTER = "adapter"
"""The attribute of a linear map that holds its adapter."""


@dataclass(frozen=True)
class Lora:
    """Which linear maps of the blocks have an adapter, and of which rank."""

    rank: int = 8
    """r"""
    alpha: float = 16.0
    """What an adapter adds is scaled by alpha / rank."""
    maps: tuple[str, ...] = ()
    """Names of linear maps of a block, such as query and value; all of them by default."""

    def __post_init__(self) -> None:
        as_count(self.rank, "rank", 1)
        if not 0 < self.alpha < float("inf"):
            raise InputError(f"alpha: expected a positive number, got {self.alpha}")


class LowRank(nnx.Module):
    """x -> scale B A x, in the type of x.

    Args:
        shape: (layers, width_out, width_in) of the map beside it; a scan over layers takes one of them.
        rank: r.
        scale: alpha / r.
        rngs: of A.
    """

    def __init__(self, shape: tuple[int, int, int], rank: int, scale: float, *, rngs: nnx.Rngs):
        layers, width_out, width_in = shape
        drawn = jax.random.normal(rngs.params(), (layers, rank, width_in), jnp.float32)
        self.down = nnx.Param(width_in**-0.5 * drawn)
        self.up = nnx.Param(jnp.zeros((layers, width_out, rank), jnp.float32))
        self.scale = scale

    def __call__(self, x: Float[Array, "*batch width_in"]) -> Float[Array, "*batch width_out"]:
        for one in (self.down, self.up):
            x = jax.lax.dot_general(x, one[...].astype(x.dtype), (((x.ndim - 1,), (1,)), ((), ())))
        return x * self.scale


def linear_maps(model: nnx.Module) -> dict[str, Linear]:
    """The linear maps of a model's blocks, whose layers stand first, by their names in a block."""
    found = {path: one for path, one in nnx.iter_graph(model) if isinstance(one, Linear) and one.weight.ndim == 3}
    return {str(path[-1]): one for path, one in found.items()}


def shape_of(one: Linear) -> tuple[int, int, int]:
    """Layers, outputs and inputs of a linear map of a stack of blocks."""
    layers, width_out, width_in = one.weight.shape
    return layers, width_out, width_in


@own_settings()
def adapted(model: nnx.Module, lora: Lora, *, seed: int) -> nnx.Module:
    """The same model, its weights shared, with an adapter beside each chosen map of every layer.

    Raises:
        InputError: there is no such map, or a rank that is no smaller than a map's width.
    """
    model = nnx.clone(model)
    maps = linear_maps(model)
    for name in lora.maps:
        if name not in maps:
            raise InputError(f"maps: {name!r} is no linear map of this model; these are: {', '.join(maps)}")
    rngs = nnx.Rngs(seed)
    for name in lora.maps or tuple(maps):
        shape = shape_of(maps[name])
        if lora.rank >= min(shape[1:]):
            raise InputError(f"rank: {lora.rank} is no less than {min(shape[1:])}, the smaller width of {name}")
        maps[name].adapter = nnx.data(LowRank(shape, lora.rank, lora.alpha / lora.rank, rngs=rngs))
    return model


@own_settings()
def merged(model: nnx.Module) -> nnx.Module:
    """The same model with what adapters add in its weights, and without them; rounded to the type of the weights."""
    model = nnx.clone(model)
    for one in linear_maps(model).values():
        adapter = one.adapter
        if isinstance(adapter, LowRank):
            weight = one.weight[...]
            added = adapter.scale * jnp.einsum("lor,lri->loi", adapter.up[...], adapter.down[...])
            one.weight[...] = (weight.astype(jnp.float32) + added).astype(weight.dtype)
            one.adapter = None
    return model


def is_adapter(path: Sequence[object]) -> bool:
    """Whether a parameter is one of an adapter."""
    return ADAPTER in path
