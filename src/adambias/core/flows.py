"""The flows that follow a rule, by the names that code, tables and commands have for them."""

FLOW_NAMES = {
    "leading_order": "leading-order flow",
    "modified": "modified flow",
    "resummed": "modified flow with resummed memory",
    "moment": "moment flow",
}
"""The leading-order flow, then the three laws of second order, and what to call them in a text."""
LAWS = tuple(FLOW_NAMES)[1:]
