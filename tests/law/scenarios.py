"""Workloads.  A scenario = a PlantConfig + exact per-partition cumulative arrivals."""
from __future__ import annotations

import csv
import math
import os
import random
from array import array
from dataclasses import dataclass, replace
from typing import Callable

from plant import PlantConfig

TRACES = os.path.join(os.path.dirname(os.path.abspath(__file__)), "traces")


@dataclass
class Scenario:
    name: str
    cfg: PlantConfig
    T: int
    rate: Callable[[int], float]                      # total records/s at second t
    shares: Callable[[int], list[float]] | list[float]  # per partition idx
    share_step: int = 60
    noise: float = 0.06                               # slow multiplicative noise
    seed: int = 1
    why: str = ""

    def build(self) -> list:
        rng = random.Random(self.seed * 104729 + sum(map(ord, self.name)))
        P = partitions(self.cfg)
        cum = [array("d", bytes(8 * self.T)) for _ in range(P)]
        acc = [0.0] * P
        ar = 0.0
        gauss = rng.gauss
        sh = self.shares if isinstance(self.shares, list) else self.shares(0)
        fixed = isinstance(self.shares, list)
        sqrt = math.sqrt
        for t in range(self.T):
            if not fixed and t % self.share_step == 0:
                sh = self.shares(t)
            if t % 5 == 0:
                ar = 0.9 * ar + gauss(0.0, self.noise * 0.43)
            r = self.rate(t) * (1.0 + ar)
            if r < 0:
                r = 0.0
            for i in range(P):
                x = r * sh[i]
                if x > 0:
                    x += gauss(0.0, sqrt(x))
                    if x > 0:
                        acc[i] += x
                cum[i][t] = acc[i]
        return cum


def partitions(cfg: PlantConfig) -> int:
    final = dict(cfg.topics)
    for _, tp, cnt in cfg.expansions:
        final[tp] = max(final[tp], cnt)
    return sum(final.values())


def uniform(P: int, rng=None, sd: float = 0.05) -> list[float]:
    rng = rng or random.Random(5)
    w = [max(0.2, rng.gauss(1.0, sd)) for _ in range(P)]
    s = sum(w)
    return [x / s for x in w]


def zipf(P: int, s: float, rng=None) -> list[float]:
    rng = rng or random.Random(7)
    w = [1.0 / (k + 1) ** s for k in range(P)]
    rng.shuffle(w)
    z = sum(w)
    return [x / z for x in w]


def pw(points: list[tuple[float, float]]) -> Callable[[int], float]:
    """piecewise linear"""
    def f(t: int) -> float:
        if t <= points[0][0]:
            return points[0][1]
        for (a, x), (b, y) in zip(points, points[1:]):
            if t < b:
                return x + (y - x) * (t - a) / (b - a) if b > a else y
        return points[-1][1]
    return f


def table(values: list[float], dt: float, smooth: bool = True) -> Callable[[int], float]:
    n = len(values)

    def f(t: int) -> float:
        k = t / dt
        i = int(k)
        if i >= n - 1:
            return values[-1]
        if not smooth:
            return values[i]
        return values[i] + (values[i + 1] - values[i]) * (k - i)
    return f


def load_csv(name: str) -> list[float]:
    with open(os.path.join(TRACES, name)) as fh:
        rows = list(csv.reader(fh))[1:]
    return [float(r[1]) for r in rows]


def quantile(v: list[float], q: float) -> float:
    s = sorted(v)
    return s[min(len(s) - 1, int(q * len(s)))]


def real(name: str, lo: int, hi: int, dt: float, peak: float, q: float = 1.0, floor: float = 0.0,
         smooth: bool = True, compress: float = 1.0, repeat: int = 1):
    v = load_csv(name)[lo:hi] * repeat
    k = peak / max(1e-9, quantile(v, q) if q < 1 else max(v))
    v = [max(floor, x * k) for x in v]
    return table(v, dt / compress, smooth), int(len(v) * dt / compress)


H = 3600


