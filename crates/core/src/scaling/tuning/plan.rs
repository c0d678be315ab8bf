//! Parameters of the rules: growing, shrinking, probing, going back.

use jiff::SignedDuration;

use crate::scaling::tuning::unit::{Factor, Parameter, ReplicaSeconds, Share, parameters};

const fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

parameters! {
    /// When a group grows, and to what size.
    Growth {
        /// From a decision to its effect: Pods start, a rebalance, one poll. Longer horizons, and
        /// one measured from the group's own scale-ups, were worse (decision 17).
        horizon: SignedDuration = secs(75);
        /// The group grows when the prediction is above this share of the objective. Lower values
        /// were tried on the model and rejected.
        line: Share = Share(0.85);
        /// The same under a surge: at 0.85 J is 1.089 on the catalogue, at 1 it is 1.081 (decision
        /// 17).
        surge_line: Share = Share(1.0);
        /// Share of the capacity that a scale-up aims at. The model's.
        utilisation: Share = Share(0.93);
        /// A backlog is to be worked off within this time. The model's.
        drain: SignedDuration = secs(600);
        /// If no size carries the load, a larger one is taken as long as the load of the busiest
        /// consumer falls by at least this power of the growth in replicas. Without it J is 2.5 %
        /// worse (16 scenarios of the model).
        elasticity: Share = Share(0.3);
        /// Above this share of the objective a healthy partition is separated from hot partitions
        /// on the same consumer. With the rule drawn scenarios with poison pills cost 12 to 18 %
        /// less J.
        late_share: Share = Share(0.5);
        /// While the capacity is unknown, a late group grows by at least this factor. The model's.
        unknown: Factor = Factor(1.5);
        /// Or it undoes a scale-down that is no older than this. The model's.
        undone_within: SignedDuration = secs(900);
        /// For this time after an action the consumption is that of a rebalance (decision 17).
        rebalanced_for: SignedDuration = secs(120);
        /// While the capacity is not measured, the growth of a delay counts only above this share
        /// of the objective. The model's.
        slope_share: Share = Share(0.2);
        /// And above this time: a few seconds pass between two commits (decision 8).
        slope_least: SignedDuration = secs(10);
        /// A late partition is called hot above this share of the objective. Chosen, not measured.
        hot_share: Share = Share(0.5);
    }
}

parameters! {
    /// How long a rebalance stops the worst partition. Measured on groups of each protocol.
    Stall {
        /// KIP-848: partitions are revoked and assigned once.
        consumer: SignedDuration = secs(3);
        /// Cooperative: partitions that move pause for two rounds.
        cooperative: SignedDuration = secs(4);
        /// All others: everything stops.
        eager: SignedDuration = secs(8);
        /// And again for each further consumer that joins.
        joiner: SignedDuration = secs(3);
        /// At most this.
        most: SignedDuration = secs(30);
        /// The stall counts up to this share of the objective: otherwise a small objective would
        /// make a group grow again and again at a delay of 0.
        share: Share = Share(0.5);
    }
}

parameters! {
    /// Growing further or sooner for late records.
    Backlog {
        /// Off: a scale-up goes to the size that carries the load, however late records are.
        enabled: bool = true;
        /// Price of a late second: one replica for a minute, as in J.
        late: ReplicaSeconds = ReplicaSeconds(60.0);
        /// A size taken for a backlog is kept for about this time, until the load history allows a
        /// smaller one. Chosen, not measured.
        kept: SignedDuration = secs(300);
        /// A backlog builds from this share of the objective on. Chosen, not measured.
        builds: Share = Share(0.1);
        /// And from this delay on: a few seconds pass between two commits.
        builds_least: SignedDuration = secs(10);
        /// Only the backlog is left if arrivals are at most this share of the consumption. Chosen,
        /// not measured.
        rest: Share = Share(0.1);
        /// A size that takes up to this many times as long is hardly worse. Chosen, not measured.
        hardly_more: Factor = Factor(1.1);
        /// Longest time to work a backlog off when sizes are compared by cost. Chosen, not
        /// measured.
        drain_most: SignedDuration = secs(3600);
        /// A backlog that takes longer counts as never worked off. Chosen, not measured.
        never: SignedDuration = secs(86_400);
    }
}

