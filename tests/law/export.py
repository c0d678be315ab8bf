"""Write a scenario of the plant as the files that `lagrange simulate` reads: load.csv, plant.json and manifest.json.

  python3 export.py --out DIR SCENARIO...        one directory for each, below DIR
  python3 export.py --out DIR --score COMMAND SCENARIO...
                                                 runs each here as well, driven by COMMAND (lagrange decide --stream) or by a
                                                 name of run.py, once for each of --seeds, and writes score.json

The arrivals are those of the scenario, partition by partition, in means of five seconds: both plants are given the same load,
and differ in what they draw for pods, rebalances and looks alone.
"""
from __future__ import annotations

import argparse
import json
import os
import sys

HERE = os.path.dirname(os.path.abspath(__file__))
sys.path.insert(0, HERE)
import run
from plant import PlantConfig
from scenarios import Scenario, catalogue, random_scenario

STEP = 5


def destinations(cfg: PlantConfig) -> list[str]:
    """topic/partition by index, as the plant counts them"""
    final = dict(cfg.topics)
    for _, topic, count in cfg.expansions:
        final[topic] = max(final[topic], count)
    return [f"{topic}/{k}" for topic in sorted(final) for k in range(final[topic])]


def load(scenario: Scenario, cum) -> str:
    lines = [",".join(["time"] + destinations(scenario.cfg))]
    for t in range(0, scenario.T - STEP, STEP):
        before = [c[t - 1] if t else 0.0 for c in cum]
        rates = [(c[t + STEP - 1] - b) / STEP for c, b in zip(cum, before)]
        # In the middle of its five seconds, except at the ends.
        at = 0 if t == 0 else scenario.T if t + 2 * STEP >= scenario.T else t + STEP / 2
        lines.append(",".join([f"{at:g}"] + [f"{rate:.3f}" for rate in rates]))
    return "\n".join(lines) + "\n"


def plant(scenario: Scenario) -> dict:
    c = scenario.cfg
    name = destinations(c)
    of = lambda index: dict(zip(("topic", "partition"), (name[index].rsplit("/", 1)[0], int(name[index].rsplit("/", 1)[1]))))
    spans = lambda pairs: [{"from": a, "to": b} for a, b in pairs]
    return {
        "topics": c.topics,
        "expansions": [{"at": t, "topic": topic, "partitions": n} for t, topic, n in c.expansions],
        "assignor": c.assignor,
        "noise": 0, "scatter": False,
        "consumerRate": c.mu, "consumerSpread": c.mu_pod_sd, "consumerNoise": c.mu_noise_sd,
        "speed": [{"at": t, "factor": f} for t, f in c.mu_schedule],
        "contention": c.contention,
        "downstream": [{"at": t, "rate": rate} for t, rate in c.downstream],
        "warmupSeconds": c.warmup_s, "warmupFactor": c.warmup_factor,
        "commitIntervalSeconds": c.commit_interval_s,
        "cpuAtCapacity": c.cpu_at_capacity, "cpuIdle": c.cpu_idle,
        "stuck": [{**of(i), "from": a, "to": b} for i, a, b in c.stuck],
        "initialReplicas": c.initial_replicas, "consumersFromSeconds": c.control_start,
        "startSeconds": list(c.pod_start_s),
        "newNodeAbove": c.cold_node_above, "newNodeSeconds": c.cold_node_s,
        "leavesGroup": c.graceful_leave, "staticMembership": c.static_membership,
        "sessionTimeoutSeconds": c.session_timeout_s,
        "eagerSeconds": c.eager_base_s, "eagerPerMemberSeconds": c.eager_per_member_s,
        "cooperativeSeconds": c.coop_base_s, "cooperativePerMemberSeconds": c.coop_per_member_s,
        "revokeSeconds": c.kip848_revoke_s, "takeOverSeconds": c.kip848_pause_s,
        "measured": c.measured, "heartbeatSeconds": c.heartbeat_s, "consumerHeartbeatSeconds": c.heartbeat848_s,
        "commitStallSeconds": int(c.sync_commit_stall_s), "recordSeconds": c.record_s,
        "slowRecordShare": c.slow_record_p, "slowRecordSeconds": c.slow_record_s,
        "metadataMaxAgeSeconds": c.metadata_max_age_s,
        "failedLooks": c.obs_fail_p, "missingPartitions": c.obs_partial_p,
        "outages": spans(c.obs_outages), "coordinatorOutages": spans(c.coordinator_outages),
        "brokerOutages": [{"from": a, "to": b, "broker": n} for a, b, n in c.broker_outages],
        "offsetsPerRecord": c.offset_inflation, "residualLag": c.residual_lag,
    }


def manifest(scenario: Scenario) -> dict:
    c = scenario.cfg
    spec = {
        "scaleTargetRef": {"name": scenario.name}, "kafka": {"clusterRef": {"name": "main"}},
        "topics": sorted(c.topics), "minReplicas": c.min_replicas, "autoOffsetReset": "Earliest",
        "objective": {"maxDelay": f"{c.slo_s}s"},
    }
    if c.max_replicas is not None:
        spec["maxReplicas"] = c.max_replicas
    return {"apiVersion": "lagrange.dev/v1alpha1", "kind": "ConsumerGroup",
            "metadata": {"name": scenario.name, "namespace": "law"}, "spec": spec}


def score(scenario: Scenario, cum, law: str, seeds: int) -> list[dict]:
    found = []
    for seed in range(1, seeds + 1):
        policy = run.Subprocess(law) if " " in law else run.policy(run.TUNED if law == "keda-tuned" else law)
        result = run.run_one(scenario, cum, policy, seed)
        result.pop("_plant")
        found.append(result)
    return found


def main():
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("scenarios", nargs="+", metavar="SCENARIO")
    parser.add_argument("--out", required=True, metavar="DIR")
    parser.add_argument("--score", default="", metavar="COMMAND")
    parser.add_argument("--seeds", type=int, default=1)
    parser.add_argument("--plant", default="default", choices=["default", "real", "real-slow"])
    args = parser.parse_args()
    run.PLANT = args.plant
    for name in args.scenarios:
        scenario = catalogue()[name] if not name.startswith("rnd") else random_scenario(int(name[3:]))
        scenario = run.fit(scenario)
        cum = scenario.build()
        directory = os.path.join(args.out, name)
        os.makedirs(directory, exist_ok=True)
        files = {"load.csv": load(scenario, cum), "plant.json": json.dumps(plant(scenario), indent=1),
                 "manifest.json": json.dumps(manifest(scenario), indent=1)}
        if args.score:
            files["score.json"] = json.dumps(score(scenario, cum, args.score, args.seeds), indent=1)
        for file, text in files.items():
            with open(os.path.join(directory, file), "w") as out:
                out.write(text)


if __name__ == "__main__":
    main()
