"""The control address: faults at run time, on a port of its own so that nothing of it shows on OpenAlgo's."""

from __future__ import annotations

import json
from collections.abc import Mapping
from datetime import timedelta
from typing import Protocol

from starlette.applications import Starlette
from starlette.requests import Request
from starlette.responses import JSONResponse, Response
from starlette.routing import Route

from runbook.errors import UsageError
from runbook.simulator.faults import ARGUMENTS, Active, Fault
from runbook.simulator.script import Step, steps_of


class Switchable(Protocol):
    """What the control address controls."""

    @property
    def faults(self) -> Mapping[Fault, Active]: ...
    async def apply(self, step: Step) -> None: ...


class Control:
    """`GET /faults`, `POST /fault/NAME` (arguments as JSON or in the query), `DELETE /fault/NAME`, `DELETE /faults`."""

    def __init__(self, target: Switchable) -> None:
        self._target = target
        self.app = Starlette(
            routes=[
                Route("/faults", self._list, methods=["GET"]),
                Route("/faults", self._clear_all, methods=["DELETE"]),
                Route("/fault/{name}", self._begin, methods=["POST"]),
                Route("/fault/{name}", self._clear, methods=["DELETE"]),
            ]
        )

    async def _list(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's signature
        return self._state()

    async def _begin(self, request: Request) -> Response:
        given: dict[str, object] = {k: _number(v) for k, v in request.query_params.items()}
        body = await request.body()
        if body:
            try:
                said = json.loads(body)
            except ValueError:
                said = None
            if not isinstance(said, dict):
                return _refuse('the body is not a JSON object; for example {"seconds": 3}')
            given |= said
        return await self._apply(request.path_params["name"], given)

    async def _clear(self, request: Request) -> Response:
        return await self._apply(f"clear:{request.path_params['name']}", {})

    async def _clear_all(self, request: Request) -> Response:  # noqa: ARG002 - Starlette's signature
        return await self._apply("clear:all", {})

    async def _apply(self, name: str, given: Mapping[str, object]) -> Response:
        try:
            step = steps_of([(timedelta(), name, given)])[0]
        except UsageError as error:
            return _refuse(f"{error}" + (f"\n{error.hint}" if error.hint else ""))
        await self._target.apply(step)
        return self._state()

    def _state(self) -> Response:
        on = self._target.faults
        return JSONResponse(
            {
                "on": {str(f): {"since": a.since.isoformat(), **a.arguments} for f, a in on.items()},
                "known": {str(f): {"says": f.says, "arguments": dict(ARGUMENTS.get(f, {}))} for f in Fault},
            }
        )


def _number(text: str) -> object:
    try:
        return float(text)
    except ValueError:
        return text


def _refuse(why: str) -> Response:
    return JSONResponse({"error": why}, 400)