parameters! {
    /// When a smaller size is enough.
    Shrink {
        /// Off: a smaller size has to carry only the present load. With the replay there are a
        /// quarter fewer rescales (16 scenarios of the model).
        replay: bool = true;
        /// The price of a scale-down and a scale-up, whatever the group's size. Without a price
        /// there are 38 % more rescales (16 scenarios of the model).
        pair: ReplicaSeconds = ReplicaSeconds(300.0);
        /// Added for each replica: the stop of a rebalance under KIP-848.
        stop_consumer: SignedDuration = secs(10);
        /// The same for cooperative assignors.
        stop_cooperative: SignedDuration = secs(15);
        /// The same for all others. One price for all protocols was tried and rejected: 9 % more
        /// stall.
        stop_eager: SignedDuration = secs(40);
        /// The price is multiplied by this after a scale-down that did not pay. Without it there
        /// are 15 % more rescales (16 scenarios of the model).
        unpaid: Factor = Factor(2.0);
        /// For this time, and again if the next one follows within it.
        unpaid_for: SignedDuration = secs(3600);
        /// At most this many times in a row: three cost 0.6 % of J on the catalogue, and a load
        /// that swings every four minutes was late for 1,338 s with one (decision 8).
        unpaid_most: usize = 3;
        /// A scale-up this long after a scale-down does not judge it. The model's.
        judged_within: SignedDuration = secs(7200);
        /// A scale-down has paid if it saved this many times its price. The model's.
        paid: Factor = Factor(1.5);
        /// Share of the longest record that each replica processes again: on average, half.
        in_hand: Share = Share(0.5);
        /// The shortest window. The model's.
        window_least: SignedDuration = secs(120);
        /// And at least the time of this many records of one consumer: with records of two minutes
        /// a group went from 24 to 1 and back each half hour (decision 8).
        window_records: usize = 10;
        /// That time is at most this.
        window_records_most: SignedDuration = secs(3600);
        /// If a stall takes more than this share of the objective, the window is longer.
        dear_share: Share = Share(0.5);
        /// It is then this many times as long. The model's.
        dear: Factor = Factor(3.0);
        /// Share of the capacity held back in the replay, for slow Pods and noise: Pods differ by 3
        /// % in the model.
        margin: Share = Share(0.02);
        /// The delay in the replay stays under this share of the objective. The model's.
        calm: Share = Share(0.5);
        /// Or under the stall plus this share, if that is more. The model's.
        calm_beyond_stall: Share = Share(0.2);
        /// But never above this share. The model's.
        calm_most: Share = Share(0.9);
        /// The mean load of the replay stays under this share of the capacity. The model's.
        mean: Share = Share(0.96);
        /// And the delay at its end is under this share of the objective. The model's.
        left: Share = Share(0.25);
        /// No scale-down while the delay is above this share of the objective. The model's.
        late: Share = Share(0.4);
        /// And above this time: a few seconds pass between two commits.
        late_least: SignedDuration = secs(10);
        /// Under `lagPerReplica` the replay holds a smaller size to this delay, or to the time in
        /// which a replica works the allowed lag off, if that is longer (decision 9).
        calm_under_lag: SignedDuration = secs(60);
    }
}

impl Shrink {
    /// As an exponent.
    pub(in crate::scaling) fn unpaid_most(&self) -> i32 {
        i32::try_from(self.unpaid_most).unwrap_or(i32::MAX)
    }
}

parameters! {
    /// The load history: the load of the busiest consumer at each size, which is replayed.
    LoadHistory {
        /// Polls younger than this are kept one by one: longer than most windows.
        fine: SignedDuration = secs(1200);
        /// Points that are kept: about 8 kB per group with nine sizes (KEEP-26).
        points: usize = 160;
        /// Older points are dropped: no window is longer. The model's.
        oldest: SignedDuration = secs(10_800);
    }
}

parameters! {
    /// Probes: scale-downs while the capacity of a consumer is unknown.
    Probe {
        /// Off: under `maxDelay` nothing is scaled down while the capacity is unknown.
        enabled: bool = true;
        /// First wait between two probes. The model's.
        first: SignedDuration = secs(300);
        /// Longest wait. The model's.
        most: SignedDuration = secs(3600);
        /// Each probe that was undone makes the next wait this many times as long. The model's.
        factor: Factor = Factor(2.0);
        /// No probe at or above this share of the objective. The model's.
        late: Share = Share(0.2);
        /// To no less than this share of the replicas, minus one. The model's.
        least: Share = Share(0.5);
        /// A probe has failed if the delay rises above this share of the objective.
        failed: Share = Share(0.35);
        /// Within this time. A probe that is undone within it has failed too. The model's.
        judged_within: SignedDuration = secs(600);
        /// After a failed probe the capacity is this many times the lower bound. The model's.
        bracket: Factor = Factor(1.03);
    }
}

