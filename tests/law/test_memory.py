"""Ages of the gradients that a moment remembers: mean, variance and quadrature against sums."""

import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from adambias.law.memory import NODES, age_quadrature, age_variance, mean_age

settings.register_profile("law", max_examples=25, deadline=None, derandomize=True)
settings.load_profile("law")

DECAYS = (0.0, 0.3, 0.9, 0.999, 0.99999)
STEPS = (0, 1, 3, 7, 8, 9, 63, 64, 65, 1000, 3000, None)


def ages(decay: float, n: int | None) -> tuple[np.ndarray, np.ndarray]:
    """All ages that have a weight, and the weights."""
    # For large n up to the age at which a weight has faded to exp(-60), 1e-26.
    last = n if n is not None else math.ceil(60 / -math.log(decay)) if decay else 0
    k = np.arange(last + 1.0)
    return k, decay**k / (decay**k).sum()


def rounding(decay: float, power: int) -> float:
    """What the closed forms may lose: they are differences of numbers of this size.

    That is 1 / (1 - d) for the mean, and its square for the variance.
    """
    return 8 * np.finfo(float).eps / (1 - decay) ** power


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("n", STEPS)
def test_mean_and_variance_are_those_of_the_weighted_ages(decay, n):
    k, weights = ages(decay, n)
    mean = float(weights @ k)
    variance = float(weights @ (k - mean) ** 2)
    assert mean_age(decay, n) == pytest.approx(mean, rel=1e-12, abs=rounding(decay, 1))
    assert age_variance(decay, n) == pytest.approx(variance, rel=1e-11, abs=rounding(decay, 2))


def test_the_variance_of_ages_whose_weights_are_all_but_equal_is_that_of_equal_weights():
    # Of N equal weights it is (N^2 - 1) / 12; with 1 - d = 1e-8 they differ by 2e-6 at most.
    assert age_variance(1 - 1e-8, 200) == pytest.approx((201**2 - 1) / 12, rel=1e-5)
    assert age_variance(1 - 1e-10, 200) == pytest.approx((201**2 - 1) / 12, rel=1e-7)


@pytest.mark.parametrize("n", STEPS)
def test_a_tensor_of_decays_is_each_of_them(n):
    tensor = torch.tensor([[0.0], [0.3], [0.99]], dtype=torch.float64)
    for function in (mean_age, age_variance):
        each = [[function(decay, n)] for decay in (0.0, 0.3, 0.99)]
        torch.testing.assert_close(
            function(tensor, n), torch.tensor(each, dtype=torch.float64), rtol=1e-10, atol=1e-12
        )


@given(st.floats(0, 0.9999), st.one_of(st.none(), st.integers(0, 5000)))
def test_a_variance_is_never_negative_and_is_that_of_the_quadrature(decay, n):
    pairs = age_quadrature(decay, n)
    mean = sum(weight * age for age, weight in pairs)
    variance = sum(weight * (age - mean) ** 2 for age, weight in pairs)
    assert age_variance(decay, n) >= 0
    assert mean_age(decay, n) == pytest.approx(mean, rel=1e-11, abs=rounding(decay, 1))
    assert age_variance(decay, n) == pytest.approx(variance, rel=1e-11, abs=rounding(decay, 2))


@given(st.floats(0, 0.99999), st.one_of(st.none(), st.integers(0, 5000)))
def test_a_quadrature_is_an_average_over_ages_that_there_are(decay, n):
    nodes, weights = zip(*age_quadrature(decay, n), strict=True)
    assert len(nodes) <= NODES
    assert min(weights) >= 0
    assert sum(weights) == pytest.approx(1, rel=1e-12)
    assert min(nodes) >= -1e-9
    assert n is None or max(nodes) <= n * (1 + 1e-12)


@pytest.mark.parametrize("decay", DECAYS)
@pytest.mark.parametrize("n", [n for n in STEPS if n is not None])
def test_the_quadrature_is_exact_for_polynomials_up_to_its_degree(decay, n):
    k, weights = ages(decay, n)
    for degree in range(2 * NODES):
        found = sum(weight * age**degree for age, weight in age_quadrature(decay, n))
        assert found == pytest.approx(float(weights @ k**degree), rel=1e-11), degree


@pytest.mark.parametrize("decay", DECAYS)
def test_for_large_n_the_quadrature_has_the_factorial_moments_of_the_geometric_weights(decay):
    """The average of k (k - 1) ... (k - j + 1) is j! (d / (1 - d))^j."""
    for j in range(2 * NODES):
        terms = [w * math.prod(age - i for i in range(j)) for age, w in age_quadrature(decay, None)]
        expected = math.factorial(j) * (decay / (1 - decay)) ** j
        assert sum(terms) == pytest.approx(expected, rel=1e-10, abs=1e-9 * max(map(abs, terms)))


def test_one_degree_more_is_not_exact():
    k, weights = ages(0.9, 100)
    found = sum(weight * age ** (2 * NODES) for age, weight in age_quadrature(0.9, 100))
    assert found != pytest.approx(float(weights @ k ** (2 * NODES)), rel=1e-8)


@pytest.mark.parametrize(("decay", "n"), itertools.product((0.3, 0.999), (0, 1, 5, NODES - 1)))
def test_with_no_more_ages_than_nodes_the_quadrature_is_the_sum(decay, n):
    nodes, weights = zip(*age_quadrature(decay, n), strict=True)
    k, expected = ages(decay, n)
    assert nodes == tuple(k)
    assert weights == pytest.approx(expected, rel=1e-14)
    assert len(age_quadrature(decay, NODES)) == NODES, "one age more, and it is none"
