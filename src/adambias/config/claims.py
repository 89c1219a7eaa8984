"""The claims that are judged: each is one record, from which all that is said of it derives.

``claims.json``, the captions, the links of the report and the table of ``docs/figures.md`` take
their words from :data:`CLAIMS`. A scale adds its own under ``analyse.claims``.
"""

from __future__ import annotations

import math
import operator
import re
from dataclasses import dataclass, fields, replace
from typing import Annotated, Any, Literal, TypeAlias, get_type_hints

from adambias.config.trial import TRIAL_FIELDS, Trial, is_field, is_option
from adambias.core.errors import ABSENT, ConfigError, choose_from
from adambias.core.validation import Fraction, Pair, Positive, Range, Validated

PAPER_RULE = "adam"
"""The optimizer that the claims are about."""
_NUMBERS = (name for name, kind in get_type_hints(Trial).items() if kind in (float, int))
AXES = tuple(name for name in _NUMBERS if name != "seed")
"""Hyperparameters that are numbers, along which a trend can be looked for."""


@dataclass(frozen=True, kw_only=True)
class Verdict(Validated):
    """The rule that turns an estimate into a verdict.

    A claim is decided if the interval excludes the value that the claim denies (zero, or one half
    of a share) and the estimate is at least as far from it as the smallest effect below: on the
    claimed side it agrees, on the other it disagrees. See ``docs/figures.md``.

    Parameters
    ----------
    seeds : int
        Fewest seeds to decide on.
    first_seed : int
        First seed that may decide; those below it are for exploring, and have been looked at.
    missing_share : float
        Largest share of the trials for which a number may be missing, or be none of what the claim
        is about, before the claim is not testable.
    norm_effect : float
        Smallest change of a norm across a grid, in powers of ten.
    accuracy_effect : float
        Smallest change of the test accuracy across a grid, a fraction of the test images.
    share_effect : float
        Smallest distance of a share from one half, for claims about most of something.
    order_tolerance : float
        Largest distance of an observed order from the order that the theory says.
    slope_tolerance : float
        Largest distance from 1 of the slope of what a law predicts on what was measured.
    rank_correlation : float
        Smallest rank correlation along a computed, not sampled, set of trajectories.
    """

    seeds: Annotated[int, Range(at_least=2)] = 5
    first_seed: Annotated[int, Range(at_least=0)] = 0
    missing_share: Annotated[float, Fraction] = 0.1
    norm_effect: Annotated[float, Range(at_least=0)] = 0.02
    accuracy_effect: Annotated[float, Range(at_least=0)] = 0.002
    share_effect: Annotated[float, Range(at_least=0, at_most=0.5)] = 0.1
    order_tolerance: Annotated[float, Positive] = 0.15
    slope_tolerance: Annotated[float, Positive] = 0.1
    rank_correlation: Annotated[float, Range(above=0, at_most=1)] = 0.8


EFFECTS = tuple(
    field.name
    for field in fields(Verdict)
    if field.name not in ("seeds", "first_seed", "missing_share")
)


@dataclass(frozen=True, kw_only=True)
class Statistic:
    """A number that claims can be about.

    Parameters
    ----------
    function : str
        ``package.module:function`` that reads it off what was found, see
        :mod:`adambias.analysis.claims.judge`.
    name : str
        What a reading with it is called in tables and figures.
    measures : str
        What the number is, and its unit; ``{of}``, ``{hill_decades}`` and the bounds of the loss,
        ``{top}`` and ``{bottom}``, are filled in.
    needs : tuple of str
        Fields that a claim with this statistic must give.
    choices : tuple of str
        What a claim's ``of`` can be, where that is known beforehand.
    effect : str
        Which smallest effect of :class:`Verdict` counts, unless the claim names one.
    directions : (str, str)
        What a number above the null value is called, and one below.
    share : bool
        Whether it is a share of the seeds, which claims say is above one half.
    over_epochs : bool
        Whether it is read off the norm's course, which figures then show.
    """

    function: str
    name: str = ""
    measures: str = ""
    needs: tuple[str, ...] = ("grids", "axis")
    choices: tuple[str, ...] = ()
    effect: str = ""
    directions: tuple[str, str] = ("rises", "falls")
    share: bool = False
    over_epochs: bool = False


_TRAININGS = "adambias.analysis.claims.trainings"
_SMALL = "adambias.analysis.claims.small_losses"
_NETWORKS = "adambias.analysis.claims.networks"
_EDGE = "adambias.analysis.claims.edge"
_DECADES = "across the grid, in powers of ten"
_LOSSES = "while the training loss is between {top:g} and {bottom:g} of its start"

