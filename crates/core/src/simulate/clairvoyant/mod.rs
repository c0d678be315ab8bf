//! A plan that is made with the load known in advance: what a perfect autoscaler could have
//! reached.
//!
//! Several plans are made ([`planner`]) and run in the same plant, as is each aligned size held all
//! the time; the best one counts. So its cost can be reached. It is not proved that nothing costs
//! less.

mod future;
mod pauses;
mod planner;

use self::future::Future;
use super::autoscaler::{Bounds, Plan};
use super::number::real;
use super::run::{Outcome, Simulation};

/// Shares of the consumers' capacity that plans use.
const COUNTED_ON: [f64; 4] = [0.97, 0.92, 0.86, 0.78];
/// Shares of the objective that plans keep.
const KEPT_TO: [f64; 2] = [0.3, 0.6];
/// Up to this size, each size is also held all the time.
const EACH: i32 = 48;

/// The outcome with the lowest cost.
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

/// Sizes that are held all the time. If one partition has most of the load, a size that is not
/// aligned can be the best; of large sizes only aligned ones are tried.
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
