r"""What the families of language models share: linear maps, norms, rotary positions, attention, a stack of blocks.

Matrices lie as the models' own files have them, (out, in), so that loading copies them and turns none. Norms, rotary
angles and the softmax are computed in float32 whatever the weights are.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
from flax import nnx
from jaxtyping import Array, Bool, Float, Int

from .._errors import InputError
from ..numerics.backend import flash_attention

ACTIVATIONS = {
    "gelu": lambda x: jax.nn.gelu(x, approximate=False),
    "gelu_new": lambda x: jax.nn.gelu(x, approximate=True),
    "gelu_pytorch_tanh": lambda x: jax.nn.gelu(x, approximate=True),
    "relu": jax.nn.relu,
    "silu": jax.nn.silu,
}
"""By the names that the models' configurations use."""

Keep = Callable[[Float[Array, "batch length width"]], Any]
"""What is kept of the token states of a layer, such as their mean."""


def activation(name: object) -> str:
    """The name of an activation, known.

    Raises:
        InputError: there is no such one.
    """
    name = {"gelu_fast": "gelu_new", "gelu_python": "gelu", "swish": "silu"}.get(str(name), name)
    if name not in ACTIVATIONS:
        raise InputError(f"config: the activation {name!r} is not supported; these are: {', '.join(ACTIVATIONS)}")
    return str(name)


class Linear(nnx.Module):
    """x -> W x + b; W (out, in), b none where the model has none; and what an adapter adds, where it has one."""

    def __init__(self, width_in: int, width_out: int, *, bias: bool, rngs: nnx.Rngs):
        scale = width_in**-0.5
        self.weight = nnx.Param(scale * jax.random.normal(rngs.params(), (width_out, width_in)))
        self.bias = nnx.Param(jnp.zeros(width_out)) if bias else None
        self.adapter: Callable[[Array], Array] | None = None

    def __call__(self, x: Float[Array, "*batch width_in"]) -> Float[Array, "*batch width_out"]:
        weight = self.weight[...]
        found = jax.lax.dot_general(x, weight, (((x.ndim - 1,), (1,)), ((), ())))
        if self.adapter is not None:
            found = found + self.adapter(x)
        return found if self.bias is None else found + self.bias[...]


class Embedding(nnx.Module):
    """One row a token; W (tokens, width)."""

    def __init__(self, tokens: int, width: int, *, rngs: nnx.Rngs):
        self.weight = nnx.Param(0.02 * jax.random.normal(rngs.params(), (tokens, width)))

    def __call__(self, ids: Int[Array, "*batch"]) -> Float[Array, "*batch width"]:
        return self.weight[...][ids]


class LayerNorm(nnx.Module):
    """(x - mean) / sqrt(variance + epsilon) w + b over the last axis."""

    def __init__(self, width: int, epsilon: float):
        self.weight, self.bias = nnx.Param(jnp.ones(width)), nnx.Param(jnp.zeros(width))
        self.epsilon = epsilon

    def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
        wide = x.astype(jnp.float32)
        wide = wide - wide.mean(axis=-1, keepdims=True)
        wide = wide * jax.lax.rsqrt((wide**2).mean(axis=-1, keepdims=True) + self.epsilon)
        return (wide * self.weight[...] + self.bias[...]).astype(x.dtype)


class RMSNorm(nnx.Module):
    """x / sqrt(mean square + epsilon) (offset + w) over the last axis; Gemma's weights are kept less 1, its offset."""

    def __init__(self, width: int, epsilon: float, offset: float = 0.0):
        self.weight = nnx.Param(jnp.full(width, 1.0 - offset))
        self.epsilon, self.offset = epsilon, offset

    def __call__(self, x: Float[Array, "*batch width"]) -> Float[Array, "*batch width"]:
        wide = x.astype(jnp.float32)
        wide = wide * jax.lax.rsqrt((wide**2).mean(axis=-1, keepdims=True) + self.epsilon)
        return (wide * (self.offset + self.weight[...].astype(jnp.float32))).astype(x.dtype)


