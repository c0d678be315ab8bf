//! Parameters of what is decided: growing, shrinking, probing, going back.

use jiff::SignedDuration;

use crate::scaling::tuning::unit::{Factor, Parameter, ReplicaSeconds, Share, parameters};

const fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

parameters! {
    /// When a group grows, and to what size.
    Growth {
        /// From a decision to its effect: pods, a rebalance, one poll. Longer horizons, and one
        /// learnt from the group's own scale-ups, were worse (decision 17).
        horizon: SignedDuration = secs(75);
        /// The group grows when the prediction passes this share of the objective. Lower lines
        /// were tried on the model and rejected.
        line: Share = Share(0.85);
        /// The same for a load that has just jumped: at 0.85 J is 1.089 on the catalogue, at 1 it
        /// is 1.081 (decision 17).
        surge_line: Share = Share(1.0);
        /// Share of the capacity that a scale-up aims at. The model's.
        utilisation: Share = Share(0.93);
        /// A backlog is to be worked off within this. The model's.
        drain: SignedDuration = secs(600);
        /// Where no size carries the load, a larger one is worth it while the fullest consumer's
        /// load falls by at least this power of what the replicas grow by. Without it J is 2.5 %
        /// worse (16 scenarios of the model).
        elasticity: Share = Share(0.3);
        /// Past this share of the objective a healthy partition is freed from hopeless neighbours.
        /// With the rule drawn scenarios with poison pills cost 12 to 18 % less J.
        late_share: Share = Share(0.5);
        /// With the capacity unknown a late group grows by this factor at least. The model's.
        unknown: Factor = Factor(1.5);
        /// Or undoes a scale-down that is no older than this. The model's.
        undone_within: SignedDuration = secs(900);
        /// For so long after an action, consumption is that of a rebalance (decision 17).
        rebalanced_for: SignedDuration = secs(120);
        /// While the capacity is not measured, the growth of a delay counts past this share of the
        /// objective only. The model's.
        slope_share: Share = Share(0.2);
        /// And past so many seconds: a few lie between two commits (decision 8).
        slope_least: SignedDuration = secs(10);
        /// A late partition is called hot from this share of the objective on. Chosen, not
        /// measured.
        hot_share: Share = Share(0.5);
    }
}

parameters! {
    /// How long a rebalance stops the worst partition. Measured on groups of each protocol.
    Stall {
        /// KIP-848: revoked and assigned once.
        consumer: SignedDuration = secs(3);
        /// Cooperative: what moves, for two rounds.
        cooperative: SignedDuration = secs(4);
        /// All others: everything stops ...
        eager: SignedDuration = secs(8);
        /// ... and again for each further consumer that joins ...
        joiner: SignedDuration = secs(3);
        /// ... up to this.
        most: SignedDuration = secs(30);
        /// It counts in the decision to grow up to this share of the objective: else a small
        /// objective makes a group grow at a delay of 0 for ever.
        share: Share = Share(0.5);
    }
}

parameters! {
    /// Growing further or sooner for what is late.
    Backlog {
        /// Off: a scale-up goes to the size that carries the load, whatever is late.
        enabled: bool = true;
        /// Price of a late second: a replica for a minute, as J counts it.
        late: ReplicaSeconds = ReplicaSeconds(60.0);
        /// A size that was taken for a backlog is kept for about so long, until there is evidence
        /// for a smaller one. Chosen, not measured.
        kept: SignedDuration = secs(300);
        /// A backlog builds from this share of the objective on. Chosen, not measured.
        builds: Share = Share(0.1);
        /// And from this delay on: a few seconds lie between two commits.
        builds_least: SignedDuration = secs(10);
        /// Only the backlog is left to do if no more than this share of what is read arrives.
        /// Chosen, not measured.
        rest: Share = Share(0.1);
        /// A size that takes so many times as long is hardly worse. Chosen, not measured.
        hardly_more: Factor = Factor(1.1);
        /// A backlog is taken to be worked off within this when sizes are compared by cost.
        /// Chosen, not measured.
        drain_most: SignedDuration = secs(3600);
        /// A backlog that takes longer is never worked off. Chosen, not measured.
        never: SignedDuration = secs(86_400);
    }
}

