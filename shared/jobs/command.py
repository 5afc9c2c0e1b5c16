"""What every command has: an id of the merchant's own, and what tells two of one id apart."""

import hashlib
import json
from typing import Annotated

from pydantic import Field, StrictInt, StrictStr

from shared.billing.refund import REASON_LENGTH_MAX
from shared.billing.subscription import CUSTOMER_UID_LENGTH_MAX, ORDER_NAME_LENGTH_MAX
from shared.jobs.contracts import COMMAND_QUEUE, Job

COMMAND_ID_LENGTH_MAX = 128
WON_MAX = 2**53 - 1

CommandId = Annotated[
    StrictStr, Field(pattern=r"^[!-~]+$", min_length=1, max_length=COMMAND_ID_LENGTH_MAX)
]
ImpUid = Annotated[StrictStr, Field(pattern=r"^[A-Za-z0-9_-]+$", min_length=1, max_length=32)]
MerchantUid = Annotated[StrictStr, Field(pattern=r"^[!-~]+$", min_length=1, max_length=40)]
CustomerUid = Annotated[
    StrictStr, Field(min_length=1, max_length=CUSTOMER_UID_LENGTH_MAX, repr=False)
]
OrderName = Annotated[StrictStr, Field(min_length=1, max_length=ORDER_NAME_LENGTH_MAX)]
Reason = Annotated[StrictStr, Field(min_length=1, max_length=REASON_LENGTH_MAX)]
Won = Annotated[StrictInt, Field(ge=0, le=WON_MAX)]


class Command(Job):
    """A message from a merchant; ``command_id`` makes it harmless to send twice."""

    queue = COMMAND_QUEUE

    command_id: CommandId

    @property
    def digest(self) -> str:
        """What tells this command from another one under the same id.

        What is left at its default counts as left out, so a field that a later version adds does
        not make an old command another one.
        """
        said = self.model_dump(mode="json", exclude_defaults=True)
        canonical = json.dumps(said, ensure_ascii=True, separators=(",", ":"), sort_keys=True)
        return hashlib.sha256(canonical.encode()).hexdigest()
