"""Silence is bounded, and so is noise."""

import time

from minia_spark.mining.pulse import Pulse


def test_speaks_unasked_and_not_too_often():
    lines = []
    with Pulse(lines.append, seconds=0.05) as pulse:
        for number in range(1000):
            pulse.at("words", number, 1000)
        pulse.say("at once")
        time.sleep(0.5)
    assert "at once" in lines
    assert 2 <= lines.count("words: 999 of 1,000") <= 12
    assert len(lines) < 30
    told = len(lines)
    time.sleep(0.2)
    assert len(lines) == told


def test_says_nothing_before_there_is_something():
    lines = []
    with Pulse(lines.append, seconds=0.02) as pulse:
        time.sleep(0.1)
        assert lines == []
        pulse.at("reading", 0, 0)
        time.sleep(0.1)
    assert lines[0] == "reading"
