"""The form of one entry of `jobs:`, and which of its keys go together."""

from __future__ import annotations

from datetime import timedelta
from typing import Annotated, Any, Literal

from pydantic import (
    BeforeValidator,
    Field,
    PlainSerializer,
    ValidationInfo,
    field_validator,
    model_validator,
)
from pydantic_core import PydanticKnownError

from runbook.alert import Severity
from runbook.config.base import AnchorText, Duration, Name
from runbook.config.base import Model as _Model
from runbook.config.question import Question
from runbook.fault import Unfit
from runbook.job import IfLate, JobSpec, OnAbandoned, Retries, target
from runbook.trigger import Anchor, At, Every, format_duration, order_fault, room


def _anchors(value: object) -> tuple[Anchor, ...]:
    return At(tuple(Anchor.parse(item) for item in (value if isinstance(value, list) else [value]))).anchors


def _run(value: object) -> str:
    if not isinstance(value, str):
        raise Unfit(f"{value!r} names no step", accepted="folder.file:function", example="jobs.check_feed:check")
    target(value)
    return value


def _span(left: timedelta) -> str:
    return format_duration(left) if left > timedelta() else "none"


class AlertTo(_Model):
    """How loud a job's failure is, and who is told; every channel unless `to` names some."""

    severity: Severity = Severity.WARNING
    to: tuple[str, ...] | None = None


class Again(_Model):
    """How often a failed attempt is made again: `max` times, `backoff` and then twice as long after each, never after `until`."""

    max: int = Field(ge=1, le=10, description="1 to 10 further attempts", examples=[3])
    backoff: Duration = timedelta(seconds=30)
    until: AnchorText | None = None


