//! The part of the HorizontalPodAutoscaler that comes after the metric: stabilisation windows, rate
//! policies, bounds. From the documentation of `autoscaling/v2` and its `behavior`.

use std::cmp::Ordering;
use std::collections::VecDeque;

use super::options::Reading;
use crate::simulate::number::replicas;

/// Seconds between two syncs of the controller.
pub(super) const SYNC: i64 = 15;

/// A metric this close to its target, as a share, changes nothing.
pub(super) const TOLERANCE: f64 = 0.1;

/// The controller without its metric.
#[derive(Debug)]
pub(super) struct Hpa {
    min: i32,
    max: i32,
    tolerance: f64,
    up: Rules,
    down: Rules,
    proposed: VecDeque<(i64, i32)>,
    raised: VecDeque<(i64, i32)>,
    lowered: VecDeque<(i64, i32)>,
}

/// `behavior.scaleUp` or `behavior.scaleDown`. Of several policies the one that allows the largest
/// change counts (`selectPolicy: Max`).
#[derive(Debug, Clone)]
struct Rules {
    window: i64,
    policies: Vec<Policy>,
}

#[derive(Debug, Clone, Copy)]
enum Policy {
    Pods(i32, i64),
    Percent(f64, i64),
}

impl Policy {
    fn period(self) -> i64 {
        match self {
            Self::Pods(_, period) | Self::Percent(_, period) => period,
        }
    }
}

impl Hpa {
    /// Uses the defaults of Kubernetes unless `options` sets `tolerance`, `upWindow`, `downWindow`,
    /// `downPercent` or `downPods` (both per minute).
    pub(super) fn new(options: &Reading<'_>, min: i32, max: i32) -> Result<Self, String> {
        let percent = options.number("downPercent", 0.0, 100.0)?;
        let pods = options.number("downPods", 0.0, 10_000.0)?;
        let mut policies = Vec::new();
        policies.extend(percent.map(|percent| Policy::Percent(percent, 60)));
        policies.extend(pods.map(|pods| Policy::Pods(replicas(pods), 60)));
        if policies.is_empty() {
            policies.push(Policy::Percent(100.0, 15));
        }
        Ok(Self {
            min,
            max: max.max(min),
            tolerance: options.number("tolerance", 0.0, 1.0)?.unwrap_or(TOLERANCE),
            up: Rules {
                window: options.seconds("upWindow", 0)?,
                policies: vec![Policy::Pods(4, 15), Policy::Percent(100.0, 15)],
            },
            down: Rules {
                window: options.seconds("downWindow", 300)?,
                policies,
            },
            proposed: VecDeque::new(),
            raised: VecDeque::new(),
            lowered: VecDeque::new(),
        })
    }

    /// Whether the ratio of a metric to its target is outside the tolerance.
    pub(super) fn differs(&self, ratio: f64) -> bool {
        (1.0 - ratio).abs() > self.tolerance
    }

    /// The replicas to set, from `proposed` and `current`.
    pub(super) fn step(&mut self, t: i64, current: i32, proposed: i32) -> i32 {
        if self.proposed.is_empty() {
            // On start the controller takes the present size as a recommendation.
            self.proposed.push_back((t, current));
        }
        let longest = self.up.window.max(self.down.window).max(1);
        self.proposed.retain(|(at, _)| *at > t - longest);
        let within = |window: i64| {
            let recent = self.proposed.iter().filter(move |(at, _)| *at > t - window);
            recent.map(|(_, n)| *n).chain([proposed])
        };
        // Scales up no further than the lowest proposal in its window, and down no further than the
        // highest in its own window.
        let least = within(self.up.window).min().unwrap_or(proposed);
        let most = within(self.down.window).max().unwrap_or(proposed);
        self.proposed.push_back((t, proposed));
        let stable = current.max(least).min(most);
        let wanted = match stable.cmp(&current) {
            Ordering::Greater => stable.min(self.highest(t, current)),
            Ordering::Less => stable.max(self.lowest(t, current)),
            Ordering::Equal => current,
        };
        let wanted = wanted.clamp(self.min, self.max);
        let day = t - 86_400;
        match wanted - current {
            0 => {}
            n if n > 0 => {
                self.raised.retain(|(at, _)| *at > day);
                self.raised.push_back((t, n));
            }
            n => {
                self.lowered.retain(|(at, _)| *at > day);
                self.lowered.push_back((t, -n));
            }
        }
        wanted
    }

