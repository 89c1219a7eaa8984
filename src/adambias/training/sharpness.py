"""The sharpness of the training loss: largest eigenvalues of its Hessian, as an optimizer sees it.

``sharpness`` is the largest eigenvalue of the Hessian. ``preconditioned_sharpness`` is that of
D^(-1/2) Hessian D^(-1/2), with D the preconditioner of the step that comes next, its moments
corrected for their start; times h over the threshold of linear stability of that step it is
``edge``, which is 1 where the rule is about to become unstable, see :mod:`adambias.law.stability`.

Eigenvalues are ARPACK's, by Hessian-vector products alone, from the gradient, which near the edge
has the direction of the oscillation. From the eigenvector of the time before it takes as many
products: that has often been overtaken by another.

References
----------
Lehoucq, Sorensen and Yang (1998), ARPACK users' guide.
"""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor

from adambias.config.measures import Measure
from adambias.config.trial import Trial
from adambias.core.errors import ConfigError
from adambias.core.validation import integer
from adambias.law.stability import linear_weights, stability_threshold
from adambias.training.measures import Snapshot
from adambias.training.memory import step_size

TOLERANCE = 0.05
"""Length of the residual, over the eigenvalue, at which the solver is content: an eigenvalue is
then good to about the square of it."""
BASIS = 4
"""Vectors that the solver keeps: the fewest products for eigenvalues that stand apart."""
RESTARTS = 50
"""Most times that it starts again from the best of them."""
Vector: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Eigenpairs:
    """The largest eigenvalues of a symmetric operator, and how well they are known.

    Attributes
    ----------
    values : ndarray, shape (k,)
        The eigenvalues, Rayleigh quotients, the largest first.
    vectors : ndarray, shape (p, k)
        Their eigenvectors, of length 1.
    residual : float
        Length of (A - value) vector, over the eigenvalue's size; the largest of them.
    products : int
        Products with A that it took.
    """

    values: Vector
    vectors: Vector
    residual: float
    products: int


def largest_eigenpairs(
    product: Callable[[Vector], Vector], start: Vector, k: int = 1, *, tolerance: float = TOLERANCE
) -> Eigenpairs:
    """Return the k largest eigenvalues of a symmetric operator, algebraically, with eigenvectors.

    Parameters
    ----------
    product : callable
        From a vector ``(p,)`` of float64 to the operator times it.
    start : ndarray, shape (p,)
        Where to begin; not zero.
    k : int, optional
        How many, less than p.
    tolerance : float, optional
        Length of the residual, over the eigenvalue, to be content with.

    Raises
    ------
    ArpackError
        If the solver does not come to an end.
    FloatingPointError
        If a product is not finite.
    """
    counted = _Counted(product)
    operator = LinearOperator((len(start), len(start)), matvec=counted, dtype=np.float64)
    # Room for three more than are asked for, as ARPACK's users' guide has it for one.
    basis = min(k + BASIS - 1, len(start))
    _, vectors = eigsh(
        *(operator, k), which="LA", v0=start, ncv=basis, maxiter=RESTARTS, tol=tolerance
    )
    images = np.stack([counted(vector) for vector in vectors.T], axis=1)
    values = (vectors * images).sum(0)
    sizes = np.maximum(np.abs(values), np.finfo(float).tiny)
    residual = float((np.linalg.norm(images - values * vectors, axis=0) / sizes).max())
    order = np.argsort(-values, kind="stable")
    return Eigenpairs(values[order], vectors[:, order], residual, counted.count)


class _Counted:
    """A product that counts how often it was taken, and refuses numbers that are not finite."""

    def __init__(self, product: Callable[[Vector], Vector]) -> None:
        self.product, self.count = product, 0

    def __call__(self, vector: Vector) -> Vector:
        self.count += 1
        found = self.product(np.ravel(vector))
        if not np.isfinite(found).all():
            raise FloatingPointError("a product with the Hessian is not finite")
        return found


def _due(trial: Trial, epoch: int) -> bool:
    return epoch % trial.measure_every == 0


