"""Every planted fault, by what it is about.

Where two guards stand behind each other, one of them alone changes nothing that anybody could see;
the mutant takes both away and says so (``guards``). A plain lock in the place of ``SKIP LOCKED`` is
no mutant for the same reason: whoever waits for it finds nothing due when it is let go.
"""

from tests.mutants.catalogue.agreements import AGREEMENTS
from tests.mutants.catalogue.books import BOOKS
from tests.mutants.catalogue.claims import CLAIMS
from tests.mutants.catalogue.delivery import DELIVERY
from tests.mutants.catalogue.ends import ENDS
from tests.mutants.catalogue.gateway import GATEWAY
from tests.mutants.catalogue.lives import LIVES
from tests.mutants.catalogue.policies import POLICIES
from tests.mutants.catalogue.refunds import REFUNDS
from tests.mutants.catalogue.reserved import RESERVED
from tests.mutants.catalogue.settling import SETTLING

MUTANTS = (
    *POLICIES,
    *CLAIMS,
    *GATEWAY,
    *SETTLING,
    *DELIVERY,
    *REFUNDS,
    *ENDS,
    *LIVES,
    *AGREEMENTS,
    *BOOKS,
    *RESERVED,
)
