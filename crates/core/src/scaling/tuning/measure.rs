//! Parameters of the measurements: offsets, arrivals, progress, capacity.

use jiff::SignedDuration;

use crate::scaling::tuning::unit::{Factor, Parameter, Share, parameters};

const fn secs(seconds: i64) -> SignedDuration {
    SignedDuration::from_secs(seconds)
}

parameters! {
    /// How often the group is polled, and how long a reading is used.
    Polls {
        /// The default of `pollInterval`. Numbers of polls are multiples of this.
        interval: SignedDuration = secs(15);
        /// A partition that has not been read for longer is unknown: it counts for nothing, is
        /// reported as missing, and ends the window of a scale-down (KNOW-15). Three polls may
        /// fail. The value is the model's; chosen, not measured.
        fresh: SignedDuration = secs(60);
        /// Least time before `LagKnown` turns False: the death of a coordinator takes 9 to 13 s, as
        /// measured on brokers (KNOW-16).
        lasting: SignedDuration = secs(20);
    }
}

parameters! {
    /// The stored offsets of each partition.
    Series {
        /// At 24 bytes each, a partition's history takes 768 bytes (KEEP-26). Thinned to this many
        /// points, the time of a past end offset stays known to within a sixth of its age
        /// (`thinning_keeps_the_delay`).
        points: usize = 32;
        /// Points younger than this are all kept: rates and capacity are taken over the last
        /// minute, and a poll may be a second late.
        dense: SignedDuration = secs(76);
        /// Shortest window of a rate: one poll interval, minus the time that a poll may be early.
        rate_least: SignedDuration = secs(14);
        /// How much a poll may be early or late. Chosen, not measured.
        slack: SignedDuration = secs(1);
        /// The longest reported delay. Chosen, not measured.
        oldest: SignedDuration = secs(172_800);
        /// The broker is asked for four times, and each may be answered by two offsets (see
        /// `docs/kafka.md`, timestamps).
        earlier_points: usize = 10;
        /// Offsets are kept for twice `maxDelay` and at least for this time: a backlog of ten
        /// minutes must have a known age under any objective.
        kept_least: SignedDuration = secs(600);
        /// Offsets are kept for this much longer, so that the minute before the oldest record has a
        /// rate.
        kept_extra: SignedDuration = secs(60);
    }
}

parameters! {
    /// The arrival rates used for the prediction.
    Arrivals {
        /// Window of the latest rate: one poll.
        latest: SignedDuration = secs(15);
        /// Window of the steady rate. The model's catalogue was measured with it.
        steady: SignedDuration = secs(60);
        /// Weight of the latest rate against the steady one. The latest alone costs 6.4 % of J, the
        /// steady one alone 5.2 % (16 scenarios of the model).
        blend: Share = Share(0.35);
    }
}

parameters! {
    /// Surges: loads that jump (decision 17).
    Surge {
        /// Off: the size follows the mean of the last minute, whatever the last polls show.
        enabled: bool = true;
        /// Polls that are compared, including the last one: those of the last minute.
        polls: usize = 5;
        /// Each poll of the surge shows more than this many times the highest rate before it. With
        /// 1.5 J is 1.087 on the catalogue and 1.182 on 600-659, with 2 it is 1.081 and 1.153.
        risen: Factor = Factor(2.0);
        /// And more by this many standard deviations, because small numbers of records vary by
        /// chance. Three is usual.
        chance: Factor = Factor(3.0);
        /// The first poll covers only a part of the jump, on average half of it. Its excess over
        /// the mean counts this many times. Measured with decision 17 as a whole.
        first_poll: Factor = Factor(1.5);
    }
}