class Job(_Model):
    """One entry of `jobs:`."""

    name: Name
    kind: Literal["step", "command", "manual"] = Field(
        "step", description="step (a function runs it), command (an entry of `commands:`) or manual (a person does it, and is asked)",
        examples=["manual"],
    )  # fmt: skip
    command: str | None = Field(None, description="a name under `commands:`", examples=["restart_openalgo"])
    run: Annotated[str, BeforeValidator(_run)] | None = Field(None, validate_default=True)
    ask: Question | None = None
    at: (
        Annotated[tuple[Anchor, ...], BeforeValidator(_anchors), PlainSerializer(lambda v: [str(a) for a in v])] | None
    ) = None
    every: Duration | None = None
    from_: AnchorText | None = Field(None, alias="from")
    until: AnchorText | None = None
    repeat_until_ok: Duration | None = None
    latest_start: AnchorText | None = None
    deadline: AnchorText | None = None
    timeout: Duration = timedelta(seconds=60)
    retries: Again | None = None
    needs: tuple[str, ...] = ()
    after: tuple[str, ...] = ()
    if_late: IfLate = IfLate.RUN
    on_abandoned: OnAbandoned = OnAbandoned.RERUN
    catch_up_sessions: int = Field(0, ge=0, le=20)
    resident: bool = False
    acts: bool = False
    enabled: bool = True
    alert: AlertTo = AlertTo()
    with_: dict[str, Any] = Field(default_factory=dict, alias="with")

    @field_validator("run", mode="before")
    @classmethod
    def _needed(cls, value: object, info: ValidationInfo) -> object:
        if value is None and info.data.get("kind") == "step" and info.data.get("command") is None:
            raise PydanticKnownError("missing")
        return value

    @model_validator(mode="after")
    def _what(self) -> Job:
        """An entry of the allow-list, or none of it."""
        if self.kind == "command":
            if self.command is None or self.run is not None:
                found = f"{self.name}: kind: command with {'run' if self.run else 'neither run nor command'}"
                raise Unfit(
                    found,
                    accepted="`command:`, a name under `commands:`, and no `run:`",
                    example="command: restart_openalgo",
                )
            again = "repeat_until_ok" if self.repeat_until_ok else ""
            again = again or ("on_abandoned: rerun" if self._or("on_abandoned", None) is OnAbandoned.RERUN else "")
            if self.acts and again:
                raise Unfit(
                    f"{self.name}: acts with {again}",
                    accepted="a command that acts runs once",
                    example="on_abandoned: fail",
                )
        elif self.command is not None:
            example = "{name: mend, kind: command, command: restart_openalgo, at: close+30m}"
            raise Unfit(
                f"{self.name}: command without kind: command", accepted="kind: command beside it", example=example
            )
        return self

    def _or(self, key: str, of_commands: Any) -> Any:
        """What is said under `key`; where nothing is, commands have a default of their own: one is not run by itself again."""
        return of_commands if self.kind == "command" and key not in self.model_fields_set else getattr(self, key)

    @model_validator(mode="after")
    def _whose(self) -> Job:
        """A person or a function, and not both."""
        question = "ask: {question: ..., default: not_done, deadline: open-5m}"
        if self.kind != "manual":
            if self.ask is not None:
                raise Unfit(
                    f"{self.name}: ask goes with kind: manual",
                    accepted="kind: manual with ask, and no run",
                    example=question,
                )
        elif self.ask is None or self.run is not None:
            raise Unfit(
                f"{self.name}: a manual step has {'no run' if self.run else 'ask'}",
                accepted="ask, and no run",
                example=question,
            )
        elif self.every is not None or self.repeat_until_ok is not None:
            raise Unfit(
                f"{self.name}: nobody can be asked again and again",
                accepted="at, without every and repeat_until_ok",
                example="at: [open-45m]",
            )
        else:
            for anchor in self.at or ():
                if fault := order_fault(anchor, self.ask.deadline):
                    raise Unfit(
                        f"{self.name}: ask.deadline: {fault}",
                        accepted="a deadline after each anchor",
                        example="open-5m",
                    )
        if self.every is not None and (self.if_late is IfLate.ASK or self.on_abandoned is OnAbandoned.ASK):
            raise Unfit(
                f"{self.name}: a repeat asks nobody",
                accepted="if_late and on_abandoned: ask with at",
                example="if_late: run",
            )
        return self

    @model_validator(mode="after")
    def _when(self) -> Job:
        example = "`at: [open-45m]`, or `every: 30s` with `from: open` and `until: close`"
        if (self.at is None) == (self.every is None):
            raise Unfit(
                f"{self.name} says not once when it runs",
                accepted="either at, or every with from and until",
                example=example,
            )
        if self.every is not None and (self.from_ is None or self.until is None):
            raise Unfit(f"{self.name}: every needs from and until", accepted="both", example=example)
        if self.every is None and (self.from_ is not None or self.until is not None):
            raise Unfit(
                f"{self.name}: from and until go with every", accepted="every, from, until together", example=example
            )
        if self.every is not None and self.from_ is not None and self.until is not None:
            if fault := order_fault(self.from_, self.until):
                raise Unfit(f"{self.name}: {fault}", accepted="from before until", example=example)
            Every(self.every, self.from_, self.until)
        if self.repeat_until_ok is not None and self.repeat_until_ok < timedelta(seconds=1):
            raise Unfit(f"{self.name}: repeat_until_ok is too often", accepted="at least 1s", example="1m")
        if self.at is not None and self.latest_start is not None:
            for anchor in self.at:
                if fault := order_fault(anchor, self.latest_start):
                    raise Unfit(f"{self.name}: {fault}", accepted="latest_start after each anchor", example="close-15m")
        return self

    @model_validator(mode="after")
    def _fits(self) -> Job:
        """A step that cannot end in its time even when all goes as written is a fault of the file."""
        if self.every is not None and self.timeout > self.every:
            found = f"{self.name}: timeout {format_duration(self.timeout)} is longer than every {format_duration(self.every)}"
            raise Unfit(found, accepted="an attempt that ends before the next is due", example="timeout: 10s")
        if self.retries is not None and (why := self._no_retries()):
            raise Unfit(f"{self.name}: {why}", accepted="retries of a step that runs at an anchor and only looks",
                        example="retries: {max: 3, backoff: 30s}")  # fmt: skip
        retries = self.spec().retries
        attempts = 1 if retries is None else 1 + retries.most
        needed = attempts * self.timeout + (retries.waits if retries else timedelta())
        ends = {"latest_start": self.latest_start, "retries.until": retries.until if retries else None}
        for anchor in self.at or ():
            for name, end in ends.items():
                # the last attempt must be able to begin; what it then takes is its own
                if retries and end is not None and (left := room(anchor, end)) is not None and needed > left:
                    found = f"{self.name}: {attempts} attempts of {format_duration(self.timeout)} and the waits between them need {format_duration(needed)}"
                    raise Unfit(
                        f"{found}, and from {anchor} to {name} {end} there are {_span(left)}",
                        accepted="less retries, a shorter timeout or backoff, or a later end", example="retries: {max: 2, backoff: 30s}",
                    )  # fmt: skip
            left = None if self.deadline is None else room(anchor, self.deadline)
            if len(self.at or ()) == 1 and left is not None and self.timeout > left:
                found = f"{self.name}: timeout {format_duration(self.timeout)}, and from {anchor} to the deadline {self.deadline} there are {_span(left)}"
                raise Unfit(found, accepted="a deadline that one attempt can keep", example="deadline: open-5m")
        return self

    def _no_retries(self) -> str | None:
        if self.every is not None:
            return "`every` has its next firing, and no retries"
        if self.repeat_until_ok is not None:
            return "repeat_until_ok tries again already"
        return "what acts is not done again by itself after a failure" if self.acts else None

    def spec(self) -> JobSpec:
        """The entry as the engine uses it."""
        trigger: At | Every
        if self.every is not None and self.from_ is not None and self.until is not None:
            trigger = Every(self.every, self.from_, self.until)
        else:
            trigger = At(self.at or ())
        asks = self.ask.spec() if self.ask is not None else None
        latest = self.latest_start if asks is None else asks.deadline
        return JobSpec(
            self.name, f"command {self.command}" if self.command else self.run or "", trigger, self.timeout.total_seconds(), latest, self.deadline,
            self.repeat_until_ok, self.needs, self.after, self._or("if_late", IfLate.SKIP), self._or("on_abandoned", OnAbandoned.FAIL), self.catch_up_sessions,
            self.resident, self.acts, self.alert.severity, self.alert.to, self.with_,
            Retries(self.retries.max, self.retries.backoff, self.retries.until) if self.retries else None, asks, self.command,
        )  # fmt: skip
