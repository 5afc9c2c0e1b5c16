"""Ends of subscriptions, and billing keys whose method changes."""

from tests.mutants import shows
from tests.mutants.mutant import Change, Mutant

_ENDINGS = "worker/services/endings.py"
_REMAINS = "shared/db/remains.py"
_ENDS = "shared/db/endings.py"
_SUBSCRIPTIONS = "shared/db/subscriptions.py"

ENDS = (
    Mutant(
        name="end_stops_no_claim",
        thought="it ends at the end of the period; until the scan has run it may be charged",
        changes=(
            Change(
                "shared/db/claims.py",
                "      AND (s.cancel_at IS NULL OR s.cancel_at > :now)\n",
                "",
            ),
            Change(
                "shared/db/invoices.py",
                "WHERE s.id = d.subscription_id AND s.cancel_at <= :now AND s.closed_at IS NULL",
                "WHERE s.id = d.subscription_id AND s.cancel_at IS NULL AND s.closed_at < :now",
            ),
        ),
        shows=(shows.AFTER_END,),
        climate="ends",
        lives=40,
        guards="the claim and the dispatch both look at the end",
    ),
    Mutant(
        name="in_flight_is_void",
        thought="the subscription has ended, so whatever is open of it is void",
        changes=(
            Change(
                _REMAINS,
                "      AND (a.id IS NULL OR a.id = ANY(CAST(:held AS bigint[])))\n",
                "      AND CAST(:held AS bigint[]) IS NOT NULL\n",
            ),
        ),
        shows=(shows.VOID_AND_PAID,),
        climate="ends",
        lives=60,
    ),
    Mutant(
        name="nothing_is_awaited_at_the_end",
        thought="the end is the end: close it",
        changes=(
            Change(
                _ENDINGS,
                "is_open = await remains.anything_open(connection, subscription_id)",
                "is_open = False",
            ),
        ),
        shows=(shows.NOT_GIVEN_BACK,),
        climate="ends",
        lives=30,
    ),
    Mutant(
        name="nothing_is_wound_up",
        thought="once it is canceled there is nothing left to do",
        changes=(
            Change(
                _ENDS,
                "    f\"d.status = 'canceled' AND d.closed_at IS NULL AND NOT {RESTORED}\",\n",
                "    f\"d.status = 'never' AND d.closed_at IS NULL AND NOT {RESTORED}\",\n",
            ),
        ),
        shows=(shows.STUCK, shows.AFTER_END),
        climate="ends",
        lives=5,
    ),
    Mutant(
        name="silence_is_enough_at_the_end",
        thought="the gateway showed nothing twice, so the lost charge never was",
        changes=(
            Change(
                _ENDINGS,
                "            look_at = invoice.doubt_since and"
                " look_again_at(invoice.doubt_since, now, self.policy)\n",
                "            look_at = None\n",
            ),
        ),
        shows=(shows.LEDGER,),
        climate="ends too early",
        lives=10,
    ),
    Mutant(
        name="renewal_looks_at_no_end",
        thought="a renewal is due when its period begins",
        changes=(
            Change(
                "shared/db/renewals.py",
                "    AND (cancel_at IS NULL OR next_renewal_at < cancel_at)\n",
                "",
            ),
            Change(
                "shared/billing/renewal.py",
                "    if subscription.cancel_at is not None:\n"
                "        until = min(until, subscription.cancel_at - _INSTANT)\n",
                "",
            ),
        ),
        shows=(shows.AFTER_END,),
        climate="ends later",
        lives=3,
        guards="what is found and what is counted both look at the end",
    ),
    Mutant(
        name="reservations_left_alone",
        thought="we never reserve anything at the gateway, so there is nothing to revoke",
        changes=(
            Change(
                _ENDS,
                "        ) THEN k.customer_uid END AS customer_uid\n",
                "        ) THEN NULL END AS customer_uid\n",
            ),
        ),
        shows=(shows.RESERVED,),
        climate="ends",
        lives=10,
    ),
    Mutant(
        name="key_generation_ignored",
        thought="the key was refused, so the key is dead",
        changes=(
            Change(
                "worker/services/settle.py",
                "        believed = await _overtake(connection, believed, now)\n",
                "",
            ),
            Change(
                _SUBSCRIPTIONS,
                "AND k.status = 'active' AND k.generation = a.key_generation",
                "AND k.status = 'active'",
            ),
        ),
        shows=(shows.KEYS,),
        climate="keys",
        lives=8,
        guards="a late ending is turned into a plain decline, and buries no newer generation",
    ),
)
