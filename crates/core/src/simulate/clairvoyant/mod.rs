//! A plan of somebody who knows the load beforehand: what a perfect autoscaler could have come to.
//!
//! Several plans are made ([`planner`]) and carried out in the very plant, beside each size that is
//! worth having held all the time; the best of them counts. So what it costs can be had. That
//! nothing costs less is not proved.

mod future;
mod pauses;
mod planner;

use self::future::Future;
use super::autoscaler::{Bounds, Plan};
use super::number::real;
use super::run::{Outcome, Simulation};

/// Shares of what consumers can do that plans count on.
const COUNTED_ON: [f64; 4] = [0.97, 0.92, 0.86, 0.78];
/// Shares of the objective that plans keep to.
const KEPT_TO: [f64; 2] = [0.3, 0.6];
/// Up to this one each size is held all the time once.
const EACH: i32 = 48;

/// The outcome that costs least.
pub(super) fn best(simulation: &Simulation<'_>, bounds: &Bounds, name: &str) -> Outcome {
    let future = Future::of(simulation, bounds);
    let mut plans = Vec::new();
    for counted_on in COUNTED_ON {
        for kept_to in KEPT_TO {
            plans.push(planner::plan(&future, counted_on, kept_to));
        }
    }
    let begin = simulation.parameters.consumers_from_seconds;
    plans.extend(held(bounds, &future.sizes).map(|size| vec![(begin, size)]));
    let carried_out = plans.into_iter().map(|plan| {
        let at = |(t, replicas)| (simulation.load.origin + real(t), replicas);
        let mut plan = Plan::of(plan.into_iter().map(at).collect());
        simulation.run(name, &mut plan, &|_| ())
    });
    let least = carried_out.reduce(|best, other| {
        if cost(&other) < cost(&best) {
            other
        } else {
            best
        }
    });
    least.unwrap_or_else(|| simulation.run(name, &mut Plan::default(), &|_| ()))
}

/// Sizes that are held all the time. Where one partition gets most, one that no other would take
/// for worth having can be the best; of many, those that are have to do.
fn held(bounds: &Bounds, sizes: &[i32]) -> impl Iterator<Item = i32> + use<> {
    let most = bounds.limit.min(bounds.max.unwrap_or(i32::MAX)).min(EACH);
    let each = bounds.min.max(1)..=most;
    let others: Vec<i32> = sizes
        .iter()
        .copied()
        .filter(|n| !each.contains(n))
        .collect();
    each.chain(others)
}

fn cost(outcome: &Outcome) -> f64 {
    outcome.scores.iter().map(|score| score.j).sum()
}
