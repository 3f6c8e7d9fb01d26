r"""The signature of every predictor: what it is computed from (`Inputs`), and what is known of it (`Predictor`)."""

from collections.abc import Callable, Hashable
from dataclasses import dataclass, field, replace
from functools import cached_property
from typing import Any, TypeVar

import numpy as np
from jaxtyping import Float64, Shaped

from .._errors import InputError
from ..numerics.checks import as_ridge, at_least_two, refuse_non_finite, same_rows
from ..numerics.settings import own_settings
from ..second_moments.from_arrays import moments
from ..theory.gap import Gap, gap
from .factored import HOST, Factored, factor

T = TypeVar("T")

NEEDS: dict[str, tuple[tuple[str, ...], str]] = {
    "representations": (("weak", "strong"), "the representations of the same samples by both models"),
    "train_labels": (
        ("train_weak", "train_strong", "train_labels"),
        "the labelled split that the weak model is fitted on: both representations and the labels of its samples",
    ),
    "pseudo_labels": (("pseudo_labels",), "the weak model's labels of the unlabelled samples"),
    "labels": (("labels",), "the true labels of the samples that the weak model labels"),
    "weak_probabilities": (("weak_probabilities",), "the weak model's class probabilities of the unlabelled samples"),
}
"""What a predictor may need -> the fields of `Inputs` that hold it, and what to give."""


@dataclass(frozen=True, eq=False)
class Model:
    """One model's representations, and what is computed of it alone: once, however many predictors ask.

    Attributes:
        name: "weak" or "strong".
        samples: (n, d) of the unlabelled samples.
        train: (n~, d) of the labelled split, or None.
        train_labels: (n~, c), or None.
        groups: (n,), or None.
        train_groups: (n~,), or None.
    """

    name: str
    samples: Float64[np.ndarray, "_ _"]
    train: Float64[np.ndarray, "_ _"] | None
    train_labels: Float64[np.ndarray, "_ _"] | None
    groups: Shaped[np.ndarray, " _"] | None
    train_groups: Shaped[np.ndarray, " _"] | None
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    @cached_property
    def factored(self) -> Factored:
        """The representation of the unlabelled samples."""
        return factor(self.samples, self.name)

    @cached_property
    def train_factored(self) -> Factored:
        """The representation of the labelled split."""
        if self.train is None:
            raise InputError(f"train_{self.name}: not given; pass {NEEDS['train_labels'][1]}")
        return factor(self.train, f"train_{self.name}")

    def once(self, function: "Callable[[Model], T]") -> T:
        """``function(self)``, computed at the first call and kept."""
        if function not in self._known:
            self._known[function] = function(self)
        return self._known[function]


