"""PortOne's book and ours, compared."""

from tests.mutants import shows
from tests.mutants.mutant import Change, Mutant

_RECORDS = "shared/db/reconciliation_records.py"
_COMPARE = "shared/billing/reconciliation.py"
_IN_BOTH = "the statement leaves out what the rule would, so that only what may differ is read"

BOOKS = (
    Mutant(
        name="registration_is_revenue",
        thought="PortOne lists it as paid, so somebody has paid",
        changes=(
            Change(
                _RECORDS,
                "    p.id IS NULL AND r.usage = '{REGISTRATION}'\n    OR p.id IS NULL",
                "    p.id IS NULL",
            ),
            Change(
                _COMPARE,
                "    if theirs.is_registration:\n        return Agreement.REGISTRATION\n",
                "",
            ),
        ),
        shows=(shows.BOOKS_DIFFER,),
        climate="books",
        lives=10,
        guards=_IN_BOTH,
    ),
    Mutant(
        name="cancelled_is_not_paid",
        thought="a payment that is `cancelled` was taken back, so there is none",
        changes=(
            Change(
                _RECORDS,
                """_PAID: Final = "('paid', 'cancelled')\"""",
                """_PAID: Final = "('paid')\"""",
            ),
            Change(
                _COMPARE,
                "return self.status in {RecordStatus.PAID, RecordStatus.CANCELLED}",
                "return self.status is RecordStatus.PAID",
            ),
        ),
        shows=(shows.BOOKS_DIFFER,),
        climate="books",
        lives=10,
        guards=_IN_BOTH,
    ),
)
