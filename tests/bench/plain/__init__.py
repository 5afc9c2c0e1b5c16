"""The plain Celery design, written as one writes it: what ours is measured against.

One message a charge, prefork, the ORM, two transactions with a row lock, one ``httpx.Client`` a
process. It is as careful with money as ours: an attempt is committed before it is sent, under a
unique ``merchant_uid``, nothing is sent twice, and an outcome nobody knows stays unknown. It is
spared what else ours does: events, leases, dunning, inquiries.
"""
