"""A worker whose gateway fails in a way that nobody foresaw, with secrets in every frame."""

from typing import Any

from worker import app as worker_app
from worker.gateway.adapter import PortOneGateway

app = worker_app.app
_left = {"charge": 1, "refund": 1, "delete_key": 1}


def _faulty(name: str) -> Any:
    work = getattr(PortOneGateway, name)

    async def fail(self: PortOneGateway, *args: Any, **options: Any) -> Any:
        # Whoever shows what a frame holds shows all of this.
        held = args, options, vars(self)
        if _left[name]:
            _left[name] -= 1
            raise RuntimeError(f"planted exception: {len(held)}")
        return await work(self, *args, **options)

    return fail


for _name in _left:
    setattr(PortOneGateway, _name, _faulty(_name))
