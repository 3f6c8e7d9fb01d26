"""Fine-tuning of a language model as a classifier: all of it or low-rank adapters, on hard or soft labels.

A batch is cut into parts of like lengths, whose gradients are added up: a large batch costs the memory of a part, and
little of it is padding. What learns is float32 whatever the arithmetic is in.
"""

import json
import math
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import asdict, dataclass, field
from functools import partial
from pathlib import Path
from typing import Any, Literal, NamedTuple

import jax
import jax.numpy as jnp
import numpy as np
import optax
from flax import nnx
from jaxtyping import Array, Float, Float32, Int, Real

from .._errors import InputError
from ..encoders.checkpoints import Place
from ..encoders.language_model import LanguageModel, batches, bytes_of_token, default_tokens
from ..encoders.pipeline import POOLINGS
from ..encoders.text_tokenizer import Tokens
from ..encoders.transformer import pool
from ..numerics.backend import device_memory, jitted
from ..numerics.checks import as_count
from ..numerics.settings import own_settings
from ..store.content import bytes_hash
from .checkpoint import code_fingerprint
from .loop import TrainingProgress
from .lora import Lora, adapted, is_adapter, linear_maps, shape_of
from .step_checkpoints import StepCheckpoints

HEAD = "head"
"""Before the names of the head's parameters."""
RATES = {"adapters": 2e-4, "all": 2e-5}
"""Learning rates by default: what adapters take, and what moves a whole pretrained model without forgetting it."""
UNTIED = "lm_head.weight"
"""Where a decoder's files have its last matrix, unless that is the embedding."""
NAMED_ROWS = 8
"""Rows of a batch that an error names."""
SUM_OFF = 1e-4
"""By which the shares of a soft label may miss 1."""
ROOM = 0.7
"""Share of a device's memory that parameters, their moments and the states of a part may take by default."""

Parameters = dict[str, Array]
"""Arrays by the path of the parameter, its parts joined by dots."""


@dataclass(frozen=True)
class FinetuneConfig:
    """What learns, for how long, and how fast."""

    epochs: int = 3
    """passes over the samples"""
    batch_size: int = 32
    """samples a step"""
    learning_rate: float | None = None
    """peak of the schedule: it rises linearly over `warmup` of the steps, then falls as a cosine; by default 2e-4 for
    adapters, 2e-5 for a whole model"""
    warmup: float = 0.1
    """share of the steps that the rise takes"""
    weight_decay: float = 0.0
    """decoupled weight decay of AdamW, of matrices alone"""
    clip: float = 1.0
    """length that a longer gradient is cut to"""
    lora: Lora | None = field(default_factory=Lora)
    """adapters that learn beside the head; None: the whole model learns"""
    words: tuple[str, ...] = ()
    """one token a class, such as " no" and " yes": the head starts as a decoder's own weights of these, so that its
    classes are what the decoder would say next; by default the head starts at zero"""
    pool: Literal["mean", "cls", "last"] | None = None
    """which final state of a text the head sees; by default as the model's own pipeline"""
    max_length: int | None = None
    """tokens that longer texts are cut to; by default what the model takes"""
    dtype: Literal["float32", "bfloat16"] | None = None
    """of the arithmetic, and of what does not learn; by default that of the loaded model"""
    tokens_at_once: int | None = None
    """tokens of a part of a batch, padding included; it changes results by rounding alone"""
    remat: bool = False
    """whether a gradient computes the states inside of a block again, for less memory"""
    seed: int = 0
    """of the order of samples, and of the adapters"""

    def __post_init__(self) -> None:
        for name, least in (("epochs", 1), ("batch_size", 1), ("seed", 0)):
            as_count(getattr(self, name), name, least)
        if self.tokens_at_once is not None:
            as_count(self.tokens_at_once, "tokens_at_once", 1)
        if self.max_length is not None:
            as_count(self.max_length, "max_length", 1)
        if not 0 <= self.warmup <= 1:
            raise InputError(f"warmup: expected a share of the steps, 0 to 1, got {self.warmup}")
        positive = {"clip": self.clip, "learning_rate": 1.0 if self.learning_rate is None else self.learning_rate}
        for name, value in positive.items():
            if not 0 < value < math.inf:
                raise InputError(f"{name}: expected a positive number, got {value}")
        if not 0 <= self.weight_decay < math.inf:
            raise InputError(f"weight_decay: expected a number of at least 0, got {self.weight_decay}")
        if self.pool is not None and self.pool not in POOLINGS:
            raise InputError(f"pool: expected {', '.join(POOLINGS)}, got {self.pool!r}")
        if self.dtype not in (None, "float32", "bfloat16"):
            raise InputError(f"dtype: expected float32 or bfloat16, got {self.dtype!r}")

    @property
    def peak(self) -> float:
        """The largest learning rate."""
        return self.learning_rate or RATES["all" if self.lora is None else "adapters"]


