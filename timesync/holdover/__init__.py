"""Holdover of a clock: that it has begun, how long it will last, whether the forecast was true. Arrays in, results out; numpy only.

from timesync.holdover import learn, predict
belief = learn(t_s, x_s)
answer = predict(belief, horizon_s=86_400.0, limits_s=[1e-6])
answer.stays_s()            # within the limit with 95 % confidence for so many seconds; None: for longer than the horizon
"""

from timesync.holdover.clock import ClockNoise
from timesync.holdover.fit import Belief
from timesync.holdover.predict import Prediction, learn, predict, seconds_since

__all__ = ["Belief", "ClockNoise", "Prediction", "learn", "predict", "seconds_since"]
