"""The sharpness of the training loss: largest eigenvalues of its Hessian, as an optimizer sees it.

``sharpness`` is the largest eigenvalue of the Hessian. ``preconditioned_sharpness`` is that of
D^(-1/2) Hessian D^(-1/2), with D the preconditioner of the step that comes next, its moments
corrected for their start; times h over the rule's threshold of linear stability it is ``edge``,
which is 1 where the rule is about to become unstable, see :mod:`adambias.law.stability`.

Eigenvalues are SciPy's, by Hessian-vector products alone: LOBPCG from the eigenvector of the last
time, and where there is none, or that has not come near one, ARPACK from a vector of the trial's
seed. The eigenvector is kept with the training, so that a resumed one gives the same numbers.

References
----------
Knyazev (2001), Toward the optimal preconditioned eigensolver. Lehoucq, Sorensen and Yang (1998),
ARPACK users' guide.
"""

from __future__ import annotations

import math
import warnings
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.sparse.linalg import ArpackError, LinearOperator, eigsh, lobpcg
from torch import Tensor

from adambias.config.measures import Measure
from adambias.config.trial import Trial
from adambias.law.stability import linear_weights, stability_threshold
from adambias.training.measures import EVERY, Snapshot

TOLERANCE = 1e-2
"""Length of the residual, over the eigenvalue, at which a solver is content."""
REFINEMENTS = 2
"""Most steps of LOBPCG from an eigenvector of before."""
LOST = 0.1
"""Length of the residual, over the eigenvalue, from which ARPACK starts afresh."""
MIXED = 0.1
"""Share of the gradient in the vector that LOBPCG begins with."""
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
    product: Callable[[Vector], Vector],
    start: Vector,
    *,
    before: float | None = None,
    tolerance: float = TOLERANCE,
) -> Eigenpair:
    """Return the largest eigenvalue of a symmetric operator, algebraically, and its eigenvector.

    Parameters
    ----------
    product : callable
        From a vector ``(p,)`` of float64 to the operator times it.
    start : ndarray, shape (p,)
        Where to begin; not zero.
    before : float, optional
        The eigenvalue of an operator nearby, whose eigenvector ``start`` is: a few products then
        refine it. If they do not come near an eigenvector, it is looked for afresh.
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
    if before:
        try:
            found = _refined(counted, start, tolerance * abs(before))
        except (ValueError, np.linalg.LinAlgError):  # its vectors have become dependent
            found = None
        if found and found.residual < max(LOST, tolerance):
            return found
        start = found.vector if found else start
    operator = LinearOperator((len(start), len(start)), matvec=counted, dtype=np.float64)
    _, vectors = eigsh(operator, k=1, which="LA", v0=start, tol=tolerance)
    vector = vectors[:, 0]
    image = counted(vector)
    value = float(vector @ image)
    return _judged(value, vector, float(np.linalg.norm(image - value * vector)), counted)


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

    def block(self, vectors: Vector) -> Vector:
        """Return the products with some columns."""
        return np.column_stack([self(column) for column in vectors.T])


def _refined(product: _Counted, start: Vector, tolerance: float) -> Eigenpair:
    """Return what a few steps of LOBPCG make of a vector."""
    with warnings.catch_warnings():
        # Of not having come to its tolerance: the residual, which is recorded, says how far it is.
        warnings.simplefilter("ignore", UserWarning)
        values, vectors, residuals = lobpcg(
            product.block,
            start[:, None],
            largest=True,
            tol=tolerance,
            maxiter=REFINEMENTS,
            retResidualNormsHistory=True,
        )
    return _judged(float(values[0]), vectors[:, 0], float(np.ravel(residuals[-1])[0]), product)


def _judged(value: float, vector: Vector, residual: float, product: _Counted) -> Eigenpair:
    size = max(abs(value), np.finfo(float).tiny)
    return Eigenpair(value, vector / np.linalg.norm(vector), residual / size, product.count)


def _due(trial: Trial, epoch: int) -> bool:
    return epoch % EVERY == 0


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
        cost="some Hessian-vector products every 10 epochs",
    )


def preconditioned_sharpness() -> Measure:
    """Return the measure of the sharpness that the optimizer sees.

    Columns: ``preconditioned_sharpness``, ``preconditioned_residual``, ``preconditioned_products``
    and ``edge``, h times it over the rule's threshold; missing as those of :func:`sharpness`, and
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
        cost="some Hessian-vector products every 10 epochs",
    )


def _sharpness(snapshot: Snapshot) -> Tensor:
    found = _largest(snapshot, "sharpness", None)
    return torch.tensor(found, dtype=torch.float64, device=snapshot.grad.device)


def _preconditioned(snapshot: Snapshot) -> Tensor:
    rule, theta = snapshot.optimizer.rule, snapshot.objective.theta
    _, inverse = linear_weights(rule, snapshot.optimizer.next_estimates(theta), theta)
    found = (math.nan,) * 3
    if bool((inverse > 0).all()) and bool(inverse.isfinite().all()):
        found = _largest(snapshot, "preconditioned_sharpness", inverse.double().sqrt())
    edge = snapshot.trial.h * found[0] / stability_threshold(rule)
    return torch.tensor([*found, edge], dtype=torch.float64, device=snapshot.grad.device)


def _largest(snapshot: Snapshot, name: str, scale: Tensor | None) -> tuple[float, float, float]:
    """Return eigenvalue, residual and products of scale Hessian scale; keep value and vector."""
    theta, kept = snapshot.theta, snapshot.kept
    with torch.enable_grad():
        hessian = snapshot.objective.hessian()

        def product(vector: Vector) -> Vector:
            along = torch.from_numpy(vector).to(theta.device)
            along = along if scale is None else scale * along
            found = hessian(along.to(theta.dtype)).double()
            return (found if scale is None else scale * found).cpu().numpy()

        if name in kept:
            # With some of the gradient: it has the direction in which an oscillation begins, which
            # an eigenvector that another one has overtaken may lack.
            grad = snapshot.grad.double() if scale is None else scale * snapshot.grad.double()
            length = grad.norm().clamp_min(torch.finfo(torch.float64).tiny)
            start = kept[name].double() + MIXED * grad / length
            start, before = start.cpu(), float(kept[f"{name}/value"])
        else:
            generator = torch.Generator().manual_seed(snapshot.trial.seed)
            start, before = torch.randn(len(theta), generator=generator).double(), None
        try:
            found = largest_eigenpair(product, start.numpy(), before=before)
        except (ArpackError, FloatingPointError):
            return (math.nan,) * 3
    kept[name] = torch.from_numpy(found.vector).to(theta)
    kept[f"{name}/value"] = theta.new_tensor(found.value)
    return found.value, found.residual, float(found.products)