@dataclass(frozen=True)
class Rotary:
    """Rotary positions: which frequencies, as a configuration gives them.

    Source: Su et al., RoFormer (2021); the scalings as in the models' own reports.
    """

    width: int
    """coordinates of a head that are turned, even"""
    base: float = 10_000.0
    """ratio of the fastest frequency to what follows the slowest one"""
    scaling: str = "default"
    """"default", "linear" or "llama3\""""
    factor: float = 1.0
    """by which long wavelengths are stretched"""
    low: float = 1.0
    """llama3: wavelengths longer than trained / low are stretched in full"""
    high: float = 4.0
    """llama3: shorter ones than trained / high stay"""
    trained: int = 8192
    """llama3: length that was trained on before"""

    def frequencies(self) -> Float[np.ndarray, " half"]:
        """Angle of one position, in radians."""
        found = self.base ** (-np.arange(0, self.width, 2) / self.width)
        if self.scaling == "linear":
            return found / self.factor
        if self.scaling == "llama3":
            turns = self.trained * found / (2 * np.pi)
            share = np.clip((turns - self.low) / (self.high - self.low), 0.0, 1.0)
            return found * (share + (1 - share) / self.factor)
        return found

    def angles(self, positions: Int[Array, "batch length"]) -> Float[Array, "batch length half"]:
        """Of each token."""
        return positions[..., None].astype(jnp.float32) * jnp.asarray(self.frequencies(), jnp.float32)


def turned(
    x: Float[Array, "batch length heads head_width"], angles: Float[Array, "batch length half"]
) -> Float[Array, "batch length heads head_width"]:
    """Turn the pairs (x_i, x_{i + half}) of the first 2 half coordinates of each head."""
    half = angles.shape[-1]
    cos, sin = jnp.cos(angles)[:, :, None, :], jnp.sin(angles)[:, :, None, :]
    first, second, rest = x[..., :half], x[..., half : 2 * half], x[..., 2 * half :]
    first, second = first.astype(jnp.float32), second.astype(jnp.float32)
    found = jnp.concatenate([first * cos - second * sin, first * sin + second * cos], axis=-1).astype(x.dtype)
    return jnp.concatenate([found, rest], axis=-1) if rest.shape[-1] else found


def positions_of(mask: Bool[Array, "batch length"]) -> Int[Array, "batch length"]:
    """Places among the tokens that are none of padding, from 0: the same wherever the padding is."""
    return jnp.maximum(jnp.cumsum(mask, axis=1) - 1, 0)


class Allowed(NamedTuple):
    """Which tokens see which.

    Attributes:
        everywhere: (batch, 1, length, length), all that may.
        near: of these the ones within the window of a local layer.
        lengths: tokens of each row where all padding is on the right, which flash attention goes by; else None.
        causal: tokens see earlier ones and themselves alone.
        window: tokens that a local layer sees, itself among them; None where that is all of them.
    """

    everywhere: Bool[Array, "batch 1 length length"]
    near: Bool[Array, "batch 1 length length"]
    lengths: Int[Array, " batch"] | None
    causal: bool
    window: int | None


def allowed(
    mask: Bool[Array, "batch length"], lengths: Int[Array, " batch"] | None, *, causal: bool, window: int | None
) -> Allowed:
    """Attention under padding.

    Args:
        mask: true where there is a token.
        lengths, causal: as in ``Allowed``.
        window: tokens that a local layer sees, itself among them; to both sides so many without ``causal``.
    """
    places = jnp.arange(mask.shape[1])
    distance = places[:, None] - places[None, :]
    everywhere = mask[:, None, None, :] & ((distance >= 0) | (not causal))
    if window is None or window >= mask.shape[1]:
        return Allowed(everywhere, everywhere, lengths, causal, None)
    return Allowed(everywhere, everywhere & (jnp.abs(distance) < window), lengths, causal, window)


def attention(
    query: Float[Array, "batch length heads head_width"],
    key: Float[Array, "batch length kv_heads head_width"],
    value: Float[Array, "batch length kv_heads head_width"],
    seen: Allowed,
    scale: float,
    *,
    bias: Float[Array, "1 heads length length"] | None = None,
    local: Bool[Array, ""] | None = None,
) -> Float[Array, "batch length width"]:
    """softmax(scale Q K^T + bias) V, heads side by side; groups of query heads share a key and a value.

    Args:
        query, key, value: of each token.
        seen: which tokens see which.
        scale: of the scores.
        bias: of the scores.
        local: whether the layer sees its window alone; None for no.

    Cost: the scores of a batch, twice, where XLA computes them; none of them in memory by flash attention, which a GPU
    with cuDNN has in bfloat16.
    """
    local = None if seen.window is None else local
    how = {"causal": seen.causal, "windowed": local is not None, "biased": bias is not None}
    if seen.lengths is not None and keeps_no_scores(query.dtype, query.shape[-1], **how):
        found = _flash(query, key, value, seen, scale, local)
    else:
        mask = seen.everywhere if local is None else jnp.where(local, seen.near, seen.everywhere)
        found = jax.nn.dot_product_attention(query, key, value, bias=bias, mask=mask, scale=scale)
    return found.reshape(*found.shape[:2], -1)


