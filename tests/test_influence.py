"""Influences against numeric derivatives of the dense definition in the weights of samples."""

import numpy as np
import pytest

import w2sg_jax as w2sg
from w2sg_jax.theory.influence import (
    Seen,
    Slopes,
    Squares,
    covariance,
    of_predicted_gap,
    of_singular_value,
    turn,
)
from w2sg_jax.theory.uncertainty import corrected

N = 40
STEP = 1e-5


def sample(weak_width, strong_width, columns=2, n=N):
    rng = np.random.default_rng(weak_width)
    latent = rng.normal(size=(n, 12)) * 0.8 ** np.arange(12) + 0.3
    weak = latent @ rng.normal(size=(12, weak_width)) + 0.3 * rng.normal(size=(n, weak_width)) + 2.0
    strong = latent @ rng.normal(size=(12, strong_width)) + 0.3 * rng.normal(size=(n, strong_width))
    return weak, strong, latent[:, :columns] + 0.5 * rng.normal(size=(n, columns)) - 1.0


class Model:
    """One model under weights of the samples, by its eigenvectors: the dense definition."""

    def __init__(self, x, weights, ridge, threshold, center, scale):
        rows = np.sqrt(weights)[:, None] * (x - weights @ x if center else x)
        self.square = (rows**2).sum(axis=1) / weights
        trace = (rows**2).sum()
        unit = rows / np.sqrt(trace)
        self.ridge = ridge if scale == "trace" else ridge / trace
        values, vectors = np.linalg.eigh(unit.T @ unit)
        self.values, vectors = values[::-1], vectors[:, ::-1]
        self.keep = (self.values >= threshold * self.values[0]) & (self.values > 1e-12)
        self.scores = unit @ vectors
        gains = np.where(self.keep, 1 / (self.values + self.ridge), 0.0)
        self.p = (self.scores * gains) @ self.scores.T
        self.square = self.square / trace if scale == "trace" else np.ones(len(x))


def pair(parts, weights, ridges, thresholds, center, scale):
    weak, strong, y = parts
    w, s = (
        Model(x, weights, ridge, threshold, center, scale)
        for x, ridge, threshold in zip((weak, strong), ridges, thresholds, strict=True)
    )
    labels = np.sqrt(weights)[:, None] * (y - weights @ y if center else y)
    operator = s.p @ (np.eye(len(y)) - w.p)
    return w, s, operator, labels


def values(*arguments):
    _, _, operator, labels = pair(*arguments)
    return np.array([((operator @ labels) ** 2).sum(), np.linalg.norm(operator, 2)])


def derivative(parts, *settings):
    """Of both quantities in the weight of each sample, by central differences."""
    found = []
    for i in range(N):
        towards = -np.full(N, 1 / N)
        towards[i] += 1
        high, low = (values(parts, 1 / N + sign * STEP * towards, *settings) for sign in (1, -1))
        found.append((high - low) / (2 * STEP))
    return np.array(found)


def seen(u, v, w, s):
    """On the samples, whose rows are divided by sqrt(n) in the definition."""
    z, e = s.p @ u, v - w.p @ v
    return Seen(*(np.sqrt(N) * x for x in (u, z, e, s.p @ e, w.p @ z)))


def slopes_of(found):
    u, z, e, f, h = found
    return Slopes((h * e).sum(axis=1).mean(), (f * (u - z)).sum(axis=1).mean())


def by_threshold(model, left, right):
    """``turn`` of one model: left and right are functions on the samples."""
    scores = np.sqrt(N) * model.scores
    rows = slice(0, int((model.values > 1e-12).sum()))
    keep, drop = model.keep[rows], ~model.keep[rows]
    scores, eigenvalues = scores[:, rows], model.values[rows]
    total = np.zeros(N)
    for a, c in zip(left.T, right.T, strict=True):
        a, c = scores.T @ a / N, scores.T @ c / N
        total += turn(
            scores[:, keep], scores[:, drop], eigenvalues[keep], eigenvalues[drop], model.ridge,
            (a[keep], a[drop]), (c[keep], c[drop]),
        )  # fmt: skip
    return total


@pytest.mark.parametrize("widths", [(5, 9), (60, 9), (9, 60), (50, 70)])
@pytest.mark.parametrize("scale", ["trace", "none"])
@pytest.mark.parametrize("center", [True, False])
@pytest.mark.parametrize("thresholds", [(0.0, 0.0), (0.05, 0.1)])
def test_influences_are_derivatives_of_the_definition(widths, scale, center, thresholds):
    parts, ridges = sample(*widths), (0.03, 0.01)
    settings = (ridges, thresholds, center, scale)
    weights = np.full(N, 1 / N)
    w, s, operator, labels = pair(parts, weights, *settings)
    truth = derivative(parts, *settings)
    squares = Squares(w.square, s.square)

    f = operator @ labels
    found = seen(f, labels, w, s)
    turns = by_threshold(s, found.u, found.e) - by_threshold(w, found.z, np.sqrt(N) * labels)
    influence = of_predicted_gap((f**2).sum(), found, squares, slopes_of(found), turns)
    np.testing.assert_allclose(influence, truth[:, 0], atol=1e-6 * np.abs(truth[:, 0]).max())

    left, singular, right = np.linalg.svd(operator)
    u, v = left[:, :1], right[:1].T
    found = seen(u, v, w, s)
    turns = by_threshold(s, found.u, found.e) - by_threshold(w, found.z, np.sqrt(N) * v)
    influence = of_singular_value(singular[0], found, np.sqrt(N) * v, squares, slopes_of(found), turns)
    assert influence.mean() == pytest.approx(0.0, abs=1e-12 * np.abs(influence).max())
    np.testing.assert_allclose(influence, truth[:, 1], atol=1e-6 * np.abs(truth[:, 1]).max())


