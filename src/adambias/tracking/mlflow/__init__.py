"""The view of the ledger in MLflow; see :mod:`adambias.tracking`."""
