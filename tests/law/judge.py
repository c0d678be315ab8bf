"""Judge a program that speaks the format of docs/decide.md against the plant: promises per decision, figures per scenario.

  python3 judge.py --command "lagrange decide --stream" [--scenarios step,stuck | --random 1-40] [--restart-every S [--cost-at-most SHARE]]
                   [--objective delay|lag] [--seed N] [--jobs N]

Promises are checked at every decision of every run; one that is broken ends the run with exit code 1 and says where. With the
whole catalogue the totals are held against the figures to reach as well. With --restart-every the program is killed (kill -9) and
started again with its last status every S seconds; --cost-at-most also runs it undisturbed and compares the two by J.
"""
from __future__ import annotations

import argparse
import json
import math
import multiprocessing
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import run
from clairvoyant import useful_steps
from policies.child import Subprocess
from scenarios import catalogue, random_scenario

# Totals over the catalogue: name, limit.
FIGURES = {
    "delay": {"J/clairvoyant": 1.15, "J/keda-tuned": 0.70, "over floor s": 3500, "replica-h": 2750, "rescales": 850, "stall s": 6000,
              "idle h": 0.5, "worst J/clairvoyant": 1.45, "worse than keda-tuned": 0},
    "lag": {"J/keda-tuned": 0.77, "rescales": 1000, "idle h": 0.5},
}
# Single scenarios that show one promise each: field, limit.
SINGLE = {"flat": ("rescales", 12), "downstream": ("replica_h", 75), "hot": ("replica_h", 110), "expansion": ("viol_s", 0)}


class Broken(Exception):
    """A promise that a decision has broken."""


class Judged(Subprocess):
    """Asks the program, and holds every answer against the promises."""

    def __init__(self, command: str, scenario: str, objective: str):
        super().__init__(command)
        self.scenario, self.objective = scenario, objective
        self.last: float | None = None
        self.actions: list[tuple[int, int, int]] = []
        self.unstable_since: float | None = None
        self.seen: dict[str, int] = {}

    def init(self, spec):
        if self.objective == "lag":
            spec = {**spec, "lag_per_replica": round(10 * spec["hint_capacity"])}
            del spec["max_delay_s"]
        super().init(spec)

    def decide(self, obs):
        wanted = super().decide(obs)
        t, now = obs["t"], obs["workload"]["spec_replicas"]
        stable = obs["kafka_ok"] and obs["group"]["state"] == "Stable"
        self.unstable_since = None if stable else t if self.unstable_since is None else self.unstable_since
        if obs["kafka_ok"]:
            for name, topic in obs["topics"].items():
                self.seen[name] = max([self.seen.get(name, 0)] + [row["p"] + 1 for row in topic["partitions"]])
        if wanted is not None and wanted != now:
            self.check(obs, t, now, wanted)
            self.actions.append((t, now, wanted))
            self.last = t
        return wanted

    def check(self, obs, t, now, wanted):
        def need(holds, what):
            if not holds:
                raise Broken(f"{self.scenario}: at {t} s, {now} -> {wanted}: {what}")
        since = math.inf if self.last is None else t - self.last
        need(since >= (30 if wanted > now else 120), f"only {since:.0f} s after the last action")
        need(self.unstable_since is None or t - self.unstable_since >= 300, "while the group is not stable")
        if not obs["kafka_ok"]:
            raise Broken(f"{self.scenario}: at {t} s, {now} -> {wanted}: without a look")
        whole = all(len(topic["partitions"]) == self.seen[name] for name, topic in obs["topics"].items())
        need(wanted > now or whole, "down, with a partition missing")
        sizes = useful_steps(self.seen, obs["group"]["protocol"])
        need(wanted in sizes or wanted == self.spec["max_replicas"], f"not a count worth having: {sizes}")
        if self.scenario == "obsfault" and wanted < now:
            need(not any(a <= t < b + 120 for a, b in [(5400, 6000), (10800, 11700)]), "down in or right after an outage")


def job(args) -> dict:
    name, command, seed, restart, objective = args
    scenario = catalogue(seed)[name] if not name.startswith("rnd") else random_scenario(int(name[3:]))
    law = Judged(command, scenario.name, objective)
    try:
        result = run.run_one(scenario, scenario.build(), law, restart_every=restart)
    except Broken as broken:
        return {"scenario": name, "broken": str(broken)}
    result.pop("_plant")
    return {"scenario": name, "result": result, "largest": max([to for _, _, to in law.actions], default=0)}


def mean(values):
    return math.exp(sum(map(math.log, values)) / len(values))