parameters! {
    /// When a smaller size will do.
    Shrink {
        /// Off: a smaller size has to carry the present load only. With the replay a quarter fewer
        /// rescales (16 scenarios of the model).
        replay: bool = true;
        /// What a scale-down and a scale-up must save to pay, whatever the group's size. Without a
        /// price there are 38 % more rescales (16 scenarios of the model).
        pair: ReplicaSeconds = ReplicaSeconds(300.0);
        /// And for each replica, what a rebalance stops: KIP-848 ...
        stop_consumer: SignedDuration = secs(10);
        /// ... cooperative ...
        stop_cooperative: SignedDuration = secs(15);
        /// ... all others. One price for all protocols was tried and rejected: 9 % more stall.
        stop_eager: SignedDuration = secs(40);
        /// Price of the next pair after one that did not pay. Without it 15 % more rescales (16
        /// scenarios of the model).
        unpaid: Factor = Factor(2.0);
        /// For so long, and again if the next follows within it.
        unpaid_for: SignedDuration = secs(3600);
        /// No more than so many times in a row: three cost 0.6 % of J on the catalogue, and a load
        /// that swings every four minutes was late for 1,338 s with one (decision 8).
        unpaid_most: usize = 3;
        /// A scale-up this long after a scale-down does not judge it. The model's.
        judged_within: SignedDuration = secs(7200);
        /// A scale-down has paid if it saved so many pairs. The model's.
        paid: Factor = Factor(1.5);
        /// Share of the longest record that each replica does again. At random, half.
        in_hand: Share = Share(0.5);
        /// No evidence covers less. The model's.
        window_least: SignedDuration = secs(120);
        /// Nor less than one consumer takes for so many records: with records of two minutes a
        /// group went from 24 to 1 and back each half hour (decision 8).
        window_records: usize = 10;
        /// Up to this.
        window_records_most: SignedDuration = secs(3600);
        /// Where a stall takes more than this share of the objective ...
        dear_share: Share = Share(0.5);
        /// ... the window is so many times as long. The model's.
        dear: Factor = Factor(3.0);
        /// Capacity held back in the replay, for slow pods and noise: pods differ by 3 % in the
        /// model.
        margin: Share = Share(0.02);
        /// The replay stays under this share of the objective. The model's.
        calm: Share = Share(0.5);
        /// Or under the stall and this share, where that is more. The model's.
        calm_beyond_stall: Share = Share(0.2);
        /// But never above this share. The model's.
        calm_most: Share = Share(0.9);
        /// Its mean load stays under this share of the capacity. The model's.
        mean: Share = Share(0.96);
        /// And it ends under this share of the objective. The model's.
        left: Share = Share(0.25);
        /// No scale-down while the delay is above this share of the objective. The model's.
        late: Share = Share(0.4);
        /// And above so many seconds: a few lie between two commits.
        late_least: SignedDuration = secs(10);
        /// Under `lagPerReplica` the replay holds a smaller size to so much, or to the time in
        /// which a replica works the allowed lag off (decision 9).
        calm_under_lag: SignedDuration = secs(60);
    }
}

impl Shrink {
    /// As a number of times.
    pub(in crate::scaling) fn unpaid_most(&self) -> i32 {
        i32::try_from(self.unpaid_most).unwrap_or(i32::MAX)
    }
}

parameters! {
    /// What the fullest consumer would have carried at each size: the evidence that is replayed.
    LoadHistory {
        /// Polls younger than this are kept one by one: longer than most windows.
        fine: SignedDuration = secs(1200);
        /// About 8 kB a group with nine sizes (KEEP-26).
        points: usize = 160;
        /// Nothing older is kept: no window is longer. The model's.
        oldest: SignedDuration = secs(10_800);
    }
}

