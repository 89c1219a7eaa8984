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
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh
from torch import Tensor

from adambias.config.measures import Measure
from adambias.config.trial import Trial
from adambias.law.stability import linear_weights, stability_threshold
from adambias.training.measures import Snapshot

TOLERANCE = 0.05
"""Length of the residual, over the eigenvalue, at which the solver is content: an eigenvalue is
then good to about the square of it."""
BASIS = 4
"""Vectors that the solver keeps: the fewest products for eigenvalues that stand apart."""
RESTARTS = 50
"""Most times that it starts again from the best of them."""
Vector: TypeAlias = NDArray[np.float64]


@dataclass(frozen=True)
class Eigenpair:
    """The largest eigenvalue of a symmetric operator, and how well it is known.

    Attributes
    ----------
    value : float
        The eigenvalue, a Rayleigh quotient.
    vector : ndarray, shape (p,)
        Its eigenvector, of length 1.
    residual : float
        Length of (A - value) vector, over the eigenvalue's size.
    products : int
        Products with A that it took.
    """

    value: float
    vector: Vector
    residual: float
    products: int


def largest_eigenpair(
    product: Callable[[Vector], Vector], start: Vector, *, tolerance: float = TOLERANCE
) -> Eigenpair:
    """Return the largest eigenvalue of a symmetric operator, algebraically, and its eigenvector.

    Parameters
    ----------
    product : callable
        From a vector ``(p,)`` of float64 to the operator times it.
    start : ndarray, shape (p,)
        Where to begin; not zero.
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
    _, vectors = eigsh(
        *(operator, 1), which="LA", v0=start, ncv=BASIS, maxiter=RESTARTS, tol=tolerance
    )
    vector = vectors[:, 0]
    image = counted(vector)
    value = float(vector @ image)
    size = max(abs(value), np.finfo(float).tiny)
    residual = float(np.linalg.norm(image - value * vector)) / size
    return Eigenpair(value, vector, residual, counted.count)


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


def sharpness() -> Measure:
    """Return the measure of the largest eigenvalue of the Hessian of the training loss.

    Columns: ``sharpness``, ``sharpness_residual``, ``sharpness_products``; all missing where the
    Hessian is not finite or the solver does not come to an end.
    """
    return Measure(
        columns=("sharpness", "sharpness_residual", "sharpness_products"),
        compute=_sharpness,
        when=_due,
        curves=("sharpness",),
        cost="some Hessian-vector products every ``measure_every`` epochs",
    )


def preconditioned_sharpness() -> Measure:
    """Return the measure of the sharpness that the optimizer sees.

    Columns: ``preconditioned_sharpness``, ``preconditioned_residual``, ``preconditioned_products``
    and ``edge``, h times it over the step's threshold; missing as those of :func:`sharpness`, and
    where the preconditioner is not positive.
    """
    return Measure(
        columns=(
            *("preconditioned_sharpness", "preconditioned_residual", "preconditioned_products"),
            "edge",
        ),
        compute=_preconditioned,
        when=_due,
        curves=("preconditioned_sharpness", "edge"),
        cost="some Hessian-vector products every ``measure_every`` epochs",
    )


def _sharpness(snapshot: Snapshot) -> Tensor:
    found = _largest(snapshot, None)
    return torch.tensor(found, dtype=torch.float64, device=snapshot.grad.device)


def _preconditioned(snapshot: Snapshot) -> Tensor:
    rule, theta = snapshot.optimizer.rule, snapshot.objective.theta
    _, inverse = linear_weights(rule, snapshot.optimizer.next_estimates(theta), theta)
    found = (math.nan,) * 3
    if bool((inverse > 0).all()) and bool(inverse.isfinite().all()):
        found = _largest(snapshot, inverse.double().sqrt())
    edge = snapshot.trial.h * found[0] / stability_threshold(rule, snapshot.epoch)
    return torch.tensor([*found, edge], dtype=torch.float64, device=snapshot.grad.device)


def _largest(snapshot: Snapshot, scale: Tensor | None) -> tuple[float, float, float]:
    """Return eigenvalue, residual and products of scale Hessian scale."""
    theta = snapshot.theta
    start = snapshot.grad.double() if scale is None else scale * snapshot.grad.double()
    if not bool(start.isfinite().all()) or not bool(start.any()):
        return (math.nan,) * 3
    with torch.enable_grad():
        hessian = snapshot.objective.hessian()

        def product(vector: Vector) -> Vector:
            along = torch.from_numpy(vector).to(theta.device)
            along = along if scale is None else scale * along
            found = hessian(along.to(theta.dtype)).double()
            return (found if scale is None else scale * found).cpu().numpy()

        try:
            found = largest_eigenpair(product, start.cpu().numpy())
        except (ArpackError, FloatingPointError):
            return (math.nan,) * 3
    return found.value, found.residual, float(found.products)