STATISTICS: dict[str, Statistic] = {
    "order": Statistic(
        function=f"{_SMALL}:order",
        measures="slope of log error against log h, median over rules and losses",
        needs=("of",),
        choices=("modified", "leading_order", "resummed", "moment"),
        effect="order_tolerance",
    ),
    "growing_order": Statistic(
        function=f"{_SMALL}:growing_order",
        measures="slope of log error against log h, 1 − β in proportion to h, median over losses",
        needs=("of",),
        choices=("moment",),
        effect="order_tolerance",
    ),
    "penalised": Statistic(
        function=f"{_SMALL}:penalised",
        measures="cosine of the bias and the gradient of the {of}, median",
        needs=("of",),
        choices=("one_norm", "squared_two_norm"),
    ),
    "fan": Statistic(
        function=f"{_SMALL}:fan",
        measures="rank correlation of the norm per unit of distance where Adam arrives",
        needs=("axis",),
        effect="rank_correlation",
    ),
    "reach": Statistic(
        function=f"{_NETWORKS}:reach",
        measures=(
            "slope of predicted on measured: memory's change of the norm, in powers of ten, over "
            "the settings within reach"
        ),
        needs=("of",),
        choices=("modified", "resummed", "moment"),
        effect="slope_tolerance",
    ),
    **{
        f"{what}_{law}": Statistic(
            function=f"{_NETWORKS}:{what}_{law}",
            name=f"{what}, {law.replace('_', '-')} term",
            measures=f"share of memory's effect on the norm that {how}",
            needs=("of",),
        )
        for law in ("first_order", "resummed")
        for what, how in (
            ("removed", "goes when the predicted term is taken away"),
            ("restored", "comes when the predicted term is put in"),
        )
    },
    "progress": Statistic(
        function=f"{_TRAININGS}:progress",
        name="at equal progress",
        measures=f"change of the mean norm {_LOSSES}, {_DECADES}",
        effect="norm_effect",
    ),
    "relative": Statistic(
        function=f"{_TRAININGS}:relative",
        name="relative to the weights",
        measures=f"change of the mean norm times the weights' two-norm {_LOSSES}, {_DECADES}",
        effect="norm_effect",
    ),
    "smooth": Statistic(
        function=f"{_TRAININGS}:smooth",
        name="of the smooth path",
        measures=f"change of the mean norm at the mean of 16 iterates {_LOSSES}, {_DECADES}",
        effect="norm_effect",
    ),
    "oscillation": Statistic(
        function=f"{_TRAININGS}:oscillation",
        name="of the oscillation",
        measures=f"change of the norm over that of the smooth path {_LOSSES}, {_DECADES}",
        effect="norm_effect",
    ),
    "peak": Statistic(
        function=f"{_TRAININGS}:peak",
        name="the paper's own",
        measures=f"change of the highest norm after the initial period {_DECADES}",
        effect="norm_effect",
    ),
    "hill": Statistic(
        function=f"{_TRAININGS}:hill",
        name="the paper's own",
        measures=f"change of the norm at the hill's top {_DECADES}",
        effect="norm_effect",
        over_epochs=True,
    ),
    "share_of_epochs": Statistic(
        function=f"{_TRAININGS}:share_of_epochs",
        name="at equal epoch",
        measures="share of the seeds whose norms are in the claimed order at most epochs",
        needs=("grids", "axis", "of"),
        choices=("rises", "falls"),
        effect="share_effect",
        directions=("most epochs", "less than half the epochs"),
        share=True,
        over_epochs=True,
    ),
    "share_of_progress": Statistic(
        function=f"{_TRAININGS}:share_of_progress",
        name="at equal progress",
        measures="share of the seeds whose norms are in the claimed order at most training losses",
        needs=("grids", "axis", "of"),
        choices=("rises", "falls"),
        effect="share_effect",
        directions=("most of it", "less than half"),
        share=True,
        over_epochs=True,
    ),
    "share_with_hill": Statistic(
        function=f"{_TRAININGS}:share_with_hill",
        name="the paper's own",
        measures=(
            "share of the seeds of which most trials have a hill of at least {hill_decades:g} "
            "powers of ten"
        ),
        needs=("grids",),
        effect="share_effect",
        directions=("a hill in most", "a hill in less than half"),
        share=True,
    ),
    "accuracy": Statistic(
        function=f"{_TRAININGS}:accuracy",
        name="late accuracy",
        measures="change of the mean test accuracy late in the training across the grid",
        effect="accuracy_effect",
    ),
    "rules_settle": Statistic(
        function=f"{_EDGE}:rules_settle",
        measures="median of the curvature over its threshold once it has come to it",
        needs=(),
    ),
    "settles": Statistic(
        function=f"{_EDGE}:settles",
        measures="median of the curvature over its threshold once it has come to it",
        needs=("grids",),
    ),
    "oscillation_share": Statistic(
        function=f"{_EDGE}:oscillation_share",
        measures="share of the norm's excess that is none of the smooth path's, on its hill",
        needs=("grids",),
        effect="share_effect",
        directions=("most of it", "less than half"),
    ),
    "onset_after_crossing": Statistic(
        function=f"{_EDGE}:onset_after_crossing",
        measures="epochs from the crossing to where the norm begins to rise",
        needs=("grids",),
    ),
    "onset_rank": Statistic(
        function=f"{_EDGE}:onset_rank",
        name="rank correlation",
        measures="rank correlation of crossing and rise within seeds",
        needs=("grids",),
        directions=("in the same order", "in the other order"),
    ),
    "before_edge": Statistic(
        function=f"{_EDGE}:before_edge",
        name="before the edge",
        measures=f"change of the mean norm until a training of the seed crosses, {_DECADES}",
        effect="norm_effect",
    ),
    "after_edge": Statistic(
        function=f"{_EDGE}:after_edge",
        name="after the edge",
        measures=f"change of the mean norm from there on, {_DECADES}",
        effect="norm_effect",
    ),
    "change": Statistic(
        function=f"{_TRAININGS}:change",
        measures="change of {of} across the grid",
        needs=("grids", "axis", "of", "effect"),
    ),
}
"""Every built-in statistic; one of one's own is named ``package.module:function`` in a claim."""
NORM_READINGS = ("peak", "share_of_epochs", "relative", "smooth", "oscillation")
"""What is read beside the deciding statistic of a claim about norms."""


