"""The law: update rules, their flows and corrections on functions of one vector.

One definition of a rule, in :mod:`adambias.law.rules`, gives the optimizer's steps and every flow.
:mod:`~adambias.law.flows` has the drifts, :mod:`~adambias.law.integration` follows them,
:mod:`~adambias.law.convergence` measures to which order they follow the rule.
"""
