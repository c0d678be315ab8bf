"""Record what a program that speaks the format of docs/decide.md is shown while it drives a small scenario of the plant.

  python3 record.py --command "lagrange decide --stream" > ../recordings/morning.jsonl

Six partitions, consumers of 200 records/s, a load that triples, falls, and lacks a partition for a while.
"""
import argparse
import json
import os
import sys

sys.path.insert(0, os.path.dirname(os.path.abspath(__file__)))
import run
from plant import PlantConfig
from policies.child import Subprocess
from scenarios import Scenario


class Recorder(Subprocess):
    def _ask(self, message):
        shown = {k: v for k, v in message.items() if k != "oracle"}
        if "workload" in shown:
            shown["workload"] = {k: v for k, v in shown["workload"].items() if k != "pods"}
        print(json.dumps(shown, separators=(",", ":")))
        return super()._ask(message)


def load(t):
    return 300.0 if t < 900 else 900.0 if t < 2700 else 250.0


parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
parser.add_argument("--command", required=True)
config = PlantConfig(topics={"order-events": 6}, initial_replicas=2, obs_outages=[(3600, 3660)], obs_partial_p=0.01)
scenario = Scenario("morning", config, 5400, load, [1.0 / 6] * 6, noise=0.05)
run.run_one(scenario, scenario.build(), Recorder(parser.parse_args().command))