_COMPARISONS = {
    **{">=": operator.ge, "≥": operator.ge, "<=": operator.le, "≤": operator.le},
    **{"==": operator.eq, "!=": operator.ne, ">": operator.gt, "<": operator.lt},
}
_CONDITION = re.compile(rf"\s*([\w.]+)\s*({'|'.join(_COMPARISONS)})\s*([^\s<>=!≤≥]+)\s*")


@dataclass(frozen=True, kw_only=True)
class ClaimSpec(Validated):
    """A claim: what is said, of which trainings, and which number decides it.

    Parameters
    ----------
    source : str
        Where it is said.
    sentence : str
        What is said.
    grids : tuple of str
        Grids whose trainings it is about; none for a claim about the laws.
    axis : str
        The hyperparameter that is varied.
    statistic : str
        One of :data:`STATISTICS`, or ``package.module:function`` for one's own.
    of : str
        What the statistic is of, where it has a choice: for ``change`` a column of
        ``trials.parquet``, for ``order`` and ``growing_order`` a flow, for ``penalised`` a norm.
    side : {1, -1}
        The side of zero on which the claim says that the number is.
    where : str
        The trainings it is about, ``beta1 >= beta2`` or ``h < 1e-3 and model == resnet14``; all of
        the grids if empty.
    effect : str or float
        Which smallest effect of :class:`Verdict` counts, or that effect itself; by default the
        statistic's.
    directions : (str, str), optional
        What a number above zero is called, and one below; by default the statistic's.
    readings : tuple of str
        Statistics that are read beside the deciding one; they change no verdict.
    figure : str
        The figure that shows it, to which the report links.
    label : str
        What the figure's caption calls it.
    """

    source: str = "analyse.claims"
    sentence: str
    grids: tuple[str, ...] = ()
    axis: str = ""
    statistic: str
    of: str = ""
    side: Literal[1, -1] = 1
    where: str = ""
    effect: str | float = ""
    directions: Annotated[tuple[str, ...] | None, Pair] = None
    readings: tuple[str, ...] = ()
    figure: str = ""
    label: str = ""

    def __post_init__(self) -> None:
        super().__post_init__()
        for name in (self.statistic, *self.readings):
            if ":" not in name and name not in STATISTICS:
                key = "statistic" if name == self.statistic else "readings"
                allowed = f"{choose_from(STATISTICS, name)}, or package.module:function"
                raise ConfigError(key, name, allowed)
        self._refuse_lacking()
        for name, options in {"axis": AXES, "of": self.about.choices}.items():
            value = getattr(self, name)
            if value and options and value not in options and not is_option(value):
                raise ConfigError(name, value, choose_from(options, value))
        if isinstance(self.effect, str) and self.effect not in ("", *EFFECTS):
            raise ConfigError("effect", self.effect, f"{choose_from(EFFECTS)}, or a number")
        self._conditions()

    def _refuse_lacking(self) -> None:
        """Refuse a claim without what its statistic needs, or with grids that it cannot use."""
        needs = self.about.needs
        for name in needs:
            if not getattr(self, name):
                allowed = f"is needed by the statistic {self.statistic}, give it a value"
                raise ConfigError(name, ABSENT, allowed)
        if self.grids and "grids" not in needs:
            allowed = f"leave it out: the statistic {self.statistic} is not of trainings"
            raise ConfigError("grids", list(self.grids), allowed)

    @property
    def about(self) -> Statistic:
        """The statistic; of one's own only the function is known."""
        own = Statistic(function=self.statistic, needs=("grids",))
        return STATISTICS.get(self.statistic, own)

    def reading(self, statistic: str) -> ClaimSpec:
        """Return the claim with another statistic, and what belongs to it, in place of its own.

        A share is claimed to be above one half, whichever way the claim says that the norm goes;
        ``of`` keeps that way.
        """
        about = STATISTICS.get(statistic, Statistic(function=statistic))
        way = "rises" if self.side > 0 else "falls"
        new_share = about.share and not self.about.share
        return replace(
            self,
            statistic=statistic,
            of=way if new_share else self.of,
            side=1 if new_share else self.side,
            effect="",
            directions=None,
            readings=(),
        )

    @property
    def words(self) -> tuple[str, str]:
        """What a number above zero is called, and one below."""
        above, below = self.directions or self.about.directions
        return above, below

    def direction(self, value: float, null: float = 0.0) -> str:
        """Return what a number above or below the null value is called."""
        if not math.isfinite(value):
            return "no data"
        above, below = self.words
        return above if value > null else below if value < null else "level"

    def least(self, rule: Verdict) -> float:
        """Return the smallest effect that counts; 0 where the statistic has none."""
        effect = self.effect or self.about.effect
        if isinstance(effect, str):
            return float(getattr(rule, effect)) if effect else 0.0
        return effect

    def select(self, table: Any) -> Any:
        """Return the rows of a DataFrame that ``where`` is true of."""
        for left, compare, right in self._conditions():
            table = table[compare(table[left], table[right] if right in TRIAL_FIELDS else right)]
        return table

    def _conditions(self) -> list[tuple[str, Any, Any]]:
        """Return the comparisons of ``where``: a field, a comparison, and a field or value."""
        found = []
        for part in filter(None, self.where.split(" and ")):
            match = _CONDITION.fullmatch(part)
            if match is None or not _can_compare(*match.groups()):
                allowed = "must compare fields of a trial, as in beta1 >= beta2 and h < 0.01"
                raise ConfigError("where", self.where, allowed)
            found.append((match[1], _COMPARISONS[match[2]], _value(match[3])))
        return found