parameters! {
    /// Partitions whose commit does not move.
    Progress {
        /// Off: a partition whose commit does not move counts as load.
        enabled: bool = true;
        /// A partition with lag and an owner is stuck after this time without a commit. Without the
        /// rule J is 3.2 % worse, and 1.65 times as high in `stuck` (16 scenarios of the model).
        stuck_after: SignedDuration = secs(60);
        /// Or after this many typical gaps between two commits, if that is longer. The model's;
        /// chosen, not measured.
        stuck_gaps: Factor = Factor(8.0);
        /// The time while the gap is unknown, as after a restart: some groups commit every five
        /// minutes (decision 8).
        stuck_unknown: SignedDuration = secs(360);
        /// Longer gaps count as this: idle hours do not show how often a consumer commits (decision
        /// 8). Sinks to files commit every ten minutes.
        gap_most: SignedDuration = secs(600);
        /// Weight of the last gap in the typical gap. Chosen, not measured.
        gap_weight: Share = Share(0.2);
        /// Commits are rare from this gap on: one poll in two sees none. Chosen, not measured.
        rare: SignedDuration = secs(24);
        /// A commit is late after this many typical gaps. Chosen, not measured.
        late_gaps: Factor = Factor(2.0);
        /// Consumers refresh their metadata every five minutes: a new partition may have no owner
        /// for this time (ACT-13).
        new_for: SignedDuration = secs(360);
        /// A partition that has not moved since the process began may have a record in hand that
        /// takes long. It prevents scale-downs for this time. Chosen, not measured.
        in_hand_for: SignedDuration = secs(3600);
        /// A standstill that ends with at most this many records was work on them; more at once are
        /// those of an outage or of a batch. Chosen, not measured.
        in_hand_records: usize = 10;
        /// The next standstill may take this many times as long. Chosen, not measured.
        longer: Factor = Factor(1.5);
        /// A record takes long from this time on: shorter times cannot be distinguished from a gap
        /// between commits. Chosen, not measured.
        long: SignedDuration = secs(60);
        /// The longest time that a record is assumed to take. Chosen, not measured.
        longest: SignedDuration = secs(14_400);
        /// How long this time is remembered: one day. Chosen, not measured.
        longest_for: SignedDuration = secs(86_400);
    }
}

parameters! {
    /// Topics whose records wait on purpose.
    Delayed {
        /// Off: only `delayedTopicPattern` names these topics.
        enabled: bool = true;
        /// A topic is recognized only from this delay on. Chosen, not measured.
        from: SignedDuration = secs(60);
        /// The delay of a partition varies by no more than this; that of a backlog grows or falls.
        /// Chosen, not measured.
        level: SignedDuration = secs(20);
        /// And it does so for at least this time. Chosen, not measured.
        level_for: SignedDuration = secs(600);
        /// The delays of all its partitions differ by no more than this: twice what the delay of
        /// one may vary by.
        alike: SignedDuration = secs(40);
    }
}

parameters! {
    /// The cost of this group's hand-overs.
    Handover {
        /// Off: every group is assumed to pay the usual cost of its protocol.
        enabled: bool = true;
        /// A member that loses a partition commits what it had in hand: for this time after an
        /// action a commit shows no progress. Chosen, not measured.
        commits_for: SignedDuration = secs(60);
        /// Longest wait for the first commit of a new owner: sinks to files commit every ten
        /// minutes.
        waited_for: SignedDuration = secs(900);
        /// Most hand-overs of partitions that are remembered, which bounds the memory (KEEP-26).
        partitions_most: usize = 512;
        /// A hand-over is complete when this share of its partitions has a new commit, in percent.
        /// A few partitions have nothing to commit. Chosen, not measured.
        percent: usize = 90;
        /// The usual time: a rebalance, a commit, two polls.
        usual: SignedDuration = secs(60);
        /// The longest time that a hand-over is assumed to take: no commit is waited for longer.
        most: SignedDuration = secs(900);
        /// Weight of the last hand-over in the remembered value. Chosen, not measured.
        weight: Share = Share(0.5);
    }
}

