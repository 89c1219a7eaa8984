"""Arrow tables of a schema that is known beforehand."""

from __future__ import annotations

from collections.abc import Mapping

import pyarrow as pa


def conform(
    table: pa.Table, schema: pa.Schema, constant: Mapping[str, str] | None = None
) -> pa.Table:
    """Give a table the columns of a schema, with nulls for what it lacks.

    Parameters
    ----------
    table : Table
        Columns that the schema does not name are dropped, others are cast to its types.
    schema : Schema
        Names, types and order of the columns.
    constant : mapping, optional
        Columns of dictionary type that hold one text in every row.
    """
    constant = constant or {}
    columns = []
    for field in schema:
        if field.name in constant:
            values = pa.array([constant[field.name]])
            indices = pa.array([0] * table.num_rows, pa.int32())
            columns.append(pa.DictionaryArray.from_arrays(indices, values))
        elif field.name in table.column_names:
            columns.append(table.column(field.name).cast(field.type).combine_chunks())
        else:
            columns.append(pa.nulls(table.num_rows, field.type))
    return pa.Table.from_arrays(columns, schema=schema)