def totals(found, known) -> dict[str, float]:
    results = {x["scenario"]: x["result"] for x in found}
    against = {law: {n: r["J"] / known[n][law]["J"] for n, r in results.items() if law in known.get(n, {})} for law in ("clairvoyant", "keda-tuned")}
    total = {
        "viol s": sum(r["viol_s"] for r in results.values()),
        "replica-h": sum(r["replica_h"] for r in results.values()),
        "rescales": sum(r["rescales"] for r in results.values()),
        "stall s": sum(r["stall_s"] for r in results.values()),
        "idle h": sum(r["idle_h"] for r in results.values()),
    }
    if against["clairvoyant"]:
        total["over floor s"] = total["viol s"] - sum(known[n]["static-max"]["viol_s"] for n in results)
        total["J/clairvoyant"] = mean(against["clairvoyant"].values())
        total["worst J/clairvoyant"] = max(against["clairvoyant"].values())
        total["J/keda-tuned"] = mean(against["keda-tuned"].values())
        total["worse than keda-tuned"] = sum(1 for ratio in against["keda-tuned"].values() if ratio > 1)
    return total


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--command", required=True)
    parser.add_argument("--scenarios", default="")
    parser.add_argument("--random", default="")
    parser.add_argument("--restart-every", type=int, default=0)
    parser.add_argument("--cost-at-most", type=float, default=0.0)
    parser.add_argument("--objective", choices=["delay", "lag"], default="delay")
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--jobs", type=int, default=1)
    parser.add_argument("--out", default="", help="write every result as JSON")
    args = parser.parse_args()
    names = [n for n in args.scenarios.split(",") if n]
    if args.random:
        low, high = args.random.split("-")
        names += [f"rnd{n}" for n in range(int(low), int(high) + 1)]
    whole = not names
    names = names or sorted(catalogue(args.seed), key=lambda name: -catalogue(args.seed)[name].T)
    known = {x["scenario"]: x["results"] for x in json.load(open(os.path.join(HERE, "results", "pub.json")))} if args.seed == 1 else {}
    tasks = [(n, args.command, args.seed, args.restart_every, args.objective) for n in names]
    if args.jobs > 1:
        with multiprocessing.Pool(args.jobs) as pool:
            found = list(pool.imap_unordered(job, tasks))
    else:
        found = [job(task) for task in tasks]
    faults = [x["broken"] for x in found if "broken" in x]
    if args.cost_at_most and not faults:
        undisturbed = {x["scenario"]: x["result"]["J"] for x in map(job, [(n, args.command, args.seed, 0, args.objective) for n in names])}
        share = mean([x["result"]["J"] / undisturbed[x["scenario"]] for x in found])
        print(f"killed every {args.restart_every} s: J {share:.3f} of the same without")
        if share > args.cost_at_most:
            faults.append(f"being killed every {args.restart_every} s costs {share:.3f}, above {args.cost_at_most}")
    found = sorted((x for x in found if "broken" not in x), key=lambda x: x["scenario"])
    print(f"{'scenario':12s} {'viol s':>7s} {'replica-h':>9s} {'rescales':>8s} {'stall s':>7s} {'J':>9s} {'/clv':>6s} {'/keda':>6s}")
    for x in found:
        r, other = x["result"], known.get(x["scenario"], {})
        ratio = lambda law: f"{r['J'] / other[law]['J']:6.3f}" if law in other else "     -"
        print(f"{x['scenario']:12s} {r['viol_s']:7d} {r['replica_h']:9.2f} {r['rescales']:8d} {r['stall_s']:7.0f} {r['J']:9d} {ratio('clairvoyant')} {ratio('keda-tuned')}")
        field, limit = SINGLE.get(x["scenario"], (None, 0))
        if args.objective == "delay" and args.seed == 1 and field and r[field] > limit:
            faults.append(f"{x['scenario']}: {field} {r[field]} is above {limit}")
        if x["scenario"] == "multitopic" and x["largest"] > 12:
            faults.append(f"multitopic: {x['largest']} replicas, and 12 can be given a partition of each topic")
        if x["scenario"] == "expansion" and x["largest"] <= 12 and args.objective == "delay":
            faults.append("expansion: the new partitions were never used")
    if found:
        total = totals(found, known)
        print("  ".join(f"{name} {value:.3f}" if "J" in name else f"{name} {value:.1f}" for name, value in total.items()))
        if whole and known and not args.restart_every:
            faults += [f"{name}: {total[name]:.3f} is above {limit}" for name, limit in FIGURES[args.objective].items() if total[name] > limit]
    for fault in faults:
        print("FAILED", fault)
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
