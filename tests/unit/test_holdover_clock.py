"""The three-state clock and its filter against closed forms and plain linear algebra."""

from __future__ import annotations

import numpy as np
import pytest

from timesync.holdover.clock import ClockNoise, Samples, diffusion, from_matrix, to_matrix, transition
from timesync.holdover.fit import known
from timesync.holdover.identities import three_point_rms, two_point_rms
from timesync.holdover.kalman import States, carried, run
from timesync.stability import oadev, ohdev

Q = np.array([0.7, 0.3, 0.05])


def closed_form(t: float, p0: np.ndarray, q: np.ndarray) -> np.ndarray:
    """P(t) = F P0 F' + Q(t), written out (Zucca and Tavella, Metrologia 42, 2005)."""
    f = np.array([[1, t, t**2 / 2], [0, 1, t], [0, 0, 1]])
    q1, q2, q3 = q
    noise = np.array(
        [
            [q1 * t + q2 * t**3 / 3 + q3 * t**5 / 20, q2 * t**2 / 2 + q3 * t**4 / 8, q3 * t**3 / 6],
            [q2 * t**2 / 2 + q3 * t**4 / 8, q2 * t + q3 * t**3 / 3, q3 * t**2 / 2],
            [q3 * t**3 / 6, q3 * t**2 / 2, q3 * t],
        ]
    )
    return f @ p0 @ f.T + noise


P0 = np.array([[1.0, 0.1, 0.02], [0.1, 0.4, 0.03], [0.02, 0.03, 0.2]])


@pytest.mark.parametrize("t", [0.25, 3.0, 1000.0])
def test_predicted_variance_is_the_closed_form(t: float) -> None:
    start = States(5.0, np.zeros((3, 1)), from_matrix(P0)[:, None])
    found = to_matrix(carried(start, Q[:, None], 5.0 + t).p)[0]
    assert np.allclose(found, closed_form(t, P0, Q), rtol=1e-12, atol=0)


def test_many_small_steps_are_one_large_step() -> None:
    states = States(0.0, np.array([[1.0], [2.0], [3.0]]), from_matrix(P0)[:, None])
    for number in range(1, 41):
        states = carried(states, Q[:, None], number / 4)
    assert np.allclose(to_matrix(states.p)[0], closed_form(10.0, P0, Q), rtol=1e-12, atol=0)
    assert np.allclose(states.mean.ravel(), [1 + 20 + 150, 2 + 30, 3], rtol=1e-12)


@pytest.mark.parametrize("m", [1, 7, 50])
def test_a_two_point_prediction_errs_by_the_allan_deviation(m: int) -> None:
    x = np.cumsum(np.random.default_rng(1).standard_normal(1000)) * 1e-9
    deviation = float(oadev(x, 1.0, [float(m)], ci=None).dev[0])
    assert two_point_rms(x, m) == pytest.approx(np.sqrt(2) * m * deviation, rel=1e-12)


@pytest.mark.parametrize("m", [1, 7, 50])
def test_a_three_point_prediction_errs_by_the_hadamard_deviation(m: int) -> None:
    x = np.cumsum(np.random.default_rng(2).standard_normal(1000)) * 1e-9
    deviation = float(ohdev(x, 1.0, [float(m)], ci=None).dev[0])
    assert three_point_rms(x, m) == pytest.approx(np.sqrt(6) * m * deviation, rel=1e-12)


def test_allan_variance_of_the_model_is_that_of_its_samples() -> None:
    """From two samples tau apart without white PM, tau ahead: the error is the second difference, 2 tau^2 AVAR."""
    noise = ClockNoise(0.0, 0.7, 0.3)
    belief = known(Samples.single(np.array([0.0, 1.0, 2.0]), np.array([0.0, 1.0, 3.0])), ClockNoise(0.0, 0.7))
    variance = carried(belief.states, belief.q, belief.states.at_s + 2.0).p[0, 0]
    # white FM: frequency from all three, q1 / 2 a unit of time
    assert variance == pytest.approx(0.7 * 2 + 4 * 0.7 / 2, rel=1e-3)
    assert noise.avar(2.0) == pytest.approx(0.7 / 2 + 0.3 * 2 / 3)


def dense(t: np.ndarray, r: float) -> tuple[np.ndarray, np.ndarray]:
    """Covariance of samples at t, and of the state at the last with them, by brute force."""
    size = t.size
    samples, states = np.zeros((size, size)), np.zeros((3, size))
    for i in range(size):
        at = closed_form(t[i], P0, Q)
        for j in range(i, size):
            samples[i, j] = samples[j, i] = (at @ transition(t[j] - t[i]).T)[0, 0]
        states[:, i] = (at @ transition(t[-1] - t[i]).T)[0]
    return samples + r * np.eye(size), states


def test_filter_of_means_gaps_and_uneven_intervals_is_the_conditional_distribution() -> None:
    t = np.array([0, 0.5, 1, 1.5, 2.3, 7.0, 7.4, 7.8])
    groups = [(0, 4), (4, 5), (5, 8)]
    r = 0.2
    mean_of = np.zeros((3, t.size))
    for row, (begin, end) in enumerate(groups):
        mean_of[row, begin:end] = 1 / (end - begin)
    x = np.random.default_rng(3).standard_normal(t.size)
    samples = Samples(
        np.array([t[begin] for begin, _ in groups]),
        np.array([t[end - 1] for _, end in groups]),
        mean_of @ t,
        mean_of @ x,
        np.array([end - begin for begin, end in groups]),
    )
    start = np.array([0.1, 0.2, 0.3])
    found = run(samples, States(0.0, start[:, None], from_matrix(P0)[:, None]), np.array([r]), Q[:, None])
    covariance, with_state = dense(t, r)
    expected = np.array([(transition(each) @ start)[0] for each in t])
    seen = mean_of @ covariance @ mean_of.T
    gain = with_state @ mean_of.T @ np.linalg.inv(seen)
    innovation = mean_of @ (x - expected)
    assert np.allclose(found.states.mean.ravel(), transition(t[-1]) @ start + gain @ innovation, rtol=1e-9)
    left = closed_form(t[-1], P0, Q) - gain @ mean_of @ with_state.T
    assert np.allclose(to_matrix(found.states.p)[0], left, rtol=1e-9, atol=1e-10)
    log_likelihood = -0.5 * (innovation @ np.linalg.solve(seen, innovation) + np.linalg.slogdet(seen)[1])
    assert found.log_likelihood[0] == pytest.approx(log_likelihood, rel=1e-9)


def test_diffusion_of_each_noise_alone() -> None:
    for number in range(3):
        q = np.eye(3)[number]
        assert np.allclose(to_matrix(diffusion(2.5) @ q), closed_form(2.5, np.zeros((3, 3)), q), rtol=1e-12)