class Said(NamedTuple):
    """What a classifier says of texts.

    Attributes:
        probabilities: (n, classes) float32.
        states: (n, width) float32, the final states that its head sees: the model's representation after training.
    """

    probabilities: Float32[np.ndarray, "n classes"]
    states: Float32[np.ndarray, "n width"]


@dataclass(frozen=True, eq=False)
class Classifier:
    """A fine-tuned language model."""

    model: LanguageModel
    """what it was made of"""
    graph: nnx.GraphDef[Any]
    """of the model, with adapters where it has some"""
    parameters: Parameters
    """what has learned, float32; and the head"""
    frozen: Parameters
    """the rest of the model"""
    how: "_How"
    max_length: int | None
    losses: Float32[np.ndarray, " steps"]
    """mean cross-entropy of every step's batch, nats"""

    @property
    def network(self) -> nnx.Module:
        """The model without its head, in the type of its arithmetic; ``lora.merged`` makes plain weights of it."""
        return _network(self.graph, self.how, self.parameters, self.frozen)

    @own_settings()
    def say(self, texts: Sequence[str], *, tokens_at_once: int | None = None) -> Said:
        """Probabilities of the classes, and final states; row i for ``texts[i]``, whatever stands beside it.

        Raises:
            InputError: texts that the tokenizer refuses, or a state that is not finite.

        Cost: a forward pass; one compilation for each padded length.
        """
        tokens = self.model.pretrained.tokens(texts, self.max_length)
        place, longest = self.model.place, int(tokens.lengths.max())
        of_device = self.model.pretrained.tokens_at_once(self.how.dtype, longest)
        at_once = tokens_at_once or of_device * place.devices
        classes, width = self.parameters[f"{HEAD}.weight"].shape
        said = Said(np.empty((len(texts), classes), np.float32), np.empty((len(texts), width), np.float32))
        for rows, ids, lengths, _ in _parts(tokens, np.arange(len(texts)), at_once, place):
            placed = jax.device_put((ids, lengths), place.of_rows())
            with jax.default_matmul_precision("highest"):  # as representations are made
                found = _said(self.graph, self.how, self.parameters, self.frozen, *placed)
            for target, values in zip(said, jax.device_get(found), strict=True):
                target[rows] = values[: len(rows)]
        bad = np.flatnonzero(~(np.isfinite(said.probabilities).all(axis=1) & np.isfinite(said.states).all(axis=1)))
        if len(bad):
            raise InputError(f"texts: what the model says of row {bad[0]} is not finite; run it in float32")
        return said