@dataclass(frozen=True, eq=False)
class Inputs:
    r"""What the predictors of one pair of models are computed from; NumPy float64, nothing centred or scaled.

    n unlabelled samples, $\hat{\mathcal D}$; n~ labelled ones, $\tilde{\mathcal D}$, or none; c label columns. What is
    computed of a pair or of one model is computed once; ``with_weak`` keeps what is known of the strong model.

    Attributes:
        weak: (n, d_weak) representation of the unlabelled samples by the weak model.
        strong: (n, d_strong) representation of the same samples by the strong model.
        train_weak: (n~, d_weak) of the labelled split, which the weak model is fitted on; or None.
        train_strong: (n~, d_strong) of the same samples; or None.
        train_labels: (n~, c) their labels; or None. All three train arrays are given, or none.
        pseudo_labels: (n, c) what the weak model says of the unlabelled samples; or None.
        labels: (n, c) their true labels; or None.
        weak_probabilities: (n, classes) of the weak model; or None.
        groups: (n,) which unlabelled samples belong together: twins that every model finds alike; or None.
        train_groups: (n~,) which labelled samples belong together and are left out together; or None.
        ridge: (weak, strong); what is added to $K/n$ of centred representations of unit trace.

    Raises:
        InputError: other numbers of rows, one sample, NaN or Inf, part of the train arrays alone, a negative ridge.
    """

    weak: Float64[np.ndarray, "_ _"]
    strong: Float64[np.ndarray, "_ _"]
    train_weak: Float64[np.ndarray, "_ _"] | None = None
    train_strong: Float64[np.ndarray, "_ _"] | None = None
    train_labels: Float64[np.ndarray, "_ _"] | None = None
    pseudo_labels: Float64[np.ndarray, "_ _"] | None = None
    labels: Float64[np.ndarray, "_ _"] | None = None
    weak_probabilities: Float64[np.ndarray, "_ _"] | None = None
    groups: Shaped[np.ndarray, " _"] | None = None
    train_groups: Shaped[np.ndarray, " _"] | None = None
    ridge: tuple[float, float] = (1e-2, 1e-2)
    _weak_model: Model | None = field(default=None, repr=False)
    _strong_model: Model | None = field(default=None, repr=False)
    _known: dict[Hashable, Any] = field(default_factory=dict, init=False, repr=False)

    def __post_init__(self) -> None:
        """Refuse what no predictor can use."""
        object.__setattr__(self, "ridge", as_ridge(self.ridge))
        for names in (("weak", "strong", "pseudo_labels", "labels", "weak_probabilities"), NEEDS["train_labels"][0]):
            given = {name: array for name in names if (array := getattr(self, name)) is not None}
            for name, array in given.items():
                if np.ndim(array) != 2 or not isinstance(array, np.ndarray):
                    raise InputError(f"{name}: expected a NumPy array (samples, columns), got {type(array).__name__}")
            if "train_weak" in names and given and len(given) < len(names):
                missing = ", ".join(name for name in names if name not in given)
                raise InputError(f"{missing}: not given beside {', '.join(given)}; pass all of {', '.join(names)}")
            if given:
                at_least_two(same_rows(list(given.values()), list(given)), next(iter(given)))
            for name, array in given.items():
                if array.shape[1] == 0:
                    raise InputError(f"{name}: no column; at least one is needed")
                refuse_non_finite(array, name)
        if self.groups is not None:
            same_rows([self.weak, self.groups], ["weak", "groups"])
        if self.train_groups is not None:
            if self.train_labels is None:
                raise InputError("train_groups: given without the labelled split; pass train_labels with them")
            same_rows([self.train_labels, self.train_groups], ["train_labels", "train_groups"])

    def with_weak(
        self,
        weak: Float64[np.ndarray, "_ _"],
        *,
        train_weak: Float64[np.ndarray, "_ _"] | None = None,
        pseudo_labels: Float64[np.ndarray, "_ _"] | None = None,
        weak_probabilities: Float64[np.ndarray, "_ _"] | None = None,
    ) -> "Inputs":
        """The same samples and strong model beside another weak one; args as the attributes of that weak model.

        ``train_weak`` is needed where the labelled split is given.

        What has been computed of the strong model alone is kept, and what will be is shared.
        """
        return replace(
            self,
            weak=weak,
            train_weak=train_weak,
            pseudo_labels=pseudo_labels,
            weak_probabilities=weak_probabilities,
            _weak_model=None,
            _strong_model=self.strong_model,
        )

    def with_ridge(self, ridge: tuple[float, float]) -> "Inputs":
        """The same samples and models at another (weak, strong) pair of ridges.

        What has been computed of either model alone is kept, and what will be is shared.
        """
        return replace(self, ridge=ridge, _weak_model=self.weak_model, _strong_model=self.strong_model)

    def beside(self, other: "Inputs") -> "Inputs":
        """The weak model of these inputs beside the strong model of others, which have the same samples.

        What has been computed of either model alone is kept, and what will be is shared.
        """
        return replace(
            self,
            strong=other.strong,
            train_strong=other.train_strong,
            _weak_model=self.weak_model,
            _strong_model=other.strong_model,
        )

    def once(self, function: "Callable[[Inputs], T]") -> T:
        """``function(self)``, computed at the first call and kept."""
        if function not in self._known:
            self._known[function] = function(self)
        return self._known[function]

    @property
    def available(self) -> frozenset[str]:
        """Which of the ``NEEDS`` of predictors are given."""
        return frozenset(
            need for need, (names, _) in NEEDS.items() if all(getattr(self, name) is not None for name in names)
        )

    @property
    def n(self) -> int:
        """Unlabelled samples."""
        return len(self.weak)

    @property
    def n_train(self) -> int:
        """Labelled samples, n~; 0 without the labelled split."""
        return 0 if self.train_labels is None else len(self.train_labels)

    @cached_property
    def weak_model(self) -> Model:
        """The weak model alone; shared with what ``with_ridge`` makes."""
        if self._weak_model is not None:
            return self._weak_model
        return Model("weak", self.weak, self.train_weak, self.train_labels, self.groups, self.train_groups)

    @cached_property
    def strong_model(self) -> Model:
        """The strong model alone; shared with what ``with_weak`` and ``with_ridge`` make."""
        if self._strong_model is not None:
            return self._strong_model
        return Model("strong", self.strong, self.train_strong, self.train_labels, self.groups, self.train_groups)

    @cached_property
    def cross(self) -> Float64[np.ndarray, "k_strong k_weak"]:
        r"""$C = U_s^\top U_w$ on the unlabelled samples. Cost: $2 n k_s k_w$."""
        return HOST.cross(self.strong_model.factored.left, self.weak_model.factored.left)

    @property
    def gains(self) -> tuple[Float64[np.ndarray, " k_weak"], Float64[np.ndarray, " k_strong"]]:
        """The gains of both smoothers on the unlabelled samples, weak and strong."""
        return self.weak_model.factored.gains(self.ridge[0]), self.strong_model.factored.gains(self.ridge[1])

    @cached_property
    def gap(self) -> Gap:
        """The gap of the pair on the unlabelled samples, with their labels where they are given."""
        return gap(moments(self.weak, self.strong, self.labels, dtype="float64"), self.ridge)