def keeps_no_scores(dtype: Any, head_width: int, *, causal: bool, windowed: bool, biased: bool) -> bool:
    """Whether attention of this kind runs by flash attention, where the padding is on the right."""
    return (causal or not windowed) and not biased and flash_attention(dtype, head_width)


def _flash(
    query: Array, key: Array, value: Array, seen: Allowed, scale: float, local: Bool[Array, ""] | None
) -> Float[Array, "batch length heads head_width"]:
    """By a kernel that keeps no scores; what is at padding means nothing."""

    def run(window: int | None) -> Callable[..., Array]:
        return partial(
            jax.nn.dot_product_attention,
            scale=scale,
            is_causal=seen.causal,
            query_seq_lengths=seen.lengths,
            key_value_seq_lengths=seen.lengths,
            local_window_size=None if window is None else (window - 1, 0),
            implementation="cudnn",
        )

    if local is None:
        return run(None)(query, key, value)
    return jax.lax.cond(local, run(seen.window), run(None), query, key, value)


class Stack(nnx.Module):
    """Blocks of one kind, their parameters with the layers first: a scan compiles one of them, whatever the depth.

    With ``remat`` a gradient keeps the states between blocks alone, and computes those inside of one again.
    """

    def __init__(self, make: Callable[[nnx.Rngs], nnx.Module], depth: int, *, rngs: nnx.Rngs):
        self.remat = False
        self.block = nnx.split_rngs(splits=depth)(nnx.vmap(make))(rngs)

    def __call__(
        self,
        x: Float[Array, "batch length width"],
        keep: Keep,
        *shared: Any,
        each: Any = None,
        depth: int | None = None,
    ) -> tuple[Float[Array, "batch length width"], Any]:
        """Run all layers, or the first ones.

        Args:
            x: the embedding.
            keep: of each layer's states.
            shared: what every block takes besides.
            each: arrays with the layers first, of which a block takes its own, before ``shared``.
            depth: how many layers are run; None for all.

        Returns:
            The last states, and what is kept of layers 0 (the embedding) to L, or to ``depth``.
        """
        graph, state = nnx.split(self.block)
        state, each = jax.tree.map(lambda x: x[:depth], (state, each))

        def step(x: Array, layer: tuple[Any, Any]) -> tuple[Array, Any]:
            x = nnx.merge(graph, layer[0])(x, layer[1], *shared)
            return x, keep(x)

        first = keep(x)
        x, rest = jax.lax.scan(jax.checkpoint(step) if self.remat else step, x, (state, each))
        return x, jax.tree.map(lambda one, more: jnp.concatenate([one[None], more]), first, rest)


def whole(config: dict[str, Any], *names: str, least: int = 1) -> int:
    """A whole number of a model's configuration, by the first of these names that it has.

    Raises:
        InputError: it has none of them, or that is no whole number, or too small.
    """
    for name in names:
        found = config.get(name)
        if found is not None:
            if not isinstance(found, int) or isinstance(found, bool) or found < least:
                raise InputError(f"config: {name} is {found!r}; expected a whole number of at least {least}")
            return found
    raise InputError(f"config: {names[0]} is missing; is this the model's own config.json?")


def number(config: dict[str, Any], name: str, default: float) -> float:
    """A positive number of a model's configuration.

    Raises:
        InputError: it is none.
    """
    found = config.get(name)
    if found is None:
        return default
    if isinstance(found, bool) or not isinstance(found, int | float) or not 0 < found < float("inf"):
        raise InputError(f"config: {name} is {found!r}; expected a positive number")
    return float(found)


def refuse_unless(config: dict[str, Any], **expected: Any) -> None:
    """Refuse what changes the function of a model and is not supported (InputError): a value other than these.

    Args:
        config: of the model.
        expected: by name; a tuple gives several values; a name that the configuration lacks is fine.
    """
    for name, values in expected.items():
        values = values if isinstance(values, tuple) else (values,)
        if name in config and config[name] not in values:
            words = " or ".join(map(repr, values))
            raise InputError(f"config: {name} is {config[name]!r:.60}, which is not supported; expected {words}")