@own_settings()
def finetune(
    model: LanguageModel,
    texts: Sequence[str],
    labels: Real[np.ndarray, "n *classes"] | Sequence[float],
    config: FinetuneConfig = FinetuneConfig(),
    *,
    checkpoint: Path | str | None = None,
    checkpoint_every: int = 100,
    report_every: int = 10,
    on_progress: Callable[[TrainingProgress], None] | None = None,
) -> Classifier:
    """Train a language model to classify texts: softmax cross-entropy, AdamW, linear rise and cosine fall.

    With a checkpoint folder the state is kept every so many steps and at the end; where it is there, the run goes on
    from it, in the middle of an epoch too, and ends with the same parameters (to the bit, on the same machine and
    versions). Devices share the work as they do the model's (``Pretrained.load(devices=..., shared=...)``): the rows
    of a batch, and with ``shared`` also parameters and moments.

    Args:
        model: Loaded; it stays as it is.
        texts: n of them.
        labels: (n,) whole numbers, the classes; or (n,) shares of the second of two classes, such as a weak model's
            probabilities; or (n, classes) shares of each.
        config: What learns, for how long, and how fast.
        checkpoint: Folder of the run's state, or None.
        checkpoint_every: Steps between two checkpoints.
        report_every: Steps between two calls of ``on_progress``.
        on_progress: Called while training; an exception from it ends the run, and the last checkpoint is valid.

    Raises:
        InputError: labels that are none, fewer than two classes, words that are no token, a checkpoint of another run.
        FloatingPointError: a loss or a gradient is not finite; the step and its rows are named, and the last checkpoint
            is from before.

    Cost: about 3 forward passes a sample and epoch, and 4 with ``remat``; one compilation for each padded length.
    Float32 moments, twice the size of what learns, and its gradient.
    """
    targets = _targets(labels, len(texts))
    tokens = model.pretrained.tokens(texts, config.max_length)
    graph, how, parameters, frozen = _initial(model, targets.shape[1], config)
    run = _Run(model, tokens, targets, config, graph, how, frozen)
    for name, value in (("checkpoint_every", checkpoint_every), ("report_every", report_every)):
        as_count(value, name, 1)
    moments = run.limits.optimizer(run.schedule.rate).init(parameters)
    optimizer = jax.tree.map(lambda x: jax.device_put(x, model.place.of(x.shape)), moments)
    state = {"parameters": parameters, "optimizer": optimizer, "losses": np.full(run.steps, np.nan, np.float32)}
    done = 0
    folder, fingerprint = (None, "") if checkpoint is None else (Path(checkpoint), run.fingerprint)
    with StepCheckpoints(folder, fingerprint) as kept:
        if (found := kept.load(state)) is not None:
            done, state = found
        while done < run.steps:
            stop = min(run.steps, *((done // every + 1) * every for every in (report_every, checkpoint_every)))
            done, state = run.until(stop, done, state, on_progress)
            if done == run.steps or done % checkpoint_every == 0:
                kept.save(done, state)
    losses = np.array(jax.device_get(state["losses"]))
    return Classifier(model, graph, state["parameters"], frozen, how, config.max_length, losses)


class _How(NamedTuple):
    """What a program depends on beside shapes."""

    pool: str
    dtype: str


class _Schedule(NamedTuple):
    """The learning rate: a rise, and a fall to the last step, which it is above 0 at too."""

    peak: Any
    rise: Any
    """steps of it"""
    steps: Any

    @classmethod
    def of(cls, config: FinetuneConfig, steps: int) -> "_Schedule":
        """Of a run; arrays, so that runs of any length share a program."""
        return cls(*(np.float32(one) for one in (config.peak, math.ceil(config.warmup * steps), steps)))

    def rate(self, step: Any) -> Float[Array, ""]:
        """Of a step, from 0."""
        step = jnp.asarray(step, jnp.float32)
        fall = 0.5 * (1 + jnp.cos(jnp.pi * (step - self.rise + 1) / (self.steps - self.rise + 1)))
        return self.peak * jnp.where(step < self.rise, (step + 1) / jnp.maximum(self.rise, 1), fall)


class _Limits(NamedTuple):
    """What of a configuration the optimizer's program depends on."""

    weight_decay: float
    clip: float

    def optimizer(self, rate: Any) -> optax.GradientTransformation:
        """AdamW on a gradient of limited length."""

        def matrices(parameters: Parameters) -> dict[str, bool]:
            return {
                name: x.ndim > 1 and "norm" not in name and not name.endswith("bias") for name, x in parameters.items()
            }

        adamw = optax.adamw(rate, weight_decay=self.weight_decay, mask=matrices)
        return optax.chain(optax.clip_by_global_norm(self.clip), adamw)


class _Run:
    """The batches of a run, and steps on them."""

    def __init__(
        self,
        model: LanguageModel,
        tokens: Tokens,
        targets: Float32[np.ndarray, "n classes"],
        config: FinetuneConfig,
        graph: nnx.GraphDef[Any],
        how: _How,
        frozen: Parameters,
    ):
        self.model, self.tokens, self.targets, self.config = model, tokens, targets, config
        self.graph, self.how, self.frozen = graph, how, frozen
        self.each = -(-len(tokens) // config.batch_size)
        self.steps = self.each * config.epochs
        self.schedule, self.limits = _Schedule.of(config, self.steps), _Limits(config.weight_decay, config.clip)
        self.at_once = config.tokens_at_once or tokens_at_once(model, config, int(tokens.lengths.max()))

    @property
    def fingerprint(self) -> str:
        """Hash of what the result depends on."""
        told = {"config": asdict(self.config), "depth": self.model.pretrained.depth, "code": code_fingerprint()}
        told |= {"model": self.model.pretrained.content, "how": self.how, "at_once": self.at_once}
        arrays = self.tokens.ids.tobytes(), np.asarray(self.tokens.offsets, np.int64).tobytes(), self.targets.tobytes()
        return bytes_hash(json.dumps(told, sort_keys=True).encode(), *arrays)

    def rows(self, step: int) -> Int[np.ndarray, " batch"]:
        """Of the batch of a step: a function of the seed and the step."""
        epoch, place = divmod(step, self.each)
        order = np.random.default_rng((self.config.seed, epoch)).permutation(len(self.tokens))
        return order[place * self.config.batch_size : (place + 1) * self.config.batch_size]

    def until(
        self, stop: int, done: int, state: dict[str, Any], on_progress: Callable[[TrainingProgress], None] | None
    ) -> tuple[int, dict[str, Any]]:
        """Take steps up to number ``stop``, wait for them, look at them, and report."""
        started, parameters, optimizer, told = time.perf_counter(), state["parameters"], state["optimizer"], []
        seen = 0
        for step in range(done, stop):
            rows = self.rows(step)
            seen += int(self.tokens.lengths[rows].sum())
            sums = _zeros(parameters)
            for places, ids, lengths, room in _parts(self.tokens, rows, self.at_once, self.model.place):
                targets = np.zeros((room, self.targets.shape[1]), np.float32)
                targets[: len(places)] = self.targets[rows[places]]
                placed = jax.device_put((ids, lengths, targets), self.model.place.of_rows())
                sums = _added(self.graph, self.how, parameters, self.frozen, sums, *placed)
            count = np.float32(len(rows))
            parameters, optimizer, *measured = _stepped(self.limits, self.schedule, parameters, optimizer, sums, count)
            told.append(tuple(measured))
        losses = np.array(jax.device_get(state["losses"]))
        found = np.array(jax.device_get(told), np.float32)
        losses[done:stop] = found[:, 0]
        bad = np.flatnonzero(~np.isfinite(found).all(axis=1))
        if len(bad):
            step = done + int(bad[0])
            rows = ", ".join(str(row) for row in self.rows(step)[:NAMED_ROWS])
            what = "gradient" if np.isfinite(found[bad[0], 0]) else "loss"
            raise FloatingPointError(
                f"the {what} of step {step} (texts {rows}, ...) is not finite; lower the learning rate, look at these "
                "texts, or run it in float32"
            )
        if on_progress is not None:
            mean = float(found[:, 0].mean())
            on_progress(TrainingProgress(stop, self.steps, mean, seen / (time.perf_counter() - started)))
        return stop, {"parameters": parameters, "optimizer": optimizer, "losses": losses}


def tokens_at_once(model: LanguageModel, config: FinetuneConfig, longest: int) -> int:
    """Tokens of a part of a batch, padding included: as many as keep the devices busy and have room; one text's, at
    least."""
    have, found = device_memory(), default_tokens()
    if have is not None:

        def of(tokens: int) -> int:
            return memory(model.model, config, model.dtype, tokens=tokens, longest=longest)

        fixed = of(0) / (model.place.devices if model.place.shared else 1)
        while found > longest and of(found) - of(0) > ROOM * have - fixed:
            found //= 2
    return max(found, longest) * model.place.devices


def memory(network: Any, config: FinetuneConfig, dtype: Any, *, tokens: int, longest: int) -> int:
    """Bytes that a run takes on all devices: parameters, what learns with its gradient and moments, states of a part.

    Args:
        network: the model, of arrays or of their shapes alone.
        config: of the run.
        dtype: of the arithmetic, where the configuration leaves it to the model.
        tokens: of a part of a batch, padding included.
        longest: tokens of the longest text.
    """
    dtype, own = jnp.dtype(config.dtype or dtype), network.config
    frozen, learning = 0, sum(leaf.size for _, leaf in nnx.to_flat_state(nnx.state(network)))
    if config.lora is not None:
        maps = [shape_of(one) for name, one in linear_maps(network).items() if name in (config.lora.maps or (name,))]
        frozen, learning = learning, sum(depth * config.lora.rank * (rows + columns) for depth, rows, columns in maps)
    # With remat the states inside of one block are there, and those between all.
    inside, between = bytes_of_token(own, dtype, longest), own.width * dtype.itemsize
    each = inside * (1 if config.remat else own.depth) + between * own.depth
    # What learns, its gradient and both moments are float32.
    return dtype.itemsize * frozen + 4 * 4 * learning + tokens * each


def _targets(labels: Any, n: int) -> Float32[np.ndarray, "n classes"]:
    """Shares of the classes (InputError: ``finetune``)."""
    given = np.asarray(labels)
    if given.dtype.kind not in "iufb" or given.ndim not in (1, 2) or len(given) != n or n == 0:
        raise InputError(
            f"labels: {given.dtype} of shape {given.shape}; expected a number or a row for each of {n} texts"
        )
    if not np.isfinite(given).all() or given.min() < 0:
        row = int(np.flatnonzero(~(np.isfinite(given) & (given >= 0)).reshape(n, -1).all(axis=1))[0])
        raise InputError(f"labels: that of text {row} is {given[row]}; expected finite numbers of at least 0")
    if given.ndim == 1 and given.dtype.kind in "iub":
        classes = int(given.max()) + 1
        if classes < 2 or len(np.unique(given)) < 2:
            raise InputError("labels: all texts have one class; there is nothing to learn")
        return np.eye(classes, dtype=np.float32)[given.astype(int)]
    if given.ndim == 1:
        if given.max() > 1:
            row = int(given.argmax())
            raise InputError(f"labels: {given[row]} of text {row} is no share; give whole numbers, or shares of 0 to 1")
        return np.stack([1 - given, given], axis=1).astype(np.float32)
    off = np.abs(given.sum(axis=1) - 1)
    if given.shape[1] < 2 or off.max() > SUM_OFF:
        row = int(off.argmax())
        raise InputError(f"labels: the shares of text {row} add up to {given[row].sum():g}; expected 1, of two classes")
    return given.astype(np.float32)


def _initial(
    model: LanguageModel, classes: int, config: FinetuneConfig
) -> tuple[nnx.GraphDef[Any], _How, Parameters, Parameters]:
    """The model's graph, and parameters: those that learn, and the others."""
    own, dtype = model.pretrained, str(jnp.dtype(config.dtype or model.dtype))
    started = model.model if config.lora is None else adapted(model.model, config.lora, seed=config.seed)
    network: Any = nnx.clone(started)
    network.layers.remat = config.remat
    graph, state = nnx.split(network)
    parameters, frozen = {}, {}
    for path, leaf in nnx.to_flat_state(state):
        learns = config.lora is None or is_adapter(path)
        wanted = jnp.float32 if learns else jnp.dtype(dtype)
        # A copy of what learns: steps give its memory to the next one's.
        array = jnp.array(leaf[...], wanted, copy=True) if learns else leaf[...].astype(wanted)
        (parameters if learns else frozen)[".".join(map(str, path))] = jax.device_put(
            array, model.place.of(array.shape)
        )
    weight = _words(model, config, classes) if config.words else np.zeros((classes, own.config.width), np.float32)
    for name, array in (("weight", weight), ("bias", np.zeros(classes, np.float32))):
        parameters[f"{HEAD}.{name}"] = jax.device_put(array, model.place.of(array.shape))
    return graph, _How(config.pool or own.pipeline.pooling, dtype), parameters, frozen


def _words(model: LanguageModel, config: FinetuneConfig, classes: int) -> Float32[np.ndarray, "classes width"]:
    """A decoder's own weights of what it says next."""
    own = model.pretrained
    if len(config.words) != classes:
        raise InputError(f"words: {len(config.words)} for {classes} classes; give one a class")
    if not own.config.causal:
        raise InputError(f"words: {own.name} says no next word, it is no decoder; leave them out")
    found = []
    for word in config.words:
        ids = own.tokenizer.backend.encode(word, add_special_tokens=False).ids
        if len(ids) != 1:
            raise InputError(
                f"words: {word!r} is {len(ids)} tokens of {own.name}; give a word that is one, space and all"
            )
        found.append(ids[0])
    if len(set(found)) < classes:
        raise InputError(f"words: two of {', '.join(map(repr, config.words))} are the same token of {own.name}")
    if UNTIED in own.checkpoint.shapes:
        return np.asarray(own.checkpoint.read(UNTIED)[found], np.float32)
    network: Any = model.model
    return np.asarray(jax.device_get(network.words.weight[...][np.array(found)]), np.float32)


def _parts(
    tokens: Tokens, rows: Int[np.ndarray, " batch"], at_once: int, place: Place
) -> Iterator[tuple[Int[np.ndarray, " part"], np.ndarray, np.ndarray, int]]:
    """Parts of a batch: their places in it, identifiers, lengths, and room; what is empty repeats the part's first row,
    which has a gradient that is finite, unlike a row of padding alone."""
    for places, length, room in batches(tokens.lengths[rows], at_once, place.devices):
        filled = np.concatenate([places, np.repeat(places[:1], room - len(places))])
        chosen = rows[filled]
        yield places, tokens.pad(chosen, length), tokens.lengths[chosen].astype(np.int32), room


def _network(graph: Any, how: _How, parameters: Parameters, frozen: Parameters) -> Any:
    """The model, with parameters in the type of the arithmetic."""
    nested: dict[str, Any] = {}
    for name, array in (*frozen.items(), *parameters.items()):
        if not name.startswith(f"{HEAD}."):
            *above, last = name.split(".")
            target = nested
            for one in above:
                target = target.setdefault(one, {})
            target[last] = array.astype(how.dtype)
    return nnx.merge(graph, nested)


def _logits(
    graph: Any,
    how: _How,
    parameters: Parameters,
    frozen: Parameters,
    ids: Int[Array, "rows length"],
    lengths: Int[Array, " rows"],
) -> tuple[Float[Array, "rows classes"], Float[Array, "rows width"]]:
    """Of the classes, and the states that they are made of."""
    mask = jnp.arange(ids.shape[1])[None, :] < lengths[:, None]

    def keep(x: Array) -> Array:
        return pool(x.astype(jnp.float32), mask, how.pool)

    _, states = _network(graph, how, parameters, frozen)(ids, mask, keep, lengths)
    weight, bias = (parameters[f"{HEAD}.{one}"] for one in ("weight", "bias"))
    return jnp.matmul(states, weight.T, precision="highest") + bias, states


@partial(jitted, static_argnums=(0, 1))
def _said(graph: Any, how: _How, parameters: Parameters, frozen: Parameters, ids: Array, lengths: Array) -> Any:
    logits, states = _logits(graph, how, parameters, frozen, ids, lengths)
    return jax.nn.softmax(logits), states


@jitted
def _zeros(parameters: Parameters) -> tuple[Array, Parameters]:
    return jnp.zeros((), jnp.float32), jax.tree.map(jnp.zeros_like, parameters)


@partial(jitted, static_argnums=(0, 1), donate_argnums=4)
def _added(
    graph: Any,
    how: _How,
    parameters: Parameters,
    frozen: Parameters,
    sums: tuple[Array, Parameters],
    ids: Array,
    lengths: Array,
    targets: Float32[Array, "rows classes"],
) -> tuple[Array, Parameters]:
    """Sums of losses and gradients, with those of a part."""

    def loss(parameters: Parameters) -> Float[Array, ""]:
        logits, _ = _logits(graph, how, parameters, frozen, ids, lengths)
        return optax.safe_softmax_cross_entropy(logits, targets).sum()

    return jax.tree.map(jnp.add, sums, jax.value_and_grad(loss)(parameters))


@partial(jitted, static_argnums=0, donate_argnums=(2, 3))
def _stepped(
    limits: _Limits,
    schedule: _Schedule,
    parameters: Parameters,
    optimizer: Any,
    sums: tuple[Array, Parameters],
    count: Float[Array, ""],
) -> tuple[Parameters, Any, Array, Array]:
    """The next parameters and moments, the mean loss of the batch, and the length of its gradient."""
    loss, gradient = jax.tree.map(lambda x: x / count, sums)
    updates, optimizer = limits.optimizer(schedule.rate).update(gradient, optimizer, parameters)
    return jax.tree.map(jnp.add, parameters, updates), optimizer, loss, optax.tree.norm(gradient)