@dataclass(frozen=True)
class Predictor:
    """A number that is known before the strong model is fitted on weak labels, and what it should foretell.

    Attributes:
        name: an identifier: on the command line, and of a column.
        title: in words.
        needs: names out of ``NEEDS``.
        sign: +1 where a larger value goes with a larger Err_w2s, -1 where with a smaller one, by its source; of
            similarities, by the gap norm's argument: a strong model loses less beside a weak one that is like it.
        cost: flops beyond the factorisation of both representations, which all predictors share.
        source: paper and equation.
        compute: the value, of inputs that hold what it needs.
    """

    name: str
    title: str
    needs: tuple[str, ...]
    sign: int
    cost: str
    source: str
    compute: Callable[[Inputs], float] = field(repr=False)

    def __post_init__(self) -> None:
        """Refuse what is no need or no sign: a mistake of whoever writes a predictor."""
        if not self.name.isidentifier() or not set(self.needs) <= NEEDS.keys() or self.sign not in (1, -1):
            raise InputError(f"predictor {self.name!r}: needs are of {', '.join(NEEDS)}, a sign is +1 or -1")

    def missing(self, available: frozenset[str] | set[str]) -> tuple[str, ...]:
        """What it needs beyond what is available."""
        return tuple(need for need in self.needs if need not in available)

    def refuse_missing(self, available: frozenset[str] | set[str]) -> None:
        """Say what it needs and how to give it (InputError), unless all of it is available."""
        missing = self.missing(available)
        if missing:
            what = "; ".join(f"{need} (pass {', '.join(NEEDS[need][0])}: {NEEDS[need][1]})" for need in missing)
            raise InputError(f"predictor {self.name!r} needs {what}")

    def value(self, inputs: Inputs) -> float:
        """The value for one pair of models; NaN where the predictor's docstring says that it is undefined.

        Raises:
            InputError: something that it needs is not in the inputs; a representation is constant.
        """
        self.refuse_missing(inputs.available)
        with own_settings():
            return float(self.compute(inputs))