    /// The highest size that the scale-up policies allow.
    fn highest(&self, t: i64, current: i32) -> i32 {
        let allowed = self.up.policies.iter().map(|policy| {
            let start = current - changed(&self.raised, t, policy.period());
            match *policy {
                Policy::Pods(pods, _) => start + pods,
                Policy::Percent(percent, _) => replicas(f64::from(start) * (1.0 + percent / 100.0)),
            }
        });
        allowed.max().unwrap_or(current).max(current)
    }

    /// The lowest size that the scale-down policies allow.
    fn lowest(&self, t: i64, current: i32) -> i32 {
        let allowed = self.down.policies.iter().map(|policy| {
            let start = current + changed(&self.lowered, t, policy.period());
            match *policy {
                Policy::Pods(pods, _) => start - pods,
                Policy::Percent(percent, _) => {
                    let kept = f64::from(start) * (1.0 - percent / 100.0);
                    replicas(kept.floor())
                }
            }
        });
        allowed.min().unwrap_or(current).min(current)
    }
}

/// Pods that were added or removed within the last `period` seconds.
fn changed(events: &VecDeque<(i64, i32)>, t: i64, period: i64) -> i32 {
    let recent = events.iter().filter(|(at, _)| *at > t - period);
    recent.map(|(_, n)| n).sum()
}

#[cfg(test)]
mod tests {
    use rstest::rstest;

    use super::super::options::Options;
    use super::*;

    fn hpa(words: &[&str], min: i32, max: i32) -> Hpa {
        let mut options = Options::default();
        for word in words {
            options.add(word);
        }
        Hpa::new(&options.read(), min, max).unwrap()
    }

    /// Time, current, proposed, expected; as documented for `behavior`.
    #[rstest]
    #[case::up_by_four_or_double(&[], &[(0, 1, 20, 5), (15, 5, 20, 10), (30, 10, 20, 20)])]
    #[case::four_within_fifteen_seconds(&[], &[(0, 1, 20, 5), (10, 5, 20, 5)])]
    #[case::down_after_five_minutes(&[], &[(0, 8, 8, 8), (15, 8, 2, 8), (299, 8, 2, 8), (300, 8, 2, 2)])]
    #[case::down_to_the_largest_of_its_window(&["downWindow:60"], &[(0, 8, 5, 8), (30, 8, 6, 8), (61, 8, 2, 6), (91, 6, 2, 2)])]
    #[case::one_pod_a_minute(&["downWindow:0", "downPods:1"], &[(0, 8, 2, 7), (15, 7, 2, 7), (60, 7, 2, 6)])]
    #[case::or_a_tenth(&["downWindow:0", "downPods:1", "downPercent:10"], &[(0, 30, 2, 27), (60, 27, 2, 24)])]
    #[case::up_waits_for_all_of_its_window(&["upWindow:60"], &[(0, 4, 4, 4), (30, 4, 8, 4), (60, 4, 8, 8)])]
    #[case::bounds(&["downWindow:0"], &[(0, 4, 100, 8), (15, 8, 100, 10), (30, 10, 0, 2)])]
    fn behaves_as_documented(#[case] words: &[&str], #[case] steps: &[(i64, i32, i32, i32)]) {
        let max = if steps.iter().any(|(.., wanted)| *wanted > 10) {
            100
        } else {
            10
        };
        let mut hpa = hpa(words, if max == 10 { 2 } else { 1 }, max);
        for (t, current, proposed, expected) in steps {
            // The first proposal of `down_after_five_minutes` is the current size.
            let wanted = hpa.step(*t, *current, *proposed);
            assert_eq!(wanted, *expected, "at {t} s of {steps:?}");
        }
    }
}