parameters! {
    /// Skew: partitions with different loads that are not handed out in turn.
    Skew {
        /// Off: partitions are assumed to be handed out in turn under every assignor but range.
        enabled: bool = true;
        /// A size that was too small because of the skew is not tried again for this time. Chosen,
        /// not measured.
        remembered_for: SignedDuration = secs(3600);
    }
}

parameters! {
    /// Measuring the capacity of one consumer.
    Capacity {
        /// Off: it is never measured under a backlog, only bounded from below.
        enabled: bool = true;
        /// Polls of a sample: a minute. The model's.
        polls: usize = 4;
        /// Polls of the first sample, which is needed soon.
        first_polls: usize = 2;
        /// A backlog is this much work waiting at every poll: nearly a poll interval, so that the
        /// consumer cannot have run dry in between. The model's.
        backlog: SignedDuration = secs(12);
        /// After retention has passed a commit nothing is measured for this time, because the
        /// commit jumps. Chosen, not measured.
        expired_for: SignedDuration = secs(120);
        /// A member is assumed to own the same partitions for this time after it was described:
        /// members are described every two minutes.
        described_for: SignedDuration = secs(150);
        /// A member without a backlog gives a lower bound once it has been steady for this time.
        /// The model's.
        steady_for: SignedDuration = secs(120);
        /// Least time between samples: half of a minute's window has changed.
        sample_every: SignedDuration = secs(30);
        /// Weight of a sample. The model's.
        weight: Share = Share(0.25);
        /// Added to the weight, times the share of consumers that were saturated. The model's.
        weight_by_share: Share = Share(0.5);
        /// If at least this share of consumers is saturated, a sample below the lower bound
        /// replaces it. The model's.
        representative: Share = Share(0.3);
        /// A sample is stale after this time: a faster consumer is noticed only by trying a smaller
        /// size (decision 8).
        old: SignedDuration = secs(21_600);
        /// A consumer without a backlog that does this many times the measured capacity shows that
        /// it was measured too low (decision 8): more than the noise of Pods, which is 4 % in the
        /// model.
        outdone: Factor = Factor(1.1);
        /// The lower bound keeps this share from poll to poll: half of it is gone after six hours.
        /// The model's.
        fade: Share = Share(0.9995);
    }
}

parameters! {
    /// Foreign members, and rebalances without a known cause.
    Membership {
        /// A changed number of foreign members counts after this time: Pods that restart join once
        /// more before the group drops their old member, which takes 45 s.
        counted_after: SignedDuration = secs(60);
        /// This many rebalances without a known cause are reported. Chosen, not measured.
        storm: usize = 4;
        /// If they happen within this time. Chosen, not measured.
        storm_within: SignedDuration = secs(600);
    }
}

impl Offsets {
    /// As a number of offsets.
    pub(in crate::scaling) fn tolerance_percent(&self) -> i64 {
        i64::try_from(self.tolerance_percent).unwrap_or(100)
    }

    /// As a difference of offsets.
    pub(in crate::scaling) fn unreadable_most(&self) -> i64 {
        i64::try_from(self.unreadable_most).unwrap_or(i64::MAX)
    }
}

parameters! {
    /// Offsets without commits, and the tolerance of the lag objective.
    Offsets {
        /// If a group has read for this time and committed nothing, its lag is unknown: batches
        /// that are committed when full take a minute or two.
        commits_awaited: SignedDuration = secs(180);
        /// Offsets left after this time without a record or a commit are unreadable:
        /// `max.poll.interval.ms` takes a partition from an owner that stands still after five
        /// minutes.
        unreadable_after: SignedDuration = secs(600);
        /// The same in delayed topics: longer than retries usually wait.
        delayed_most: SignedDuration = secs(3600);
        /// Most offsets that are treated as those of an aborted transaction. Chosen, not measured.
        unreadable_most: usize = 1000;
        /// A lag within this share of the threshold changes nothing: the default of a
        /// HorizontalPodAutoscaler. In percent.
        tolerance_percent: usize = 10;
    }
}