def _can_compare(left: str, sign: str, right: str) -> bool:
    """Tell whether a trial has the field, and more or less can be said of it."""
    numbers = left in AXES or is_option(left)
    ordered = numbers and (right in AXES or isinstance(_value(right), float))
    return is_field(left) and (sign in ("==", "!=") or ordered)


def _value(word: str) -> str | float | bool:
    if word in ("true", "false"):
        return word == "true"
    try:
        return float(word)
    except ValueError:
        return word


def _theorem(of: str, source: str, sentence: str, statistic: str = "order") -> ClaimSpec:
    return ClaimSpec(source=source, sentence=sentence, statistic=statistic, of=of, figure="order")


def _table1(where: str, of: str, side: Literal[1, -1], words: str) -> ClaimSpec:
    return ClaimSpec(
        source="Table 1, equations 2.5 and 2.7",
        sentence=f"{words} of the gradient is penalised.",
        statistic="penalised",
        of=of,
        side=side,
        where=where,
        figure="atlas",
    )


def _reach(of: str, law: str, time: str) -> ClaimSpec:
    return ClaimSpec(
        source="docs/theory.md, reach",
        sentence=(
            f"Where the gradient changes by less than {time}, {law} predicts the sign and the size "
            "of memory's effect on a network's norm."
        ),
        statistic="reach",
        of=of,
        figure="reach",
    )