parameters! {
    /// A careful scale-down where it is not known what one consumer can do.
    Probe {
        /// Off: without a known capacity nothing is scaled down under `maxDelay`.
        enabled: bool = true;
        /// Between two probes, at first. The model's.
        first: SignedDuration = secs(300);
        /// At most. The model's.
        most: SignedDuration = secs(3600);
        /// Each that was undone makes the next wait so many times as long. The model's.
        factor: Factor = Factor(2.0);
        /// No probe from this share of the objective on. The model's.
        late: Share = Share(0.2);
        /// To no less than this share of the replicas, less one. The model's.
        least: Share = Share(0.5);
        /// A probe has failed if the delay passes this share of the objective ...
        failed: Share = Share(0.35);
        /// ... within this time, or is undone. The model's.
        judged_within: SignedDuration = secs(600);
        /// A failed probe says that the capacity is a little more than was seen. The model's.
        bracket: Factor = Factor(1.03);
    }
}

parameters! {
    /// The scale-down by one size under `lagPerReplica`, while the capacity is not known.
    LagPeaks {
        /// Off: the lag that was asked for before does not count, only the present one.
        enabled: bool = true;
        /// Points of the peaks: older ones are merged in pairs (KEEP-26).
        points: usize = 32;
        /// Nothing waits for longer, so nothing older is kept.
        oldest: SignedDuration = secs(7200);
        /// No window is longer, as it could never be covered.
        window_most: SignedDuration = secs(7000);
    }
}

parameters! {
    /// The longer wait after a scale-down that had to be undone, under `lagPerReplica`.
    FlapBackoff {
        /// Off: a scale-down waits for the user's interval alone.
        enabled: bool = true;
        /// A scale-up so soon after a scale-down undoes it. Chosen, not measured.
        undone_within: SignedDuration = secs(600);
        /// No wait is longer. Chosen, not measured.
        most: SignedDuration = secs(3600);
        /// Each that was undone makes the next wait so many times as long. Chosen, not measured.
        factor: Factor = Factor(2.0);
        /// The wait halves with this. Chosen, not measured.
        halves: SignedDuration = secs(3600);
    }
}

parameters! {
    /// Scale-ups that bring nothing.
    Ineffective {
        /// Off: the group grows on, whatever growing brought. Without it J is 0.7 % worse, in
        /// `downstream` 11 % (16 scenarios of the model).
        enabled: bool = true;
        /// Less than this share of what the replicas grew by is nothing. The model's.
        gained: Share = Share(0.3);
        /// A size that gets through so much of what the group does is as good. Chosen, not
        /// measured.
        about: Share = Share(0.9);
        /// A scale-up is judged after this: it has landed, and a sample has been taken since.
        judged_after: SignedDuration = secs(90);
        /// And no later: 50 minutes after one that had worked everything became slower, and it was
        /// called ineffective (decision 8).
        judged_for: SignedDuration = secs(900);
        /// Two throughputs are compared within this. The model's.
        compared_within: SignedDuration = secs(3600);
        /// The group has been stable for so long: the window of a rate.
        stable_for: SignedDuration = secs(60);
        /// So long no more is tried, at first. The model's.
        first: SignedDuration = secs(1800);
        /// At most. The model's.
        most: SignedDuration = secs(14_400);
        /// Each that brought nothing makes the next wait so many times as long. The model's.
        factor: Factor = Factor(2.0);
        /// It is over when the group gets through so many times as much. The model's.
        beyond: Factor = Factor(1.25);
    }
}

parameters! {
    /// How far apart actions are, and who else acts.
    Pacing {
        /// After an action has settled, what it did must become visible: two polls.
        landing: SignedDuration = secs(30);
        /// Under `maxDelay` no less lies between any action and a scale-up: the same.
        up_least: SignedDuration = secs(30);
        /// And between any action and a scale-down: a minute of polls must have seen what it did.
        /// The model's.
        down_least: SignedDuration = secs(120);
        /// Where commits are rare, one is waited for no longer: sinks to files commit every ten
        /// minutes.
        commits_awaited: SignedDuration = secs(900);
        /// A watch may show the replicas from before a write for so long. Chosen, not measured.
        watch_lag: SignedDuration = secs(10);
        /// A stored time that lies further ahead is read as now (KNOW-24). Clocks of nodes differ
        /// by less.
        clock_skew: SignedDuration = secs(60);
        /// So many changes by somebody else ... (ACT-7)
        contested: usize = 3;
        /// ... within this time ...
        contested_within: SignedDuration = secs(600);
        /// ... and for so long nothing is done. Chosen, not measured.
        stand_back: SignedDuration = secs(1800);
    }
}
