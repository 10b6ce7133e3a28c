"""An OpenAlgo that lives on loopback: REST, WebSocket, a seeded market, and a switch for everything that can go wrong."""

from runbook.simulator.book import Ticket
from runbook.simulator.faults import Fault
from runbook.simulator.script import Step
from runbook.simulator.simulator import Simulator, SimulatorFailed

__all__ = ["Fault", "Simulator", "SimulatorFailed", "Step", "Ticket"]
