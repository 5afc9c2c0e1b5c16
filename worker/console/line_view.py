"""How the lines of an invoice look, of one that was opened and of one that is to come."""

from collections.abc import Sequence

from shared.billing.lines import Line
from shared.billing.money import Price
from worker.console.rendering import Json, print_table, won


def lines_document(lines: Sequence[Line]) -> list[dict[str, Json]]:
    """Return lines for programs."""
    return [
        {
            "kind": line.kind,
            "description": line.description,
            "quantity": line.quantity,
            "amount": line.amount,
            "tax_free": line.tax_free,
            "adjustment_id": line.adjustment_id,
        }
        for line in lines
    ]


def print_lines(lines: Sequence[Line], total: Price) -> None:
    """Print lines as a table that ends with their sum."""
    print_table(
        ("line", "what for", "quantity", "amount", "tax-free", "adjustment"),
        (
            *(
                (
                    line.kind.replace("_", " "),
                    line.description,
                    str(line.quantity),
                    won(line.amount),
                    won(line.tax_free),
                    "-" if line.adjustment_id is None else str(line.adjustment_id),
                )
                for line in lines
            ),
            ("total", "", "", won(total.amount), won(total.tax_free), ""),
        ),
    )
