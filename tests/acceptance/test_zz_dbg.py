import httpx
from tests.acceptance.test_webhooks import *
def test_dbg(system):
    address = collected(system)
    (record,) = system.sandbox.paid()
    with httpx.Client(base_url=address, timeout=10) as anybody:
        for status in ("cancelled", "failed", "ready", "paid", "부정"):
            print(anybody.post("/webhooks/portone", json={"imp_uid": record["imp_uid"], "merchant_uid": record["merchant_uid"], "status": status}).text)
        anybody.post("/webhooks/portone", json={"imp_uid": "imp_000000000002", "status": "cancelled", "cancellation_id": "x"})
    import time
    try: system.wait(lambda: False, "x", 15)
    except Exception: pass
    for r in system.rows("select * from hints"): print(r)
    for r in system.rows("select * from dead_letters"): print(r)
    print([l for l in system.written().splitlines() if "hint" in l or "webhook" in l][-40:])
