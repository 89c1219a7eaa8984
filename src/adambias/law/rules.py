"""Update rules: what an optimizer is, once for its steps and its flows.

A rule is a list of exponential moving averages of functions of the gradient and a combiner:

    m_l^(n+1) = d_l m_l^(n) + (1 - d_l) phi_l(g^(n)),    m_hat_l = m_l^(n+1) / (1 - d_l^(n+1))
    theta^(n+1) = theta^(n) - h Phi(m_hat_1, ..., m_hat_L, theta^(n))

All products, squares and roots are componentwise, unless a rule says otherwise. Decays and epsilon
are numbers, or tensors that broadcast against theta (``(B, 1)`` against ``(B, p)``) to run many
rules at once.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from adambias.core.errors import ConfigError, choose_from
from adambias.core.registry import RULES
from adambias.core.validation import Decay, Range, integer

if TYPE_CHECKING:
    from torch import Tensor

    Number: TypeAlias = float | Tensor

Shapes: TypeAlias = Sequence[tuple[int, ...]]
Placement: TypeAlias = Literal["inside", "outside"]
_EPSILON = Range(above=0, below=math.inf)
_WEIGHT_DECAY = Range(at_least=0, below=math.inf)


def identity(g: Tensor) -> Tensor:
    """Return the gradient itself."""
    return g


def square(g: Tensor) -> Tensor:
    """Return the componentwise square of the gradient."""
    return g * g


@dataclass(frozen=True)
class Moment:
    """An exponential moving average of ``phi(g)``, corrected for its start at zero.

    Parameters
    ----------
    decay : float or Tensor
        Weight of the past, in [0, 1); 0 keeps no memory.
    phi : callable, optional
        Componentwise function of the gradient, smooth; the identity if not given.

    Examples
    --------
    >>> import adambias as ab
    >>> rule = ab.UpdateRule([ab.Moment(0.9)], combine=lambda m, theta: m.tanh())
    >>> rule.decays
    (0.9,)
    """

    decay: Number
    phi: Callable[[Tensor], Tensor] = identity

    def __post_init__(self) -> None:
        _within(Decay, decay=self.decay)
        if not callable(self.phi):
            raise ConfigError("phi", self.phi, "must be a function of the gradient")


@dataclass(frozen=True)
class UpdateRule:
    """A momentum optimizer: moments and a combiner.

    Parameters
    ----------
    moments : sequence of Moment
        The averages the rule keeps; plain ``(decay, phi)`` pairs will do.
    combine : callable
        ``combine(m_hat_1, ..., m_hat_L, theta)``, the direction that is multiplied by -h. Written
        with tensor operations that broadcast; it must not change its arguments.
    name : str, optional
        Name in tables and figures.
    bias_correction : bool, optional
        Divide each moment by 1 - d^(n+1). The flows need it.
    componentwise : bool, optional
        Whether a component of the direction depends on that component of moments and theta alone.

    Examples
    --------
    A rule of one's own, Adam with a cube root:

    >>> rule = UpdateRule(
    ...     moments=[(0.9, identity), (0.99, lambda g: g.abs() ** 3)],
    ...     combine=lambda m, nu, theta: m / (nu + 1e-6) ** (1 / 3),
    ...     name="cube-root Adam",
    ... )
    >>> rule.name
    'cube-root Adam'
    """

    moments: Sequence[Moment]
    combine: Callable[..., Tensor]
    name: str = "custom"
    bias_correction: bool = True
    componentwise: bool = True

    def __post_init__(self) -> None:
        if not isinstance(self.moments, Sequence) or not self.moments:
            raise ConfigError("moments", self.moments, "must be a list of at least one moment")
        moments = tuple(map(_as_moment, self.moments))
        if not callable(self.combine):
            raise ConfigError("combine", self.combine, "must be a function of moments and theta")
        object.__setattr__(self, "moments", moments)

    @property
    def decays(self) -> tuple[Number, ...]:
        """Decay of each moment, in order."""
        return tuple(moment.decay for moment in self.moments)

    @property
    def remembered(self) -> tuple[int, ...]:
        """Which moments have memory: a decay other than the number 0."""
        decays = enumerate(self.decays)
        return tuple(i for i, d in decays if not isinstance(d, int | float) or d != 0)


def _as_moment(moment: Any) -> Moment:
    if isinstance(moment, Moment):
        return moment
    try:
        return Moment(*moment)
    except TypeError:
        allowed = "must be a Moment, or a pair (decay, phi)"
        raise ConfigError("moments", moment, allowed) from None


def require_rule(rule: Any) -> None:
    """Refuse what is no update rule, such as a factory that was not called.

    Raises
    ------
    ConfigError
        If ``rule`` is not an :class:`UpdateRule`.
    """
    if not isinstance(rule, UpdateRule):
        raise ConfigError("rule", rule, "must be an UpdateRule, as adambias.rules.adam() returns")


def _within(bounds: Range, **hyperparameters: Any) -> None:
    """Refuse a number, or a tensor with an entry, out of bounds; it is named by its keyword."""
    for key, value in hyperparameters.items():
        try:
            inside = bounds.holds(value)
        except TypeError:
            raise ConfigError(key, value, f"must be a number, must be {bounds}") from None
        if not inside:
            raise ConfigError(key, value, f"must be {bounds}")


def _denominator(epsilon: Number, placement: Placement) -> Callable[[Tensor], Tensor]:
    """Return sqrt(nu + epsilon) or sqrt(nu) + epsilon as a function of nu."""
    _within(_EPSILON, epsilon=epsilon)
    if placement == "inside":
        return lambda nu: (nu + epsilon).sqrt_()
    if placement == "outside":
        return lambda nu: _root(nu) + epsilon
    raise ConfigError("epsilon_placement", placement, choose_from(("inside", "outside"), placement))


def _root(nu: Tensor) -> Tensor:
    """Return sqrt(nu), with the derivative 0 where nu is 0.

    There autograd would multiply an infinite slope by d nu = 2 g dg = 0. The limit is finite: a
    rule divides by sqrt(nu) + epsilon what vanishes with g, so that the term of nu vanishes with
    g too, from either side. Only where the numerator outlasts nu (mini-batches, ``beta2`` = 0) does
    that term jump with the sign of g; 0 is midway.
    """
    import torch

    # An optimizer's step needs no derivative and should cost no more than a root.
    if not torch.is_grad_enabled():
        return nu.sqrt()
    zero = nu == 0
    return nu.masked_fill(zero, 1.0).sqrt().masked_fill(zero, 0.0)


def _smooth_sign(x: Tensor, epsilon: Number) -> Tensor:
    """Return x / sqrt(x^2 + epsilon), which lies in (-1, 1)."""
    return x / (x * x + epsilon).sqrt_()


def _decayed(direction: Callable[..., Tensor], weight_decay: Number) -> Callable[..., Tensor]:
    """Add decoupled weight decay to a combiner; 0 leaves the combiner as it is."""
    _within(_WEIGHT_DECAY, weight_decay=weight_decay)
    if isinstance(weight_decay, int | float) and weight_decay == 0:
        return direction
    return lambda *arguments: direction(*arguments) + weight_decay * arguments[-1]


def gradient_descent(*, bias_correction: bool = True) -> UpdateRule:
    """Gradient descent: Phi = g.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> rule = ab.rules.gradient_descent()
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> ab.iterate(rule, ab.losses.bilinear(), theta0, h=0.01, n_steps=100)[-1]
    tensor([0.3819, 1.9639], dtype=torch.float64)
    """
    return UpdateRule([Moment(0.0)], lambda m, theta: m, "gradient_descent", bias_correction)


def heavy_ball(*, beta1: Number = 0.9, bias_correction: bool = True) -> UpdateRule:
    """Gradient descent with heavy-ball momentum, as a moving average: Phi = m.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> rule = ab.rules.heavy_ball(beta1=0.9)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> ab.iterate(rule, ab.losses.bilinear(), theta0, h=0.01, n_steps=100)[-1]
    tensor([-1.3015, -0.5709], dtype=torch.float64)
    """
    _within(Decay, beta1=beta1)
    return UpdateRule([Moment(beta1)], lambda m, theta: m, "heavy_ball", bias_correction)


def nesterov(*, beta1: Number = 0.9, bias_correction: bool = True) -> UpdateRule:
    """Nesterov momentum, as a moving average: Phi = beta1 m + (1 - beta1) g.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> rule = ab.rules.nesterov(beta1=0.9)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> ab.iterate(rule, ab.losses.bilinear(), theta0, h=0.01, n_steps=100)[-1]
    tensor([-1.0728, -0.7013], dtype=torch.float64)
    """
    _within(Decay, beta1=beta1)
    return UpdateRule(
        [Moment(beta1), Moment(0.0)],
        lambda m, g, theta: beta1 * m + (1 - beta1) * g,
        "nesterov",
        bias_correction,
    )


def rmsprop(
    *,
    beta2: Number = 0.999,
    epsilon: Number = 1e-8,
    epsilon_placement: Placement = "inside",
    bias_correction: bool = True,
) -> UpdateRule:
    """RMSProp, which is Adam without memory of the gradient: Phi = g / sqrt(nu + epsilon).

    Examples
    --------
    >>> import torch, adambias as ab
    >>> rule = ab.rules.rmsprop(beta2=0.99, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> ab.iterate(rule, ab.losses.bilinear(), theta0, h=0.01, n_steps=100)[-1]
    tensor([1.9964, 2.7126], dtype=torch.float64)
    """
    _within(Decay, beta2=beta2)
    root = _denominator(epsilon, epsilon_placement)
    return UpdateRule(
        [Moment(0.0), Moment(beta2, square)],
        lambda g, nu, theta: g / root(nu),
        "rmsprop",
        bias_correction,
    )


def adam(
    *,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    epsilon: Number = 1e-8,
    epsilon_placement: Placement = "inside",
    bias_correction: bool = True,
) -> UpdateRule:
    """Adam, Definition 2.1: Phi = m / sqrt(nu + epsilon).

    Parameters
    ----------
    beta1, beta2 : float or Tensor
        Decays of the averages of the gradient and of its square (the paper's beta and rho).
    epsilon : float or Tensor
        Numerical stability, > 0; of the unit of a squared gradient when inside the root.
    epsilon_placement : {"inside", "outside"}
        sqrt(nu + epsilon), the paper's; or sqrt(nu) + epsilon, Kingma and Ba's and PyTorch's.
    bias_correction : bool
        Correct both averages for their start at zero.

    References
    ----------
    Kingma and Ba (2015), Adam: A method for stochastic optimization.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> rule = ab.rules.adam(beta1=0.9, beta2=0.99, epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> ab.iterate(rule, ab.losses.bilinear(), theta0, h=0.01, n_steps=100)[-1]
    tensor([1.9486, 2.6613], dtype=torch.float64)
    """
    _within(Decay, beta1=beta1, beta2=beta2)
    root = _denominator(epsilon, epsilon_placement)
    return UpdateRule(
        [Moment(beta1), Moment(beta2, square)],
        lambda m, nu, theta: m / root(nu),
        "adam",
        bias_correction,
    )


def adamw(
    *,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    epsilon: Number = 1e-8,
    epsilon_placement: Placement = "inside",
    weight_decay: Number = 0.01,
    bias_correction: bool = True,
) -> UpdateRule:
    """Adam with decoupled weight decay: Phi = m / sqrt(nu + epsilon) + weight_decay theta.

    Examples
    --------
    >>> import torch, adambias as ab
    >>> rule = ab.rules.adamw(weight_decay=0.1)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> ab.iterate(rule, ab.losses.bilinear(), theta0, h=0.01, n_steps=100)[-1]
    tensor([1.7912, 2.4368], dtype=torch.float64)
    """
    rule = adam(
        beta1=beta1,
        beta2=beta2,
        epsilon=epsilon,
        epsilon_placement=epsilon_placement,
        bias_correction=bias_correction,
    )
    return replace(rule, combine=_decayed(rule.combine, weight_decay), name="adamw")


def nadam(
    *,
    beta1: Number = 0.9,
    beta2: Number = 0.999,
    epsilon: Number = 1e-8,
    epsilon_placement: Placement = "inside",
    bias_correction: bool = True,
) -> UpdateRule:
    """Adam with Nesterov momentum: Phi = (beta1 m + (1 - beta1) g) / sqrt(nu + epsilon).

    Examples
    --------
    >>> import torch, adambias as ab
    >>> rule = ab.rules.nadam(epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> ab.iterate(rule, ab.losses.bilinear(), theta0, h=0.01, n_steps=100)[-1]
    tensor([1.9697, 2.6836], dtype=torch.float64)
    """
    _within(Decay, beta1=beta1, beta2=beta2)
    root = _denominator(epsilon, epsilon_placement)
    return UpdateRule(
        [Moment(beta1), Moment(beta2, square), Moment(0.0)],
        lambda m, nu, g, theta: (beta1 * m + (1 - beta1) * g) / root(nu),
        "nadam",
        bias_correction,
    )


def lion(
    *,
    beta1: Number = 0.9,
    beta2: Number = 0.99,
    epsilon: Number = 1e-8,
    weight_decay: Number = 0.0,
    bias_correction: bool = True,
) -> UpdateRule:
    """Lion with its sign smoothed: Phi = s(beta1 m + (1 - beta1) g) + weight_decay theta.

    Here m decays with ``beta2`` and s(x) = x / sqrt(x^2 + epsilon).

    Examples
    --------
    >>> import torch, adambias as ab
    >>> rule = ab.rules.lion(epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> ab.iterate(rule, ab.losses.bilinear(), theta0, h=0.01, n_steps=100)[-1]
    tensor([1.8000, 2.5000], dtype=torch.float64)
    """
    _within(Decay, beta1=beta1, beta2=beta2)
    _within(_EPSILON, epsilon=epsilon)
    return UpdateRule(
        [Moment(beta2), Moment(0.0)],
        _decayed(
            lambda m, g, theta: _smooth_sign(beta1 * m + (1 - beta1) * g, epsilon), weight_decay
        ),
        "lion",
        bias_correction,
    )


def signum(
    *, beta1: Number = 0.9, epsilon: Number = 1e-8, bias_correction: bool = True
) -> UpdateRule:
    """Signum, the sign of the averaged gradient, smoothed: Phi = m / sqrt(m^2 + epsilon).

    Examples
    --------
    >>> import torch, adambias as ab
    >>> rule = ab.rules.signum(epsilon=1e-2)
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> ab.iterate(rule, ab.losses.bilinear(), theta0, h=0.01, n_steps=100)[-1]
    tensor([1.8000, 2.5000], dtype=torch.float64)
    """
    _within(Decay, beta1=beta1)
    _within(_EPSILON, epsilon=epsilon)
    return UpdateRule(
        [Moment(beta1)], lambda m, theta: _smooth_sign(m, epsilon), "signum", bias_correction
    )


NEWTON_SCHULZ = (3.4445, -4.7750, 2.0315)
"""Coefficients of the quintic iteration that brings singular values near 1 (Jordan et al. 2024)."""
_NO_ZERO = 1e-7
"""Keeps a matrix of zeros from being divided by its norm."""


def orthogonalised(matrix: Tensor, iterations: int = 5) -> Tensor:
    """Return a matrix with the singular vectors of another, and singular values of about 1.

    Parameters
    ----------
    matrix : Tensor, shape (..., rows, columns)
        Each matrix on its own. It is smooth in it where it is not zero.
    iterations : int
        Newton-Schulz steps; the published 5 bring singular values between about 0.7 and 1.2.

    References
    ----------
    Jordan et al. (2024), Muon: An optimizer for hidden layers in neural networks.
    """
    a, b, c = NEWTON_SCHULZ
    tall = matrix.shape[-2] > matrix.shape[-1]
    x = matrix.mT if tall else matrix
    x = x / (x.flatten(-2).norm(dim=-1)[..., None, None] + _NO_ZERO)
    for _ in range(iterations):
        gram = x @ x.mT
        x = a * x + (b * gram + c * gram @ gram) @ x
    return x.mT if tall else x


def muon(
    *,
    beta1: Number = 0.95,
    beta2: Number = 0.999,
    epsilon: Number = 1e-8,
    epsilon_placement: Placement = "inside",
    weight_decay: Number = 0.0,
    bias_correction: bool = True,
    shapes: Shapes | None = None,
    nesterov: bool = True,
    iterations: int = 5,
    adjust: Literal["match_rms_adamw", "original"] = "match_rms_adamw",
    adam_first: int = 0,
    adam_last: int = 0,
) -> UpdateRule:
    """Muon: momentum orthogonalised matrix by matrix, and Adam for what is no matrix.

    Parameters
    ----------
    beta1, beta2, epsilon, epsilon_placement
        Decay of the momentum, which Adam shares; Adam's other hyperparameters.
    shapes : sequence of tuple of int, optional
        Shapes of the parameters where they are all in one vector; each tensor's own otherwise. What
        has two dimensions or more is a matrix, its first dimension the rows.
    nesterov : bool
        Orthogonalise beta1 m + (1 - beta1) g in place of m.
    iterations : int
        Newton-Schulz steps, see :func:`orthogonalised`.
    adjust : {"match_rms_adamw", "original"}
        Multiply the direction by 0.2 sqrt(max(rows, columns)), which makes it as long as Adam's so
        that one h serves both (Liu et al. 2025); or by sqrt(max(1, rows / columns)).
    adam_first, adam_last : int
        Matrices at the beginning and end of ``shapes`` that are left to Adam, as the published
        recipe has it for embeddings and heads.

    References
    ----------
    Jordan et al. (2024), Muon: An optimizer for hidden layers in neural networks. Liu et al.
    (2025), Muon is scalable for LLM training.

    Examples
    --------
    A matrix of 2 by 1 goes in the direction of its orthogonalised gradient:

    >>> import torch, adambias as ab
    >>> rule = ab.rules.muon(shapes=[(2, 1)])
    >>> theta0 = torch.tensor([2.8, 3.5], dtype=torch.float64)
    >>> ab.iterate(rule, ab.losses.bilinear(), theta0, h=0.01, n_steps=100)[-1]
    tensor([2.6457, 3.3775], dtype=torch.float64)
    """
    _within(Decay, beta1=beta1, beta2=beta2)
    root = _denominator(epsilon, epsilon_placement)
    if adjust not in _ADJUST:
        raise ConfigError("rule_options.adjust", adjust, choose_from(_ADJUST, adjust))
    iterations = integer("rule_options.iterations", iterations, 1)
    ends = [
        integer(f"rule_options.{name}", value, 0)
        for name, value in (("adam_first", adam_first), ("adam_last", adam_last))
    ]
    matrices = _matrices(shapes, *ends) if shapes is not None else None

    def turned(piece: Tensor, shape: tuple[int, ...]) -> Tensor:
        matrix = piece.unflatten(-1, (shape[0], -1))
        factor = _ADJUST[adjust](*matrix.shape[-2:])
        return (factor * orthogonalised(matrix, iterations)).flatten(-2)

    def combine(*arguments: Tensor) -> Tensor:
        m, *rest = arguments
        g, nu, theta = rest if nesterov else (m, *rest)
        look = beta1 * m + (1 - beta1) * g if nesterov else m
        if matrices is None:
            if theta.ndim < 2:
                return m / root(nu)
            return turned(look.flatten(), theta.shape).view(theta.shape)
        import torch

        # Adam's part of every piece is cheap; the matrices' pieces then take the place of theirs.
        pieces = list((m / root(nu)).split([size for size, _ in matrices], dim=-1))
        looks = look.split([size for size, _ in matrices], dim=-1)
        for i, (_, shape) in enumerate(matrices):
            if shape is not None:
                pieces[i] = turned(looks[i], shape)
        return torch.cat(pieces, dim=-1)

    moments = [Moment(beta1), *([Moment(0.0)] if nesterov else []), Moment(beta2, square)]
    direction = _decayed(combine, weight_decay)
    return UpdateRule(moments, direction, "muon", bias_correction, componentwise=False)


_ADJUST: dict[str, Callable[[int, int], float]] = {
    "match_rms_adamw": lambda rows, columns: 0.2 * math.sqrt(max(rows, columns)),
    "original": lambda rows, columns: math.sqrt(max(1.0, rows / columns)),
}


def _matrices(shapes: Shapes, first: int, last: int) -> list[tuple[int, tuple[int, ...] | None]]:
    """Return the size of each parameter, with its shape if it is to be orthogonalised."""
    places = [i for i, shape in enumerate(shapes) if len(shape) >= 2]
    chosen = places[first : max(first, len(places) - last)]
    return [
        (math.prod(shape), tuple(shape) if i in chosen else None) for i, shape in enumerate(shapes)
    ]


def make_rule(
    name: str,
    *,
    options: Mapping[str, Any] | None = None,
    shapes: Shapes | None = None,
    **hyperparameters: Any,
) -> UpdateRule:
    """Make a rule by its name, passing only the hyperparameters its factory accepts.

    Parameters
    ----------
    name : str
        One of :data:`adambias.core.registry.RULES`, or ``"package.module:factory"`` for a factory
        of one's own.
    options : mapping, optional
        Further arguments of the factory, each of which it must name.
    shapes : sequence of tuple of int, optional
        Shapes of the parameters, where they are all in one vector: for a factory that takes them.
    **hyperparameters
        ``beta1``, ``beta2``, ``epsilon``, ``epsilon_placement``, ``weight_decay``,
        ``bias_correction``; those the factory does not name are left out.

    Examples
    --------
    >>> make_rule("heavy_ball", beta1=0.5, beta2=0.9).decays
    (0.5,)
    """
    accepted = RULES.takes(name)
    given = hyperparameters | ({} if shapes is None else {"shapes": tuple(shapes)})
    if accepted is not None:
        given = {k: v for k, v in given.items() if k in accepted}
    rule = RULES.make(name, options=options or {}, key="rule_options", **given)
    if not isinstance(rule, UpdateRule):
        raise ConfigError("rule", name, f"must return an UpdateRule, not {type(rule).__name__}")
    return rule