def _cause(grid: str, where: str) -> ClaimSpec:
    return ClaimSpec(
        source="docs/theory.md, cause",
        sentence=f"{where} memory's effect on a network's norm goes with the predicted term.",
        statistic="removed_first_order",
        of=grid,
        readings=("restored_first_order", "removed_resummed", "restored_resummed"),
        figure="cause",
    )


def _edge(sentence: str, statistic: str, *, figure: str = "edge", **fields: Any) -> ClaimSpec:
    """Return a claim of this project on trainings at the edge of stability."""
    source = "docs/theory.md, the edge of stability"
    common = {"source": source, "grids": ("edge",), "figure": figure}
    return ClaimSpec(**{**common, **fields}, sentence=sentence, statistic=statistic)


def _fan(figure: int, axis: str, side: Literal[1, -1], words: str, where: str = "") -> ClaimSpec:
    return ClaimSpec(
        source=f"figure {figure}, section 5",
        sentence=f"{words} the region with a smaller norm (bilinear model).",
        statistic="fan",
        axis=axis,
        side=side,
        where=where,
        figure=f"fig{figure}",
    )


def _norm(axis: str, side: Literal[1, -1], figure: str, **fields: Any) -> ClaimSpec:
    """Return a claim about a norm: decided at equal progress, the other readings beside."""
    common = {"grids": (axis,), "statistic": "progress", "readings": NORM_READINGS}
    return ClaimSpec(**{**common, **fields}, axis=axis, side=side, figure=figure)


def _trend(figure: int, axis: str, side: Literal[1, -1]) -> ClaimSpec:
    """Return the claim of figure 4 or 5 about the norm."""
    word = "raises" if side > 0 else "lowers"
    return _norm(
        *(axis, side, f"fig{figure}"),
        source=f"figure {figure}, section 6",
        sentence=f"Raising {axis} {word} the perturbed one-norm of the gradient.",
        label="norm",
    )


def _accuracy(figure: int, axis: str, side: Literal[1, -1]) -> ClaimSpec:
    """Return the claim of figure 4 or 5 about the accuracy."""
    return ClaimSpec(
        source=f"figure {figure}, section 6",
        sentence=f"Raising {axis} {'raises' if side > 0 else 'lowers'} the test accuracy.",
        grids=(axis,),
        axis=axis,
        statistic="accuracy",
        side=side,
        figure=f"fig{figure}",
        label="accuracy",
    )


def _hills(axis: str, side: Literal[1, -1], words: str) -> ClaimSpec:
    """Return a claim of figure 6 about how high the hills are."""
    return _norm(
        *(axis, side, "fig6"),
        source="figure 6, section 6",
        sentence=f"The hills of the norm are higher with {words}.",
        grids=(f"hills_{axis}",),
        readings=("hill", *NORM_READINGS[1:]),
        label=f"hills over {'β₂' if axis == 'beta2' else 'β₁'}",
    )


def _step_size(where: str, side: Literal[1, -1]) -> ClaimSpec:
    word = "raises" if side > 0 else "lowers"
    return _norm(
        *("h", side, "h"),
        source="equation 2.5, on networks",
        sentence=f"A larger h {word} the norm where {where}.",
        where=where,
        label=where.replace("beta1", "β₁").replace("beta2", "β₂"),
    )


