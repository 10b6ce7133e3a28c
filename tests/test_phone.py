"""What is said by phone: who may speak, what a text or a button means, and when it is too old, too fast or about something else."""

from __future__ import annotations

from datetime import timedelta

import pytest

from runbook import phone
from runbook.fault import Unfit
from runbook.phone import (
    Ack,
    Answer,
    Button,
    Door,
    Heard,
    Help,
    Pace,
    Plan,
    Recheck,
    ReportNow,
    Silence,
    Status,
    Unsilence,
)
from tests.fakes import at

NOW = at("10:00")
ME, FRIEND, STRANGER, GROUP = 4711004711, 4711004712, 666000666, -1001234567890
DOOR = Door(GROUP, frozenset({ME, FRIEND}), "desk_bot")


@pytest.mark.parametrize(
    ("text", "meant"),
    [
        ("/status", Status()),
        (" /Status ", Status()),
        ("/plan", Plan()),
        ("/report", ReportNow()),
        ("/help", Help()),
        ("/start", Help()),
        ("/recheck", Recheck()),
        ("/ack 41", Ack(41)),
        ("/ack #41", Ack(41)),
        ("/ack 41  logging in   now", Ack(41, "logging in now")),
        ("/silence 30m", Silence(timedelta(minutes=30))),
        ("/silence 1h30m job{job=check_feed}", Silence(timedelta(minutes=90), "job{job=check_feed}")),
        ("/unsilence 3", Unsilence(3)),
        ("/answer 12 done", Answer(12, "done")),
        ("/answer 12 NOT_DONE still waiting\nfor the broker", Answer(12, "not_done", "still waiting for the broker")),
        ("/status@desk_bot", Status()),
        ("/status@Desk_Bot", Status()),
        ("/status@other_bot", None),
    ],
)
def test_a_text_means_one_command(text, meant):
    assert phone.parse(text, name="desk_bot") == meant


@pytest.mark.parametrize(
    ("text", "found", "accepted", "example"),
    [
        ("good morning", "that is no command", "/status, /plan", "/status"),
        ("/stauts", "/stauts is not known", "did you mean status? /status", "/status"),
        ("/exit_all", "/exit_all is not known", "/status", "/status"),
        ("/ack", "the alert's number is missing", "/ack N [note]", "/ack 41 logging in"),
        ("/ack all", "'all' is not the alert's number", "/ack N [note]", "/ack 41"),
        ("/ack ٤١", "is not the alert's number", "/ack N", "/ack 41"),
        ("/ack 99999999999", "is not the alert's number", "/ack N", "/ack 41"),
        ("/silence", "no time", "/silence TIME [what]", "/silence 30m feed"),
        ("/silence feed", "'feed' is no length of time", "/silence TIME", "/silence 30m"),
        ("/silence 30", "'30' is no length of time", "/silence TIME", "/silence 30m"),
        ("/silence 0m", "'0m' is no time at all", "/silence TIME", "/silence 30m"),
        ("/answer", "the question's number is missing", "/answer N CHOICE", "/answer 12 done"),
        ("/answer 12", "no choice for question 12", "/answer N CHOICE", "/answer 12 done"),
        ("/answer yes 12", "'yes' is not the question's number", "/answer N CHOICE", "/answer 12 done"),
    ],
)
def test_what_means_nothing_is_refused_with_what_was_found_what_is_accepted_and_an_example(
    text, found, accepted, example
):
    with pytest.raises(Unfit) as caught:
        phone.parse(text)
    assert found in str(caught.value)
    assert accepted in caught.value.accepted
    assert caught.value.example.startswith(example)


def test_no_command_can_touch_an_order_a_position_or_a_mode():
    meant = {
        type(phone.parse(f"{example} 1 x" if word == "answer" else example))
        for word, (_, _, example) in phone.USAGE.items()
    }
    assert meant == {Status, Plan, ReportNow, Help, Ack, Silence, Unsilence, Answer, Recheck}
    for word in ("buy", "sell", "order", "exit", "cancel", "square_off", "live", "mode", "restart", "run"):
        with pytest.raises(Unfit):
            phone.parse(f"/{word} NIFTY")


def test_a_refusal_quotes_no_more_than_a_line_and_nothing_a_screen_would_act_on():
    with pytest.raises(Unfit) as caught:
        phone.parse("/ack " + "\x1b[31m" + "x" * 500)
    assert "\x1b" not in str(caught.value)
    assert len(str(caught.value)) < 160


def test_in_a_group_what_people_say_to_each_other_is_not_for_us():
    for text in ("good morning", "41 is back", "/weather", "/price NIFTY"):
        assert phone.parse(text, name="desk_bot", private=False) is None
    assert phone.parse("/status", name="desk_bot", private=False) == Status()
    with pytest.raises(Unfit):
        phone.parse("/weather@desk_bot", name="desk_bot", private=False)


def said(user=ME, chat=ME, *, private=True, borrowed=False):
    return Heard(1, user, chat, NOW, "/status", private=private, borrowed=borrowed)


def test_only_listed_users_are_heard_whatever_chat_they_are_in():
    assert phone.turned_away(said(), DOOR) is None
    assert phone.turned_away(said(FRIEND, GROUP, private=False), DOOR) is None
    assert str(STRANGER) in (phone.turned_away(said(STRANGER, STRANGER), DOOR) or "")
    why = phone.turned_away(said(STRANGER, GROUP, private=False), DOOR)
    assert why is not None, "a group lets everyone in; the list does not"
    assert "/status" not in why


