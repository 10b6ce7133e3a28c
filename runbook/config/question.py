"""The form of what people are asked: the question of a manual step, and the entries of `asks:`."""

from __future__ import annotations

from typing import Annotated

from pydantic import Field, model_validator

from runbook.ask import VERIFY_AFTER, AskSpec, Standing
from runbook.config.base import AnchorText, Duration, Model, Name
from runbook.fault import Unfit
from runbook.finding import Finding
from runbook.trigger import Anchor


class Question(Model):
    """What a person is asked: the question, how it is done, the answers, and which holds when nobody gives one."""

    question: str = Field(
        min_length=1, max_length=400, description="one sentence", examples=["Is the margin enough for today?"]
    )
    how: tuple[str, ...] = Field((), description="a list of steps", examples=["[log in, look at the funds]"])
    link: str = Field("", description="where it is done", examples=["http://127.0.0.1:5000"])
    contact: str = Field("", description="who can help", examples=["the broker's API desk"])
    choices: tuple[Annotated[str, Field(pattern=r"^[a-z][a-z0-9_]{0,39}$")], ...] = Field(
        ("done", "not_done"), description="two to six words of small letters, digits and _", examples=["[done, not_done]"],
        min_length=2, max_length=6,
    )  # fmt: skip
    default: str = Field(
        description="the choice that holds when nobody answers: the one that does nothing", examples=["not_done"]
    )
    deadline: AnchorText = Field(description="by when: an anchor", examples=["open-5m"])
    verify: str | None = Field(None, description="the job that looks again after a yes", examples=["verify_broker"])
    verify_after: Duration = Field(VERIFY_AFTER, description="how long after the answer", examples=["15s"])

    @model_validator(mode="after")
    def _safe(self) -> Question:
        if len(set(self.choices)) != len(self.choices):
            raise Unfit("a choice stands twice", accepted="each choice once", example="[done, not_done]")
        if self.default not in self.choices:
            accepted = " or ".join(self.choices)
            raise Unfit(f"default {self.default!r} is none of the choices", accepted=accepted, example=self.choices[-1])
        return self

    def spec(self) -> AskSpec:
        return AskSpec(
            " ".join(self.question.split()), self.choices, self.default, self.deadline, self.how, self.link, self.contact,
            self.verify, self.verify_after,
        )  # fmt: skip


class StandingQuestion(Question):
    """One entry of `asks:`: a question that something found raises, and no clock."""

    name: Name
    when: tuple[Finding, ...] = Field(
        min_length=1, description=f"a list of findings: {', '.join(Finding)}", examples=["[broker_refused]"]
    )
    deadline: AnchorText = Field(Anchor.parse("close"), description="by when: an anchor", examples=["close"])
    once: bool = False
    enabled: bool = True

    def standing(self) -> Standing:
        return Standing(self.name, self.when, self.spec(), self.once)