def sharpness(*, k: int = 1) -> Measure:
    """Return the measure of the k largest eigenvalues of the Hessian of the training loss.

    Columns: ``sharpness``, ``sharpness_residual``, ``sharpness_products``, then ``sharpness_2`` and
    so on up to k; all missing where the Hessian is not finite or the solver does not come to an
    end. The residual is the largest of the k.
    """
    k = integer("measures sharpness k", k, 1)
    return Measure(
        columns=("sharpness", "sharpness_residual", "sharpness_products", *_more("sharpness", k)),
        compute=partial(_sharpness, k=k),
        when=_due,
        curves=("sharpness",),
        cost="some Hessian-vector products every ``measure_every`` epochs",
    )


def preconditioned_sharpness(*, k: int = 1) -> Measure:
    """Return the measure of the k largest curvatures that the optimizer sees.

    Columns: ``preconditioned_sharpness``, ``preconditioned_residual``, ``preconditioned_products``
    and ``edge``, h times it over the step's threshold, then ``preconditioned_sharpness_2`` and so
    on up to k; missing as those of :func:`sharpness`, and where the preconditioner is not positive.

    Raises
    ------
    ConfigError
        When it is computed, for a rule whose preconditioner is no diagonal, such as muon's.
    """
    k = integer("measures preconditioned_sharpness k", k, 1)
    return Measure(
        columns=(
            *("preconditioned_sharpness", "preconditioned_residual", "preconditioned_products"),
            *("edge", *_more("preconditioned_sharpness", k)),
        ),
        compute=partial(_preconditioned, k=k),
        when=_due,
        curves=("preconditioned_sharpness", "edge"),
        cost="some Hessian-vector products every ``measure_every`` epochs",
    )


def _more(name: str, k: int) -> tuple[str, ...]:
    return tuple(f"{name}_{i}" for i in range(2, k + 1))


def _sharpness(snapshot: Snapshot, k: int) -> Tensor:
    found = _largest(snapshot, None, k)
    return torch.tensor(found, dtype=torch.float64, device=snapshot.grad.device)


def _preconditioned(snapshot: Snapshot, k: int) -> Tensor:
    rule, theta = snapshot.optimizer.rule, snapshot.objective.theta
    _, inverse = linear_weights(rule, snapshot.optimizer.next_estimates(theta), theta)
    found = [math.nan] * (k + 2)
    if bool((inverse > 0).all()) and bool(inverse.isfinite().all()):
        found = _largest(snapshot, inverse.double().sqrt(), k)
    h = step_size(snapshot.optimizer)
    edge = h * found[0] / stability_threshold(rule, snapshot.epoch)
    columns = [*found[:3], edge, *found[3:]]
    return torch.tensor(columns, dtype=torch.float64, device=snapshot.grad.device)


def _largest(snapshot: Snapshot, scale: Tensor | None, k: int) -> list[float]:
    """Return the largest eigenvalue, residual and products of scale Hessian scale, and the others.

    As many numbers as there are columns, NaN if they cannot be had.
    """
    theta, nothing = snapshot.theta, [math.nan] * (k + 2)
    start = snapshot.grad.double() if scale is None else scale * snapshot.grad.double()
    if not bool(start.isfinite().all()) or not bool(start.any()):
        return nothing
    if k >= len(start):
        raise ConfigError("measures", k, f"k must be below {len(start)}, the parameters there are")
    with torch.enable_grad():
        hessian = snapshot.objective.hessian()

        def product(vector: Vector) -> Vector:
            along = torch.from_numpy(vector).to(theta.device)
            along = along if scale is None else scale * along
            found = hessian(along.to(theta.dtype)).double()
            return (found if scale is None else scale * found).cpu().numpy()

        try:
            found = largest_eigenpairs(product, start.cpu().numpy(), k)
        except (ArpackError, FloatingPointError):
            return nothing
    first, *others = found.values.tolist()
    return [first, found.residual, float(found.products), *others]