parameters! {
    /// The scale-down by one aligned size under `lagPerReplica`, while the capacity is unknown.
    LagPeaks {
        /// Off: only the present lag counts, not the earlier demand.
        enabled: bool = true;
        /// Points of the peaks: older ones are merged (KEEP-26).
        points: usize = 32;
        /// Older points are dropped: no wait is longer.
        oldest: SignedDuration = secs(7200);
        /// The longest window: a longer one could never be covered.
        window_most: SignedDuration = secs(7000);
    }
}

parameters! {
    /// Flapping: the longer wait after a scale-down that had to be undone, under `lagPerReplica`.
    FlapBackoff {
        /// Off: a scale-down waits only for the user's interval.
        enabled: bool = true;
        /// A scale-up within this time after a scale-down undoes it. Chosen, not measured.
        undone_within: SignedDuration = secs(600);
        /// Longest wait. Chosen, not measured.
        most: SignedDuration = secs(3600);
        /// Each scale-down that was undone makes the next wait this many times as long. Chosen, not
        /// measured.
        factor: Factor = Factor(2.0);
        /// The wait halves each time this has passed. Chosen, not measured.
        halves: SignedDuration = secs(3600);
    }
}

parameters! {
    /// Ineffective scale-ups.
    Ineffective {
        /// Off: the group keeps growing, whatever growing brought. Without it J is 0.7 % worse, in
        /// `downstream` 11 % (16 scenarios of the model).
        enabled: bool = true;
        /// A scale-up is ineffective if the throughput rose by less than this share of what the
        /// consumers grew by. The model's.
        gained: Share = Share(0.3);
        /// A size with at least this share of the group's throughput has about the same. Chosen,
        /// not measured.
        about: Share = Share(0.9);
        /// A scale-up is judged after this time: it has taken effect, and a sample has been taken
        /// since.
        judged_after: SignedDuration = secs(90);
        /// And no later than this: 50 minutes after one that had worked everything became slower,
        /// and it was called ineffective (decision 8).
        judged_for: SignedDuration = secs(900);
        /// Two throughputs are compared within this time. The model's.
        compared_within: SignedDuration = secs(3600);
        /// The group must have been stable for this time: the window of a rate.
        stable_for: SignedDuration = secs(60);
        /// First time without growth beyond the bottleneck. The model's.
        first: SignedDuration = secs(1800);
        /// Longest such time. The model's.
        most: SignedDuration = secs(14_400);
        /// Each ineffective scale-up makes the next such time this many times as long. The model's.
        factor: Factor = Factor(2.0);
        /// The bottleneck has ended when the group's throughput is this many times as high. The
        /// model's.
        beyond: Factor = Factor(1.25);
    }
}

parameters! {
    /// The least times between actions, and actions by others.
    Pacing {
        /// The effect of an action becomes visible this long after it has settled: two polls.
        landing: SignedDuration = secs(30);
        /// Least time between any action and a scale-up under `maxDelay`: the same.
        up_least: SignedDuration = secs(30);
        /// Least time between any action and a scale-down under `maxDelay`: a minute of polls must
        /// show the effect. The model's.
        down_least: SignedDuration = secs(120);
        /// Longest wait for a commit if commits are rare: sinks to files commit every ten minutes.
        commits_awaited: SignedDuration = secs(900);
        /// A watch may show the replicas from before a write for this time. Chosen, not measured.
        watch_lag: SignedDuration = secs(10);
        /// A stored time that lies further ahead is read as now (KNOW-24). The clocks of nodes
        /// differ by less.
        clock_skew: SignedDuration = secs(60);
        /// This many external changes make the target contested (ACT-7).
        contested: usize = 3;
        /// If they happen within this time.
        contested_within: SignedDuration = secs(600);
        /// Nothing is done for this time. Chosen, not measured.
        stand_back: SignedDuration = secs(1800);
    }
}