CLAIMS: dict[str, ClaimSpec] = {
    "theorem_modified": _theorem(
        *("modified", "theorem 3.1, equation 2.2"),
        "Adam stays within O(h²) of its modified flow.",
    ),
    "theorem_leading": _theorem(
        *("leading_order", "section 1, Ma et al. (2022)"),
        "Adam stays within O(h) of the leading-order flow, and no closer.",
    ),
    "order_resummed": _theorem(
        *("resummed", "docs/theory.md, resummed memory"),
        "Adam stays within O(h²) of its modified flow with resummed memory.",
    ),
    "order_moment": _theorem(
        *("moment", "docs/theory.md, the moment flow"),
        "Adam stays within O(h²) of its moment flow.",
    ),
    "order_growing_memory": _theorem(
        *("moment", "docs/theory.md, the moment flow"),
        "Adam stays within O(h²) of its moment flow as its memory grows, 1 − β falling with h.",
        statistic="growing_order",
    ),
    "reach_first_order": _reach(
        *("modified", "the first-order law", "half of it over the memory"),
    ),
    "reach_resummed": _reach(
        *("resummed", "the law with resummed memory", "half of it over the memory"),
    ),
    "reach_moment": _reach("moment", "the moment flow", "its own size in a step"),
    "cause_inside": _cause("inside", "Well within the first-order law's reach,"),
    "cause_edge": _cause("edge", "At the edge of the first-order law's reach,"),
    "cause_outside": _cause("outside", "On the network of the sweeps, at their h and ε,"),
    "table1_small_above": _table1(
        *("epsilon == small and beta1 ≥ beta2", "one_norm", 1),
        "Where ε is small and β ≥ ρ, the one-norm",
    ),
    "table1_small_below": _table1(
        *("epsilon == small and beta1 < beta2", "one_norm", -1),
        "Where ε is small and ρ > β, minus the norm",
    ),
    "table1_large": _table1(
        *("epsilon == large", "squared_two_norm", 1),
        "Where ε is large, the squared two-norm",
    ),
    "fig2_beta1": _fan(2, "beta1", -1, "Raising beta1 leads to"),
    "fig2_beta2": _fan(2, "beta2", 1, "Raising beta2 leads away from"),
    "fig3_above": _fan(3, "h", -1, "With beta1 > beta2, raising h leads to", "beta1 > beta2"),
    "fig3_below": _fan(3, "h", 1, "With beta2 > beta1, raising h leads away from", "beta1 ≤ beta2"),
    "fig4_norm": _trend(4, "beta2", 1),
    "fig4_accuracy": _accuracy(4, "beta2", -1),
    "fig5_norm": _trend(5, "beta1", -1),
    "fig5_accuracy": _accuracy(5, "beta1", 1),
    "fig6_hills_beta2": _hills("beta2", 1, "larger beta2"),
    "fig6_hills_beta1": _hills("beta1", -1, "smaller beta1"),
    "fig6_most_of_training": ClaimSpec(
        source="figure 6, section 6",
        sentence="Throughout most of the training, the larger beta1, the smaller the norm.",
        grids=("hills_beta1",),
        axis="beta1",
        statistic="share_of_progress",
        of="falls",
        readings=("share_of_epochs",),
        figure="fig6",
        label="most of the training",
    ),
    "fig6_shape": ClaimSpec(
        source="figure 6, section 6",
        sentence="The norm decreases, then rises again, then decreases until it flattens.",
        grids=("hills_beta2", "hills_beta1"),
        statistic="share_with_hill",
        figure="fig6",
        label="shape",
    ),
    "edge_rules": _edge(
        "On a small smooth network every rule keeps the curvature at its threshold of stability.",
        "rules_settle",
        grids=(),
        where="loss == mse and beta2 == 0.99",
        label="rules",
    ),
    "edge_entropy": _edge(
        "So does every rule with the cross-entropy of images that are hard to tell apart.",
        "rules_settle",
        grids=(),
        where="loss == cross_entropy",
        label="rules, cross-entropy",
    ),
    "edge_sweeps": _edge(
        "Adam keeps it there on the networks of the sweeps.",
        "settles",
        label="sweeps",
    ),
    "hill_oscillation": _edge(
        "Most of the norm on its hill is oscillation about a smooth path.",
        "oscillation_share",
        figure="hill",
        label="oscillation",
    ),
    "hill_at_crossing": _edge(
        "The norm begins to rise when the curvature comes to its threshold.",
        "onset_after_crossing",
        readings=("onset_rank",),
        label="rise at the threshold",
    ),
    "beta1_before_edge": _edge(
        "Raising beta1 lowers the norm before the curvature comes to its threshold.",
        "before_edge",
        axis="beta1",
        side=-1,
        readings=("after_edge",),
        label="β₁ before the threshold",
    ),
    "h_penalised": _step_size("beta1 ≥ beta2", -1),
    "h_hindered": _step_size("beta1 < beta2", 1),
}
"""The paper's claims by their keys in ``metrics.json``, in the order of the paper.

Of this project's own are those whose source is in ``docs``: on the further laws, their reach, what
memory causes, and the edge of stability.
"""


Family: TypeAlias = Literal["paper", "project", "own"]
FAMILIES: tuple[Family, ...] = ("paper", "project", "own")


def family(key: str) -> Family:
    """Return whose claim a key is: the paper's, this project's, or one's own of a scale."""
    if key not in CLAIMS:
        return "own"
    return "project" if CLAIMS[key].source.startswith("docs/") else "paper"


def claims_of(figure: str) -> dict[str, ClaimSpec]:
    """Return the paper's claims that a figure shows."""
    return {key: spec for key, spec in CLAIMS.items() if spec.figure == figure}