def catalogue(seed: int = 1) -> dict[str, Scenario]:
    """The public suite.  Peak demand is 60-85 % of P * mu unless the scenario says otherwise."""
    S: dict[str, Scenario] = {}
    base = PlantConfig()
    u24 = uniform(24)

    def add(name, cfg, T, rate, shares=u24, **kw):
        S[name] = Scenario(name, cfg, T, rate, shares, seed=seed, **kw)

    # ---- shapes (24 partitions, mu 200/s, range/eager defaults unless stated)
    add("step", replace(base, initial_replicas=8), 6 * H,
        lambda t: 3200.0 if H <= t < 3 * H else 1100.0, why="3x step up, back after 2 h")
    add("ramp", replace(base, initial_replicas=4), 4 * H,
        pw([(0, 600), (1800, 600), (2 * H - 1800, 3600), (3 * H - 1800, 3600), (3 * H + 1200, 700)]),
        why="6x over 1 h, down over 50 min")

    def spike(t):
        for s in (3000, 9000, 16000):
            if s <= t < s + 300:
                return 3800.0
        return 900.0
    add("spike", replace(base, initial_replicas=6), 6 * H, spike, why="three 5-min 4x spikes")
    add("diurnal", replace(base, initial_replicas=4, assignor="cooperative-sticky"), 24 * H,
        lambda t: 400 + 3000 * (0.5 - 0.5 * math.cos(2 * math.pi * (t - 3 * H) / (24 * H))) ** 1.5,
        why="8:1 day")
    add("sawtooth", replace(base, initial_replicas=6), 4 * H,
        lambda t: 600 + 2800 * ((t % 2400) / 2400.0), why="40-min ramps with a cliff")
    add("square10", replace(base, initial_replicas=8), 4 * H,
        lambda t: 3000.0 if (t // 300) % 2 else 1100.0, why="flapping, 10-min period")
    add("square60", replace(base, initial_replicas=8, assignor="cooperative-sticky"), 6 * H,
        lambda t: 3000.0 if (t // 1800) % 2 else 1000.0, why="flapping, 1-h period")
    add("flat", replace(base, initial_replicas=16), 6 * H, lambda t: 1500.0, why="nothing happens: any rescale is waste")
    add("noisy", replace(base, initial_replicas=10), 6 * H, lambda t: 1800.0, noise=0.25,
        why="25 % slow noise around a constant")

    # ---- skew
    add("zipf", replace(base, initial_replicas=6, assignor="roundrobin"), 6 * H,
        pw([(0, 450), (3600, 450), (5400, 1050), (4 * H, 1050), (5 * H, 450)]), zipf(24, 0.7),
        why="long-tail partition sizes")

    def hot(t):
        w = [1.0] * 24
        if 2 * H <= t < 4 * H:
            w[5] = 260 / (1500 / 24.0)
        z = sum(w)
        return [x / z for x in w]

    def hot_rate(t):
        return 1500.0 if not (2 * H <= t < 4 * H) else 1500.0 * (23 + 260 / 62.5) / 24
    add("hot", replace(base, initial_replicas=10, assignor="cooperative-sticky"), 7 * H, hot_rate, hot,
        why="one partition gets 1.3 mu for 2 h: nobody can help it")
    add("stuck", replace(base, initial_replicas=10, stuck=[(7, 5400, 4 * H)]), 6 * H,
        pw([(0, 1400), (2 * H, 1400), (2 * H + 1200, 2200), (4 * H, 2200), (5 * H, 1200)]),
        why="poison pill: one partition makes no progress for 2.5 h (exempt from the SLO)")

    # ---- structure
    def exp_shares(t):
        k = 12 if t < 2 * H else 24
        return [1.0 / k] * k + [0.0] * (24 - k)
    add("expansion", replace(base, topics={"orders": 12}, expansions=[(2 * H, "orders", 24)], initial_replicas=8,
                             assignor="cooperative-sticky"), 5 * H,
        pw([(0, 1400), (2 * H, 1900), (2 * H + 1800, 3400), (4 * H, 3400), (4 * H + 1800, 1500)]), exp_shares,
        why="12 -> 24 partitions at 2 h, then load grows beyond 12 mu")
    add("multitopic", replace(base, topics={"a": 12, "b": 6}, initial_replicas=6, assignor="range"), 6 * H,
        pw([(0, 700), (H, 700), (H + 1800, 1500), (4 * H, 1500), (5 * H, 500)]),
        [0.7 / 12] * 12 + [0.3 / 6] * 6, why="12 + 6 partitions under range: useful maximum is 12, not 18")
    add("prime17", replace(base, topics={"orders": 17}, initial_replicas=6), 6 * H,
        pw([(0, 700), (H, 700), (2 * H, 2000), (4 * H, 2000), (5 * H, 800)]), uniform(17),
        why="17 partitions: useful steps 1 2 3 4 5 6 9 17")

    # ---- plant faults
    add("downstream", replace(base, initial_replicas=10, downstream=[(2 * H, 900.0), (3 * H + 1800, None)]), 7 * H,
        lambda t: 1400.0, why="downstream caps the whole group at 64 % of the demand for 1.5 h")
    add("slowdeploy", replace(base, initial_replicas=9, mu_schedule=[(2 * H, 0.6)], assignor="cooperative-sticky"),
        6 * H, lambda t: 1500.0 + 300 * math.sin(t / 1800), why="a release makes every consumer 40 % slower")
    add("kill", replace(base, initial_replicas=8, graceful_leave=False), 6 * H,
        pw([(0, 1000), (H, 1000), (H + 1800, 2600), (3 * H, 2600), (3 * H + 1800, 900)]),
        why="pods die without LeaveGroup: session timeout 45 s")
    add("obsfault", replace(base, initial_replicas=6, obs_fail_p=0.05, obs_partial_p=0.01,
                            obs_outages=[(5400, 6000), (3 * H, 3 * H + 900)]), 6 * H,
        pw([(0, 900), (5400, 900), (6300, 2400), (4 * H, 2400), (4 * H + 1800, 900)]),
        why="5 % failed polls, missing partitions, admin API away for 10 min during a ramp")
    add("txn", replace(base, initial_replicas=6, offset_inflation=1.25, residual_lag=40), 5 * H,
        pw([(0, 600), (H, 600), (H + 1800, 2400), (3 * H, 2400), (4 * H, 500)]),
        why="transaction markers: 25 % more offsets, 40 records of lag per partition for ever")
    add("coldnode", replace(base, initial_replicas=6, cold_node_above=10, cold_node_s=150), 5 * H,
        pw([(0, 900), (H, 900), (H + 900, 3000), (3 * H, 3000), (4 * H, 900)]),
        why="pods beyond 10 wait 150 s for a node")
    add("backlog", replace(base, initial_replicas=3, control_start=3 * H), 8 * H,
        lambda t: 800.0, why="cold start with 3 h of backlog")
    add("tight848", replace(base, initial_replicas=8, assignor="uniform", slo_s=20, pod_start_s=(10, 15, 25)), 6 * H,
        pw([(0, 1000), (H, 1000), (H + 600, 2600), (3 * H, 2600), (3 * H + 600, 1200), (5 * H, 1200)]),
        why="KIP-848, fast pods, SLO 20 s")

    # ---- real traces
    r, T = real("nasa_http_jul1995_1min.csv", 11 * 1440, 13 * 1440, 60, 3900, floor=20)
    add("nasa", replace(base, initial_replicas=4, assignor="cooperative-sticky"), T, r, noise=0.03,
        why="NASA-HTTP 12-13 July 1995 (launch day), 48 h, 1-min buckets")
    v0 = 48 * (31 + 31 + 30 + 31 + 30 + 31 + 25)       # 26 Jan 2015 00:00
    r, T = real("nyc_taxi_30min.csv", v0, v0 + 96, 1800, 3600, floor=10)
    add("taxi", replace(base, initial_replicas=6), T, r, noise=0.04, why="NYC taxi 26-27 Jan 2015 (blizzard), 48 h")
    v = load_csv("twitter_aapl_5min.csv")
    k = max(range(len(v)), key=lambda i: v[i])
    r, T = real("twitter_aapl_5min.csv", k - 144, k + 144, 300, 4000, floor=10)
    add("aapl", replace(base, initial_replicas=3, assignor="cooperative-sticky"), T, r, noise=0.05,
        why="Twitter AAPL around its biggest burst, 24 h, 5-min buckets")
    v = load_csv("azure_llm_code_2023_1s.csv")
    v10 = [sum(v[i:i + 10]) / 10 for i in range(0, len(v) - 9, 10)]
    kk = 4000 / quantile(v10, 0.995)
    tb = [x * kk for x in v10] * 3
    add("azurellm", replace(base, initial_replicas=6, slo_s=120, assignor="cooperative-sticky"), len(tb) * 10,
        table(tb, 10, False), noise=0.02, why="Azure LLM code 2023, 10-s bursts, 57 min x 3, SLO 120 s")
    return S


def random_scenario(seed: int) -> Scenario:
    """Everything the catalogue fixes is drawn at random."""
    g = random.Random(seed * 9973 + 41)
    P = g.choice([6, 8, 12, 16, 17, 18, 20, 24, 30, 32, 36, 48])
    mu = g.choice([40.0, 90.0, 200.0, 450.0, 1200.0])
    assignor = g.choice(["range", "range", "roundrobin", "cooperative-sticky", "cooperative-sticky", "uniform"])
    slo = g.choice([30, 60, 60, 60, 120, 300])
    start = g.choice([(8, 12, 20), (20, 30, 60), (20, 30, 60), (40, 60, 110)])
    T = 5 * H
    peak = g.uniform(0.45, 0.8) * P * mu
    low = peak * g.uniform(0.08, 0.5)
    kind = g.choice(["step", "ramp", "spikes", "sine", "walk", "square", "saw", "backlogish"])
    pts: list[tuple[float, float]]
    if kind == "step":
        pts, t, hi = [(0, low)], 0, False
        while t < T:
            t += g.randint(1500, 6000)
            hi = not hi
            x = peak * g.uniform(0.7, 1.0) if hi else low * g.uniform(0.8, 1.3)
            pts += [(t, pts[-1][1]), (t + 1, x)]
        rate = pw(pts)
    elif kind == "ramp":
        pts, t, hi = [(0, low)], 0, False
        while t < T:
            d = g.randint(600, 3600)
            t += g.randint(900, 3600)
            pts.append((t, pts[-1][1]))
            hi = not hi
            t += d
            pts.append((t, peak * g.uniform(0.7, 1.0) if hi else low * g.uniform(0.8, 1.3)))
        rate = pw(pts)
    elif kind == "spikes":
        sp = sorted(g.randint(600, T - 600) for _ in range(g.randint(2, 8)))
        du = [g.randint(60, 700) for _ in sp]
        rate = lambda t, sp=sp, du=du: next((peak for s, d in zip(sp, du) if s <= t < s + d), low)
    elif kind == "sine":
        per, ph = g.uniform(2400, 3 * H), g.uniform(0, 6)
        rate = lambda t, per=per, ph=ph: low + (peak - low) * (0.5 + 0.5 * math.sin(ph + 2 * math.pi * t / per))
    elif kind == "square":
        per = g.randint(500, 5000)
        rate = lambda t, per=per: peak if (t // per) % 2 else low
    elif kind == "saw":
        per = g.randint(1200, 5000)
        rate = lambda t, per=per: low + (peak - low) * ((t % per) / per)
    elif kind == "backlogish":
        s = g.randint(1800, 7000)
        rate = lambda t, s=s: peak * 1.6 if s <= t < s + 900 else low
    else:
        x, pts, t = low, [], 0
        while t <= T:
            pts.append((t, x))
            x = min(peak, max(low * 0.5, x * math.exp(g.gauss(0, 0.35))))
            t += g.randint(200, 900)
        rate = pw(pts)
    skew = g.choice([0.0, 0.0, 0.0, 0.3, 0.6])
    topics = {"t": P}
    if g.random() < 0.2:
        a = max(2, P // 3)
        topics = {"t": P - a, "u": a}
    sh = zipf(P, skew, g) if skew else uniform(P, g)
    if skew:
        mx = max(sh)
        f = min(1.0, 0.75 * mu / (peak * mx))
        old = rate
        rate = lambda t, old=old, f=f: old(t) * f
    cfg = PlantConfig(topics=topics, assignor=assignor, mu=mu, slo_s=slo, pod_start_s=start,
                      initial_replicas=max(1, int(P * g.uniform(0.2, 0.7))),
                      graceful_leave=g.random() > 0.15,
                      obs_fail_p=g.choice([0.0, 0.0, 0.03]),
                      commit_interval_s=g.choice([1, 5, 5, 5, 10]),
                      contention=g.choice([0.0, 0.0, 0.0, 0.01]))
    if g.random() < 0.12:
        a = g.randint(3000, 9000)
        cfg = replace(cfg, downstream=[(a, peak * 0.4), (a + 3000, None)])
    if g.random() < 0.12:
        cfg = replace(cfg, mu_schedule=[(g.randint(3000, 9000), g.uniform(0.6, 1.4))])
    if g.random() < 0.1:
        cfg = replace(cfg, stuck=[(g.randrange(P), 4000, 12000)])
    return Scenario(f"rnd{seed}", cfg, T, rate, sh, seed=seed, noise=g.choice([0.03, 0.06, 0.15]),
                    why=f"{kind} P={P} mu={mu:g} {assignor} slo={slo} skew={skew}")