@pytest.mark.parametrize("center", [True, False], ids=["centred", "raw"])
@pytest.mark.parametrize("scale", ["trace", "none"])
@pytest.mark.parametrize("thresholds", [(0.0, 0.0), (0.05, 0.1)], ids=["all", "thresholds"])
@pytest.mark.parametrize("widths", [(5, 9), (60, 9), (9, 60), (50, 70), (25, 30)], ids=str)
def test_covariances_of_a_ranking_are_those_of_the_influences(widths, thresholds, scale, center):
    """By columns, by samples, by both and by principal components; the second model is an easier one."""
    weak, strong, y = sample(*widths)
    other = strong[:, ::2] + 0.1
    truth = {"predicted": [], "norm": []}
    for x in (weak, other):
        w, s, operator, labels = pair((x, strong, y), np.full(N, 1 / N), (0.03, 0.01), thresholds, center, scale)
        squares, root = Squares(w.square, s.square), np.sqrt(N)
        f = operator @ labels
        found = seen(f, labels, w, s)
        turns = by_threshold(s, found.u, found.e) - by_threshold(w, found.z, root * labels)
        truth["predicted"].append(of_predicted_gap((f**2).sum(), found, squares, slopes_of(found), turns))
        left, singular, right = np.linalg.svd(operator)
        u, v = left[:, :1], right[:1].T
        found = seen(u, v, w, s)
        turns = by_threshold(s, found.u, found.e) - by_threshold(w, found.z, root * v)
        truth["norm"].append(of_singular_value(singular[0], found, root * v, squares, slopes_of(found), turns))
    options = {"ridge": (0.03, 0.01), "threshold": thresholds, "scale": scale, "center": center}
    ranking = w2sg.rank({"weak": weak, "other": other}, strong, y, **options)
    order = [("weak", "other").index(name) for name in ranking.names]
    for quantity, influences in truth.items():
        expected = covariance(np.stack(influences, axis=1)[:, order])
        if quantity == "predicted":
            dof = np.array([row.dof_weak for row in ranking.rows])
            expected = corrected(expected, dof, ranking.rows[0].dof_strong, N)
        np.testing.assert_allclose(
            np.array(ranking.covariances[quantity]), expected, rtol=1e-6, atol=1e-8 * np.abs(expected).max()
        )


@pytest.mark.parametrize("thresholds", [(0.0, 0.0), (0.05, 0.1)], ids=["all", "thresholds"])
@pytest.mark.parametrize("widths", [(5, 9), (9, 60), (50, 70)], ids=str)
def test_influences_of_one_pair_with_scores_and_intervals(widths, thresholds):
    weak, strong, y = sample(*widths)
    found = w2sg.gap_influence(weak, strong, y, (0.03, 0.01), thresholds)
    truth = derivative((weak, strong, y), (0.03, 0.01), thresholds, True, "trace")
    np.testing.assert_allclose(found.predicted, truth[:, 0], atol=1e-6 * np.abs(truth[:, 0]).max())
    np.testing.assert_allclose(found.norm, truth[:, 1], atol=1e-6 * np.abs(truth[:, 1]).max())
    scores = w2sg.gap_scores(weak, strong, y, (0.03, 0.01), thresholds)
    np.testing.assert_allclose(found.scores, scores, rtol=1e-9, atol=1e-12)
    assert found.gap.predicted == pytest.approx((scores**2).mean())
    row = w2sg.rank({"w": weak}, strong, y, ridge=(0.03, 0.01), threshold=thresholds).rows[0]
    for quantity, interval in row.intervals.items():
        assert found.intervals[quantity] == pytest.approx(interval, rel=1e-6)
    assert w2sg.gap_influence(weak, strong).predicted is None


@pytest.mark.parametrize("scale", ["trace", "none"])
@pytest.mark.parametrize("widths", [(5, 9), (9, 60), (50, 70)], ids=str)
def test_the_frobenius_norm_has_an_interval_where_it_is_asked_for(widths, scale):
    parts, truth = sample(*widths), []
    settings = ((0.03, 0.01), (0.0, 0.0), True, scale)

    def frobenius(weights):
        return np.linalg.norm(pair(parts, weights, *settings)[2]) / np.sqrt(N)

    for i in range(N):
        towards = -np.full(N, 1 / N)
        towards[i] += 1
        high, low = (frobenius(1 / N + sign * STEP * towards) for sign in (1, -1))
        truth.append((high - low) / (2 * STEP))
    ranking = w2sg.rank({"w": parts[0]}, *parts[1:], ridge=(0.03, 0.01), scale=scale, by="frobenius")
    row = ranking.rows[0]
    assert row.frobenius == pytest.approx(frobenius(np.full(N, 1 / N)), rel=1e-9)
    assert ranking.covariances["frobenius"][0][0] == pytest.approx((np.array(truth) ** 2).sum() / N**2, rel=1e-5)
    assert row.intervals["frobenius"][0] < row.frobenius < row.intervals["frobenius"][1]


def test_groups_of_one_pair():
    weak, strong, y = sample(5, 9)
    twice = w2sg.gap_influence(*(np.tile(x, (2, 1)) for x in (weak, strong, y)), groups=np.tile(np.arange(N), 2))
    once = w2sg.gap_influence(weak, strong, y)
    assert twice.intervals["predicted"] == pytest.approx(once.intervals["predicted"], rel=1e-9)
    assert twice.intervals["norm"] == pytest.approx(once.intervals["norm"], rel=1e-9)
    with pytest.raises(w2sg.InputError, match="groups: got shape"):
        w2sg.gap_influence(weak, strong, groups=np.arange(3))