def test_a_listed_user_is_not_heard_where_others_would_read_the_answer_nor_with_borrowed_words():
    assert "chat -55" in (phone.turned_away(said(ME, -55, private=False), DOOR) or "")
    assert "somebody else's words" in (phone.turned_away(said(borrowed=True), DOOR) or "")


def test_what_was_said_to_nobody_is_not_done_when_somebody_comes():
    assert phone.stale(NOW - timedelta(seconds=110), NOW) is None
    assert "3 min ago: say it again" in (phone.stale(NOW - timedelta(minutes=3), NOW) or "")
    assert "19 h ago" in (phone.stale(NOW - timedelta(hours=19), NOW) or "")
    assert "away" in (phone.stale(None, NOW) or ""), "unknown is old"


def test_a_clock_that_is_wrong_is_named_instead_of_making_old_words_fresh():
    assert phone.stale(NOW + timedelta(seconds=60), NOW) is None
    assert "the clocks differ" in (phone.stale(NOW + timedelta(minutes=10), NOW) or "")


def test_a_user_who_is_too_fast_is_told_once_and_may_speak_again_after_a_minute():
    pace = Pace()
    overs = []
    for n in range(phone.MOST + 5):
        pace = pace.after(NOW + timedelta(seconds=n))
        overs.append(pace.over)
    assert overs[: phone.MOST] == [0] * phone.MOST
    assert overs.count(1) == 1
    assert pace.after(NOW + timedelta(minutes=3)).over == 0


def test_a_button_means_the_command_it_was_made_for():
    mark = phone.mark("feed{}@x", "feed.fallback")
    ((ack, hush), (again,)) = phone.alert_buttons([(41, mark)])
    assert (ack.text, hush.text, again.text) == ("Ack #41", "Silence 30m", "Recheck")
    assert phone.pressed(ack.data) == Ack(41, mark=mark)
    assert phone.pressed(hush.data) == Silence(phone.HUSH, number=41, mark=mark)
    assert phone.pressed(again.data) == Recheck()
    rows = phone.ask_buttons(12, mark, ("done", "not_done"))
    assert [row[0].text for row in rows] == ["done", "not done"]
    second = phone.pressed(rows[1][0].data)
    assert second == Answer(12, "1", mark=mark)
    assert phone.chosen(second, ("done", "not_done")) == "not_done"


def test_every_button_fits_into_what_telegram_carries():
    mark = phone.mark("x" * 500)
    rows = (
        *phone.alert_buttons([(999_999_999, mark)]),
        *phone.alert_buttons([(999_999_000 + n, mark) for n in range(40)]),
        *phone.ask_buttons(999_999_999, mark, tuple("ß" * 40 + str(n) for n in range(20))),
    )
    data = [button.data for row in rows for button in row]
    assert max(len(text.encode()) for text in data) <= 64
    assert len(data) < 60


@pytest.mark.parametrize(
    "data", ["", "ack", "ack:x:y", "ack:1", "buy:NIFTY:1", "answer:1:m:first", "recheck:1", "hush::m"]
)
def test_a_button_that_none_of_ours_carries_does_nothing(data):
    with pytest.raises(Unfit, match="not of this runbook"):
        phone.pressed(data)


def test_a_mark_changes_with_anything_it_stands_for():
    assert phone.mark("a", "b") == phone.mark("a", "b")
    assert len({phone.mark("a", "b"), phone.mark("ab", ""), phone.mark("a", "c"), phone.mark("a")}) == 4


def test_a_typed_choice_is_held_against_the_choices_and_a_wrong_one_names_them():
    assert phone.chosen(Answer(12, "done"), ("Done", "not_done")) == "Done"
    with pytest.raises(Unfit) as caught:
        phone.chosen(Answer(12, "doen"), ("done", "not_done"))
    assert "did you mean done?" in caught.value.accepted
    assert caught.value.example == "/answer 12 done"
    with pytest.raises(Unfit):
        phone.chosen(Answer(12, "1"), ("done", "not_done"))  # a place in the list counts from a button alone
    with pytest.raises(Unfit):
        phone.chosen(Answer(12, "7", mark="m"), ("done", "not_done"))


def test_a_button_that_did_its_work_goes_and_the_others_stay():
    rows = phone.alert_buttons([(41, "m")])
    left = phone.over(rows, "ack:41:m", all_of_it=False)
    assert [b.text for row in left for b in row] == ["Silence 30m", "Recheck"]
    left = phone.over(rows, "ack:41:m", all_of_it=True)
    assert [b.text for row in left for b in row] == ["Recheck"]
    several = phone.alert_buttons([(1, "m"), (2, "m")])
    assert [b.text for row in phone.over(several, "ack:1:m", all_of_it=False) for b in row] == ["Ack #2", "Recheck"]
    assert phone.over(phone.ask_buttons(12, "m", ("a", "b")), "answer:12:m:0", all_of_it=False) == ()
    assert phone.over(((Button("x", "recheck"),),), "recheck", all_of_it=False) == ((Button("x", "recheck"),),)


def test_the_help_names_every_command():
    assert all(form in phone.usage() for form, _, _ in phone.USAGE.values())
